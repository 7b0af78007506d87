"""The weight of one of two models in a mixture, by their residuals on held-out rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.models.robust import robust_sd

__all__ = ["ALL", "mixing_weight", "predicted_by_either"]

Vector = npt.NDArray[np.float64]

ALL = 0.95
"""A weight above this is rounded to 1, and one below 1 minus this to 0."""


def predicted_by_either(first: Vector, second: Vector) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows that at least one of two models predicts well, (n,): the others are outliers.

    ``first`` and ``second`` are residuals, shape (n,) each.
    """
    return np.asarray(np.minimum(np.abs(first), np.abs(second)) <= 3 * robust_sd(first))


def mixing_weight(first: Vector, second: Vector, pseudo_rows: float, prior: float = 0.0) -> float:
    """Return the weight w of the second of two models that minimises the squared residuals of their mixture.

    The mixture has the residuals ``(1 - w) * first + w * second``, so that least squares gives
    ``w = (first @ difference) / (difference @ difference)`` with ``difference = first - second``. A penalty of
    ``pseudo_rows`` shrinks w to its prior value where rows are few. A w within 5 % of 0 or 1 is rounded to it.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n,)
        Residuals of the two models on rows that they were not fitted to.
    pseudo_rows : float
        How much the prior value counts, in rows.
    prior : float, default=0.0
        The prior value of w.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> mixing_weight(np.array([2.0, -2.0, 2.0, -2.0]), np.array([-2.0, 2.0, -2.0, 2.0]), 0.0)  # the errors cancel
    0.5
    """
    kept = predicted_by_either(first, second)
    first, second = first[kept], second[kept]
    difference = first - second
    penalty = (pseudo_rows / len(first)) ** 2 * float((first**2).sum())
    total = float((difference**2).sum()) + penalty
    weight = float(np.clip(((first * difference).sum() + penalty * prior) / total, 0.0, 1.0)) if total > 0 else 0.0
    return 1.0 if weight > ALL else 0.0 if weight < 1 - ALL else weight
