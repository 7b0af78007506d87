"""A ridge, and boosted trees on its residuals where cross-validation prefers them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.cost_model import Arrays, Vector
from hwnas_surrogate.models.linear import Candidate, LeaveOneOutRidge, candidate, candidates
from hwnas_surrogate.models.robust import inliers
from hwnas_surrogate.models.threads import one_blas_thread, one_xgboost_thread
from hwnas_surrogate.models.trees import Trees
from hwnas_surrogate.random_states import RandomState, as_seed

__all__ = ["BoostedRidge"]

Rows = npt.NDArray[np.intp]
_Fold = tuple[Rows, Rows, Vector, Vector]
"""Rows to fit, held-out rows, training residuals for the trees, and the ridge's predictions of the held-out rows."""

FOLDS = 10
MANY_ROWS = 5000
"""From so many rows on, half as many folds are used."""
MIN_ROWS = 60
"""Trees are not tried on fewer rows."""
_FEW_ROWS = 100.0
"""With so many rows trees must help by two standard errors, with thousands by one: residuals have heavy tails."""
_TREES = "trees_"
_REACH = 20.0
"""Residuals above so many robust standard deviations are measurement errors: trees must not fit them."""


class BoostedRidge(LeaveOneOutRidge):
    """A :class:`LeaveOneOutRidge`, plus trees on its leave-one-out residuals where they help.

    On most devices costs are sums over operators, and a ridge suffices. On others they are not: graph compilers merge
    and fuse adjacent operators, and GPUs overlap them. There, trees fit the residuals:

    1. In ten folds, a ridge is fitted to the training rows, and trees to its leave-one-out residuals on these rows.
    2. If ridge plus trees lower the mean absolute residual on the held-out rows by more than one standard error (two
       with a hundred rows), trees fitted to all rows are added.
    3. If trees without a ridge do better still, as on products of ops, they replace the ridge.

    The ridge below the trees clips extreme outliers only (20 robust standard deviations, not 2.5): trees may explain
    what looks like an outlier to a ridge.

    Parameters
    ----------
    alphas : sequence of float
        Ridge penalties to choose from, on standardised columns.
    n_trees, max_depth, learning_rate : int, int, float
        Settings of the trees (XGBoost).
    random_state : int, numpy generator or None, default=None
        Seed of the trees and folds; None is 0, so that a fit can be repeated.

    Attributes
    ----------
    trees_ : Trees or None
        The trees; None where cross-validation does not prefer them.
    gain_ : float
        Fraction by which trees lowered the mean absolute residual in cross-validation; 0.0 where they were not tried.
    """

    trees_: Trees | None
    gain_: float

    def __init__(
        self,
        alphas: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3),
        n_trees: int = 200,
        max_depth: int = 5,
        learning_rate: float = 0.1,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(alphas)
        self.n_trees = n_trees
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike, tried: list[Candidate] | None = None) -> Self:
        """Fit on (n, k) named columns and n costs, whose ``tried`` candidates may be given as to the ridge."""
        with one_blas_thread():
            values, costs, names = self._checked(X, y)
            return self._fit_trees(values, costs, names, candidates(values, names) if tried is None else tried)

    def predict_held_out(
        self, X: pd.DataFrame | Vector, y: npt.ArrayLike, tried: list[Candidate], others: pd.DataFrame | Vector
    ) -> Vector:
        """Fit on (n, k) named columns and n costs, and predict (m, k) others -> (m,)."""
        self.trees_, self.gain_ = None, 0.0
        if len(np.asarray(y)) < MIN_ROWS:
            return super().predict_held_out(X, y, tried, others)
        return self.fit(X, y, tried).predict(others)

    def _fit_trees(self, values: Vector, costs: Vector, names: Columns, tried: list[Candidate]) -> Self:
        self._fit(values, costs, names, tried)
        self.trees_, self.gain_ = None, 0.0
        if self.exact_ or len(costs) < MIN_ROWS or not self.groups_:
            return self
        below = LeaveOneOutRidge(self.alphas, _REACH)._fit_ridge(values, costs, names, tried)
        if below.exact_:
            return self
        self.columns_ = np.flatnonzero(values.std(axis=0) > 0)
        columns, inlier = values[:, self.columns_], inliers(below.residuals_, _REACH)
        folds = FOLDS if len(costs) < MANY_ROWS else FOLDS // 2
        ridges = self._below(values, costs, names, below, inlier, folds)
        residuals, self.gain_, helped = self._cross_validate(columns, costs, inlier, ridges, self.residuals_)
        if not helped:
            return self
        self._set_ridge(below.coef_, below.intercept_, below.groups_, below.alpha_)
        mean, training_residuals = float(costs[inlier].mean()), below.residuals_
        means = (
            (train, test, costs[train] - mean, np.full(len(test), mean))
            for train, test in self._splits(len(costs), FOLDS // 2)
        )
        residuals_without_ridge, _, better = self._cross_validate(columns, costs, inlier, means, residuals)
        if better:
            training_residuals, residuals = costs - mean, residuals_without_ridge
            self._set_ridge(np.zeros_like(self.coef_), mean, (), 0.0)
        self._set_residuals(residuals)
        self.trees_ = Trees.from_booster(self._boost(columns[inlier], training_residuals[inlier]))
        return self

    def _splits(self, n: int, folds: int) -> Iterator[tuple[Rows, Rows]]:
        from sklearn.model_selection import KFold

        yield from KFold(folds, shuffle=True, random_state=self._seed).split(np.empty(n))

    def _below(
        self,
        values: Vector,
        costs: Vector,
        names: Columns,
        below: LeaveOneOutRidge,
        inlier: npt.NDArray[np.bool_],
        folds: int,
    ) -> Iterator[_Fold]:
        """Fit the ridge in folds, without the held-out rows: otherwise their residuals would be too small.

        The costs of outliers are replaced by their leave-one-out predictions.
        """
        clipped = np.where(inlier, costs, costs - below.residuals_)
        for train, test in self._splits(len(costs), folds):
            part = candidate(values[train], names, below.groups_)
            coef, intercept = part.sum_of(clipped[train], below.alpha_)
            left_out = part.ridge.left_out(clipped[train], below.alpha_)
            yield train, test, left_out, intercept + values[np.ix_(test, part.columns)] @ coef

    def _set_ridge(self, coef: Vector, intercept: float, groups: tuple[str, ...], alpha: float) -> None:
        self.coef_, self.intercept_, self.groups_, self.alpha_ = coef, intercept, groups, alpha

    def _cross_validate(
        self, columns: Vector, costs: Vector, inlier: npt.NDArray[np.bool_], folds: Iterable[_Fold], baseline: Vector
    ) -> tuple[Vector, float, bool]:
        """Fit trees in folds, and compare their residuals on held-out rows with the baseline's, (n,).

        The trees help if they lower the mean absolute residual both of the baseline and of the ridge below them in the
        same folds, by one to two standard errors each: the columns of that ridge were selected with the held-out rows.

        Returns
        -------
        residuals : ndarray of float64, shape (n,)
            Of ridge and trees, on the held-out rows; the costs of rows in folds that were skipped.
        gain : float
            Fraction by which the mean absolute residual is lower than the baseline's.
        helped : bool
        """
        residuals, without_trees, tried = costs.copy(), costs.copy(), np.zeros(len(costs), bool)
        for train, test, training_residuals, below in folds:
            rows = inlier[train]
            trees = self._boost(columns[train[rows]], training_residuals[rows])
            without_trees[test] = costs[test] - below
            residuals[test] = without_trees[test] - trees.inplace_predict(columns[test])
            tried[test] = True
            less = (np.abs(baseline) - np.abs(residuals))[tried]
            if less.mean() < -_standard_error(less):
                break  # clearly worse already: most devices' costs are sums
        gain = float(less.mean() / np.abs(baseline[tried]).mean())
        needed = 1.0 + _FEW_ROWS / len(costs)
        less_than_ridge = (np.abs(without_trees) - np.abs(residuals))[tried]
        helped = all(lower.mean() > needed * _standard_error(lower) for lower in (less, less_than_ridge))
        return residuals, gain, helped

    def predict_values(self, values: Vector) -> Vector:
        """Predict costs from the values of the columns of ``fit``, in the same order, (n, k) -> (n,)."""
        predicted = super().predict_values(values)
        if self.trees_ is None:
            return predicted
        return predicted + np.asarray(self.trees_.predict(values[:, self.columns_]), np.float64)

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        arrays = super().to_arrays()
        if self.trees_ is not None:
            arrays["columns"] = self.columns_.astype(np.int64)
            arrays |= {f"{_TREES}{name}": array for name, array in self.trees_.to_arrays().items()}
        return arrays

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        super().from_arrays(arrays, feature_names)
        self.trees_ = None
        trees = {name.removeprefix(_TREES): array for name, array in arrays.items() if name.startswith(_TREES)}
        if trees:
            self.columns_ = columns = arrays["columns"]
            if columns.dtype != np.int64 or columns.ndim != 1 or not np.isin(columns, range(len(feature_names))).all():
                raise InvalidInputError(
                    f"columns must be a row of int64 from 0 to {len(feature_names) - 1}, got {columns.dtype} of "
                    f"{columns.shape}: {columns}."
                )
            self.trees_ = Trees.from_arrays(trees, len(columns))
        return self

    @property
    def _seed(self) -> int:
        return as_seed(self.random_state) or 0

    def _boost(self, values: Vector, residuals: Vector) -> Any:
        import xgboost

        settings = {
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "subsample": 0.8,
            "colsample_bytree": 0.9,
            "min_child_weight": 5,
            "seed": self._seed,
            "nthread": 1,
        }
        with one_xgboost_thread():
            return xgboost.train(settings, xgboost.QuantileDMatrix(values, residuals, nthread=1), self.n_trees)


def _standard_error(values: Vector) -> float:
    return float(values.std() / np.sqrt(len(values)))
