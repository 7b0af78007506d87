"""Robust estimates: a few outliers don't change them."""

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
        For normal residuals it estimates the standard deviation. Up to half of the residuals may be outliers.

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
    """Return a mask of the residuals within so many robust standard deviations of their median, shape (n,).

    Where more than half of them are equal the robust standard deviation is 0, and all count as inliers.
    """
    centre = float(np.median(residuals))
    sd = robust_sd(residuals, centre)
    return np.asarray(np.abs(residuals - centre) <= (reach * sd if sd > 0 else np.inf))
