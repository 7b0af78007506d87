"""What a pickle remembers of its values, to refer to them later; most of it is forgotten after each architecture."""

from __future__ import annotations

from typing import Any

from hwnas_surrogate.data.accuracy.runs import Run
from hwnas_surrogate.data.accuracy.stand_ins import DType, Name, Refused

__all__ = ["ABSENT", "Forgotten", "Memo"]

_WHOLE = 4
"""Number of architectures of which everything is kept: what a file shares between all stands in the first."""
_MOST_TEXTS = 200_000
"""Number of texts outside of runs that are kept."""
_MOST_WANTED = 4_000_000
_KEPT = frozenset([Name, DType])


class Forgotten(Exception):
    """The pickle refers to a part of an earlier architecture, which was forgotten."""


class _Absent:
    """What stands for a forgotten value while the references to such are collected."""


ABSENT = _Absent()


class Memo:
    """The values of one pickle, numbered in the order in which it remembers them.

    Parameters
    ----------
    staying : set of int
        Numbers of values that later architectures refer to.
    wanted : set of int, optional
        Takes the numbers of forgotten values that the pickle refers to; if None, such a reference raises `Forgotten`.

    Attributes
    ----------
    kept : dict of int to object
        The values that are not forgotten.
    count : int
        The number of values.
    """

    __slots__ = ("_n_items", "_recent", "_staying", "_wanted", "count", "kept")

    def __init__(self, staying: frozenset[int], wanted: set[int] | None) -> None:
        self._staying = staying
        self._wanted = wanted
        self._recent: dict[int, Any] = {}
        self.kept: dict[int, Any] = {}
        self.count = 0
        self._n_items = 0

    def put(self, number: int, value: Any) -> None:
        """Remember a value."""
        if number != self.count:  # every pickler counts
            raise Refused("it remembers values out of order")
        kind = type(value)
        stays = kind in _KEPT or (kind is str and len(self.kept) < _MOST_TEXTS)
        (self.kept if stays else self._recent)[number] = value
        self.count += 1

    def put_run(self, run: Run, keys: list[Any]) -> None:
        """Remember what a run remembers."""
        places = run.scalars
        if places is None and run.memoized:
            places = range(self.count, self.count + len(keys))
            if run.puts is not None and run.puts != list(places):
                raise Refused("it remembers values out of order")
        if places is None:
            return
        if run.memoized:
            self._recent.update(zip(places, keys, strict=True))
        if run.scalars is not None:
            last = places.step - 1
            self._recent.update((place + last, value) for place, value in zip(places, run.values, strict=True))
        self.count = places.stop

    def get(self, number: int) -> Any:
        """Return a value.

        Raises
        ------
        Forgotten
            If it was forgotten, and such references are not collected.
        ValueError
            If there was none.
        """
        if number in self._recent:
            return self._recent[number]
        if number in self.kept:
            return self.kept[number]
        if number >= self.count or not self._n_items:
            raise ValueError(f"it refers to the value {number:,}, which is not there")
        if self._wanted is None:
            raise Forgotten
        self._wanted.add(number)
        if len(self._wanted) > _MOST_WANTED:
            raise Refused("its architectures refer to each other's parts too often")
        return ABSENT

    def forget(self, n_items: int) -> None:
        """Forget what belongs to architectures that are complete: the last of so many."""
        self._n_items = n_items
        if n_items <= _WHOLE:
            self.kept |= self._recent
        elif self._staying:
            self.kept |= {number: self._recent[number] for number in self._staying & self._recent.keys()}
        self._recent.clear()
