"""What a converter to an inference format leaves of a graph."""

from __future__ import annotations

from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.op import WEIGHTED, Op
from hwnas_surrogate.graphs.passes import plain_sum
from hwnas_surrogate.graphs.rewriting import constants_without_input, rewritten, without_dead

__all__ = ["folded"]

_OUTPUT = -1
"""Stands for the network's caller among the readers of a value."""


def folded(graph: Graph) -> Graph:
    """Leave out what a converter removes: multiplications by zero, sums with zeros, and what nothing reads then.

    A multiplication by zero becomes a constant, and sums with it are what is left of them. Only where every operator
    that reads a convolution (with its batch norm) multiplies it by zero, the first of these goes into the weights, so
    that the convolution still runs and its result is still added. Operators that read a constant zero run, other than
    views: the converter does not look through them. Outputs that depend on no input are constants.

    The rules have no parameters. They were found on latencies of TensorFlow Lite on a Raspberry Pi 4 and confirmed on a
    Pixel 3 (HW-NAS-Bench, NAS-Bench-201).
    """
    folding = _Folding(graph)
    for place, node in enumerate(graph.nodes):
        if node.op.kind == "zero":
            folding.fold_zero(place)
    left = without_dead(folding.graph())
    return left if left.reads_input else constants_without_input(left)


class _Folding:
    """A graph while its multiplications by zero are taken out, in order."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._same: dict[int, int] = {}
        self._new: dict[int, Node | None] = {}
        self._constant: set[int] = set()
        self._products: set[int] = set()
        self._writes = [writes[0] for writes in graph.writes]
        self._users = [list(readers) for readers in graph.readers]
        for value in graph.outputs:
            self._users[value].append(_OUTPUT)
        # A value is bare if a convolution writes it, perhaps through a batch norm that alone reads the convolution.
        self._bare: set[int] = set()
        for place, node in enumerate(graph.nodes):
            if node.op.kind in WEIGHTED or (node.op.kind == "batch_norm" and self._alone(node.reads[0])):
                self._bare.add(self._writes[place])

    def _alone(self, value: int) -> bool:
        return value in self._bare and len(self._users[value]) == 1

    def fold_zero(self, place: int) -> None:
        """Take out a multiplication by zero."""
        if self._new.get(place, ...) is None or self._writes[place] in self._constant:
            return
        value, made = self._resolved(self._graph.nodes[place].reads[0]), self._writes[place]
        readers = self._users[value]
        only_zeros = all(user != _OUTPUT and self._graph.nodes[user].op.kind == "zero" for user in readers)
        if value in self._bare and only_zeros:
            self._bare.discard(value)  # its weights are zeros now, for what reads the product
            self._bare.add(made)
            self._products.add(made)
            self._same[made] = value
            self._new[place] = None
            self._users[value] = [user for user in readers if user != place]
        else:
            self._becomes_constant(place)

    def graph(self) -> Graph:
        """Return what is left."""
        return rewritten(self._graph, self._new, self._same)

    def _resolved(self, value: int) -> int:
        """Return what a sum that lost its other term is; a multiplication that went into weights stays itself."""
        while value in self._same and value not in self._products:
            value = self._same[value]
        return value

    def _becomes_constant(self, place: int) -> None:
        node, made = self._graph.nodes[place], self._writes[place]
        self._constant.add(made)
        self._new[place] = Node(Op("constant", (), node.op.outputs[:1]), ())
        for value in map(self._resolved, node.reads):
            self._users[value] = [user for user in self._users[value] if user != place]
        for user in list(self._users[made]):
            if user != _OUTPUT and self._new.get(user, ...) is not None:
                self._reads_constant(user)

    def _reads_constant(self, place: int) -> None:
        """Take out a sum with a constant zero, or a view of one."""
        node = self._graph.nodes[place]
        left = [value for value in map(self._resolved, node.reads) if value not in self._constant]
        if node.op.kind not in ("view", "zero") and not plain_sum(node.op):
            return
        if not left:
            self._becomes_constant(place)
        elif node.op.kind == "add" and len(left) == 1 and self._graph.values[left[0]] == node.op.outputs[0]:
            self._same[self._writes[place]] = left[0]
            self._new[place] = None
            users = [user for user in self._users[left[0]] if user != place]
            self._users[left[0]] = users + self._users[self._writes[place]]
