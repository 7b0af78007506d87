"""What a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.search.goals import Evaluated, Goals
from hwnas_surrogate.search.picking import alternatives, pick
from hwnas_surrogate.spaces import ArchBatch

__all__ = ["COVERAGE", "SearchResult", "result_of"]

COVERAGE = 0.9
"""Coverage of the intervals of picks."""
ALTERNATIVE = "alternative"
"""The column that names the most different network that is about as good."""


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """The best networks under budgets.

    Parameters
    ----------
    picks : NetworkBatch
        The chosen networks: the best first, or in the order of the first of several objectives.
    frame : DataFrame
        One row per pick: ``architecture`` (of graphs ``model``), a column for each quantity that is an objective or
        has a budget, as ``device/metric (unit)``, for predicted costs its 90 % interval (``... low``, ``... high``),
        ``P(device/metric <= 30 ms)`` for each budget of a target, and ``alternative``, the name of the most different
        network that is about as good.
    alternatives : DataFrame
        One row per pick: the alternative, with the same columns; without a name where there is none.
    front : NetworkBatch
        The networks that no other dominates, in the order of the first objective.
    front_frame : DataFrame
        One row per network of the front, with the name and the quantities.
    history : DataFrame
        ``evaluations`` and ``hypervolume``, one row per generation: the part of the box between the best and worst
        values of the first generation (of all networks, if the search is exact) that the front dominates.
    evaluated : Evaluated
        Every network that was evaluated.
    goals : Goals
        The objectives and budgets.
    exact : bool
        Whether every candidate was evaluated.
    notes : tuple of str
        Remarks: networks that were left out, an objective that is the same for all.
    """

    picks: NetworkBatch
    frame: pd.DataFrame
    alternatives: pd.DataFrame
    front: NetworkBatch
    front_frame: pd.DataFrame
    history: pd.DataFrame
    evaluated: Evaluated
    goals: Goals
    exact: bool
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of picks."""
        return len(self.picks)

    def __repr__(self) -> str:
        """Return what was sought and found, and the picks."""
        wanted = ", ".join(quantity.name for quantity in self.goals.objectives)
        under = "".join(f", {budget}" for budget in self.goals.budgets)
        how = "all" if self.exact else f"{len(self.evaluated):,} evaluated"
        head = f"SearchResult({wanted}{under}; {how}, front of {len(self.front):,})"
        shown = [self.frame.columns[0], *(quantity.title for quantity in self.goals.quantities)]
        return f"{head}\n{self.frame[shown].to_string(max_colwidth=60)}"

    def to_dict(self) -> dict[str, Any]:
        """Return what was sought and found as plain values, as ``hwnas search --json`` prints them.

        Returns
        -------
        dict
            ``space`` and ``config``, None of graphs (and the config of networks of several); ``objectives``, their
            names; ``budgets``, each with ``name``, ``limit`` and ``text`` (``pi/latency <= 30 ms``); ``certainty``;
            ``coverage`` of the intervals; ``quantities``, each with ``name`` and ``title`` (``pi/latency (ms)``), the
            name of its column; ``picks``, ``alternatives`` and ``front``, lists of rows by the names of columns;
            ``evaluations``, ``exact``, ``hypervolume`` and ``notes``.
        """
        batch = self.picks
        configs = batch.configs if isinstance(batch, ArchBatch) else ()
        return {
            "space": batch.space.name if isinstance(batch, ArchBatch) else None,
            "config": str(configs[0]) if len(configs) == 1 else None,
            "objectives": [quantity.name for quantity in self.goals.objectives],
            "budgets": [
                {"name": budget.quantity.name, "limit": budget.limit, "text": str(budget)}
                for budget in self.goals.budgets
            ],
            "certainty": self.goals.certainty,
            "coverage": COVERAGE,
            "quantities": [{"name": quantity.name, "title": quantity.title} for quantity in self.goals.quantities],
            "picks": _records(self.frame),
            "alternatives": _records(self.alternatives),
            "front": _records(self.front_frame),
            "evaluations": len(self.evaluated),
            "exact": self.exact,
            "hypervolume": float(self.history["hypervolume"].iloc[-1]) if len(self.history) else None,
            "notes": list(self.notes),
        }


def result_of(
    goals: Goals, found: Evaluated, n: int, *, history: Sequence[tuple[int, float]], exact: bool
) -> SearchResult:
    """Choose among evaluated networks, of which at least one can be chosen."""
    picks, front = pick(goals, found, n)
    first = found.values[front, goals.quantities.index(goals.objectives[0])]
    front = front[np.argsort(first, kind="stable")]
    others = alternatives(goals, found, picks)
    frame = _frame(goals, found, picks)
    names = [None if row is None else found.batch.take([row]).names[0] for row in others]
    existing = np.array([row for row in others if row is not None], np.intp)
    beside = _frame(goals, found, existing).set_axis([n for n, row in enumerate(others) if row is not None])
    frame[ALTERNATIVE] = names
    return SearchResult(
        found.batch.take(picks),
        frame,
        beside.reindex(range(len(picks))),
        found.batch.take(front),
        _values(goals, found, front),
        pd.DataFrame(history, columns=["evaluations", "hypervolume"]),
        found,
        goals,
        exact,
        tuple(_notes(goals, found)),
    )


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return the rows as dicts; None where there is no value."""
    return frame.astype(object).where(frame.notna(), None).to_dict(orient="records")


def _values(goals: Goals, found: Evaluated, rows: npt.NDArray[np.intp]) -> pd.DataFrame:
    """Return the names and quantities of some networks."""
    batch = found.batch.take(rows)
    frame = pd.DataFrame({"architecture" if isinstance(batch, ArchBatch) else "model": list(batch.names)})
    for column, quantity in enumerate(goals.quantities):
        frame[quantity.title] = found.values[rows, column]
    return frame


def _frame(goals: Goals, found: Evaluated, rows: npt.NDArray[np.intp]) -> pd.DataFrame:
    """Return the names and quantities of some networks, with intervals and probabilities."""
    values, batch = _values(goals, found, rows), found.batch.take(rows)
    targets = [quantity.target for quantity in goals.quantities if quantity.target is not None]
    intervals = goals.costs.intervals(batch, targets, COVERAGE)
    probabilities = goals.probabilities(batch)
    frame = values.iloc[:, :1].copy()
    for quantity in goals.quantities:
        frame[quantity.title] = values[quantity.title]
        if quantity.target is not None:
            frame[f"{quantity.title} low"], frame[f"{quantity.title} high"] = intervals[quantity.target].T
        for budget, probability in probabilities.items():
            if budget.quantity == quantity:
                frame[f"P({budget})"] = probability
    return frame


def _notes(goals: Goals, found: Evaluated) -> list[str]:
    """Return remarks about networks that were left out, and objectives that decide nothing."""
    notes = []
    if cut_off := int(np.count_nonzero(~found.connected)):
        notes.append(f"{cut_off:,} networks without a path from input to output are left out")
    kept = found.connected & (found.excess == 0).all(axis=1)
    if without := int(np.count_nonzero(kept & (found.violation > 0))):
        notes.append(f"{without:,} networks without a quality or a cost are left out")
    losses = goals.losses(found.values[found.choosable])
    for quantity, column in zip(goals.objectives, losses.T, strict=True):
        if len(column) > 1 and column.min() == column.max():
            notes.append(f"{quantity.name} is the same for all networks within the budgets, and decides nothing")
    return notes
