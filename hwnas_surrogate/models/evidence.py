"""Which ways of making up a cost the measurements support: hypotheses, and their evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.special import digamma, gammaln

from hwnas_surrogate.models.prior import Belief, PhysicsPrior

__all__ = ["Hypotheses"]

Vector = npt.NDArray[np.float64]

_ITERATIONS = 8
_HOPELESS_AFTER, _HOPELESS = 1, 25.0
"""After the second iteration, only hypotheses within so many nats of the best are inferred to the end."""
_SLIPPED = 0.1
"""Not where every hypothesis trusts some measurement less than this: slips take iterations to be seen as such."""


class Hypotheses:
    """Beliefs times noises, H of them, and how well each explains the measurements.

    Parameters
    ----------
    values : ndarray of float64, shape (n, k)
        The measured rows.
    costs : ndarray of float64, shape (n,)
        Their costs, relative to that of a typical network.
    beliefs : sequence of Belief
    prior : PhysicsPrior
        The noises, and what every network costs.

    Attributes
    ----------
    belief : ndarray of int, shape (H,)
        Which belief each hypothesis has.
    variances : ndarray of float64, shape (H,)
        Variance of a clean measurement.
    noise : ndarray of float64, shape (H, n)
        Variance of each measurement.
    precisions : ndarray of float64, shape (H, n)
        Expected precision of each measurement over that of a clean one; 1 under Gaussian noise.
    weights : ndarray of float64, shape (H,)
        Evidence, normalised to a sum of 1.
    """

    def __init__(self, values: Vector, costs: Vector, beliefs: Sequence[Belief], prior: PhysicsPrior) -> None:
        self.costs, self.beliefs, self.prior = costs, beliefs, prior
        self.designs = [belief.design(values) for belief in beliefs]
        self._pair_with_noises()
        kernels, off = self._kernels(), costs - self._means()[self.belief]
        log_odds = np.array([belief.log_odds for belief in beliefs])[self.belief]
        slack = self._infer_slips(kernels, off, log_odds)
        self.noise = self.variances[:, None] / self.precisions
        covariance = _with_noise(kernels[self.belief], self.noise)
        self.inverse = np.linalg.inv(covariance)
        self.pull = np.einsum("hij,hj->hi", self.inverse, off)
        fit = -0.5 * (off * self.pull).sum(axis=1) - 0.5 * np.linalg.slogdet(covariance)[1]
        evidence = fit + slack + log_odds
        weights = np.exp(evidence - evidence.max())
        self.weights = weights / weights.sum()

    def _pair_with_noises(self) -> None:
        """Number the hypotheses: every belief with each normal noise, then every belief with each of Student's t."""
        n, noises = len(self.beliefs), (self.prior.noise_sds, self.prior.robust_noise_sds)
        self.belief = np.concatenate([np.repeat(np.arange(n), len(sds)) for sds in noises])
        self.variances = np.concatenate([np.tile(np.array(sds), n) ** 2 for sds in noises])
        self._first_robust = n * len(self.prior.noise_sds)

    def _means(self) -> Vector:
        """Return what each belief expects of the rows, (beliefs, n)."""
        pairs = zip(self.beliefs, self.designs, strict=True)
        return np.array([shares @ belief.expected for belief, (shares, _) in pairs])

    def _kernels(self) -> Vector:
        """Return how the costs of the rows vary together under each belief, without noise, (beliefs, n, n)."""
        constant = self.prior.constant_sd**2
        return np.array(
            [
                belief.share_sd**2 * shares @ shares.T + corrections @ corrections.T + constant
                for belief, (shares, corrections) in zip(self.beliefs, self.designs, strict=True)
            ]
        )

    def _infer_slips(self, kernels: Vector, off: Vector, log_odds: Vector) -> Vector:
        """Learn how far to trust each measurement; return what slips add to the evidence, (H,)."""
        robust = slice(self._first_robust, None)
        self.precisions, slack = np.ones_like(off), np.zeros(len(off))
        self.precisions[robust], slack[robust] = _student(
            kernels[self.belief[robust]], off[robust], self.variances[robust], log_odds[robust], self.prior.freedom
        )
        return slack

    def mode(self, number: int, width: int) -> Vector:
        """Return the coefficients of all columns, and the intercept last, at the mode of a hypothesis' posterior."""
        belief = self.beliefs[self.belief[number]]
        shares, corrections = self.designs[self.belief[number]]
        rest = corrections @ corrections.T + self.prior.constant_sd**2 + np.diag(self.noise[number])
        factor = np.linalg.cholesky(rest)
        stacked = np.vstack([np.linalg.solve(factor, shares), np.eye(shares.shape[1]) / belief.share_sd])
        wanted = np.concatenate([np.linalg.solve(factor, self.costs), belief.expected / belief.share_sd])
        found = nnls(stacked, wanted)[0]
        pull = np.linalg.solve(rest, self.costs - shares @ found)
        coef = np.zeros(width + 1)
        coef[belief.shares] = found / belief.divisors
        coef[belief.corrections] = corrections.T @ pull * (belief.correction_sd / belief.unit)
        coef[-1] = self.prior.constant_sd**2 * pull.sum()
        return coef

    def covariance(self, number: int, width: int) -> Vector:
        """Return the covariance of what :meth:`mode` returns, but for the signs of shares being known."""
        belief = self.beliefs[self.belief[number]]
        shares, corrections = self.designs[self.belief[number]]
        design = np.column_stack([belief.share_sd * shares, corrections, np.full(len(shares), self.prior.constant_sd)])
        inner = np.eye(design.shape[1]) - design.T @ self.inverse[number] @ design
        columns = np.concatenate([belief.shares, belief.corrections, [width]])
        sds = np.concatenate(
            [
                belief.share_sd / belief.divisors,
                np.full(len(belief.corrections), belief.correction_sd / belief.unit),
                [self.prior.constant_sd],
            ]
        )
        result = np.zeros((width + 1, width + 1))
        result[np.ix_(columns, columns)] = inner * np.outer(sds, sds)
        return result

    def left_out(self) -> tuple[Vector, Vector]:
        """Return each cost minus what the other rows say, and how far that was expected to be off.

        The hypotheses are weighted by the others' evidence [1]_.

        .. [1] Sundararajan and Keerthi, "Predictive approaches for choosing hyperparameters in Gaussian processes",
           Neural Computation 2001.
        """
        own = np.diagonal(self.inverse, axis1=1, axis2=2)
        residuals = self.pull / own
        with np.errstate(divide="ignore"):
            others = np.log(self.weights)[:, None] + 0.5 * (residuals**2 * own - np.log(own))
        others = np.exp(others - others.max(axis=0))
        others /= others.sum(axis=0)
        means = (others * residuals).sum(axis=0)
        # Of a cost that the others decide exactly, rounding may leave less than nothing.
        unsure = np.maximum(1 / own - self.noise, 0.0) + self.variances[:, None]
        return means, np.sqrt((others * ((residuals - means) ** 2 + unsure)).sum(axis=0))


def _student(
    kernels: Vector, off: Vector, variances: Vector, log_odds: Vector, freedom: float
) -> tuple[Vector, Vector]:
    """Infer precisions under Student's t noise: (H, n, n) kernels, (H, n) residuals of the mean, (H,) others.

    Returns the expected precisions, (H, n), and what the bound on the evidence has beyond that of Gaussian noise
    with these precisions, (H,). Hypotheses that are hopeless after a few iterations are left as they are then.
    """
    precisions, slack = np.ones_like(off), np.zeros(len(off))
    hopeful = np.arange(len(off))
    for iteration in range(_ITERATIONS):
        noise = variances[hopeful, None] / precisions[hopeful]
        inverse = np.linalg.inv(_with_noise(kernels[hopeful], noise))
        pull = np.einsum("hij,hj->hi", inverse, off[hopeful])
        # What the posterior leaves of each residual, and how sure of that it is.
        left = noise * pull
        doubt = np.maximum(noise - noise**2 * np.diagonal(inverse, axis1=1, axis2=2), 0.0)
        rate = (freedom + (left**2 + doubt) / variances[hopeful, None]) / 2
        precisions[hopeful] = (freedom + 1) / 2 / rate
        slack[hopeful] = _slack(rate, precisions[hopeful], freedom)
        if iteration == _HOPELESS_AFTER and precisions.max(axis=0).min() > _SLIPPED:
            covariance = _with_noise(kernels, variances[:, None] / precisions)
            fit = -0.5 * (off * np.linalg.solve(covariance, off[..., None])[..., 0]).sum(axis=1)
            bound = fit - 0.5 * np.linalg.slogdet(covariance)[1] + slack + log_odds
            hopeful = np.flatnonzero(bound > bound.max() - _HOPELESS)
    return precisions, slack


def _with_noise(kernels: Vector, noise: Vector) -> Vector:
    """Add variances to the diagonals: (H, n, n), (H, n) -> (H, n, n)."""
    result, diagonal = kernels.copy(), np.arange(noise.shape[1])
    result[:, diagonal, diagonal] += noise
    return result


def _slack(rate: Vector, precisions: Vector, freedom: float) -> Vector:
    """Return what gamma posteriors of the precisions, of these rates, (H, n), add to the bound: -> (H,)."""
    shape, half = (freedom + 1) / 2, freedom / 2
    divergence = (
        (shape - half) * digamma(shape)
        - gammaln(shape)
        + gammaln(half)
        + half * (np.log(rate) - np.log(half))
        + shape * (half - rate) / rate
    )
    slack: Vector = 0.5 * (digamma(shape) - np.log(rate) - np.log(precisions)) - divergence
    return np.asarray(slack.sum(axis=1))
