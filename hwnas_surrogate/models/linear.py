"""Linear cost models: additive-exact, and ridges on the right columns, chosen by leave-one-out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import LinAlgError, svd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.robust import robust_sd

__all__ = ["AdditiveExact", "LeaveOneOutRidge"]

Vector = npt.NDArray[np.float64]

EXACT = 1e-9
"""Leave-one-out errors below this fraction of the largest cost mean that the costs are sums of the columns."""
_PARTS = 10
"""What is chosen for a tenth of the rows is chosen by the others."""
_PASSES = 20
_FARTHEST = 0.3
"""Costs this far off, relative to the farthest, are pulled in first."""
_MIN_FREE = 15.0
"""Fewer rows than this, beyond those that the columns take up, can't tell an outlier from a steep slope."""
_DIGITS = 11
"""Predictions of exact sums are rounded to this many digits below the largest cost, so that ties are equal."""

_DECIMALS = 300
"""Numbers have no more digits before or after the point."""


class _LinearPredictor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts ``X @ coef_ + intercept_``, rounded to ``decimals_`` where the costs are exact sums.

    A saved model is these arrays and nothing else.
    """

    coef_: Vector
    intercept_: float
    decimals_: int | None
    feature_names_in_: npt.NDArray[np.object_]

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "coef_")
        validate_data(self, X, reset=False, skip_check_array=True)  # the same columns, in the same order
        return self._sum(np.asarray(X, np.float64))

    def _sum(self, values: Vector) -> Vector:
        used = np.flatnonzero(self.coef_)
        predicted: Vector = values[:, used] @ self.coef_[used] + self.intercept_
        return predicted if self.decimals_ is None else np.round(predicted, self.decimals_)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned as arrays."""
        check_is_fitted(self, "coef_")
        decimals = np.array([] if self.decimals_ is None else [self.decimals_], np.int64)
        return {"coef": self.coef_, "intercept": np.array([self.intercept_]), "decimals": decimals}

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        coef, intercept, decimals = arrays["coef"], arrays["intercept"], arrays["decimals"]
        if coef.shape != (len(feature_names),) or intercept.shape != (1,) or decimals.shape not in ((0,), (1,)):
            raise InvalidInputError(
                f"coef must hold one number per column, {len(feature_names)}, intercept one and decimals one at most, "
                f"got shapes {coef.shape}, {intercept.shape} and {decimals.shape}."
            )
        if {coef.dtype.kind, intercept.dtype.kind} != {"f"} or decimals.dtype.kind != "i":
            raise InvalidInputError(
                f"coef and intercept must be floats and decimals an integer, got {coef.dtype}, {intercept.dtype} and "
                f"{decimals.dtype}."
            )
        if (abs(decimals.astype(np.float64)) > _DECIMALS).any():
            raise InvalidInputError(f"decimals must be at most {_DECIMALS}, got {decimals[0]}.")
        self.coef_ = coef
        self.intercept_ = float(intercept[0])
        self.decimals_ = int(decimals[0]) if len(decimals) else None
        self.n_features_in_, self.feature_names_in_ = len(self.coef_), feature_names
        return self

    def _learned(self, X: Vector, columns: npt.NDArray[np.intp], coef: Vector, intercept: float) -> None:
        self.coef_ = np.zeros(X.shape[1])
        self.coef_[columns] = coef
        self.intercept_ = float(intercept)
        self.decimals_ = None

    def _learn_exactly(self, X: Vector, y: Vector, columns: npt.NDArray[np.intp]) -> bool:
        """Fit the costs as a sum of columns, by least squares of minimum norm; tell whether that is exact."""
        design = np.column_stack([np.ones(len(X)), X[:, columns]])
        left, singular, right = _decomposed(design)
        kept = singular > singular[0] * max(design.shape) * np.finfo(float).eps
        left = left[:, kept]
        solution = right[kept].T @ ((left.T @ y) / singular[kept])
        self._learned(X, columns, solution[1:], solution[0])
        # A row that no other row informs has leverage 1: reproducing it proves nothing.
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


def _checked(model: BaseEstimator, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> tuple[Vector, Vector, list[str]]:
    """Take note of the columns' names, and return values, costs and names; those of an array are one group."""
    validate_data(model, X, skip_check_array=True)
    names = list(map(str, X.columns)) if isinstance(X, pd.DataFrame) else [f"x:{i}" for i in range(np.shape(X)[1])]
    return np.asarray(X, np.float64), np.asarray(y, np.float64), names


def _columns_of(names: Sequence[str], groups: Sequence[str]) -> npt.NDArray[np.intp]:
    return np.array([i for i, name in enumerate(names) if name.partition(":")[0] in groups], np.intp)


class AdditiveExact(_LinearPredictor):
    """Cost = sum of one number for each (position, op): exact for devices that are priced layer by layer.

    Where the training costs are such a sum (leave-one-out errors below 1e-9 of the largest cost), ``exact_`` is True
    and predictions are rounded so that architectures of equal cost get equal predictions. Else it is ordinary least
    squares. Devices of this kind in HW-NAS-Bench: eyeriss and fpga, and every target of its FBNet block tables.

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
        values, costs, names = _checked(self, X, y)
        columns = _columns_of(names, [self.group])
        if not len(columns):
            columns = np.arange(values.shape[1])
        with threadpool_limits(1):
            self.exact_ = self._learn_exactly(values, costs, columns)
        return self


class LeaveOneOutRidge(_LinearPredictor):
    """Ridge on columns selected by leave-one-out error: accurate from a few dozen costs on, fitted in milliseconds.

    Columns come in groups (``group:feature``). Costs that are exactly additive over the ``onehot`` group are taken as
    such (see :class:`AdditiveExact`). Else a ridge is fitted on every group, every pair of groups and all of them;
    the one with the smallest mean absolute leave-one-out error wins, unless one with fewer columns is within one
    standard error of it. Costs that lie far from what the other rows say (by more than ``reach`` robust standard
    deviations of the leave-one-out residuals) are pulled in to that distance, as in Huber's M-estimator by
    pseudo-values [1]_: phones that throttle and slipped units cost little accuracy then.

    Parameters
    ----------
    alphas : sequence of float
        Ridge penalties to choose from, on standardised columns.
    reach : float, default=2.5
        Robust standard deviations within which costs are taken as they are.

    Attributes
    ----------
    groups_ : tuple of str
        The chosen groups.
    alpha_ : float
        The chosen penalty (0.0 for an exact sum).
    loo_error_ : float
        Mean absolute leave-one-out error, in the unit of the costs.
    residuals_ : ndarray of float64, shape (n,)
        Each training cost minus what is predicted without it; not saved.
    exact_ : bool
        Whether the costs are exact sums.

    References
    ----------
    .. [1] Huber, "Robust Statistics", 1981, section 7.8.
    """

    groups_: tuple[str, ...]
    alpha_: float
    loo_error_: float
    exact_: bool

    def __init__(
        self, alphas: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3), reach: float = 2.5
    ) -> None:
        self.alphas = alphas
        self.reach = reach

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs."""
        # The matrices are narrow: more BLAS threads would only wait for one another.
        with threadpool_limits(1):
            values, costs, names = _checked(self, X, y)
            return self._fit(values, costs, names, _candidates(values, names))

    def _fit(self, values: Vector, costs: Vector, names: list[str], candidates: list[_Candidate]) -> Self:
        if self._is_sum(values, costs, names, np.ones(len(costs), bool)):
            return self
        return self._fit_ridge(values, costs, names, candidates)

    def _fit_ridge(self, values: Vector, costs: Vector, names: list[str], candidates: list[_Candidate]) -> Self:
        """Fit costs that are no exact sum, but for outlying ones perhaps."""
        if not candidates:
            self.groups_, self.alpha_, self.exact_ = (), 0.0, False
            self._learned(values, np.empty(0, np.intp), np.empty(0), costs.mean())
            self.residuals_ = (costs - costs.mean()) * len(costs) / (len(costs) - 1)
            self.loo_error_ = float(np.abs(self.residuals_).mean())
            return self
        kept = self._choose(values, costs, candidates)
        if 0 < np.count_nonzero(~kept) <= len(kept) // 10:
            self._is_sum(values, costs, names, kept)
        return self

    def _is_sum(self, values: Vector, costs: Vector, names: list[str], kept: npt.NDArray[np.bool_]) -> bool:
        """Learn the costs as exact sums if those of the rows to keep are; else leave everything as it is."""
        before, columns = dict(self.__dict__), _columns_of(names, ["onehot"])
        if not len(columns) or not self._learn_exactly(values[kept], costs[kept], columns):
            self.__dict__ = before
            return False
        self.groups_, self.alpha_, self.exact_ = ("onehot",), 0.0, True
        self.residuals_ = costs - self._sum(values)
        self.loo_error_ = float(np.abs(self.residuals_).mean())
        return True

    def _choose(self, values: Vector, costs: Vector, candidates: list[_Candidate]) -> npt.NDArray[np.bool_]:
        """Choose columns and penalty, pull outlying costs in, and choose again; return which costs were not moved."""
        self.exact_ = False
        everyone = np.ones(len(costs), bool)
        left_out = _left_out(candidates, costs, self.alphas)
        number, penalty = _best(candidates, left_out, everyone)
        pulled = _pull_in(candidates[number].ridge, costs, self.alphas[penalty], self.reach)
        if (pulled != costs).any():
            left_out = _left_out(candidates, pulled, self.alphas)
            number, penalty = _best(candidates, left_out, everyone)
            pulled = _pull_in(candidates[number].ridge, costs, self.alphas[penalty], self.reach)
            left_out = _left_out(candidates, pulled, self.alphas)
        chosen, alpha = candidates[number], self.alphas[penalty]
        self.groups_, self.alpha_ = chosen.groups, alpha
        self.residuals_ = costs - pulled + _chosen_without(candidates, left_out)
        self.loo_error_ = float(np.abs(self.residuals_).mean())
        self._learned(values, chosen.columns, *chosen.sum_of(pulled, alpha))
        return np.asarray(pulled == costs)


class _Ridge:
    """The ridges on standardised columns, (n, k) of mean 0, for all penalties and costs: decomposed once, if at all."""

    def __init__(self, standard: Vector) -> None:
        self._standard = standard

    @cached_property
    def _parts(self) -> tuple[Vector, Vector, Vector]:
        return _decomposed(self._standard)

    @cached_property
    def _leverages(self) -> Vector:
        return self._parts[0] ** 2

    def shrink(self, alphas: npt.ArrayLike) -> Vector:
        """Return how much of each direction is left under a penalty: (...) -> (k, ...)."""
        squares = self._parts[1] ** 2
        result: Vector = squares.reshape(-1, *[1] * np.ndim(alphas)) / np.add.outer(squares, alphas)
        return result

    def free(self, shrink: Vector) -> Vector:
        """Return which part of each cost its own row does not decide: (k, ...) -> (n, ...)."""
        return np.maximum(1.0 - 1.0 / len(self._standard) - self._leverages @ shrink, 1e-9)

    def fitted(self, costs: Vector, shrink: Vector) -> Vector:
        """Return the fit of n costs of mean 0: (k, ...) -> (n, ...)."""
        left = self._parts[0]
        return np.asarray(left @ (shrink.T * (left.T @ costs)).T)

    def left_out(self, costs: Vector, alphas: npt.ArrayLike) -> Vector:
        """Return each of n costs minus what the other rows say, for each penalty: (...) -> (n, ...)."""
        shrink, off = self.shrink(alphas), costs - costs.mean()
        return np.asarray((off.reshape(-1, *[1] * np.ndim(alphas)) - self.fitted(off, shrink)) / self.free(shrink))

    def coef(self, costs: Vector, alpha: float) -> Vector:
        """Return the coefficients, shape (k,)."""
        left, singular, right = self._parts
        return np.asarray(right.T @ (singular / (singular**2 + alpha) * (left.T @ (costs - costs.mean()))))


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """Columns that a ridge may be on: the groups, which of them vary, their means and standard deviations."""

    groups: tuple[str, ...]
    columns: npt.NDArray[np.intp]
    mean: Vector
    scale: Vector
    ridge: _Ridge

    def sum_of(self, costs: Vector, alpha: float) -> tuple[Vector, float]:
        """Return the coefficients of the columns as they are, and the intercept."""
        coef = self.ridge.coef(costs, alpha) / self.scale
        return coef, float(costs.mean() - self.mean @ coef)


def _candidates(values: Vector, names: list[str]) -> list[_Candidate]:
    """Return every group of columns that vary, every pair of groups, and all together."""
    groups = list(dict.fromkeys(name.partition(":")[0] for name in names))
    candidates = [_candidate(values, names, chosen) for chosen in _subsets(groups)]
    return [candidate for candidate in candidates if len(candidate.columns)]


def _candidate(values: Vector, names: list[str], groups: tuple[str, ...]) -> _Candidate:
    """Standardise the columns of some groups."""
    columns = _columns_of(names, groups)
    part = values[:, columns]
    mean, scale = part.mean(axis=0), part.std(axis=0)
    varying = scale > 1e-12 * np.abs(part).max(axis=0, initial=0.0)
    mean, scale = mean[varying], scale[varying]
    return _Candidate(groups, columns[varying], mean, scale, _Ridge((part[:, varying] - mean) / scale))


def _decomposed(matrix: Vector) -> tuple[Vector, Vector, Vector]:
    """Return the singular value decomposition; LAPACK's quick driver gives up on rare matrices of low rank."""
    try:
        left, singular, right = svd(matrix, full_matrices=False, check_finite=False)
    except LinAlgError:
        left, singular, right = svd(matrix, full_matrices=False, lapack_driver="gesvd")
    return left, singular, right


def _left_out(candidates: list[_Candidate], costs: Vector, alphas: Sequence[float]) -> list[Vector]:
    """Return each cost minus what the other rows say, (n, penalties), for each candidate."""
    return [candidate.ridge.left_out(costs, alphas) for candidate in candidates]


def _best(candidates: list[_Candidate], left_out: list[Vector], rows: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return the number of the candidate that leave-one-out on some rows asks for, and that of its penalty."""
    fits = []
    for residuals in left_out:
        errors = np.abs(residuals[rows])
        penalty = int(np.argmin(errors.mean(axis=0)))
        fits.append((errors[:, penalty], penalty))
    best = int(np.argmin([errors.mean() for errors, _ in fits]))
    chosen = best
    for number, candidate in enumerate(candidates):
        if len(candidate.columns) < len(candidates[chosen].columns):
            worse = fits[number][0] - fits[best][0]
            if worse.mean() <= worse.std() / np.sqrt(len(worse)):
                chosen = number
    return chosen, fits[chosen][1]


def _chosen_without(candidates: list[_Candidate], left_out: list[Vector]) -> Vector:
    """Return the leave-one-out residuals of what each row's part of them had no say in choosing [1]_.

    The smallest of many errors is smaller than it will be on other rows.

    .. [1] Varma and Simon, "Bias in error estimation when using cross-validation for model selection", BMC
       Bioinformatics 2006.
    """
    n = len(left_out[0])
    residuals = np.empty(n)
    part = np.random.default_rng(0).permutation(n) % _PARTS
    for number in np.unique(part):
        mine = part == number
        candidate, penalty = _best(candidates, left_out, ~mine)
        residuals[mine] = left_out[candidate][mine, penalty]
    return residuals


def _pull_in(ridge: _Ridge, costs: Vector, alpha: float, wide: float) -> Vector:
    """Return the costs, far ones pulled in towards what the other rows say."""
    shrink = ridge.shrink(alpha)
    free = ridge.free(shrink)
    if free.sum() < _MIN_FREE:
        return costs
    pulled, allowed = costs, np.zeros(len(costs), bool)
    for _ in range(_PASSES):
        mean = pulled.mean()
        without = pulled - (pulled - mean - ridge.fitted(pulled - mean, shrink)) / free
        residuals = costs - without
        centre = float(np.median(residuals))
        off = np.abs(residuals - centre)
        reach = wide * robust_sd(residuals, centre)
        if reach == 0:
            break
        # The farthest come first: next to a slip its clean kin look like outliers, until it is pulled in.
        waiting = off[~allowed].max(initial=0.0)
        allowed |= off >= (_FARTHEST * waiting if waiting > reach else 0.0)
        moved = np.where((off <= reach) | ~allowed, costs, without + np.clip(residuals, centre - reach, centre + reach))
        if allowed.all() and np.allclose(moved, pulled, rtol=1e-9, atol=1e-6 * reach):
            break
        pulled = moved
    return pulled


def _subsets(groups: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield every group, every pair, and all together."""
    yield from ((group,) for group in groups)
    yield from combinations(groups, 2)
    if len(groups) > 2:
        yield tuple(groups)
