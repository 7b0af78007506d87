"""How far predictions are off: what intervals and probabilities are made of."""

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
"""So many quantiles of the scores are kept: more would not move any that is asked for."""
_PROMISED = 5
"""n residuals promise a coverage of 1 - 1/(5 n) at most: 95 % from 4 on, 99 % from 20 on."""
_MOST = 0.999
"""No number of residuals promises more."""
_TRUSTED = 20.0
"""With so many scores their own quantiles count as much as those of Student's t."""
_TAILS = 6.0
"""Degrees of freedom of the tails beyond the scores' own quantiles."""
_PARTS = np.arange(1, _KEPT + 1) / (_KEPT + 1)
"""The probabilities of these quantiles."""
_MAY_WELL = 0.9
"""A network may well be dearer than all trained on if this quantile of its cost is."""
_ENOUGH, _PLENTY = 60, 400
"""So many rows, at least and at most, tell how far predictions of the dearest are off."""
_EXACT = 1e-9
"""Intervals of exact sums are this wide, relative to the cost: floats differ in their last digits."""
_SMALLEST = 1e-3
"""Costs below this part of the largest are as hard to predict as one of this size."""
_EXPECTED = 2.0
"""Where a model says how far it is off, that counts for so many residuals that are just as large."""
_WILD = 8.0
"""Residuals count as this many robust standard deviations at most when their spread is told."""
_FEW = 30
"""From fewer residuals nothing is said about how the spread grows with the cost, and each row is a fold of its own."""
_OWN_SPREAD = 10
"""A config with fewer residuals has no spread of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """What a model leaves of training rows that are unlike those it was fitted to.

    Parameters
    ----------
    rows : ndarray of int, shape (m,)
        Which training rows.
    predicted, residuals, sds : ndarray of float64, shape (m,)
        What was predicted of them, their costs minus that, and the predictive standard deviations.
    distances : ndarray of float64, shape (m,)
        How far they lie from the rows fitted to.
    """

    rows: Rows
    predicted: Vector
    residuals: Vector
    sds: Vector
    distances: Vector


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """Quantiles of n scores: residuals over a power of the prediction, and over what grows with the distance."""

    quantiles: Vector
    n: int
    power: float
    growth: float = 0.0

    def between(self, coverage: float) -> tuple[float, float]:
        """Return the quantiles that a part of the scores lies between."""
        low, high = np.interp([(1 - coverage) / 2, (1 + coverage) / 2], _PARTS, self.quantiles)
        return float(low), float(high)

    def below(self, reach: Vector, difficulty: Vector) -> Vector:
        """Return the probability that scores times difficulties are at most so large: (n,), (n,) -> (n,)."""
        with np.errstate(divide="ignore"):
            return np.interp(reach / difficulty, self.quantiles, _PARTS, left=0.0, right=1.0)


class Calibration:
    """The distribution of what a surrogate's predictions leave, by conformal prediction [1]_ [2]_.

    Residuals of training rows, each predicted without it, are divided by a difficulty that can be told for any
    architecture: the predicted cost to a power, times one plus how far the features and the prediction lie outside
    what was trained on, times the model's own standard deviation if that differs. Their quantiles, times the
    difficulty of what is asked, make intervals that are wider where costs are large and where the surrogate
    extrapolates. n residuals promise a coverage of 1 - 1/(5 n) at most.

    Two categories have distributions of their own (Mondrian categories [2]_), from rows held out as a whole: networks
    under a config that was not trained on, whose residuals grow with the distance from the nearest config trained on;
    and networks that may be dearer than all trained on, whose upper bounds grow with how much dearer.

    Attributes
    ----------
    known_, other_, expensive_ : scores or None
        Quantiles of residuals over difficulties: of trained configs, of others, and of networks dearer than all trained
        on; None where too few rows could be held out.
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
        """Learn from out-of-sample residuals.

        Parameters
        ----------
        features : ndarray, shape (n, k)
            The training rows.
        predicted : ndarray, shape (n,)
            Their costs, predicted without them.
        residuals : ndarray, shape (n,)
            Measured minus predicted.
        sds : ndarray, shape (n,), optional
            The model's standard deviations of these predictions, if they differ.
        other, expensive : LeftOut, optional
            The same where whole configs, and where the dearest rows, were left out.

        Returns
        -------
        Calibration
        """
        everything = np.column_stack([features, predicted])
        self.low_, self.high_ = everything.min(axis=0), everything.max(axis=0)
        self.most_expensive_ = float((predicted + residuals).max())
        own, expected = (np.ones(len(predicted)), 0.0) if sds is None else (sds, _EXPECTED)
        power = _power(predicted, residuals / own)
        wide = self.difficulty(features, predicted, own, power)
        self.known_ = _Scores(_quantiles(residuals / wide, expected), len(residuals), power)
        self.expensive_ = self.other_ = None
        if expensive is not None:
            self.expensive_ = self._scores(expensive, features, expensive.sds, power)
        if other is not None:
            power = _power(other.predicted, other.residuals)
            self.other_ = self._scores(other, features, np.ones(len(other.rows)), power)
        return self

    def _scores(self, left_out: LeftOut, features: Vector, sds: Vector, power: float) -> _Scores:
        wide = self.difficulty(features[left_out.rows], left_out.predicted, sds, power)
        growth = _growth(left_out.residuals / wide, left_out.distances)
        scores = left_out.residuals / (wide * (1.0 + growth * left_out.distances))
        return _Scores(_quantiles(scores), len(scores), power, growth)

    def difficulty(self, features: Vector, predicted: Vector, sds: Vector, power: float) -> Vector:
        """Return how large residuals are expected to be, up to a factor: (n, k) features, (n,) others -> (n,)."""
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
        """Return how far rows of features and prediction lie outside what was trained on, in its widths, (n,)."""
        outside = np.maximum(np.maximum(self.low_ - everything, everything - self.high_), 0.0)
        # A column that never varied in training has no width: its own size is the yardstick.
        width = np.where(
            self.high_ > self.low_, self.high_ - self.low_, np.maximum(np.abs(self.high_), np.abs(everything))
        )
        result: Vector = np.divide(outside, width, out=np.zeros_like(outside), where=width > 0).max(axis=1)
        return result

    def interval(self, features: Vector, predicted: Vector, sds: Vector, distances: Vector, coverage: float) -> Vector:
        """Return lower and upper bounds, shape (n, 2), of rows whose configs lie so far from those trained on.

        Raises
        ------
        InvalidInputError
            If so many residuals can't promise the coverage.
        """
        bounds = np.empty((len(predicted), 2))
        for rows, scores, wide in self._categories(features, predicted, sds, distances):
            _check_promise(coverage, scores.n, scores is self.other_)
            low, high = scores.between(coverage)
            bounds[rows] = np.stack([predicted[rows] + low * wide, predicted[rows] + high * wide], axis=1)
        for rows, scores, wide in self._expensive(features, predicted, sds, distances):
            upper = predicted[rows] + scores.between(coverage)[1] * wide
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
        for rows, scores, wide in self._categories(features, predicted, sds, distances):
            result[rows] = scores.below(reach[rows], wide)
        for rows, scores, wide in self._expensive(features, predicted, sds, distances):
            # As of the bounds, only the upper half is that of dear networks.
            result[rows] = np.minimum(result[rows], np.maximum(scores.below(reach[rows], wide), 0.5))
        return result

    def _categories(
        self, features: Vector, predicted: Vector, sds: Vector, distances: Vector
    ) -> Iterator[tuple[Rows, _Scores, Vector]]:
        """Yield the rows of trained configs and those of others, their scores, and what these are multiplied by."""
        known, ones = distances == 0, np.ones(len(predicted))
        others = (self.known_, sds) if self.other_ is None else (self.other_, ones)
        for which, (scores, own) in ((known, (self.known_, sds)), (~known, others)):
            rows = np.flatnonzero(which)
            if len(rows):
                wide = self.difficulty(features[rows], predicted[rows], own[rows], scores.power)
                yield rows, scores, wide * (1.0 + scores.growth * distances[rows])

    def _expensive(
        self, features: Vector, predicted: Vector, sds: Vector, distances: Vector
    ) -> Iterator[tuple[Rows, _Scores, Vector]]:
        """Yield the same of the rows that may well be dearer than all trained on."""
        if self.expensive_ is None:
            return
        wide = self.difficulty(features, predicted, sds, self.expensive_.power)
        reach = predicted + np.interp(_MAY_WELL, _PARTS, self.known_.quantiles) * wide
        rows = np.flatnonzero((reach > self.most_expensive_) & (distances == 0))
        exceeded = np.maximum(predicted[rows] / self.most_expensive_ - 1.0, 0.0)
        yield rows, self.expensive_, wide[rows] * (1.0 + self.expensive_.growth * exceeded)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned as arrays."""
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
        """Take back what :meth:`to_arrays` returned, for so many features, or raise :class:`InvalidInputError`."""
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
    """Return the largest coverage that n residuals can promise: what lies farther out was hardly ever seen."""
    return min(1 - 1 / (_PROMISED * n), _MOST)


def _check_promise(coverage: float, n: int, of_others: bool) -> None:
    """Refuse a coverage that n residuals can't promise, of trained configs or of others."""
    if coverage > _MOST:
        raise InvalidInputError(f"coverage must be at most {_MOST:g} ({_MOST:.1%}), got {coverage:g}.")
    if coverage > promised(n) + 1e-9:
        needed = int(np.ceil(1 / (_PROMISED * (1 - coverage)) - 1e-9))
        most = np.floor(1e4 * promised(n) + 1e-6) / 1e4
        asked = f"a coverage of {coverage:g} ({100 * coverage:g} %)"
        if of_others:
            raise InvalidInputError(
                f"under a config that was not trained on, {asked} takes {needed} costs, as many of each trained "
                f"config; {n} are there: ask for {most:g} at most, or measure more under those with the fewest."
            )
        raise InvalidInputError(
            f"{asked} takes the costs of {needed} networks, the surrogate was fitted to {n}: ask for {most:g} at most, "
            f"or measure {needed - n} more."
        )


def residuals_by_row(model: CostModel, features: pd.DataFrame, costs: Vector, seed: int) -> Vector:
    """Return each cost minus what the fitted model would predict without the row.

    Models that know (``residuals_``) are asked; others are fitted again in five folds.
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
    """Return what the model leaves of some rows if fitted to the other configs of these rows only.

    The configs are left out in five folds; their sizes, (configs, 3), are those of :func:`config_sizes`.
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
    """Return what the model leaves of the dearest fifth of the rows if fitted to the others only.

    Of many rows, four hundred drawn at random will do. None of fewer than sixty.
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
    """Return the robust standard deviation that each residual is compared with, shape (n,).

    That of all, or that of the row's own config where it is larger: costs of larger networks are off by more.
    """
    result = np.full(len(residuals), robust_sd(residuals))
    for group in np.unique(groups):
        rows = groups == group
        if np.count_nonzero(rows) >= _OWN_SPREAD:
            result[rows] = np.maximum(result[rows], robust_sd(residuals[rows]))
    return result


def _left_out(model: CostModel, features: pd.DataFrame, costs: Vector, folds: list[Any]) -> tuple[Vector, Vector]:
    """Return what the model leaves of the rows of each fold if fitted to the others, and its own expectation."""
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
    """Return by which power of the cost residuals grow: 0 where they don't, 1 where the relative error is constant."""
    told = (predicted > 0) & (residuals != 0)
    if np.count_nonzero(told) < _FEW:
        return 0.0
    size, spread = np.log(predicted[told]), np.log(np.abs(residuals[told]))
    if size.std() < 1e-6:
        return 0.0
    return float(np.clip(np.polyfit(size, spread, 1)[0], 0.0, 1.0))


def _growth(scores: Vector, distances: Vector) -> float:
    """Return by which part scores grow per octave: 0 where they don't."""
    size = np.abs(scores)
    size = np.minimum(size, _WILD * robust_sd(size))
    if np.ptp(distances) < 1e-6 or not size.any():
        return 0.0
    slope, start = np.polyfit(distances, size, 1)
    # A line that starts below nothing says as much as one that starts at a tenth of the mean.
    return float(max(slope, 0.0) / max(start, 0.1 * size.mean()))


def _quantiles(scores: Vector, expected: float = 0.0) -> Vector:
    """Return ``_KEPT`` quantiles of the next score, i/(``_KEPT`` + 1) each, given some scores and expected ones.

    Few scores say how wide the distribution is, not which shape it has: Student's t has heavy tails then. Many have
    quantiles of their own, as in conformal prediction; only beyond the outermost but one on each side the tails are
    those of a t. In between it is a mixture of the two.
    """
    from scipy.stats import t as student

    n, ordered = len(scores), np.sort(scores)
    middle = float(np.median(ordered))
    spread = robust_sd(ordered, middle)
    tame = np.clip(ordered, middle - _WILD * spread, middle + _WILD * spread) if spread > 0 else ordered
    variance = (expected + (tame**2).sum()) / (expected + n)
    freedom = min(n / 2 + 2, n - 1 + expected)
    result: Vector = student.ppf(_PARTS, freedom) * np.sqrt(variance)
    outer = 2 / (n + 1)
    if outer < 0.5:
        own = np.interp(_PARTS, np.arange(1, n + 1) / (n + 1), ordered)
        low, high = np.interp([outer, 1 - outer], _PARTS, own) - middle
        tails = student.ppf(_PARTS, _TAILS) / student.ppf(1 - outer, _TAILS)
        below, above = np.less(_PARTS, outer), np.greater(_PARTS, 1 - outer)
        own[below], own[above] = middle - low * tails[below], middle + high * tails[above]
        result += n**2 / (n**2 + _TRUSTED**2) * (own - result)
    return result
