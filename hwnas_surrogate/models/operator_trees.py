"""Boosted trees over operators: the cost of a network is the sum of what its operators cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.cost_model import Arrays, Vector
from hwnas_surrogate.models.trees import Trees
from hwnas_surrogate.random_states import RandomState, as_seed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["OperatorTrees"]

_ROUNDS, _RATE, _DEPTH, _SHRINKAGE, _LEAST = 400, 0.05, 6, 0.3, 0.3
"""The shrinkage and the least weight of a leaf are in networks: all operators of a network weigh 1 together.

Chosen on folds of whole families (seed 100): depths 4 to 8, rates of .03 and .05 and shrinkages of .2 to 5 differ by .7
points in the median error, less than two draws of the folds do.
"""
_FAR_NETWORK, _FAR_OPERATOR = 1.0, 2.0
"""Logarithmic residuals of networks and operators count up to these: larger ones are slips or interruptions."""
_TINY = 1e-9
_LARGEST = 20.0
"""Logarithm of the largest factor between an operator's cost and its first estimate."""


class OperatorTrees:
    """Predicts the cost of operators, learned from the costs of networks, and from profiles where there are any.

    An operator's cost is a first estimate (as of :class:`OperatorRegression`) times a factor. The logarithm of the
    factor is a sum of regression trees over the operator's sizes, boosted [1]_ on the logarithmic error of whole
    networks. A network's error is passed on to its operators in proportion to their shares in its predicted cost. That
    is the gradient, and the shares bound the second derivative (Jensen's inequality), so that each step decreases the
    loss. Where a network was profiled, each operator has an error of its own, which counts as much as the operator's
    share in the network.

    Parameters
    ----------
    random_state : int, numpy generator or None, default=None
        Seed of the samples of rows and columns that each tree sees; None is 0.

    Attributes
    ----------
    trees_ : Trees
        The logarithm of the factor.

    References
    ----------
    .. [1] Chen and Guestrin, "XGBoost: A scalable tree boosting system", KDD 2016.
    """

    trees_: Trees

    def __init__(self, random_state: RandomState = None) -> None:
        self.random_state = random_state

    def fit(
        self, sizes: Vector, estimates: Vector, counts: csr_array, costs: Vector, times: csr_array | None = None
    ) -> Self:
        """Fit on n networks of L distinct operators.

        Parameters
        ----------
        sizes : ndarray of float64, shape (L, k)
            What trees split by (:func:`~hwnas_surrogate.features.operator_sizes.operator_sizes`).
        estimates : ndarray of float64, shape (L,)
            A first estimate of each operator's cost; 0 of those that do nothing.
        counts : sparse array, shape (n, L)
            How often each network runs each operator.
        costs : ndarray of float64, shape (n,)
            The cost of each network, above 0.
        times : sparse array, shape (n, L), optional
            The part of each network's cost that its operators take by its profile, all calls together; rows without
            an entry are networks without a profile.

        Returns
        -------
        OperatorTrees

        Raises
        ------
        InvalidInputError
            If a cost is not above 0.
        """
        import xgboost as xgb

        if len(costs) and not costs.min() > 0:
            raise InvalidInputError(f"OperatorTrees takes costs above 0, got {costs.min():g}.")
        sizes, estimates, merge = _alike(sizes, estimates, counts)
        counts, measured = counts @ merge, None if times is None else times @ merge
        loss = _Loss.of(counts, costs, measured, estimates)
        data = xgb.DMatrix(sizes.astype(np.float32))
        booster = xgb.train(
            {
                "eta": _RATE, "max_depth": _DEPTH, "lambda": _SHRINKAGE, "min_child_weight": _LEAST, "subsample": 0.8,
                "colsample_bytree": 0.6, "seed": as_seed(self.random_state) or 0, "nthread": 1, "base_score": 0.0,
                "tree_method": "hist",
            },
            data,
            _ROUNDS,
            obj=lambda factors, _: loss.gradient(np.asarray(factors, np.float64)),
        )  # fmt: skip
        self.trees_ = Trees.from_booster(booster)
        return self

    def predict(self, sizes: Vector, estimates: Vector) -> Vector:
        """Return the cost of L operators: (L, k) sizes and (L,) first estimates -> (L,)."""
        if not len(sizes):
            return np.empty(0)
        factors = np.clip(self.trees_.predict(sizes.astype(np.float32)).astype(np.float64), -_LARGEST, _LARGEST)
        return np.asarray(estimates * np.exp(factors))

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        return self.trees_.to_arrays()

    def from_arrays(self, arrays: Arrays, n_sizes: int) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for operators of so many sizes.

        Raises
        ------
        InvalidInputError
            If an array is missing or wrong.
        """
        self.trees_ = Trees.from_arrays(arrays, n_sizes)
        return self


def _alike(sizes: Vector, estimates: Vector, counts: csr_array) -> tuple[Vector, Vector, csr_array]:
    """Return each distinct operator that runs and costs something once, in an order of its own, and who it is.

    The last is a sparse array of shape (L, distinct operators): it merges columns of operators that look the same.
    Trees draw samples by place. In an order that depends on nothing else, what is learned does not depend on the order
    of networks, or on networks that were left out.
    """
    from scipy.sparse import csr_array

    used = np.unique(counts.indices)
    used = used[estimates[used] > 0]
    rows, group = np.unique(np.column_stack([sizes, estimates])[used], axis=0, return_inverse=True)
    merge = csr_array((np.ones(len(used)), (used, group.ravel())), shape=(len(sizes), len(rows)))
    return rows[:, :-1], rows[:, -1], merge


@dataclass(frozen=True, slots=True, eq=False)
class _Loss:
    """The squared logarithmic error of networks and profiled operators, as a function of operators' factors.

    There is one entry for each network and each of its distinct operators.
    """

    network: npt.NDArray[np.intp]
    operator: npt.NDArray[np.intp]
    count: Vector
    log_costs: Vector
    log_estimates: Vector
    log_times: Vector
    """Logarithm of the measured time of one call, of each entry; NaN where the network has no profile."""
    measured_shares: Vector

    @classmethod
    def of(cls, counts: csr_array, costs: Vector, times: csr_array | None, estimates: Vector) -> _Loss:
        entries = counts.tocoo()
        network, operator, count = entries.row, entries.col, entries.data.astype(np.float64)
        measured = np.zeros(len(count)) if times is None else np.asarray(times[network, operator]).ravel()
        profiled = np.zeros(len(costs), bool)
        profiled[network[measured > 0]] = True
        log_times = np.log(np.maximum(measured / count, _TINY * costs[network]))
        return cls(
            network, operator, count, np.log(costs), np.log(estimates),
            np.where(profiled[network], log_times, np.nan), measured / costs[network],
        )  # fmt: skip

    def gradient(self, factors: Vector) -> tuple[Vector, Vector]:
        logs = (factors + self.log_estimates)[self.operator]
        parts = self.count * np.exp(logs)
        sums = np.bincount(self.network, parts, minlength=len(self.log_costs))
        shares = parts / sums[self.network]
        residuals = np.clip(np.log(sums) - self.log_costs, -_FAR_NETWORK, _FAR_NETWORK)
        slopes, bounds = shares * residuals[self.network], shares
        profiled = ~np.isnan(self.log_times)
        if profiled.any():
            own = np.clip(np.where(profiled, logs - self.log_times, 0.0), -_FAR_OPERATOR, _FAR_OPERATOR)
            weights = np.where(profiled, (shares + self.measured_shares) / 2, 0.0)
            slopes, bounds = slopes + weights * own, bounds + weights
        n = len(factors)
        slope = np.bincount(self.operator, slopes, minlength=n).astype(np.float64)
        bound = np.bincount(self.operator, bounds, minlength=n).astype(np.float64)
        return slope, np.maximum(bound, _TINY)
