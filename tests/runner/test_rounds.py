"""Which rounds count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.runner.blocks import reason_of
from hwnas_surrogate.runner.rounds import (
    LEAST_LEFT,
    MOST_REPEATED,
    MOST_WARMUP,
    Rounds,
    TimingError,
    relative_half_width,
)


@pytest.mark.parametrize("n", [4, 9, 25])
def test_half_width_by_hand(n: int) -> None:
    ns = np.linspace(90.0, 110.0, n)
    quarter = np.quantile(ns, 0.75) - np.quantile(ns, 0.25)
    assert relative_half_width(ns.tolist()) == pytest.approx(1.57 * quarter / np.sqrt(n) / 100.0)
    assert relative_half_width([5.0] * n) == 0.0


class TestRounds:
    """Rounds under a clock that only the runs move."""

    def block(self, durations: dict[int, Any], **stop: Any) -> Rounds:
        now = 0
        self.order: list[int] = []
        counts = dict.fromkeys(durations, 0)

        def run(number: int) -> None:
            nonlocal now
            self.order.append(number)
            duration = durations[number]
            now += duration(counts[number]) if callable(duration) else duration
            counts[number] += 1

        runs = {number: (lambda number=number: run(number)) for number in durations}
        stop = {"least": 5, "most": 9, "half_width": 0.02, **stop}
        return Rounds(runs, lambda: None, np.random.default_rng(0), clock=lambda: now, **stop)

    def test_times_are_the_runs_and_every_round_has_every_network(self) -> None:
        rounds = list(self.block({0: 10, 1: 200, 2: 3000}))
        assert rounds == [{0: 10, 1: 200, 2: 3000}] * 5
        chunks = [self.order[at : at + 3] for at in range(0, len(self.order), 3)]
        assert all(sorted(chunk) == [0, 1, 2] for chunk in chunks)
        assert len({tuple(chunk) for chunk in chunks}) > 1

    @pytest.mark.parametrize("cold", [1, 3])
    def test_rounds_that_still_get_faster_are_dropped(self, cold: int) -> None:
        durations = {0: 100, 1: lambda count: 1000 * max(1, 2 ** (cold - count))}
        rounds = list(self.block(durations))
        assert [times[1] for times in rounds] == [1000] * 5
        assert len(self.order) == 2 * (5 + cold)

    def test_warming_up_ends(self) -> None:
        block = self.block({0: 10, 1: lambda count: 10**6 // 2 ** min(count, 12)}, half_width=9.0)
        rounds = list(block)
        assert len(rounds) == 5
        assert len(self.order) == 2 * (5 + MOST_WARMUP)

    def test_a_noisy_network_runs_on_alone_until_the_most(self) -> None:
        noisy = [1000, 1400, 700, 1300, 800, 1200, 900, 1500, 600]
        rounds = list(self.block({0: 100, 1: 10**5, 2: lambda count: noisy[count]}))
        assert len(rounds) == 9
        assert [set(times) for times in rounds] == [{0, 1, 2}] * 5 + [{0, 2}] * 4

    def test_it_stops_when_the_interval_is_narrow(self) -> None:
        # Two slow runs of five are beyond the quartile; of eight they are not.
        values = [1000, 1000, 1500, 1500, 1000, 1000, 1000, 1000, 1000, 1000]
        rounds = list(self.block({0: 10**6, 1: lambda count: values[count]}, most=10))
        widths = [relative_half_width(values[:n]) for n in range(5, 10)]
        stop = 5 + next(place for place, width in enumerate(widths) if width <= 0.02)
        assert 5 < len(rounds) == stop < 10


class TestWaiting:
    """Runs of 1000 ns of work under a clock that also moves while others keep the core."""

    def block(self, waits: dict[int, tuple[int, int]]) -> Rounds:
        """``waits`` are, by the number of a run, how long it waits inside, and just before its clock is read."""
        self.now = self.waited = self.count = 0

        def run() -> None:
            inside, early = waits.get(self.count, (0, 0))
            self.now += 1000 + inside
            self.waited += inside + early
            self.count += 1

        stop: dict[str, Any] = {"least": 5, "most": 5, "half_width": 0.02}
        runs: dict[int, Any] = {0: run, 1: run}
        clocks: dict[str, Any] = {"waited": lambda: self.waited, "clock": lambda: self.now}
        return Rounds(runs, lambda: None, np.random.default_rng(0), **clocks, **stop)

    def test_what_is_waited_inside_a_run_is_subtracted(self) -> None:
        rounds = list(self.block({number: (2000 * number, 0) for number in range(0, 10, 3)}))
        assert rounds == [{0: 1000, 1: 1000}] * 5
        assert self.count == 10

    @pytest.mark.parametrize("early", [951, 1000, 4_000_000])
    def test_a_run_of_which_nothing_is_left_is_repeated(self, early: int) -> None:
        """A process that took the core between the two clocks took no time of the run."""
        rounds = list(self.block({3: (0, early), 4: (0, early), 8: (0, early)}))
        assert rounds == [{0: 1000, 1: 1000}] * 5
        assert self.count == 10 + 3

    def test_less_than_the_share_is_left(self) -> None:
        most = round(1000 / LEAST_LEFT) - 1000
        assert list(self.block({5: (most, 0)})) == [{0: 1000, 1: 1000}] * 5
        assert self.count == 10
        list(self.block({5: (most + 100, 0)}))
        assert self.count == 11

    def test_when_every_run_waits_nothing_is_timed(self) -> None:
        block = self.block(dict.fromkeys(range(4, 1000), (10**6, 0)))
        times: list[dict[int, int]] = []
        with pytest.raises(TimingError, match=f"{MOST_REPEATED} runs in a row waited for a core in more than 95% of"):
            times.extend(iter(block))
        assert self.count == 4 + MOST_REPEATED

    def test_work_of_other_threads_is_no_waiting(self) -> None:
        assert list(self.block(dict.fromkeys(range(10), (0, -500)))) == [{0: 1000, 1: 1000}] * 5


def test_a_reason_can_be_stored_though_it_names_a_file_that_is_no_text() -> None:
    why = reason_of(FileNotFoundError("no file model\udcff.bin"))
    assert why == "FileNotFoundError: no file model\\udcff.bin"
    assert why.isascii()
