"""Where an API's results come from: objects that are in memory, or a converted table."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from hwnas_surrogate.data.accuracy.results import ArchResults
from hwnas_surrogate.data.accuracy.table import AccuracyTable
from hwnas_surrogate.data.accuracy.texts import Results
from hwnas_surrogate.data.accuracy.view import TableResults
from hwnas_surrogate.data.accuracy.writing import HP_NAMES
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, NotInTableError, unknown

__all__ = ["ArchInfos", "content_of", "results_by_hp"]

_LISTED = 20
_KEYED = ("arch2infos", "evaluated_indexes")
_KINDS: dict[str, tuple[type, ...]] = {
    "meta_archs": (list, tuple),
    "arch2infos": (dict,),
    "evaluated_indexes": (set, list, tuple, frozenset),
}


class ArchInfos(MutableMapping[int, dict[str, ArchResults]]):
    """The results of architectures by index and hyper-parameter; those of a table become objects when asked for.

    Parameters
    ----------
    objects : dict
        Results in memory.
    table : AccuracyTable, optional
        Where the others are.
    """

    def __init__(self, objects: dict[int, dict[str, ArchResults]], table: AccuracyTable | None = None) -> None:
        self._objects = objects
        self._table = table
        self._order = sorted(objects if table is None else table.evaluated)

    def __getitem__(self, index: int) -> dict[str, ArchResults]:
        if index not in self._objects:
            self._objects[index] = {hp: view.whole() for hp, view in self._views(index).items()}
        return self._objects[index]

    def __setitem__(self, index: int, results: dict[str, ArchResults]) -> None:
        if index not in self:
            self._order = sorted([*self._order, index])
        self._objects[index] = results

    def __delitem__(self, index: int) -> None:
        raise InvalidInputError(f"results are not deleted, got {index!r:.40}.")

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, index: object) -> bool:
        return index in self._objects or (self._table is not None and index in self._table.evaluated)

    def copied(self, index: int, hp: str) -> ArchResults:
        """Return an architecture's results as objects that may be changed; the answers stay as they are.

        Raises
        ------
        NotInTableError
            If the architecture was not evaluated, or not under this schedule.
        """
        results = self.results(index, hp)
        whole = results.whole() if isinstance(results, TableResults) else copy.deepcopy(results)
        assert isinstance(whole, ArchResults)
        if not whole.dataset_seed:
            raise self._absent(index, hp)
        return whole

    def results(self, index: int, hp: str) -> Results:
        """Return an architecture's results; of a table without making objects.

        Raises
        ------
        NotInTableError
            If the architecture was not evaluated, or not under this schedule.
        """
        is_index = isinstance(index, (int, np.integer)) and not isinstance(index, bool)
        made = self._objects.get(index) if is_index else None
        if made is not None and hp in made:
            return made[hp]
        table = self._table if made is None and is_index else None
        if table is not None and index in table.evaluated and hp in table.hps:
            return TableResults(table, int(index), hp)
        raise self._absent(index, hp)

    def _views(self, index: int) -> dict[str, TableResults]:
        if self._table is None or index not in self._table.evaluated:
            raise self._absent(index, None)
        views = {hp: TableResults(self._table, int(index), hp) for hp in self._table.hps}
        return {hp: view for hp, view in views.items() if view.get_dataset_names()}

    def _absent(self, index: object, hp: str | None) -> NotInTableError:
        if isinstance(index, (int, np.integer)) and index in self:
            return unknown(NotInTableError, f"hp of architecture {index}", hp, self[int(index)])
        there = ", ".join(map(str, self._order[:_LISTED])) + (", ..." if len(self._order) > _LISTED else "")
        return _NotEvaluated(
            f"architecture {index!r:.60} was not evaluated; {len(self._order):,} were: {there or 'none'}."
        )


class _NotEvaluated(NotInTableError, KeyError):
    """Also a KeyError, as of every mapping."""


def content_of(content: Mapping[str, Any]) -> tuple[list[str], dict[int, dict[str, ArchResults]], list[int]]:
    """Return the architectures, results and evaluated indices of a benchmark's content.

    Raises
    ------
    InvalidInputError
        If a key is missing.
    DataFileError
        If the results have another layout.
    """
    missing = [key for key in ("meta_archs", "arch2infos", "evaluated_indexes") if key not in content]
    if missing:
        raise InvalidInputError(
            f"the benchmark's content must hold meta_archs, arch2infos and evaluated_indexes; {', '.join(missing)} is "
            f"missing, there is {', '.join(map(str, list(content)[:6])) or 'nothing'}."
        )
    own = copy.deepcopy(dict(content))
    for key, kinds in _KINDS.items():
        if not isinstance(own[key], kinds):
            raise DataFileError(
                f"the benchmark's {key} must be a {kinds[0].__name__}, got {type(own[key]).__name__}: {own[key]!r:.60}."
            )
    if not all(isinstance(arch, str) for arch in own["meta_archs"]):
        raise DataFileError("the benchmark's meta_archs must be strings of architectures.")
    if not all(isinstance(index, (int, np.integer)) for key in _KEYED for index in own[key]):
        raise DataFileError(f"the benchmark's {' and '.join(_KEYED)} must be by index.")
    found = {}
    for index in sorted(own["arch2infos"]):
        try:
            found[index] = results_by_hp(own["arch2infos"][index])
        except (AttributeError, KeyError, TypeError, HWNASError) as error:
            raise DataFileError(f"the results of architecture {index} have another layout: {error}") from error
    return list(own["meta_archs"]), found, sorted(set(own["evaluated_indexes"]))


def results_by_hp(states: Mapping[str, Any]) -> dict[str, ArchResults]:
    """Return results by hyper-parameter, of their states; NAS-Bench-201's ``less`` is 12, ``full`` is 200."""
    if not isinstance(states, Mapping):
        raise InvalidInputError(f"results are a dict by hyper-parameter, got {type(states).__name__}.")
    names = {hp: HP_NAMES.get(hp, hp) for hp in states}
    if set(names) == set(HP_NAMES):  # the shorter one first, as the API has them
        names = dict(HP_NAMES)
    return {name: ArchResults.create_from_state_dict(states[hp]) for hp, name in names.items()}
