"""How much other processes disturb timed runs, and whether the times can be trusted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from hwnas_surrogate.runner.conditions import allowed_cores, core_times

__all__ = ["CoreWaiting", "Disturbance", "verdict"]

MOST_WAITING = 0.05
"""Share of the time that threads may wait for a core where their waiting stays in the times."""
MOST_SUBTRACTED = 0.75
"""The same where it is subtracted, as for one thread."""
MOST_STEAL = 0.05
"""Share of the time that the host of a virtual machine may take."""
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
        if not any(os.pread(file, 99, 0).lstrip(b"0 \n") for file in self._files):  # a kernel that does not count
            self.close()

    @property
    def is_counted(self) -> bool:
        """Whether the scheduler counts it."""
        return bool(self._files)

    def ns(self) -> int:
        """Return the time in ns; only differences mean something."""
        if not self._files:
            return time.perf_counter_ns() - time.process_time_ns()
        for place, file in enumerate(self._files):
            with contextlib.suppress(OSError, IndexError, ValueError):  # a thread that has ended
                self._last[place] = int(os.pread(file, 99, 0).split()[1])
        return sum(self._last)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file)
        self._files = []


class Disturbance:
    """Accumulates what happened while networks were timed in this process.

    Parameters
    ----------
    subtracted : bool, default=False
        Whether the waiting for a core is subtracted from the times.
    """

    def __init__(self, subtracted: bool = False) -> None:
        self._sums = {"wall": 0.0, "cpu": 0.0, "switches": 0.0}
        self._subtracted = subtracted
        self._cores = allowed_cores()

    def start(self) -> None:
        """Begin to observe; before the rounds of a block."""
        self._waiting = CoreWaiting()
        self._before = self._now()

    def stop(self) -> None:
        """Add what happened since :meth:`start`."""
        for name, now in self._now().items():
            if name in self._before:
                self._sums[name] = self._sums.get(name, 0.0) + now - self._before[name]
        self._waiting.close()

    def summary(self) -> dict[str, float]:
        """Return the sums in seconds, as far as this system counts them.

        ``wall``; ``cpu``: used by this process; ``waiting``: of its threads for a core; ``subtracted``: the part of it
        that the times don't contain; ``others``: CPU time of other processes on the cores that this one may use;
        ``steal``: taken by the host of a virtual machine; ``cores``: their number; ``switches``: how often another
        process ran instead of this one.
        """
        found = {**self._sums, "cores": float(len(self._cores) or os.cpu_count() or 1)}
        if "busy" in found:
            found["others"] = max(found.pop("busy") - found["cpu"], 0.0)
        if self._subtracted:
            found["subtracted"] = found.get("waiting", 0.0)
        return {name: round(value, 4) for name, value in found.items()}

    def _now(self) -> dict[str, float]:
        now = {"wall": time.perf_counter(), "cpu": time.process_time()}
        if self._waiting.is_counted or self._subtracted:
            now["waiting"] = self._waiting.ns() / 1e9
        with contextlib.suppress(ImportError):  # Windows does not count them
            import resource

            now["switches"] = float(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)
        times = core_times(cores=self._cores)
        return now if times is None else {**now, "busy": times[0], "steal": times[1]}


def verdict(summaries: Sequence[dict[str, float]], threads: int = 1) -> str | None:
    """Return why times can't be trusted, in one sentence; None if they can, or if nothing is known.

    Parameters
    ----------
    summaries : sequence of dict
        From :meth:`Disturbance.summary`, of each block.
    threads : int, default=1
        Threads that one run may use.
    """
    total = {name: sum(one.get(name, 0.0) for one in summaries) for one in summaries for name in one}
    wall = total.get("wall", 0.0)
    if wall < LEAST_OBSERVED:
        return None
    cores = summaries[-1].get("cores", 1.0)
    used, others = total.get("cpu", 0.0), total.get("others", 0.0)
    # Only cores that are wanted are stolen, so a part of what all lost is this process's loss.
    steal = total.get("steal", 0.0) * used / max(used + others, 1e-9) / wall / max(min(threads, cores), 1.0)
    if steal > MOST_STEAL:
        return (
            f"this run can't be trusted: the host of this virtual machine took {steal:.0%} of the cores' time. "
            "Measure when the host is less busy, or on a machine of your own."
        )
    waiting = total.get("waiting", 0.0) / wall / threads
    subtracted = total.get("subtracted", 0.0) > 0
    crowded = (others / wall + threads - cores) / threads if "waiting" not in total else 0.0
    if max(waiting, crowded) > (MOST_SUBTRACTED if subtracted else MOST_WAITING):
        return (
            f"this run can't be trusted: its threads waited for a core {max(waiting, crowded):.0%} of the time, since "
            f"other processes kept {others / wall:.1f} of {cores:.0f} cores busy. End them, or use fewer threads, and "
            "measure again."
        )
    return None
