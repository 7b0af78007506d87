"""The predictive distribution of a calibrated surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.models import Posterior
from hwnas_surrogate.models.posterior import checked_probability
from hwnas_surrogate.trainers.costs import checked_budget
from hwnas_surrogate.trainers.encoded import Encoded

__all__ = ["CalibratedPosterior"]

Vector = npt.NDArray[np.float64]

_MEDIAN = 1e-6
"""Coverage of the interval whose bounds are used as the median."""
_ONE_SD = 0.6827
"""Probability of a normal variable within one standard deviation."""


class _Calibrated(Protocol):
    def predict_encoded(self, query: Encoded) -> Vector: ...
    def interval_encoded(self, query: Encoded, coverage: float) -> Vector: ...
    def below_encoded(self, query: Encoded, bound: Vector) -> Vector: ...


class CalibratedPosterior(Posterior):
    """The predictive distribution of n costs, from the surrogate's errors on held-out rows.

    Quantiles are the bounds of the surrogate's calibrated intervals, so that their coverage does not depend on the
    model. They are conditional on the network running on the device.

    Parameters
    ----------
    surrogate
        A fitted, calibrated surrogate.
    queries : sequence of Encoded
        The networks, batch by batch.

    Attributes
    ----------
    mean : ndarray of float64, shape (n,)
        The surrogate's predictions.
    sd : ndarray of float64, shape (n,)
        Half the width of the 68 % interval.
    """

    def __init__(self, surrogate: _Calibrated, queries: Sequence[Encoded]) -> None:
        self._surrogate = surrogate
        self._queries = tuple(queries)

    @cached_property
    def mean(self) -> Vector:  # type: ignore[override]
        """The surrogate's predictions, shape (n,)."""
        return np.concatenate([self._surrogate.predict_encoded(query) for query in self._queries])

    @cached_property
    def sd(self) -> Vector:  # type: ignore[override]
        """Half the width of the 68 % interval, shape (n,)."""
        low, high = self.interval(_ONE_SD).T
        return np.asarray((high - low) / 2)

    def interval(self, coverage: float = 0.9) -> Vector:
        """Return central intervals that contain a cost with this probability, shape (n, 2).

        Raises
        ------
        InvalidInputError
            If the coverage is not between 0 and 1, or there are too few training costs for it.
        """
        checked = checked_probability(coverage)
        return np.concatenate([self._surrogate.interval_encoded(query, checked) for query in self._queries])

    def quantile(self, probability: float) -> Vector:
        """Return the quantile of each cost at a probability between 0 and 1, shape (n,)."""
        coverage = abs(2 * checked_probability(probability) - 1)
        return np.asarray(self.interval(max(coverage, _MEDIAN))[:, int(probability > 0.5)])

    def below(self, bound: npt.ArrayLike) -> Vector:
        """Return the probability that each cost is at most a bound, (n,) or one number: shape (n,)."""
        bounds, start, found = checked_budget(bound, len(self)), 0, []
        for query in self._queries:
            found.append(self._surrogate.below_encoded(query, bounds[start : start + len(query)]))
            start += len(query)
        return np.concatenate(found)
