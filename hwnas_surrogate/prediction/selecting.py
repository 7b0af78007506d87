"""The best of many networks, found part by part: the cheapest of each target, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.spaces.reading import is_integer

__all__ = ["FRONT", "Columns", "Selection"]

Columns: TypeAlias = dict[str, npt.NDArray[Any]]
"""Rows as one array for each column, all of the same length."""

FRONT = "front"
"""The name of the Pareto front among the selected rows; the others are named by their targets."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of predictions are kept. What is selected of parts, put together, holds what is selected of all.

    Parameters
    ----------
    targets : tuple of Target
        The targets that are predicted; each has a column of its name and unit.
    top : int, default=0
        How many of the best of each target are kept.
    front : bool, default=False
        Whether the Pareto front of all targets is kept: the rows that no other dominates. Ties are all kept.

    Raises
    ------
    InvalidInputError
        If nothing is to be kept, ``top`` is no number of rows, or a front has one target.

    Examples
    --------
    >>> targets = Target("phone", "latency"), Target("tpu", "energy")
    >>> rows = {
    ...     "number": np.arange(4),
    ...     "phone/latency (ms)": np.array([3.0, 1.0, 2.0, 4.0]),
    ...     "tpu/energy (mJ)": np.array([1.0, 3.0, 2.0, 2.0]),
    ... }
    >>> kept = Selection(targets, top=2, front=True).of(rows)
    >>> {name: part["number"].tolist() for name, part in kept.items()}
    {'phone/latency': [1, 2], 'tpu/energy': [0, 2], 'front': [1, 2, 0]}
    """

    targets: tuple[Target, ...]
    top: int = 0
    front: bool = False

    def __post_init__(self) -> None:
        if not is_integer(self.top) or self.top < 0 or not (self.top or self.front):
            raise InvalidInputError(f"top must be a number of networks of at least 1, got {self.top!r:.40}.")
        if self.front and len(self.targets) < 2:
            raise InvalidInputError(f"a front is of two or more targets, got {', '.join(map(str, self.targets))}.")

    def of(self, rows: Columns) -> dict[str, Columns]:
        """Select among rows; each selection is sorted, the front by the first target."""
        selected = {}
        if self.top:
            for target in self.targets:
                costs = _costs(rows, target)
                selected[str(target)] = _taken(rows, _smallest(costs, self.top))
        if self.front:
            costs = np.column_stack([_costs(rows, target) for target in self.targets])
            kept = np.flatnonzero(_nondominated(costs))
            selected[FRONT] = _taken(rows, kept[np.lexsort(costs[kept].T[::-1])])
        return selected

    def merged(self, parts: Iterable[Mapping[str, Columns]]) -> dict[str, Columns]:
        """Select among what was selected of parts, in the order of the parts where rows tie."""
        by_name: dict[str, list[Columns]] = {}
        for part in parts:
            for name, rows in part.items():
                by_name.setdefault(name, []).append(rows)
        return {name: self.of(joined(pieces))[name] for name, pieces in by_name.items()}


def joined(parts: Sequence[Columns]) -> Columns:
    """Put rows one after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _taken(rows: Columns, which: npt.NDArray[np.intp]) -> Columns:
    return {name: values[which] for name, values in rows.items()}


def _costs(rows: Columns, target: Target) -> npt.NDArray[np.float64]:
    """Return what is to be small of a target, (n,)."""
    values = rows[f"{target} ({target.unit})"]
    return -values if target.kind.larger_is_better else values


def _smallest(costs: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.intp]:
    """Return the rows of the n smallest costs, sorted; the first ones of equals."""
    rows = np.arange(len(costs))
    if len(costs) > n:
        rows = np.flatnonzero(costs <= np.partition(costs, n - 1)[n - 1])
    return rows[np.argsort(costs[rows], kind="stable")[:n]]


def _nondominated(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    from moocore import is_nondominated  # its C library is slow to load

    if not len(costs):
        return np.empty(0, bool)
    return np.asarray(is_nondominated(costs, keep_weakly=True), bool)
