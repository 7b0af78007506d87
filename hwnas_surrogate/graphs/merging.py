"""Common subexpression elimination: run equal operators on equal values once."""

from __future__ import annotations

import numpy as np

from hwnas_surrogate.graphs.flat import Flat, applied, resolved
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.numbering import Bools, Ints, distinct_rows, spans
from hwnas_surrogate.graphs.op import Op
from hwnas_surrogate.graphs.passes import plain_sum

__all__ = ["flat_merged", "merged"]

_NEVER_EQUAL = frozenset({"dropout", "constant"})
"""Kinds whose results may differ for equal inputs: random numbers, and numbers stored elsewhere."""


def merged(graph: Graph) -> Graph:
    """Run equal operators on equal values once (common subexpression elimination).

    Two convolutions that read the same value have different weights and stay separate; the ReLUs before them become
    one. The order of the inputs of an ``add`` or ``mul`` does not matter. Operators that draw random numbers are never
    equal.
    """
    return applied(flat_merged, graph)


def flat_merged(flat: Flat) -> Flat:
    """Apply :func:`merged` to many graphs.

    Equal nodes become one; this repeats until no nodes are equal.
    """
    keep, same, into = np.ones(len(flat), bool), np.arange(flat.n_values), np.arange(len(flat))
    while True:
        again, first = _equal_nodes(flat, keep, same[flat.reads])
        if not len(again):
            return flat if keep.all() else flat.rewritten(keep, same=same, into=into)
        keep[again] = False
        into[again] = first
        into = resolved(into)
        same[_written(flat, again)] = _written(flat, first)
        same = resolved(same)


def _written(flat: Flat, nodes: Ints) -> Ints:
    return spans(flat.first_written[nodes], flat.n_written[nodes])


def _equal_nodes(flat: Flat, keep: Bools, reads: Ints) -> tuple[Ints, Ints]:
    """Return the nodes that are equal to an earlier one, and the first equal node of each."""
    # Equal nodes read the same values, so these are read twice. That leaves few nodes to compare.
    may = keep & ~flat.is_of(_NEVER_EQUAL)
    for node, value in ((flat.reader, reads), flat.uses):
        times = np.bincount(value[keep[node]])
        may[node[keep[node]][times[value[keep[node]]] == 1]] = False
    nodes = np.flatnonzero(may)
    columns = [flat.op[nodes], flat.graph[nodes]]
    rank = np.cumsum(may) - 1
    for node, value, place in (_in_order(flat, may, reads), (*flat.uses, flat.which_use)):
        kept = may[node]
        node, value, place = rank[node[kept]], value[kept], place[kept]
        for number in range(place.max(initial=-1) + 1):
            columns.append(np.zeros(len(nodes), np.intp))
            columns[-1][node[place == number]] = value[place == number]
    first, which = distinct_rows(*columns)
    again = first[which] != np.arange(len(nodes))
    return nodes[again], nodes[first[which[again]]]


def _in_order(flat: Flat, may: Bools, reads: Ints) -> tuple[Ints, Ints, Ints]:
    """Return readers, the values they read, and the positions; sums and products read values in ascending order."""
    kept = may[flat.reader]
    reader, reads = flat.reader[kept], reads[kept]
    place = np.flatnonzero(kept) - flat.first_edge[reader]
    order = np.lexsort((np.where(flat.each(_commutes)[reader], reads, place), reader))
    return reader, reads[order], place


def _commutes(op: Op) -> bool:
    return plain_sum(op) or op.kind == "mul"
