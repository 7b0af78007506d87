"""A ridge, and boosted trees on its residuals where cross-validation prefers them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.cost_model import Arrays, Vector
from hwnas_surrogate.models.linear import Candidate, LeaveOneOutRidge, candidate, candidates
from hwnas_surrogate.models.robust import inliers
from hwnas_surrogate.models.trees import Trees

__all__ = ["BoostedRidge"]

Rows = npt.NDArray[np.intp]
_Fold = tuple[Rows, Rows, Vector, Vector]
"""Rows to fit, rows held out, training residuals for the trees, and the ridge's predictions of the rows held out."""

FOLDS = 10
MANY_ROWS = 5000
"""From so many rows on, half the folds do."""
MIN_ROWS = 60
"""Fewer rows than this say nothing about trees."""
_FEW_ROWS = 100.0
"""With so many rows, whose residuals have long tails, trees must help by two standard errors, with thousands by one."""
_TREES = "trees_"
_REACH = 20.0
"""What lies more robust standard deviations from its neighbours is no law of the device, but a slip."""


class BoostedRidge(LeaveOneOutRidge):
    """A :class:`LeaveOneOutRidge`, plus trees on its leave-one-out residuals where they help.

    Most devices' costs are sums, and the ridge is all there is to them. Others are not: graph compilers merge and fuse
    what stands side by side, GPUs overlap it. Trees are fitted to the ridge's leave-one-out residuals in ten folds, of
    which the ridge knows as little; if they lower the mean absolute residual of rows that they did not see by more than
    one standard error (two with a hundred rows), trees fitted to all rows are added. The ridge below the trees takes
    all costs as they are but for wild ones: what a ridge alone does better to pull in may be what the trees can
    explain. Where trees alone do better than on top of the ridge, as on products of ops, they stand alone.

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
    trees_ : Trees or None
        The trees, if they help.
    gain_ : float
        By which part the trees lowered the mean absolute residual in cross-validation; 0.0 where they were not tried.
    """

    trees_: Trees | None
    gain_: float

    def __init__(
        self,
        alphas: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3),
        n_trees: int = 200,
        max_depth: int = 5,
        learning_rate: float = 0.1,
        random_state: int | None = None,
    ) -> None:
        super().__init__(alphas)
        self.n_trees = n_trees
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike, tried: list[Candidate] | None = None) -> Self:
        """Fit on (n, k) named columns and n costs, whose ``tried`` candidates may be given as to the ridge."""
        # Small fits: more threads would only wait for one another, for ever so long where other programs run.
        with threadpool_limits(1):
            values, costs, names = self._checked(X, y)
            return self._fit_trees(values, costs, names, candidates(values, names) if tried is None else tried)

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
        left, self.gain_, helped = self._cross_validate(columns, costs, inlier, ridges, self.residuals_)
        if not helped:
            return self
        self._sum_is(below.coef_, below.intercept_, below.groups_, below.alpha_)
        middle, taught = float(costs[inlier].mean()), below.residuals_
        nothing = (
            (train, test, costs[train] - middle, np.full(len(test), middle))
            for train, test in self._splits(len(costs), FOLDS // 2)
        )
        alone, _, better = self._cross_validate(columns, costs, inlier, nothing, left)
        if better:
            taught, left = costs - middle, alone
            self._sum_is(np.zeros_like(self.coef_), middle, (), 0.0)
        self._left(left)
        self.trees_ = Trees.from_booster(self._boost(columns[inlier], taught[inlier]))
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
        """Fit the ridge in folds: were it to know the rows held out, the trees would unlearn what it has of them."""
        calm = np.where(inlier, costs, costs - below.residuals_)
        for train, test in self._splits(len(costs), folds):
            part = candidate(values[train], names, below.groups_)
            coef, intercept = part.sum_of(calm[train], below.alpha_)
            left_out = part.ridge.left_out(calm[train], below.alpha_)
            yield train, test, left_out, intercept + values[np.ix_(test, part.columns)] @ coef

    def _sum_is(self, coef: Vector, intercept: float, groups: tuple[str, ...], alpha: float) -> None:
        self.coef_, self.intercept_, self.groups_, self.alpha_ = coef, intercept, groups, alpha

    def _cross_validate(
        self, columns: Vector, costs: Vector, inlier: npt.NDArray[np.bool_], folds: Iterable[_Fold], beaten: Vector
    ) -> tuple[Vector, float, bool]:
        """Fit trees in folds; return what they leave, and by which part and whether it is less than what to beat.

        They must leave less than the ridge below them as well, whose columns were selected with the held-out rows.
        """
        left, bare, tried = costs.copy(), costs.copy(), np.zeros(len(costs), bool)
        for train, test, taught, below in folds:
            rows = inlier[train]
            trees = self._boost(columns[train[rows]], taught[rows])
            bare[test] = costs[test] - below
            left[test] = bare[test] - trees.inplace_predict(columns[test])
            tried[test] = True
            better = (np.abs(beaten) - np.abs(left))[tried]
            if better.mean() < -_standard_error(better):
                break  # no hope: most devices' costs are sums
        gain = float(better.mean() / np.abs(beaten[tried]).mean())
        needed = 1.0 + _FEW_ROWS / len(costs)
        gains = better, (np.abs(bare) - np.abs(left))[tried]
        helped = all(less.mean() > needed * _standard_error(less) for less in gains)
        return left, gain, helped

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        predicted = super().predict(X)
        if self.trees_ is None:
            return predicted
        values = np.asarray(X, np.float64)[:, self.columns_]
        return predicted + np.asarray(self.trees_.predict(values), np.float64)

    def to_arrays(self) -> Arrays:
        """Return what was learned as arrays."""
        arrays = super().to_arrays()
        if self.trees_ is not None:
            arrays["columns"] = self.columns_.astype(np.int64)
            arrays |= {f"{_TREES}{name}": array for name, array in self.trees_.to_arrays().items()}
        return arrays

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
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
        return self.random_state or 0

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
        with threadpool_limits(1):  # again: only now is XGBoost loaded
            return xgboost.train(settings, xgboost.QuantileDMatrix(values, residuals, nthread=1), self.n_trees)


def _standard_error(values: Vector) -> float:
    return float(values.std() / np.sqrt(len(values)))
