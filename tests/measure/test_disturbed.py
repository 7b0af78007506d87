"""Timed runs without their waiting for a core, and measurements that say whether they can be trusted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.cli import main
from hwnas_surrogate.measure import Cuda, OnnxRuntime, Protocol, Runtime, Torch, measure
from hwnas_surrogate.runner.blocks import CLOCK, BlockServer
from hwnas_surrogate.runner.onnx_engines import OnnxRuntimeEngine
from hwnas_surrogate.runner.rounds import Rounds, TimingError
from tests.measure.in_process import InProcess

TINY = "C4-N1-k10-3x8x8"
QUICK = Protocol(passes=1, repeats=2, max_repeats=2)


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.measure.session.Worker", InProcess)


def test_waiting_is_subtracted() -> None:
    clock = {"now": 0, "waited": 0}

    def run(ns: int) -> None:
        clock["now"] += ns + 700  # another process has the core in between
        clock["waited"] += 700

    runs = {number: (lambda ns=ns: run(ns)) for number, ns in enumerate((100, 2000))}

    def between() -> None:
        clock["waited"] += 5000

    clocks: dict[str, Any] = {"waited": lambda: clock["waited"], "clock": lambda: clock["now"]}
    rounds = Rounds(runs, between, np.random.default_rng(0), 3, 3, 0.02, **clocks)
    assert list(rounds) == [{0: 100, 1: 2000}] * 3


def test_a_time_is_never_negative() -> None:
    """It waits longer than it runs, by these clocks."""
    waited, now = iter(range(0, 10**6, 1000)), iter(range(10**6))
    runs = dict.fromkeys((0, 1), lambda: None)
    rounds = Rounds(runs, lambda: None, np.random.default_rng(0), 2, 2, 0.02, lambda: next(waited), lambda: next(now))
    with pytest.raises(TimingError, match="waited for a core"):
        next(iter(rounds))


@pytest.mark.parametrize("is_serial", [True, False])
def test_a_block_ends_with_what_was_observed(is_serial: bool) -> None:
    sink = io.StringIO()
    server = BlockServer(sink, bytearray(CLOCK.size))  # type: ignore[arg-type]

    def block(*items: str) -> None:
        stop = {"least": 5, "most": 5, "half_width": 0.02}
        request = {"items": items, "stop": stop, "seed": [0], "energy": False}
        server.serve(io.StringIO(json.dumps(request)), lambda _: lambda: sum(range(2000)), lambda: None, is_serial)

    block("anchor", "other")
    end: dict[str, Any] = json.loads(sink.getvalue().splitlines()[-1])
    assert end["event"] == "end"
    assert 0 < end["disturbance"]["cpu"] <= end["disturbance"]["wall"] + 0.02
    assert ("subtracted" in end["disturbance"]) <= is_serial
    block("anchor")  # nothing is timed
    assert json.loads(sink.getvalue().splitlines()[-1])["disturbance"]["wall"] == 0


@pytest.mark.parametrize(
    ("runtime", "is_serial"),
    [
        (Torch(), True),
        (Torch(2), False),
        (OnnxRuntime(), True),
        (OnnxRuntime(4), False),
        (OnnxRuntime(cold=True), False),
        (Cuda(), False),
    ],
    ids=["torch", "torch 2", "onnxruntime", "onnxruntime 4", "cold", "cuda"],
)
def test_one_thread_of_the_cpu_is_serial(runtime: Runtime, is_serial: bool) -> None:
    assert runtime.is_serial is is_serial


def test_a_table_holds_what_was_observed(tmp_path: Path) -> None:
    table = measure("nasbench201", [7, 8], tmp_path / "t.parquet", TINY, protocol=QUICK)
    assert table.meta["disturbance"]["wall"] > 0
    assert table.meta["disturbance"]["cores"] >= 1
    lines = [json.loads(line) for line in (tmp_path / "t.parquet.journal").read_text().splitlines()]
    assert lines[-1]["disturbance"]["wall"] == pytest.approx(table.meta["disturbance"]["wall"], abs=1e-3)


@pytest.mark.parametrize("said", [None, "this run can't be trusted: others were busy."])
def test_the_command_says_that_a_run_cannot_be_trusted(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hwnas_surrogate.runner.protocol.verdict", lambda summaries, threads: said)
    arguments = ["measure", "7", "--dataset", TINY, "--passes", "1", "--repeats", "2", "--max-repeats", "2"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "-o", str(tmp_path / "t.parquet")])
    assert not stop.value.code
    warned = "warning: this run can't be trusted: others were busy." in capsys.readouterr().err
    assert warned == (said is not None)


def test_an_engine_on_a_gpu_is_not_serial() -> None:
    assert OnnxRuntimeEngine(1).is_serial
    assert not OnnxRuntimeEngine(1, provider="CUDAExecutionProvider").is_serial
    assert not OnnxRuntimeEngine(2).is_serial
