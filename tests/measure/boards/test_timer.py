"""Measuring on boards: a real SSH server on the loopback interface, and a runtime there that does what files say."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.capture import given_networks
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure import (
    OnnxRuntime,
    Protocol,
    Setting,
    Torch,
    measure,
    measure_networks,
    measure_several,
)
from hwnas_surrogate.measure.boards import parse_board, timer
from hwnas_surrogate.runner import timing
from hwnas_surrogate.spaces import NASBench201Config, get_space
from tests.measure.fake_board import FakeBoard, Scripted
from tests.measure.sshd import Sshd, running

SPACE = get_space("nasbench201")
TINY = NASBench201Config(C=4, N=1, height=8, width=8)
QUICK = Protocol(passes=2, repeats=3, max_repeats=3, half_width=9.0)
ROOT = Path(__file__).parents[3]
ANCHOR = SPACE.sample(1, random_state=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("server")) as running_server:
        running_server.config.write_text(running_server.config.read_text().replace("Host board", "Host board other"))
        yield running_server


@pytest.fixture
def fake(tmp_path: Path) -> FakeBoard:
    return FakeBoard(tmp_path / "fake")


@pytest.fixture
def board(server: Sshd, fake: FakeBoard) -> str:
    return server.url(python=str(fake.python))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "mine.parquet"


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that no process and no folder of a test is left on the board."""
    yield
    server: Sshd = request.getfixturevalue("server")
    base = server.home / ".cache" / "hwnas-runner"
    until = time.monotonic() + 10
    while (left := [*runners(server), *base.glob("*/")]) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []
    assert not (server.home / ".cache" / "Microsoft").exists()  # ONNX Runtime's telemetry


def runners(server: Sshd) -> list[int]:
    """Return the processes of the runner on the board."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(os.fsencode(server.home)) and word.endswith(b"run.py") for word in words):
            found.append(int(folder.name))
    return found


def text_of(arch: Any) -> str:
    return "".join(map(str, np.ravel(SPACE.as_array(arch)).tolist()))


def scripted(**deeds: str) -> Scripted:
    """Return a runtime by what networks do: ``_7="crash-load"`` is the one of index 7."""
    return Scripted(deeds=tuple((text_of(SPACE.at(int(name[1:]))), deed) for name, deed in deeds.items()))


def journal_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{output}.journal").read_text().splitlines()]


def timed_runs(output: Path) -> Counter[tuple[int, str]]:
    """Return how often each network was timed in each pass, as the journal holds it."""
    runs: Counter[tuple[int, str]] = Counter()
    for entry in journal_of(output)[1:]:
        if "pass" in entry:
            number, keys = entry["pass"], [key[0] for key in entry["subjects"]]
        for place in entry.get("ns", {}):
            if int(place):
                runs[number, keys[int(place) - 1]] += 1
    return runs


class Once:
    """A progress function that does something once: at the first call with so many networks done."""

    def __init__(self, done: int, deed: Callable[[], object]) -> None:
        self.done, self.deed, self.calls = done, deed, 0

    def __call__(self, done: int, total: int) -> None:
        if done >= self.done and not self.calls:
            self.calls += 1
            self.deed()


def when_running(fake: FakeBoard, runs: int, deed: Callable[[], object], what: str = "run") -> threading.Thread:
    """Do something when so many timed runs, or profiles, have begun on the board."""

    def wait() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and len(fake.log(what)) < runs:
            time.sleep(0.005)
        deed()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def interrupt() -> None:
    raise KeyboardInterrupt


class TestTheTable:
    def test_is_that_of_this_host_but_for_the_device(self, server: Sshd, output: Path, tmp_path: Path) -> None:
        archs, configs = [5, 6, 7], [TINY, TINY, NASBench201Config(C=4, N=2, height=8, width=8)]
        here = measure(SPACE, archs, tmp_path / "here.parquet", configs, runtime=OnnxRuntime(), protocol=QUICK)
        url = server.url(name="pi4")
        there = measure(SPACE, archs, output, configs, runtime=OnnxRuntime(), protocol=QUICK, board=url)
        assert np.array_equal(there.archs, here.archs)
        assert there.row_configs == here.row_configs
        assert (there.costs > 0).all()
        assert there.repeats is not None
        assert here.repeats is not None
        assert there.repeats.shape == here.repeats.shape
        assert there.meta.keys() == here.meta.keys()
        assert there.meta["protocol"] == here.meta["protocol"]
        assert [str(target) for target in there.targets] == ["pi4-onnxruntime-1t/latency"]
        (device,), (local,) = there.devices.values(), here.devices.values()
        assert replace(device, name=local.name) == local  # the board is this machine
        environment = there.meta["environment"]
        assert environment["board"] == "ssh://board"
        assert environment["processor"] == device.hardware
        assert "torch" in environment["host"]
        read = load_table(output)
        assert isinstance(read, CostTable)
        assert read.fingerprint == there.fingerprint
        assert read.meta == there.meta

    def test_of_a_batch_and_cold(self, server: Sshd, output: Path) -> None:
        how = Protocol(passes=1, repeats=2, max_repeats=2, half_width=9.0)
        runtime = OnnxRuntime(batch=4, cold=True)
        table = measure(SPACE, [5], output, TINY, runtime=runtime, protocol=how, board=server.url())
        (device,) = table.devices.values()
        assert (device.name, device.batch) == ("board-onnxruntime-1t-b4-cold", 4)
        assert "cold" in device.conditions
        assert table.costs[0, 0] > 1.0  # opening a session takes milliseconds, the network microseconds

    def test_of_a_file_with_its_weights_beside_it(self, server: Sshd, output: Path, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx")
        weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
            "net",
            [onnx.helper.make_tensor_value_info("x", 1, [1, 64])],
            [onnx.helper.make_tensor_value_info("y", 1, [1, 64])],
            [onnx.numpy_helper.from_array(weights, "w")],
        )
        path = tmp_path / "mine" / "net.onnx"
        (path.parent / "data").mkdir(parents=True)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, path, save_as_external_data=True, location="data/net.bin", size_threshold=0)
        assert (path.parent / "data" / "net.bin").stat().st_size == weights.nbytes
        networks = given_networks([path])
        table = measure_networks(networks, output, runtime=OnnxRuntime(), protocol=QUICK, board=server.url())
        assert table.why_missing().iloc[0, 0] == ""
        assert table.costs[0, 0] > 0

    def test_up_to_a_time_limit(self, board: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timing, "BLOCK", 2)
        slow, how = Scripted(deeds=(("*", "slow"),)), replace(QUICK, passes=1)
        for limit in (2.5, 10.0, 30.0):  # the start takes long on a machine that has more to do
            with contextlib.suppress(MeasurementError):
                table = measure(
                    SPACE, range(500), output, TINY, runtime=slow, protocol=how, board=board, time_limit=limit
                )
                break
        left = table.meta["protocol"]["left"]
        assert 0 < left < 500
        assert len(table) == 500 - left


class TestLostConnections:
    def test_one_goes_on_by_itself_and_nothing_is_lost(
        self, server: Sshd, fake: FakeBoard, board: str, output: Path
    ) -> None:
        how = Protocol(passes=2, repeats=5, max_repeats=5, half_width=9.0)
        cut = when_running(fake, 14, lambda: server.sessions(signal.SIGKILL))
        slow = Scripted(deeds=(("*", "slow"),))
        table = measure(SPACE, range(30, 34), output, TINY, runtime=slow, protocol=how, board=board)
        cut.join()
        assert (table.costs > 0).all()
        runs, blocks = timed_runs(output), [entry["subjects"] for entry in journal_of(output) if "pass" in entry]
        assert len(blocks) == 3  # that of the cut, the same again, and that of the second pass
        assert min(runs.values()) >= 5
        assert len(runs) == 8
        before = sum("ns" in entry for entry in journal_of(output))
        assert before >= 11
        assert fake.log("load").count(text_of(SPACE.at(30))) == 3

    def test_a_board_that_is_away_for_good(
        self, server: Sshd, fake: FakeBoard, board: str, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(timer, "PATIENCE", 0.5)
        monkeypatch.setattr(timer, "PAUSE", 0.1)
        archs, how = range(30, 52), replace(QUICK, passes=1)
        runtime = scripted(_30="slow")
        with contextlib.ExitStack() as stack:
            leave = Once(16, lambda: stack.enter_context(server.away()))  # after the first block
            with pytest.raises(MeasurementError) as error:
                measure(SPACE, archs, output, TINY, runtime=runtime, protocol=how, board=board, progress=leave)
        message = str(error.value)
        assert message.startswith("lost the connection to board ssh://board: it closed the connection")
        assert ". It did not come back within 0.5 s: can't use board ssh://board: it refused the connection" in message
        assert message.endswith("What was measured is kept: run the same command again to go on.")
        before = timed_runs(output)
        assert len(before) == 16
        table = measure(SPACE, archs, output, TINY, runtime=runtime, protocol=how, board=board)
        assert len(table) == 22
        assert (table.costs > 0).all()
        after = timed_runs(output)
        assert {key: after[key] for key in before} == before  # nothing was measured twice
        assert len(after) == 22

    def test_a_time_limit_that_passes_while_it_is_away(
        self, server: Sshd, board: str, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        passed = [0.0]

        def sleep(seconds: float) -> None:  # until the board is back: the time limit is over then
            passed.append(1000.0)

        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[-1], sleep=sleep)
        monkeypatch.setattr(timer, "time", clock)
        monkeypatch.setattr(timing, "BLOCK", 2)
        how = replace(QUICK, passes=1)
        with contextlib.ExitStack() as stack:
            leave = Once(2, lambda: stack.enter_context(server.away()))
            table = measure(
                SPACE, range(30, 36), output, TINY, runtime=Scripted(), protocol=how, board=board, progress=leave,
                time_limit=900.0,
            )  # fmt: skip
        assert table.meta["protocol"]["left"] == 4

    def test_a_network_that_ends_the_connection_each_time(
        self, server: Sshd, fake: FakeBoard, board: str, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(timer, "PAUSE", 0.1)
        monkeypatch.setattr(timing, "MOST_LOST", 2)
        text = text_of(SPACE.at(31))
        stop = threading.Event()

        def cut() -> None:
            seen = 0
            while not stop.wait(0.005):
                if fake.log("load").count(text) > seen:
                    seen = fake.log("load").count(text)
                    server.sessions(signal.SIGKILL)

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            table = measure(
                SPACE, [30, 31], output, TINY, runtime=scripted(_31="hang-load"), protocol=replace(QUICK, passes=1),
                board=board,
            )  # fmt: skip
        finally:
            stop.set()
            thread.join()
        assert table.costs[0, 0] > 0
        reason = table.why_missing().iloc[1, 0]
        assert reason.startswith("lost the connection to board ssh://board")
        assert reason.endswith("2 times while it was loaded or run")


class TestProfiles:
    """Times of operators come back from a board like runs, after the passes."""

    def test_they_may_be_added_to_a_finished_measurement(self, server: Sshd, output: Path) -> None:
        how, url = Protocol(passes=1, repeats=2, max_repeats=2, half_width=9.0), server.url()
        first = measure(SPACE, [5, 8000], output, TINY, runtime=OnnxRuntime(), protocol=how, board=url)
        before = timed_runs(output)
        how = replace(how, profile=3)
        table = measure(SPACE, [5, 8000], output, TINY, runtime=OnnxRuntime(), protocol=how, board=url)
        assert timed_runs(output) == before
        assert np.array_equal(table.costs, first.costs)
        assert table.meta["profile"] == {"networks": 2, "failed": {}}
        read = load_table(output)
        assert isinstance(read, CostTable)
        for arch, times, kept in zip(
            table.archs, table.operators[table.targets[0]], read.operators[table.targets[0]], strict=True
        ):
            assert times is not None
            assert np.array_equal(times, kept)  # type: ignore[arg-type]
            graph = SPACE.graph(arch, TINY)
            assert (times[[node.op.kind == "conv" for node in graph.nodes]] > 0).all()

    def test_a_connection_that_is_cut_costs_nothing(
        self, server: Sshd, fake: FakeBoard, board: str, output: Path
    ) -> None:
        how = replace(QUICK, passes=1, profile=3)
        cut = when_running(fake, 2, lambda: server.sessions(signal.SIGKILL), "profile")
        runtime = scripted(_30="slow", _31="slow", _32="slow", _33="refuse-profile")
        table = measure(SPACE, range(30, 34), output, TINY, runtime=runtime, protocol=how, board=board)
        cut.join()
        assert (table.costs > 0).all()
        assert set(timed_runs(output).values()) == {3}
        entries = journal_of(output)
        assert sum("profile" in entry for entry in entries[1:]) == 2  # the block, and what was left of it
        operators = [entry["operators"] for entry in entries if "operators" in entry]
        assert operators == [[["a", "Conv", 1.5, 4, 4]]] * 3  # each network once
        failed = table.meta["profile"]["failed"]
        assert failed.pop(table.names[3]) == f"ValueError: no kernel for {text_of(SPACE.at(33))}"
        assert set(failed) == set(table.names[:3])  # no network of NAS-Bench-201 has one operator
        assert all(why.startswith("the profile is not one of this network") for why in failed.values())


class TestInterrupts:
    def test_one_between_blocks(self, board: str, output: Path) -> None:
        stop, how = Once(16, interrupt), replace(QUICK, passes=1)
        with pytest.raises(KeyboardInterrupt):
            measure(SPACE, range(30, 50), output, TINY, runtime=Scripted(), protocol=how, board=board, progress=stop)
        assert len(timed_runs(output)) == 16
        table = measure(SPACE, range(30, 50), output, TINY, runtime=Scripted(), protocol=how, board=board)
        assert set(timed_runs(output).values()) == {3}
        assert len(table) == 20

    def test_one_in_the_middle_of_a_block(self, fake: FakeBoard, board: str, output: Path) -> None:
        slow = Scripted(deeds=(("*", "slow"),))
        how = Protocol(passes=1, repeats=500, max_repeats=500, half_width=9.0)
        key = when_running(fake, 40, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            measure(SPACE, range(30, 40), output, TINY, runtime=slow, protocol=how, board=board)
        key.join()
        assert timed_runs(output)

    def test_a_kill_of_the_process_here(self, server: Sshd, fake: FakeBoard, board: str, output: Path) -> None:
        program = f"""
from pathlib import Path
from hwnas_surrogate.measure import Protocol, measure
from tests.measure.fake_board import Scripted
how = Protocol(passes=1, repeats=500, max_repeats=500, half_width=9.0)
measure("nasbench201", range(30, 40), Path({str(output)!r}), {str(TINY)!r}, runtime=Scripted(deeds=(("*", "slow"),)),
        protocol=how, board={board!r})
"""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)
        until = time.monotonic() + 60
        while len(fake.log("run")) < 40 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert len(runners(server)) == 2
        process.kill()
        process.wait()
        assert timed_runs(output)


class TestBadBoards:
    def test_no_runtime(self, server: Sshd, fake: FakeBoard, output: Path) -> None:
        (fake.folder / "onnxruntime.py").write_text("raise ImportError(\"No module named 'onnxruntime'\")")
        with pytest.raises(MeasurementError) as error:
            measure(SPACE, [5], output, TINY, runtime=Scripted(), board=server.url(python=str(fake.python)))
        assert str(error.value) == (
            f"board ssh://board can't run onnxruntime: {sys.executable} can't import onnxruntime (No module named "
            "'onnxruntime'). Install it for this Python."
        )
        assert not output.exists()
        assert not Path(f"{output}.journal").exists()

    def test_a_runtime_that_crashes_when_it_is_imported(self, fake: FakeBoard, board: str, output: Path) -> None:
        (fake.folder / "onnxruntime.py").write_text("import os; os.abort()")
        with pytest.raises(MeasurementError, match=r"can't run onnxruntime: .*SIGABRT"):
            measure(SPACE, [5], output, TINY, runtime=Scripted(), board=board)

    @pytest.mark.parametrize("clock", ["lambda: 7", "iter(range(10**18, 0, -999)).__next__"], ids=["stands", "back"])
    def test_a_clock_that_does_not_advance(self, server: Sshd, tmp_path: Path, output: Path, clock: str) -> None:
        fake = FakeBoard(tmp_path / "clock", f"import time; time.perf_counter_ns = {clock}")
        with pytest.raises(MeasurementError) as error:
            measure(SPACE, [5], output, TINY, runtime=Scripted(), board=server.url(python=str(fake.python)))
        assert str(error.value) == (
            "nothing can be measured any more: the clock of this machine stood still or went back while a network ran."
        )
        assert not any("failed" in entry for entry in journal_of(output))

    def test_a_clock_that_jumps(self, server: Sshd, tmp_path: Path, output: Path) -> None:
        # By an hour, in one of 40 readings: the timeout is over, and one run of the timed ones takes an hour.
        jump = """
import itertools, time
for name, hour in ("monotonic", 3600.0), ("monotonic_ns", 3600 * 10**9), ("perf_counter_ns", 3600 * 10**9):
    def jumping(clock=getattr(time, name), count=itertools.count(), hour=hour):
        return clock() + hour * (next(count) // 40)
    setattr(time, name, jumping)
"""
        fake = FakeBoard(tmp_path / "clock", jump)
        how = Protocol(passes=1, repeats=12, max_repeats=12, half_width=9.0)
        url = server.url(python=str(fake.python))
        table = measure(SPACE, [5, 6], output, TINY, runtime=Scripted(), protocol=how, board=url)
        assert (table.costs < 10).all()

    def test_no_space_for_the_networks(self, board: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timer, "SPARE", 1 << 60)
        how = replace(QUICK, passes=1)
        table = measure(SPACE, range(30, 33), output, TINY, runtime=Scripted(), protocol=how, board=board)
        blocks = [len(entry["subjects"]) for entry in journal_of(output) if "pass" in entry]
        assert blocks == [3, 2, 1, 1, 1]  # they are split until they are single
        assert (table.costs > 0).all()
        assert set(timed_runs(output).values()) == {3}

    def test_little_memory(self, board: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        started = timer.BoardTimer._started

        def little(self: timer.BoardTimer) -> Any:
            runner = started(self)
            runner.welcome["conditions"]["memory_free_mb"] = 5.0
            return runner

        monkeypatch.setattr(timer.BoardTimer, "_started", little)
        big = Scripted(deeds=(("*", "big"),))
        table = measure(SPACE, range(30, 34), output, TINY, runtime=big, protocol=replace(QUICK, passes=1), board=board)
        assert [len(entry["subjects"]) for entry in journal_of(output) if "pass" in entry] == [4, 2, 2]
        assert (table.costs > 0).all()

    def test_a_disk_that_is_too_small_for_a_network(self, server: Sshd, fake: FakeBoard, output: Path) -> None:
        disk = fake.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True).returncode:
            pytest.skip("no small disk can be mounted here")
        url = server.url(python=str(fake.python), folder=str(disk))
        runtime = scripted(_31="huge")
        try:
            with pytest.raises(MeasurementError) as error:
                measure(SPACE, range(30, 33), output, TINY, runtime=runtime, protocol=QUICK, board=url)
        finally:
            subprocess.run(["umount", "-l", disk], check=True)
        assert str(error.value).startswith(
            f"can't use board ssh://board: it has no space left for {disk}/hwnas-runner/"
        )
        assert str(error.value).endswith(" MB to copy); free some, or name another folder with ?folder=.")
        assert min(map(len, (entry["subjects"] for entry in journal_of(output) if "pass" in entry))) == 1

    def test_a_disk_here_that_is_full(self, board: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Scripted, "convert", full)
        with pytest.raises(
            MeasurementError, match=r"can't prepare networks for board ssh://board in .*: No space left"
        ):
            measure(SPACE, [5, 6], output, TINY, runtime=Scripted(), board=board)
        assert not any("failed" in entry for entry in journal_of(output))


class TestBadNetworks:
    def test_each_costs_itself_only(self, fake: FakeBoard, board: str, output: Path) -> None:
        runtime = scripted(_31="crash-load", _32="crash-run", _33="refuse-load", _34="unconvertible", _35="hang-run")
        how = replace(QUICK, timeout=1.0)
        table = measure(SPACE, range(30, 38), output, TINY, runtime=runtime, protocol=how, board=board)
        reasons = table.why_missing().iloc[:, 0].tolist()
        crash = "the measuring process ended with signal SIGSEGV (a fault in the runtime's native code)"
        assert reasons == [
            "",
            crash,
            crash,
            f"ValueError: no kernel for {text_of(SPACE.at(33))}",
            f"ValueError: no converter for {text_of(SPACE.at(34))}",
            "loading it, or running it once, took longer than 1 s",
            "",
            "",
        ]
        assert np.isnan(table.costs[:, 0]).tolist() == [reason != "" for reason in reasons]
        assert len(fake.log("load")) < 45

    def test_one_with_which_the_runner_itself_dies(
        self, server: Sshd, fake: FakeBoard, board: str, output: Path
    ) -> None:
        def kill() -> None:
            for pid in runners(server):
                os.kill(pid, signal.SIGKILL)

        slow = Scripted(deeds=(("*", "slow"),))
        death = when_running(fake, 6, kill)
        table = measure(SPACE, [30, 31], output, TINY, runtime=slow, protocol=replace(QUICK, passes=2), board=board)
        death.join()
        assert (table.costs > 0).all()
        assert min(timed_runs(output).values()) >= 3

    def test_an_anchor_that_does_not_run(self, board: str, output: Path) -> None:
        runtime = Scripted(deeds=((text_of(ANCHOR), "refuse-load"),))
        with pytest.raises(MeasurementError, match=r"the anchor network .* can't be run: ValueError: no kernel for"):
            measure(SPACE, [5], output, TINY, runtime=runtime, board=board)


class TestRefused:
    def test_a_runtime_of_this_host(self, board: str, output: Path) -> None:
        with pytest.raises(
            InvalidInputError, match=r"runtime torch runs networks of this host only; .*: onnxruntime, "
        ):
            measure(SPACE, [5], output, TINY, runtime=Torch(), board=board)

    def test_energy(self, board: str, output: Path) -> None:
        with pytest.raises(InvalidInputError, match="energy is counted on this host only"):
            measure(SPACE, [5], output, TINY, runtime=Scripted(), protocol=replace(QUICK, energy=True), board=board)


class TestSeveralBoards:
    def measured(self, settings: list[Setting], output: Path, **more: Any) -> CostTable:
        def one(path: Path, **setting: Any) -> CostTable:
            return measure(SPACE, range(30, 33), path, TINY, protocol=QUICK, **setting)

        return measure_several(one, settings, output, **more)

    def test_at_once_and_one_of_them_fails(self, server: Sshd, fake: FakeBoard, output: Path, tmp_path: Path) -> None:
        broken = FakeBoard(tmp_path / "broken")
        (broken.folder / "onnxruntime.py").write_text("raise ImportError('libsomething.so is missing')")

        def settings() -> list[Setting]:
            places = [server.url(python=str(fake.python)), server.url("other", python=str(broken.python))]
            return [Setting(Scripted(), parse_board(url)) for url in places]

        with pytest.raises(MeasurementError) as error:
            self.measured(settings(), output)
        assert str(error.value) == (
            "1 of 2 settings failed. other-scripted-1t: board ssh://other can't run onnxruntime: "
            f"{sys.executable} can't import onnxruntime (libsomething.so is missing). Install it for this Python. What "
            f"was measured is kept in {output}.parts: run the same command again to go on."
        )
        assert not output.exists()
        loaded = len(fake.log("load"))
        FakeBoard(broken.folder)  # mended
        progress: list[tuple[int, int]] = []
        table = self.measured(settings(), output, progress=lambda *done: progress.append(done))
        assert list(map(str, table.targets)) == ["board-scripted-1t/latency", "other-scripted-1t/latency"]
        assert (table.costs > 0).all()
        assert len(fake.log("load")) == loaded  # nothing was measured again
        assert progress[-1] == (12, 12)

    def test_an_interrupt_ends_all(self, server: Sshd, fake: FakeBoard, output: Path) -> None:
        slow = Scripted(deeds=(("*", "slow"),))
        settings = [
            Setting(slow, parse_board(server.url(name, python=str(fake.python)))) for name in ("board", "other")
        ]
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            self.measured(settings, output, progress=Once(3, interrupt))
        assert time.monotonic() - begin < 30
