"""Validation of costs, budgets and coverages."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.target import METRICS, Metric
from hwnas_surrogate.errors import InvalidInputError, TooFewCostsError
from hwnas_surrogate.reals import booleans, reals

__all__ = [
    "checked_budget",
    "checked_cost",
    "checked_coverage",
    "checked_failed",
    "numbers",
    "one_number",
    "refuse_costs",
]

Vector = npt.NDArray[np.float64]

MIN_ROWS = 2
_WIDEST = 1e100
"""Largest ratio of costs: beyond it, the small ones vanish in the rounding of a float."""


def checked_cost(
    cost: npt.ArrayLike, n: int, failed: npt.ArrayLike | None = None, metric: Metric = METRICS["latency"]
) -> Vector:
    """Return n costs, NaN for networks that failed, or raise if fewer than two were measured or one is wrong.

    They are given in the metric's unit, and returned as the costs that surrogates fit (:meth:`Metric.to_cost`).
    """
    costs = numbers(cost, n)
    without = np.zeros(n, bool) if failed is None else checked_failed(failed, n)
    costs = np.where(without, np.nan, costs)
    measured = n - int(without.sum())
    if measured < MIN_ROWS:
        others = f" (and {n - measured} that failed)" if n > measured else ""
        raise TooFewCostsError(f"a surrogate needs at least {MIN_ROWS} measured architectures, got {measured}{others}.")
    refuse_costs(costs, (np.isnan(costs) | metric.is_wrong(costs)) & ~without, metric)
    if metric.are_fractions(costs):
        raise InvalidInputError(f"{metric.name} is in %, got {np.nanmax(costs):g} at most: multiply fractions by 100.")
    costs = metric.to_cost(costs)
    positive = costs[costs > 0]
    if len(positive) and positive.max() / _WIDEST > positive.min():
        raise InvalidInputError(
            f"costs must lie within {math.log10(_WIDEST):.0f} orders of magnitude (0 is allowed), got "
            f"{positive.min():g} to {positive.max():g}: check their units."
        )
    return costs


def numbers(cost: npt.ArrayLike, n: int) -> Vector:
    """Return n numbers, or raise."""
    costs = reals(cost)
    if costs.ndim == 2 and costs.shape[1] == 1:
        costs = costs[:, 0]
    if costs.shape != (n,):
        raise InvalidInputError(f"cost must hold one value per architecture, ({n},), got shape {costs.shape}.")
    return costs


def checked_failed(failed: npt.ArrayLike, n: int) -> npt.NDArray[np.bool_]:
    """Return n marks of failed networks, or raise."""
    must = "failed must hold True or False for each architecture"
    marks = booleans(failed, must)
    if marks.shape != (n,):
        raise InvalidInputError(f"{must}, ({n},), got shape {marks.shape}.")
    return marks


def checked_budget(budget: npt.ArrayLike, n: int) -> Vector:
    """Return n budgets, given one or one for each."""
    must = f"budget must be one number or one per architecture ({n})"
    budgets = reals(budget, must)
    try:
        budgets = np.broadcast_to(budgets, (n,))
    except ValueError as error:
        raise InvalidInputError(f"{must}, got {budget!r:.80}.") from error
    if np.isnan(budgets).any():
        raise InvalidInputError("budget must be a number, got NaN.")
    return budgets


def checked_coverage(coverage: object) -> float:
    """Return a coverage as a float, or raise."""
    part = one_number(coverage)
    if not 0 < part < 1:
        raise InvalidInputError(f"coverage must be a number between 0 and 1, got {coverage!r}; 0.9 is 90 %.")
    return part


def one_number(value: object) -> float:
    """Return a real number of any type (NumPy, decimal, fraction) as a float; NaN for anything else, such as a bool."""
    try:
        number = reals(value)
    except InvalidInputError:
        return math.nan
    return float(number) if number.ndim == 0 else math.nan


def refuse_costs(costs: Vector, wrong: npt.NDArray[np.bool_], metric: Metric) -> None:
    """Raise if any cost is wrong, naming the first."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvalidInputError(
            f"costs must be {metric.allowed}, got {costs[row]} in row {row} ({int(wrong.sum())} such values in "
            "all). Leave rows without a measured cost out (a SurrogateSuite does so by itself); say which "
            "networks the device can't run by failed."
        )
