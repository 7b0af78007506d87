"""Views of a network: which of its operators count, and what each node of it became."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.graphs.flat import Flat, applied, flattened
from hwnas_surrogate.graphs.folding import flat_folded
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.merging import flat_merged
from hwnas_surrogate.graphs.numbering import Ints
from hwnas_surrogate.graphs.op import Op
from hwnas_surrogate.graphs.passes import batch_norms_folded, flat_fused, flat_live
from hwnas_surrogate.graphs.quantizing import flat_quantized
from hwnas_surrogate.graphs.tracing import Trace

__all__ = ["PASSES", "VIEWS", "Traced", "View", "checked_view", "in_turn", "traced", "traced_together"]

View: TypeAlias = Literal["all", "live", "folded", "fused", "quantized"]

PASSES: Mapping[str, tuple[Callable[[Flat], Flat], ...]] = MappingProxyType(
    {
        "all": (batch_norms_folded,),
        "live": (flat_live, batch_norms_folded),
        "folded": (flat_folded, batch_norms_folded),
        "fused": (flat_merged, flat_fused),
        "quantized": (flat_merged, flat_quantized),
    }
)
"""The passes of each view, in order."""


def in_turn(passes: Iterable[Callable[[Flat], Flat]], flat: Flat) -> Flat:
    """Apply passes one after the other."""
    return reduce(lambda of, run: run(of), passes, flat)


VIEWS: Mapping[str, Callable[[Graph], Graph]] = MappingProxyType(
    {view: partial(applied, partial(in_turn, passes)) for view, passes in PASSES.items()}
)
"""A view selects the operators that count; in every view a batch norm is part of the convolution before it.

``all``: every operator that is called. ``live``: those that change an output. ``folded``: those that a converter keeps.
``fused``: those that an inference engine runs, with equal operators merged and neighbours fused. ``quantized``: as
quantized to int8.
"""


def checked_view(view: str) -> str:
    """Return a view's name, or raise :class:`InvalidInputError` if it is unknown."""
    if not isinstance(view, str) or view not in VIEWS:
        raise unknown(InvalidInputError, "view", view, VIEWS)
    return view


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """The m operators of a graph of n nodes in a view, and what became of the nodes.

    Parameters
    ----------
    ops : tuple of Op
        The m operators that run in the view, in order.
    serves : ndarray of int, shape (m,)
        The node that each operator is: the first of those that it computes. Conversions of a quantized network belong
        to the node that they convert for.
    follows : ndarray of int, shape (m,)
        The node whose result each operator reads, the last one if there are several; -1 if it reads only inputs of the
        network and constants.
    became : ndarray of int, shape (n,)
        The node that each node is a part of: itself if it is on its own, -1 if the view removes it.

    Examples
    --------
    >>> from hwnas_surrogate.graphs import GraphBuilder
    >>> build = GraphBuilder()
    >>> conv = build.conv(build.input((1, 3, 8, 8)), 8, 3)
    >>> graph = build.graph(build.relu(build.batch_norm(conv)))
    >>> fused = traced(graph, "fused")
    >>> [op.fused for op in fused.ops], fused.serves.tolist(), fused.became.tolist()
    ([('batch_norm', 'relu')], [0], [0, 0, 0])
    """

    ops: tuple[Op, ...]
    serves: Ints
    follows: Ints
    became: Ints


def traced(graph: Graph, view: View) -> Traced:
    """Return the operators of a graph in a view, with the nodes that they come from.

    Raises
    ------
    InvalidInputError
        If there is no such view.
    InvalidGraphError
        If the network can't run in this view.
    """
    return traced_together([graph], view)[0]


def traced_together(graphs: Sequence[Graph], view: View) -> list[Traced]:
    """Return what :func:`traced` returns for each of n graphs, in less than half of the time.

    Raises
    ------
    InvalidInputError
        If there is no such view.
    InvalidGraphError
        If one of the networks can't run in this view.
    """
    first_node = np.cumsum([0, *map(len, graphs)])
    before = replace(flattened(graphs), trace=Trace.start(int(first_node[-1])))
    flat = in_turn(PASSES[checked_view(view)], before)
    trace = flat.trace
    assert trace is not None
    # A fused operator stands for the first of the nodes that it computes.
    first = np.full(first_node[-1] + 1, -1)
    nodes = np.flatnonzero(trace.became >= 0)[::-1]
    first[trace.became[nodes]] = nodes  # the last assignment wins: the first node
    serves = first[trace.became[trace.origin]]
    last, writer = np.full(len(flat), -1), flat.writer[flat.reads]
    computed = (writer >= 0) & ~flat.is_of(frozenset({"constant"}))[writer]
    np.maximum.at(last, flat.reader[computed], writer[computed])
    follows, became = np.append(serves, -1)[last], first[trace.became]
    ops = [flat.numbers.ops[op] for op in flat.op.tolist()]
    first_op = np.searchsorted(flat.graph, np.arange(len(graphs) + 1))

    def own(nodes: Ints, start: int) -> Ints:
        return np.where(nodes < 0, -1, nodes - start)

    places = zip(pairwise(first_op.tolist()), pairwise(first_node.tolist()), strict=True)
    return [
        Traced(tuple(ops[op:end]), own(serves[op:end], node), own(follows[op:end], node), own(became[node:stop], node))
        for (op, end), (node, stop) in places
    ]
