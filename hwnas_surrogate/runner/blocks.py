"""The measuring process: it loads and times blocks of networks; if it crashes or hangs, the measurement continues.

It reads and writes lines of JSON: one request for each block on standard input, events on standard output. Standard
error is a file that its parent shares: it begins with the time at which this process last began to load or run a
network (8 bytes, on the clock of ``time.monotonic_ns``), and what libraries print follows.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, Optional

import numpy as np

from hwnas_surrogate.runner.disturbance import Disturbance
from hwnas_surrogate.runner.engine import Operator
from hwnas_surrogate.runner.rounds import Rounds, Run, TimingError

__all__ = ["CLOCK", "BlockServer", "is_disk_full", "measuring_pipes", "reason_of"]

CLOCK = struct.Struct("q")
"""The time that begins the shared file."""
ENERGY_WINDOW = 0.5
"""Seconds for which a network runs while its energy is counted."""


Profile = Callable[[Any, int], list[Operator]]
"""Returns the times of an item's operators over some executions."""


class BlockServer:
    """Serves requests for blocks: ``{"items": [...], "stop": {...}, "seed": [...], "energy": bool}``.

    The first item is the anchor, which is kept in memory for the next block. With ``"profile": N``, the operators of
    the other items are timed over N executions instead.

    Parameters
    ----------
    sink : text file
        Where events are written.
    shared : buffer
        The beginning of the shared file.
    """

    def __init__(self, sink: IO[str], shared: mmap.mmap) -> None:
        self.sink, self.shared = sink, shared
        self._anchor: dict[str, Run] = {}

    def serve(
        self,
        source: IO[str],
        load: Callable[[Any], Run],
        meter: Callable[[], Any],
        is_serial: bool = False,
        profile: Optional[Profile] = None,
    ) -> None:
        """Serve requests until the source ends.

        Parameters
        ----------
        source : text file
            The requests.
        load : callable
            Makes an item ready to run and returns its run.
        meter : callable
            Returns an energy counter, an object with ``millijoules()``.
        is_serial : bool, default=False
            Whether a run is the work of one thread of a CPU: its waiting for a core is then subtracted from its time.
        profile : callable, optional
            Returns the times of an item's operators over some executions.
        """
        for line in source:
            request = json.loads(line)
            if profile is not None and "profile" in request:
                self._profile(request, profile)
            else:
                self._block(request, load, meter, is_serial)

    def say(self, event: str, **fields: Any) -> None:
        """Write an event."""
        self.sink.write(json.dumps({"event": event, **fields}) + "\n")
        self.sink.flush()

    def begin(self) -> None:
        """Show the parent that a network begins to load or run; memory, since a message would disturb the timing."""
        CLOCK.pack_into(self.shared, 0, time.monotonic_ns())

    def _block(
        self, request: dict[str, Any], load: Callable[[Any], Run], meter: Callable[[], Any], is_serial: bool
    ) -> None:
        runs = {}
        begin = time.perf_counter()
        for number, item in enumerate(request["items"]):
            try:
                runs[number] = self._loaded(item, load, is_anchor=number == 0)
            except Exception as error:  # noqa: BLE001 - recorded as the reason why there is no cost
                if number == 0 or is_disk_full(error):
                    self.say("refused", why=reason_of(error))
                    return
                self.say("failed", number=number, why=reason_of(error))
        every = dict(runs)
        gc.collect()
        gc.disable()
        loaded = time.perf_counter()
        disturbance = Disturbance(is_serial)
        if len(runs) > 1:
            disturbance.start()
            rng = np.random.default_rng(request["seed"])
            try:
                for times in Rounds(runs, self.begin, rng, waited=disturbance.waited, **request["stop"]):
                    self.say("round", ns=times)
            except TimingError as error:
                self.say("refused", why=str(error))
                return
            disturbance.stop()
        ran = time.perf_counter()
        if request["energy"]:
            self._energy(meter(), every)
        gc.enable()
        seconds = {"load": loaded - begin, "run": ran - loaded}
        self.say("end", seconds=seconds, disturbance=disturbance.summary())

    def _profile(self, request: dict[str, Any], profile: Profile) -> None:
        """Time the operators of all items but the anchor."""
        begin = time.perf_counter()
        for number, item in enumerate(request["items"][1:], start=1):
            self.begin()
            try:
                self.say("operators", number=number, operators=profile(item, request["profile"]))
            except Exception as error:  # noqa: BLE001 - recorded as the reason why there are no times
                if is_disk_full(error):
                    self.say("refused", why=reason_of(error))
                    return
                self.say("failed", number=number, why=reason_of(error))
        self.say("end", seconds={"load": time.perf_counter() - begin, "run": 0.0})

    def _loaded(self, item: Any, load: Callable[[Any], Run], is_anchor: bool) -> Run:
        """Load a network and run it once."""
        key = json.dumps(item)
        if key in self._anchor:
            return self._anchor[key]
        self.begin()
        run = load(item)
        self.begin()
        run()
        if is_anchor:
            self._anchor = {key: run}
        return run

    def _energy(self, meter: Any, runs: dict[int, Run]) -> None:
        for number, run in runs.items():
            count = 0
            start, begin = meter.millijoules(), time.monotonic()
            while time.monotonic() - begin < ENERGY_WINDOW:
                self.begin()
                run()
                count += 1
            self.say("energy", number=number, mj=(meter.millijoules() - start) / count)


@contextlib.contextmanager
def measuring_pipes() -> Iterator[tuple[IO[str], IO[str], mmap.mmap]]:
    """Return this process' requests, its events and the shared file; prints of libraries go to standard error."""
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        yield sys.stdin, sink, mmap.mmap(sys.stderr.fileno(), CLOCK.size)


def is_disk_full(error: Exception) -> bool:
    """Return whether the disk here has no space left: that is no network's failure."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def reason_of(error: Exception) -> str:
    """Return an error in one line that a table can store."""
    # Names of files that are no text have halves of surrogate pairs, which a table can't store.
    text = " ".join(str(error).split()).encode(errors="backslashreplace").decode()
    return f"{type(error).__name__}: {text}"[:300]
