"""The default model: a ridge, and boosted trees on what it leaves where cross-validation asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import KFold

from hwnas_surrogate.models.linear import LeaveOneOutRidge, Vector

__all__ = ["BoostedRidge"]

FOLDS = 10
MIN_ROWS = 60
"""Fewer rows than this say nothing about trees."""
_REACH = 20.0
"""What lies more robust standard deviations from its neighbours is no law of the device, but a slip."""


class BoostedRidge(LeaveOneOutRidge):
    """A :class:`LeaveOneOutRidge`, plus trees on its leave-one-out residuals where they help.

    Most devices' costs are sums, and the ridge is all there is to them. Others are not: graph compilers merge and fuse
    what stands side by side, GPUs overlap it. Trees are fitted to the ridge's leave-one-out residuals in ten folds; if
    they lower the mean absolute residual of rows that they did not see by more than one standard error, trees fitted to
    all rows are added. The ridge below the trees takes all costs as they are but for wild ones: what a ridge alone does
    better to pull in may be what the trees can explain.

    Parameters
    ----------
    alphas : sequence of float
        Ridge penalties to choose from, on standardised columns.
    n_trees, max_depth, learning_rate : int, int, float
        Of the trees (XGBoost).
    random_state : int or None, default=None
        Seed of the trees and folds; None is 0, so that a fit can be repeated.

    Attributes
    ----------
    booster_ : xgboost.Booster or None
        The trees, if they help.
    gain_ : float
        By which part the trees lowered the mean absolute residual in cross-validation; 0.0 where they were not tried.
    """

    booster_: Any
    gain_: float

    def __init__(
        self,
        alphas: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3),
        n_trees: int = 250,
        max_depth: int = 5,
        learning_rate: float = 0.1,
        random_state: int | None = None,
    ) -> None:
        super().__init__(alphas)
        self.n_trees = n_trees
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs."""
        super().fit(X, y)
        self.booster_, self.gain_ = None, 0.0
        values, costs = np.asarray(X, np.float64), np.asarray(y, np.float64)
        if self.exact_ or len(costs) < MIN_ROWS or not self.groups_:
            return self
        below = LeaveOneOutRidge(self.alphas, _REACH).fit(X, y)
        varying = np.flatnonzero(values.std(axis=0) > 0)
        tame = _tame(below.residuals_)
        left, tried = below.residuals_.copy(), np.zeros(len(costs), bool)
        for train, test in KFold(FOLDS, shuffle=True, random_state=self._seed).split(values):
            taught = train[tame[train]]
            trees = self._boost(values[taught][:, varying], below.residuals_[taught])
            left[test] -= trees.inplace_predict(values[test][:, varying])
            tried[test] = True
            better = (np.abs(self.residuals_) - np.abs(left))[tried]
            doubt = better.std() / np.sqrt(len(better))
            if better.mean() < -doubt:
                break  # no hope: most devices' costs are sums
        self.gain_ = float(better.mean() / np.abs(self.residuals_[tried]).mean())
        if better.mean() > doubt:
            for name in ("coef_", "intercept_", "groups_", "alpha_", "loo_error_"):
                setattr(self, name, getattr(below, name))
            self.residuals_, self.columns_ = left, varying
            self.booster_ = self._boost(values[tame][:, varying], below.residuals_[tame])
        return self

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        predicted = super().predict(X)
        if self.booster_ is None:
            return predicted
        values = np.asarray(X, np.float64)[:, self.columns_]
        return predicted + np.asarray(self.booster_.inplace_predict(values), np.float64)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned as arrays; the trees in XGBoost's own format (UBJSON)."""
        arrays = super().to_arrays()
        if self.booster_ is not None:
            arrays["columns"] = self.columns_.astype(np.int64)
            arrays["trees"] = np.frombuffer(self.booster_.save_raw("ubj"), np.uint8)
        return arrays

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        super().from_arrays(arrays, feature_names)
        self.booster_ = None
        if "trees" in arrays:
            from xgboost import Booster

            self.columns_ = arrays["columns"]
            self.booster_ = Booster({"nthread": 1})
            self.booster_.load_model(bytearray(arrays["trees"].tobytes()))
        return self

    @property
    def _seed(self) -> int:
        return self.random_state or 0

    def _boost(self, values: Vector, residuals: Vector) -> Any:
        import xgboost

        settings = {
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "subsample": 0.8,
            "colsample_bytree": 0.9,
            "min_child_weight": 2,
            "seed": self._seed,
            "nthread": 1,  # small fits: more threads would only wait for one another
        }
        return xgboost.train(settings, xgboost.QuantileDMatrix(values, residuals), self.n_trees)


def _tame(residuals: Vector) -> npt.NDArray[np.bool_]:
    off = np.abs(residuals - np.median(residuals))
    spread = 1.4826 * np.median(off)
    return np.asarray(off <= (_REACH * spread if spread > 0 else np.inf))
