"""Which rows tell most about all the others: sequential D-optimal design under the prior of layer physics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from hwnas_surrogate.models.physics import design_of

__all__ = ["most_telling"]

Vector = npt.NDArray[np.float64]

_TYPICAL = 0.95
"""This part of them, the most typical ones, is chosen from."""
_SHRINKAGE = 0.05
_NOISE = 0.05
"""Standard deviation of a measurement that the choice allows for, relative to the cost of a typical network."""


def most_telling(features: pd.DataFrame, n: int, n_known: int = 0) -> tuple[npt.NDArray[np.intp], Vector]:
    """Choose n rows of (m, k) named columns, of which the last ``n_known`` are measured already.

    Returns
    -------
    rows : ndarray of int, shape (n,)
    uncertainty : ndarray of float64, shape (n + 1,)
        As :class:`~hwnas_surrogate.search.Suggestion` has it.
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
            # Rounded, so that equals are told apart by their order and not by the last digit.
            picked.append(int(np.argmax(np.round(gain[:candidates], 9))))
            for design in designs:
                design.measure(picked[-1])
            uncertainty.append(_uncertainty(designs))
    return np.array(picked, np.intp), np.array(uncertainty)


def _distance(rows: Vector) -> Vector:
    """Return how far each row lies from the average one, in the directions in which they vary (Mahalanobis)."""
    from sklearn.covariance import ShrunkCovariance

    return np.asarray(ShrunkCovariance(shrinkage=_SHRINKAGE).fit(rows).mahalanobis(rows))


class _Design:
    """What is known after some rows of a design are measured: Bayesian linear regression without the costs."""

    def __init__(self, odds: float, rows: Vector, candidates: int) -> None:
        self.odds, self.rows = odds, rows
        self.covariance = np.eye(rows.shape[1])
        self.variance = (rows**2).sum(axis=1)
        self._moment = rows[:candidates].T @ rows[:candidates] / candidates

    def measure(self, row: int) -> None:
        """Take note that a row is measured."""
        spread = self.covariance @ self.rows[row]
        gain = _NOISE**2 + float(self.rows[row] @ spread)
        self.variance = self.variance - (self.rows @ spread) ** 2 / gain
        self.covariance = self.covariance - np.outer(spread, spread) / gain

    def gain(self) -> Vector:
        """Return what measuring each row would tell, times the odds that the costs are of this design."""
        result: Vector = self.odds * np.log1p(np.maximum(self.variance, 0.0) / _NOISE**2)
        return result

    def uncertainty(self) -> float:
        """Return the mean variance over the candidates."""
        return float((self.covariance * self._moment).sum())


def _uncertainty(designs: list[_Design]) -> float:
    odds = [design.odds for design in designs]
    return float(np.sqrt(np.average([design.uncertainty() for design in designs], weights=odds)))
