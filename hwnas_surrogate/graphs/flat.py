"""Many graphs as one, for passes: operators by number, edges as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, TypeVar

import numpy as np

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.numbering import Bools, Ints, Numbers, n_inputs, n_outputs, n_stored, spans
from hwnas_surrogate.graphs.op import Op, TensorSpec
from hwnas_surrogate.graphs.tracing import Trace

__all__ = ["Edges", "Flat", "applied", "flattened", "resolved"]

Edges = tuple[Ints, Ints]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Flat:
    """n graphs side by side, with nodes and values numbered consecutively.

    Values: first the inputs of all graphs, then what each node writes, node by node. Nothing is validated: graphs are
    validated when they are made, and passes keep them valid.

    Parameters
    ----------
    numbers : Numbers
        The operators and tensors that the numbers refer to.
    n : int
        The number of graphs.
    op, graph : ndarray of int, shape (nodes,)
        The operator of each node, and its graph, ascending.
    reader, reads : ndarray of int, shape (edges,)
        A node, ascending, and a value that it reads.
    user, weights : ndarray of int, shape (uses,)
        A node, ascending, and a stored tensor that it reads. These may be omitted if operators are only counted.
    inputs, input_graph : ndarray of int, shape (inputs,)
        The tensor of each input, and its graph.
    outputs, output_graph : ndarray of int, shape (outputs,)
        The values that the graphs return, and the graph of each.
    stored : sequence of TensorSpec
        The stored tensors of all graphs, graph by graph.
    trace : Trace, optional
        Which nodes these were before passes; None if nobody asks.

    Examples
    --------
    Two graphs: a ReLU of an input, and the sum of an input with its ReLU. The inputs are the values 0 and 1.

    >>> from hwnas_surrogate.graphs import GraphBuilder
    >>> one, two = GraphBuilder(), GraphBuilder()
    >>> x, y = one.input((1, 4)), two.input((1, 4))
    >>> flat = flattened([one.graph(one.relu(x)), two.graph(two.add(y, two.relu(y)))])
    >>> flat.op.tolist(), flat.graph.tolist()
    ([0, 0, 1], [0, 1, 1])
    >>> list(zip(flat.reader.tolist(), flat.reads.tolist()))
    [(0, 0), (1, 1), (2, 1), (2, 3)]
    >>> flat.outputs.tolist()
    [2, 4]
    """

    numbers: Numbers
    n: int
    op: Ints
    graph: Ints
    reader: Ints
    reads: Ints
    user: Ints
    weights: Ints
    inputs: Ints
    input_graph: Ints
    outputs: Ints
    output_graph: Ints
    stored: Sequence[TensorSpec]
    trace: Trace | None = None

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.op)

    @property
    def edges(self) -> Edges:
        """The edges: ``reader, reads``."""
        return self.reader, self.reads

    @property
    def uses(self) -> Edges:
        """The uses of stored tensors: ``user, weights``."""
        return self.user, self.weights

    @property
    def n_values(self) -> int:
        """The number of values."""
        return len(self.writer)

    @cached_property
    def n_written(self) -> Ints:
        """The number of values that each node writes, shape (nodes,)."""
        return self.numbers.each(n_outputs)[self.op]

    @cached_property
    def first_written(self) -> Ints:
        """The first value that each node writes, shape (nodes,)."""
        return len(self.inputs) + np.cumsum(self.n_written) - self.n_written

    @cached_property
    def writer(self) -> Ints:
        """The node that writes each value, shape (values,); -1 for inputs."""
        written = np.repeat(np.arange(len(self)), self.n_written)
        return np.concatenate([np.full(len(self.inputs), -1), written])

    @cached_property
    def spec(self) -> Ints:
        """The tensor of each value, shape (values,)."""
        specs, starts = self.numbers.written()
        return np.concatenate([self.inputs, specs[spans(starts[self.op], self.n_written)]])

    @cached_property
    def times_read(self) -> Ints:
        """How often each value is read, including by the network's caller, shape (values,)."""
        return np.bincount(np.concatenate([self.reads, self.outputs]), minlength=self.n_values)

    @cached_property
    def first_edge(self) -> Ints:
        """Where the edges of each node begin, and the end of the last, shape (nodes + 1,)."""
        return np.searchsorted(self.reader, np.arange(len(self) + 1))

    @cached_property
    def first_use(self) -> Ints:
        """Where the uses of stored tensors of each node begin, and the end of the last, shape (nodes + 1,)."""
        return np.searchsorted(self.user, np.arange(len(self) + 1))

    @property
    def which_use(self) -> Ints:
        """The position of each use among the uses of its node, shape (uses,)."""
        return np.arange(len(self.user)) - self.first_use[self.user]

    @cached_property
    def by_value(self) -> tuple[Ints, Ints]:
        """The edges sorted by the value read, and where those of each value begin, shape (values + 1,)."""
        order = np.argsort(self.reads, kind="stable")
        return order, np.searchsorted(self.reads[order], np.arange(self.n_values + 1))

    def is_of(self, kinds: frozenset[str]) -> Bools:
        """Return whether each node's kind is one of some kinds, shape (nodes,)."""
        return self.numbers.kind_in(kinds)[self.op]

    def each(self, figure: Callable[[Op], bool]) -> Bools:
        """Return a property of each node's operator, shape (nodes,)."""
        return self.numbers.each(figure).astype(bool)[self.op]

    def n_reads(self, which: Bools | None = None) -> Ints:
        """Return the number of edges of each node, optionally within a mask, shape (nodes,)."""
        return np.bincount(self.reader if which is None else self.reader[which], minlength=len(self))

    def of_nodes(self, figure: Ints) -> Ints:
        """Sum a figure of values over those that each node writes, shape (nodes,)."""
        return np.bincount(self.writer[len(self.inputs) :], figure[len(self.inputs) :], len(self)).astype(np.intp)

    def without_weights(self) -> Flat:
        """Omit the stored tensors that nodes read, which counting operators does not need."""
        none = np.empty(0, np.intp)
        return replace(self, user=none, weights=none, stored=())

    def rewritten(
        self,
        keep: Bools,
        op: Ints | None = None,
        edges: Edges | None = None,
        uses: Edges | None = None,
        same: Ints | None = None,
        moved: tuple[Ints, Ints, Ints] | None = None,
        into: Ints | None = None,
    ) -> Flat:
        """Return the graphs with only some of the nodes, in the same order.

        Parameters
        ----------
        keep : ndarray of bool, shape (nodes,)
        op : ndarray of int, shape (nodes,), optional
            New operators. They may write fewer values than before, or more.
        edges, uses : pair of ndarray of int, optional
            New ``reader, reads`` and ``user, weights``, by the old numbers of nodes and values. Edges and uses of
            removed nodes are dropped.
        same : ndarray of int, shape (values,), optional
            For each value, the one that its readers read instead, which may be replaced in turn.
        moved : three ndarrays of int, optional
            Values that other nodes write now, these nodes, and the places among what they write.
        into : ndarray of int, shape (nodes,), optional
            For each removed node, the kept one that it is a part of now, or -1.

        Raises
        ------
        InvalidGraphError
            If a graph has no nodes left, or a node reads a value that was removed.
        """
        nodes = np.flatnonzero(keep)
        graph = self.graph[nodes]
        if not np.bincount(graph, minlength=self.n).all():
            raise InvalidGraphError("a graph has at least one operator, got none.")
        op = self.op[nodes] if op is None else op[nodes]
        written = self.numbers.each(n_outputs)[op]
        number = np.full(self.n_values, -1)
        number[: len(self.inputs)] = np.arange(len(self.inputs))
        first, n_kept = len(self.inputs) + np.cumsum(written) - written, np.minimum(written, self.n_written[nodes])
        number[spans(self.first_written[nodes], n_kept)] = spans(first, n_kept)
        if moved is not None:
            values, writers, places = moved
            number[values] = first[np.searchsorted(nodes, writers)] + places
        if same is not None:
            number = number[resolved(same)]
        reader, reads = _of_kept(edges or self.edges, keep)
        user, weights = _of_kept(uses or self.uses, keep)
        reads, outputs = number[reads], number[self.outputs]
        if min(reads.min(initial=0), outputs.min(initial=0)) < 0:
            raise InvalidGraphError("an operator reads one of the further outputs of an operator that is left out.")
        trace = None if self.trace is None else self.trace.kept(keep, into)
        return replace(
            self,
            op=op,
            graph=graph,
            reader=reader,
            reads=reads,
            user=user,
            weights=weights,
            outputs=outputs,
            trace=trace,
        )

    def graphs(self) -> list[Graph]:
        """Return the graphs one by one, each with the stored tensors that it reads."""
        ops, specs = self.numbers.ops, self.numbers.specs
        first_node, first_input, first_output = (
            np.searchsorted(of, np.arange(self.n + 1)) for of in (self.graph, self.input_graph, self.output_graph)
        )
        # A graph numbers its inputs first, then what it writes.
        first_written = self.first_written[first_node[:-1]] - np.diff(first_input)

        def own(values: Ints, graph: Ints) -> Ints:
            return values - np.where(values < len(self.inputs), first_input[graph], first_written[graph])

        used, use, weights = np.unique(self.weights, return_index=True, return_inverse=True)
        first_used = np.searchsorted(self.graph[self.user[use]], np.arange(self.n + 1))
        reads = _split(own(self.reads, self.graph[self.reader]).tolist(), self.first_edge)
        stored = _split((weights - first_used[self.graph[self.user]]).tolist(), self.first_use)
        nodes = [Node(ops[op], *read) for op, *read in zip(self.op.tolist(), reads, stored, strict=True)]
        content = zip(
            _split([specs[spec] for spec in self.inputs.tolist()], first_input),
            _split(nodes, first_node),
            _split(own(self.outputs, self.output_graph).tolist(), first_output),
            _split([self.stored[weight] for weight in used.tolist()], first_used),
            strict=True,
        )
        return [Graph.trusted(*of) for of in content]


def _split(entries: list[T], begins: Ints) -> list[tuple[T, ...]]:
    return [tuple(entries[start:end]) for start, end in pairwise(begins.tolist())]


def flattened(graphs: Sequence[Graph], numbers: Numbers | None = None) -> Flat:
    """Return graphs side by side."""
    numbers = Numbers() if numbers is None else numbers
    nodes = [node for graph in graphs for node in graph.nodes]
    op = numbers.of([node.op for node in nodes])
    graph, _ = _numbered([graph.nodes for graph in graphs])
    input_graph, first_input = _numbered([graph.inputs for graph in graphs])
    output_graph, _ = _numbered([graph.outputs for graph in graphs])
    _, first_stored = _numbered([graph.weights for graph in graphs])
    reader, reads = _edges([node.reads for node in nodes], numbers.each(n_inputs)[op])
    user, weights = _edges([node.weights for node in nodes], numbers.each(n_stored)[op])
    # A graph numbers its inputs first, then what it writes.
    n_own = np.bincount(input_graph, minlength=len(graphs))
    written = np.bincount(graph, numbers.each(n_outputs)[op], len(graphs)).astype(np.intp)
    first_written = len(input_graph) + np.cumsum(written) - written - n_own

    def through(values: Ints, of: Ints) -> Ints:
        return values + np.where(values < n_own[of], first_input[of], first_written[of])

    outputs = np.fromiter(chain.from_iterable(graph.outputs for graph in graphs), np.intp)
    return Flat(
        numbers, len(graphs), op, graph, reader, through(reads, graph[reader]),
        user, weights + first_stored[graph[user]],
        numbers.of_specs([spec for graph in graphs for spec in graph.inputs]), input_graph,
        through(outputs, output_graph), output_graph,
        [spec for graph in graphs for spec in graph.weights],
    )  # fmt: skip


def _numbered(lists: Sequence[Sequence[Any]]) -> tuple[Ints, Ints]:
    """Return for each entry of some lists the list, and where each list begins among all entries."""
    lengths = np.array(list(map(len, lists)), np.intp)
    return np.repeat(np.arange(len(lists)), lengths), np.cumsum(lengths) - lengths


def applied(run: Callable[[Flat], Flat], graph: Graph) -> Graph:
    """Apply a pass for many graphs to one."""
    return run(flattened([graph])).graphs()[0]


def resolved(same: Ints) -> Ints:
    """Follow chains of replacements to their ends, shape (values,)."""
    while not np.array_equal(further := same[same], same):
        same = further
    return same


def _edges(numbers: list[tuple[int, ...]], lengths: Ints) -> Edges:
    return np.repeat(np.arange(len(numbers)), lengths), np.fromiter(chain.from_iterable(numbers), np.intp)


def _of_kept(edges: Edges, keep: Bools) -> Edges:
    """Drop the edges of removed nodes, and renumber the nodes of the others."""
    node, value = edges
    if keep.all():
        return edges
    kept = keep[node]
    return (np.cumsum(keep) - 1)[node[kept]], value[kept]
