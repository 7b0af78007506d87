"""The operators of one network: every node has a row, and the figures are those of the graph."""

from __future__ import annotations

import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import VIEWS, Graph, GraphBuilder
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import operators_of

SPACE = get_space("nasbench201")
NETWORK = SPACE.graph("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|")
every_view = pytest.mark.parametrize("view", [*VIEWS, "computed"])


def block() -> Graph:
    build = GraphBuilder()
    x = build.input((1, 16, 8, 8))
    wide = build.relu(build.batch_norm(build.conv(x, 32, 3, stride=2, groups=2)))
    narrow = build.batch_norm(build.conv(wide, 32, 3, groups=32))
    return build.graph(build.relu(build.add(wide, narrow)))


@every_view
def test_every_node_has_a_row_and_rows_stand_in_the_order_of_the_graph(view: str) -> None:
    found = operators_of(NETWORK, view)
    assert sorted(set(found.row.tolist())) == list(range(len(found.frame)))
    assert found.frame["node"].is_monotonic_increasing
    first = [found.row.tolist().index(row) for row in range(len(found.frame))]
    assert found.frame["node"].tolist() == first


@every_view
def test_multiply_adds_and_parameters_are_those_of_the_graph(view: str) -> None:
    frame = operators_of(NETWORK, view).frame
    assert frame["macs"].sum() == NETWORK.macs
    if view not in ("fused", "quantized"):  # those merge no convolutions, but batch norms may stand alone
        assert frame["params"].sum() == NETWORK.params
        assert frame["weight_bytes"].sum() == NETWORK.weight_bytes


def test_operators_are_described_with_what_is_part_of_them() -> None:
    layers = operators_of(block()).frame
    assert layers[["operator", "fused", "output"]].to_numpy().tolist() == [
        ["conv 3x3 /2 in 2 groups", "batch_norm, relu", "1x32x4x4"],
        ["conv 3x3 depthwise", "batch_norm, add, relu", "1x32x4x4"],
    ]
    engine = operators_of(block(), "fused").frame
    assert engine["operator"].tolist() == ["conv 3x3 /2 in 2 groups", "conv 3x3 depthwise", "relu"]
    assert engine["fused"].tolist() == ["batch_norm, relu", "batch_norm, add", ""]


def test_bytes_are_those_of_the_view() -> None:
    # The depthwise convolution reads the sum's other value in an engine.
    assert operators_of(block(), "fused").frame["activation_bytes"].tolist()[1] == 3 * 32 * 4 * 4 * 4
    engine, int8 = (operators_of(NETWORK, view).frame["weight_bytes"].sum() for view in ("fused", "quantized"))
    assert int8 < engine


def test_reshapes_are_part_of_the_layer_before_them() -> None:
    build = GraphBuilder()
    pooled = build.global_pool(build.input((1, 8, 4, 4)))
    graph = build.graph(build.linear(build.flatten(pooled), 10))
    assert operators_of(graph).frame["operator"].tolist() == ["global_pool", "matmul"]


def test_a_layer_that_a_converter_removes_keeps_its_row() -> None:
    folded = operators_of(NETWORK, "folded").frame
    assert "zero" in folded["operator"].tolist()


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(InvalidInputError, match="folded"):
        operators_of(NETWORK, "foldet")  # type: ignore[arg-type]
