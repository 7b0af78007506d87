"""Scores of predicted against measured costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.ranks import tied_ranks
from hwnas_surrogate.reals import huge_unit, reals

__all__ = ["Scores", "recall", "score"]

Vector = npt.NDArray[np.float64]

_TOP = 0.1
_IN_PER_CENT = ("mape", "mdape", "within_5pct", "within_10pct", "top_10pct_recall")


@dataclass(frozen=True, slots=True)
class Scores:
    """How well predictions fit measurements. Signs are kept; rank scores of constants are NaN, as in scipy.

    ``print`` shows one score per line, at four digits, fractions in per cent and ``-`` for NaN; ``repr`` has all
    digits.

    Parameters
    ----------
    n : int
        Architectures scored.
    kendall_tau : float
        Kendall's tau-b, costs closer than 1e-9 (relative) being ties on both sides.
    kendall_tau_raw : float
        Kendall's tau-b on the values as they are: floating-point noise breaks ties.
    spearman_rho : float
        Spearman's rank correlation, ties as in ``kendall_tau``.
    r2 : float
        Coefficient of determination.
    rmse : float
        Root mean squared error, in the target's unit.
    mape, mdape : float
        Mean and median absolute relative error (0.05 is 5 %); costs of 0 are left out.
    within_5pct, within_10pct : float
        Fraction of predictions that are off by at most 5 or 10 % of the measured cost.
    top_10pct_recall : float
        Fraction of the cheapest tenth that is among the tenth predicted cheapest. Ties as in ``kendall_tau``; ties at
        the border share the remaining places, so that the result does not depend on the order of rows.
    """

    n: int
    kendall_tau: float
    kendall_tau_raw: float
    spearman_rho: float
    r2: float
    rmse: float
    mape: float
    mdape: float
    within_5pct: float
    within_10pct: float
    top_10pct_recall: float

    def to_dict(self) -> dict[str, float]:
        """Return the scores by name."""
        return asdict(self)

    def __str__(self) -> str:
        """Return a line per score."""
        scores = self.to_dict()
        width = max(map(len, scores))
        return "\n".join(f"{name:{width}}  {_text(name, value)}" for name, value in scores.items())


def _text(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    if name == "n":
        return f"{value:,}"
    return f"{100 * value:.4g} %" if name in _IN_PER_CENT else f"{value:.4g}"


def score(measured: npt.ArrayLike, predicted: npt.ArrayLike) -> Scores:
    """Score predictions.

    Parameters
    ----------
    measured, predicted : array-like of float, shape (n,)
        Costs in one unit, finite.

    Returns
    -------
    Scores

    Raises
    ------
    InvalidInputError
        If the shapes differ, there is nothing to score, or a value is missing or infinite.

    Examples
    --------
    >>> scores = score([1.0, 2.0, 4.0], [1.0, 2.1, 3.0])
    >>> scores.kendall_tau
    1.0
    >>> print(scores)
    n                 3
    kendall_tau       1
    kendall_tau_raw   1
    spearman_rho      1
    r2                0.7836
    rmse              0.5802
    mape              10 %
    mdape             5 %
    within_5pct       66.67 %
    within_10pct      66.67 %
    top_10pct_recall  100 %
    """
    truth, guess = (
        reals(measured, "measured costs must be numbers"),
        reals(predicted, "predicted costs must be numbers"),
    )
    if truth.ndim != 1 or truth.shape != guess.shape or not len(truth):
        raise InvalidInputError(
            f"measured and predicted must be vectors of one length, at least 1, got {truth.shape} and {guess.shape}."
        )
    for name, values in (("measured", truth), ("predicted", guess)):
        if not np.isfinite(values).all():
            raise InvalidInputError(f"{name} costs must be finite, got {values[~np.isfinite(values)][0]}.")
    error, unit = guess - truth, huge_unit(truth, guess)
    relative = np.abs(error[truth != 0] / truth[truth != 0])
    ranks = tied_ranks(truth), tied_ranks(guess)
    return Scores(
        n=len(truth),
        kendall_tau=_rank(stats.kendalltau, *ranks),
        kendall_tau_raw=_rank(stats.kendalltau, truth, guess),
        spearman_rho=_rank(stats.spearmanr, *ranks),
        r2=_r2(truth / unit, error / unit),
        rmse=unit * float(np.sqrt(np.mean((error / unit) ** 2))),
        mape=float(relative.mean()) if len(relative) else float("nan"),
        mdape=float(np.median(relative)) if len(relative) else float("nan"),
        within_5pct=_within(truth, error, 0.05),
        within_10pct=_within(truth, error, 0.10),
        top_10pct_recall=recall(*ranks, max(1, round(_TOP * len(truth)))),
    )


def _rank(statistic: object, truth: npt.NDArray[np.generic], guess: npt.NDArray[np.generic]) -> float:
    # scipy warns about constants before it returns NaN.
    if len(truth) < 2 or (truth == truth[0]).all() or (guess == guess[0]).all():
        return float("nan")
    return float(statistic(truth, guess).statistic)  # type: ignore[operator]


def _r2(truth: Vector, error: Vector) -> float:
    if (truth == truth[0]).all():  # their rounded mean may differ from them all
        return float("nan")
    total = float(((truth - truth.mean()) ** 2).sum())
    return 1.0 - float((error**2).sum()) / total if total > 0 else float("nan")


def _within(truth: Vector, error: Vector, part: float) -> float:
    return float(np.mean(np.abs(error) <= part * np.abs(truth) * (1 + 1e-12)))


def recall(truth: npt.NDArray[np.int64], guess: npt.NDArray[np.int64], k: int) -> float:
    """Return the fraction of the first k of one ranking that are among the first k of another; ties share places."""
    both = float(np.minimum(_places(truth, k), _places(guess, k)).sum())
    return min(both / k, 1.0)


def _places(ranks: npt.NDArray[np.int64], k: int) -> Vector:
    """Return each row's share of the first k places: 1 inside, 0 outside, equal shares for ties at the border.

    >>> _places(np.array([0, 1, 1, 3]), 2).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    border = np.partition(ranks, k - 1)[k - 1]
    inside, tied = ranks < border, ranks == border
    places: Vector = inside + tied * (k - inside.sum()) / tied.sum()
    return places
