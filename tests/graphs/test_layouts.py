"""Layouts of views: against numpy's strides."""

import random

import numpy as np
import pytest

from hwnas_surrogate.graphs import Op, TensorSpec
from hwnas_surrogate.graphs.layouts import Layout


def of_array(array, base):
    """Return numpy's layout of a view, in numbers."""
    offset = (array.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // base.itemsize
    return Layout(array.shape, tuple(stride // base.itemsize for stride in array.strides), offset)


def changed(rng, array, layout):
    """Change a view and its layout alike; a layout of None cannot be shown."""
    rank = len(array.shape)
    kind = rng.choice(("permuted", "sliced", "reshaped", "without", "expanded"))
    if kind == "permuted":
        order = rng.sample(range(rank), rank)
        return array.transpose(order), layout.permuted(order)
    dim = rng.randrange(rank)
    if kind == "sliced":
        start, step = rng.randrange(array.shape[dim]), rng.choice((1, 1, 2))
        part = array[(slice(None),) * dim + (slice(start, None, step),)]
        return part, layout.sliced(dim, start, step, part.shape[dim])
    if kind == "without" and rank > 1:
        return array[(slice(None),) * dim + (0,)], layout.without([dim])
    if kind == "expanded":
        wide = (2, *(3 if size == 1 else size for size in array.shape))
        return np.broadcast_to(array, wide), layout.expanded(wide)
    shape = [array.size]
    for size in (2, 3):
        if shape[-1] % size == 0:
            shape[-1:] = [size, shape[-1] // size]
    made = array.reshape(shape)
    return (made if np.shares_memory(made, array) else None), layout.reshaped(tuple(shape))


@pytest.mark.parametrize("seed", range(60))
def test_views_of_views_show_what_numpy_shows(seed):
    rng = random.Random(seed)
    base = np.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    array, layout = base, Layout.contiguous(base.shape)
    for _ in range(4):
        made, shown = changed(rng, array, layout)
        assert (made is None) == (shown is None)
        if made is None:
            return
        array, layout = made, shown
        numbers = np.lib.stride_tricks.as_strided(
            base.ravel()[layout.offset :], layout.shape, tuple(step * base.itemsize for step in layout.strides)
        )
        assert np.array_equal(numbers, array)
        assert layout.in_order == (np.array_equal(array.ravel(), np.arange(array.size)))


def test_layouts_are_read_from_what_views_say():
    turned = Layout((3, 1, 2), (1, 7, 3), 5)
    op = Op("view", (TensorSpec((2, 9)),), (TensorSpec((3, 1, 2)),), detail=str(turned))
    assert str(Layout.of_view(op)) == str(turned) == "(1, 2, 3) from 5"  # of one place, a step does not count
    assert Layout.of_view(Op("view", (TensorSpec((6,)),), (TensorSpec((2, 3)),))) == Layout.contiguous((2, 3))
    assert Layout.of_view(Op("view", (TensorSpec((6,)),), (TensorSpec((2, 3)),), detail="written")) is None


def test_scalars_have_no_strides():
    assert Layout.contiguous(()) == Layout((), ())
    second = Layout((3,), (1,)).sliced(0, 1, 1, 1).without([0])
    assert (str(Layout((), ())), str(second)) == ("", "() from 1")
    op = Op("view", (TensorSpec((3,)),), (TensorSpec(()),), detail=str(second))
    assert Layout.of_view(op) == second
