"""Times of a runtime's operators as times of nodes: right ones by hand, and profiles of other networks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs import Graph, GraphBuilder
from hwnas_surrogate.graphs.profiled import node_times


@dataclass(frozen=True)
class Timed:
    """An operator of a profile."""

    kind: str
    ms: float
    written: int = 0
    stored: int = 0


def two_branches() -> Graph:
    """Return conv 0, norm 1, relu 2, conv 1x1 3, conv 3x3 4, add 5, max pool 6, global pool 7, view 8, linear 9."""
    build = GraphBuilder()
    x = build.relu(build.batch_norm(build.conv(build.input((1, 3, 16, 16)), 12, 3)))
    left, right = build.conv(x, 12, 1), build.conv(x, 12, 3)
    x = build.pool("max_pool", build.add(left, right), 2)
    return build.graph(build.linear(build.flatten(build.global_pool(x)), 10))


WIDE = 12 * 16 * 16
STEM, POINTWISE, SPATIAL = 12 * 3 * 9, 12 * 12, 12 * 12 * 9
# As an engine that fuses: the branches in the other order, the addition in the convolution that runs last.
FUSED = [
    Timed("Conv", 1.0, WIDE, STEM + 12),
    Timed("Conv", 4.0, WIDE, SPATIAL),
    Timed("FusedConv", 2.0, WIDE, POINTWISE),
    Timed("MaxPool", 0.5, 12 * 8 * 8),
    Timed("GlobalAveragePool", 0.25, 12),
    Timed("Gemm", 0.125, 10),
]


def times_of(operators: list[Timed]) -> dict[int, float]:
    times = node_times(two_branches(), operators)
    assert times.sum() == pytest.approx(sum(operator.ms for operator in operators))
    return {int(node): float(times[node]) for node in np.flatnonzero(times)}


def test_fused_operators_in_another_order() -> None:
    assert times_of(FUSED) == {0: 1.0, 3: 2.0, 4: 4.0, 6: 0.5, 7: 0.25, 9: 0.125}


def test_blocks_of_channels_are_filled_up() -> None:
    # 12 channels in blocks of 8 are 16; conversions of layouts belong to the operator before them.
    filled = [
        Timed("ReorderInput", 0.01, 3 * 256),
        Timed("Conv", 1.0, 16 * 256, 16 * 3 * 9 + 16),
        Timed("Conv", 4.0, 16 * 256, 16 * 16 * 9 + 16),
        Timed("Conv", 2.0, 16 * 256, 16 * 16 + 16),
        Timed("MaxPool", 0.5, 12 * 64),
        Timed("ReorderOutput", 0.02, 12 * 64),
        Timed("GlobalAveragePool", 0.25, 12),
        Timed("Gemm", 0.125, 10),
    ]
    assert times_of(filled) == pytest.approx({0: 1.01, 3: 2.0, 4: 4.0, 6: 0.52, 7: 0.25, 9: 0.125})


def test_operators_without_sizes_are_matched_in_order() -> None:
    # The convolution that includes the addition runs last.
    named = [Timed(operator.kind, operator.ms) for operator in FUSED]
    assert times_of(named) == {0: 1.0, 3: 2.0, 4: 4.0, 6: 0.5, 7: 0.25, 9: 0.125}


def test_a_runtime_that_fuses_nothing() -> None:
    eager = [
        Timed("aten::conv2d", 1.0),
        Timed("aten::batch_norm", 0.3),
        Timed("aten::relu", 0.1),
        Timed("aten::conv2d", 2.0),
        Timed("aten::conv2d", 4.0),
        Timed("aten::add", 0.2),
        Timed("aten::max_pool2d", 0.5),
        Timed("aten::adaptive_avg_pool2d", 0.25),
        Timed("aten::flatten", 0.01),
        Timed("aten::linear", 0.125),
    ]
    assert times_of(eager) == pytest.approx({0: 1.3, 2: 0.1, 3: 2.0, 4: 4.0, 5: 0.2, 6: 0.5, 7: 0.26, 9: 0.125})


def test_attention_that_a_runtime_takes_apart() -> None:
    from torch import Tensor, nn, randn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(8, 24)

        def forward(self, x: Tensor) -> Tensor:
            queries, keys, values = self.project(x).chunk(3, -1)
            return nn.functional.scaled_dot_product_attention(queries, keys, values)

    graph = Graph.from_torch(Attention().eval(), randn(1, 16, 8))
    parts = [
        Timed("MatMul", 1.0, 16 * 24),
        Timed("Split", 0.1, 16 * 24),
        Timed("FusedMatMul", 2.0, 16 * 16),
        Timed("Softmax", 0.5, 16 * 16),
        Timed("MatMul", 3.0, 16 * 8),
    ]
    times = node_times(graph, parts)
    kinds = [node.op.kind for node in graph.nodes]
    assert times[kinds.index("matmul")] == pytest.approx(1.0)
    assert times[kinds.index("attention")] == pytest.approx(5.5)


def test_names_of_runtimes_are_of_classes() -> None:
    numbers = count(1)
    kinds = ["Convolution", "QLinearConv", "ConvolutionDepthWise", "FusedConv"]
    times = times_of([Timed(kind, next(numbers)) for kind in (*kinds[:3], "Pooling", "ReduceMean", "InnerProduct")])
    assert times == {0: 1.0, 4: 2.0, 3: 3.0, 6: 4.0, 7: 5.0, 9: 6.0}


def test_quantized_additions_and_upsampling_are_no_linear_layers() -> None:
    between = [Timed("QLinearAdd", 0.2, WIDE), Timed("Convert", 0.1, WIDE), Timed("aten::upsample_bilinear2d", 0.1, 9)]
    *first, pool, last, linear = [Timed(operator.kind, operator.ms) for operator in FUSED]
    times = times_of([*first, *between, pool, last, linear])
    assert times == pytest.approx({0: 1.0, 4: 4.0, 3: 2.4, 6: 0.5, 7: 0.25, 9: 0.125})


def test_profiles_of_other_networks() -> None:
    with pytest.raises(InvalidGraphError, match=r"of its 4 convolutions and matrix products, 1 are among"):
        node_times(two_branches(), [Timed("Conv", 1.0, 99, 9), Timed("Conv", 1.0, 88, 8), Timed("Gemm", 1.0, 10)])
    with pytest.raises(InvalidGraphError, match="the profile has no times of operators"):
        node_times(two_branches(), [])
    with pytest.raises(InvalidGraphError, match=r"must be finite and not negative, got -1 ms"):
        node_times(two_branches(), [*FUSED, Timed("Add", -1.0)])
    with pytest.raises(InvalidGraphError, match=r"must be finite and not negative, got inf ms"):
        node_times(two_branches(), [*FUSED, Timed("Add", float("inf"))])
