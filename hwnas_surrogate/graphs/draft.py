"""A graph whose operators are replaced by others, one pattern after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.op import TensorSpec

__all__ = ["Draft", "Replacement", "Rule", "rewritten"]

_MOST_SWEEPS = 20
"""Patterns within patterns are this deep at most."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Nodes in place of others.

    Parameters
    ----------
    root : int
        The node whose result stays, with its shape.
    instead_of : frozenset of int
        The nodes that are left out, with the root; nothing else reads what the others write.
    nodes : tuple of Node
        The new ones; the last writes the result. They read what the old ones read, by its number; -1 is what the first
        of them writes, -2 what the second writes, and so on.
    stored : mapping of int to TensorSpec, optional
        Stored tensors that get another shape.
    """

    root: int
    instead_of: frozenset[int]
    nodes: tuple[Node, ...]
    stored: Mapping[int, TensorSpec] | None = None


class Draft:
    """A graph with what rules ask for: who writes and who reads each value.

    Parameters
    ----------
    graph : Graph
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.writer = [-1] * len(graph.inputs)
        for place, node in enumerate(graph.nodes):
            self.writer += [place] * len(node.op.outputs)
        self._returned = Counter(graph.outputs)
        self._users = Counter(weight for node in graph.nodes for weight in node.weights)

    def node_of(self, value: int) -> Node | None:
        """Return the node that writes a value; None for an input."""
        place = self.writer[value]
        return self.graph.nodes[place] if place >= 0 else None

    def written(self, place: int) -> int:
        """Return the first value that a node writes."""
        return self.graph.writes[place][0]

    def spec(self, value: int) -> TensorSpec:
        """Return the shape and number format of a value."""
        return self.graph.values[value]

    def times_read(self, value: int) -> int:
        """Return how often a value is read, including by the network's caller."""
        return len(self.graph.readers[value]) + self._returned[value]

    def only_use(self, weight: int) -> bool:
        """Return whether a stored tensor is read once."""
        return self._users[weight] == 1

    def stays_inside(self, root: int, places: Collection[int]) -> bool:
        """Return whether nothing but some nodes reads what they write, except for the root."""
        for place in places:
            if place == root:
                continue
            for value in self.graph.writes[place]:
                if self._returned[value] or any(reader not in places for reader in self.graph.readers[value]):
                    return False
        return True

    def with_replacements(self, replacements: Iterable[Replacement]) -> Graph:
        """Return the graph with other nodes."""
        by_root = {one.root: one for one in replacements}
        left_out = {place for one in by_root.values() for place in one.instead_of}
        weights = list(self.graph.weights)
        number = dict(enumerate(range(len(self.graph.inputs))))
        free, nodes = len(number), list[Node]()
        for place, (node, writes) in enumerate(self.graph.with_writes()):
            if place in left_out and place not in by_root:
                continue
            new = by_root[place].nodes if place in by_root else (node,)
            made: list[int] = []
            for one in new:
                reads = tuple(number[value] if value >= 0 else made[-1 - value] for value in one.reads)
                nodes.append(Node(one.op, reads, one.weights))
                made.append(free)
                free += len(one.op.outputs)
            number.update(zip(writes, range(made[-1], free), strict=False))
        for replacement in by_root.values():
            for weight, spec in (replacement.stored or {}).items():
                weights[weight] = spec
        return Graph(self.graph.inputs, nodes, [number[value] for value in self.graph.outputs], weights)


Rule = Callable[[Draft, int], Replacement | None]
"""Returns what replaces a node and others before it, or None."""


def rewritten(graph: Graph, rules: Mapping[str, Sequence[Rule]]) -> Graph:
    """Apply rules, given by the kind of the node that they may replace, until none applies."""
    for _ in range(_MOST_SWEEPS):
        draft, taken, found = Draft(graph), set[int](), list[Replacement]()
        for place, node in enumerate(graph.nodes):
            for rule in rules.get(node.op.kind, ()):
                one = rule(draft, place)
                if one is not None and taken.isdisjoint(one.instead_of):
                    taken |= one.instead_of
                    found.append(one)
                    break
        if not found:
            break
        graph = draft.with_replacements(found)
    return graph
