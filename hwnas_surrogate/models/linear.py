"""Linear cost models: exact sums, and ridges on columns selected by leave-one-out error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import LinAlgError, svd
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.cost_model import Arrays, CostModel, Vector, checked_array
from hwnas_surrogate.models.robust import robust_sd
from hwnas_surrogate.models.threads import one_blas_thread

__all__ = ["EXACT", "AdditiveExact", "Candidate", "LeaveOneOutRidge", "LinearModel", "candidate", "candidates"]

EXACT = 1e-9
"""Costs count as exact sums of columns if leave-one-out errors are below this fraction of the largest cost."""
_PARTS = 10
"""Columns and penalty are selected in so many folds, to estimate the error without selection bias."""
_PASSES = 20
"""Largest number of iterations of :func:`_pull_in`."""
_FARTHEST = 0.3
"""Outliers of at least this fraction of the largest residual are clipped first."""
_MIN_FREE = 15.0
"""Outliers are not clipped with fewer residual degrees of freedom: they can't be distinguished from steep slopes."""
_DIGITS = 11
"""Predictions of exact sums are rounded to this many digits below the largest cost, so that ties are equal."""

_DECIMALS = 300
"""Largest number of digits to round to, before or after the point."""


class LinearModel(CostModel):
    """Base of the linear models: predicts ``X @ coef_ + intercept_``.

    Where the costs are exact sums, predictions are rounded to ``decimals_``. A saved model holds these three.
    """

    coef_: Vector
    intercept_: float
    decimals_: int | None
    feature_names_in_: npt.NDArray[np.object_]

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "coef_")
        return self.predict_values(self._values(X))

    def predict_values(self, values: Vector) -> Vector:
        """Predict costs from the values of the columns of ``fit``, in the same order, (n, k) -> (n,)."""
        return self._sum(values)

    def _sum(self, values: Vector) -> Vector:
        used = np.flatnonzero(self.coef_)
        predicted: Vector = values[:, used] @ self.coef_[used] + self.intercept_
        return predicted if self.decimals_ is None else np.round(predicted, self.decimals_)

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        check_is_fitted(self, "coef_")
        decimals = np.array([] if self.decimals_ is None else [self.decimals_], np.int64)
        arrays = {"coef": self.coef_, "intercept": np.array([self.intercept_]), "decimals": decimals}
        return arrays if self.sd_ is None else {**arrays, "sd": np.array([self.sd_])}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        decimals = arrays["decimals"]
        if decimals.shape not in ((0,), (1,)) or decimals.dtype.kind != "i":
            raise InvalidInputError(f"decimals must be one integer at most, got {decimals.dtype} of {decimals.shape}.")
        if (abs(decimals.astype(np.float64)) > _DECIMALS).any():
            raise InvalidInputError(f"decimals must be at most {_DECIMALS}, got {decimals[0]}.")
        self.coef_ = checked_array(arrays, "coef", (len(feature_names),))
        self.intercept_ = float(checked_array(arrays, "intercept", (1,))[0])
        self.decimals_ = int(decimals[0]) if len(decimals) else None
        self.sd_ = float(checked_array(arrays, "sd", (1,), 0.0)[0]) if "sd" in arrays else None
        self.n_features_in_, self.feature_names_in_ = len(self.coef_), feature_names
        return self

    def _learned(self, X: Vector, columns: npt.NDArray[np.intp], coef: Vector, intercept: float) -> None:
        self.coef_ = np.zeros(X.shape[1])
        self.coef_[columns] = coef
        self.intercept_ = float(intercept)
        self.decimals_ = None

    def _learn_exactly(self, X: Vector, y: Vector, columns: npt.NDArray[np.intp]) -> bool:
        """Fit the costs as a sum of columns, by least squares of minimum norm; return whether the fit is exact."""
        design = np.column_stack([np.ones(len(X)), X[:, columns]])
        left, singular, right = _decomposed(design)
        kept = singular > singular[0] * max(design.shape) * np.finfo(float).eps
        left = left[:, kept]
        solution = right[kept].T @ ((left.T @ y) / singular[kept])
        self._learned(X, columns, solution[1:], solution[0])
        # A row with leverage 1 is fitted exactly whatever its cost: it is no evidence for a sum.
        free = 1.0 - np.einsum("ij,ij->i", left, left)
        informed = free > 1e-6
        largest = np.abs(y).max()
        error = np.abs(y - design @ solution)
        exact = bool(
            np.count_nonzero(kept) < len(y)
            and informed.any()
            and error.max() <= EXACT * largest
            and (error[informed] / free[informed]).max() <= EXACT * largest
        )
        if exact:
            self.decimals_ = _DIGITS - int(np.ceil(np.log10(largest))) if largest > 0 else _DIGITS
        return exact


class AdditiveExact(LinearModel):
    """Cost = sum of one number for each (position, op): exact for devices whose costs come from a layer-wise table.

    If the training costs are such a sum (leave-one-out errors below 1e-9 of the largest cost), ``exact_`` is True and
    predictions are rounded, so that architectures of equal cost get equal predictions. Otherwise it is ordinary least
    squares. Exact targets of HW-NAS-Bench: eyeriss and fpga, and all of its FBNet block tables.

    Parameters
    ----------
    group : str, default="onehot"
        The columns to sum: those named ``group:...``; all columns if there are none.
    """

    exact_: bool

    def __init__(self, group: str = "onehot") -> None:
        self.group = group

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs."""
        values, costs, names = self._checked(X, y)
        columns = names.of_groups([self.group])
        if not len(columns):
            columns = np.arange(values.shape[1])
        with one_blas_thread():
            self.exact_ = self._learn_exactly(values, costs, columns)
        free = max(len(costs) - len(columns) - 1, 1)
        self.sd_ = float(np.sqrt(((costs - self._sum(values)) ** 2).sum() / free))
        return self


class LeaveOneOutRidge(LinearModel):
    """Ridge on columns selected by leave-one-out error: accurate from a few dozen costs on, fitted in milliseconds.

    Columns come in groups (``group:feature``). Costs that are exact sums over the ``onehot`` group are fitted as such
    (see :class:`AdditiveExact`). Otherwise a ridge is fitted on every group, every pair of groups and all groups
    together. The one with the smallest mean absolute leave-one-out error is selected, unless one with fewer columns is
    within one standard error of it.

    Outliers are clipped: a cost whose leave-one-out residual exceeds ``reach`` robust standard deviations is moved to
    that distance, as in Huber's M-estimator by pseudo-values [1]_. Thermal throttling and wrong units then cost little
    accuracy.

    Parameters
    ----------
    alphas : sequence of float
        Ridge penalties to choose from, on standardised columns.
    reach : float, default=2.5
        Robust standard deviations beyond which residuals are clipped.

    Attributes
    ----------
    groups_ : tuple of str
        The chosen groups.
    alpha_ : float
        The chosen penalty (0.0 for an exact sum).
    loo_error_ : float
        Mean absolute leave-one-out error, in the unit of the costs.
    residuals_ : ndarray of float64, shape (n,)
        Leave-one-out residuals of the training costs (measured minus predicted); not saved.
    exact_ : bool
        Whether the costs are exact sums.

    References
    ----------
    .. [1] Huber, "Robust Statistics", 1981, section 7.8.
    """

    groups_: tuple[str, ...]
    alpha_: float
    loo_error_: float
    residuals_: Vector
    exact_: bool

    def __init__(
        self, alphas: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3), reach: float = 2.5
    ) -> None:
        self.alphas = alphas
        self.reach = reach

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike, tried: list[Candidate] | None = None) -> Self:
        """Fit on (n, k) named columns and n costs.

        ``tried`` are the :func:`candidates` of these columns, if several ridges are fitted to them: each is decomposed
        once then.
        """
        # The matrices are narrow: more BLAS threads only wait for one another.
        with one_blas_thread():
            values, costs, columns = self._checked(X, y)
            return self._fit(values, costs, columns, candidates(values, columns) if tried is None else tried)

    def predict_held_out(
        self, X: pd.DataFrame | Vector, y: npt.ArrayLike, tried: list[Candidate], others: pd.DataFrame | Vector
    ) -> Vector:
        """Fit on (n, k) named columns and n costs, and predict (m, k) others -> (m,).

        The predictions are those of ``fit`` and ``predict``. Leave-one-out residuals, which take half of the time of a
        fit, are not estimated.
        """
        with one_blas_thread():
            values, costs, columns = self._checked(X, y)
            return self._fit(values, costs, columns, tried, residuals=False).predict(others)

    def _set_residuals(self, residuals: Vector) -> None:
        """Set the leave-one-out residuals, shape (n,), their robust standard deviation and mean absolute value."""
        self.residuals_, self.sd_ = residuals, robust_sd(residuals)
        self.loo_error_ = float(np.abs(residuals).mean())

    def _fit(
        self, values: Vector, costs: Vector, names: Columns, tried: list[Candidate], *, residuals: bool = True
    ) -> Self:
        if self._is_sum(values, costs, names, np.ones(len(costs), bool)):
            return self
        return self._fit_ridge(values, costs, names, tried, residuals=residuals)

    def _fit_ridge(
        self, values: Vector, costs: Vector, names: Columns, tried: list[Candidate], *, residuals: bool = True
    ) -> Self:
        """Fit costs that are no exact sum, or one of all but up to a tenth of the rows."""
        if not tried:
            self.groups_, self.alpha_, self.exact_ = (), 0.0, False
            self._learned(values, np.empty(0, np.intp), np.empty(0), costs.mean())
            self._set_residuals((costs - costs.mean()) * len(costs) / (len(costs) - 1))
            return self
        kept = self._choose(values, costs, tried, residuals)
        if 0 < np.count_nonzero(~kept) <= len(kept) // 10:
            self._is_sum(values, costs, names, kept)
        return self

    def _is_sum(self, values: Vector, costs: Vector, names: Columns, kept: npt.NDArray[np.bool_]) -> bool:
        """Fit an exact sum to the rows in ``kept``, a mask; return whether it is exact, and change nothing if not."""
        before, columns = dict(self.__dict__), names.of_groups(["onehot"])
        if not len(columns) or not self._learn_exactly(values[kept], costs[kept], columns):
            self.__dict__ = before
            return False
        self.groups_, self.alpha_, self.exact_ = ("onehot",), 0.0, True
        self._set_residuals(costs - self._sum(values))
        return True

    def _choose(self, values: Vector, costs: Vector, tried: list[Candidate], residuals: bool) -> npt.NDArray[np.bool_]:
        """Select columns and penalty, clip outliers, and select again; return a mask of the costs not clipped, (n,)."""
        self.exact_ = False
        all_rows = np.ones(len(costs), bool)
        left_out = _left_out(tried, costs, self.alphas)
        number, penalty = _best(tried, left_out, all_rows)
        pulled = _pull_in(tried[number].ridge, costs, self.alphas[penalty], self.reach)
        if (pulled != costs).any():
            left_out = _left_out(tried, pulled, self.alphas)
            number, penalty = _best(tried, left_out, all_rows)
            pulled = _pull_in(tried[number].ridge, costs, self.alphas[penalty], self.reach)
            left_out = _left_out(tried, pulled, self.alphas) if residuals else []
        chosen, alpha = tried[number], self.alphas[penalty]
        self.groups_, self.alpha_ = chosen.groups, alpha
        if residuals:
            self._set_residuals(costs - pulled + _chosen_without(tried, left_out))
        self._learned(values, chosen.columns, *chosen.sum_of(pulled, alpha))
        return np.asarray(pulled == costs)


class _Ridge:
    """Ridges on standardised columns, (n, k) of mean 0, for any penalty and costs, from one lazy decomposition."""

    def __init__(self, standard: Vector) -> None:
        self._standard = standard

    @cached_property
    def _parts(self) -> tuple[Vector, Vector, Vector]:
        return _decomposed(self._standard)

    @cached_property
    def _leverages(self) -> Vector:
        return self._parts[0] ** 2

    def shrink(self, alphas: npt.ArrayLike) -> Vector:
        """Return the shrinkage factor of each singular direction under penalties: (...) -> (k, ...)."""
        squares = self._parts[1] ** 2
        result: Vector = squares.reshape(-1, *[1] * np.ndim(alphas)) / np.add.outer(squares, alphas)
        return result

    def free(self, shrink: Vector) -> Vector:
        """Return 1 minus the leverage of each row, given shrinkage factors: (k, ...) -> (n, ...)."""
        return np.maximum(1.0 - 1.0 / len(self._standard) - self._leverages @ shrink, 1e-9)

    def fitted(self, costs: Vector, shrink: Vector) -> Vector:
        """Return the fitted values of n costs of mean 0, given shrinkage factors: (k, ...) -> (n, ...)."""
        left = self._parts[0]
        return np.asarray(left @ (shrink.T * (left.T @ costs)).T)

    def left_out(self, costs: Vector, alphas: npt.ArrayLike) -> Vector:
        """Return the leave-one-out residuals of n costs under penalties: (...) -> (n, ...)."""
        shrink, off = self.shrink(alphas), costs - costs.mean()
        return np.asarray((off.reshape(-1, *[1] * np.ndim(alphas)) - self.fitted(off, shrink)) / self.free(shrink))

    def coef(self, costs: Vector, alpha: float) -> Vector:
        """Return the coefficients, shape (k,)."""
        left, singular, right = self._parts
        return np.asarray(right.T @ (singular / (singular**2 + alpha) * (left.T @ (costs - costs.mean()))))


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Groups of columns for a ridge: the numbers of those that vary, their means and standard deviations."""

    groups: tuple[str, ...]
    columns: npt.NDArray[np.intp]
    mean: Vector
    scale: Vector
    ridge: _Ridge

    def sum_of(self, costs: Vector, alpha: float) -> tuple[Vector, float]:
        """Return the coefficients of the columns without standardisation, (k,), and the intercept."""
        coef = self.ridge.coef(costs, alpha) / self.scale
        return coef, float(costs.mean() - self.mean @ coef)


def candidates(values: Vector, names: Columns) -> list[Candidate]:
    """Return a candidate for every group, every pair of groups and all together, unless no column varies."""
    tried = [candidate(values, names, chosen) for chosen in _subsets(names.groups)]
    return [one for one in tried if len(one.columns)]


def candidate(values: Vector, names: Columns, groups: tuple[str, ...]) -> Candidate:
    """Standardise the columns of some groups."""
    columns = names.of_groups(groups)
    part = values[:, columns]
    mean, scale = part.mean(axis=0), part.std(axis=0)
    varying = scale > 1e-12 * np.abs(part).max(axis=0, initial=0.0)
    mean, scale = mean[varying], scale[varying]
    return Candidate(groups, columns[varying], mean, scale, _Ridge((part[:, varying] - mean) / scale))


def _decomposed(matrix: Vector) -> tuple[Vector, Vector, Vector]:
    """Return the singular value decomposition; LAPACK's quick driver gives up on rare matrices of low rank."""
    try:
        left, singular, right = svd(matrix, full_matrices=False, check_finite=False)
    except LinAlgError:
        left, singular, right = svd(matrix, full_matrices=False, lapack_driver="gesvd")
    return left, singular, right


def _left_out(tried: list[Candidate], costs: Vector, alphas: Sequence[float]) -> list[Vector]:
    """Return the leave-one-out residuals of each candidate, (n, penalties)."""
    return [one.ridge.left_out(costs, alphas) for one in tried]


def _best(tried: list[Candidate], left_out: list[Vector], rows: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Select a candidate and a penalty by the leave-one-out error on some rows; return their numbers.

    The candidate with the smallest mean absolute error is the best. The one with the fewest columns is selected among
    those within one standard error of it (of the paired differences).
    """
    fits = []
    for residuals in left_out:
        errors = np.abs(residuals[rows])
        penalty = int(np.argmin(errors.mean(axis=0)))
        fits.append((errors[:, penalty], penalty))
    best = int(np.argmin([errors.mean() for errors, _ in fits]))
    chosen = best
    for number, simpler in enumerate(tried):
        if len(simpler.columns) < len(tried[chosen].columns):
            worse = fits[number][0] - fits[best][0]
            if worse.mean() <= worse.std() / np.sqrt(len(worse)):
                chosen = number
    return chosen, fits[chosen][1]


def _chosen_without(tried: list[Candidate], left_out: list[Vector]) -> Vector:
    """Return leave-one-out residuals without selection bias [1]_: each tenth of the rows has no part in its selection.

    The smallest of many estimated errors is too small on average.

    .. [1] Varma and Simon, "Bias in error estimation when using cross-validation for model selection", BMC
       Bioinformatics 2006.
    """
    n = len(left_out[0])
    residuals = np.empty(n)
    part = np.random.default_rng(0).permutation(n) % _PARTS
    for tenth in np.unique(part):
        held_out = part == tenth
        number, penalty = _best(tried, left_out, ~held_out)
        residuals[held_out] = left_out[number][held_out, penalty]
    return residuals


def _pull_in(ridge: _Ridge, costs: Vector, alpha: float, wide: float) -> Vector:
    """Return the costs, outliers moved towards their leave-one-out predictions, (n,) -> (n,).

    Iterates Huber's pseudo-values: predict each cost from the others, clip the residuals to ``wide`` robust standard
    deviations around their median, and set each cost to its prediction plus the clipped residual. For example, with
    predictions of 10 and a robust standard deviation of 1, ``wide=2.5`` moves a cost of 20 to 12.5.
    """
    shrink = ridge.shrink(alpha)
    free = ridge.free(shrink)
    if free.sum() < _MIN_FREE:
        return costs
    pulled, may_move = costs, np.zeros(len(costs), bool)
    for _ in range(_PASSES):
        mean = pulled.mean()
        predicted = pulled - (pulled - mean - ridge.fitted(pulled - mean, shrink)) / free
        residuals = costs - predicted
        centre = float(np.median(residuals))
        distance = np.abs(residuals - centre)
        reach = wide * robust_sd(residuals, centre)
        if reach == 0:
            break
        # The farthest first: a gross outlier bends the fit, so that correct rows beside it look like outliers.
        farthest = distance[~may_move].max(initial=0.0)
        may_move |= distance >= (_FARTHEST * farthest if farthest > reach else 0.0)
        clipped = predicted + np.clip(residuals, centre - reach, centre + reach)
        moved = np.where((distance <= reach) | ~may_move, costs, clipped)
        if may_move.all() and np.allclose(moved, pulled, rtol=1e-9, atol=1e-6 * reach):
            break
        pulled = moved
    return pulled


def _subsets(groups: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every group, every pair, and all together."""
    yield from ((group,) for group in groups)
    yield from combinations(groups, 2)
    if len(groups) > 2:
        yield groups
