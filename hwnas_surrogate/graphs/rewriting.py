"""Remove nodes from graphs or replace them by constants, for several passes."""

from __future__ import annotations

import numpy as np

from hwnas_surrogate.graphs.flat import Edges, Flat
from hwnas_surrogate.graphs.numbering import Bools, Ints, Numbers, spans
from hwnas_surrogate.graphs.op import Op

__all__ = ["constants_without_input", "spread", "with_constants", "without_dead"]


def spread(flat: Flat, start: Bools, through: Bools) -> Bools:
    """Mark nodes, and then every candidate node that reads only values of marked nodes.

    Parameters
    ----------
    flat : Flat
    start, through : ndarray of bool, shape (nodes,)
        The nodes marked from the beginning, and the candidates.

    Returns
    -------
    ndarray of bool, shape (nodes,)
    """
    marked, fresh = start.copy(), np.flatnonzero(start)
    waits_for = flat.n_reads()
    while len(fresh):
        order, begins = flat.by_value
        values = spans(flat.first_written[fresh], flat.n_written[fresh])
        readers = flat.reader[order[spans(begins[values], begins[values + 1] - begins[values])]]
        np.subtract.at(waits_for, readers, 1)
        fresh = np.unique(readers[(waits_for[readers] == 0) & through[readers] & ~marked[readers]])
        marked[fresh] = True
    return marked


def with_constants(flat: Flat, constant: Bools, keep: Bools, same: Ints | None = None, n_outputs: int = 0) -> Flat:
    """Replace some nodes by constants, and remove others.

    Parameters
    ----------
    flat : Flat
    constant, keep : ndarray of bool, shape (nodes,)
        The nodes that become constants, and those that are not removed.
    same : ndarray of int, shape (values,), optional
        For each value, the one that its readers read instead.
    n_outputs : int, default=0
        Maximum number of values that a constant writes; as many as the node if 0.
    """
    op = flat.op.copy()
    op[constant] = flat.numbers.made(_constant, op[constant], np.full(constant.sum(), n_outputs))
    return flat.rewritten(keep, op, _of_others(flat.edges, constant), _of_others(flat.uses, constant), same)


def _of_others(edges: Edges, which: Bools) -> Edges:
    node, value = edges
    others = ~which[node]
    return node[others], value[others]


def _constant(numbers: Numbers, op: int, n_outputs: int) -> int:
    return numbers.of_op(Op("constant", (), numbers.ops[op].outputs[: n_outputs or None]))


def without_dead(flat: Flat) -> Flat:
    """Remove the operators that no output depends on."""
    readers = flat.of_nodes(flat.times_read)
    begins = flat.first_edge
    alive = readers > 0
    fresh = np.flatnonzero(~alive)
    while len(fresh):
        writers = flat.writer[flat.reads[spans(begins[fresh], begins[fresh + 1] - begins[fresh])]]
        writers = writers[writers >= 0]
        np.subtract.at(readers, writers, 1)
        fresh = np.unique(writers[readers[writers] == 0])
        alive[fresh] = False
    return flat if alive.all() else flat.rewritten(alive)


def constants_without_input(flat: Flat, of: Bools | None = None) -> Flat:
    """Replace nodes that depend on no input by constants; remove those that no other node reads.

    Parameters
    ----------
    flat : Flat
    of : ndarray of bool, shape (n,), optional
        The graphs to change; all if None.
    """
    here = np.ones(len(flat), bool) if of is None else of[flat.graph]
    fixed = spread(flat, (flat.n_reads() == 0) & here, here)
    if not fixed.any():
        return flat
    wanted = np.bincount(flat.reads[~fixed[flat.reader]], minlength=flat.n_values)
    wanted[flat.outputs] += 1
    return with_constants(flat, fixed, ~fixed | (flat.of_nodes(wanted) > 0))
