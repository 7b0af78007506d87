"""What a search compares: quality, costs of targets, and sizes that follow from the network alone; and budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import Target, TargetLike
from hwnas_surrogate.errors import InvalidInputError, NotInTableError, unknown
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.ranks import TIE
from hwnas_surrogate.trainers.costs import one_number

__all__ = ["QUALITY", "SIZES", "Budget", "Quantity", "read_budgets", "read_objectives"]

Vector = npt.NDArray[np.float64]

QUALITY = "quality"
"""The name of the quality of networks."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What an objective or a budget is about.

    Parameters
    ----------
    name : str
        ``"quality"``, ``"device/metric"``, or one of :data:`SIZES`.
    unit : str
        Its unit; empty if it has none.
    larger_is_better : bool
    target : Target or None
        The target whose costs these are.
    """

    name: str
    unit: str
    larger_is_better: bool
    target: Target | None = None

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def sign(self) -> float:
        """-1 if larger is better: times it, smaller is better."""
        return -1.0 if self.larger_is_better else 1.0


SIZES: Mapping[str, tuple[str, Callable[[NetworkBatch], Vector]]] = MappingProxyType(
    {
        "params": ("", lambda batch: batch.total("params", "live")),
        "macs": ("", lambda batch: batch.total("macs", "live")),
        "peak_memory": ("MiB", lambda batch: batch.peak_memory("live") / 2**20),
    }
)
"""Sizes that follow from the network alone: their units, and how they are counted. Operators that do not lead to the
output do not count."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit of a quantity: its largest allowed value, or its smallest if larger is better."""

    quantity: Quantity
    limit: float

    def __str__(self) -> str:
        sign = ">=" if self.quantity.larger_is_better else "<="
        return f"{self.quantity.name} {sign} {self.limit:g} {self.quantity.unit}".strip()

    def over(self, values: Vector) -> Vector:
        """Return by how much values exceed the limit, relative to it, (n,); negative where they keep it."""
        return np.asarray(self.quantity.sign * (values - self.limit) / (abs(self.limit) or 1.0))

    def excess(self, values: Vector) -> Vector:
        """Return by how much values break the limit, relative to it: 0 where they keep it, infinite for NaN; (n,)."""
        over = self.over(values)
        return np.where(np.isnan(values), np.inf, np.where(over <= TIE, 0.0, over))


def read_objectives(asked: TargetLike | Iterable[TargetLike], targets: Iterable[Target]) -> tuple[Quantity, ...]:
    """Read the objectives of a search.

    Parameters
    ----------
    asked : str, Target, or several
        ``"quality"``, targets, and names of :data:`SIZES`.
    targets : iterable of Target
        Those with a surrogate or a table.

    Raises
    ------
    InvalidInputError
        If there is none, or one twice.
    NotInTableError
        If there is no such quantity.
    """
    single = isinstance(asked, (str, Target)) or not isinstance(asked, Iterable)
    items: list[Any] = [asked] if single else list(asked)  # type: ignore[arg-type]
    if not items:
        raise InvalidInputError(f"a search needs an objective: {QUALITY!r}, a target, or one of {', '.join(SIZES)}.")
    known = tuple(targets)
    found = tuple(_quantity("objective", item, known) for item in items)
    _check_distinct("an objective is named once", found)
    return found


def read_budgets(asked: Mapping[TargetLike, float] | None, targets: Iterable[Target]) -> tuple[Budget, ...]:
    """Read the budgets of a search: a mapping of quantities to limits, in their units.

    Raises
    ------
    InvalidInputError
        If it is no mapping, a limit is no number (of costs and sizes above 0), or a quantity has two.
    NotInTableError
        If there is no such quantity.
    """
    if asked is None:
        return ()
    if not isinstance(asked, Mapping):
        raise InvalidInputError(
            f"budgets must be a mapping of targets to limits, as in {{'pi/latency': 30}}, got {asked!r:.80}."
        )
    known = tuple(targets)
    budgets = []
    for name, limit in asked.items():
        quantity, number = _quantity("budget", name, known), one_number(limit)
        above = -np.inf if quantity.name == QUALITY else 0.0  # some proxies of the quality are negative
        if not above < number < np.inf:
            must = "a number" if quantity.name == QUALITY else "a number above 0"
            raise InvalidInputError(f"the budget of {quantity.name} must be {must}, got {limit!r:.40}.")
        budgets.append(Budget(quantity, number))
    _check_distinct("a quantity has one budget", [budget.quantity for budget in budgets])
    return tuple(budgets)


def _quantity(what: str, asked: Any, targets: tuple[Target, ...]) -> Quantity:
    if asked == QUALITY:
        return Quantity(QUALITY, "", True)
    if isinstance(asked, str) and asked in SIZES:
        return Quantity(asked, SIZES[asked][0], False)
    of_device = [target for target in targets if asked in (target, str(target), target.device)]
    if not of_device:
        hint = "Other targets need a surrogate of theirs, or a table."
        raise unknown(NotInTableError, what, str(asked), [QUALITY, *map(str, targets), *SIZES], hint)
    target, *others = of_device
    if others:  # their units may differ
        names = ", ".join(map(str, (target, *others)))
        raise InvalidInputError(f"{what} {asked!r} stands for {names}: name one.")
    return Quantity(str(target), target.unit, target.kind.larger_is_better, target)


def _check_distinct(rule: str, quantities: Iterable[Quantity]) -> None:
    names = [quantity.name for quantity in quantities]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidInputError(f"{rule}, got {twice[0]} more than once.")
