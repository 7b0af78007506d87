"""Rounds: the networks in memory run in turn, until each has enough timed runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hwnas_surrogate.errors import MeasurementError

__all__ = ["Rounds", "Run", "TimingError", "relative_half_width"]

Run = Callable[[], object]
"""Executes a network once and waits until it has finished."""

WARM = 1.05
"""Warm-up ends when the next round is not faster by more than this factor."""
MOST_WARMUP = 5
"""Maximum number of warm-up rounds to drop."""
LEAST_LEFT = 0.05
"""Share of a run's time that must be left when its waiting is subtracted. What the process waited just before a run or
just after it is counted as well, and may exceed the run."""
MOST_REPEATED = 20
"""Runs in a row of which less is left, after which nothing can be timed."""


class TimingError(MeasurementError):
    """Nothing can be timed on this machine: its clock stands still, or other processes keep its cores."""


def relative_half_width(ns: Sequence[float]) -> float:
    """Return the half-width of the median's 95 % interval, relative to the median.

    1.57 interquartile ranges over the root of n, as McGill, Tukey and Larsen give it ("Variations of Box Plots", The
    American Statistician 32(1), 1978).
    """
    lower, median, upper = np.percentile(ns, [25, 50, 75])
    return float(1.57 * (upper - lower) / np.sqrt(len(ns)) / median)


class Rounds:
    """Networks in memory whose runs alternate; number 0 is the anchor.

    Parameters
    ----------
    runs : dict of int to callable
        Each network's run by its number.
    begin : callable
        Called before each run.
    rng : numpy.random.Generator
        For the order of each round.
    least, most : int
        Timed runs of each network.
    half_width : float
        A network runs again, up to ``most`` times, until the relative half-width of its median's 95 % interval is this
        small.
    waited : callable, optional
        Returns how long the runs have waited for a core so far, in ns: it is subtracted from their times. A run of
        which almost nothing is left is repeated at once.
    clock : callable, default=time.perf_counter_ns
        The clock by which runs are timed, in ns.
    """

    def __init__(
        self,
        runs: dict[int, Run],
        begin: Callable[[], None],
        rng: np.random.Generator,
        least: int,
        most: int,
        half_width: float,
        waited: Callable[[], int] = lambda: 0,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.waited, self.clock = waited, clock
        self.runs, self.begin, self.rng = runs, begin, rng
        self.least, self.most, self.half_width = least, most, half_width
        self.ns: dict[int, list[int]] = {}

    def __iter__(self) -> Iterator[dict[int, int]]:
        """Yield the times of each round in ns, from the first warm one on.

        Raises
        ------
        TimingError
            If the clock does not advance, or run after run waits for a core in almost all of its time.
        """
        for times in self._warm():
            for number, ns in times.items():
                self.ns.setdefault(number, []).append(ns)
            yield times

    def _warm(self) -> Iterator[dict[int, int]]:
        before: dict[int, int] = {}
        dropped = 0
        while True:
            now = self._round()
            shared = now.keys() & before.keys()
            warm = sum(before[n] for n in shared) <= WARM * sum(now[n] for n in shared)
            if before and (warm or dropped == MOST_WARMUP):
                yield before
                yield now
                break
            dropped += bool(before)
            before = now
        while self._unfinished():
            yield self._round()

    def _unfinished(self) -> bool:
        """Drop the networks that have enough runs; return whether any is left besides the anchor."""
        for number in [number for number in self.runs if number]:
            ns = self.ns.get(number, [])
            if len(ns) >= self.most or (len(ns) >= self.least and relative_half_width(ns) <= self.half_width):
                del self.runs[number]
        return len(self.runs) > 1

    def _round(self) -> dict[int, int]:
        numbers = list(self.runs)
        order = self.rng.permutation(len(numbers)).tolist()
        return {numbers[place]: self._timed(self.runs[numbers[place]]) for place in order}

    def _timed(self, run: Run) -> int:
        """Return the time of a run in ns, without its waiting."""
        clock = self.clock
        for _ in range(MOST_REPEATED):
            self.begin()
            waited = self.waited()
            start = clock()
            run()
            ns = clock() - start
            if ns <= 0:
                raise TimingError("the clock of this machine stood still or went back while a network ran")
            left = ns - max(self.waited() - waited, 0)  # below 0 if a system counts the work of other threads
            if left >= max(LEAST_LEFT * ns, 1):
                return left
        raise TimingError(
            f"{MOST_REPEATED} runs in a row waited for a core in more than {1 - LEAST_LEFT:.0%} of their time: end the "
            "other processes, and measure again"
        )
