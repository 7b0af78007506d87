"""Which operators the networks of a search space run, as tables over the choices at their positions.

The networks of a space are made of few distinct operators: all 15,625 NAS-Bench-201 architectures of some fifty, all
10^21 FBNet ones of a few hundred. An :class:`OpTable` stores each operator once, and how often each choice at each
position runs it. A sum over the operators of a million architectures is then an array look-up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.graphs import VIEWS, GraphBuilder, Op, View
from hwnas_surrogate.graphs.batch import summable
from hwnas_surrogate.graphs.op import Shape

__all__ = ["OpTable", "calls_of_part", "smallest_counter"]

Calls = Mapping[Op, int]
Choices = npt.NDArray[np.integer[Any]]

_MANY = 500
"""Minimum number of architectures for which tables of pairs of choices are faster."""


@dataclass(frozen=True, slots=True, eq=False)
class OpTable:
    """The operators of networks: some run always, others for each choice at each position.

    Operators that always come together are counted once, as a group.

    Parameters
    ----------
    distinct : tuple of Op
        The distinct operators, L of them.
    group : ndarray of int, shape (L,)
        The group of each operator, 0..G-1.
    fixed : ndarray of float64, shape (G,)
        How often every network runs each group.
    per_choice : ndarray of float64, shape (positions, choices, G)
        How often a choice at a position runs each group.

    Examples
    --------
    >>> from hwnas_surrogate.graphs import TensorSpec
    >>> image = (TensorSpec((1, 8, 4, 4)),)
    >>> relu, add = Op("relu", image, image), Op("add", image * 2, image)
    >>> table = OpTable.build({add: 1}, [[{}, {relu: 1}], [{}, {relu: 1}]])
    >>> table.sums(np.array([[0, 1], [1, 1]]), [[1.0, 0.0], [0.0, 1.0]]).tolist()
    [[1.0, 1.0], [1.0, 2.0]]
    """

    distinct: tuple[Op, ...]
    group: npt.NDArray[np.intp]
    fixed: npt.NDArray[np.float64]
    per_choice: npt.NDArray[np.float64]

    @classmethod
    def build(cls, fixed: Calls, per_choice: Sequence[Sequence[Calls]]) -> OpTable:
        """Build a table from the number of calls of each operator: always, and ``per_choice[position][choice]``.

        A position with fewer choices than others calls nothing for the missing ones.
        """
        where: dict[Op, int] = {}
        for calls in (fixed, *(calls for choices in per_choice for calls in choices)):
            for op in calls:
                where.setdefault(op, len(where))
        always = np.zeros(len(where), np.int64)
        counts = np.zeros((len(per_choice), max(map(len, per_choice), default=0), len(where)), np.int64)
        rows = [(always, fixed)]
        rows += [(counts[p, c], calls) for p, choices in enumerate(per_choice) for c, calls in enumerate(choices)]
        for row, calls in rows:
            for op, times in calls.items():
                row[where[op]] += times
        return cls.of_counts(tuple(where), always, counts)

    @classmethod
    def of_counts(cls, distinct: tuple[Op, ...], fixed: npt.NDArray[Any], per_choice: npt.NDArray[Any]) -> OpTable:
        """Group operators by their counts: ``fixed``, (L,), and ``per_choice``, (positions, choices, L)."""
        counts = np.concatenate([fixed[None], per_choice.reshape(math.prod(per_choice.shape[:2]), len(distinct))])
        first: dict[bytes, int] = {}
        group = np.array([first.setdefault(column.tobytes(), len(first)) for column in counts.T.copy()], np.intp)
        columns = np.unique(group, return_index=True)[1]
        return cls(distinct, group, fixed[columns].astype(float), per_choice[..., columns].astype(float))

    def of_others(self, ops: Sequence[Op]) -> OpTable:
        """Return the table with the L operators replaced by others; counts of equal ones are added."""
        if len(set(ops)) == len(ops):
            return replace(self, distinct=tuple(ops))
        fixed, per_choice = self.fixed[self.group], self.per_choice[..., self.group]
        number = {op: place for place, op in enumerate(dict.fromkeys(ops))}
        same = np.zeros((len(ops), len(number)))
        same[np.arange(len(ops)), [number[op] for op in ops]] = 1
        return OpTable.of_counts(tuple(number), fixed @ same, per_choice @ same)

    def sums(self, choices: Choices, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Sum a value per distinct operator over all that each network runs.

        Parameters
        ----------
        choices : ndarray of int, shape (n, positions)
            The networks.
        values : array-like of float, shape (L,) or (L, q)
            One value, or q values, for each of ``distinct``.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, q)
            Integers below 2^53 are summed exactly. Other values are rounded to 42 binary digits of the largest, so that
            their sums are exact too: equal networks have equal sums, in any batch.
        """
        per_op = np.asarray(values, np.float64)
        flat = summable(per_op.reshape(len(self.distinct), math.prod(per_op.shape[1:])))
        of_group = np.zeros((len(self.fixed), flat.shape[1]))
        np.add.at(of_group, self.group, flat)
        if len(choices) < self.per_choice.shape[1]:
            counts = np.zeros((len(choices), len(self.fixed)))
            for position, chosen in zip(self.per_choice, choices.T, strict=True):
                counts += position[chosen]
            total = counts @ of_group
        else:
            total = _gathered(self.per_choice @ of_group, choices.T)
        if self.fixed.any():
            total += self.fixed @ of_group
        return np.asarray(total).reshape(len(choices), *per_op.shape[1:])


def _gathered(tables: npt.NDArray[np.float64], choices: Choices) -> npt.NDArray[np.float64]:
    """Sum values of choices by position: (positions, choices, q) tables, (positions, n) choices -> (n, q)."""
    positions, n_choices, width = tables.shape
    columns = choices.astype(np.intp)
    if choices.shape[1] > _MANY and positions % 2 == 0:  # two positions at once: half the gathers
        tables = (tables[::2, :, None] + tables[1::2, None]).reshape(positions // 2, n_choices * n_choices, width)
        columns = columns[::2] * n_choices + columns[1::2]
    if not len(tables):
        return np.zeros((choices.shape[1], width))
    total: npt.NDArray[np.float64] = tables[0].take(columns[0], axis=0)
    for table, column in zip(tables[1:], columns[1:], strict=True):
        total += table.take(column, axis=0)
    return total


def calls_of_part(
    block: Callable[[GraphBuilder, int], int | tuple[int, ...]],
    shape: Shape,
    view: View,
    times_read: int = 1,
    at: Literal["", "input", "output"] = "",
) -> Counter[Op]:
    """Count the operators of a part of a network in a view; parts exchange one value.

    Parameters
    ----------
    block : callable
        Adds the part to a builder: takes the builder and the value to read, and returns the value that the part writes;
        at the output, all values that the network returns.
    shape : tuple of int
        Shape of the value that the part reads.
    view : str
    times_read : int, default=1
        How many operators read the value that the part writes. A quantized graph keeps a value with two readers in
        float32.
    at : {"", "input", "output"}, default=""
        Whether the part is at the network's input or output, where a quantized graph converts values.

    Returns
    -------
    Counter of Op
        Empty for a part that returns the value that it reads.
    """
    build = GraphBuilder()
    read = build.input(shape)
    made = block(build, read)
    if made == read:
        return Counter()
    returned = made if isinstance(made, tuple) else (made,) * times_read
    counts = Counter(VIEWS[view](build.graph(*returned)).counts)
    if view == "quantized" and at != "input":
        x = build.spec(read)
        counts[Op("quantize", (x,), (replace(x, dtype="int8"),))] -= 1
    if view == "quantized" and at != "output":
        for y in map(build.spec, returned):
            counts[Op("dequantize", (replace(y, dtype="int8"),), (y,))] -= 1
    return +counts


def smallest_counter(most: int) -> type[np.signedinteger[Any]]:
    """Return the smallest integer type that can count to ``most``."""
    return np.int8 if most < 128 else np.int64
