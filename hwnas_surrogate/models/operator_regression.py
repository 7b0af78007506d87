"""Regression of operators' logarithmic costs on the costs of networks: for few networks of many kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.cost_model import Arrays, Vector, checked_array
from hwnas_surrogate.models.threads import one_blas_thread

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["OperatorRegression"]

_OF_ONE_KIND, _OF_MANY_KINDS = 0.03, 0.25
"""Relative standard deviations of a network's cost around the sum, mostly misfit. For many kinds of networks, .15 to .4
differ by .7 points."""
_CLOSE_FIT = 0.06
"""Networks are of one kind if the mean absolute leave-one-out residual is at most this, with the smaller noise."""
_FAR = 0.5
"""Logarithmic residuals beyond this count less: slips, interruptions, and operators of kinds that are unlike others."""
_SCALE_SD, _UNIT_SD, _PART_SD = 30.0, 1.5, 0.5
"""Prior standard deviations of the logarithms of the scale, of a quantity's unit cost, and of a part's deviation."""
_STEPS, _LONGEST, _CLOSE = 12, 1.5, 1e-2
"""Steps of Gauss and Newton, the largest change of a coefficient in a step, and the change that ends them."""
_DECIMALS = 9
"""Logarithms are rounded: sums in a matrix product depend on the other rows in their last digits."""
_LARGEST = 60.0


class OperatorRegression:
    """Bayesian regression of the logarithms of operators' costs, fitted to the costs of networks.

    The cost of an operator is ``sum_j q_j exp(u_j + d_j)`` times ``exp(s + terms @ b)``: a non-negative sum of physical
    quantities q with the logarithmic unit costs u, deviations d of these for parts (an operator's kind), a scale s, and
    coefficients b of standardised terms. All coefficients have Gaussian priors around 0. The logarithm of a network's
    cost, the sum over its operators, has Gaussian noise, with Huber's weights for large residuals: errors are relative,
    so that the largest of a few networks does not decide alone. The mode of the posterior is found by Gauss and
    Newton's method, the evidence by Laplace's approximation [1]_. The noise is small if the leave-one-out residuals
    are: evidence and residuals alone prefer too small a noise where networks are of many kinds. There are as many
    equations as networks, so that a fit takes milliseconds.

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

    def fit(self, quantities: Vector, terms: Vector, counts: csr_array, costs: Vector) -> Self:
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
        quantities, terms, counts = quantities[used], terms[used], counts[:, used].astype(np.float64)
        costs = costs[(runs := counts.sum(axis=1) > 0)]
        if not len(costs):
            raise InvalidInputError("no network has an operator that takes time: nothing can be learned of operators.")
        with one_blas_thread():
            self.coef_, self.log_evidence_, left_out = self._mode(
                quantities, terms, counts[runs], np.log(costs), _OF_ONE_KIND
            )
            if not left_out <= _CLOSE_FIT:
                self.coef_, self.log_evidence_, _ = self._mode(
                    quantities, terms, counts[runs], np.log(costs), _OF_MANY_KINDS
                )
        return self

    def predict(self, quantities: Vector, terms: Vector) -> Vector:
        """Return the cost of L operators: (L, q) quantities and (L, t) terms -> (L,); 0 without any quantity."""
        if not len(quantities):
            return np.empty(0)
        logs, _ = self._logs(quantities, terms, self.coef_)
        return np.where(quantities.any(axis=1), np.exp(np.round(np.clip(logs, -_LARGEST, _LARGEST), _DECIMALS)), 0.0)

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
        return np.log(sums) + coef[0] + terms @ coef[n:], costs / sums[:, None]

    def _mode(
        self, quantities: Vector, terms: Vector, counts: csr_array, log_costs: Vector, noise_sd: float
    ) -> tuple[Vector, float, float]:
        """Return the mode of the coefficients, the log evidence and the mean leave-one-out residual."""
        n = 1 + len(self.refines)
        sds = np.ones(n + terms.shape[1])
        sds[0], sds[1 + self._general], sds[1 + self._part] = _SCALE_SD, _UNIT_SD, _PART_SD
        has_part = (quantities[:, self._part] > 0).astype(np.float64)
        coef = np.zeros(len(sds))
        logs, _ = self._logs(quantities, terms, coef)
        coef[0] = float(np.median(log_costs - np.log(counts @ np.exp(logs))))
        evidence = left_out = float("nan")
        for _ in range(_STEPS):
            logs, parts = self._logs(quantities, terms, coef)
            run = counts * np.exp(np.clip(logs, -_LARGEST, _LARGEST))[None, :]
            sums = run.sum(axis=1)
            shares = (run * (1 / sums)[:, None]).tocsr()
            slopes = np.empty((len(log_costs), len(sds)))
            slopes[:, 0], slopes[:, 1 + self._general] = 1.0, shares @ parts
            slopes[:, 1 + self._part] = shares @ (has_part * (parts @ self._of_whole.T))
            slopes[:, n:] = shares @ terms
            slopes *= sds
            residuals = log_costs - np.log(sums)
            noise = noise_sd**2 * np.maximum(np.abs(residuals) / _FAR, 1.0)
            covariance = slopes @ slopes.T + np.diag(noise)
            aims = residuals + slopes @ (coef / sds)
            inverse = np.linalg.inv(covariance)
            pull = inverse @ aims
            step = sds * (slopes.T @ pull) - coef
            left_out = float(np.abs(pull / np.diag(inverse)).mean())
            evidence = float(-0.5 * aims @ pull - 0.5 * np.linalg.slogdet(covariance)[1])
            largest = float(np.abs(step[1:]).max(initial=0.0))
            coef = coef + step * min(1.0, _LONGEST / max(largest, _CLOSE))
            if largest < _CLOSE:
                break
        return coef, evidence, left_out
