"""Views that inference engines copy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwnas_surrogate.graphs.flat import Flat
from hwnas_surrogate.graphs.layouts import Layout
from hwnas_surrogate.graphs.numbering import Bools, Ints, Numbers, distinct_rows
from hwnas_surrogate.graphs.op import Op, TensorSpec

__all__ = ["moved"]

_COPY = frozenset({"copy"})


def moved(flat: Flat) -> Flat:
    """Replace views that do not show all numbers of a value in order by copies, unless only copies read them.

    Products of two values exchange the last two dimensions by themselves. Parts of one value with the same strides are
    copied by one operator.
    """
    views = flat.each(_shows_other_order)
    if not views.any():
        return flat
    views &= _read_as_it_is_shown(flat, flat.is_of(_COPY))
    turned = flat.each(_exchanges_last)
    views &= ~turned | _read_as_it_is_shown(flat, flat.each(_multiplies_values))
    op = flat.op.copy()
    op[views] = flat.numbers.made(_as_copy, op[views])
    return _split(replace(flat, op=op), np.flatnonzero(views & flat.each(_is_part)))


def _read_as_it_is_shown(flat: Flat, but_by: Bools) -> Bools:
    """Return whether others than some nodes read what each node writes first, or the network returns it."""
    times = np.bincount(flat.reads[~but_by[flat.reader]], minlength=flat.n_values)
    times[flat.outputs] += 1
    read: Bools = times[flat.first_written] > 0
    return read


def _split(flat: Flat, parts: Ints) -> Flat:
    """Copy the parts of each value by the first of the nodes that copy one, in the order of their places."""
    value = flat.reads[flat.first_edge[:-1][parts]]
    layout = flat.numbers.made(_steps, flat.op[parts])
    first, which = distinct_rows(value, layout)
    several = np.flatnonzero(np.bincount(which) > 1)
    if not len(several):
        return flat
    op, keep, into = flat.op.copy(), np.ones(len(flat), bool), np.arange(len(flat))
    values, writers, places = list[Ints](), list[Ints](), list[Ints]()
    offset = flat.numbers.made(_offset, flat.op[parts])
    for group in several.tolist():
        members = np.flatnonzero(which == group)
        members = members[np.argsort(offset[members], kind="stable")]
        writer = parts[first[group]]
        op[writer] = _together(flat.numbers, flat.op[parts[members]].tolist())
        keep[parts[members]] = False
        keep[writer] = True
        into[parts[members]] = writer
        values.append(flat.first_written[parts[members]])
        writers.append(np.full(len(members), writer))
        places.append(np.arange(len(members)))
    moves = np.concatenate(values), np.concatenate(writers), np.concatenate(places)
    return flat.rewritten(keep, op, moved=moves, into=into)


def _layout(op: Op) -> Layout | None:
    described = op.kind in ("view", "copy") and len(op.inputs) == 1 and not op.buffers
    return Layout.of_view(op) if described else None


def _shows_other_order(op: Op) -> bool:
    """Return whether a view shows numbers in another order, or not all of them."""
    layout = _layout(op) if op.kind == "view" else None
    return layout is not None and (not layout.in_order or op.outputs[0].bytes < op.inputs[0].bytes)


def _exchanges_last(op: Op) -> bool:
    """Return whether a view only exchanges the last two dimensions, as a matrix product can by itself."""
    layout = _layout(op)
    if layout is None or len(layout.shape) < 2 or op.outputs[0].bytes != op.inputs[0].bytes:
        return False
    rank = len(layout.shape)
    return layout.permuted((*range(rank - 2), rank - 1, rank - 2)).in_order


def _multiplies_values(op: Op) -> bool:
    return op.kind == "matmul" and len(op.inputs) > 1


def _is_part(op: Op) -> bool:
    """Return whether numbers stay in their order, with gaps between them."""
    layout = _layout(op)
    steps = [] if layout is None else [step for n, step in zip(layout.shape, layout.strides, strict=True) if n > 1]
    return bool(steps) and all(steps) and steps == sorted(steps, reverse=True)


def _as_copy(numbers: Numbers, op: int) -> int:
    return numbers.of_op(replace(numbers.ops[op], kind="copy"))


def _steps(numbers: Numbers, op: int) -> int:
    """Return a number for the strides, which count where there are several places: that of a tensor with such sizes."""
    layout = _layout(numbers.ops[op])
    if layout is None:
        return -1
    steps = [step if n > 1 else 0 for n, step in zip(layout.shape, layout.strides, strict=True)]
    return numbers.of_spec(TensorSpec.of(tuple(steps)))


def _offset(numbers: Numbers, op: int) -> int:
    layout = _layout(numbers.ops[op])
    return 0 if layout is None else layout.offset


def _together(numbers: Numbers, ops: list[int]) -> int:
    """Return the operator that makes several copies of one value."""
    copies = [numbers.ops[op] for op in ops]
    outputs = tuple(spec for copy in copies for spec in copy.outputs)
    return numbers.of_op(replace(copies[0], outputs=outputs, detail=", ".join(copy.detail for copy in copies)))
