"""Batches of graphs: sums, keys, and what is refused."""

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import GRAPH_VIEWS, GraphBatch
from hwnas_surrogate.spaces import get_space


@pytest.fixture(scope="module", params=["nasbench201", "fbnet"])
def space(request):
    return get_space(request.param)


@pytest.fixture(scope="module")
def archs(space):
    return space.sample(40, random_state=0)


@pytest.fixture(scope="module")
def batch(space, archs):
    return GraphBatch([space.graph(arch) for arch in archs])


@pytest.mark.parametrize("view", GRAPH_VIEWS)
def test_sums_are_those_of_each_graph(batch, view):
    values = np.array([[op.macs, op.activation_bytes] for op in batch.distinct(view)])
    sums = batch.sums(values, view)
    for row, graph in enumerate(batch.graphs):
        run = GRAPH_VIEWS[view](graph)
        assert sums[row].tolist() == [run.macs, run.activation_bytes]
    np.testing.assert_array_equal(batch.sums(values[:, 0], view), sums[:, 0])


def test_multiply_adds_and_parameters_are_those_of_the_spaces_tables(space, archs, batch):
    layers = space.layers(archs)
    np.testing.assert_array_equal(batch.sums([op.macs for op in batch.distinct()]), layers.macs)
    np.testing.assert_array_equal(batch.sums([op.params for op in batch.distinct()]), layers.params)


def test_rows_are_taken_by_number_and_by_mask(batch):
    macs = [graph.macs for graph in batch.graphs]
    mask = np.array(macs) > np.median(macs)
    assert batch.take([3, 1]).keys == (batch.keys[3], batch.keys[1])
    assert batch.take(mask).keys == tuple(key for key, taken in zip(batch.keys, mask, strict=True) if taken)
    assert len(batch.take(mask)) == mask.sum()


def test_keys_are_equal_for_equal_networks_only(space, batch):
    assert len(set(batch.keys)) == len(batch)
    again = GraphBatch([space.graph(arch) for arch in space.sample(40, random_state=0)])
    assert again.keys == batch.keys


def test_peak_memory_is_that_of_each_graph(batch):
    assert batch.peak_memory().tolist() == [graph.peak_memory for graph in batch.graphs]
    assert (batch.peak_memory("quantized") < batch.peak_memory()).all()


def test_a_batch_may_be_empty():
    empty = GraphBatch([])
    assert (len(empty), empty.keys, empty.distinct()) == (0, (), ())
    assert empty.sums(np.empty((0, 3))).shape == (0, 3)


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
