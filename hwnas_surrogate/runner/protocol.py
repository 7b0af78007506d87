"""The timing protocol, and the readings in the lines of a journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.runner.disturbance import verdict
from hwnas_surrogate.runner.drift import estimate_drift
from hwnas_surrogate.runner.engine import Operator

__all__ = ["Key", "Protocol", "Readings"]

Key = Tuple[str, str, str]
"""What identifies a network within a measurement."""
MOST_DIFFERENCE = 0.05
"""Median relative difference between two halves of the passes that is no longer trusted; .4 to 2 % are usual."""
LEAST_COMPARED = 10
"""Networks below which this difference is chance."""


@dataclass(frozen=True)
class Protocol:
    """How often networks are run, in which order, and when they have enough runs.

    Parameters
    ----------
    passes : int, default=2
        Passes over all networks, each in a new random order. Two are needed to know the noise floor.
    repeats : int, default=10
        Timed runs of a network in each pass, at least.
    max_repeats : int, default=20
        At most.
    half_width : float, default=0.02
        A network is run again until the half-width of its median's 95 % interval, relative to the median, is this
        small.
    energy : bool, default=False
        Whether to count energy as well.
    random_state : int, default=0
        Seed of the orders.
    timeout : float, default=60.0
        Maximum seconds to load a network, or to run it once. A network that takes longer is recorded as failed.
    profile : int, default=0
        Executions of each network whose operators are timed, after the passes; 0 for no profile.

    Raises
    ------
    InvalidInputError
        If a number is out of range.
    """

    passes: int = 2
    repeats: int = 10
    max_repeats: int = 20
    half_width: float = 0.02
    energy: bool = False
    random_state: int = 0
    timeout: float = 60.0
    profile: int = 0

    def __post_init__(self) -> None:
        for what, least in (
            ("passes", 1),
            ("repeats", 2),
            ("max_repeats", self.repeats),
            ("random_state", 0),
            ("profile", 0),
        ):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InvalidInputError(f"{what} must be an integer of at least {least}, got {value!r}.")
            object.__setattr__(self, what, int(value))
        for what, example in (("half_width", "0.02"), ("timeout", "60.0")):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < np.inf:
                raise InvalidInputError(f"{what} must be a positive number such as {example}, got {value!r}.")


@dataclass
class _Reading:
    """The readings of one network: the times of each pass, by block, or the reason why there are none."""

    ns: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    mj: dict[int, list[float]] = field(default_factory=dict)
    failure: str = ""
    operators: list[Operator] = field(default_factory=list)
    unprofiled: str = ""
    """Why there are no times of its operators, if they were requested."""

    def runs(self, number: int) -> int:
        """Return the number of timed runs in a pass."""
        return sum(map(len, self.ns.get(number, {}).values()))


class Readings:
    """The readings in a journal.

    Times are divided by how slow the machine was in their block (:func:`estimate_drift`), estimated from the anchor and
    the block's other networks, which ran in other blocks too. The estimate uses lower quartiles: of median, lower
    quartile and minimum, they agree best between passes.

    Parameters
    ----------
    protocol : Protocol
        The protocol of the journal.
    entries : iterable of dict
        Its lines.
    """

    def __init__(self, protocol: Protocol, entries: Iterable[dict[str, Any]] = ()) -> None:
        self.protocol = protocol
        self.of: dict[Key, _Reading] = {}
        self.anchor_ns: list[list[int]] = []
        self.seconds = {"load": 0.0, "run": 0.0, "timed": 0.0}
        self.disturbances: list[dict[str, float]] = []
        self._pass = -1
        self._keys: list[Key] = []
        for entry in entries:
            self.add(entry)

    def add(self, entry: dict[str, Any]) -> None:
        """Add one line of the journal."""
        if "pass" in entry:
            self._pass, self._keys = entry["pass"], [tuple(key) for key in entry["subjects"]]
            self.anchor_ns.append([])
        elif "profile" in entry:
            self._keys = [tuple(key) for key in entry["profile"]]
        elif "operators" in entry:
            of = self.reading(self._keys[entry["number"] - 1])
            of.operators = [Operator(*operator) for operator in entry["operators"]]
        elif "unprofiled" in entry:
            self.reading(self._keys[entry["unprofiled"] - 1]).unprofiled = entry["why"]
        elif "ns" in entry:
            for number, ns in entry["ns"].items():
                self._take(int(number), ns)
        elif "failed" in entry:
            self.reading(self._keys[entry["failed"] - 1]).failure = entry["why"]
        elif "mj" in entry:
            if entry["number"]:
                self.reading(self._keys[entry["number"] - 1]).mj.setdefault(self._pass, []).append(entry["mj"])
        else:
            for what, seconds in entry["seconds"].items():
                self.seconds[what] += seconds
            self.disturbances.append(entry.get("disturbance", {}))

    def _take(self, number: int, ns: int) -> None:
        self.seconds["timed"] += ns / 1e9
        if number == 0:
            self.anchor_ns[-1].append(ns)
        else:
            blocks = self.reading(self._keys[number - 1]).ns.setdefault(self._pass, {})
            blocks.setdefault(len(self.anchor_ns) - 1, []).append(ns)

    def reading(self, key: Key) -> _Reading:
        """Return the readings of one network; later lines update them."""
        return self.of.setdefault(key, _Reading())

    def is_done(self, key: Key, number: Optional[int]) -> bool:
        """Return whether a network needs no more runs in a pass; None stands for the profile."""
        if number is None:
            return self.is_profiled(key)
        reading = self.reading(key)
        enough = reading.runs(number) >= self.protocol.repeats
        return bool(reading.failure) or (enough and (not self.protocol.energy or number in reading.mj))

    def is_profiled(self, key: Key) -> bool:
        """Return whether nothing is left to do for the times of a network's operators."""
        return bool(self.reading(key).failure) or self.was_profiled(key)

    def was_profiled(self, key: Key) -> bool:
        """Return whether there are times of a network's operators, or a reason why there are none."""
        reading = self.reading(key)
        return bool(reading.operators or reading.unprofiled)

    @cached_property
    def anchor_ms(self) -> npt.NDArray[np.float64]:
        """The anchor's time in each block, in ms; NaN for blocks without runs. Cached: add all lines first."""
        return np.array([np.percentile(ns, 25) if ns else np.nan for ns in self.anchor_ns]) / 1e6

    @cached_property
    def _drift(self) -> dict[tuple[Key, int], float]:
        """How slow the machine was for each network and block with runs, relative to its median."""
        runs = {
            (key, block): ns
            for key, reading in self.of.items()
            for blocks in reading.ns.values()
            for block, ns in blocks.items()
        }
        anchor = {block: ns for block, ns in enumerate(self.anchor_ns) if ns}
        number = {key: place for place, key in enumerate(self.of, start=1)}
        drift = estimate_drift(
            np.array([number[key] for key, _ in runs] + [0] * len(anchor)),
            np.array([block for _, block in runs] + list(anchor)),
            np.log([np.percentile(ns, 25) for ns in (*runs.values(), *anchor.values())]),
        )
        return dict(zip(runs, np.exp(drift[: len(runs)]).tolist()))

    def has_latency(self, key: Key) -> bool:
        """Return whether a network has enough runs in a pass."""
        return bool(self._passes_of(key))

    def latencies(self, key: Key) -> list[npt.NDArray[np.float64]]:
        """Return the times in ms of each pass that is done; empty where none is."""
        reading = self.reading(key)
        return [
            np.concatenate([np.array(ns) / 1e6 / self._drift[key, block] for block, ns in reading.ns[number].items()])
            for number in self._passes_of(key)
        ]

    def quartiles(self, key: Key) -> list[float]:
        """Return the lower quartile of the times of each pass that is done, in ms; the cost is their mean."""
        return [float(np.percentile(values, 25)) for values in self.latencies(key)]

    def _passes_of(self, key: Key) -> list[int]:
        """Return the passes in which a network has enough runs."""
        reading = self.reading(key)
        return [number for number in range(self.protocol.passes) if reading.runs(number) >= self.protocol.repeats]

    def untrusted(self, threads: int = 1) -> Optional[str]:
        """Return why the times can't be trusted, in one sentence; None if they can, or if nothing is known.

        That others use the same caches and memory is counted nowhere: it shows in passes that differ.

        Parameters
        ----------
        threads : int, default=1
            Threads that one run may use.
        """
        return verdict(self.disturbances, threads) or self._difference()

    def _difference(self) -> Optional[str]:
        passes = [costs for costs in map(self.quartiles, self.of) if len(costs) > 1]
        if len(passes) < LEAST_COMPARED:
            return None
        halves = np.array([(np.mean(costs[::2]), np.mean(costs[1::2])) for costs in passes])
        difference = np.median(np.ptp(halves, axis=1) / halves.mean(axis=1))
        if difference <= MOST_DIFFERENCE:
            return None
        return (
            f"this run can't be trusted: its passes differ by {difference:.0%} (median of {len(passes)} networks), as "
            "where others use its caches. Add passes (--passes)."
        )

    def energies(self, key: Key) -> list[float]:
        """Return the energy in mJ of each pass that has one."""
        return [float(np.median(values)) for _, values in sorted(self.reading(key).mj.items())]
