"""Batches of graphs: sums, keys, what architectures have in common with them, and what is refused."""

from collections import Counter

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import VIEWS, GraphBatch, GraphBuilder
from hwnas_surrogate.spaces import get_space, space_names

OWN_CONFIGS = {
    "nasbench201": ["C6-N1-k3-1x12x20", "C3-N4-k7-5x8x8"],
    "fbnet": ["S8-8.12.16.24.32.40.64-H96-k5-s2.1.2.1.2.1.1.2-1x48x32"],
}


@pytest.fixture(scope="module", params=space_names())
def space(request):
    return get_space(request.param)


@pytest.fixture(scope="module")
def archs(space):
    return space.sample(40, random_state=0)


@pytest.fixture(scope="module")
def batch(space, archs):
    return GraphBatch([space.graph(arch) for arch in archs])


@pytest.mark.parametrize("view", VIEWS)
def test_sums_are_those_of_each_graph(batch, view):
    values = np.array([[op.macs, op.activation_bytes] for op in batch.distinct(view)])
    sums = batch.sums(values, view)
    for row, graph in enumerate(batch.graphs):
        run = VIEWS[view](graph)
        assert sums[row].tolist() == [run.macs, run.activation_bytes]
    np.testing.assert_array_equal(batch.sums(values[:, 0], view), sums[:, 0])


def counted(batch, view):
    """Return how often each network runs each operator."""
    ops = batch.distinct(view)
    counts = batch.sums(np.eye(len(ops)), view)
    return [Counter({op: n for op, n in zip(ops, row, strict=True) if n}) for row in counts.tolist()]


@pytest.mark.parametrize("view", VIEWS)
def test_architectures_run_the_operators_of_their_graphs(space, archs, batch, view):
    assert counted(space.batch(archs), view) == counted(batch, view) == [VIEWS[view](g).counts for g in batch.graphs]


@pytest.mark.parametrize("view", VIEWS)
def test_architectures_of_many_configs_run_the_operators_of_their_graphs(space, archs, view):
    configs = [*space.configs, *OWN_CONFIGS.get(space.name, [])]
    mixed = [configs[row % len(configs)] for row in range(15)]
    many = space.batch(archs[:15], mixed)
    assert counted(many, view) == counted(many.graphs(), view)


@pytest.mark.parametrize("view", VIEWS)
def test_operators_are_distinct(space, archs, batch, view):
    for of in (batch, space.batch(archs), space.batch(archs[:2], list(space.configs)[:2])):
        assert len(set(of.distinct(view))) == len(of.distinct(view))


@pytest.mark.parametrize("figure", ["macs", "params", "activation_bytes"])
def test_totals_are_those_of_the_operators_and_of_architectures(space, archs, batch, figure):
    for view, run in VIEWS.items():
        by_hand = [sum(getattr(op, figure) for op in run(graph).ops) for graph in batch.graphs]
        assert batch.total(figure, view).tolist() == by_hand
        assert space.batch(archs).total(figure, view).tolist() == by_hand
    assert getattr(batch, figure).tolist() == batch.total(figure, "all").tolist() == batch.total(figure).tolist()


def test_multiply_adds_and_parameters_are_those_of_the_graphs(batch):
    assert batch.macs.tolist() == [graph.macs for graph in batch.graphs]
    assert batch.params.tolist() == [graph.params for graph in batch.graphs]


def test_equal_networks_have_equal_numbers_in_the_order_of_their_first_appearance(space, archs):
    rows = [4, 2, 4, 0, 2, 2, 7]
    assert GraphBatch([space.graph(archs[row]) for row in rows]).repeats.tolist() == [0, 1, 0, 2, 1, 1, 3]
    assert space.batch(archs[rows]).repeats.tolist() == [0, 1, 0, 2, 1, 1, 3]
    assert GraphBatch([]).repeats.tolist() == []


def test_graphs_are_under_no_config(batch):
    assert batch.configs == (None,)
    assert batch.config_number.tolist() == [0] * len(batch)
    assert batch.take([3, 1]).config_number.tolist() == [0, 0]


def test_rows_are_taken_by_number_and_by_mask(batch):
    macs = [graph.macs for graph in batch.graphs]
    mask = np.array(macs) > np.median(macs)
    assert batch.take([3, 1]).keys == (batch.keys[3], batch.keys[1])
    assert batch.take(mask).keys == tuple(key for key, taken in zip(batch.keys, mask, strict=True) if taken)
    assert len(batch.take(mask)) == mask.sum()


@pytest.mark.parametrize("view", VIEWS)
def test_rows_that_are_taken_have_the_same_sums(batch, view):
    values = np.array([[op.macs, len(op.inputs)] for op in batch.distinct(view)])
    assert batch.take([5, 5, 0]).sums(values, view).tolist() == batch.sums(values, view)[[5, 5, 0]].tolist()


def test_keys_are_equal_for_equal_networks_only(space, batch):
    assert len(set(batch.keys)) == len(batch)
    again = GraphBatch([space.graph(arch) for arch in space.sample(40, random_state=0)])
    assert again.keys == batch.keys


@pytest.mark.parametrize("view", VIEWS)
def test_peak_memory_is_that_of_each_graph(batch, view):
    assert batch.peak_memory(view).tolist() == [VIEWS[view](graph).peak_memory for graph in batch.graphs]


def test_quantized_networks_need_less_memory(batch):
    assert (batch.peak_memory("quantized") < batch.peak_memory()).all()


def test_peak_memory_of_shared_unread_and_returned_values():
    unread, shared, kept = GraphBuilder(), GraphBuilder(), GraphBuilder()
    unread.input((1, 100))  # 400 bytes, which no operator reads: they count before the first operator only
    x = shared.input((1, 8, 2, 2))  # 128 bytes
    y = kept.input((1, 10))  # 40 bytes; the first sum is returned, and in memory to the end
    first = kept.relu(y)
    graphs = [
        unread.graph(unread.relu(unread.input((1, 4)))),
        shared.graph(shared.add(shared.flatten(x), shared.relu(shared.flatten(x)))),
        kept.graph(first, kept.relu(kept.relu(first))),
    ]
    assert GraphBatch(graphs).peak_memory().tolist() == [416, 384, 120]
    assert [graph.peak_memory for graph in graphs] == [416, 384, 120]


def test_a_network_that_has_no_peak_in_a_view_is_named(monkeypatch):
    def refusing(flat):
        raise InvalidGraphError("no such operator")

    monkeypatch.setattr("hwnas_surrogate.graphs.batch.PASSES", {"fused": (refusing,)})
    monkeypatch.setattr("hwnas_surrogate.graphs.batch.VIEWS", {"fused": refusing})
    build = GraphBuilder()
    with pytest.raises(InvalidGraphError, match="network 0, view 'fused': no such operator"):
        GraphBatch([build.graph(build.relu(build.input((1, 4))))]).peak_memory("fused")


def test_a_batch_may_be_empty():
    empty = GraphBatch([])
    assert (len(empty), empty.keys, empty.distinct()) == (0, (), ())
    assert empty.sums(np.empty((0, 3))).shape == (0, 3)
    assert empty.macs.tolist() == empty.config_number.tolist() == []


def test_what_is_no_graph_is_refused(batch):
    with pytest.raises(InvalidInputError, match="a GraphBatch holds graphs, got int at 1"):
        GraphBatch([batch.graphs[0], 5])


@pytest.mark.parametrize("rows", [[40], [-1], ["a"], [0.5], [[1, 2]], [True]])
def test_rows_that_are_none_are_refused(batch, rows):
    with pytest.raises(InvalidInputError, match="rows must"):
        batch.take(rows)


def test_one_row_and_no_row(batch):
    assert batch.take(3).keys == (batch.keys[3],)
    assert len(batch.take([])) == 0


def test_one_graph_is_no_batch(batch):
    with pytest.raises(InvalidInputError, match=r"give a list, GraphBatch\(\[graph\]\)"):
        GraphBatch(batch.graphs[0])


def test_unknown_views_and_other_numbers_of_values_are_refused(batch):
    with pytest.raises(InvalidInputError, match="Did you mean 'fused'"):
        batch.distinct("fuse")
    with pytest.raises(InvalidInputError, match="one row for each of the"):
        batch.sums([1.0, 2.0])
