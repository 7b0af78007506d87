"""Principal components where most values are missing: a low-rank model of the known ones, and noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["low_rank_covariance"]

Vector = npt.NDArray[np.float64]

_MOST = 10
"""Directions at most; those that the values do not support shrink to 0."""
_ITERATIONS = 300
_EXACT = 1e-12
"""Least variance of the noise, and of a direction by its prior, relative to that of the values."""
_CONVERGED = 1e-3
"""The iteration ends when the noise variance and the directions' variances change by less than this, relatively."""


def low_rank_covariance(values: Vector) -> tuple[Vector, Vector, float]:
    """Estimate the covariance of columns from the known values of each row.

    The model is probabilistic PCA [1]_ in its Bayesian form: values are a mean of the column, a sum of at most ten
    directions with independent weights, and noise of equal variance. Directions have priors whose variances are
    estimated, so that those without support vanish [2]_. Missing values have no part in the likelihood [3]_.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        NaN where missing; each column has a known value.

    Returns
    -------
    directions : ndarray of float64, shape (d, q)
        Orthonormal, by descending variance.
    variances : ndarray of float64, shape (q,)
        Variance along each direction, without the noise.
    noise : float
        Variance of the noise: the covariance is ``directions @ diag(variances) @ directions.T + noise * identity``.

    References
    ----------
    .. [1] Tipping and Bishop, "Probabilistic principal component analysis", Journal of the Royal Statistical Society B,
       1999.
    .. [2] Bishop, "Variational principal components", ICANN 1999.
    .. [3] Ilin and Raiko, "Practical approaches to principal component analysis in the presence of missing values",
       Journal of Machine Learning Research 2010.
    """
    fit = _Fit(values)
    before = np.full(2, np.inf)
    for _ in range(_ITERATIONS):
        fit.step()
        now = np.array([fit.noise, float((fit.loadings**2).sum())])
        if (np.abs(now - before) <= _CONVERGED * now).all():
            break
        before = now
    return fit.covariance()


class _Fit:
    """Posterior means and covariances of the columns' loadings, (d, q), and of the rows' weights, (n, q)."""

    def __init__(self, values: Vector) -> None:
        self.known = (~np.isnan(values)).astype(np.float64)
        self.counts = self.known.sum(axis=0)
        self.off = np.where(self.known > 0, values - np.nansum(values, axis=0) / self.counts, 0.0)
        n, d = values.shape
        q = min(_MOST, d, n - 1)
        left, singular, right = np.linalg.svd(self.off, full_matrices=False)
        self.weights, self.loadings = left[:, :q] * np.sqrt(n), right[:q].T * (singular[:q] / np.sqrt(n))
        self.loading_covariances: Vector = np.zeros((d, q, q))
        self.total = float((self.off**2).sum() / self.known.sum())
        self.noise = 0.1 * self.total

    def step(self) -> None:
        """Update the weights, the loadings, the means and the noise, each given the others."""
        n, q = self.weights.shape
        moments = _moments(self.loadings, self.loading_covariances)
        covariances = _inverse(np.eye(q) + (self.known @ moments).reshape(n, q, q) / self.noise)
        self.weights = _times(covariances, self.off @ self.loadings / self.noise)
        covariances = self._standardize(covariances)
        shift = (self.off - self.known * (self.weights @ self.loadings.T)).sum(axis=0) / self.counts
        self.off -= self.known * shift
        moments = self.known.T @ _moments(self.weights, covariances)
        sizes = _moments(self.loadings, self.loading_covariances).sum(axis=0).reshape(q, q).diagonal()
        precisions = len(self.loadings) / np.maximum(sizes, _EXACT * self.total)
        self.loading_covariances = _inverse(moments.reshape(-1, q, q) / self.noise + np.diag(precisions))
        pull = self.off.T @ self.weights
        self.loadings = _times(self.loading_covariances, pull / self.noise)
        fitted = _moments(self.loadings, self.loading_covariances)
        squares = (self.off**2).sum() - 2 * (self.loadings * pull).sum() + (fitted * moments).sum()
        self.noise = max(float(squares) / self.known.sum(), _EXACT * self.total)

    def _standardize(self, covariances: Vector) -> Vector:
        """Make the weights uncorrelated with variance 1, and the loadings orthogonal: the iteration converges sooner.

        Takes and returns the covariances of the weights, (n, q, q). The products of weights and loadings don't change.
        """
        q = self.weights.shape[1]
        values, axes = np.linalg.eigh(_moments(self.weights, covariances).mean(axis=0).reshape(q, q))
        scale = axes * np.sqrt(np.maximum(values, 1e-12 * values.max()))
        of_loadings = _moments(self.loadings, self.loading_covariances).sum(axis=0).reshape(q, q)
        rotation = np.linalg.eigh(scale.T @ of_loadings @ scale)[1][:, ::-1]
        to_loadings = scale @ rotation
        to_weights = np.linalg.inv(to_loadings).T
        self.loadings, self.weights = self.loadings @ to_loadings, self.weights @ to_weights
        self.loading_covariances = to_loadings.T @ self.loading_covariances @ to_loadings
        return np.asarray(to_weights.T @ covariances @ to_weights)

    def covariance(self) -> tuple[Vector, Vector, float]:
        """Return orthonormal directions, their variances, and the variance of the noise."""
        directions, scales, _ = np.linalg.svd(self.loadings, full_matrices=False)
        return directions, scales**2, self.noise


def _moments(means: Vector, covariances: Vector) -> Vector:
    """Return the second moments of vectors, from means of shape (m, q) and covariances, (m, q * q)."""
    return np.asarray((means[:, :, None] * means[:, None, :] + covariances).reshape(len(means), -1))


def _times(matrices: Vector, vectors: Vector) -> Vector:
    """Multiply each matrix by its vector: (m, q, q), (m, q) -> (m, q)."""
    return np.asarray(np.einsum("mij,mj->mi", matrices, vectors))


def _inverse(matrices: Vector) -> Vector:
    """Invert each matrix: (m, q, q) -> (m, q, q)."""
    return np.asarray(np.linalg.inv(matrices), np.float64)
