"""A ridge on log costs: for devices and tables whose costs span orders of magnitude."""

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
from hwnas_surrogate.random_states import RandomState

__all__ = ["LogRidge"]

_NOTHING = 1e-3
"""This fraction of its mean is added to each physics column, so that 0 has a logarithm."""
_LARGEST = 700.0
"""Logarithms are clipped to this size: exponentials of larger ones overflow."""


class LogRidge(CostModel):
    """A :class:`BoostedRidge` on the logarithm of costs. It also reads the logarithms of the physics columns.

    It fits costs that are products: each op multiplies the cost, or the cost grows with a power of the multiply-adds.
    Errors are relative to the cost, so that small costs count as much as large ones.

    Parameters
    ----------
    n_trees : int, optional
        Trees of the boosted ridge: its default number if None; a ridge without trees if 0.
    random_state : int, numpy generator or None, default=None
        Seed of the boosted ridge; None is 0.

    Attributes
    ----------
    ridge_ : BoostedRidge or LeaveOneOutRidge
        Fitted to the logarithms of costs.
    offsets_ : ndarray of float64, shape (p,)
        Offsets that are added to the p columns of physics before taking logarithms.
    residuals_ : ndarray of float64, shape (n,)
        Leave-one-out residuals of the training costs (measured minus predicted); not saved.
    sd_ : float
        Predictive standard deviation, relative to the prediction.
    """

    ridge_: LeaveOneOutRidge
    offsets_: Vector
    residuals_: Vector
    sds_: Vector
    sd_: float

    def __init__(self, n_trees: int | None = None, random_state: RandomState = None) -> None:
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
        """True: errors are relative to the cost."""
        return True

    @property
    def relative_errors(self) -> bool:
        """True: errors are relative to the cost."""
        return True

    def predictive_sd(self, X: pd.DataFrame) -> Vector:
        """Return the predictive standard deviation of each cost: (n, k) named columns as in ``fit`` -> (n,)."""
        return self.sd_ * self.predict(X)

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        check_is_fitted(self, "ridge_")
        return {**self.ridge_.to_arrays(), "offsets": self.offsets_, "relative_sd": np.array([self.sd_], np.float64)}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
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
        """Return the columns whose logarithms are read: those of physics, which are not negative."""
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
