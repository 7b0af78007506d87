"""What a search wants: objectives under budgets; and how good networks are by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.search.cost_sources import Costs
from hwnas_surrogate.search.qualities import QualityOf
from hwnas_surrogate.search.quantities import QUALITY, SIZES, Budget, Quantity

__all__ = ["Evaluated", "Goals", "joined"]

Vector = npt.NDArray[np.float64]

_FAR = 1e6
"""The violation of networks that can't be used at all; budgets are broken by less."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """Networks, and how good they are.

    Parameters
    ----------
    batch : NetworkBatch
        n networks.
    values : ndarray of float, shape (n, q)
        The q quantities of the goals; NaN where there is no value. The quality is known of networks that keep the
        budgets.
    excess : ndarray of float, shape (n, b)
        By how much each budget is broken, 0 where it is kept.
    connected : ndarray of bool, shape (n,)
        Whether each network has a path from input to output.
    violation : ndarray of float, shape (n,)
        0 for networks that can be chosen; else the larger, the farther they are from it.
    """

    batch: NetworkBatch
    values: Vector
    excess: Vector
    connected: npt.NDArray[np.bool_]
    violation: Vector

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.batch)

    def take(self, rows: npt.NDArray[np.intp]) -> Evaluated:
        """Return some of the networks, by number."""
        return Evaluated(
            self.batch.take(rows), self.values[rows], self.excess[rows], self.connected[rows], self.violation[rows]
        )

    @property
    def choosable(self) -> npt.NDArray[np.intp]:
        """The rows of networks that keep the budgets, and have every value."""
        return np.flatnonzero(self.violation == 0)


@dataclass(frozen=True, slots=True, eq=False)
class Goals:
    """Objectives, and budgets to keep.

    Parameters
    ----------
    objectives : tuple of Quantity
    budgets : tuple of Budget
    certainty : float or None
        The least probability that each budget is kept; None compares the predicted cost with the budget.
    costs : Costs
    quality : callable or None
        Qualities of a batch.

    Raises
    ------
    InvalidInputError
        If a quality is needed and not given, or the certainty is no probability.
    """

    objectives: tuple[Quantity, ...]
    budgets: tuple[Budget, ...]
    certainty: float | None
    costs: Costs
    quality: QualityOf | None
    quantities: tuple[Quantity, ...] = field(init=False)

    def __post_init__(self) -> None:
        asked = [*self.objectives, *(budget.quantity for budget in self.budgets)]
        object.__setattr__(self, "quantities", tuple(dict.fromkeys(asked)))
        if self.needs_quality and self.quality is None:
            raise InvalidInputError(
                "quality is an objective or has a budget, but is not given: a CSV file, a Series, a function or a "
                "surrogate."
            )
        if self.quality is not None and not self.needs_quality:
            raise InvalidInputError("a quality is given, but it is neither an objective nor has it a budget.")
        if self.certainty is not None and not self.budgets:
            raise InvalidInputError("certainty is the probability that a budget is kept: give budgets too.")
        if self.certainty is not None:
            targets = [budget.quantity.target for budget in self.budgets]
            self.costs.check_calibrated(target for target in targets if target is not None)

    @property
    def needs_quality(self) -> bool:
        """Whether the quality counts."""
        return any(quantity.name == QUALITY for quantity in self.quantities)

    def losses(self, values: Vector) -> Vector:
        """Return the objectives among values of the quantities, (n, q) -> (n, k), so that smaller is better."""
        columns = [self.quantities.index(quantity) for quantity in self.objectives]
        return values[:, columns] * [quantity.sign for quantity in self.objectives]

    def evaluate(self, batch: NetworkBatch) -> Evaluated:
        """Predict networks, and find the quality of those that keep the budgets."""
        found = self.predict(batch)
        rows = found.choosable
        if self.quality is None or not len(rows):
            return found
        return self.with_quality(found, rows, self.quality(batch.take(rows)))

    def predict(self, batch: NetworkBatch) -> Evaluated:
        """Predict networks; the quality is left open, and its budget taken as kept."""
        connected = batch.connected
        values = np.full((len(batch), len(self.quantities)), np.nan)
        targets = [quantity.target for quantity in self.quantities if quantity.target is not None]
        predicted = self.costs.predict(batch, targets)
        for column, quantity in enumerate(self.quantities):
            if quantity.target is not None:
                values[:, column] = predicted[quantity.target]
            elif quantity.name != QUALITY:
                values[:, column] = SIZES[quantity.name][1](batch)
        known = np.array([quantity.name != QUALITY for quantity in self.quantities])
        usable = connected & ~np.isnan(values[:, known]).any(axis=1)
        excess = self._excess(batch, values)
        return Evaluated(batch, values, excess, connected, _violation(excess, usable))

    def with_quality(self, found: Evaluated, rows: npt.NDArray[np.intp], qualities: Vector) -> Evaluated:
        """Return evaluated networks with the qualities of some; without one, NaN, they can't be chosen."""
        values, excess, usable = found.values.copy(), found.excess.copy(), found.violation < _FAR
        values[rows, [quantity.name for quantity in self.quantities].index(QUALITY)] = qualities
        usable[rows] &= ~np.isnan(qualities)
        for number, budget in enumerate(self.budgets):
            if budget.quantity.name == QUALITY:
                excess[rows, number] = np.where(np.isnan(qualities), 0.0, budget.excess(qualities))
        return Evaluated(found.batch, values, excess, found.connected, _violation(excess, usable))

    def probabilities(self, batch: NetworkBatch) -> dict[Budget, Vector]:
        """Return the probability that networks keep each budget of a target, (n,) each."""
        of_targets = [budget for budget in self.budgets if budget.quantity.target is not None]
        limits = {budget.quantity.target: budget.limit for budget in of_targets}
        within = self.costs.within(batch, limits)  # type: ignore[arg-type]
        return {budget: within[budget.quantity.target] for budget in of_targets}  # type: ignore[index]

    def _excess(self, batch: NetworkBatch, values: Vector) -> Vector:
        """Return by how much each budget is broken, (n, b); 0 for those of the quality, which is not known yet."""
        excess = np.zeros((len(batch), len(self.budgets)))
        probabilities = {} if self.certainty is None else self.probabilities(batch)
        for number, budget in enumerate(self.budgets):
            if budget.quantity.name == QUALITY:
                continue
            over = budget.excess(values[:, self.quantities.index(budget.quantity)])
            if budget in probabilities and self.certainty is not None:
                # Far from the budget every probability is 0: the cost shows the way.
                short = np.maximum(self.certainty - probabilities[budget], 0.0)
                over = np.where(short > 0, short + over, 0.0)
            excess[:, number] = over
        return excess


def _violation(excess: Vector, usable: npt.NDArray[np.bool_]) -> Vector:
    """Return how far networks are from being chosen, (n, b), (n,) -> (n,)."""
    broken = np.minimum(excess, _FAR / 100).sum(axis=1)
    return np.asarray(np.where(usable, broken, broken + _FAR))


def joined(parts: Sequence[Evaluated], batch: NetworkBatch) -> Evaluated:
    """Return parts as one; ``batch`` holds the networks of all."""
    return Evaluated(
        batch,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.excess for part in parts]),
        np.concatenate([part.connected for part in parts]),
        np.concatenate([part.violation for part in parts]),
    )
