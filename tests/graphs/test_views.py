"""What each node of a graph became in a view: the operators are those of the view, and every node is accounted for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import VIEWS, Graph, GraphBuilder, Op, TensorSpec, Traced, traced
from hwnas_surrogate.graphs.views import traced_together
from hwnas_surrogate.spaces import get_space
from tests.graphs.test_flat import random_graphs

every_view = pytest.mark.parametrize("view", VIEWS)


def image() -> tuple[GraphBuilder, int]:
    build = GraphBuilder()
    return build, build.input((1, 8, 8, 8))


def by_node(of: Traced) -> dict[int, list[str]]:
    """Return the kinds of the operators of each node, with what is fused."""
    found: dict[int, list[str]] = {}
    for node, op in zip(of.serves.tolist(), of.ops, strict=True):
        found.setdefault(node, []).append("+".join([op.kind, *op.fused]))
    return found


def networks(view: str) -> list[Graph]:
    space, some = get_space("nasbench201"), random_graphs(60, 3)
    kept = []
    for graph in [*some, *(space.graph(arch) for arch in space.sample(20, 0))]:
        try:
            VIEWS[view](graph)
        except InvalidGraphError:
            continue
        kept.append(graph)
    return kept


@every_view
def test_the_operators_are_those_of_the_view_and_each_belongs_to_a_node_that_is_there(view: str) -> None:
    for graph in networks(view):
        found = traced(graph, view)
        assert Counter(found.ops) == VIEWS[view](graph).counts
        there = set(found.became[found.became >= 0].tolist())
        assert set(found.serves.tolist()) <= there
        assert set(found.follows.tolist()) <= {-1, *there}
        assert (found.became[sorted(there)] == sorted(there)).all()
        assert (found.became <= np.arange(len(graph))).all()


@every_view
def test_graphs_are_traced_together_as_one_by_one(view: str) -> None:
    graphs = networks(view)
    together = traced_together(graphs, view)
    for graph, found in zip(graphs, together, strict=True):
        alone = traced(graph, view)
        assert found.ops == alone.ops
        for name in ("serves", "follows", "became"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    assert traced_together([], view) == []


@every_view
def test_every_node_that_is_there_has_an_operator_of_its_kind_or_conversions(view: str) -> None:
    for graph in networks(view):
        found = traced(graph, view)
        kinds = by_node(found)
        for node in set(found.became[found.became >= 0].tolist()):
            own = graph.nodes[node].op.kind
            may_be = (own, "constant", "quantize", "dequantize", *(["copy"] if own == "view" else []))
            assert any(kind.split("+")[0] in may_be for kind in kinds[node])


def test_what_is_fused_belongs_to_the_operator_that_it_is_fused_into() -> None:
    build, x = image()
    conv = build.batch_norm(build.conv(x, 8, 3))
    found = traced(build.graph(build.add(build.relu(x), conv)), "fused")
    assert by_node(found) == {0: ["conv+batch_norm+add"], 2: ["relu"]}
    assert found.became.tolist() == [0, 0, 2, 0]
    assert dict(zip(found.serves.tolist(), found.follows.tolist(), strict=True)) == {0: 2, 2: -1}


def test_parts_that_are_copied_at_once_belong_to_the_first() -> None:
    build, x = image()
    part = (TensorSpec((1, 4, 8, 8)),)
    views = [Op("view", (build.spec(x),), part, detail=f"(256, 64, 8, 1) from {start}") for start in (256, 128)]
    shown = [build.add_op(view, [x]) for view in views]
    found = traced(build.graph(build.add(build.relu(shown[0]), shown[1])), "fused")
    assert found.became.tolist() == [0, 0, 2, 3]
    assert by_node(found) == {0: ["copy"], 2: ["relu"], 3: ["add"]}


def test_equal_operators_belong_to_the_first() -> None:
    build, x = image()
    found = traced(build.graph(build.add(build.relu(build.relu(x)), build.relu(build.relu(x)))), "fused")
    assert found.became.tolist() == [0, 1, 0, 1, 4]
    assert by_node(found) == {0: ["relu"], 1: ["relu"], 4: ["add"]}


def test_dead_operators_are_removed_where_a_converter_removes_them() -> None:
    build, x = image()
    build.conv(x, 8, 3)
    graph = build.graph(build.relu(x))
    assert traced(graph, "all").became.tolist() == [0, 1]
    assert traced(graph, "folded").became.tolist() == [-1, 1]


def test_conversions_belong_to_the_operator_that_they_convert_for() -> None:
    build, x = image()
    found = traced(build.graph(build.elementwise("sigmoid", build.conv(x, 8, 3))), "quantized")
    assert by_node(found) == {0: ["quantize", "conv"], 1: ["dequantize", "sigmoid", "quantize", "dequantize"]}
    assert found.ops[1].dtype == "int8"


def test_a_relu_in_a_quantization_belongs_to_the_operator_before_it() -> None:
    build, x = image()
    found = traced(build.graph(build.relu(build.conv(build.relu(x), 8, 3))), "quantized")
    assert found.became.tolist() == [0, 1, 1]
    assert by_node(found) == {0: ["quantize"], 1: ["conv", "dequantize"]}


def test_conversions_of_an_input_that_nothing_reads_belong_to_the_first_node() -> None:
    build, x = image()
    build.input((1, 3))
    found = traced(build.graph(build.elementwise("sigmoid", x), x), "quantized")
    assert set(found.serves.tolist()) == {0}
    assert len(found.ops) > len(traced(build.graph(build.elementwise("sigmoid", x)), "quantized").ops)


def test_an_unknown_view_is_named() -> None:
    build, x = image()
    with pytest.raises(InvalidInputError, match="fused"):
        traced(build.graph(build.relu(x)), "fusd")
