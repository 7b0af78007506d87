"""Graphs with some of their nodes replaced or left out: what every pass ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.op import Op

__all__ = ["constants_without_input", "rewritten", "without_dead"]


def rewritten(graph: Graph, nodes: Mapping[int, Node | None], same: Mapping[int, int] | None = None) -> Graph:
    """Return a graph with other nodes.

    Parameters
    ----------
    graph : Graph
    nodes : mapping of int to Node or None
        For the number of a node what stands in its place; None leaves it out. A node may write fewer values than
        before, and reads values by their old numbers.
    same : mapping of int to int, optional
        For a value the one that its readers shall read instead. It may have a replacement of its own.

    Returns
    -------
    Graph
        With the stored tensors that are still read.
    """
    instead = dict(same or {})

    def resolved(value: int) -> int:
        while value in instead:
            value = instead[value]
        return value

    kept: list[Node] = []
    number = {value: value for value in range(len(graph.inputs))}
    free = len(graph.inputs)
    for place, (node, writes) in enumerate(graph.with_writes()):
        new = nodes.get(place, node)
        if new is None:
            continue
        reads = tuple(number[resolved(value)] for value in new.reads)
        kept.append(replace(new, reads=reads))
        for value in writes[: len(new.op.outputs)]:
            number[value] = free
            free += 1
    used = sorted({weight for node in kept for weight in node.weights})
    weight_number = {weight: place for place, weight in enumerate(used)}
    kept = [replace(node, weights=tuple(map(weight_number.__getitem__, node.weights))) for node in kept]
    outputs = [number[resolved(value)] for value in graph.outputs]
    return Graph(graph.inputs, kept, outputs, [graph.weights[weight] for weight in used])


def without_dead(graph: Graph) -> Graph:
    """Leave out the operators that no output depends on."""
    needed, dead = set(graph.outputs), dict[int, Node | None]()
    for place in range(len(graph) - 1, -1, -1):
        if needed.isdisjoint(graph.writes[place]):
            dead[place] = None
        else:
            needed.update(graph.nodes[place].reads)
    return rewritten(graph, dead) if dead else graph


def constants_without_input(graph: Graph) -> Graph:
    """Replace what depends on no input by constants; leave it out where nothing else reads it."""
    fixed, new = set[int](), dict[int, Node | None]()
    for place, (node, writes) in enumerate(graph.with_writes()):
        if fixed.issuperset(node.reads):
            fixed.update(writes)
            new[place] = Node(Op("constant", (), node.op.outputs), ())
    read = {value for place, node in enumerate(graph.nodes) if place not in new for value in node.reads}
    wanted = read.union(graph.outputs)
    for place, (_, writes) in enumerate(graph.with_writes()):
        if place in new and wanted.isdisjoint(writes):
            new[place] = None
    return rewritten(graph, new) if new else graph
