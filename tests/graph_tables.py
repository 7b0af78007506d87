"""Networks of no space, as graphs, and tables whose costs the tests know."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.graphs import Graph, GraphBatch, GraphBuilder


def plain(width: int, depth: int, size: int = 32) -> Graph:
    """Return convolutions, batch norms and a linear layer."""
    build = GraphBuilder()
    x = build.input((1, 3, size, size))
    for _ in range(depth):
        x = build.relu(build.batch_norm(build.conv(x, width, 3)))
    return build.graph(build.linear(build.flatten(build.global_pool(x)), 10))


def separable(width: int, depth: int, size: int = 32) -> Graph:
    """Return depthwise and pointwise convolutions."""
    build = GraphBuilder()
    x = build.conv(build.input((1, 3, size, size)), width, 1)
    for _ in range(depth):
        x = build.relu(build.batch_norm(build.conv(x, width, 3, groups=width)))
        x = build.batch_norm(build.conv(x, width, 1))
    return build.graph(build.linear(build.flatten(build.global_pool(x)), 10))


MAKERS = {"plain": plain, "separable": separable}


def zoo(n_widths: int = 4) -> GraphBatch:
    """Return networks of two families, two sizes, three depths and some widths."""
    return GraphBatch(
        {
            f"{family}-{8 * width}-{depth}-{size}": make(8 * width, depth, size)
            for family, make in MAKERS.items()
            for width in range(1, n_widths + 1)
            for depth in (1, 2, 4)
            for size in (16, 32)
        }
    )


def zoo_table(n_widths: int = 4, noise: float = 0.01, **more: Any) -> CostTable:
    """Return networks with the latency of two devices, by multiply-adds, bytes and calls."""
    batch = zoo(n_widths)
    layers = batch.counts().sum(axis=1)
    columns = np.column_stack([batch.macs / 1e6, batch.activation_bytes / 1e5, layers])
    costs = columns @ np.array([[1.0, 0.3], [0.2, 1.0], [0.05, 0.02]])
    costs *= np.exp(noise * np.random.default_rng(0).normal(size=costs.shape))
    groups = {"family": [name.split("-")[0] for name in batch.names]}
    return CostTable(None, batch, costs, ["phone/latency", "board/latency"], groups=groups, **more)
