"""Hypotheses about how a cost is made up, and their evidence given the measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.special import digamma, gammaln

from hwnas_surrogate.models.prior import Belief, PhysicsPrior, Spread

__all__ = ["Hypotheses"]

Vector = npt.NDArray[np.float64]
Which = npt.NDArray[np.intp]

_ITERATIONS = 8
_HOPELESS_AFTER, _HOPELESS = 1, 25.0
"""After the second iteration, inference goes on only for hypotheses within so many nats of the best."""
_OUTLYING = 0.1
"""Nothing is dropped while some measurement has a precision below this under every hypothesis: outliers take more
iterations to converge."""


class Hypotheses:
    """The H hypotheses (every belief with every noise level), and their posterior probabilities.

    Under a hypothesis the costs are Gaussian: ``costs ~ N(mean, kernel + diag(noise))``, where mean and kernel come
    from the belief. Its evidence is the marginal likelihood of the measurements [1]_, or a variational lower bound of
    it where the noise is Student's t [2]_. Hypotheses that differ in the prior mean only have one covariance, which is
    inverted once.

    Parameters
    ----------
    values : ndarray of float64, shape (n, k)
        The measured rows.
    costs : ndarray of float64, shape (n,)
        Their costs, relative to that of a typical network.
    beliefs : sequence of Belief
    prior : PhysicsPrior
        The noise levels, and the standard deviation of the constant.

    Attributes
    ----------
    belief : ndarray of int, shape (H,)
        The number of each hypothesis' belief.
    variances : ndarray of float64, shape (H,)
        Noise variance of a measurement that is no outlier.
    noise : ndarray of float64, shape (H, n)
        Noise variance of each measurement.
    precisions : ndarray of float64, shape (H, n)
        Posterior mean of each measurement's precision, relative to one that is no outlier; 1 under Gaussian noise.
    weights : ndarray of float64, shape (H,)
        Posterior probabilities of the hypotheses: evidence times prior odds, normalised to a sum of 1.

    References
    ----------
    .. [1] MacKay, "Bayesian interpolation", Neural Computation 1992.
    .. [2] Tipping and Lawrence, "Variational inference for Student-t models", Neurocomputing 2005.
    """

    def __init__(self, values: Vector, costs: Vector, beliefs: Sequence[Belief], prior: PhysicsPrior) -> None:
        self.costs, self.beliefs, self.prior = costs, beliefs, prior
        spreads = {belief.spread: belief for belief in beliefs}
        designs = {spread: belief.design(values) for spread, belief in spreads.items()}
        self.designs = [designs[belief.spread] for belief in beliefs]
        self._pair_with_noises()
        kernels, off = self._kernels(designs), costs - self._means()[self.belief]
        numbers = {spread: number for number, spread in enumerate(spreads)}
        kernel = np.array([numbers[belief.spread] for belief in beliefs])[self.belief]
        log_odds = np.array([belief.log_odds for belief in beliefs])[self.belief]
        slack = self._infer_outliers(kernels, kernel, off, log_odds)
        self.noise = self.variances[:, None] / self.precisions
        covariance, number = self._covariances(kernels, kernel)
        self.inverse = np.linalg.inv(covariance)[number]
        self.pull = np.einsum("hij,hj->hi", self.inverse, off)
        fit = -0.5 * (off * self.pull).sum(axis=1) - 0.5 * np.linalg.slogdet(covariance)[1][number]
        evidence = fit + slack + log_odds
        weights = np.exp(evidence - evidence.max())
        self.weights = weights / weights.sum()

    def _pair_with_noises(self) -> None:
        """Number the hypotheses: every belief with each Gaussian noise, then with each Student's t noise."""
        n, noises = len(self.beliefs), (self.prior.noise_sds, self.prior.robust_noise_sds)
        self.belief = np.concatenate([np.repeat(np.arange(n), len(sds)) for sds in noises])
        self.variances = np.concatenate([np.tile(np.array(sds), n) ** 2 for sds in noises])
        self._first_robust = n * len(self.prior.noise_sds)

    def _means(self) -> Vector:
        """Return the prior mean of the costs under each belief, (beliefs, n)."""
        pairs = zip(self.beliefs, self.designs, strict=True)
        return np.array([shares @ belief.expected for belief, (shares, _) in pairs])

    def _kernels(self, designs: Mapping[Spread, tuple[Vector, Vector]]) -> Vector:
        """Return each distinct prior covariance of the costs, without noise, (spreads, n, n)."""
        constant = self.prior.constant_sd**2
        return np.array(
            [
                share_sd**2 * shares @ shares.T + corrections @ corrections.T + constant
                for (_, _, share_sd, _), (shares, corrections) in designs.items()
            ]
        )

    def _infer_outliers(self, kernels: Vector, kernel: Which, off: Vector, log_odds: Vector) -> Vector:
        """Infer the precision of each measurement under Student's t noise.

        Takes the distinct kernels, (spreads, n, n), the number of each hypothesis' kernel, (H,), costs minus prior
        means, (H, n), and log odds, (H,). Returns the terms of the bound on the log evidence beyond those of Gaussian
        noise with these precisions, (H,); 0 under Gaussian noise.
        """
        robust = slice(self._first_robust, None)
        self.precisions, slack = np.ones_like(off), np.zeros(len(off))
        self.precisions[robust], slack[robust] = _student(
            kernels, kernel[robust], off[robust], self.variances[robust], log_odds[robust], self.prior.freedom
        )
        return slack

    def _covariances(self, kernels: Vector, kernel: Which) -> tuple[Vector, Which]:
        """Return the distinct covariances of the measurements, (c, n, n), and the number of each hypothesis', (H,)."""
        first, number = _distinct(kernel[: self._first_robust], self.variances[: self._first_robust])
        rows = np.concatenate([first, np.arange(self._first_robust, len(kernel))])
        number = np.concatenate([number, np.arange(len(first), len(rows))])
        return _with_noise(kernels, kernel[rows], self.noise[rows]), number

    def mode(self, number: int, width: int) -> Vector:
        """Return the posterior mode of the coefficients under a hypothesis: of all columns, the intercept last.

        Shape (width + 1,). Corrections and the constant are integrated out (they are part of the noise in ``rest``), so
        that the non-negative shares are the solution of a whitened least squares problem whose last rows are the prior.
        """
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
        """Return the posterior covariance of the coefficients, (width + 1, width + 1), ignoring the sign constraint."""
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
        """Return leave-one-out residuals and their predictive standard deviations, shape (n,) each.

        For each row, the hypotheses are weighted by their evidence without that row [1]_. Under a hypothesis with the
        inverse covariance A, the residual of row i is ``(A @ off)[i] / A[i, i]``. Its variance is ``1 / A[i, i]``, less
        the noise of that measurement, plus the noise of a measurement that is no outlier.

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
        # Rounding may make the variance of a cost that the other rows determine exactly negative.
        variance = np.maximum(1 / own - self.noise, 0.0) + self.variances[:, None]
        return means, np.sqrt((others * ((residuals - means) ** 2 + variance)).sum(axis=0))


def _student(
    kernels: Vector, kernel: Which, off: Vector, variances: Vector, log_odds: Vector, freedom: float
) -> tuple[Vector, Vector]:
    """Infer precisions under Student's t noise by variational inference (Tipping and Lawrence).

    Alternates between the posterior of the costs, given precisions, and the gamma posterior of each precision, given
    the squared residuals. Hypotheses with hopelessly small evidence keep the precisions of the second iteration.

    Parameters
    ----------
    kernels : ndarray of float64, shape (spreads, n, n)
    kernel : ndarray of int, shape (H,)
        The number of each hypothesis' kernel.
    off : ndarray of float64, shape (H, n)
        Costs minus their prior means.
    variances, log_odds : ndarray of float64, shape (H,)
    freedom : float
        Degrees of freedom.

    Returns
    -------
    precisions : ndarray of float64, shape (H, n)
        Posterior means of the precisions, relative to that of a clean measurement.
    slack : ndarray of float64, shape (H,)
        Terms of the bound on the log evidence beyond those of Gaussian noise with these precisions.
    """
    precisions, slack = np.ones_like(off), np.zeros(len(off))
    hopeful = np.arange(len(off))
    for iteration in range(_ITERATIONS):
        noise = variances[hopeful, None] / precisions[hopeful]
        if iteration == 0:  # all precisions are 1: many covariances are equal
            first, number = _distinct(kernel, variances)
            inverse = np.linalg.inv(_with_noise(kernels, kernel[first], noise[first]))[number]
        else:
            inverse = np.linalg.inv(_with_noise(kernels, kernel[hopeful], noise))
        pull = np.einsum("hij,hj->hi", inverse, off[hopeful])
        # Mean and variance of each measurement's error under the posterior of the costs.
        error = noise * pull
        error_variance = np.maximum(noise - noise**2 * np.diagonal(inverse, axis1=1, axis2=2), 0.0)
        rate = (freedom + (error**2 + error_variance) / variances[hopeful, None]) / 2
        precisions[hopeful] = (freedom + 1) / 2 / rate
        slack[hopeful] = _slack(rate, precisions[hopeful], freedom)
        if iteration == _HOPELESS_AFTER and precisions.max(axis=0).min() > _OUTLYING:
            covariance = _with_noise(kernels, kernel, variances[:, None] / precisions)
            fit = -0.5 * (off * np.linalg.solve(covariance, off[..., None])[..., 0]).sum(axis=1)
            bound = fit - 0.5 * np.linalg.slogdet(covariance)[1] + slack + log_odds
            hopeful = np.flatnonzero(bound > bound.max() - _HOPELESS)
    return precisions, slack


def _distinct(kernel: Which, variances: Vector) -> tuple[Which, Which]:
    """Return a hypothesis for each distinct pair of kernel and variance, and the number of each one's pair, (H,)."""
    pairs = np.column_stack([kernel, variances])
    _, first, number = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    return first, number


def _with_noise(kernels: Vector, kernel: Which, noise: Vector) -> Vector:
    """Add variances to the diagonals of kernels: (spreads, n, n), (H,) numbers of kernels, (H, n) -> (H, n, n)."""
    result, diagonal = kernels[kernel], np.arange(noise.shape[1])
    result[:, diagonal, diagonal] += noise
    return result


def _slack(rate: Vector, precisions: Vector, freedom: float) -> Vector:
    """Return the terms of the bound that belong to the gamma posteriors of the precisions, (H, n) rates -> (H,)."""
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
