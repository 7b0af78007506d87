"""The prior of the physics model: beliefs about a device before it is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError, unknown

__all__ = ["Belief", "PhysicsPrior", "Spread", "Views", "beliefs", "columns_by_view", "twins"]

Vector = npt.NDArray[np.float64]
Which = npt.NDArray[np.intp]
Spread: TypeAlias = tuple[str, bool, float, float]
Views: TypeAlias = dict[str, tuple[Which, Which]]
"""The columns of physics and of corrections of each view."""


@dataclass(frozen=True, slots=True)
class PhysicsPrior:
    """The prior of :class:`PhysicsGP`: how a device's cost may be made up, before anything is measured.

    Standard deviations are relative to the cost of a typical network. Where there are several values, each is a
    hypothesis that is weighted by its evidence. ``python -m benchmarks choose`` shows the effect of halving and
    doubling each value.

    Parameters
    ----------
    share_sds : tuple of float, default=(0.1, 0.3, 1.0)
        Standard deviations of the coefficients of physical quantities, around their prior means.
    correction_sds : tuple of float, default=(0.0, 0.2, 0.6, 2.0)
        Standard deviations of the sum of all corrections of a network.
    noise_sds : tuple of float, default=(0.001, 0.003, 0.01, 0.03, 0.1, 0.25)
        Standard deviations of Gaussian measurement noise.
    robust_noise_sds : tuple of float, default=(0.01, 0.03, 0.1)
        Scales of Student's t measurement noise, which allows outliers.
    freedom : float, default=2.0
        Degrees of freedom of Student's t.
    leaders : tuple of str or None, default=(None, "layers", "macs")
        Quantities that may dominate the prior mean of the cost: none (equal shares), the calls (batch 1 on a GPU), the
        arithmetic.
    lead : float, default=0.7
        The leader's share in the prior mean of the cost. The rest is split evenly among all quantities.
    source_log_odds : float, default=-1.0
        Prior log odds that other devices have a share in the cost. They are negative, so that sources count only if the
        measurements support them: ten costs can't distinguish a device of another kind.
    view_log_odds : mapping of str to float, default={"fused": -2.0, "quantized": -3.0}
        Prior log odds of each view of the network, 0 for views that are not named. On most devices every layer costs
        time, or those that a converter leaves. Kept as a tuple of pairs.
    constant_sd : float, default=0.1
        Standard deviation of a constant that is part of every network's cost.
    design_sd : float, default=0.3
        Standard deviation of shares that :func:`~hwnas_surrogate.search.suggest` assumes.

    Raises
    ------
    InvalidInputError
        If a standard deviation is negative, a noise or the freedom is not above 0, the lead is not between 0 and 1, or
        a tuple is empty.

    Examples
    --------
    >>> PhysicsPrior(noise_sds=(0.05, 0.1)).noise_sds
    (0.05, 0.1)
    """

    share_sds: tuple[float, ...] = (0.1, 0.3, 1.0)
    correction_sds: tuple[float, ...] = (0.0, 0.2, 0.6, 2.0)
    noise_sds: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.25)
    robust_noise_sds: tuple[float, ...] = (0.01, 0.03, 0.1)
    freedom: float = 2.0
    leaders: tuple[str | None, ...] = (None, "layers", "macs")
    lead: float = 0.7
    source_log_odds: float = -1.0
    view_log_odds: Mapping[str, float] | tuple[tuple[str, float], ...] = (("fused", -2.0), ("quantized", -3.0))
    constant_sd: float = 0.1
    design_sd: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "view_log_odds", tuple(dict(self.view_log_odds).items()))
        above = ("share_sds", "noise_sds", "robust_noise_sds", "freedom", "constant_sd", "design_sd")
        for name in (*above, "correction_sds"):
            values = np.ravel(getattr(self, name))
            fits = np.isfinite(values) & (values > 0 if name in above else values >= 0)
            if not len(values) or not fits.all():
                raise InvalidInputError(
                    f"{name} of a PhysicsPrior must be {'above' if name in above else 'at least'} 0, "
                    f"got {getattr(self, name)!r}."
                )
        if not 0 <= self.lead < 1:
            raise InvalidInputError(f"lead of a PhysicsPrior must be at least 0 and below 1, got {self.lead!r}.")
        if not self.leaders:
            raise InvalidInputError("leaders of a PhysicsPrior must name one possibility at least, None for no leader.")

    def log_odds_of(self, view: str) -> float:
        """Return the log odds of a view."""
        return dict(self.view_log_odds).get(view, 0.0)

    @classmethod
    def of(cls, given: PhysicsPrior | Mapping[str, Any] | None) -> PhysicsPrior:
        """Return a prior as it is, or from the fields that differ from the default's."""
        if isinstance(given, PhysicsPrior):
            return given
        differing = dict(given or {})
        names = [one.name for one in fields(cls)]
        for name in differing:
            if name not in names:
                raise unknown(InvalidInputError, "field of a PhysicsPrior", name, names)
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in differing.items()
        }
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, as JSON can hold them; :meth:`of` takes them back."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**found, "view_log_odds": dict(self.view_log_odds)}


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """One way in which the cost may be made up: the columns that have a share in it, and their prior.

    Parameters
    ----------
    view : str
        The view: which layers run.
    of_sources : bool
        Whether other devices have a share, rather than physical quantities.
    shares, corrections : ndarray of int
        Columns with non-negative coefficients, and columns whose coefficients have prior mean 0.
    divisors : ndarray of float64
        Divisors of the columns of shares: equal coefficients then mean equal shares in the cost.
    expected : ndarray of float64
        Prior means of the coefficients of shares; their sum is 1.
    unit : float
        Divisor of the corrections.
    share_sd, correction_sd : float
        Prior standard deviations of the coefficients, relative to the cost of a typical network.
    log_odds : float
        Prior log probability of the belief, up to a constant.
    """

    view: str
    of_sources: bool
    shares: Which
    corrections: Which
    divisors: Vector
    expected: Vector
    unit: float
    share_sd: float
    correction_sd: float
    log_odds: float

    @property
    def spread(self) -> Spread:
        """The fields that the prior covariance of costs depends on: the same for every leader."""
        return self.view, self.of_sources, self.share_sd, self.correction_sd

    def design(self, values: Vector) -> tuple[Vector, Vector]:
        """Return the shares and the corrections of n rows, the corrections times their prior standard deviation."""
        return values[:, self.shares] / self.divisors, values[:, self.corrections] * (self.correction_sd / self.unit)


def columns_by_view(columns: Columns, values: Vector) -> Views:
    """Return the columns of physics and of corrections of each view.

    Views that are 0 or equal to an earlier view on all rows are left out.
    """
    views: Views = {}
    for view in columns.views:
        chosen = columns.where("physics", view=view), columns.where("correction", view=view)
        if values[:, chosen[0]].any() and not any(
            all(np.array_equal(values[:, own], values[:, others]) for own, others in zip(chosen, earlier, strict=True))
            for earlier in views.values()
        ):
            views[view] = chosen
    return views


def twins(columns: Columns, values: Vector, views: Views) -> dict[str, list[Which]]:
    """Return, for each of the views, the columns of the views that equal it on these rows, its own first.

    They may differ on other rows: the measurements can't distinguish them.
    """
    equal = {view: [np.concatenate(own)] for view, own in views.items()}
    for other in columns.views:
        if other in views:
            continue
        others = columns.where("physics", "correction", view=other)
        for same in equal.values():
            if len(others) == len(same[0]) and np.array_equal(values[:, others], values[:, same[0]]):
                same.append(others)
    return equal


def beliefs(prior: PhysicsPrior, columns: Columns, values: Vector, views: Views) -> Iterator[Belief]:
    """Yield the beliefs of the prior, given n measured rows.

    Raises
    ------
    InvalidInputError
        If no column of physics holds a quantity that the prior names as a leader.
    """
    quantities = tuple(dict.fromkeys(columns[place].feature for place in columns.where("physics")))
    for leader in prior.leaders:
        if leader is not None and leader not in quantities:
            raise unknown(InvalidInputError, "leader of the PhysicsPrior", leader, quantities)
    sources = columns.where("source")
    for view, (physics, corrections) in views.items():
        unit = correction_unit(values, corrections)
        for candidates, are_sources in ((physics, False), (sources, True)):
            means = values[:, candidates].mean(axis=0)
            shares, divisors = candidates[means > 0], means[means > 0]
            if not len(shares):
                continue
            # Sources are correlated: the standard deviation is that of their sum.
            narrower = np.sqrt(len(shares)) if are_sources else 1.0
            leaders = [leader for leader in prior.leaders if leader is None or not are_sources] or [None]
            odds = prior.source_log_odds if are_sources else -float(np.log(len(leaders)))
            odds += prior.log_odds_of(view)
            led = [_expected(columns, shares, leader, prior.lead) for leader in leaders]
            for expected, share_sd, correction_sd in product(led, prior.share_sds, prior.correction_sds):
                sd = float(share_sd / narrower)
                yield Belief(view, are_sources, shares, corrections, divisors, expected, unit, sd, correction_sd, odds)


def correction_unit(values: Vector, corrections: Which) -> float:
    """Return the root mean square of a network's corrections over n rows; 1 where there are none."""
    return float(np.sqrt((values[:, corrections] ** 2).sum(axis=1).mean())) or 1.0


def _expected(columns: Columns, shares: Which, leader: str | None, lead: float) -> Vector:
    """Return the prior means of the shares where one quantity leads, or none; their sum is 1.

    With four shares of which the second leads by 0.7, they are 0.075, 0.775, 0.075 and 0.075.
    """
    leads = np.array([columns[place].feature == leader for place in shares])
    part = lead if leads.any() else 0.0
    return np.full(len(shares), (1 - part) / len(shares)) + part * leads
