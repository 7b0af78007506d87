"""Timing many networks in passes and blocks, with a process that runs them and a journal that keeps every run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional
from typing import Protocol as Interface

import numpy as np

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.runner.protocol import Key, Protocol, Readings

__all__ = ["BLOCK", "BlockSession", "Item", "Progress", "Timer", "blocks_left", "time_networks"]

BLOCK = 16
"""Networks held in memory at once, whose runs alternate."""

MOST_LOST = 3
"""Lost connections after which a network is blamed: one that takes all memory can end a board's connection."""

Progress = Callable[[int, int], None]


class Item(Interface):
    """A network to time."""

    @property
    def key(self) -> Key:
        """What identifies it within the measurement."""

    def message(self) -> Any:
        """Return plain values by which the measuring process finds it."""


class Timer(Interface):
    """What runs networks: a :class:`~hwnas_surrogate.runner.watching.MeasuringProcess`, or a board."""

    def __enter__(self) -> Any:
        """Start it."""

    def __exit__(self, *error: object) -> None:
        """End it."""

    def time(self, request: dict[str, Any], deadline: float) -> Iterator[dict[str, Any]]:
        """Send a block; yield its events."""


def time_networks(
    networks: Sequence[Item],
    anchor: Item,
    timer: Timer,
    protocol: Protocol,
    journal: Journal,
    deadline: float = np.inf,
    progress: Optional[Progress] = None,
) -> Readings:
    """Time the networks that the journal does not hold yet.

    Parameters
    ----------
    networks : sequence of Item
        The networks to time, without repeats.
    anchor : Item
        The network that runs in every block.
    timer : Timer
        What runs them; it is started if anything is left to do.
    protocol : Protocol
        The timing protocol.
    journal : Journal
        The journal to which every run is appended.
    deadline : float, default=inf
        When to stop, on the clock of ``time.monotonic``.
    progress : callable, optional
        Called with (networks done, networks to do), counted over all passes.

    Returns
    -------
    Readings
        Everything in the journal.

    Raises
    ------
    MeasurementError
        If the runtime can't be loaded, or can't run the anchor.
    """
    readings = Readings(protocol, journal.entries)
    of = {network.key: network for network in networks}
    blocks = blocks_left(list(of), readings)
    total = len(of) * (protocol.passes + bool(protocol.profile))
    finished = total - sum(len(keys) for _, keys in blocks)
    report = progress or (lambda done, of: None)
    report(finished, total)
    if finished == total:
        return readings
    with timer:
        session = BlockSession(timer, anchor, protocol, journal, readings, deadline)
        session.check_anchor()
        for number, keys in blocks:
            # A network may have failed in a pass since.
            if not session.block(number, [of[key] for key in keys if not readings.is_done(key, number)]):
                return readings
            finished += len(keys)
            report(finished, total)
    return readings


def blocks_left(keys: list[Key], readings: Readings) -> list[tuple[Optional[int], list[Key]]]:
    """Return the blocks that are left to time, in order: the number of the pass, None for a profile, and networks.

    Each pass has its own random order.
    """
    protocol, blocks = readings.protocol, []
    for number in [*range(protocol.passes), *([None] if protocol.profile else [])]:
        left = [key for key in keys if not readings.is_done(key, number)]
        rng = np.random.default_rng([protocol.random_state, protocol.passes if number is None else number])
        order = [left[place] for place in rng.permutation(len(left)).tolist()]
        blocks += [(number, order[start : start + BLOCK]) for start in range(0, len(order), BLOCK)]
    return blocks


_KEPT: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "round": lambda event: {"ns": event["ns"]},
    "energy": lambda event: {"mj": event["mj"], "number": event["number"]},
    "failed": lambda event: {"failed": event["number"], "why": event["why"]},
    "end": lambda event: {"seconds": event["seconds"], "disturbance": event.get("disturbance", {})},
}
"""The lines of the journal for the events of a block."""

_OF_PROFILE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "operators": lambda event: {"operators": event["operators"], "number": event["number"]},
    "failed": lambda event: {"unprofiled": event["number"], "why": event["why"]},
}
"""Those for the events of a block whose operators are timed."""


@dataclass(eq=False)
class BlockSession:
    """Sends blocks to the timer, and writes its events to the journal and to the readings.

    Parameters
    ----------
    timer : Timer
        It has been started.
    anchor : Item
        The network that runs in every block.
    protocol : Protocol
        The timing protocol.
    journal : Journal
        The journal to which every run is appended.
    readings : Readings
        Everything in the journal.
    deadline : float
        When to stop, on the clock of ``time.monotonic``.
    """

    timer: Timer
    anchor: Item
    protocol: Protocol
    journal: Journal
    readings: Readings
    deadline: float

    def check_anchor(self, lost: int = 0) -> bool:
        """Raise if the anchor can't be run: then nothing can be compared. Return whether there is time for more."""
        last: dict[str, Any] = {}
        for last in self.timer.time(self._request([], 0), self.deadline):  # noqa: B007 - the last one counts
            pass
        what = last["event"]
        if what == "lost" and lost < MOST_LOST:
            return self.check_anchor(lost + 1)
        if what not in ("end", "late"):
            why = last["why"].rstrip(".")
            raise MeasurementError(f"the anchor network {self.anchor.key[0]!r} can't be run: {why}.")
        return bool(what == "end")

    def block(self, number: Optional[int], networks: list[Item], lost: int = 0) -> bool:
        """Time one block; return whether there is time for more.

        ``number`` is that of the pass; None to time operators. ``lost`` counts lost connections in the block.
        """
        if time.monotonic() >= self.deadline:
            return False
        if not networks:
            return True
        keys = [list(network.key) for network in networks]
        self._write({"profile": keys} if number is None else {"pass": number, "subjects": keys})
        kept = _OF_PROFILE if number is None else _KEPT
        last: dict[str, Any] = {}
        for last in self.timer.time(self._request(networks, number), self.deadline):
            if last["event"] in kept:
                self._write(kept[last["event"]](last))
        return self._after(last, number, networks, lost)

    def _after(self, last: dict[str, Any], number: Optional[int], networks: list[Item], lost: int) -> bool:
        """Do what the last event of a block demands; return whether there is time for more."""
        what = last["event"]
        if what in ("end", "late"):
            return bool(what == "end")
        rest = [network for network in networks if not self.readings.is_done(network.key, number)]
        if what == "split":  # it does not fit a board
            half = (len(rest) + 1) // 2
            return all(self.block(number, part) for part in (rest[:half], rest[half:]) if part)
        if what == "lost":
            return self._again(number, rest, last["why"], lost + 1)
        if what == "died":
            return self._blame(number, networks, last["why"])
        raise MeasurementError(f"nothing can be measured any more: {last['why'].rstrip('.')}.")

    def _again(self, number: Optional[int], rest: list[Item], why: str, lost: int) -> bool:
        """Time the rest of a block whose connection was lost; return whether there is time for more."""
        if not rest:
            return True
        if lost < MOST_LOST:
            return self.block(number, rest, lost)
        return self._blame(number, rest, f"{why}, {lost} times while it was loaded or run")

    def _blame(self, number: Optional[int], networks: list[Item], why: str) -> bool:
        """Find the network that crashes or hangs; return whether there is time for more."""
        if len(networks) > 1:  # run each alone
            return all(
                self.block(number, [network]) for network in networks if not self.readings.is_done(network.key, number)
            )
        # Nothing runs any more if the hardware or the memory is gone: that is no network's failure.
        if not self.check_anchor():
            return False
        self._write({"unprofiled" if number is None else "failed": 1, "why": why})
        return True

    def _write(self, entry: dict[str, Any]) -> None:
        self.journal.append(**entry)
        self.readings.add(entry)

    def _request(self, networks: list[Item], number: Optional[int]) -> dict[str, Any]:
        protocol = self.protocol
        return {
            "items": [network.message() for network in (self.anchor, *networks)],
            "stop": {"least": protocol.repeats, "most": protocol.max_repeats, "half_width": protocol.half_width},
            "seed": [protocol.random_state, number or 0, len(self.readings.anchor_ns)],
            "energy": protocol.energy and bool(networks) and number is not None,
            **({"profile": protocol.profile} if number is None else {}),
        }
