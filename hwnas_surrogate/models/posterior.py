"""The predictive distribution of costs that were not measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["NormalPosterior", "Posterior", "checked_probability"]

Vector = npt.NDArray[np.float64]


class Posterior(ABC):
    """The predictive distribution of each of n costs, given the measurements.

    Attributes
    ----------
    mean : ndarray of float64, shape (n,)
        Predicted costs.
    sd : ndarray of float64, shape (n,)
        Predictive standard deviation.
    """

    mean: Vector
    sd: Vector

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.mean)

    @abstractmethod
    def quantile(self, probability: float) -> Vector:
        """Return the quantile of each cost at a probability between 0 and 1, shape (n,)."""

    @abstractmethod
    def below(self, bound: npt.ArrayLike) -> Vector:
        """Return the probability that each cost is at most a bound, (n,) or one number: shape (n,)."""

    def interval(self, coverage: float = 0.9) -> Vector:
        """Return central intervals that contain a cost with this probability, shape (n, 2)."""
        part = (1 - checked_probability(coverage)) / 2
        return np.stack([self.quantile(part), self.quantile(1 - part)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class NormalPosterior(Posterior):
    """Costs that are normally distributed.

    Parameters
    ----------
    mean, sd : ndarray of float64, shape (n,)

    Examples
    --------
    >>> posterior = NormalPosterior(np.array([10.0]), np.array([2.0]))
    >>> posterior.below(10.0).tolist()
    [0.5]
    >>> posterior.interval(0.95).round(2).tolist()
    [[6.08, 13.92]]
    """

    mean: Vector
    sd: Vector

    def quantile(self, probability: float) -> Vector:
        """Return the quantile of each cost at a probability between 0 and 1, shape (n,)."""
        return np.asarray(self.mean + self.sd * ndtri(checked_probability(probability)))

    def below(self, bound: npt.ArrayLike) -> Vector:
        """Return the probability that each cost is at most a bound, (n,) or one number: shape (n,)."""
        reach = np.asarray(bound, np.float64) - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            # With sd 0 the distribution is a point: the probability is 0 or 1.
            return np.where(self.sd > 0, ndtr(reach / self.sd), np.where(reach >= 0, 1.0, 0.0))


def checked_probability(value: float) -> float:
    """Return a probability as it is, or raise :class:`InvalidInputError` unless it lies between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < 1:
        raise InvalidInputError(f"a probability must be a number between 0 and 1, got {value!r}.")
    return float(value)
