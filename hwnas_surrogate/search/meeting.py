"""Whether the budgets of a search can be met; if not, which are the nearest that can."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError, UnmetBudgetsError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.search.goals import Evaluated, Goals, Vector
from hwnas_surrogate.search.quantities import QUALITY, Budget

__all__ = ["check_met"]

_NEAREST = 200
"""Number of networks with the least excess whose certain budgets are compared."""


def check_met(goals: Goals, found: Evaluated) -> None:
    """Raise if no network can be chosen.

    Raises
    ------
    UnmetBudgetsError
        If none keeps the budgets: the message names the network that breaks them least, the budgets that it keeps, and
        whether each budget can be kept by itself.
    InvalidInputError
        If those that keep them have no quality, or no candidate has all costs.
    """
    if len(found.choosable):
        return
    kept = (found.excess == 0).all(axis=1) & found.connected
    if kept.any():
        which = f"{int(kept.sum()):,} networks keep the budgets, but none of them" if goals.budgets else "no candidate"
        raise InvalidInputError(f"{which} has a quality or all costs: give the qualities of more networks.")
    rows = np.flatnonzero(found.connected & np.isfinite(found.excess).all(axis=1))
    of_quality = np.array([budget.quantity.name == QUALITY for budget in goals.budgets])
    asked = rows[(found.excess[np.ix_(rows, ~of_quality)] == 0).all(axis=1)]
    rows = asked if len(asked) else rows  # of the others the quality is unknown
    if not len(rows):
        raise InvalidInputError(
            f"none of {len(found):,} candidates can be used: each lacks a path from input to output, or a cost."
        )
    rows = rows[np.argsort(_largest_excess(found.excess[rows]), kind="stable")[:_NEAREST]]
    reached = _reached(goals, found, rows)
    excess = np.column_stack([budget.excess(reached[:, n]) for n, budget in enumerate(goals.budgets)])
    best = int(np.argmin(_largest_excess(np.where(np.isnan(excess), 0.0, excess))))
    (name,) = found.batch.take(rows[[best]]).names
    nearest = ", ".join(
        str(budget) if budget.excess(np.array([value]))[0] == 0 else _written(budget, value)
        for budget, value in zip(goals.budgets, reached[best].tolist(), strict=True)
        if not np.isnan(value)
    )
    raise UnmetBudgetsError(
        f"no network keeps {' and '.join(map(str, goals.budgets))}{_certainly(goals)}"
        f"{_alone(goals, found)} The nearest budgets that can be met: {nearest}; by {name}.",
        name,
    )


def _largest_excess(excess: Vector) -> Vector:
    return np.asarray(excess.max(axis=1))


def _written(budget: Budget, value: float) -> str:
    """Write a budget that a network keeps; four digits, rounded to the side on which it is kept."""
    step = 10.0 ** (np.floor(np.log10(max(abs(value), 1e-300))) - 3)
    sign = budget.quantity.sign  # a value of four digits stays as it is
    return str(Budget(budget.quantity, float(sign * np.ceil(sign * value / step - 1e-9) * step)))


def _reached(goals: Goals, found: Evaluated, rows: npt.NDArray[np.intp]) -> Vector:
    """Return the tightest budget that each network keeps, with the certainty wanted, (n, b); NaN where unknown."""
    columns = np.array([goals.quantities.index(budget.quantity) for budget in goals.budgets])
    values = found.values[np.ix_(rows, columns)]
    if goals.certainty is None:
        return np.asarray(values)
    batch: NetworkBatch = found.batch.take(rows)
    targets = [budget.quantity.target for budget in goals.budgets if budget.quantity.target is not None]
    certain = goals.costs.reachable(batch, targets, goals.certainty)
    for column, budget in enumerate(goals.budgets):
        if budget.quantity.target is not None:
            values[:, column] = certain[budget.quantity.target]
    return np.asarray(values)


def _certainly(goals: Goals) -> str:
    return "." if goals.certainty is None else f" with a probability of {goals.certainty:g}."


def _alone(goals: Goals, found: Evaluated) -> str:
    """Say, of several budgets, whether each can be kept by itself."""
    excess = found.excess[found.connected]
    known = [(number, str(budget)) for number, budget in enumerate(goals.budgets) if budget.quantity.name != QUALITY]
    if len(known) < 2 or (excess[:, [number for number, _ in known]] == 0).all(axis=1).any():
        return ""
    never = [name for number, name in known if not (excess[:, number] == 0).any()]
    if not never:
        return f" {' and '.join(name for _, name in known)} can be kept each by itself, but not by one network."
    return f" None keeps {' or '.join(never)}, even by itself."
