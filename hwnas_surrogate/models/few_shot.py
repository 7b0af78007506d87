"""From ten measurements to thousands: physics first, the ordinary model as the measurements grow."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.boosted import BoostedRidge
from hwnas_surrogate.models.linear import Vector
from hwnas_surrogate.models.physics import SOURCE, PhysicsGP

__all__ = ["FewShot"]

MIN_ROWS = 20
"""Fewer rows than this say nothing about the ordinary model."""
PROVEN_ROWS = 60
"""Of fewer rows, leave-one-out flatters a ridge that chose its columns by it: it is fitted anew in folds."""
FOLDS = 10
_DOUBT = 10.0
"""With so many rows the ordinary model's part is held back as by as many more that speak for physics."""
_ALL = 0.95


class FewShot(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A :class:`PhysicsGP` and a :class:`BoostedRidge`, weighted by their errors on rows left out.

    Ten rows are told by physics, and by the surrogates of other devices, alone; with hundreds, the ordinary model has
    nearly all the weight.

    Parameters
    ----------
    random_state : int or None, default=None
        Seed of the two models; None is 0.

    Attributes
    ----------
    physics_ : PhysicsGP
        Fitted on the columns of :class:`LayerPhysics` and ``source`` ones.
    ordinary_ : BoostedRidge or None
        Fitted on all the others; None where there are too few rows.
    weight_ : float
        The ordinary model's part in the prediction, from 0 to 1.
    residuals_ : ndarray of float64, shape (n,)
        Each training cost minus what is predicted without it; not saved.
    doubts_ : ndarray of float64, shape (n,), or None
        How far off these predictions were expected to be; None where the ordinary model has all the weight. Not saved.
    """

    physics_: PhysicsGP
    ordinary_: BoostedRidge | None
    weight_: float
    residuals_: Vector
    doubts_: Vector | None

    def __init__(self, random_state: int | None = None) -> None:
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs."""
        validate_data(self, X, skip_check_array=True)
        costs = np.asarray(y, np.float64)
        mine, others = self._parts()
        self.physics_ = PhysicsGP(random_state=self.random_state).fit(X.iloc[:, mine], costs)
        self.residuals_, self.ordinary_, self.weight_ = self.physics_.residuals_, None, 0.0
        self.doubts_ = self.physics_.doubts_
        if len(costs) < MIN_ROWS or not len(others):
            return self
        ordinary = BoostedRidge(random_state=self.random_state).fit(X.iloc[:, others], costs)
        # With hardly more rows than columns they are a sum of them by chance, and say nothing of other columns.
        proven = ordinary.exact_ and 3 * len(costs) >= 4 * np.count_nonzero(ordinary.coef_)
        known = proven or len(costs) >= PROVEN_ROWS
        left_out = ordinary.residuals_ if known else _left_out(ordinary, X.iloc[:, others], costs)
        self.weight_ = 1.0 if proven else _weight(self.residuals_, left_out)
        if self.weight_:
            self.ordinary_ = ordinary
            self.residuals_ = (1 - self.weight_) * self.residuals_ + self.weight_ * left_out
        if self.weight_ == 1:
            self.doubts_ = None
        return self

    def rank(self, X: pd.DataFrame) -> Self:
        """Take the average of the ``source`` columns for the cost, each over its mean in (n, k) named columns."""
        validate_data(self, X, skip_check_array=True)
        mine, _ = self._parts()
        self.physics_ = PhysicsGP(random_state=self.random_state).rank(X.iloc[:, mine])
        self.ordinary_, self.weight_, self.residuals_, self.doubts_ = None, 0.0, np.empty(0), None
        return self

    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "physics_")
        validate_data(self, X, reset=False, skip_check_array=True)
        mine, others = self._parts()
        predicted: Vector = np.zeros(len(X))
        if self.weight_ < 1:
            predicted += (1 - self.weight_) * self.physics_.predict(X.iloc[:, mine])
        if self.ordinary_ is not None:
            predicted += self.weight_ * self.ordinary_.predict(X.iloc[:, others])
        return predicted

    def doubt(self, X: pd.DataFrame) -> Vector:
        """Return how far off predictions are expected to be, up to a factor: (n, k) named columns -> (n,).

        Physics says where it is unsure. The ordinary model does not: where it has all the weight, all are 1.
        """
        check_is_fitted(self, "physics_")
        if self.weight_ == 1:
            return np.ones(len(X))
        return self.physics_.doubt(X.iloc[:, self._parts()[0]])

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned as arrays."""
        check_is_fitted(self, "physics_")
        arrays = {f"physics_{name}": array for name, array in self.physics_.to_arrays().items()}
        if self.ordinary_ is not None:
            arrays |= {f"ordinary_{name}": array for name, array in self.ordinary_.to_arrays().items()}
        return {**arrays, "weight": np.array([self.weight_])}

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        self.feature_names_in_, self.n_features_in_ = feature_names, len(feature_names)
        mine, others = self._parts()
        self.weight_ = float(arrays["weight"][0])
        if not 0 <= self.weight_ <= 1:
            raise InvalidInputError(f"weight must be between 0 and 1, got {self.weight_:g}.")
        self.physics_ = PhysicsGP(random_state=self.random_state).from_arrays(
            _named(arrays, "physics_"), feature_names[mine]
        )
        self.ordinary_ = None
        if self.weight_:
            self.ordinary_ = BoostedRidge(random_state=self.random_state).from_arrays(
                _named(arrays, "ordinary_"), feature_names[others]
            )
        return self

    def _parts(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return which columns the physics and which the ordinary model reads."""
        groups = [str(name).partition(":")[0] for name in self.feature_names_in_]
        physical = np.array([group == SOURCE or group.startswith(("physics_", "correction_")) for group in groups])
        return np.flatnonzero(physical), np.flatnonzero(~physical)


def _left_out(model: BoostedRidge, X: pd.DataFrame, costs: Vector) -> Vector:
    """Return each cost minus what the model predicts if it is fitted to other folds, choosing its columns there."""
    from sklearn.model_selection import KFold

    residuals = np.empty(len(costs))
    for train, test in KFold(FOLDS, shuffle=True, random_state=model.random_state or 0).split(costs):
        fitted = clone(model).fit(X.iloc[train], costs[train])
        residuals[test] = costs[test] - fitted.predict(X.iloc[test])
    return residuals


def _weight(physics: Vector, ordinary: Vector) -> float:
    """Return the part of the ordinary model that would have left the smallest residuals, with a doubt."""
    # Rows that both miss are slips or noise; those that one misses are what tells them apart.
    smaller = np.minimum(np.abs(physics), np.abs(ordinary))
    kept = smaller <= 3 * 1.4826 * np.median(np.abs(physics))
    first, second = physics[kept], ordinary[kept]
    apart = first - second
    doubt = (_DOUBT / len(first)) ** 2 * float((first**2).sum())
    total = float((apart**2).sum()) + doubt
    weight = float(np.clip((first * apart).sum() / total, 0.0, 1.0)) if total > 0 else 0.0
    return 1.0 if weight > _ALL else 0.0 if weight < 1 - _ALL else weight


def _named(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
