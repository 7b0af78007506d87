"""Costs and qualities that tests of the search know exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.spaces import SearchSpace, get_space

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
PI, NPU = "pi/latency", "npu/throughput"


def table(n: int = 400, space: SearchSpace = SPACE, seed: int = 0) -> CostTable:
    """Return the costs of n random architectures: a latency that grows with the size, and a throughput."""
    rng = np.random.default_rng(seed)
    archs = space.sample(n, seed)
    macs = space.batch(archs).macs / 1e7
    latency = 1 + macs * rng.uniform(0.8, 1.2, n)
    return CostTable(space, archs, np.column_stack([latency, 1e3 / (1 + macs)]), [PI, NPU])


def quality(costs: CostTable, seed: int = 1) -> pd.Series[float]:
    """Return a quality of a table's networks that saturates in the parameters, with noise."""
    params = costs.batch.params
    noise = np.random.default_rng(seed).normal(0, 0.5, len(costs))
    return pd.Series(94 * (1 - np.exp(-params / params.mean())) + noise, index=list(costs.names))


def dominated(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which rows another dominates, pair by pair: the slow reference."""
    return np.array(
        [any((other <= own).all() and (other < own).any() for other in losses) for own in losses], dtype=bool
    )
