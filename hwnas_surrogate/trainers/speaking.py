"""Which of many source devices speak for a new device: those whose predictions make its measurements likely."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.models import PhysicsPrior

__all__ = ["log_evidence", "speaking"]

Vector = npt.NDArray[np.float64]

_ROWS = 48
"""Measurements that sources are compared on: by then the order of the sources is clear."""


def speaking(predicted: Vector, costs: Vector, most: int) -> npt.NDArray[np.intp]:
    """Return the sources with the largest evidence.

    Parameters
    ----------
    predicted : ndarray of float64, shape (n, s)
        What each source predicts for the n measured networks.
    costs : ndarray of float64, shape (n,)
        Their costs on the new device.
    most : int
        Number of sources to return at most.

    Returns
    -------
    ndarray of int, shape (min(most, s),)
        Their numbers, ascending. Of equal ones, the first.

    Examples
    --------
    >>> new = np.array([1.0, 2.0, 4.0, 3.0])
    >>> speaking(np.column_stack([new[::-1], 5 * new, [1, 1, 1, 2]]), new, 1)
    array([1])
    """
    order = np.argsort(-log_evidence(predicted, costs), kind="stable")
    return np.sort(order[:most])


def log_evidence(predicted: Vector, costs: Vector, prior: PhysicsPrior | None = None) -> Vector:
    """Return the log evidence of each source: of the hypothesis that the new device is like it, up to a scale.

    Under the hypothesis, costs are Gaussian: a multiple of what the source predicts, a constant and noise. Their
    standard deviations are integrated over those of the prior [1]_. Costs and predictions are divided by their medians:
    the source may be faster or slower.

    Parameters
    ----------
    predicted : ndarray of float64, shape (n, s)
    costs : ndarray of float64, shape (n,)
    prior : PhysicsPrior, optional
        The prior of the share, the constant and the noise.

    Returns
    -------
    ndarray of float64, shape (s,)
        Up to a constant that all sources share; -inf for a source that predicts no cost above 0.

    References
    ----------
    .. [1] MacKay, "Bayesian interpolation", Neural Computation 1992.
    """
    prior = prior or PhysicsPrior()
    medians = np.median(predicted, axis=0)
    usable = medians > 0
    costs = costs[:_ROWS] / (np.median(costs) or 1.0)
    shares = (predicted[:_ROWS, usable] / medians[usable]).T
    off, n = costs - shares, len(costs)
    squares = shares[:, :, None] * shares[:, None, :]
    found = []
    for share_sd, noise_sd in product(prior.share_sds, prior.noise_sds):
        covariance = share_sd**2 * squares + prior.constant_sd**2 + noise_sd**2 * np.eye(n)
        pull = np.linalg.solve(covariance, off[:, :, None])[:, :, 0]
        found.append(-0.5 * ((off * pull).sum(axis=1) + np.linalg.slogdet(covariance)[1]))
    evidence = np.full(predicted.shape[1], -np.inf)
    evidence[usable] = np.logaddexp.reduce(found, axis=0)
    return evidence
