"""The worker process, which loads and times networks; if it crashes or hangs, the measurement continues.

It reads and writes lines of JSON: one request for each block of networks on standard input, events on standard output.
Standard error is a file that the client shares: it begins with the time at which the worker last began to load or run a
network (8 bytes, on the clock of ``time.monotonic_ns``), and what libraries print follows.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from hwnas_surrogate.measure.energy import EnergyMeter
from hwnas_surrogate.measure.runtime import Run, Runtime
from hwnas_surrogate.measure.subjects import Subject, from_message
from hwnas_surrogate.spaces import register_space

__all__ = ["CLOCK", "relative_half_width"]

CLOCK = struct.Struct("q")
"""The time that begins the shared file."""
WARM = 1.05
"""Warm-up ends when the next round is not faster by more than this factor."""
MOST_WARMUP = 5
"""Maximum number of warm-up rounds to drop."""
ENERGY_WINDOW = 0.5
"""Seconds for which a network runs while its energy is counted."""


def relative_half_width(ns: Sequence[float]) -> float:
    """Return the half-width of the median's 95 % interval, relative to the median.

    1.57 interquartile ranges over the root of n, as McGill, Tukey and Larsen give it ("Variations of Box Plots", The
    American Statistician 32(1), 1978).
    """
    lower, median, upper = np.percentile(ns, [25, 50, 75])
    return float(1.57 * (upper - lower) / np.sqrt(len(ns)) / median)


@dataclass(eq=False)
class _Block:
    """Networks in memory whose runs alternate; number 0 is the anchor. ``begin`` is called before each run."""

    runs: dict[int, Run]
    begin: Callable[[], None]
    least: int
    most: int
    half_width: float
    rng: np.random.Generator
    ns: dict[int, list[int]] = field(default_factory=dict)

    def rounds(self) -> Iterator[dict[int, int]]:
        """Yield the times of each round, from the first warm one on."""
        before: dict[int, int] | None = None
        dropped = 0
        while True:
            now = self._round()
            if before is not None:
                shared = now.keys() & before.keys()
                warm = sum(before[n] for n in shared) <= WARM * sum(now[n] for n in shared)
                if warm or dropped == MOST_WARMUP:
                    yield from (before, now)
                    break
                dropped += 1
            before = now
        while self._unfinished():
            yield self._round()

    def keep(self, times: dict[int, int]) -> None:
        """Record a round's times."""
        for number, ns in times.items():
            self.ns.setdefault(number, []).append(ns)

    def _unfinished(self) -> bool:
        """Drop the networks that have enough runs; return whether any is left besides the anchor."""
        for number in [number for number in self.runs if number]:
            ns = self.ns.get(number, [])
            if len(ns) >= self.most or (len(ns) >= self.least and relative_half_width(ns) <= self.half_width):
                del self.runs[number]
        return len(self.runs) > 1

    def _round(self) -> dict[int, int]:
        times = {}
        clock = time.perf_counter_ns
        numbers = list(self.runs)
        for place in self.rng.permutation(len(numbers)).tolist():
            run = self.runs[numbers[place]]
            self.begin()
            start = clock()
            run()
            times[numbers[place]] = clock() - start
        return times


class _Server:
    """The worker's side: reads requests, writes events."""

    def __init__(self, source: IO[str], sink: IO[str], shared: mmap.mmap) -> None:
        self.source, self.sink, self.shared = source, sink, shared
        self.anchor: dict[Subject, Run] = {}

    def serve(self) -> None:
        """Serve requests until the client is gone."""
        hello = json.loads(self.source.readline())
        try:
            for module, name in hello["spaces"]:
                # A space that can't be imported here, such as one of a script, raises later when it is measured.
                with contextlib.suppress(ImportError, AttributeError):
                    register_space(_imported(module, name))
            self.runtime: Runtime = _imported(hello["module"], hello["runtime"])(**hello["options"])
            self.runtime.describe()
        except Exception as error:  # noqa: BLE001 - sent to the client, which raises it
            self.say("refused", why=_why(error))
            return
        self.say("end", seconds={})
        with self.runtime.active():
            for line in self.source:
                self._block(json.loads(line))

    def say(self, event: str, **fields: Any) -> None:
        self.sink.write(json.dumps({"event": event, **fields}) + "\n")
        self.sink.flush()

    def begin(self) -> None:
        """Show the client that a network begins to load or run; memory, since a message would disturb the timing."""
        CLOCK.pack_into(self.shared, 0, time.monotonic_ns())

    def _block(self, request: dict[str, Any]) -> None:
        runs = {}
        begin = time.perf_counter()
        for number, subject in enumerate(request["subjects"]):
            try:
                runs[number] = self._load(from_message(subject), is_anchor=number == 0)
            except Exception as error:  # noqa: BLE001 - recorded as the reason why there is no cost
                if number == 0:
                    self.say("refused", why=_why(error))
                    return
                self.say("failed", number=number, why=_why(error))
        every = dict(runs)
        gc.collect()
        gc.disable()
        loaded = time.perf_counter()
        block = _Block(runs, self.begin, rng=np.random.default_rng(request["seed"]), **request["stop"])
        if len(runs) > 1:
            for times in block.rounds():
                block.keep(times)
                self.say("round", ns=times)
        ran = time.perf_counter()
        if request["energy"]:
            self._energy(self.runtime.meter(), every)
        gc.enable()
        self.say("end", seconds={"load": loaded - begin, "run": ran - loaded})

    def _load(self, subject: Subject, is_anchor: bool) -> Run:
        """Load a network and run it once; the anchor is kept for the next block."""
        if subject in self.anchor:
            return self.anchor[subject]
        self.begin()
        run = self.runtime.load(subject.build())
        self.begin()
        run()
        if is_anchor:
            self.anchor = {subject: run}
        return run

    def _energy(self, meter: EnergyMeter, runs: dict[int, Run]) -> None:
        for number, run in runs.items():
            count = 0
            start, begin = meter.millijoules(), time.monotonic()
            while time.monotonic() - begin < ENERGY_WINDOW:
                self.begin()
                run()
                count += 1
            self.say("energy", number=number, mj=(meter.millijoules() - start) / count)


def _imported(module: str, qualified: str) -> Any:
    """Return a class by its module and its name in there."""
    found: Any = importlib.import_module(module)
    for name in qualified.split("."):
        found = getattr(found, name)
    return found


def _why(error: Exception) -> str:
    # Names of files that are no text have halves of surrogate pairs, which a table can't store.
    text = " ".join(str(error).split()).encode(errors="backslashreplace").decode()
    return f"{type(error).__name__}: {text}"[:300]


def _main() -> None:
    # Libraries that print must not break the lines that the client reads.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    shared = mmap.mmap(sys.stderr.fileno(), CLOCK.size)
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _Server(sys.stdin, sink, shared).serve()


if __name__ == "__main__":
    _main()
