"""The cost of wrong predictions for the choice of architectures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.scores import recall
from hwnas_surrogate.ranks import TIE, tied_ranks
from hwnas_surrogate.reals import reals

__all__ = ["pick_under_budget", "regret", "top_k_recall"]

Vector = npt.NDArray[np.float64]


def top_k_recall(measured: npt.ArrayLike, predicted: npt.ArrayLike, k: int) -> float:
    """Return the fraction of the k cheapest architectures that are among the k predicted cheapest.

    Costs closer than 1e-9 (relative) are ties. Ties at the border share the remaining places, so that the result does
    not depend on the order of rows. A constant prediction has the recall of chance, ``k / n``.

    Parameters
    ----------
    measured, predicted : array-like of float, shape (n,)
        Costs, finite.
    k : int
        Number of places, 1 to n.

    Returns
    -------
    float
        0.0 to 1.0.

    Raises
    ------
    InvalidInputError
        If the lengths differ, a value is missing or infinite, or k is no integer from 1 to n.

    Examples
    --------
    >>> top_k_recall([1.0, 2.0, 3.0, 4.0], [1.1, 3.0, 2.0, 5.0], k=2)
    0.5
    """
    vectors = _vectors(measured=measured, predicted=predicted)
    n = len(vectors[0])
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= n:
        raise InvalidInputError(f"k must be an integer from 1 to {n}, the number of architectures, got {k!r}.")
    truth, guess = map(tied_ranks, vectors)
    return recall(truth, guess, int(k))


def pick_under_budget(cost: npt.ArrayLike, quality: npt.ArrayLike, budget: float) -> int | None:
    """Pick the architecture with the highest quality among those within the budget.

    Values closer than 1e-9 (relative) are ties, including a cost and the budget. Among ties of quality the cheapest is
    picked, and among ties of cost the first.

    Parameters
    ----------
    cost : array-like of float, shape (n,)
        Costs, measured or predicted, finite.
    quality : array-like of float, shape (n,)
        Larger is better: accuracy, usually. Without accuracies, live multiply-adds are a proxy of capacity:
        ``space.batch(archs).total("macs", "live")``, which is 0 for a network without a path from input to output.
    budget : float
        Largest allowed cost, in the unit of the costs.

    Returns
    -------
    int or None
        The row; None if every architecture costs more.

    Raises
    ------
    InvalidInputError
        If the lengths differ, or a value or the budget is missing or infinite.

    Examples
    --------
    >>> pick_under_budget(cost=[1.0, 2.0, 3.0], quality=[70.1, 72.5, 73.0], budget=2.5)
    1
    """
    costs, qualities = _vectors(cost=cost, quality=quality)
    if isinstance(budget, bool) or not isinstance(budget, Real) or not np.isfinite(float(budget)):
        raise InvalidInputError(f"the budget must be a finite number in the unit of the costs, got {budget!r}.")
    return _pick(costs, qualities, float(budget))


def regret(
    measured: npt.ArrayLike,
    predicted: npt.ArrayLike,
    quality: npt.ArrayLike,
    budgets: Sequence[float] = (0.25, 0.5, 0.75),
) -> pd.DataFrame:
    """Compare the architectures picked by predicted costs to the best ones by measured costs.

    At each budget both are picked as in :func:`pick_under_budget`. Errors have two effects. If the cost of a good
    architecture is predicted too high, it is not picked: the regret is the lost quality. If a cost is predicted too
    low, the picked architecture may exceed the budget: the overrun is the relative excess. Its quality may be above the
    best within the budget; the regret is then 0, never negative.

    Parameters
    ----------
    measured, predicted : array-like of float, shape (n,)
        Costs in one unit, finite.
    quality : array-like of float, shape (n,)
        Larger is better: accuracy, usually. Without accuracies, live multiply-adds are a proxy of capacity:
        ``space.batch(archs).total("macs", "live")``, which is 0 for a network without a path from input to output.
    budgets : sequence of float, default=(0.25, 0.5, 0.75)
        Quantiles of the measured costs, each above 0 and at most 1: at 0.25, a quarter of the architectures is within
        the budget.

    Returns
    -------
    DataFrame
        One row per budget, in the order given: ``quantile``; ``budget`` (in the unit of the costs); ``picked``, the row
        picked by predicted costs (-1 if all are predicted to cost more than the budget); ``best``, the row picked by
        measured costs; ``regret`` (in the unit of the quality): quality of ``best`` minus that of ``picked``, at
        least 0; ``overrun``: by how much the measured cost of ``picked`` is over the budget, relative to it (0.05 is
        5 %), 0.0 if it is within, infinite over a budget of 0. Where nothing is picked, both are NaN.

    Raises
    ------
    InvalidInputError
        If the lengths differ, a value is missing or infinite, there is no budget, or one is not above 0 and at most 1.

    Examples
    --------
    The cost of the middle architecture is predicted too high, so that the cheap one is picked:

    >>> lost = regret([1.0, 2.0, 3.0], [1.0, 2.5, 3.0], quality=[70.0, 72.5, 73.0], budgets=[0.5])
    >>> lost[["picked", "best", "regret", "overrun"]].values.tolist()
    [[0.0, 1.0, 2.5, 0.0]]
    """
    truth, guess, qualities = _vectors(measured=measured, predicted=predicted, quality=quality)
    rows = []
    for quantile in _quantiles(budgets):
        budget = float(np.quantile(truth, quantile))
        best, picked = _pick(truth, qualities, budget), _pick(guess, qualities, budget)
        assert best is not None, "no quantile is below the cheapest"
        lost, over = (
            (float("nan"), float("nan"))
            if picked is None
            else (max(0.0, float(qualities[best] - qualities[picked])), _overrun(float(truth[picked]), budget))
        )
        rows.append((quantile, budget, -1 if picked is None else picked, best, lost, over))
    return pd.DataFrame(rows, columns=["quantile", "budget", "picked", "best", "regret", "overrun"])


def _pick(costs: Vector, qualities: Vector, budget: float) -> int | None:
    paid = np.flatnonzero((costs <= budget) | _tied(costs, budget))
    if not len(paid):
        return None
    # lexsort is stable and sorts by its last key first.
    order = np.lexsort((tied_ranks(costs[paid]), -tied_ranks(qualities[paid])))
    return int(paid[order[0]])


def _tied(costs: Vector, budget: float) -> npt.NDArray[np.bool_]:
    tied: npt.NDArray[np.bool_] = np.abs(costs - budget) <= TIE * np.maximum(np.abs(costs), abs(budget))
    return tied


def _overrun(cost: float, budget: float) -> float:
    if cost <= budget or _tied(np.array([cost]), budget)[0]:
        return 0.0
    return (cost - budget) / abs(budget) if budget else float("inf")


def _quantiles(budgets: Sequence[float]) -> list[float]:
    given = list(budgets) if isinstance(budgets, Iterable) and not isinstance(budgets, str) else []
    if not given:
        raise InvalidInputError(f"budgets must be a sequence of at least one quantile, as in [0.5], got {budgets!r}.")
    for budget in given:
        if isinstance(budget, bool) or not isinstance(budget, Real) or not 0 < float(budget) <= 1:
            raise InvalidInputError(
                f"a budget must be a quantile of the measured costs, above 0 and at most 1, got {budget!r}. "
                "For a budget in the unit of the costs, see pick_under_budget."
            )
    return [float(budget) for budget in given]


def _vectors(**given: npt.ArrayLike) -> list[Vector]:
    """Return the arguments as finite vectors of one length, at least 1."""
    vectors: dict[str, Vector] = {}
    for name, values in given.items():
        try:
            vectors[name] = reals(values)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"{name} must be a vector of numbers, got {type(values).__name__}: {error}"
            ) from error
    shapes = [vector.shape for vector in vectors.values()]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise InvalidInputError(
            f"{' and '.join(vectors)} must be vectors of one length, at least 1, got {' and '.join(map(str, shapes))}."
        )
    for name, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise InvalidInputError(
                f"{name} must be finite, got {vector[~np.isfinite(vector)][0]}. Leave out the rows without a value."
            )
    return list(vectors.values())
