"""Sequential optimal design: the networks to measure before anything is known of a device."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from hwnas_surrogate.models.physics import design_of

__all__ = ["least_uncertain", "most_informative"]

Vector = npt.NDArray[np.float64]

_TYPICAL = 0.95
"""Rows are chosen from this fraction of the candidates, the closest to their mean."""
_SHRINKAGE = 0.05
_NOISE = 0.05
"""Assumed standard deviation of measurement noise, relative to the cost of a typical network."""
_MISFIT = 0.1
"""The same of networks of many kinds: between .05 and .15, errors differ by half a point."""
_SCALE_SD = 3.0
"""Prior standard deviation of the logarithm of a device's speed."""


def most_informative(features: pd.DataFrame, n: int, n_known: int = 0) -> tuple[npt.NDArray[np.intp], Vector]:
    """Choose n rows of (m, k) named columns to measure; the last ``n_known`` rows are measured already.

    Greedily, each row is the one with the largest information gain given the rows before it.

    Returns
    -------
    rows : ndarray of int, shape (n,)
    uncertainty : ndarray of float64, shape (n + 1,)
        As in :class:`~hwnas_surrogate.search.Suggestion`.
    """
    candidates = len(features) - n_known
    with threadpool_limits(1):
        designs = [_Design(odds, columns, candidates) for odds, columns in design_of(features)]
        for row in range(candidates, len(features)):
            for design in designs:
                design.measure(row)
        uncertainty = [_uncertainty(designs)]
        distance = np.sum([design.odds * _distance(design.rows[:candidates]) for design in designs], axis=0)
        extreme = (
            distance > np.quantile(distance, _TYPICAL) if n <= _TYPICAL * candidates else np.zeros(candidates, bool)
        )
        picked: list[int] = []
        for _ in range(n):
            gain = np.sum([design.gain() for design in designs], axis=0)
            gain[picked] = -np.inf
            gain[:candidates][extreme] = -np.inf
            # Rounded, so that ties are broken by order and not by rounding errors.
            picked.append(int(np.argmax(np.round(gain[:candidates], 9))))
            for design in designs:
                design.measure(picked[-1])
            uncertainty.append(_uncertainty(designs))
    return np.array(picked, np.intp), np.array(uncertainty)


def _distance(rows: Vector) -> Vector:
    """Return the squared Mahalanobis distance of each row from the mean, (m, k) -> (m,)."""
    from sklearn.covariance import ShrunkCovariance

    if len(rows) < 2:  # they have no covariance
        return np.zeros(len(rows))
    return np.asarray(ShrunkCovariance(shrinkage=_SHRINKAGE).fit(rows).mahalanobis(rows))


def least_uncertain(slopes: Vector, n: int, n_known: int = 0) -> tuple[npt.NDArray[np.intp], Vector]:
    """Choose n networks of any kind to measure; the last ``n_known`` are measured already.

    Greedily, each is the one whose measurement leaves the smallest mean variance of the logarithmic cost of all that
    are not known (V-optimal design). The most informative ones (D-optimal) are extreme, and say little about the
    others: with 20 of them the median error is 16 %, instead of 12 % (four devices of the bundled zoo).

    Parameters
    ----------
    slopes : ndarray of float64, shape (m, k)
        Of logarithmic costs (:meth:`~hwnas_surrogate.models.OperatorRegression.prior_design`).
    n, n_known : int

    Returns
    -------
    rows, uncertainty
        As of :func:`most_informative`.
    """
    candidates = len(slopes) - n_known
    with threadpool_limits(1):
        rows = np.column_stack([np.full(len(slopes), _SCALE_SD), slopes])
        design = _Design(1.0, rows, candidates, _MISFIT)
        for row in range(candidates, len(slopes)):
            design.measure(row)
        picked, uncertainty = list[int](), [_uncertainty([design])]
        for _ in range(n):
            saving = design.saving()[:candidates]
            saving[picked] = -np.inf
            picked.append(int(np.argmax(np.round(saving, 9))))
            design.measure(picked[-1])
            uncertainty.append(_uncertainty([design]))
    return np.array(picked, np.intp), np.array(uncertainty)


class _Design:
    """The posterior covariance of Bayesian linear regression after some rows are measured; costs are not needed."""

    def __init__(self, odds: float, rows: Vector, candidates: int, noise_sd: float = _NOISE) -> None:
        self.odds, self.rows, self.noise = odds, rows, noise_sd**2
        self.covariance = np.eye(rows.shape[1])
        self.variance = (rows**2).sum(axis=1)
        self._moment = rows[:candidates].T @ rows[:candidates] / candidates

    def measure(self, row: int) -> None:
        """Update the posterior for the measurement of a row: a rank-one update of the covariance."""
        direction = self.covariance @ self.rows[row]
        variance = self.noise + float(self.rows[row] @ direction)
        self.variance = self.variance - (self.rows @ direction) ** 2 / variance
        self.covariance = self.covariance - np.outer(direction, direction) / variance

    def gain(self) -> Vector:
        """Return twice the information gain of measuring each row, (m,), times the odds of this design."""
        result: Vector = self.odds * np.log1p(np.maximum(self.variance, 0.0) / self.noise)
        return result

    def saving(self) -> Vector:
        """Return by how much measuring each row decreases the mean predictive variance over the candidates, (m,)."""
        covariances = self.rows @ self.covariance
        saved: Vector = ((covariances @ self._moment) * covariances).sum(axis=1)
        saved /= np.maximum(self.variance, 0.0) + self.noise
        return saved

    def uncertainty(self) -> float:
        """Return the mean predictive variance over the candidates."""
        return float((self.covariance * self._moment).sum())


def _uncertainty(designs: list[_Design]) -> float:
    odds = [design.odds for design in designs]
    return float(np.sqrt(np.average([design.uncertainty() for design in designs], weights=odds)))
