"""The measuring process: what it tells, and what its end looks like."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure import worker as module
from hwnas_surrogate.measure.worker import MOST_WARMUP, Subject, Worker, _Block, relative_half_width
from hwnas_surrogate.networks.fbnet import ConvBlock, ConvNorm
from hwnas_surrogate.spaces import get_space
from tests.measure.runtimes import Fake, Refusing

SPACE = get_space("nasbench201")
TINY = "C4-N1-k10-3x8x8"


def subject(text: str) -> Subject:
    return Subject("nasbench201", SPACE.format([list(map(int, text))]), TINY)


def request(*texts: str, least: int = 4, energy: bool = False) -> dict[str, Any]:
    subjects = [asdict(subject(text)) for text in texts]
    return {
        "subjects": subjects,
        "stop": {"least": least, "most": least, "half_width": 1.0},
        "seed": [0],
        "energy": energy,
    }


@pytest.fixture
def runtime(tmp_path: Path) -> Fake:
    return Fake(log=str(tmp_path / "log"))


@pytest.mark.parametrize("n", [4, 9, 25])
def test_half_width_by_hand(n: int) -> None:
    ns = np.linspace(90.0, 110.0, n)
    quarter = np.quantile(ns, 0.75) - np.quantile(ns, 0.25)
    assert relative_half_width(ns.tolist()) == pytest.approx(1.57 * quarter / np.sqrt(n) / 100.0)
    assert relative_half_width([5.0] * n) == 0.0


class TestSubject:
    def test_a_network(self) -> None:
        network, shape = subject("012340").build()
        assert shape == (3, 8, 8)
        assert not network.training
        assert network(torch.zeros(1, *shape))[1].shape == (1, 10)

    @pytest.mark.parametrize(
        ("part", "kind", "shape"), [("stem", ConvNorm, (3, 32, 32)), ("cells.2", ConvBlock, (24, 32, 32))]
    )
    def test_a_part_of_a_network(self, part: str, kind: type, shape: tuple[int, ...]) -> None:
        space = get_space("fbnet")
        built, seen = Subject("fbnet", space.format([2] * 22), str(space.config(None)), part).build()
        assert type(built) is kind
        assert seen == shape
        built(torch.zeros(1, *seen))


class TestBlock:
    """Rounds under a clock that only the runs move."""

    def block(self, patch: pytest.MonkeyPatch, durations: dict[int, Any], **stop: Any) -> _Block:
        now = 0
        self.order: list[int] = []
        counts = dict.fromkeys(durations, 0)
        patch.setattr(module, "time", SimpleNamespace(perf_counter_ns=lambda: now))

        def run(number: int) -> None:
            nonlocal now
            self.order.append(number)
            duration = durations[number]
            now += duration(counts[number]) if callable(duration) else duration
            counts[number] += 1

        runs = {number: (lambda number=number: run(number)) for number in durations}
        stop = {"least": 5, "most": 9, "half_width": 0.02, **stop}
        return _Block(runs, rng=np.random.default_rng(0), **stop)  # type: ignore[arg-type]

    def rounds(self, block: _Block) -> list[dict[int, int]]:
        kept = []
        for times in block.rounds():
            block.keep(times)
            kept.append(times)
        return kept

    def test_times_are_the_runs_and_every_round_has_every_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rounds = self.rounds(self.block(monkeypatch, {0: 10, 1: 200, 2: 3000}))
        assert rounds == [{0: 10, 1: 200, 2: 3000}] * 5
        chunks = [self.order[at : at + 3] for at in range(0, len(self.order), 3)]
        assert all(sorted(chunk) == [0, 1, 2] for chunk in chunks)
        assert len({tuple(chunk) for chunk in chunks}) > 1

    @pytest.mark.parametrize("cold", [1, 3])
    def test_rounds_that_still_get_faster_are_dropped(self, monkeypatch: pytest.MonkeyPatch, cold: int) -> None:
        durations = {0: 100, 1: lambda count: 1000 * max(1, 2 ** (cold - count))}
        rounds = self.rounds(self.block(monkeypatch, durations))
        assert [times[1] for times in rounds] == [1000] * 5
        assert len(self.order) == 2 * (5 + cold)

    def test_warming_up_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        block = self.block(monkeypatch, {0: 10, 1: lambda count: 10**6 // 2 ** min(count, 12)}, half_width=9.0)
        rounds = self.rounds(block)
        assert len(rounds) == 5
        assert len(self.order) == 2 * (5 + MOST_WARMUP)

    def test_a_noisy_network_runs_on_alone_until_the_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        noisy = [1000, 1400, 700, 1300, 800, 1200, 900, 1500, 600]
        rounds = self.rounds(self.block(monkeypatch, {0: 100, 1: 10**5, 2: lambda count: noisy[count]}))
        assert len(rounds) == 9
        assert [set(times) for times in rounds] == [{0, 1, 2}] * 5 + [{0, 2}] * 4

    def test_it_stops_when_the_interval_is_narrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Two slow runs of five are beyond the quartile; of eight they are not.
        values = [1000, 1000, 1500, 1500, 1000, 1000, 1000, 1000, 1000, 1000]
        rounds = self.rounds(self.block(monkeypatch, {0: 10**6, 1: lambda count: values[count]}, most=10))
        widths = [relative_half_width(values[:n]) for n in range(5, 10)]
        stop = 5 + next(place for place, width in enumerate(widths) if width <= 0.02)
        assert 5 < len(rounds) == stop < 10


class TestWorker:
    def test_a_block_from_begin_to_end(self, runtime: Fake) -> None:
        with Worker(runtime) as worker:
            events = list(worker.time(request("111111", "000000", "333333")))
            again = list(worker.time(request("111111", "222222")))
        assert [event["event"] for event in events] == ["round"] * 4 + ["end"]
        assert all(set(event["ns"]) == {"0", "1", "2"} for event in events[:-1])
        times = np.array([[event["ns"][number] for number in "102"] for event in events[:-1]])
        assert (np.diff(np.median(times, axis=0)) > 0).all()
        assert (times >= [2e4, 1.4e5, 3.8e5]).all()  # nanoseconds, at least what the network spins
        assert again[-1]["event"] == "end"
        seconds = events[-1]["seconds"]
        assert seconds["run"] >= times.sum() / 1e9
        assert seconds["load"] > 0
        assert runtime.lines("load") == ["111111", "000000", "333333", "222222"]  # the anchor once

    def test_what_raises_is_told_and_the_others_go_on(self, runtime: Fake) -> None:
        with Worker(replace(runtime, fail=("000000",))) as worker:
            first, *rest = worker.time(request("111111", "000000", "333333"))
        assert first == {"event": "failed", "number": 1, "why": "RuntimeError: no kernel for 000000"}
        assert [set(event["ns"]) for event in rest[:-1]] == [{"0", "2"}] * 4

    @pytest.mark.parametrize(
        ("how", "why"),
        [({"crash": ("000000",)}, "signal SIGSEGV"), ({"crash_later": ("000000",)}, "MemoryError: not enough of it")],
    )
    def test_a_crash_is_told_and_the_next_block_works(self, runtime: Fake, how: dict[str, Any], why: str) -> None:
        with Worker(replace(runtime, **how)) as worker:
            *_, last = worker.time(request("111111", "000000"))
            assert last["event"] == "died"
            assert why in last["why"]
            *_, last = worker.time(request("111111", "333333"))
            assert last["event"] == "end"

    def test_the_deadline_ends_a_network_that_hangs(self, runtime: Fake) -> None:
        with Worker(replace(runtime, hang=("000000",))) as worker:
            start = time.monotonic()
            *_, last = worker.time(request("111111", "000000", least=9), deadline=start + 0.7)
            assert last == {"event": "late"}
            assert 0.6 < time.monotonic() - start < 3
            pids = {int(line.split()[2]) for line in Path(runtime.log).read_text().splitlines() if "load" in line}
            assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    def test_energy_of_each_network(self, runtime: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        with Worker(runtime) as worker:
            events = list(worker.time(request("111111", "000000", energy=True)))
        energies = {event["number"]: event["mj"] for event in events if event["event"] == "energy"}
        assert energies == {0: 1.0, 1: 1.0}  # the fake meter counts one millijoule a run

    def test_a_runtime_that_does_not_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HWNAS_TEST_PARENT", str(os.getpid()))
        with pytest.raises(MeasurementError, match=r"could not load the runtime: ImportError: libsomething"):
            Worker(Refusing()).__enter__()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    children = [
        path for path in Path("/proc").glob("[0-9]*/cmdline") if b"hwnas_surrogate.measure.worker" in _read(path)
    ]
    mine = [path for path in children if f"PPid:\t{os.getpid()}\n" in _read(path.with_name("status")).decode()]
    assert not mine


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
