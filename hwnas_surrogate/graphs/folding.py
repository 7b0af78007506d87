"""Constant folding, as a converter to an inference format does it."""

from __future__ import annotations

import numpy as np

from hwnas_surrogate.graphs.flat import Flat, applied
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.numbering import Bools
from hwnas_surrogate.graphs.op import WEIGHTED
from hwnas_surrogate.graphs.passes import plain_sum
from hwnas_surrogate.graphs.rewriting import constants_without_input, with_constants, without_dead

__all__ = ["flat_folded", "folded"]

_OUTPUT = -1
"""Stands for the network's caller among the readers of a value."""


def folded(graph: Graph) -> Graph:
    """Remove the operators that a converter removes: multiplications by zero, sums with zeros, and unused operators.

    A multiplication by zero becomes a constant, and a sum with it becomes its other terms. There is one exception: if
    every operator that reads a convolution (with its batch norm) multiplies it by zero, the first of these is folded
    into the weights, so that the convolution still runs and its result is still added. Other operators that read a
    constant zero still run, except views. Outputs that depend on no input are constants.

    The rules have no parameters. They were found on latencies of TensorFlow Lite on a Raspberry Pi 4 and confirmed on a
    Pixel 3 (HW-NAS-Bench, NAS-Bench-201).
    """
    return applied(flat_folded, graph)


def flat_folded(flat: Flat) -> Flat:
    """Apply :func:`folded` to many graphs."""
    zeros = np.flatnonzero(flat.is_of(frozenset({"zero"})))
    if len(zeros):
        folding = _Folding(flat)
        for place in zeros.tolist():
            folding.fold_zero(place)
        flat = folding.left()
    flat = without_dead(flat)
    # Every remaining node leads to an output.
    reads_input = np.zeros(flat.n, bool)
    reads_input[flat.graph[flat.reader[flat.reads < len(flat.inputs)]]] = True
    reads_input[flat.output_graph[flat.outputs < len(flat.inputs)]] = True
    return flat if reads_input.all() else constants_without_input(flat, ~reads_input)


class _Folding:
    """The state of graphs while their multiplications by zero are removed, in order."""

    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        self._same: dict[int, int] = {}
        self._left_out: set[int] = set()
        self._constant: set[int] = set()
        self._products: set[int] = set()
        self._changed_users: dict[int, list[int]] = {}
        self._writes = flat.first_written.tolist()
        self._op = flat.op.tolist()
        self._reads, self._first_edge = flat.reads.tolist(), flat.first_edge.tolist()
        order, first_reader = flat.by_value
        self._readers, self._first_reader = flat.reader[order].tolist(), first_reader.tolist()
        self._returned = np.bincount(flat.outputs, minlength=flat.n_values).tolist()
        self._bare = set(np.flatnonzero(_bare(flat)).tolist())

    def _kind(self, place: int) -> str:
        kind: str = self._flat.numbers.ops[self._op[place]].kind
        return kind

    def _read_by(self, place: int) -> list[int]:
        """Return the remaining values that a node reads."""
        return [self._resolved(value) for value in self._reads[self._first_edge[place] : self._first_edge[place + 1]]]

    def _users(self, value: int) -> list[int]:
        """Return the nodes that currently read a value, and the network's caller."""
        if value not in self._changed_users:
            readers = self._readers[self._first_reader[value] : self._first_reader[value + 1]]
            self._changed_users[value] = readers + [_OUTPUT] * self._returned[value]
        return self._changed_users[value]

    def _no_user(self, value: int, place: int) -> None:
        self._changed_users[value] = [user for user in self._users(value) if user != place]

    def fold_zero(self, place: int) -> None:
        """Remove a multiplication by zero."""
        made = self._writes[place]
        if place in self._left_out or made in self._constant:
            return
        value = self._read_by(place)[0]
        only_zeros = all(user != _OUTPUT and self._kind(user) == "zero" for user in self._users(value))
        if value in self._bare and only_zeros:
            self._bare.discard(value)  # its weights are zeros now, for the readers of the product
            self._bare.add(made)
            self._products.add(made)
            self._same[made] = value
            self._left_out.add(place)
            self._no_user(value, place)
        else:
            self._becomes_constant(place)

    def left(self) -> Flat:
        """Return the graphs without the removed nodes."""
        flat = self._flat
        constant, keep, same = np.zeros(len(flat), bool), np.ones(len(flat), bool), np.arange(flat.n_values)
        constant[flat.writer[list(self._constant)]] = True
        keep[list(self._left_out)] = False
        same[list(self._same)] = list(self._same.values())
        return with_constants(flat, constant, keep, same, n_outputs=1)

    def _resolved(self, value: int) -> int:
        """Return the term that replaces a sum with one term left; a multiplication folded into weights stays."""
        while value in self._same and value not in self._products:
            value = self._same[value]
        return value

    def _becomes_constant(self, place: int) -> None:
        made = self._writes[place]
        self._constant.add(made)
        for value in self._read_by(place):
            self._no_user(value, place)
        for user in list(self._users(made)):
            if user != _OUTPUT and user not in self._left_out:
                self._reads_constant(user)

    def _reads_constant(self, place: int) -> None:
        """Remove a sum with a constant zero, or a view of one."""
        op = self._flat.numbers.ops[self._op[place]]
        left = [value for value in self._read_by(place) if value not in self._constant]
        if op.kind not in ("view", "zero") and not plain_sum(op):
            return
        if not left:
            self._becomes_constant(place)
        elif op.kind == "add" and len(left) == 1 and self._spec(left[0]) == op.outputs[0]:
            made = self._writes[place]
            self._same[made] = left[0]
            self._left_out.add(place)
            self._no_user(left[0], place)
            self._changed_users[left[0]] += self._users(made)

    def _spec(self, value: int) -> object:
        return self._flat.numbers.specs[self._flat.spec[value]]


def _bare(flat: Flat) -> Bools:
    """Return whether a convolution writes each value, directly or through batch norms that are its only readers."""
    bare = np.zeros(flat.n_values, bool)
    bare[flat.first_written[flat.is_of(WEIGHTED)]] = True
    norms = np.flatnonzero(flat.is_of(frozenset({"batch_norm"})))
    read, made = flat.reads[flat.first_edge[norms]], flat.first_written[norms]
    alone = flat.times_read[read] == 1
    while len(fresh := made[bare[read] & alone & ~bare[made]]):
        bare[fresh] = True
    return bare
