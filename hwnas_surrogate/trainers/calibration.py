"""The distribution of prediction errors, for intervals and probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models import CostModel
from hwnas_surrogate.models.robust import robust_sd
from hwnas_surrogate.trainers.encoded import log2_distance

__all__ = ["Calibration", "LeftOut", "config_left_out", "expensive_left_out", "promised", "residuals_by_row", "spreads"]

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

FOLDS = 5
_KEPT = 2000
"""Number of quantiles of the scores that are kept: more would not change the intervals."""
_PROMISED = 5
"""n residuals support a coverage of at most 1 - 1/(5 n): 95 % from 4 on, 99 % from 20 on."""
_MOST = 0.999
"""The largest coverage, for any number of residuals."""
_TRUSTED = 20.0
"""With so many scores, empirical quantiles have the same weight as those of Student's t."""
_TAILS = 6.0
"""Degrees of freedom of the tails beyond the empirical quantiles."""
_PARTS = np.arange(1, _KEPT + 1) / (_KEPT + 1)
"""The probabilities of the quantiles that are kept."""
_MAY_WELL = 0.9
"""A network may be more expensive than all trained on if this quantile of its cost is above their largest cost."""
_ENOUGH, _PLENTY = 60, 400
"""Smallest and largest number of rows to estimate the errors of the most expensive networks from."""
_EXACT = 1e-9
"""Relative half-width of intervals of exact sums: floats differ in their last digits."""
_SMALLEST = 1e-3
"""Costs below this fraction of the largest have the difficulty of a cost of this size."""
_EXPECTED = 2.0
"""A model's predictive standard deviation counts as so many residuals of that size."""
_WILD = 8.0
"""Residuals are clipped to so many robust standard deviations to estimate their spread."""
_FEW = 30
"""With fewer residuals, their spread is taken to be the same for all costs, and cross-validation is leave-one-out."""
_OWN_SPREAD = 10
"""A config needs so many residuals for a standard deviation of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """Held-out residuals of training rows that differ from the rows fitted to (covariate shift).

    Parameters
    ----------
    rows : ndarray of int, shape (m,)
        The held-out training rows.
    predicted, residuals, sds : ndarray of float64, shape (m,)
        Their predictions, residuals (measured minus predicted), and predictive standard deviations.
    distances : ndarray of float64, shape (m,)
        Their distances from the rows fitted to.
    """

    rows: Rows
    predicted: Vector
    residuals: Vector
    sds: Vector
    distances: Vector


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """Quantiles of n scores: residuals divided by their difficulty.

    The difficulty has the prediction to the ``power``, and the factor ``1 + growth * distance``.
    """

    quantiles: Vector
    n: int
    power: float
    growth: float = 0.0

    def between(self, coverage: float) -> tuple[float, float]:
        """Return the bounds of the central interval of this coverage."""
        low, high = np.interp([(1 - coverage) / 2, (1 + coverage) / 2], _PARTS, self.quantiles)
        return float(low), float(high)

    def below(self, reach: Vector, difficulty: Vector) -> Vector:
        """Return the probability that score times difficulty is at most ``reach``: (n,), (n,) -> (n,)."""
        with np.errstate(divide="ignore"):
            return np.interp(reach / difficulty, self.quantiles, _PARTS, left=0.0, right=1.0)


class Calibration:
    """The distribution of a surrogate's prediction errors, by normalised conformal prediction [1]_ [2]_.

    A score is an out-of-sample residual of a training row, divided by the row's difficulty. The difficulty is the
    predicted cost to a power, times one plus the distance of features and prediction outside the training range, times
    the model's predictive standard deviation if it has one. An interval is the prediction plus quantiles of the scores
    times the difficulty of the network. It is therefore wider for expensive networks and under extrapolation. n
    residuals support a coverage of at most 1 - 1/(5 n).

    Two Mondrian categories [2]_ have scores of their own, from held-out groups of rows:

    - networks under a config that was not trained on: residuals grow with the log2 distance from the nearest config
      trained on;
    - networks that may be more expensive than all trained on: upper bounds grow with the relative excess.

    Attributes
    ----------
    known_, other_, expensive_ : scores or None
        Scores of trained configs, of other configs, and of networks more expensive than all trained on; None where too
        few rows could be held out.
    most_expensive_ : float
        The largest training cost.
    low_, high_ : ndarray of float64, shape (k + 1,)
        Range of the training features and of the predictions.

    References
    ----------
    .. [1] Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, "Distribution-free predictive inference for regression",
       JASA 2018.
    .. [2] Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005.
    """

    known_: _Scores
    other_: _Scores | None
    expensive_: _Scores | None
    most_expensive_: float
    low_: Vector
    high_: Vector

    def fit(
        self,
        features: Vector,
        predicted: Vector,
        residuals: Vector,
        sds: Vector | None = None,
        *,
        other: LeftOut | None = None,
        expensive: LeftOut | None = None,
    ) -> Self:
        """Fit to out-of-sample residuals.

        Parameters
        ----------
        features : ndarray, shape (n, k)
            The training rows.
        predicted : ndarray, shape (n,)
            Their out-of-sample predictions.
        residuals : ndarray, shape (n,)
            Measured minus predicted.
        sds : ndarray, shape (n,), optional
            Predictive standard deviations of these predictions, if they differ by row.
        other, expensive : LeftOut, optional
            The same with whole configs, and with the most expensive rows, held out.

        Returns
        -------
        Calibration
        """
        everything = np.column_stack([features, predicted])
        self.low_, self.high_ = everything.min(axis=0), everything.max(axis=0)
        self.most_expensive_ = float((predicted + residuals).max())
        own, expected = (np.ones(len(predicted)), 0.0) if sds is None else (sds, _EXPECTED)
        power = _power(predicted, residuals / own)
        difficulty = self.difficulty(features, predicted, own, power)
        self.known_ = _Scores(_quantiles(residuals / difficulty, expected), len(residuals), power)
        self.expensive_ = self.other_ = None
        if expensive is not None:
            self.expensive_ = self._scores(expensive, features, expensive.sds, power)
        if other is not None:
            power = _power(other.predicted, other.residuals)
            self.other_ = self._scores(other, features, np.ones(len(other.rows)), power)
        return self

    def _scores(self, left_out: LeftOut, features: Vector, sds: Vector, power: float) -> _Scores:
        difficulty = self.difficulty(features[left_out.rows], left_out.predicted, sds, power)
        growth = _growth(left_out.residuals / difficulty, left_out.distances)
        scores = left_out.residuals / (difficulty * (1.0 + growth * left_out.distances))
        return _Scores(_quantiles(scores), len(scores), power, growth)

    def difficulty(self, features: Vector, predicted: Vector, sds: Vector, power: float) -> Vector:
        """Return the expected size of residuals, up to a factor: (n, k) features, (n,) others -> (n,)."""
        beyond = np.zeros(len(predicted))
        low, high = self.low_[:-1], self.high_[:-1]
        away = ((features < low) | (features > high)).any(axis=1)
        away |= (predicted < self.low_[-1]) | (predicted > self.high_[-1])
        beyond[away] = self._beyond(np.column_stack([features[away], predicted[away]]))
        largest = max(self.high_[-1], np.finfo(float).tiny)
        size = np.maximum(predicted, max(self.low_[-1], _SMALLEST * largest)) / largest
        result: Vector = size**power * (1.0 + beyond) * sds
        return result

    def _beyond(self, everything: Vector) -> Vector:
        """Return how far features and prediction, (n, k + 1), lie outside the training range, in units of its width,
        (n,).

        The column that lies farthest outside counts.
        """
        outside = np.maximum(np.maximum(self.low_ - everything, everything - self.high_), 0.0)
        # The training range of a constant column has no width: the value itself is the unit.
        width = np.where(
            self.high_ > self.low_, self.high_ - self.low_, np.maximum(np.abs(self.high_), np.abs(everything))
        )
        result: Vector = np.divide(outside, width, out=np.zeros_like(outside), where=width > 0).max(axis=1)
        return result

    def interval(self, features: Vector, predicted: Vector, sds: Vector, distances: Vector, coverage: float) -> Vector:
        """Return lower and upper bounds, shape (n, 2); ``distances``, shape (n,), are those of the configs.

        Raises
        ------
        InvalidInputError
            If there are too few residuals for the coverage.
        """
        bounds = np.empty((len(predicted), 2))
        for rows, scores, difficulty in self._categories(features, predicted, sds, distances):
            _check_promise(coverage, scores.n, scores is self.other_)
            low, high = scores.between(coverage)
            bounds[rows] = np.stack([predicted[rows] + low * difficulty, predicted[rows] + high * difficulty], axis=1)
        for rows, scores, difficulty in self._expensive(features, predicted, sds, distances):
            upper = predicted[rows] + scores.between(coverage)[1] * difficulty
            bounds[rows, 1] = np.maximum(bounds[rows, 1], upper)
        slack = _EXACT * np.abs(predicted)
        bounds[:, 0] -= slack
        bounds[:, 1] += slack
        return bounds

    def probability(
        self, features: Vector, predicted: Vector, sds: Vector, distances: Vector, budget: Vector
    ) -> Vector:
        """Return the probability that each cost is at most the budget, shape (n,)."""
        result = np.empty(len(predicted))
        reach = budget + _EXACT * np.abs(predicted) - predicted
        for rows, scores, difficulty in self._categories(features, predicted, sds, distances):
            result[rows] = scores.below(reach[rows], difficulty)
        for rows, scores, difficulty in self._expensive(features, predicted, sds, distances):
            # As with the bounds, scores of expensive networks are used for the upper half only.
            result[rows] = np.minimum(result[rows], np.maximum(scores.below(reach[rows], difficulty), 0.5))
        return result

    def _categories(
        self, features: Vector, predicted: Vector, sds: Vector, distances: Vector
    ) -> Iterator[tuple[Rows, _Scores, Vector]]:
        """Yield the rows of trained configs and those of other configs, their scores, and their difficulties."""
        known, ones = distances == 0, np.ones(len(predicted))
        others = (self.known_, sds) if self.other_ is None else (self.other_, ones)
        for which, (scores, own) in ((known, (self.known_, sds)), (~known, others)):
            rows = np.flatnonzero(which)
            if len(rows):
                difficulty = self.difficulty(features[rows], predicted[rows], own[rows], scores.power)
                yield rows, scores, difficulty * (1.0 + scores.growth * distances[rows])

    def _expensive(
        self, features: Vector, predicted: Vector, sds: Vector, distances: Vector
    ) -> Iterator[tuple[Rows, _Scores, Vector]]:
        """Yield the same for the rows that may be more expensive than all trained on."""
        if self.expensive_ is None:
            return
        difficulty = self.difficulty(features, predicted, sds, self.expensive_.power)
        upper = predicted + np.interp(_MAY_WELL, _PARTS, self.known_.quantiles) * difficulty
        rows = np.flatnonzero((upper > self.most_expensive_) & (distances == 0))
        excess = np.maximum(predicted[rows] / self.most_expensive_ - 1.0, 0.0)
        yield rows, self.expensive_, difficulty[rows] * (1.0 + self.expensive_.growth * excess)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the fitted parameters as arrays."""
        arrays = {
            "most_expensive": np.array([self.most_expensive_]),
            "low": self.low_,
            "high": self.high_,
        }
        for name in _CATEGORIES:
            scores: _Scores | None = getattr(self, f"{name}_")
            if scores is not None:
                arrays |= {
                    name: scores.quantiles,
                    f"{name}_parameters": np.array([scores.n, scores.power, scores.growth]),
                }
        return arrays

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], n_features: int) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for so many features, or raise :class:`InvalidInputError`."""
        k = n_features + 1
        shapes = {"most_expensive": (1,), "low": (k,), "high": (k,), "known": (_KEPT,), "known_parameters": (3,)}
        for name in _CATEGORIES:
            shapes |= {name: (_KEPT,), f"{name}_parameters": (3,)} if name in arrays else {}
        for name, shape in shapes.items():
            array = arrays[name]
            if array.shape != shape or array.dtype.kind != "f":
                raise InvalidInputError(f"{name} must be floats of shape {shape}, got {array.dtype} of {array.shape}.")
        for name in _CATEGORIES:
            scores = None
            if name in arrays:
                n, power, growth = map(float, arrays[f"{name}_parameters"])
                if not (n >= 1 and n == round(n) and 0 <= power <= 1 and growth >= 0):
                    raise InvalidInputError(
                        f"{name} must be of 1 score or more, of a power between 0 and 1 and a growth of at least 0, "
                        f"got {n:g}, {power:g} and {growth:g}."
                    )
                if (np.diff(arrays[name]) < 0).any():
                    raise InvalidInputError(f"the quantiles of {name} must not fall.")
                scores = _Scores(arrays[name], int(n), power, growth)
            setattr(self, f"{name}_", scores)
        self.low_, self.high_ = arrays["low"], arrays["high"]
        self.most_expensive_ = float(arrays["most_expensive"][0])
        if not self.most_expensive_ >= 0:
            raise InvalidInputError(f"most_expensive must be at least 0, got {self.most_expensive_:g}.")
        if (self.low_ > self.high_).any():
            raise InvalidInputError("low must not be above high.")
        return self


_CATEGORIES = ("known", "other", "expensive")


def promised(n: int) -> float:
    """Return the largest coverage that n residuals support: farther out there are hardly any residuals."""
    return min(1 - 1 / (_PROMISED * n), _MOST)


def _check_promise(coverage: float, n: int, of_others: bool) -> None:
    """Raise if n residuals, of trained configs or of other configs, do not support a coverage."""
    if coverage > _MOST:
        raise InvalidInputError(f"coverage must be at most {_MOST:g} ({_MOST:.1%}), got {coverage:g}.")
    if coverage > promised(n) + 1e-9:
        needed = int(np.ceil(1 / (_PROMISED * (1 - coverage)) - 1e-9))
        most = np.floor(1e4 * promised(n) + 1e-6) / 1e4
        wanted = f"a coverage of {coverage:g} ({100 * coverage:g} %)"
        if of_others:
            raise InvalidInputError(
                f"under a config that was not trained on, {wanted} takes {needed} costs, as many of each trained "
                f"config; {n} are there: ask for {most:g} at most, or measure more under those with the fewest."
            )
        raise InvalidInputError(
            f"{wanted} takes the costs of {needed} networks, the surrogate was fitted to {n}: ask for {most:g} at "
            f"most, or measure {needed - n} more."
        )


def residuals_by_row(model: CostModel, features: pd.DataFrame, costs: Vector, seed: int) -> Vector:
    """Return out-of-sample residuals of n costs, (n,): the model's ``residuals_`` if it has them.

    Other models are fitted again in five folds; with fewer than thirty rows, in one fold per row.
    """
    from sklearn.model_selection import KFold

    if model.residuals_ is not None:
        return model.residuals_
    folds = KFold(len(costs) if len(costs) < _FEW else FOLDS, shuffle=True, random_state=seed)
    return _left_out(model, features, costs, list(folds.split(costs)))[0]


def config_left_out(
    model: CostModel,
    features: pd.DataFrame,
    costs: Vector,
    groups: npt.NDArray[np.intp],
    sizes: Vector,
    rows: npt.NDArray[np.intp],
) -> LeftOut:
    """Return held-out residuals of some rows, with the model fitted to the other configs of these rows.

    The configs are held out in five folds; their ``sizes``, (configs, 3), are those of :func:`config_sizes`.
    """
    from sklearn.model_selection import GroupKFold

    features, costs, groups = features.iloc[rows], costs[rows], groups[rows]
    folds = list(GroupKFold(min(FOLDS, len(np.unique(groups)))).split(costs, groups=groups))
    distances = np.empty(len(costs))
    for train, test in folds:
        distances[test] = log2_distance(sizes, sizes[np.unique(groups[train])])[groups[test]]
    residuals, sds = _left_out(model, features, costs, folds)
    return LeftOut(rows, costs - residuals, residuals, sds, distances)


def expensive_left_out(model: CostModel, features: pd.DataFrame, costs: Vector, seed: int) -> LeftOut | None:
    """Return held-out residuals of the most expensive fifth of the rows, with the model fitted to the others.

    Of more than four hundred rows, four hundred random ones are used. None for fewer than sixty.
    """
    if len(costs) < _ENOUGH:
        return None
    rows = np.random.default_rng(seed).permutation(len(costs))[:_PLENTY]
    rows = rows[np.argsort(costs[rows], kind="stable")]
    train, test = np.split(np.arange(len(rows)), [len(rows) - len(rows) // 5])
    if costs[rows[train[0]]] == costs[rows[train[-1]]]:
        return None
    residuals, sds = _left_out(model, features.iloc[rows], costs[rows], [(train, test)])
    predicted = costs[rows[test]] - residuals[test]
    distances = np.maximum(predicted / costs[rows[train[-1]]] - 1.0, 0.0)
    return LeftOut(rows[test], predicted, residuals[test], sds[test], distances)


def spreads(residuals: Vector, groups: npt.NDArray[np.intp]) -> Vector:
    """Return a robust standard deviation for each residual, to recognise outliers, shape (n,).

    It is that of all residuals, or that of the row's config if larger: errors are larger for larger networks.
    """
    result = np.full(len(residuals), robust_sd(residuals))
    for group in np.unique(groups):
        rows = groups == group
        if np.count_nonzero(rows) >= _OWN_SPREAD:
            result[rows] = np.maximum(result[rows], robust_sd(residuals[rows]))
    return result


def _left_out(model: CostModel, features: pd.DataFrame, costs: Vector, folds: list[Any]) -> tuple[Vector, Vector]:
    """Return held-out residuals and predictive standard deviations, (n,) each; 1 for models without the latter."""
    residuals, sds = np.empty(len(costs)), np.ones(len(costs))
    for train, test in folds:
        try:
            fitted = clone(model).fit(features.iloc[train], costs[train])
        except ValueError as error:
            raise InvalidInputError(
                f"the model was fitted to {len(costs)} rows, but to calibrate its intervals it must be fitted to "
                f"{len(train)} of them as well, and that failed: {error}. Give more rows, or calibrate=False."
            ) from error
        if fitted.heteroscedastic:
            posterior = fitted.posterior(features.iloc[test])
            residuals[test], sds[test] = costs[test] - posterior.mean, posterior.sd
        else:
            residuals[test] = costs[test] - fitted.predict(features.iloc[test])
    return residuals, sds


def _power(predicted: Vector, residuals: Vector) -> float:
    """Return the power of the cost that residuals grow with: 0 if they don't grow, 1 for a constant relative error."""
    usable = (predicted > 0) & (residuals != 0)
    if np.count_nonzero(usable) < _FEW:
        return 0.0
    size, spread = np.log(predicted[usable]), np.log(np.abs(residuals[usable]))
    if size.std() < 1e-6:
        return 0.0
    return float(np.clip(np.polyfit(size, spread, 1)[0], 0.0, 1.0))


def _growth(scores: Vector, distances: Vector) -> float:
    """Return the relative growth of absolute scores per unit of distance: 0 if they don't grow."""
    size = np.abs(scores)
    size = np.minimum(size, _WILD * robust_sd(size))
    if np.ptp(distances) < 1e-6 or not size.any():
        return 0.0
    slope, start = np.polyfit(distances, size, 1)
    # The intercept may be negative: use a tenth of the mean at least.
    return float(max(slope, 0.0) / max(start, 0.1 * size.mean()))


def _quantiles(scores: Vector, expected: float = 0.0) -> Vector:
    """Return the predictive quantiles of the next score at ``_PARTS``, given n scores.

    Few scores determine the width of the distribution but not its shape: Student's t is used. Many scores have
    empirical quantiles, as in conformal prediction. In between it is a mixture of the two, with a weight of
    n^2 / (n^2 + 20^2) of the empirical ones: 0.2 for ten scores, 0.5 for twenty, 0.96 for a hundred.

    Parameters
    ----------
    scores : ndarray of float64, shape (n,)
    expected : float
        How many scores of size 1 the model's own standard deviation counts for.
    """
    n, ordered = len(scores), np.sort(scores)
    result = _student_quantiles(ordered, expected)
    if n > 3:
        result += n**2 / (n**2 + _TRUSTED**2) * (_empirical_quantiles(ordered) - result)
    return result


def _student_quantiles(ordered: Vector, expected: float) -> Vector:
    """Return the quantiles of Student's t around 0, scaled to n rising scores, outliers clipped."""
    from scipy.stats import t as student

    n, median = len(ordered), float(np.median(ordered))
    spread = robust_sd(ordered, median)
    clipped = np.clip(ordered, median - _WILD * spread, median + _WILD * spread) if spread > 0 else ordered
    variance = (expected + (clipped**2).sum()) / (expected + n)
    freedom = min(n / 2 + 2, n - 1 + expected)
    result: Vector = student.ppf(_PARTS, freedom) * np.sqrt(variance)
    return result


def _empirical_quantiles(ordered: Vector) -> Vector:
    """Return the quantiles of n > 3 rising scores; beyond the second and the last but one, tails of Student's t."""
    from scipy.stats import t as student

    n, median = len(ordered), float(np.median(ordered))
    outer = 2 / (n + 1)
    result = np.interp(_PARTS, np.arange(1, n + 1) / (n + 1), ordered)
    low, high = np.interp([outer, 1 - outer], _PARTS, result) - median
    tails = student.ppf(_PARTS, _TAILS) / student.ppf(1 - outer, _TAILS)
    below, above = np.less(_PARTS, outer), np.greater(_PARTS, 1 - outer)
    result[below], result[above] = median - low * tails[below], median + high * tails[above]
    return result
