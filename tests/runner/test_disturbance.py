"""What others do to timed runs: counted here, on kernels that don't count, and judged."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from hwnas_surrogate.runner import disturbance as module
from hwnas_surrogate.runner.disturbance import CoreWaiting, Disturbance, total_disturbance, verdict

linux = pytest.mark.skipif(
    not os.path.exists("/proc/self/schedstat") or not hasattr(os, "sched_setaffinity"),
    reason="this system does not count waiting",
)


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def crowd(core: int, ready: threading.Event, seconds: float) -> None:
    os.sched_setaffinity(0, {core})
    ready.set()
    busy(seconds)


@linux
def test_waiting_for_a_core_is_what_the_run_did_not_get() -> None:
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=crowd, args=(core, ready, 20.0))
    os.sched_setaffinity(0, {core})
    try:
        other.start()
        assert ready.wait(20.0)
        seen = Disturbance(is_serial=True)
        seen.start()
        waited, begin, cpu = seen.waited(), time.perf_counter_ns(), time.thread_time_ns()
        busy(0.5)
        waited, wall, cpu = seen.waited() - waited, time.perf_counter_ns() - begin, time.thread_time_ns() - cpu
        seen.stop()
    finally:
        other.kill()
        other.join()
        os.sched_setaffinity(0, allowed)
    assert waited > 0.2 * wall
    assert wall - waited == pytest.approx(cpu, rel=0.05)
    got = seen.summary()
    assert got["cores"] == 1
    assert got["waiting"] == got["subtracted"] == pytest.approx(waited / 1e9, abs=0.05)
    assert got["others"] == pytest.approx(got["waiting"], abs=0.1)
    assert got["switches"] > 5
    left_in = {name: value for name, value in got.items() if name != "subtracted"}
    assert "waited for a core in" in str(verdict([left_in]))


@linux
def test_waiting_of_every_thread_counts_and_those_that_end_do_no_harm() -> None:
    stop = threading.Event()
    others = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in others:
        thread.start()
    waiting = CoreWaiting()
    before = waiting.ns()
    stop.set()
    for thread in others:
        thread.join()
    assert waiting.is_counted
    assert waiting.ns() >= before
    waiting.close()


@pytest.mark.parametrize("content", ["0 0 0\n", "", "odd\n"], ids=["not counted", "empty", "odd"])
def test_a_kernel_that_does_not_count(tmp_path: Path, content: str) -> None:
    for thread in ("1", "2"):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(content)
    waiting = CoreWaiting(str(tmp_path))
    assert not waiting.is_counted
    before, wall, cpu = waiting.ns(), time.perf_counter_ns(), time.process_time_ns()
    time.sleep(0.05)
    waited, wall, cpu = waiting.ns() - before, time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    assert waited == pytest.approx(wall - cpu, abs=2e6)


def test_counts_of_made_up_threads(tmp_path: Path) -> None:
    for thread, waited in (("1", 20), ("2", 300)):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(f"5000 {waited} 7\n")
    waiting = CoreWaiting(str(tmp_path))
    assert waiting.ns() == 320
    (tmp_path / "2" / "schedstat").write_text("9000 450 9\n")
    assert waiting.ns() == 470
    (tmp_path / "1" / "schedstat").write_text("")  # as of a thread that has ended
    assert waiting.ns() == 470
    waiting.close()


def test_a_coarse_clock_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "process_time_ns", lambda: time.perf_counter_ns() // 15_625_000 * 15_625_000)
    waiting = CoreWaiting(str(tmp_path / "missing"))
    assert not waiting.is_known
    assert waiting.ns() == 0


def test_nothing_is_subtracted_of_several_threads() -> None:
    seen = Disturbance()
    seen.start()
    busy(0.01)
    assert seen.waited() == 0
    seen.stop()
    assert "subtracted" not in seen.summary()


def test_observations_add_up() -> None:
    seen = Disturbance(is_serial=True)
    for _ in range(3):
        seen.start()
        busy(0.02)
        seen.stop()
        busy(0.05)  # between blocks, where nothing is timed
    assert 0.06 <= seen.summary()["wall"] < 0.2 + seen.summary().get("waiting", 0.0)


@pytest.mark.parametrize("lowered", [True, False])
def test_a_clock_that_is_lowered_is_counted(lowered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_clock_lowered", lambda: lowered)
    seen = Disturbance()
    seen.start()
    seen.stop()
    assert seen.summary()["lowered"] == lowered
    assert seen.summary()["blocks"] == 1


def summary(wall: float = 10.0, **more: float) -> dict[str, float]:
    return {"wall": wall, "cpu": 9.9, "cores": 4.0, "blocks": 1.0, "lowered": 0.0, **more}


@pytest.mark.parametrize(
    ("summaries", "threads"),
    [
        ([], 1),
        ([{}], 1),
        ([summary(0.05, waiting=0.05)], 1),
        ([summary(waiting=0.2, others=0.8, steal=0.1)], 1),
        ([summary(waiting=0.2, others=30.0)], 1),  # on the other cores
        ([summary(waiting=6.0, subtracted=6.0, others=30.0)], 1),
        ([summary(waiting=1.5, others=3.0)], 4),
        ([summary(others=20.0)], 1),  # nobody counts waiting, and a core is left
        ([summary(blocks=20.0, lowered=1.0)], 1),
        ([summary(steal=1.5, others=25.0)], 1),  # mostly from them
        ([summary(waiting=2.0), *[summary(waiting=0.1)] * 9], 1),  # a short disturbance: drift is corrected
    ],
    ids=[
        "none",
        "empty",
        "short",
        "idle",
        "elsewhere",
        "subtracted",
        "threads",
        "a core left",
        "hot once",
        "stolen",
        "burst",
    ],
)
def test_runs_that_are_trusted(summaries: list[dict[str, float]], threads: int) -> None:
    assert verdict(summaries, threads) is None


@pytest.mark.parametrize(
    ("one", "threads", "said"),
    [
        (
            summary(waiting=4.1, others=5.0),
            1,
            "it waited for a core in 41% of its time: others kept 0.5 of 4 cores busy. End them",
        ),
        (summary(waiting=9.0, subtracted=9.0, others=40.0), 1, "waited for a core in 90% of its time"),
        (summary(waiting=8.0, others=20.0), 4, "waited for a core in 20% of its time"),
        (summary(others=20.0), 4, "waited for a core in 50% of its time"),  # nobody counts waiting
        (summary(waiting=60.0), 8, "waited for a core in 75% of its time"),  # more threads than cores
        (summary(blocks=20.0, lowered=3.0), 1, "lowered the processor's clock in 15% of it"),
        (summary(steal=3.0, others=0.5), 1, "the host of this virtual machine took 29% of its cores' time"),
    ],
    ids=["waiting", "nearly all", "threads", "crowded", "too many threads", "throttled", "stolen"],
)
def test_runs_that_are_not_trusted(one: dict[str, float], threads: int, said: str) -> None:
    got = verdict([one], threads)
    assert got is not None
    assert got.startswith("this run can't be trusted: ")
    assert said in got
    assert got.endswith(".")


def test_totals() -> None:
    got = total_disturbance([summary(waiting=0.1), {}, summary(waiting=0.2)])
    assert got == {"wall": 20.0, "cpu": 19.8, "cores": 4.0, "blocks": 2.0, "lowered": 0.0, "waiting": 0.3}
    assert total_disturbance([]) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_observing_costs_little() -> None:
    seen = Disturbance(is_serial=True)
    seen.start()
    best = min(_seconds(seen) for _ in range(5))
    seen.stop()
    assert best < 1e-4  # per run; about 1 us a thread


def _seconds(seen: Disturbance) -> float:
    begin = time.process_time()
    for _ in range(100):
        seen.waited()
    return (time.process_time() - begin) / 100
