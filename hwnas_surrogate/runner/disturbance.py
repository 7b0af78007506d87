"""How much other processes disturb timed runs, and whether the times can be trusted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from hwnas_surrogate.runner.facts import allowed_cores, core_times, is_clock_lowered

__all__ = ["CoreWaiting", "Disturbance", "crowding", "total_disturbance", "verdict"]

MOST_WAITING = 0.05
"""Share of the time that threads may wait for a core where their waiting stays in the times."""
MOST_SUBTRACTED = 0.75
"""The same where it is subtracted, as for one thread."""
MOST_STEAL = 0.05
"""Share of the time that the host of a virtual machine may take."""
MOST_LOWERED = 0.1
"""Share of the blocks in which the clock may be lowered: drift is corrected."""
FINE_CLOCK = 100_000
"""Steps in ns that a clock of CPU time may have here; that of Windows has 16,000,000."""
LEAST_OBSERVED = 0.1
"""Seconds below which nothing is concluded: the kernel counts in steps of 0.01 s."""


class CoreWaiting:
    """How long this process' threads have waited for a core while others ran on it, so far.

    The scheduler of Linux counts it to the nanosecond. Elsewhere, it is the time that the process did not use, which is
    the same where one thread computes all the time. Threads that begin later are not counted.
    """

    def __init__(self, folder: str = "/proc/self/task") -> None:
        self._files: list[int] = []
        with contextlib.suppress(OSError):
            for thread in sorted(os.listdir(folder)):
                self._files.append(os.open(Path(folder, thread, "schedstat"), os.O_RDONLY))
        self._last = [0] * len(self._files)
        if not any(_thread_counts(file)[:1] for file in self._files):
            self.close()  # this kernel does not count
        self.is_counted = bool(self._files)
        """Whether the scheduler counts it."""
        self.is_known = self.is_counted or _cpu_step() < FINE_CLOCK
        """Whether it can be told at all, for one thread."""

    def ns(self) -> int:
        """Return the time in ns; only differences mean something."""
        if not self.is_counted:
            return time.perf_counter_ns() - time.process_time_ns() if self.is_known else 0
        for place, file in enumerate(self._files):
            counts = _thread_counts(file)
            self._last[place] = counts[1] if counts else self._last[place]
        return sum(self._last)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file)
        self._files = []


def _cpu_step() -> float:
    """Return the step in ns of the clock of CPU time, as far as it is fine."""
    begin, end = time.process_time_ns(), time.perf_counter_ns() + 10 * FINE_CLOCK
    while time.perf_counter_ns() < end:
        step = time.process_time_ns() - begin
        if step:
            return step
    return float("inf")


def _thread_counts(file: int) -> list[int]:
    """Return how long a thread has run and waited, in ns; nothing if it has ended, or nothing is counted."""
    try:
        run, waited, _ = map(int, os.pread(file, 99, 0).split())
    except (OSError, ValueError):
        return []
    return [run, waited] if run else []


class Disturbance:
    """Accumulates what happened while networks were timed in this process.

    Parameters
    ----------
    is_serial : bool, default=False
        Whether each run is the work of one thread of a CPU. Then its waiting for a core adds to its time, and can be
        subtracted.
    """

    def __init__(self, is_serial: bool = False) -> None:
        self._sums = {"wall": 0.0, "cpu": 0.0, "blocks": 0.0, "lowered": 0.0}
        self._is_serial = is_serial
        self._cores = float(len(allowed_cores()) or os.cpu_count() or 1)

    def start(self) -> None:
        """Begin to observe; before the rounds of a block."""
        self._waiting = CoreWaiting()
        self._before = self._now()

    def stop(self) -> None:
        """Add what happened since :meth:`start`."""
        for name, now in self._now().items():
            self._sums[name] = self._sums.get(name, 0.0) + now - self._before.get(name, now)
        self._waiting.close()
        self._sums["blocks"] += 1
        self._sums["lowered"] += is_clock_lowered()

    def waited(self) -> int:
        """Return the waiting so far, in ns, of which the difference is to be subtracted from a run's time."""
        return self._waiting.ns() if self._is_serial else 0

    def summary(self) -> dict[str, float]:
        """Return the sums in seconds, as far as this system counts them.

        ``wall``; ``cpu``: used by this process; ``waiting``: of its threads for a core; ``subtracted``: the part of it
        that the times don't contain; ``others``: CPU time of other processes on the cores that this one may use;
        ``steal``: taken by the host of a virtual machine. And counts: ``cores``; ``switches``: how often another
        process ran instead of this one; ``blocks``; ``lowered``: those that ended with a clock that heat or lack of
        power had lowered.
        """
        found = {**self._sums, "cores": self._cores}
        if "busy" in found:
            found["others"] = max(found.pop("busy") - found["cpu"], 0.0)
        if self._is_serial and "waiting" in found:
            found["subtracted"] = found["waiting"]
        return {name: round(value, 4) for name, value in found.items()}

    def _now(self) -> dict[str, float]:
        now = {"wall": time.perf_counter(), "cpu": time.process_time()}
        if self._waiting.is_counted or (self._is_serial and self._waiting.is_known):
            now["waiting"] = self._waiting.ns() / 1e9
        with contextlib.suppress(ImportError):  # Windows does not count switches
            import resource

            now["switches"] = float(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)
        times = core_times()
        return now if times is None else {**now, "busy": times[0], "steal": times[1]}


def total_disturbance(summaries: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the sums over blocks of what :meth:`Disturbance.summary` returns; ``cores`` is their number."""
    total: dict[str, float] = {}
    for one in summaries:
        for name, value in one.items():
            total[name] = value if name == "cores" else round(total.get(name, 0.0) + value, 4)
    return total


def crowding(threads: int, cores: float, where: str) -> str | None:
    """Return why times of so many threads mean little, in two sentences; None if each thread has a core.

    Parameters
    ----------
    threads : int
        Threads that one run may use.
    cores : float
        Cores that the process may use.
    where : str
        The machine, in the text.
    """
    if threads <= cores:
        return None
    return (
        f"{threads} threads share {cores:g} core{'s' * (cores != 1)} of {where}: they wait for each other, so that the "
        f"costs are not those of {threads} threads. Use at most {max(int(cores), 1)}."
    )


def verdict(summaries: Sequence[dict[str, float]], threads: int = 1) -> str | None:
    """Return why times can't be trusted, in one sentence; None if they can, or if nothing is known.

    Parameters
    ----------
    summaries : sequence of dict
        From :meth:`Disturbance.summary`, of each block.
    threads : int, default=1
        Threads that one run may use.
    """
    total = total_disturbance(summaries)
    wall, cpu, cores, others = (total.get(name, 0.0) for name in ("wall", "cpu", "cores", "others"))
    if wall < LEAST_OBSERVED:
        return None
    # Only cores that are wanted are stolen: of what all lost, this process lost the part that it used of the rest.
    lost = total.get("steal", 0.0) * cpu / max(cpu + others, wall / 100)
    steal = lost / (wall * min(threads, cores))
    lowered = total.get("lowered", 0.0) / max(total.get("blocks", 0.0), 1.0)
    waiting = total["waiting"] if "waiting" in total else others + wall * (threads - cores)
    share = min(waiting / (wall * threads), 1.0)
    if steal > MOST_STEAL:
        why = f"the host of this virtual machine took {steal:.0%} of its cores' time"
        advice = "Measure when the host has less to do, or on a machine of its own"
    elif lowered > MOST_LOWERED:
        why = f"heat or lack of power lowered the processor's clock in {lowered:.0%} of it"
        advice = "Cool the machine, or give it a stronger power supply (see: hwnas doctor)"
    elif share > (MOST_SUBTRACTED if "subtracted" in total else MOST_WAITING):
        crowd = f"others kept {others / wall:.1f} of {cores:.0f} cores busy"
        why = f"it waited for a core in {share:.0%} of its time: {crowd}"
        advice = "End them, or use fewer threads"
    else:
        return None
    return f"this run can't be trusted: {why}. {advice}, and measure again."
