"""Operators and tensors by number: each distinct one is processed once, however many nodes have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.graphs.op import Op, TensorSpec

__all__ = [
    "Bools",
    "Ints",
    "Numbers",
    "distinct_rows",
    "first_of_each",
    "n_inputs",
    "n_outputs",
    "n_stored",
    "n_weights",
    "spans",
]

Ints: TypeAlias = npt.NDArray[np.intp]
Bools: TypeAlias = npt.NDArray[np.bool_]

_DENSE = 8
"""Up to this many possible codes per actual code, a table of all codes is faster than sorting."""


class Numbers:
    """Distinct operators and tensors, numbered in order of appearance, with their cached properties.

    The decisions of a pass depend on one operator or a pair. They are made once for each distinct one and then indexed
    by node.

    Examples
    --------
    >>> numbers = Numbers()
    >>> image = (TensorSpec((1, 8, 4, 4)),)
    >>> relu, add = Op("relu", image, image), Op("add", image * 2, image)
    >>> nodes = numbers.of([relu, add, relu])
    >>> nodes.tolist(), numbers.each(n_inputs)[nodes].tolist()
    ([0, 1, 0], [1, 2, 1])
    """

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.specs: list[TensorSpec] = []
        self._of_op: dict[Op, int] = {}
        self._of_spec: dict[TensorSpec, int] = {}
        self._figures: dict[Any, list[Any]] = {}
        self._made: dict[Any, int] = {}
        self._n_seen = 0

    def of(self, ops: Sequence[Op]) -> Ints:
        """Number operators; equal ones get the same number."""
        # Most are identical objects, and hashing an address is faster than hashing an operator.
        addresses = list(map(id, ops))
        known = {address: self.of_op(op) for address, op in dict(zip(addresses, ops, strict=True)).items()}
        return np.fromiter(map(known.__getitem__, addresses), np.intp, len(addresses))

    def of_op(self, op: Op) -> int:
        """Return the number of an operator."""
        number = self._of_op.setdefault(op, len(self.ops))
        if number == len(self.ops):
            self.ops.append(op)
        return number

    def of_spec(self, spec: TensorSpec) -> int:
        """Return the number of a tensor's shape and format."""
        number = self._of_spec.setdefault(spec, len(self.specs))
        if number == len(self.specs):
            self.specs.append(spec)
        return number

    def of_specs(self, specs: Sequence[TensorSpec]) -> Ints:
        """Number tensors; equal ones get the same number."""
        return np.fromiter(map(self.of_spec, specs), np.intp, len(specs))

    def each(self, figure: Callable[[Op], Any]) -> npt.NDArray[Any]:
        """Return a figure of each operator, shape (L,); the function is called once for each."""
        return self._extended(figure, self.ops)

    def each_spec(self, figure: Callable[[TensorSpec], Any]) -> npt.NDArray[Any]:
        """Return a figure of each tensor, shape (T,)."""
        return self._extended(figure, self.specs)

    def kind_in(self, kinds: frozenset[str]) -> Bools:
        """Return whether each operator's kind is one of some kinds, shape (L,)."""
        known = self._figures.setdefault(kinds, [])
        known += [op.kind in kinds for op in self.ops[len(known) :]]
        return np.array(known, bool)

    def _extended(self, figure: Callable[[Any], Any], of: Sequence[Any]) -> npt.NDArray[Any]:
        known = self._figures.setdefault(figure, [])
        known += map(figure, of[len(known) :])
        return np.array(known, None if known else np.intp)

    def written(self) -> tuple[Ints, Ints]:
        """Return the tensors that the operators write, concatenated, and where those of each begin, (L,)."""
        known = self._figures.setdefault("written", [])
        known += [self.of_spec(spec) for op in self.ops[self._n_seen :] for spec in op.outputs]
        self._n_seen = len(self.ops)
        lengths = self.each(n_outputs)
        return np.array(known, np.intp), np.cumsum(lengths) - lengths

    def made(self, make: Callable[..., int], *keys: Ints) -> Ints:
        """Return a function's result for each row of keys, a number; it is called once for each distinct row."""
        if not len(keys[0]):
            return np.empty(0, np.intp)
        first, which = distinct_rows(*keys)
        rows = zip(*(key[first].tolist() for key in keys), strict=True)
        return np.array([self._once(make, row) for row in rows], np.intp)[which]

    def _once(self, make: Callable[..., int], row: tuple[int, ...]) -> int:
        key = (make, row)
        if key not in self._made:
            self._made[key] = make(self, *row)
        return self._made[key]


def n_inputs(op: Op) -> int:
    """Return how many values an operator reads."""
    return len(op.inputs)


def n_outputs(op: Op) -> int:
    """Return how many values an operator writes."""
    return len(op.outputs)


def n_weights(op: Op) -> int:
    """Return how many trained parameters an operator reads."""
    return len(op.weights)


def n_stored(op: Op) -> int:
    """Return how many stored tensors an operator reads."""
    return len(op.weights) + len(op.buffers)


def distinct_rows(*columns: Ints) -> tuple[Ints, Ints]:
    """Return the first occurrence of each distinct row, and the number of each row's distinct one.

    Parameters
    ----------
    *columns : ndarray of int, shape (n,)
        Numbers of at least 0.

    Returns
    -------
    first : ndarray of int, shape (distinct,)
    which : ndarray of int, shape (n,)

    Examples
    --------
    >>> first, which = distinct_rows(np.array([7, 4, 7, 7]), np.array([0, 0, 0, 1]))
    >>> first.tolist(), which.tolist()
    ([1, 0, 3], [1, 0, 1, 2])
    """
    which, n = _compact(columns[0])
    for column in columns[1:]:
        further, width = _compact(column)
        which, n = _compact(which * width + further)
    return first_of_each(which, n), which


def _compact(numbers: Ints) -> tuple[Ints, int]:
    """Renumber n numbers without gaps, in their order; return the new numbers, and how many are distinct."""
    size = int(numbers.max(initial=-1)) + 1
    if size > _DENSE * (len(numbers) + 1000):
        distinct, which = np.unique(numbers, return_inverse=True)
        return which.astype(np.intp, copy=False), len(distinct)
    present = np.zeros(size, bool)
    present[numbers] = True
    rank = np.cumsum(present, dtype=np.intp)
    return rank[numbers] - 1, int(rank[-1]) if size else 0


def first_of_each(numbers: Ints, n: int) -> Ints:
    """Return the first position of each of the numbers 0..n-1, shape (n,)."""
    first = np.empty(n, np.intp)
    first[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # the last assignment wins, so in reverse order
    return first


def spans(starts: Ints, lengths: Ints) -> Ints:
    """Return the numbers of several ranges, concatenated.

    Examples
    --------
    >>> spans(np.array([5, 0, 9]), np.array([2, 0, 1])).tolist()
    [5, 6, 9]
    """
    if (lengths == 1).all():
        return starts
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
