"""First estimates of operators' costs: from physics, and from what other devices take for the same operators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features.operator_sizes import (
    N_TERMS,
    REFINES,
    UNIT_COSTS,
    operator_quantities,
    operator_sizes,
    operator_terms,
)
from hwnas_surrogate.graphs import NetworkBatch, Op
from hwnas_surrogate.models import OperatorRegression, PhysicsPrior
from hwnas_surrogate.models.cost_model import Arrays, checked_array

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from hwnas_surrogate.trainers.operator_costs import OperatorCosts

__all__ = ["OperatorEstimates", "SeenOperators", "prior_design"]

Vector = npt.NDArray[np.float64]
Hypothesis = tuple[int, ...]
"""The numbers of the devices whose operators' costs are known; none for physics."""

_ALONE = 16
"""Each of so many devices is a hypothesis of its own; of more, only all together."""
_SOURCE_SD = 0.5
"""Prior standard deviation of the power of a device's deviation from the average of all."""
_FAMILIAR = 0.5
"""Terms of the logarithm count less by this factor where costs on other devices are known."""
_NEGLIGIBLE = 1e-3
"""Hypotheses with a smaller posterior probability are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenOperators:
    """L distinct operators, as regression and trees see them.

    Parameters
    ----------
    sizes, quantities, terms : ndarray of float64, shape (L, ...)
        Of :mod:`~hwnas_surrogate.features.operator_sizes`.
    log_costs : ndarray of float64, shape (L, m)
        Logarithmic costs on m other devices, 0 of operators that do nothing.
    """

    sizes: Vector
    quantities: Vector
    terms: Vector
    log_costs: Vector

    @classmethod
    def of(cls, ops: Sequence[Op], sources: Sequence[OperatorCosts] = ()) -> Self:
        """Return what is known of operators, with their costs on other devices."""
        sizes = operator_sizes(ops)
        alone = cls(sizes, operator_quantities(ops), operator_terms(sizes), np.empty((len(ops), 0)))
        return alone.beside(sources)

    def beside(self, sources: Sequence[OperatorCosts]) -> Self:
        """Return the same operators with their costs on these devices; each may have other devices of its own."""
        logs = np.zeros((len(self.sizes), len(sources)))
        for number, source in enumerate(sources):
            costs = source.of_seen(self.beside(source.sources))
            logs[:, number] = np.log(costs, out=np.zeros(len(costs)), where=costs > 0)
        return replace(self, log_costs=logs)

    def columns(self, known: Hypothesis) -> tuple[Vector, Vector]:
        """Return quantities and terms of a hypothesis, for :class:`OperatorRegression`."""
        if not known:
            return self.quantities * UNIT_COSTS, self.terms
        of_sources = self.log_costs[:, known]
        average = of_sources.mean(axis=1)
        apart = of_sources - average[:, None]
        costs = np.where(self.quantities.any(axis=1), np.exp(average), 0.0)
        return costs[:, None], np.column_stack([_SOURCE_SD * apart, _FAMILIAR * self.terms])


class OperatorEstimates:
    """The geometric mean of regressions of operators' costs, weighted by their evidence.

    One regression is of physical quantities. If there are other devices, others start from what an operator costs
    there: on all of them, and on each alone.

    Parameters
    ----------
    n_sources : int, default=0
        The number of other devices.

    Attributes
    ----------
    weights_ : ndarray of float64, shape (h,)
        Posterior probabilities of the hypotheses.
    regressions_ : dict of tuple of int to OperatorRegression
        By hypothesis; without those that have no weight.
    """

    weights_: Vector
    regressions_: dict[Hypothesis, OperatorRegression]

    def __init__(self, n_sources: int = 0) -> None:
        self.n_sources = n_sources
        everyone = tuple(range(n_sources))
        alone = [(number,) for number in everyone] if 1 < n_sources <= _ALONE else []
        self._hypotheses: list[Hypothesis] = [(), *([everyone] if everyone else []), *alone]

    def fit(self, seen: SeenOperators, counts: csr_array, costs: Vector, times: csr_array | None = None) -> Self:
        """Fit on n networks of L distinct operators, as :meth:`OperatorRegression.fit`."""
        fitted, evidence = {}, []
        odds = PhysicsPrior().source_log_odds - math.log(max(len(self._hypotheses) - 1, 1))
        for known in self._hypotheses:
            fitted[known] = _regression(known).fit(*seen.columns(known), counts, costs, times)
            evidence.append(fitted[known].log_evidence_ + (odds if known else 0.0))
        weights = np.exp(np.array(evidence) - max(evidence))
        weights /= weights.sum()
        self.weights_ = np.where(weights < _NEGLIGIBLE, 0.0, weights)
        self.weights_ /= self.weights_.sum()
        self.regressions_ = {known: fitted[known] for known, weight in self._weighted() if weight}
        return self

    def predict(self, seen: SeenOperators) -> Vector:
        """Return estimates of the costs of L operators, shape (L,); 0 of those that do nothing."""
        logs = np.zeros(len(seen.sizes))
        runs = seen.quantities.any(axis=1)
        for known, weight in self._weighted():
            if weight:
                costs = self.regressions_[known].predict(*seen.columns(known))
                logs += weight * np.log(costs, out=np.zeros(len(costs)), where=runs)
        return np.where(runs, np.exp(logs), 0.0)

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        coefs = {_name(known): regression.to_arrays()["coef"] for known, regression in self.regressions_.items()}
        return {"weights": self.weights_, **coefs}

    def from_arrays(self, arrays: Arrays) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, or raise :class:`InvalidInputError`."""
        self.weights_ = checked_array(arrays, "weights", (len(self._hypotheses),), 0.0)
        if not math.isclose(self.weights_.sum(), 1.0, abs_tol=1e-6):
            raise InvalidInputError(f"weights must add up to 1, got {self.weights_}.")
        self.regressions_ = {}
        for known, weight in self._weighted():
            if weight:
                if _name(known) not in arrays:
                    raise InvalidInputError(f"the array {_name(known)} is missing.")
                n_terms = N_TERMS + len(known)
                own = {"coef": arrays[_name(known)]}
                self.regressions_[known] = _regression(known).from_arrays(own, n_terms)
        return self

    def _weighted(self) -> list[tuple[Hypothesis, float]]:
        return list(zip(self._hypotheses, self.weights_.tolist(), strict=True))


def prior_design(batch: NetworkBatch) -> Vector:
    """Return :meth:`OperatorRegression.prior_design` of n networks, by physical quantities alone, (n, k)."""
    seen = SeenOperators.of(batch.distinct("fused"))
    return _regression(()).prior_design(*seen.columns(()), batch.sparse_counts("fused"))


def _regression(known: Hypothesis) -> OperatorRegression:
    return OperatorRegression((-1,) if known else REFINES)


def _name(known: Hypothesis) -> str:
    return "_".join(["coef", *map(str, known)])
