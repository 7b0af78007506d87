"""Estimates that a few wild values don't move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["inliers", "robust_sd"]

Vector = npt.NDArray[np.float64]

_NORMAL = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


def robust_sd(residuals: Vector, centre: float = 0.0) -> float:
    """Return the standard deviation of residuals around a centre, by their median absolute deviation [1]_.

    Parameters
    ----------
    residuals : ndarray of float64, shape (n,)
    centre : float, default=0.0

    Returns
    -------
    float
        As large as the usual standard deviation where residuals are normal; at most half of them move it.

    References
    ----------
    .. [1] Rousseeuw and Croux, "Alternatives to the median absolute deviation", JASA 1993, section 1.

    Examples
    --------
    >>> round(robust_sd(np.array([-1.0, 1.0, 1.0, 1000.0])), 4)
    1.4826
    """
    return _NORMAL * float(np.median(np.abs(residuals - centre)))


def inliers(residuals: Vector, reach: float) -> npt.NDArray[np.bool_]:
    """Return which residuals lie within so many robust standard deviations of their median, shape (n,).

    Where more than half are equal there is no such deviation, and all are inliers.
    """
    centre = float(np.median(residuals))
    sd = robust_sd(residuals, centre)
    return np.asarray(np.abs(residuals - centre) <= (reach * sd if sd > 0 else np.inf))
