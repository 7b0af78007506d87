"""What a measurement is to do, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from hwnas_surrogate.data import Device
from hwnas_surrogate.measure.subjects import ArchSubject, Subject
from hwnas_surrogate.runner.protocol import Key, Protocol, Readings
from hwnas_surrogate.runner.timing import Progress

__all__ = ["Outcome", "Plan"]

_LATER = ("passes", "timeout", "profile")
"""Fields of the protocol that may change when a measurement goes on."""


@dataclass(frozen=True)
class Plan:
    """What to measure, and how.

    Parameters
    ----------
    space : str
        The search space's name, or ``"graphs"``.
    subjects : sequence of Subject
        The networks.
    anchor : ArchSubject
        The network that runs in every block.
    protocol : Protocol
        The timing protocol.
    time_limit : float or None
        Seconds after which to stop.
    progress : callable or None
        Called with (networks timed, networks to time).
    """

    space: str
    subjects: Sequence[Subject]
    anchor: ArchSubject
    protocol: Protocol
    time_limit: float | None
    progress: Progress | None

    def described(self, device: Device) -> Device:
        """Return a device as its table describes it: graphs have a batch each."""
        return replace(device, batch=None) if self.space == "graphs" else device

    def settings(self, device: Device) -> dict[str, Any]:
        """Return what determines the results, for the header of a journal."""
        return {
            "space": self.space,
            "device": device.to_dict(),
            "anchor": list(self.anchor.key),
            # More passes or a profile may follow later: a pass depends on its number only. The timeout changes no time.
            "protocol": {name: value for name, value in asdict(self.protocol).items() if name not in _LATER},
        }


class Outcome(NamedTuple):
    """What a measurement gave."""

    device: Device
    readings: Readings
    info: dict[str, Any]
    """For the table's ``meta``: the environment, and of a fleet its boards."""
    boards: Mapping[Key, str]
    """Of a fleet, the names of the boards that measured each network, joined by ``+``."""
