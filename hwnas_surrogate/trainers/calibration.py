"""How far predictions are off: what intervals and probabilities are made of."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.trainers.encoded import octaves

__all__ = ["Calibration", "residuals_by_config", "residuals_by_row", "spreads"]

Vector = npt.NDArray[np.float64]

FOLDS = 5
_KEPT = 2000
"""So many scores are kept: more would not move any quantile that is asked for."""
_EXACT = 1e-9
"""Intervals of exact sums are this wide, relative to the cost: floats differ in their last digits."""
_SMALLEST = 1e-3
"""Costs below this part of the largest are as hard to predict as one of this size."""
FEW_SCORES = 40
"""Fewer residuals than this are taken to be Student's t: their own quantiles don't reach 95 %."""
_EXPECTED = 2.0
"""Where a model says how far it is off, that counts for so many residuals that are just as large."""
_WILD = 8.0
"""Residuals count as this many robust standard deviations at most when their spread is told."""
_FEW = 30
"""From fewer residuals nothing is said about how the spread grows with the cost, and each row is a fold of its own."""

_OWN_SPREAD = 10
"""A config with fewer residuals has no spread of its own."""


class Calibration:
    """The distribution of what a surrogate's predictions leave, by conformal prediction [1]_ [2]_.

    Residuals of training rows, each predicted without it, are divided by a difficulty that can be told for any
    architecture: the predicted cost to a power, times one plus how far the features and the prediction lie outside
    what was trained on, times the model's own doubt if it has one. Their quantiles, times the difficulty of what is
    asked, make intervals that are wider where costs are large and where the surrogate extrapolates. Networks under a
    config that was not trained on have a distribution of their own (Mondrian categories [2]_), from whole configs held
    out, whose residuals grow with the distance from the nearest config trained on.

    Attributes
    ----------
    known_, unseen_ : ndarray of float64
        Scores, sorted: residuals over difficulties, for trained configs and for others; the latter are empty where
        there were too few configs to hold any out.
    growth_ : float
        By which part scores of other configs grow with each octave from the nearest config trained on.
    power_ : float
        To which power of the predicted cost residuals grow.
    low_, high_ : ndarray of float64, shape (k + 1,)
        Range of the training features and of the predictions.

    References
    ----------
    .. [1] Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, "Distribution-free predictive inference for regression",
       JASA 2018.
    .. [2] Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005; computed by crepes (Bostrom,
       COPA 2022).
    """

    known_: Vector
    unseen_: Vector
    growth_: float
    power_: float
    low_: Vector
    high_: Vector

    def fit(
        self,
        features: Vector,
        predicted: Vector,
        residuals: Vector,
        unseen: tuple[npt.NDArray[np.intp], Vector, Vector] | None = None,
        doubts: Vector | None = None,
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
        unseen : tuple of ndarray, shape (m,) each, optional
            For m of the rows: their numbers, the residuals where each row's whole config was left out, and its distance
            from the other configs in octaves.
        doubts : ndarray, shape (n,), optional
            How far off the model expected these predictions to be.

        Returns
        -------
        Calibration
        """
        everything = np.column_stack([features, predicted])
        self.low_, self.high_ = everything.min(axis=0), everything.max(axis=0)
        own = np.ones(len(predicted)) if doubts is None else doubts
        expected = 0.0 if doubts is None else _EXPECTED
        rows, left_out = (np.arange(len(predicted)), residuals) if unseen is None else unseen[:2]
        self.power_ = _power(predicted[rows], left_out / own[rows])
        self.growth_, self.unseen_ = 0.0, np.empty(0)
        difficulty = self.difficulty(features, predicted, own, np.zeros(len(predicted)))
        self.known_ = _thinned(residuals / difficulty, expected)
        if unseen is not None:
            scores, distances = left_out / difficulty[rows], unseen[2]
            self.growth_ = _growth(scores, distances)
            self.unseen_ = _thinned(scores / (1.0 + self.growth_ * distances), expected)
        return self

    def difficulty(self, features: Vector, predicted: Vector, doubts: Vector, distances: Vector) -> Vector:
        """Return how large residuals are expected to be, up to a factor: (n, k) features, (n,) others -> (n,)."""
        beyond = np.zeros(len(predicted))
        low, high = self.low_[:-1], self.high_[:-1]
        away = ((features < low) | (features > high)).any(axis=1)
        away |= (predicted < self.low_[-1]) | (predicted > self.high_[-1])
        beyond[away] = self._beyond(np.column_stack([features[away], predicted[away]]))
        largest = max(self.high_[-1], np.finfo(float).tiny)
        size = np.maximum(predicted, max(self.low_[-1], _SMALLEST * largest)) / largest
        result: Vector = size**self.power_ * (1.0 + beyond) * doubts * (1.0 + self.growth_ * distances)
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

    def interval(
        self, features: Vector, predicted: Vector, doubts: Vector, distances: Vector, coverage: float
    ) -> Vector:
        """Return lower and upper bounds, shape (n, 2); infinite beyond the coverage that the residuals can tell."""
        bounds = np.empty((len(predicted), 2))
        difficulty = self.difficulty(features, predicted, doubts, distances)
        for rows, system in self._systems(distances == 0):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "the no. of calibration examples is too small")
                bounds[rows] = system.predict_int(predicted[rows], difficulty[rows], confidence=coverage)
        slack = _EXACT * np.abs(predicted)
        bounds[:, 0] -= slack
        bounds[:, 1] += slack
        return bounds

    def probability(
        self, features: Vector, predicted: Vector, doubts: Vector, distances: Vector, budget: Vector
    ) -> Vector:
        """Return the probability that each cost is at most the budget, shape (n,)."""
        result = np.empty(len(predicted))
        reach = budget + _EXACT * np.abs(predicted)
        difficulty = self.difficulty(features, predicted, doubts, distances)
        for rows, system in self._systems(distances == 0):
            result[rows] = system.predict_p(predicted[rows], reach[rows], difficulty[rows], smoothing=False)
        return result

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned as arrays."""
        return {
            "known": self.known_,
            "unseen": self.unseen_,
            "power": np.array([self.power_]),
            "growth": np.array([self.growth_]),
            "low": self.low_,
            "high": self.high_,
        }

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], n_features: int) -> Self:
        """Take back what :meth:`to_arrays` returned, for so many features, or raise :class:`InvalidInputError`."""
        _check_learned(arrays, n_features)
        self.known_, self.unseen_ = arrays["known"], arrays["unseen"]
        self.low_, self.high_ = arrays["low"], arrays["high"]
        self.power_, self.growth_ = float(arrays["power"][0]), float(arrays["growth"][0])
        return self

    def _systems(self, known: npt.NDArray[np.bool_]) -> list[tuple[npt.NDArray[np.intp], Any]]:
        """Return the rows of either category that has any, and the predictive system for them."""
        with warnings.catch_warnings():  # importing crepes makes every user's warnings be shown always
            from crepes import ConformalPredictiveSystem

        systems = []
        for rows, scores in ((known, self.known_), (~known, self.unseen_ if len(self.unseen_) else self.known_)):
            if rows.any():
                system = ConformalPredictiveSystem()
                system.fit(scores, np.ones(len(scores)))
                systems.append((np.flatnonzero(rows), system))
        return systems


def _check_learned(arrays: dict[str, npt.NDArray[Any]], n_features: int) -> None:
    """Raise if arrays hold something that :meth:`Calibration.fit` never learns."""
    k = n_features + 1
    shapes = {"power": (1,), "growth": (1,), "low": (k,), "high": (k,)}
    for name in ("known", "unseen", *shapes):
        array = arrays[name]
        shape = shapes.get(name, (len(array),) if array.ndim else (0,))
        if array.shape != shape or array.dtype.kind != "f":
            raise InvalidInputError(f"{name} must be floats of shape {shape}, got {array.dtype} of {array.shape}.")
    if not len(arrays["known"]):
        raise InvalidInputError("known must hold a score at least, got none.")
    power, growth = float(arrays["power"][0]), float(arrays["growth"][0])
    if not 0 <= power <= 1 or not growth >= 0:
        raise InvalidInputError(f"power must be between 0 and 1 and growth at least 0, got {power:g} and {growth:g}.")
    if (arrays["low"] > arrays["high"]).any():
        raise InvalidInputError("low must not be above high.")


def residuals_by_row(model: Any, features: pd.DataFrame, costs: Vector, seed: int) -> Vector:
    """Return each cost minus what the fitted model would predict without the row.

    Models that know (``residuals_``) are asked; others are fitted again in five folds.
    """
    from sklearn.model_selection import KFold

    known = getattr(model, "residuals_", None)
    if known is not None:
        return np.asarray(known, np.float64)
    folds = KFold(len(costs) if len(costs) < _FEW else FOLDS, shuffle=True, random_state=seed)
    return _left_out(model, features, costs, list(folds.split(costs)))


def residuals_by_config(
    model: Any, features: pd.DataFrame, costs: Vector, groups: npt.NDArray[np.intp], sizes: Vector
) -> tuple[Vector, Vector]:
    """Return each cost minus what the model predicts if fitted to other configs only, and how far these are.

    The configs are left out in five folds; their sizes, (configs, 3), are those of :func:`config_sizes`.
    """
    from sklearn.model_selection import GroupKFold

    folds = list(GroupKFold(min(FOLDS, len(np.unique(groups)))).split(costs, groups=groups))
    distances = np.empty(len(costs))
    for train, test in folds:
        distances[test] = octaves(sizes, sizes[np.unique(groups[train])])[groups[test]]
    return _left_out(model, features, costs, folds), distances


def spreads(residuals: Vector, groups: npt.NDArray[np.intp]) -> Vector:
    """Return the robust standard deviation that each residual is compared with, shape (n,).

    That of all, or that of the row's own config where it is larger: costs of larger networks are off by more.
    """
    result = np.full(len(residuals), np.median(np.abs(residuals)))
    for group in np.unique(groups):
        rows = groups == group
        if np.count_nonzero(rows) >= _OWN_SPREAD:
            result[rows] = np.maximum(result[rows], np.median(np.abs(residuals[rows])))
    return np.asarray(1.4826 * result)


def _left_out(model: Any, features: pd.DataFrame, costs: Vector, folds: list[Any]) -> Vector:
    residuals = np.empty(len(costs))
    for train, test in folds:
        try:
            fitted = clone(model).fit(features.iloc[train], costs[train])
        except ValueError as error:
            raise InvalidInputError(
                f"the model was fitted to {len(costs)} rows, but to calibrate its intervals it must be fitted to "
                f"{len(train)} of them as well, and that failed: {error}. Give more rows, or calibrate=False."
            ) from error
        residuals[test] = costs[test] - np.asarray(fitted.predict(features.iloc[test]), np.float64)
    return residuals


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
    size = np.minimum(size, _WILD * 1.4826 * np.median(size))
    if np.ptp(distances) < 1e-6 or not size.any():
        return 0.0
    slope, start = np.polyfit(distances, size, 1)
    # A line that starts below nothing says as much as one that starts at a tenth of the mean.
    return float(max(slope, 0.0) / max(start, 0.1 * size.mean()))


def _thinned(scores: Vector, expected: float = 0.0) -> Vector:
    """Return at most ``_KEPT`` sorted numbers with the distribution of the scores, and of so many expected ones."""
    ordered = np.sort(scores)
    if len(ordered) < FEW_SCORES:
        from scipy.stats import t as student

        middle = float(np.median(ordered))
        spread = 1.4826 * float(np.median(np.abs(ordered - middle)))
        if spread > 0:
            ordered = np.clip(ordered, middle - _WILD * spread, middle + _WILD * spread)
        variance = (expected + (ordered**2).sum()) / (expected + len(ordered))
        freedom = expected + len(ordered) - (0 if expected else 1)
        quantiles = (np.arange(_KEPT // 2) + 0.5) / (_KEPT // 2)
        return np.asarray(student.ppf(quantiles, freedom) * np.sqrt(variance))
    if len(ordered) <= _KEPT:
        return ordered
    return np.quantile(ordered, (np.arange(_KEPT) + 0.5) / _KEPT, method="hazen")
