"""What is measured where: metrics with their units, devices, and targets (a device's metric)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from hwnas_surrogate.errors import InvalidInputError, NotInTableError, unknown

__all__ = ["METRICS", "Device", "Metric", "Target", "TargetLike", "devices_of", "pick_targets"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted, and its unit, for ONE network execution at the device's batch size.

    Parameters
    ----------
    name, unit, title : str
        The metric, the unit that tables keep it in, and a description.
    units : mapping of str to float
        Every unit that is understood on import, and how many of ``unit`` it is.
    """

    name: str
    unit: str
    title: str
    units: Mapping[str, float]

    def factor(self, unit: str) -> float:
        """Return how many of the metric's unit a unit is.

        Raises
        ------
        InvalidInputError
            If it is not a unit of this metric.
        """
        if unit not in self.units:
            raise unknown(InvalidInputError, f"unit of {self.name}", unit, self.units)
        return self.units[unit]


def _units(base: str, per_base: float) -> dict[str, float]:
    """Return a unit and its thousandths, millionths and billionths, as parts of ``1 / per_base`` of it."""
    prefixes = {"": 1.0, "m": 1e-3, "u": 1e-6, "\N{MICRO SIGN}": 1e-6, "\N{GREEK SMALL LETTER MU}": 1e-6, "n": 1e-9}
    return {prefix + base: value * per_base for prefix, value in prefixes.items()}


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("latency", "ms", "time of one execution", _units("s", 1e3)),
            Metric("energy", "mJ", "energy of one execution", _units("J", 1e3)),
            Metric("arithmetic_intensity", "ops/byte", "operations per byte moved", {"ops/byte": 1.0}),
        )
    }
)
"""What is measured, by name: ``latency`` (ms), ``energy`` (mJ) and ``arithmetic_intensity`` (ops/byte)."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A device's metric: what one surrogate predicts. Written ``raspi4/latency``.

    Parameters
    ----------
    device : str
        The device's name.
    metric : {"latency", "energy", "arithmetic_intensity"}
        The metric's name.

    Examples
    --------
    >>> Target.parse("raspi4/latency").unit
    'ms'
    """

    device: str
    metric: str

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise unknown(InvalidInputError, "metric", self.metric, METRICS)
        if not self.device or "/" in self.device:
            raise InvalidInputError(f"a device's name is a non-empty text without '/', got {self.device!r}.")

    @property
    def unit(self) -> str:
        """The metric's unit."""
        return METRICS[self.metric].unit

    def __str__(self) -> str:
        return f"{self.device}/{self.metric}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``device/metric``."""
        device, separator, metric = text.partition("/")
        if not separator:
            raise InvalidInputError(f"a target reads 'device/metric', for example 'raspi4/latency', got {text!r}.")
        return cls(device, metric)


TargetLike: TypeAlias = Target | str
"""A target, ``"device/metric"``, or a device's name for all its metrics."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where costs come from. A device is data: adding one needs no code.

    Parameters
    ----------
    name : str
        Short name, used in targets.
    hardware : str
        What it is.
    runtime : str
        What executes the network.
    batch : int, optional
        Images per execution; None where that is not known.
    source : {"measured", "estimated"}, default="measured"
        Timed on the hardware, or computed by a simulator or a model.
    """

    name: str
    hardware: str = ""
    runtime: str = ""
    batch: int | None = None
    source: Literal["measured", "estimated"] = "measured"

    def __post_init__(self) -> None:
        if self.batch is not None and (type(self.batch) is not int or self.batch < 1):
            raise InvalidInputError(
                f"a device's batch is a number of images, 1 or more, or None where it is not known, got {self.batch!r}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def devices_of(targets: Iterable[Target], known: Iterable[Device]) -> dict[str, Device]:
    """Return what is known of the targets' devices, by name; of the others, their name alone."""
    by_name = {device.name: device for device in known}
    return {name: by_name.get(name, Device(name)) for name in dict.fromkeys(target.device for target in targets)}


def pick_targets(asked: TargetLike | Iterable[TargetLike] | None, available: tuple[Target, ...]) -> tuple[Target, ...]:
    """Resolve the targets that a user asks for among those there are.

    Parameters
    ----------
    asked : target, sequence of targets or None
        Targets as objects or as ``device/metric``; a device's name alone stands for all its metrics; None for
        all there are.
    available : tuple of Target
        What there is.

    Returns
    -------
    tuple of Target
        In the order asked for.

    Raises
    ------
    NotInTableError
        Naming what is not there, and what is.
    """
    if asked is None:
        return available
    items = [asked] if isinstance(asked, (str, Target)) else list(asked)
    picked: dict[Target, None] = {}
    for item in items:
        found = [target for target in available if item in (target, str(target), target.device)]
        if not found:
            names = dict.fromkeys([*map(str, available), *(target.device for target in available)])
            raise unknown(NotInTableError, "target", str(item), names, "A target is 'device/metric', or a device.")
        picked.update(dict.fromkeys(found))
    return tuple(picked)
