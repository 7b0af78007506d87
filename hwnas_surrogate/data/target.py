"""Metrics with their units, devices, and targets (a device's metric)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError, NotInTableError, unknown
from hwnas_surrogate.reals import reals

__all__ = ["METRICS", "Device", "Metric", "Target", "TargetLike", "devices_of", "pick_targets", "register_metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured quantity and its unit, for ONE network execution at the device's batch size.

    Surrogates are fitted to a **cost**: not negative, smaller is better. For most metrics, the cost is the value
    itself.

    Parameters
    ----------
    name, unit, title : str
        The metric's name, the unit that tables use, and a description.
    units : mapping of str to float
        Every unit accepted on import, and its factor to ``unit``.
    adds : {"sum", "maximum", "neither"}, default="sum"
        How a network's cost follows from its operators: as roughly the sum of their costs, so that layer physics
        applies; as a maximum over the values that are in memory at once
        (:class:`~hwnas_surrogate.features.PeakMemory`); or neither.
    larger_is_better : bool, default=False
        Whether a larger value is the better one.
    cost : {"value", "reciprocal", "shortfall"}, default="value"
        What surrogates are fitted to: the value; its reciprocal (for a throughput, the time per image); or the
        shortfall ``limit - value``.
    limit : float, default=inf
        The largest possible value.
    of_device : bool, default=True
        Whether the metric depends on the device. If so, a column that names no device gets the device that the file is
        named after.

    Raises
    ------
    InvalidInputError
        If the name is not lower-case words joined by ``_``, the unit is not among ``units``, or a parameter is not one
        of those allowed.

    Examples
    --------
    >>> METRICS["throughput"].to_cost([50.0, 200.0]).tolist()
    [0.02, 0.005]
    """

    name: str
    unit: str
    title: str
    units: Mapping[str, float]
    adds: Literal["sum", "maximum", "neither"] = "sum"
    larger_is_better: bool = False
    cost: Literal["value", "reciprocal", "shortfall"] = "value"
    limit: float = math.inf
    of_device: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", self.name):
            raise InvalidInputError(f"a metric's name is lower-case words joined by '_', got {self.name!r}.")
        if self.units.get(self.unit) != 1:
            raise InvalidInputError(f"units of {self.name} must hold its own unit, {self.unit!r}, as 1.")
        if self.adds not in ("sum", "maximum", "neither"):
            raise unknown(InvalidInputError, f"adds of {self.name}", self.adds, ("sum", "maximum", "neither"))
        if self.cost not in ("value", "reciprocal", "shortfall"):
            raise unknown(InvalidInputError, f"cost of {self.name}", self.cost, ("value", "reciprocal", "shortfall"))
        if self.larger_is_better != (self.cost != "value"):
            allowed = "'reciprocal' or 'shortfall'" if self.larger_is_better else "'value'"
            raise InvalidInputError(
                f"surrogates are fitted to costs (smaller is better): the cost of {self.name} must be {allowed}, "
                f"got {self.cost!r}."
            )
        if self.cost == "shortfall" and not 0 < self.limit < math.inf:
            raise InvalidInputError(f"the limit of {self.name} must be a number above 0, got {self.limit!r}.")

    def factor(self, unit: str) -> float:
        """Return the factor from a unit to the metric's unit.

        Raises
        ------
        InvalidInputError
            If it is not a unit of this metric.
        """
        if unit not in self.units:
            raise unknown(InvalidInputError, f"unit of {self.name}", unit, self.units)
        return self.units[unit]

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.cost == "reciprocal":
            return "finite and above 0"
        return "finite and not negative" if math.isinf(self.limit) else f"from 0 to {self.limit:g}"

    def is_wrong(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return a mask of invalid values: negative, infinite or excluded by the metric; NaN means missing."""
        wrong = (values < 0) | np.isinf(values) | (values > self.limit)
        return wrong | (values < _SLOWEST) if self.cost == "reciprocal" else wrong

    def are_fractions(self, values: npt.NDArray[np.float64]) -> bool:
        """Return whether all percentages are so small that they are probably fractions."""
        largest = float(np.nanmax(values, initial=0.0))
        return self.unit == "%" and 0 < largest <= 1

    def to_cost(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the costs that surrogates are fitted to, of any shape."""
        given = reals(values, f"values of {self.name} must be numbers")
        if self.cost == "shortfall":
            return self.limit - given
        return 1.0 / given if self.cost == "reciprocal" else given

    def from_cost(self, costs: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the metric's values of costs, of any shape."""
        given = reals(costs, f"costs of {self.name} must be numbers")
        if self.cost == "shortfall":
            return np.clip(self.limit - given, 0.0, self.limit)
        if self.cost == "reciprocal":
            with np.errstate(divide="ignore"):
                return np.asarray(1.0 / given)
        return given


_SLOWEST = 1e-300
"""The reciprocal of a smaller number may be infinite."""


def _units(base: str, per_base: float) -> dict[str, float]:
    """Return a unit and its thousandth, millionth and billionth, each with its factor to the metric's unit."""
    prefixes = {"": 1.0, "m": 1e-3, "u": 1e-6, "\N{MICRO SIGN}": 1e-6, "\N{GREEK SMALL LETTER MU}": 1e-6, "n": 1e-9}
    return {prefix + base: value * per_base for prefix, value in prefixes.items()}


_BYTES = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_RATES = ("images/s", "img/s", "FPS", "fps", "inferences/s", "networks/s")

_metrics: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("latency", "ms", "time of one execution", _units("s", 1e3)),
        Metric("energy", "mJ", "energy of one execution", _units("J", 1e3)),
        Metric("arithmetic_intensity", "ops/byte", "operations per byte moved", {"ops/byte": 1.0}, adds="neither"),
        Metric(
            "throughput", "images/s", "images per second", dict.fromkeys(_RATES, 1.0),
            larger_is_better=True, cost="reciprocal",
        ),
        Metric(
            "peak_memory", "MiB", "most memory in use at once",
            {unit: size / 2**20 for unit, size in _BYTES.items()}, adds="maximum",
        ),
        Metric(
            "model_size", "MB", "size of the model's file", {unit: size / 1e6 for unit, size in _BYTES.items()},
            of_device=False,
        ),
        Metric(
            "accuracy", "%", "part of the test set that is classified correctly", {"%": 1.0},
            adds="neither", larger_is_better=True, cost="shortfall", limit=100.0, of_device=False,
        ),
    )
}  # fmt: skip
METRICS: Mapping[str, Metric] = MappingProxyType(_metrics)
"""The metrics by name: ``latency`` (ms), ``energy`` (mJ), ``arithmetic_intensity`` (ops/byte), ``throughput``
(images/s), ``peak_memory`` (MiB), ``model_size`` (MB), ``accuracy`` (%), and the registered ones."""


def register_metric(metric: Metric) -> Metric:
    """Register a metric by its name, for tables, files, surrogates and reports of this process.

    Parameters
    ----------
    metric : Metric

    Returns
    -------
    Metric
        The metric itself.

    Raises
    ------
    InvalidInputError
        If it is not a metric, or another metric has its name. The same metric may be registered again.

    Examples
    --------
    >>> register_metric(METRICS["latency"]).unit
    'ms'
    """
    if not isinstance(metric, Metric):
        raise InvalidInputError(f"register_metric takes a Metric, got {metric!r:.80}.")
    known = _metrics.setdefault(metric.name, metric)
    if known != metric:
        raise InvalidInputError(f"there is a metric {metric.name!r} already ({known.title}): choose another name.")
    return metric


def _check_device(name: object) -> None:
    """Raise for a device's name that no file can hold."""
    if not isinstance(name, str) or not name or "/" in name:
        raise InvalidInputError(f"a device's name is a non-empty text without '/', got {name!r:.80}.")
    if "\0" in name or any("\ud800" <= char <= "\udfff" for char in name if not char.isascii()):
        raise InvalidInputError(f"a device's name has no NUL and no half of a surrogate pair, got {name!a:.80}.")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A device's metric: what one surrogate predicts. Written ``raspi4/latency``.

    Parameters
    ----------
    device : str
        The device's name.
    metric : str
        The metric's name, one of :data:`METRICS`.

    Examples
    --------
    >>> Target.parse("raspi4/latency").unit
    'ms'
    """

    device: str
    metric: str

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or self.metric not in METRICS:
            raise unknown(InvalidInputError, "metric", self.metric, METRICS)
        _check_device(self.device)

    @property
    def kind(self) -> Metric:
        """The metric itself."""
        return METRICS[self.metric]

    @property
    def unit(self) -> str:
        """The metric's unit."""
        return self.kind.unit

    def __str__(self) -> str:
        return f"{self.device}/{self.metric}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``device/metric``."""
        device, separator, metric = text.partition("/") if isinstance(text, str) else ("", "", "")
        if not separator:
            raise InvalidInputError(f"a target reads 'device/metric', for example 'raspi4/latency', got {text!r}.")
        return cls(device, metric)


TargetLike: TypeAlias = Target | str
"""A target, ``"device/metric"``, or a device's name for all its metrics."""


@dataclass(frozen=True, slots=True)
class Device:
    """The hardware and runtime that costs come from. A device is data: adding one needs no code.

    Parameters
    ----------
    name : str
        Short name, used in targets.
    hardware : str
        Description of the hardware.
    runtime : str
        The runtime that executes the network.
    batch : int, optional
        Images per execution; None if unknown.
    source : {"measured", "estimated"}, default="measured"
        Timed on the hardware, or computed by a simulator or a model.
    conditions : str, default=""
        What else decides its costs: cold or warm starts, governor, clock, power mode.
    """

    name: str
    hardware: str = ""
    runtime: str = ""
    batch: int | None = None
    source: Literal["measured", "estimated"] = "measured"
    conditions: str = ""

    def __post_init__(self) -> None:
        _check_device(self.name)
        if self.batch is not None and (type(self.batch) is not int or self.batch < 1):
            raise InvalidInputError(
                f"a device's batch is a number of images, 1 or more, or None where it is not known, got {self.batch!r}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def devices_of(targets: Iterable[Target], known: Iterable[Device]) -> dict[str, Device]:
    """Return the targets' devices by name; a device without a description has its name only."""
    by_name = {device.name: device for device in known}
    return {name: by_name.get(name, Device(name)) for name in dict.fromkeys(target.device for target in targets)}


def pick_targets(asked: TargetLike | Iterable[TargetLike] | None, available: tuple[Target, ...]) -> tuple[Target, ...]:
    """Resolve requested targets among the available ones.

    Parameters
    ----------
    asked : target, sequence of targets or None
        Targets as objects or as ``device/metric``; a device's name selects all its metrics; None selects all targets.
    available : tuple of Target
        The available targets.

    Returns
    -------
    tuple of Target
        In the order requested.

    Raises
    ------
    NotInTableError
        If a target is not available; the message names it and those that are.
    """
    if asked is None:
        return available
    if isinstance(asked, Target) and asked in available:  # to name thousands for each of them takes a minute
        return (asked,)
    items = [asked] if isinstance(asked, (str, Target)) else list(asked)
    named: dict[TargetLike, list[Target]] = {}
    for target in available:
        for name in (target, str(target), target.device):
            named.setdefault(name, []).append(target)
    picked: dict[Target, None] = {}
    for item in items:
        if not isinstance(item, (str, Target)) or item not in named:
            names = dict.fromkeys([*map(str, available), *(target.device for target in available)])
            raise unknown(NotInTableError, "target", str(item), names, "A target is 'device/metric', or a device.")
        picked.update(dict.fromkeys(named[item]))
    return tuple(picked)
