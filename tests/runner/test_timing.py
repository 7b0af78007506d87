"""The protocol: what it accepts, what the journal's lines amount to, and who is timed when."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure import Protocol
from hwnas_surrogate.measure.client import Worker
from hwnas_surrogate.measure.subjects import ArchSubject
from hwnas_surrogate.runner import timing, watching
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.runner.protocol import Readings
from hwnas_surrogate.runner.timing import BLOCK, time_networks
from hwnas_surrogate.spaces import get_space
from tests.measure.fake_runtimes import Fake

SPACE = get_space("nasbench201")
TINY = "C4-N1-k10-3x8x8"
ANCHOR = ArchSubject("nasbench201", SPACE.format([[1] * 6]), TINY)
QUICK = Protocol(passes=2, repeats=3, max_repeats=3, half_width=9.0)


def texts(n: int) -> list[str]:
    """Return networks as text, the anchor not among them."""
    return ["".join(map(str, arch)) for arch in SPACE.at(range(100, 100 + n)).tolist()]


def subjects(n: int) -> list[ArchSubject]:
    return [ArchSubject("nasbench201", SPACE.format([list(map(int, text))]), TINY) for text in texts(n)]


@pytest.fixture
def runtime(tmp_path: Path) -> Fake:
    return Fake(log=str(tmp_path / "log"))


def timed(path: Path, runtime: Fake, n: int, protocol: Protocol = QUICK, **options: Any) -> Readings:
    opened = Journal(path / "journal", {"of": "the test"}, {})
    with opened as journal, closing(Worker(runtime, protocol.timeout)) as timer:
        return time_networks(subjects(n), ANCHOR, timer, protocol, journal, **options)


class TestProtocol:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("passes", 0),
            ("passes", True),
            ("repeats", 1),
            ("repeats", 2.5),
            ("max_repeats", 9),
            ("random_state", -1),
            ("half_width", 0.0),
            ("half_width", float("nan")),
            ("half_width", "narrow"),
            ("timeout", 0),
            ("timeout", float("inf")),
            ("timeout", True),
        ],
    )
    def test_out_of_range(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidInputError, match=f"{name} must be"):
            Protocol(**{name: value})

    def test_numpy_integers_count_as_integers(self) -> None:
        protocol = Protocol(np.int64(3), np.int32(4))  # type: ignore[arg-type]
        assert protocol == Protocol(3, 4)
        assert type(protocol.passes) is int


class TestReadings:
    """Two networks over two passes, whose machine is twice as slow in the second."""

    KEYS = (["a", "c", ""], ["b", "c", ""])

    def lines(self) -> list[dict[str, Any]]:
        first = [{"ns": {"0": 100_000_000, "1": ms * 1_000_000, "2": 8_000_000}} for ms in (4, 4, 4, 6)]
        second = [{"ns": {"0": 200_000_000, "1": 8_000_000, "2": ms * 1_000_000}} for ms in (16, 16)]
        return [
            {"pass": 0, "subjects": list(self.KEYS)},
            *first,
            {"seconds": {"load": 1.5, "run": 2.0}},
            {"pass": 1, "subjects": list(self.KEYS[::-1])},
            *[{"ns": {"0": line["ns"]["0"], "1": line["ns"]["2"], "2": line["ns"]["1"]}} for line in second],
            {"mj": 7.0, "number": 1},
            {"mj": 900.0, "number": 0},
            {"seconds": {"load": 0.5, "run": 1.0}},
        ]

    def test_drift_is_taken_out(self) -> None:
        readings = Readings(Protocol(repeats=2), self.lines())
        assert readings.anchor_ms.tolist() == [100.0, 200.0]
        # Everything is twice as slow in the second pass: the usual machine lies between them, a root of two from both.
        root = np.sqrt(2)
        first, second = readings.latencies(("a", "c", ""))
        assert first == pytest.approx(np.array([4, 4, 4, 6]) * root)
        assert second == pytest.approx(np.array([8, 8]) / root)
        first, second = readings.latencies(("b", "c", ""))
        assert first == pytest.approx(np.array([8] * 4) * root)
        assert second == pytest.approx(np.array([16, 16]) / root)

    def test_a_pass_with_too_few_runs_does_not_count(self) -> None:
        readings = Readings(Protocol(repeats=3), self.lines())
        assert len(readings.latencies(("a", "c", ""))) == 1
        assert readings.is_done(("a", "c", ""), 0)
        assert not readings.is_done(("a", "c", ""), 1)
        assert readings.latencies(("unheard", "of", "")) == []

    def test_energy_and_seconds(self) -> None:
        readings = Readings(Protocol(repeats=2, energy=True), self.lines())
        assert readings.energies(("b", "c", "")) == [7.0]
        assert readings.energies(("a", "c", "")) == []
        assert readings.is_done(("b", "c", ""), 1)
        assert not readings.is_done(("a", "c", ""), 1)
        runs = [100 + ms + 8 for ms in (4, 4, 4, 6)] + [200 + 8 + 16] * 2
        assert readings.seconds == pytest.approx({"load": 2.0, "run": 3.0, "timed": sum(runs) / 1000})

    def test_a_failure_is_done(self) -> None:
        lines = [{"pass": 0, "subjects": list(self.KEYS)}, {"failed": 2, "why": "no kernel"}]
        readings = Readings(Protocol(), lines)
        assert readings.reading(("b", "c", "")).failure == "no kernel"
        assert readings.is_done(("b", "c", ""), 1)
        assert not readings.is_done(("a", "c", ""), 0)

    @pytest.mark.parametrize(
        ("n", "difference", "why"), [(12, 0.08, "differ by 12% (median of 12"), (12, 0.03, ""), (9, 0.08, "")]
    )
    def test_passes_that_differ_are_not_trusted(self, n: int, difference: float, why: str) -> None:
        lines: list[dict[str, Any]] = []
        for number in (0, 1):
            lines += [{"pass": number, "subjects": [(str(place), "c", "") for place in range(n)]}]
            signs = [1, -1] * n if number else [0] * n
            ns = {str(place + 1): int(1e8 * (1 + signs[place] * difference)) for place in range(n)}
            lines += [{"ns": {"0": 100_000_000, **ns}}] * 2
        told = Readings(Protocol(repeats=2), lines).untrusted()  # most others go the other way: 8 % become 12 %
        assert why in told if told else not why, told

    def test_runs_of_a_stopped_block_are_kept(self) -> None:
        lines = self.lines()
        again = [{"pass": 1, "subjects": [self.KEYS[0]]}, {"ns": {"0": 200_000_000, "1": 20_000_000}}]
        readings = Readings(Protocol(repeats=3), [*lines[:-3], *again])
        assert sorted(readings.latencies(("a", "c", ""))[1]) == pytest.approx(
            sorted([9.0, 9.0, 15.0 * 200 / 200]), rel=0.4
        )
        assert readings.reading(("a", "c", "")).runs(1) == 3


class Clock:
    """The clock of the process that watches, in place of ``time``: it stands still, and jumps when a network hangs."""

    def __init__(self, runtime: Fake, text: str) -> None:
        self._runtime, self._text = runtime, text

    def monotonic(self) -> float:
        """Return the seconds: thirty years for each time that the network has hung."""
        return 1e9 * (self._runtime.lines("hang").count(self._text) if Path(self._runtime.log).exists() else 0)


@pytest.fixture
def clock_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fake, str], None]:
    """Let nothing but the hang of a network decide what takes too long, however slow this machine is."""

    def install(runtime: Fake, text: str) -> None:
        for module in (timing, watching):
            monkeypatch.setattr(module, "time", Clock(runtime, text))

    return install


class TestTiming:
    def test_every_network_in_every_pass_in_blocks_that_alternate(self, runtime: Fake, tmp_path: Path) -> None:
        n = BLOCK + 4
        progress: list[tuple[int, int]] = []
        # The waiting of two threads is not subtracted, so that no run is repeated, however busy this machine is.
        readings = timed(tmp_path, replace(runtime, threads=2), n, progress=lambda *at: progress.append(at))
        assert progress[0] == (0, 2 * n)
        assert progress[-1] == (2 * n, 2 * n)
        for subject in subjects(n):
            assert [len(values) for values in readings.latencies(subject.key)] == [3, 3]
        loads = runtime.lines("load")
        assert Counter(loads) == {**dict.fromkeys(texts(n), 2), "111111": 1}
        first, second = loads[1 : n + 1], loads[n + 1 :]
        assert sorted(first) == sorted(second) == sorted(texts(n))
        assert len({tuple(first), tuple(second), tuple(texts(n))}) == 3  # an order of its own in each pass
        # What ran between the last load of the first block and the next load: a cold round and three that count,
        # each with every network of the block and the anchor.
        lines = [line.split()[:2] for line in Path(runtime.log).read_text().splitlines()]
        begin = lines.index(["load", first[BLOCK - 1]]) + 2  # its first run belongs to loading
        end = lines.index(["load", first[BLOCK]])
        runs = [text for _, text in lines[begin:end]]
        rounds = [runs[at : at + BLOCK + 1] for at in range(0, len(runs), BLOCK + 1)]
        assert len(rounds) in range(3, 9)
        assert all(sorted(of) == sorted([*first[:BLOCK], "111111"]) for of in rounds)
        assert len({tuple(of) for of in rounds}) == len(rounds)

    def test_what_fails_crashes_or_hangs_costs_one_network_each(
        self, runtime: Fake, tmp_path: Path, clock_of: Callable[[Fake, str], None]
    ) -> None:
        names = texts(6)
        broken = replace(runtime, fail=(names[0],), crash=(names[1],), crash_later=(names[2],), hang=(names[3],))
        limited = replace(QUICK, timeout=3.0)
        clock_of(runtime, names[3])
        readings = timed(tmp_path, broken, 6, limited)
        failures = [readings.reading(subject.key).failure for subject in subjects(6)]
        assert failures[0] == f"RuntimeError: no kernel for {names[0]}"
        assert failures[1] == (
            "the measuring process ended with signal SIGSEGV (a fault in the runtime's native code): "
            "a library that prints"
        )
        assert "MemoryError: not enough of it" in failures[2]
        assert failures[3] == "loading it, or running it once, took longer than 3 s"
        assert failures[4:] == ["", ""]
        for subject in subjects(6)[4:]:
            assert len(readings.latencies(subject.key)) == 2
        before = runtime.lines("load")
        again = timed(tmp_path, runtime, 6, replace(limited, timeout=60.0))
        assert runtime.lines("load") == before
        assert [again.reading(subject.key).failure for subject in subjects(6)] == failures

    @pytest.mark.parametrize("last", ["refused", "died", "late"])
    def test_no_network_is_blamed_when_nothing_runs_any_more(
        self, runtime: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
    ) -> None:
        answers = iter(["end", "died", last])  # the anchor alone, the network, the anchor again

        class Lost(Worker):
            def _start(self) -> None:
                pass

            def time(self, request: dict[str, Any], deadline: float = np.inf) -> Iterator[dict[str, Any]]:
                yield {"event": next(answers), "why": "no memory", "seconds": {}}

        monkeypatch.setitem(globals(), "Worker", Lost)
        with (
            nullcontext()
            if last == "late"
            else pytest.raises(MeasurementError, match=r"the anchor network .* can't be run: no memory")
        ):
            timed(tmp_path, runtime, 1)
        assert next(answers, None) is None
        assert "failed" not in (tmp_path / "journal").read_text()

    def test_nothing_is_run_again(self, runtime: Fake, tmp_path: Path) -> None:
        timed(tmp_path, runtime, 3)
        before = len(runtime.lines("load"))
        timed(tmp_path, runtime, 3)
        assert len(runtime.lines("load")) == before
        timed(tmp_path, runtime, 4)
        assert runtime.lines("load")[before:] == ["111111", texts(4)[3], texts(4)[3]]

    def test_the_time_limit_ends_it_and_the_rest_follows(
        self, runtime: Fake, tmp_path: Path, clock_of: Callable[[Fake, str], None]
    ) -> None:
        slow = replace(runtime, hang=(texts(3)[1],))
        clock_of(runtime, texts(3)[1])
        readings = timed(tmp_path, slow, 3, Protocol(passes=1, repeats=6), deadline=0.5)
        runs = [readings.reading(subject.key).runs(0) for subject in subjects(3)]
        assert max(runs) < 6
        after = timed(tmp_path, runtime, 3, Protocol(passes=1, repeats=6))
        for subject, earlier in zip(subjects(3), runs, strict=True):
            assert after.reading(subject.key).runs(0) >= 6 + earlier

    def test_no_time_at_all(self, runtime: Fake, tmp_path: Path) -> None:
        readings = timed(tmp_path, runtime, 2, deadline=time.monotonic() - 1)
        assert not any(readings.latencies(subject.key) for subject in subjects(2))

    @pytest.mark.parametrize("how", ["fail", "crash"])
    def test_an_anchor_that_does_not_run(self, runtime: Fake, tmp_path: Path, how: str) -> None:
        with pytest.raises(MeasurementError, match=r"the anchor network .* can't be run"):
            timed(tmp_path, replace(runtime, **{how: ("111111",)}), 2)  # type: ignore[arg-type]
