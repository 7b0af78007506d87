"""The last epoch's figures of one schedule, dataset and set: of each training, and averaged over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.accuracy.trial import mean

__all__ = ["FIGURES", "LastFigures"]

Vector = npt.NDArray[np.float64]

FIGURES = ("last_loss", "last_accuracy", "last_seconds", "all_seconds")
"""The columns of an epoch's figures, in the order in which the benchmark's API gives them."""
_FEW = 8
"""From so many values on, numpy's mean does not add one after the other."""


class LastFigures:
    """Rows of a table sorted by architecture and seed.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Columns of equal length; NaN where there is no value.
    absent : mapping of str to ndarray of bool
        Where columns have no value, of those that lack some.
    sizes : sequence of (int, int)
        The row groups that the rows come from, and their numbers of rows.

    Attributes
    ----------
    archs : ndarray of int
        The architectures, each once.
    groups, places : ndarray of int
        The row group of each row, and its place there.
    """

    def __init__(
        self,
        columns: Mapping[str, npt.NDArray[Any]],
        absent: Mapping[str, npt.NDArray[np.bool_]],
        sizes: Sequence[tuple[int, int]],
    ) -> None:
        arch, seed = columns["arch_index"], columns["seed"]
        steps = np.diff(arch.astype(np.int64))
        self.groups = np.repeat([group for group, _ in sizes], [size for _, size in sizes])
        self.places = np.concatenate([np.arange(size) for _, size in sizes])
        self._columns, self._absent = dict(columns), dict(absent)
        if not ((steps > 0) | ((steps == 0) & (np.diff(seed) > 0))).all():
            self._sort(np.lexsort((seed, arch)))
        arch, seed = self._columns["arch_index"], self._columns["seed"]
        same = arch[1:] == arch[:-1]
        if (same & (seed[1:] == seed[:-1])).any():
            raise ValueError("it holds a training twice")
        self._starts = np.flatnonzero(np.concatenate([[True], ~same]))
        self.archs = arch[self._starts]
        self._counts = np.diff(self._starts, append=len(arch))
        self._trained: LastFigures = self

    def _sort(self, order: npt.NDArray[np.int64]) -> None:
        self._columns = {name: column[order] for name, column in self._columns.items()}
        self._absent = {name: where[order] for name, where in self._absent.items()}
        self.groups, self.places = self.groups[order], self.places[order]

    def compare(self, trained: LastFigures) -> None:
        """Pass over architectures of which some trainings have no figures on this set: there is no mean over seeds."""
        self._trained = trained

    @cached_property
    def _is_whole(self) -> bool:
        """Whether all trainings have figures."""
        trained = self._trained
        return np.array_equal(self.archs, trained.archs) and np.array_equal(self._counts, trained._counts)

    @cached_property
    def whole(self) -> npt.NDArray[np.bool_]:
        """Of which architectures all trainings have figures."""
        trained = self._trained
        if self._is_whole:
            return np.ones(len(self.archs), bool)
        at = np.searchsorted(trained.archs, self.archs).clip(max=len(trained.archs) - 1)
        same: npt.NDArray[np.bool_] = (trained.archs[at] == self.archs) & (trained._counts[at] == self._counts)
        return same

    @cached_property
    def rows(self) -> dict[int, tuple[int, int]]:
        """The rows of each architecture."""
        pairs = zip(self._starts.tolist(), (self._starts + self._counts).tolist(), strict=True)
        return dict(zip(self.archs.tolist(), pairs, strict=True))

    @cached_property
    def bounds(self) -> dict[int, tuple[int, int]]:
        """The rows of each architecture of which all trainings have figures."""
        if self._is_whole:
            return self.rows
        return {arch: self.rows[arch] for arch in self.archs[self.whole].tolist()}

    @property
    def is_complete(self) -> bool:
        """Whether all trainings have figures, and none of these is missing."""
        return self._is_whole and not self._absent

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column, NaN where there is no value."""
        return self._columns[name]

    def values(self, name: str, start: int, end: int) -> list[Any]:
        """Return a column's values of some rows, None where there is none."""
        found: list[Any] = self._columns[name][start:end].tolist()
        if name in self._absent:
            return [None if gone else value for value, gone in zip(found, self._absent[name][start:end], strict=True)]
        return found

    def means(self, name: str, *, positive: bool = False) -> Vector:
        """Return a column's mean over the seeds of each architecture, NaN where a value is missing.

        If only the positive values count, missing ones and others are left out.
        """
        column = self._columns[name].astype(np.float64)
        counted = column > 0 if positive else np.ones(len(column), bool)
        if len(self.archs) == len(column):  # one seed each
            return np.where(counted, column, np.nan)
        sums, numbers = np.zeros(len(self.archs)), np.zeros(len(self.archs))
        for place in range(min(int(self._counts.max(initial=0)), _FEW)):
            inside = np.flatnonzero(self._counts > place)
            rows = self._starts[inside] + place
            sums[inside] += np.where(counted[rows], column[rows], 0.0)
            numbers[inside] += counted[rows]
        with np.errstate(invalid="ignore"):
            found = sums / numbers
        for at in np.flatnonzero(self._counts >= _FEW):
            start, end = self._starts[at], self._starts[at] + self._counts[at]
            kept = column[start:end][counted[start:end]]
            found[at] = mean(kept.tolist()) if len(kept) else np.nan
        return found

    def _is_missing(self, name: str) -> npt.NDArray[np.bool_]:
        where = self._absent.get(name)
        if where is None:
            return np.zeros(len(self.archs), bool)
        return np.logical_or.reduceat(where, self._starts)

    @cached_property
    def averages(self) -> dict[int, tuple[Any, ...]]:
        """Epoch, loss, accuracy and seconds of each architecture, averaged over seeds; None where there is none."""
        lists: list[list[Any]] = [(self.means("epochs") - 1).tolist()]
        for name in FIGURES:
            found, gone = self.means(name), self._is_missing(name)
            lists.append(np.where(gone, None, found).tolist() if gone.any() else found.tolist())  # type: ignore[call-overload]
        everything = dict(zip(self.archs.tolist(), zip(*lists, strict=True), strict=True))
        if len(self.bounds) < len(everything):
            return {arch: everything[arch] for arch in self.bounds}
        return everything
