"""Regression of operators' logarithmic costs on the costs of networks: for few networks of many kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import huber

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.cost_model import Arrays, Vector, checked_array
from hwnas_surrogate.models.threads import one_blas_thread

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["OperatorRegression"]

_OF_ONE_KIND, _OF_MANY_KINDS = 0.03, 0.15
"""Relative standard deviations of a network's cost around the sum, mostly misfit. For many kinds of networks, .1 to .25
differ by .3 points."""
_CLOSE_FIT = 0.06
"""Networks are of one kind if the mean absolute leave-one-out residual is at most this, with the smaller noise."""
_OF_OPERATOR = 0.3
"""The same of an operator in a profile that takes the whole cost; the variance of others is larger as their part is
smaller. All operators of a network then count about as much as a quarter of its cost."""
_LEAST_PART = 0.005
"""Operators that take a smaller part of the cost of a profiled network are left out."""
_FAR, _FAR_OPERATOR = 0.5, 1.0
"""Logarithmic residuals beyond these count less: slips, interruptions, operators of kinds that are unlike others."""
_SCALE_SD, _UNIT_SD, _PART_SD = 30.0, 1.5, 0.5
"""Prior standard deviations of the logarithms of the scale, of a quantity's unit cost, and of a part's deviation."""
_STEPS, _LONGEST, _SHORTEST, _CLOSE = 20, 1.5, 1e-3, 1e-2
"""Steps of Gauss and Newton, the largest change of a coefficient in a step, the smallest part of a step that is tried,
and the decrease of the negative log posterior that ends them."""
_DECIMALS = 9
"""Logarithms are rounded: sums in a matrix product depend on the other rows in their last digits."""
_LARGEST = 60.0


class OperatorRegression:
    """Bayesian regression of the logarithms of operators' costs, fitted to the costs of networks, and to profiles.

    The cost of an operator is ``sum_j q_j exp(u_j + d_j)`` times ``exp(s + terms @ b)``: a non-negative sum of physical
    quantities q with the logarithmic unit costs u, deviations d of these for parts (an operator's kind), a scale s, and
    coefficients b of standardised terms. All coefficients have Gaussian priors around 0. The logarithm of a network's
    cost, the sum over its operators, has Gaussian noise, with Huber's weights for large residuals: errors are relative,
    so that the largest of a few networks does not decide alone. So have the logarithms of the times of profiled
    operators. The mode of the posterior is found by Gauss and Newton's method with a line search, the evidence by
    Laplace's approximation [1]_. The noise is small if the leave-one-out residuals are: evidence and residuals alone
    prefer too small a noise where networks are of many kinds.

    Parameters
    ----------
    refines : sequence of int
        For each physical quantity, the number of the one that it is a part of, -1 for none.

    Attributes
    ----------
    coef_ : ndarray of float64, shape (1 + q + t,)
        The scale, the logarithmic unit costs and deviations of q quantities, and the coefficients of t terms.
    log_evidence_ : float
        The logarithm of the marginal likelihood of the costs; not saved.

    References
    ----------
    .. [1] MacKay, "Bayesian interpolation", Neural Computation 1992.
    """

    coef_: Vector
    log_evidence_: float

    def __init__(self, refines: Sequence[int]) -> None:
        self.refines = refines
        whole = np.asarray(refines)
        self._part, self._general = np.flatnonzero(whole >= 0), np.flatnonzero(whole < 0)
        self._of_whole = (whole[self._part, None] == self._general).astype(np.float64)

    def fit(
        self, quantities: Vector, terms: Vector, counts: csr_array, costs: Vector, times: csr_array | None = None
    ) -> Self:
        """Fit on n networks of L distinct operators.

        Parameters
        ----------
        quantities : ndarray of float64, shape (L, q)
            Physical quantities, none of which is negative, in units that cost about the same.
        terms : ndarray of float64, shape (L, t)
            Terms of the logarithm, each times the prior standard deviation of its coefficient.
        counts : sparse array, shape (n, L)
            How often each network runs each operator.
        costs : ndarray of float64, shape (n,)
            The cost of each network, above 0.
        times : sparse array, shape (n, L), optional
            The part of each network's cost that its operators take by its profile, all calls together.

        Returns
        -------
        OperatorRegression

        Raises
        ------
        InvalidInputError
            If a cost is not above 0, or no network has an operator with a quantity.
        """
        if len(costs) and not costs.min() > 0:
            raise InvalidInputError(f"OperatorRegression takes costs above 0, got {costs.min():g}.")
        used = np.unique(counts.indices)
        used = used[quantities[used].any(axis=1)]
        runs = counts[:, used].sum(axis=1) > 0
        if not runs.any():
            raise InvalidInputError("no network has an operator that takes time: nothing can be learned of operators.")
        own, costs = counts[runs][:, used].astype(np.float64), costs[runs]
        measured = _Measured.of(own, costs, None if times is None else times[runs][:, used])
        with one_blas_thread():
            for noise_sd in (_OF_ONE_KIND, _OF_MANY_KINDS):
                self.coef_, self.log_evidence_, left_out = self._mode(quantities[used], terms[used], measured, noise_sd)
                if left_out <= _CLOSE_FIT:
                    break
        return self

    def predict(self, quantities: Vector, terms: Vector) -> Vector:
        """Return the cost of L operators: (L, q) quantities and (L, t) terms -> (L,); 0 without any quantity."""
        if not len(quantities):
            return np.empty(0)
        logs, _ = self._logs(quantities, terms, self.coef_)
        return np.where(quantities.any(axis=1), np.exp(np.round(np.clip(logs, -_LARGEST, _LARGEST), _DECIMALS)), 0.0)

    def prior_design(self, quantities: Vector, terms: Vector, counts: csr_array) -> Vector:
        """Return the effect of coefficients on the logarithms of n networks' costs, before anything is measured.

        Parameters
        ----------
        quantities, terms, counts
            As in :meth:`fit`.

        Returns
        -------
        ndarray of float64, shape (n, q + t)
            Slopes at the mode of the prior, each times the prior standard deviation of its coefficient; without the
            scale. 0 of networks without an operator that takes time.
        """
        coef = np.zeros(1 + len(self.refines) + terms.shape[1])
        logs, parts = self._logs(quantities, terms, coef)
        runs = quantities.any(axis=1)
        shares = _shares(counts, np.where(runs, logs, -np.inf))
        return np.asarray((shares @ self._slopes(quantities, terms, parts))[:, 1:])

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        return {"coef": self.coef_}

    def from_arrays(self, arrays: Arrays, n_terms: int) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for operators of so many terms, or raise InvalidInputError."""
        self.coef_ = checked_array(arrays, "coef", (1 + len(self.refines) + n_terms,))
        return self

    def _logs(self, quantities: Vector, terms: Vector, coef: Vector) -> tuple[Vector, Vector]:
        """Return logarithmic costs, (L,), and the part of each general quantity in them, (L, general)."""
        n, general, part = 1 + len(self.refines), 1 + self._general, 1 + self._part
        deviations = (quantities[:, self._part] > 0) * coef[part] @ self._of_whole
        costs = quantities[:, self._general] * np.exp(np.clip(coef[general] + deviations, -_LARGEST, _LARGEST))
        sums = np.maximum(costs.sum(axis=1), np.finfo(float).tiny)
        return np.clip(np.log(sums) + coef[0] + terms @ coef[n:], -_LARGEST, _LARGEST), costs / sums[:, None]

    def _sds(self, n_terms: int) -> Vector:
        sds = np.ones(1 + len(self.refines) + n_terms)
        sds[0], sds[1 + self._general], sds[1 + self._part] = _SCALE_SD, _UNIT_SD, _PART_SD
        return sds

    def _slopes(self, quantities: Vector, terms: Vector, parts: Vector) -> Vector:
        """Return the slopes of operators' logarithms, (L, 1 + q + t), times the coefficients' standard deviations."""
        slopes = np.ones((len(terms), 1 + len(self.refines) + terms.shape[1]))
        slopes[:, 1 + self._general] = parts
        slopes[:, 1 + self._part] = (quantities[:, self._part] > 0) * (parts @ self._of_whole.T)
        slopes[:, 1 + len(self.refines) :] = terms
        return slopes * self._sds(terms.shape[1])

    def _mode(
        self, quantities: Vector, terms: Vector, measured: _Measured, noise_sd: float
    ) -> tuple[Vector, float, float]:
        """Return the mode of the coefficients, the log evidence and the networks' mean leave-one-out residual."""
        sds, n = self._sds(terms.shape[1]), measured.counts.shape[0]
        variance = measured.variances(noise_sd)

        def tried(coef: Vector) -> tuple[float, Vector, Vector, Vector]:
            logs, parts = self._logs(quantities, terms, coef)
            residuals = measured.residuals(logs)
            loss = (huber(measured.far, residuals) / variance).sum() + 0.5 * ((coef / sds) ** 2).sum()
            return float(loss), logs, parts, residuals

        coef = np.zeros(len(sds))
        coef[0] = float(np.median(tried(coef)[3][:n]))
        loss, logs, parts, residuals = tried(coef)
        evidence = left_out = float("nan")
        for _ in range(_STEPS):
            slopes = measured.rows(logs, self._slopes(quantities, terms, parts))
            weights = 1 / (variance * np.maximum(np.abs(residuals) / measured.far, 1.0))
            factor = cholesky((slopes.T * weights) @ slopes + np.eye(len(sds)), lower=True)
            aims = residuals + slopes @ (coef / sds)
            mode = cho_solve((factor, True), slopes.T @ (weights * aims))
            remaining = aims - slopes @ mode
            leverage = weights[:n] * (solve_triangular(factor, slopes[:n].T, lower=True) ** 2).sum(axis=0)
            left_out = float(np.abs(remaining[:n] / (1 - leverage)).mean())
            evidence = float(
                -0.5 * (weights * aims) @ remaining - np.log(np.diag(factor)).sum() + 0.5 * np.log(weights).sum()
            )
            step = sds * mode - coef
            length = min(1.0, _LONGEST / max(float(np.abs(step[1:]).max(initial=0.0)), _CLOSE))
            while (next_ := tried(coef + length * step))[0] > loss and length > _SHORTEST:
                length /= 2
            gained = loss - next_[0]
            if gained > 0:
                coef = coef + length * step
                loss, logs, parts, residuals = next_
            if gained < _CLOSE:
                break
        return coef, evidence, left_out


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Equations of n networks, and after them of operators in profiles.

    ``operator``, ``log_times`` and ``parts`` are those of profiled operators: which it is, the logarithm of the time of
    one call, and its part of its network's cost.
    """

    counts: csr_array
    log_costs: Vector
    operator: npt.NDArray[np.intp]
    log_times: Vector
    parts: Vector

    @classmethod
    def of(cls, counts: csr_array, costs: Vector, times: csr_array | None) -> _Measured:
        if times is None:
            return cls(counts, np.log(costs), np.empty(0, np.intp), np.empty(0), np.empty(0))
        entries = times.tocoo()
        parts = entries.data / costs[entries.row]
        kept = parts > _LEAST_PART
        row, operator, parts = entries.row[kept], entries.col[kept], parts[kept]
        calls = np.asarray(counts[row, operator]).ravel()
        return cls(counts, np.log(costs), operator, np.log(parts * costs[row] / calls), parts)

    @property
    def far(self) -> Vector:
        return np.repeat([_FAR, _FAR_OPERATOR], [len(self.log_costs), len(self.parts)])

    def variances(self, noise_sd: float) -> Vector:
        return np.concatenate([np.full(len(self.log_costs), noise_sd**2), _OF_OPERATOR**2 / self.parts])

    def residuals(self, logs: Vector) -> Vector:
        of_networks = self.log_costs - np.log(self.counts @ np.exp(logs))
        return np.concatenate([of_networks, self.log_times - logs[self.operator]])

    def rows(self, logs: Vector, slopes: Vector) -> Vector:
        """Return the slopes of all equations, given the logarithms of operators and their slopes."""
        return np.vstack([_shares(self.counts, logs) @ slopes, slopes[self.operator]])


def _shares(counts: csr_array, logs: Vector) -> csr_array:
    """Return the share of each operator in the cost of each network, (n, L); 0 where all cost nothing."""
    run = counts * np.exp(logs)[None, :]
    sums = run.sum(axis=1)
    return (run * np.divide(1.0, sums, out=np.zeros(len(sums)), where=sums > 0)[:, None]).tocsr()
