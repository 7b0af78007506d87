"""Costs as products: for devices and tables whose costs span orders of magnitude."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.boosted import BoostedRidge
from hwnas_surrogate.models.linear import LeaveOneOutRidge, Vector
from hwnas_surrogate.models.prior import CORRECTION, PHYSICS

__all__ = ["LogRidge"]

_NOTHING = 1e-3
"""A sum of physics is taken to be larger by this part of its mean, so that none has a logarithm."""
_LARGEST = 700.0
"""Larger logarithms have no exponential."""


class LogRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A :class:`BoostedRidge` of the logarithm of costs, which reads the logarithms of physics as well.

    Products and powers are sums of logarithms: where each op multiplies the cost, or the cost grows with a power of the
    multiply-adds. Its errors are parts of the cost, so that small costs count as much as large ones.

    Parameters
    ----------
    n_trees : int, optional
        Of the boosted ridge; if None as many as it has by default, if 0 it is a ridge.
    random_state : int or None, default=None
        Seed of the boosted ridge; None is 0.

    Attributes
    ----------
    ridge_ : BoostedRidge or LeaveOneOutRidge
        Of the logarithms of costs.
    offsets_ : ndarray of float64, shape (p,)
        What is added to the p columns of physics before the logarithm is taken.
    residuals_ : ndarray of float64, shape (n,)
        Each training cost minus what is predicted without it; not saved.
    """

    ridge_: LeaveOneOutRidge
    offsets_: Vector
    residuals_: Vector

    def __init__(self, n_trees: int | None = None, random_state: int | None = None) -> None:
        self.n_trees = n_trees
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs above 0."""
        validate_data(self, X, skip_check_array=True)
        costs = np.asarray(y, np.float64)
        if not (costs > 0).all():
            raise InvalidInputError(f"LogRidge takes costs above 0, got {costs.min():g}.")
        self.offsets_ = _NOTHING * X.iloc[:, self._physics()].to_numpy(np.float64).mean(axis=0)
        self.ridge_ = self._ridge().fit(self._columns(X), np.log(costs))
        self.residuals_ = costs - _exponential(np.log(costs) - self.ridge_.residuals_)
        return self

    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "ridge_")
        validate_data(self, X, reset=False, skip_check_array=True)
        return _exponential(self.ridge_.predict(self._columns(X)))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned as arrays."""
        check_is_fitted(self, "ridge_")
        return {**self.ridge_.to_arrays(), "offsets": self.offsets_}

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        self.feature_names_in_, self.n_features_in_ = feature_names, len(feature_names)
        self.offsets_ = arrays["offsets"]
        if self.offsets_.shape != self._physics().shape or not (self.offsets_ >= 0).all():
            raise InvalidInputError(f"offsets must be {len(self._physics())} numbers of at least 0.")
        self.ridge_ = self._ridge().from_arrays(arrays, self._names())
        return self

    def _ridge(self) -> LeaveOneOutRidge:
        if self.n_trees == 0:
            return LeaveOneOutRidge()
        boosted = BoostedRidge(random_state=self.random_state)
        return boosted if self.n_trees is None else boosted.set_params(n_trees=self.n_trees)

    def _groups(self) -> list[str]:
        return [str(name).partition(":")[0] for name in self.feature_names_in_]

    def _physics(self) -> npt.NDArray[np.intp]:
        """Return the columns whose logarithms are read: sums that are never negative."""
        return np.flatnonzero([group.startswith(PHYSICS) for group in self._groups()])

    def _others(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero([not group.startswith((PHYSICS, CORRECTION)) for group in self._groups()])

    def _names(self) -> npt.NDArray[np.object_]:
        logs = [f"log:{name}" for name in self.feature_names_in_[self._physics()]]
        return np.array([*self.feature_names_in_[self._others()], *logs], object)

    def _columns(self, X: pd.DataFrame) -> pd.DataFrame:
        values = X.to_numpy(np.float64)
        sums = values[:, self._physics()] + self.offsets_
        logs = np.log(sums, out=np.zeros_like(sums), where=sums > 0)
        return pd.DataFrame(np.column_stack([values[:, self._others()], logs]), columns=self._names())


def _exponential(logs: Vector) -> Vector:
    return np.asarray(np.exp(np.clip(logs, -_LARGEST, _LARGEST)))
