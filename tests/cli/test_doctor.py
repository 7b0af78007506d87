"""``hwnas doctor``: what would spoil a measurement, as a table that fits, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import platform
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.cli.doctor import show_findings
from hwnas_surrogate.runner.conditions import read_conditions
from hwnas_surrogate.runner.findings import findings
from tests.cli.conftest import Run
from tests.measure.fake_board import FakeBoard
from tests.measure.sshd import running
from tests.runner import machines
from tests.runner.machines import machine

LAPTOP = machines.LAPTOP


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A laptop instead of this machine."""
    conditions = read_conditions(machine(tmp_path / "root", LAPTOP), seconds=0.0)
    monkeypatch.setattr("hwnas_surrogate.runner.conditions.read_conditions", lambda: conditions)
    return conditions


def test_a_table_for_people(run: Run, here: dict[str, Any]) -> None:
    out, err = run("doctor")
    assert err == ""
    assert "12th Gen Intel(R) Core(TM) i7-1260P (family 6 model 154), 16 cores, 800 MHz, governor powersave" in out
    lines = out.splitlines()
    (battery,) = (line for line in lines if line.startswith("bad"))
    assert "no power is connected" in battery
    assert "frequency scaling: sudo cpupower frequency-set -g performance" in lines
    assert "boost: echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo" in lines
    assert any(line.startswith("torch ") and "eager float32" in line for line in lines)


def test_json_holds_everything(run: Run, here: dict[str, Any]) -> None:
    got = json.loads(run("doctor", "--json", "--threads", 16)[0])
    assert got["conditions"] == here
    assert [one["what"] for one in got["findings"]] == [one.what for one in findings(here, 16)]
    assert "too few cores" in [one["what"] for one in got["findings"]]
    runtimes = {one["runtime"]: one for one in got["runtimes"]}
    assert runtimes["torch"]["usable"] is True
    assert runtimes["torch"]["installed"].startswith("torch ")


def test_csv_has_a_line_for_each_finding(run: Run, here: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(run("doctor", "--csv")[0])))
    assert [(row["what"], row["command"]) for row in rows] == [(one.what, one.command) for one in findings(here)]


def test_a_runtime_that_is_missing_has_its_command(
    run: Run, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("onnxruntime", "openvino"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    out = run("doctor", "--json")[0]
    missing = {one["runtime"]: one for one in json.loads(out)["runtimes"] if not one["usable"]}
    assert "pip install" in missing["openvino"]["installed"]
    assert "pip install" in missing["onnxruntime"]["installed"]


def test_nothing_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.runner.conditions.read_conditions", lambda: {"processor": "x", "cores": 8})
    assert "Nothing was found that would spoil a measurement here." in run("doctor")[0]
    assert run("doctor", "--csv")[0] == "severity,what,found,advice,command\n"
    assert json.loads(run("doctor", "--json")[0])["findings"] == []


def test_a_board_is_shown_by_its_name(here: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    show_findings(here, where="on pi5")
    assert "What would spoil a measurement on pi5" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["PI", "JETSON", "PHONE", "LAPTOP", "VM", "CONTAINER"])
def test_it_fits_the_terminal(
    name: str, width: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas_surrogate.cli.terminal.PIPED", width)
    conditions = read_conditions(machine(tmp_path, getattr(machines, name)), seconds=0.0)
    show_findings(conditions)
    lines = capsys.readouterr().out.splitlines()
    commands = {f"{one.what}: {one.command}" for one in findings(conditions) if one.command}
    assert commands <= set(lines)  # each on one line, to be copied
    assert max(len(line) for line in lines if line not in commands) <= width


@pytest.mark.parametrize("wrong", [("--threads", 0), ("--json", "--csv"), ("there",), ("--board",)], ids=str)
def test_bad_usage(run: Run, wrong: tuple[object, ...]) -> None:
    out, err = run("doctor", *wrong, code=2)
    assert out == ""
    assert err


def test_a_board(run: Run, tmp_path: Path) -> None:
    with running(tmp_path) as server:
        out, _ = run("doctor", "--board", server.url(name="pi"), "--json")
        got = json.loads(out)
        assert got["conditions"]["python"] == platform.python_version()
        runtimes = {one["runtime"]: one for one in got["runtimes"]}
        here = {one["runtime"]: one for one in json.loads(run("doctor", "--json")[0])["runtimes"]}
        # The board is this host, with this Python; PyTorch runs on hosts only.
        assert set(here) - set(runtimes) == {"torch", "torch-compile", "torch-cuda", "torch-cuda-compile"}
        for name, found in runtimes.items():
            if here[name]["usable"]:  # otherwise it may be a converter that is missing here, which a board needs not
                assert found == here[name]
            assert found["usable"] != found["installed"].startswith("no: ")
        assert any(one["usable"] for one in runtimes.values())
        assert list(server.home.rglob("run.py")) == []


def test_a_board_without_a_runtime_and_one_with_a_broken_one(run: Run, tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path / "fake")
    (fake.folder / "openvino.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    (fake.folder / "ncnn.py").write_text("print('hello'); raise ValueError('of another age')")
    (fake.folder / "sitecustomize.py").write_text("import sys; sys.modules['ai_edge_litert'] = None")
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        url = server.url(name="pi", python=str(fake.python))
        out, _ = run("doctor", "--board", url, "--json")
        table, _ = run("doctor", "--board", url)
    found = {one["runtime"]: one for one in json.loads(out)["runtimes"]}
    assert found["onnxruntime"] == {
        "runtime": "onnxruntime",
        "usable": True,
        "installed": "onnxruntime 0.fake CPU float32",
    }
    assert found["onnxruntime-int8"]["installed"] == "onnxruntime 0.fake CPU int8 static QDQ"
    assert (
        "this onnxruntime has no CUDAExecutionProvider; it has CPUExecutionProvider"
        in found["onnxruntime-cuda"]["installed"]
    )
    assert found["openvino"]["installed"].startswith("no: its process ended with exit status ")
    assert found["ncnn"]["installed"] == "no: ValueError: of another age"
    assert not found["litert"]["usable"]
    assert "Install it for this Python." in found["litert"]["installed"]
    lines = table.splitlines()
    assert "Runtimes on pi" in lines
    assert any(line.split() == ["onnxruntime", "onnxruntime", "0.fake", "CPU", "float32"] for line in lines)
