"""Costs as products: for devices and tables whose costs span orders of magnitude."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.columns import Column, Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.boosted import BoostedRidge
from hwnas_surrogate.models.cost_model import Arrays, CostModel, Vector, checked_array
from hwnas_surrogate.models.linear import EXACT, LeaveOneOutRidge
from hwnas_surrogate.models.robust import robust_sd

__all__ = ["LogRidge"]

_NOTHING = 1e-3
"""A sum of physics is taken to be larger by this part of its mean, so that none has a logarithm."""
_LARGEST = 700.0
"""Larger logarithms have no exponential."""


class LogRidge(CostModel):
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
    sd_ : float
        Predictive standard deviation, relative to what is predicted.
    """

    ridge_: LeaveOneOutRidge
    offsets_: Vector
    residuals_: Vector
    sds_: Vector
    sd_: float

    def __init__(self, n_trees: int | None = None, random_state: int | None = None) -> None:
        self.n_trees = n_trees
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs above 0."""
        _, costs, _ = self._checked(X, y)
        if not (costs > 0).all():
            raise InvalidInputError(f"LogRidge takes costs above 0, got {costs.min():g}.")
        self.offsets_ = _NOTHING * X.iloc[:, self._physics()].to_numpy(np.float64).mean(axis=0)
        self.ridge_ = self._ridge().fit(self._columns(X), np.log(costs))
        predicted = _exponential(np.log(costs) - self.ridge_.residuals_)
        self.residuals_ = costs - predicted
        self.sd_ = max(robust_sd(self.residuals_ / predicted), EXACT)
        self.sds_ = self.sd_ * predicted
        return self

    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "ridge_")
        self._values(X)
        return _exponential(self.ridge_.predict(self._columns(X)))

    @property
    def heteroscedastic(self) -> bool:
        """True: errors are parts of the cost."""
        return True

    @property
    def relative_errors(self) -> bool:
        """True: errors are parts of the cost."""
        return True

    def _predictive_sd(self, X: pd.DataFrame | Vector, mean: Vector) -> Vector:
        return self.sd_ * mean

    def to_arrays(self) -> Arrays:
        """Return what was learned as arrays."""
        check_is_fitted(self, "ridge_")
        return {**self.ridge_.to_arrays(), "offsets": self.offsets_, "relative_sd": np.array([self.sd_], np.float64)}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        self._columns_are(feature_names)
        self.sd_ = float(checked_array(arrays, "relative_sd", (1,), 0.0)[0])
        self.offsets_ = checked_array(arrays, "offsets", self._physics().shape, 0.0)
        self.ridge_ = self._ridge().from_arrays(arrays, self._names())
        return self

    def _ridge(self) -> LeaveOneOutRidge:
        if self.n_trees == 0:
            return LeaveOneOutRidge()
        boosted = BoostedRidge(random_state=self.random_state)
        return boosted if self.n_trees is None else boosted.set_params(n_trees=self.n_trees)

    def _physics(self) -> npt.NDArray[np.intp]:
        """Return the columns whose logarithms are read: sums that are never negative."""
        return Columns.of(self.feature_names_in_).where("physics")

    def _others(self) -> npt.NDArray[np.intp]:
        return Columns.of(self.feature_names_in_).where("feature", "source")

    def _names(self) -> npt.NDArray[np.object_]:
        logs = [Column("log", name).name for name in self.feature_names_in_[self._physics()]]
        return np.array([*self.feature_names_in_[self._others()], *logs], object)

    def _columns(self, X: pd.DataFrame) -> pd.DataFrame:
        values = X.to_numpy(np.float64)
        sums = values[:, self._physics()] + self.offsets_
        logs = np.log(sums, out=np.zeros_like(sums), where=sums > 0)
        return pd.DataFrame(np.column_stack([values[:, self._others()], logs]), columns=self._names())


def _exponential(logs: Vector) -> Vector:
    return np.asarray(np.exp(np.clip(logs, -_LARGEST, _LARGEST)))
