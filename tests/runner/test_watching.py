"""The client of the measuring process: what it passes on, and how the process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure import client
from hwnas_surrogate.measure.client import Worker
from hwnas_surrogate.measure.subjects import ArchSubject
from hwnas_surrogate.runner import watching as module
from hwnas_surrogate.spaces import get_space
from tests.measure.fake_runtimes import Fake, Refusing

SPACE = get_space("nasbench201")
TINY = "C4-N1-k10-3x8x8"
ROOT = Path(__file__).parents[2]


def subject(text: str) -> ArchSubject:
    return ArchSubject("nasbench201", SPACE.format([list(map(int, text))]), TINY)


def request(*texts: str, least: int = 4, energy: bool = False) -> dict[str, Any]:
    subjects = [asdict(subject(text)) for text in texts]
    return {
        "items": subjects,
        "stop": {"least": least, "most": least, "half_width": 1.0},
        "seed": [0],
        "energy": energy,
    }


@pytest.fixture
def runtime(tmp_path: Path) -> Fake:
    return Fake(log=str(tmp_path / "log"))


class TestWorker:
    def test_a_block_from_begin_to_end(self, runtime: Fake) -> None:
        with Worker(runtime, 60.0) as worker:
            events = list(worker.time(request("111111", "000000", "333333")))
            again = list(worker.time(request("111111", "222222")))
        assert [event["event"] for event in events] == ["round"] * 4 + ["end"]
        assert all(set(event["ns"]) == {"0", "1", "2"} for event in events[:-1])
        times = np.array([[event["ns"][number] for number in "102"] for event in events[:-1]])
        assert (np.diff(np.median(times, axis=0)) > 0).all()
        # Nanoseconds: what the network spins, without what it waited for a core meanwhile.
        assert (np.median(times, axis=0) >= [1e4, 7e4, 1.9e5]).all()
        assert again[-1]["event"] == "end"
        seconds = events[-1]["seconds"]
        assert seconds["run"] >= times.sum() / 1e9
        assert seconds["load"] > 0
        assert runtime.lines("load") == ["111111", "000000", "333333", "222222"]  # the anchor once

    def test_what_raises_is_told_and_the_others_go_on(self, runtime: Fake) -> None:
        with Worker(replace(runtime, fail=("000000",)), 60.0) as worker:
            first, *rest = worker.time(request("111111", "000000", "333333"))
        assert first == {"event": "failed", "number": 1, "why": "RuntimeError: no kernel for 000000"}
        assert [set(event["ns"]) for event in rest[:-1]] == [{"0", "2"}] * 4

    @pytest.mark.parametrize(
        ("how", "why"),
        [({"crash": ("000000",)}, "signal SIGSEGV"), ({"crash_later": ("000000",)}, "MemoryError: not enough of it")],
    )
    def test_a_crash_is_told_and_the_next_block_works(self, runtime: Fake, how: dict[str, Any], why: str) -> None:
        with Worker(replace(runtime, **how), 60.0) as worker:
            *_, last = worker.time(request("111111", "000000"))
            assert last["event"] == "died"
            assert why in last["why"]
            *_, last = worker.time(request("111111", "333333"))
            assert last["event"] == "end"

    def test_the_deadline_ends_a_network_that_hangs(self, runtime: Fake) -> None:
        with Worker(replace(runtime, hang=("000000",)), 60.0) as worker:
            start = time.monotonic()
            *_, last = worker.time(request("111111", "000000", least=9), deadline=start + 0.7)
            assert last == {"event": "late"}
            assert 0.6 < time.monotonic() - start < 3
            pids = {int(line.split()[2]) for line in Path(runtime.log).read_text().splitlines() if "load" in line}
            assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    def test_energy_of_each_network(self, runtime: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        with Worker(runtime, 60.0) as worker:
            events = list(worker.time(request("111111", "000000", energy=True)))
        energies = {event["number"]: event["mj"] for event in events if event["event"] == "energy"}
        assert energies == {0: 1.0, 1: 1.0}  # the fake meter counts one millijoule a run

    def test_a_runtime_that_does_not_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HWNAS_TEST_PARENT", str(os.getpid()))
        with pytest.raises(MeasurementError, match=r"could not load the runtime: ImportError: libsomething"):
            Worker(Refusing(), 60.0).__enter__()


class TestEnds:
    """How the process ends, with one that starts quickly and acts as it is told."""

    @pytest.fixture
    def worker(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
        monkeypatch.setattr(client, "MODULE", "tests.measure.acting")
        with Worker(Fake(), 1.0) as worker:
            yield worker

    def last(self, worker: Worker, *deeds: Any, deadline: float = float("inf")) -> dict[str, Any]:
        *_, last = worker.time({"act": [deed if isinstance(deed, tuple) else (deed, None) for deed in deeds]}, deadline)
        return last

    @pytest.mark.parametrize("deed", [("sleep", 1000), ("signal", signal.SIGSTOP), "freeze"])
    def test_what_hangs_is_ended_and_told(self, worker: Worker, deed: Any) -> None:
        start = time.monotonic()
        last = self.last(worker, "begin", ("sleep", 0.2), "begin", deed)
        assert last == {"event": "died", "why": "loading it, or running it once, took longer than 1 s"}
        assert 1.15 < time.monotonic() - start < 5
        assert self.last(worker)["event"] == "end"

    @pytest.mark.skipif(not Path("/dev/stderr").exists(), reason="standard error is no file here")
    @pytest.mark.parametrize("text", ["", "a warning of a library"])
    def test_what_hangs_after_it_opened_standard_error_anew(self, worker: Worker, text: str) -> None:
        start = time.monotonic()
        assert "took longer than 1 s" in self.last(worker, "begin", ("write", text), ("sleep", 1000))["why"]
        assert time.monotonic() - start < 5
        assert self.last(worker)["event"] == "end"

    def test_a_hang_before_any_network(self, worker: Worker) -> None:
        assert "took longer than 1 s" in self.last(worker, ("sleep", 1000))["why"]

    def test_what_is_slow_within_the_timeout_may_go_on(self, worker: Worker) -> None:
        assert self.last(worker, *["begin", ("sleep", 0.3)] * 4)["event"] == "end"

    def test_a_profile_may_take_as_long_as_its_runs(self, worker: Worker) -> None:
        deeds = [("begin", None), ("sleep", 1.5)]
        *_, last = worker.time({"act": deeds, "profile": 2})
        assert last["event"] == "end"
        *_, last = worker.time({"act": [("begin", None), ("sleep", 1000)], "profile": 1})
        assert last == {"event": "died", "why": "timing its operators took longer than 2 s"}

    def test_the_deadline_comes_before_the_timeout(self, worker: Worker) -> None:
        start = time.monotonic()
        last = self.last(worker, "begin", ("sleep", 1000), deadline=start + 0.2)
        assert last == {"event": "late"}
        assert time.monotonic() - start < 3

    def test_an_answer_counts_however_late_it_is_read(self, worker: Worker) -> None:
        events = worker.time({"act": [("child", None), ("begin", None)]})
        next(events)
        time.sleep(1.2)  # as if this process had been stopped
        assert next(events)["event"] == "end"

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (signal.SIGSEGV, "SIGSEGV (a fault in the runtime's native code): a library that prints"),
            (signal.SIGKILL, "SIGKILL (probably out of memory): "),
            (signal.SIGILL, "SIGILL (an instruction that this processor lacks): "),
            (signal.SIGUSR1, "SIGUSR1: "),
            (signal.SIGRTMIN + 3, f"signal {signal.SIGRTMIN + 3}: "),
        ],
    )
    def test_signals_in_words(self, worker: Worker, number: int, words: str) -> None:
        why = self.last(worker, ("signal", number))["why"]
        assert why.startswith(f"the measuring process ended with {'' if words[0] == 's' else 'signal '}{words}")

    def test_an_exit(self, worker: Worker) -> None:
        assert self.last(worker, ("exit", 3))["why"] == "the measuring process ended with exit status 3"

    def test_one_that_closes_its_output_and_lives_on(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "END", 0.2)
        assert "closed its output without ending" in self.last(worker, "mute", ("sleep", 1000))["why"]

    def test_one_that_the_kernel_does_not_end(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        process = worker._process
        assert process is not None
        with monkeypatch.context() as patch:
            patch.setattr(module, "END", 0.2)
            patch.setattr(module.os, "killpg", Mock())
            patch.setattr(process, "kill", Mock())
            child, last = worker.time({"act": [("child", None), ("sleep", 1000)]})
        assert "took longer" in last["why"]
        os.killpg(child["parent"], signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert self.last(worker)["event"] == "end"

    def test_processes_of_the_runtime_end_too(self, worker: Worker) -> None:
        child, last = worker.time({"act": [("child", None), ("sleep", 1000)]})
        assert last["event"] == "died"
        assert_gone(child["pid"], child["parent"])

    def test_it_ends_with_a_parent_that_is_killed(self) -> None:
        script = (
            "from hwnas_surrogate.measure import client\n"
            "from tests.measure.fake_runtimes import Fake\n"
            "client.MODULE = 'tests.measure.acting'\n"
            "with client.Worker(Fake(), 100.0) as worker:\n"
            "    for event in worker.time({'act': [('child', None), ('freeze', None)]}):\n"
            "        print(event['pid'], event['parent'], worker._folder.name, flush=True)\n"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            *pids, folder = process.stdout.readline().decode().split()
            assert len(pids) == 2
            assert Path(folder).is_dir()
            process.kill()
        assert_gone(*map(int, pids))
        end = time.monotonic() + 5
        while Path(folder).exists():  # converted networks may take gigabytes
            assert time.monotonic() < end
            time.sleep(0.02)

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no memory")])
    def test_a_start_that_fails_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        monkeypatch.setattr(client, "MODULE", "tests.measure.acting")
        monkeypatch.setattr(module.threading, "Thread", Mock(side_effect=error))
        worker = Worker(Fake(), 1.0)
        with pytest.raises(type(error)):
            worker.__enter__()
        assert worker._process is worker._guard is None

    def test_a_start_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "START", 1e-3)
        with pytest.raises(MeasurementError, match=r"could not load the runtime: loading it, .* longer than 0\.001 s"):
            Worker(Fake(), 1.0).__enter__()

    def test_a_process_that_can_not_be_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
        with pytest.raises(MeasurementError, match="can't start the measuring process: No such file"):
            Worker(Fake(), 1.0).__enter__()


def assert_gone(*pids: int) -> None:
    """Check that processes have ended (they may wait to be reaped), or end at once."""
    end = time.monotonic() + 5
    while any(_read(Path(f"/proc/{pid}/stat")).rpartition(b") ")[2][:1] not in (b"", b"Z") for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    children = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if any(of in _read(path) for of in (b"hwnas_surrogate.measure.worker", b"tests.measure.acting", b"os.killpg"))
    ]
    mine = [path for path in children if f"PPid:\t{os.getpid()}\n" in _read(path.with_name("status")).decode()]
    assert not mine


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
