"""Forms of exported networks, filled in by ``python run.py``, with a runtime that does what the files say."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import Target, read_measurements
from hwnas_surrogate.measure import export_networks
from hwnas_surrogate.measure.runner_file import runner_source
from hwnas_surrogate.spaces import get_space
from tests.measure.fake_board import FakeBoard

SPACE = get_space("nasbench201")
TINY = "C4-N1-k10-3x8x8"
SHORT = ["--passes", "2", "--repeats", "3", "--max-repeats", "3"]


@pytest.fixture
def board(tmp_path: Path) -> FakeBoard:
    return FakeBoard(tmp_path / "fake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as hwnas export writes it, with three networks for the fake runtime."""
    return write(tmp_path / "networks", "fine", "fine", "fine")


def write(folder: Path, *deeds: str) -> Path:
    """Write a folder with networks that do something."""
    folder.mkdir()
    (folder / "run.py").write_text(runner_source(".onnx"))
    entries, lines = [], []
    for number, deed in enumerate(deeds):
        name, content = f"network-{number:05d}.onnx", f"{deed} {number}".encode()
        (folder / name).write_bytes(content)
        run = {
            "files": [name],
            "sha256": [hashlib.sha256(content).hexdigest()],
            "inputs": [["image", "float32", [1, 3, 8, 8]]],
            "outputs": None,
            "tolerance": None,
        }
        entries.append({"file": name, "run": run})
        line = {"file": name, "architecture": SPACE.format(SPACE.at(number)[0]), "config": TINY, "metric": "latency"}
        lines.append({**line, "device": "", "value": "", "unit": "ms", "note": ""})
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "networks": entries}))
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return folder


def fill(board: FakeBoard, folder: Path, *more: str, code: int = 0, device: str = "my-board") -> str:
    """Run the program, and return what it says."""
    command = [str(board.python), str(folder / "run.py"), *(SHORT if "--passes" not in more else []), *more]
    command += ["--device", device] if device else []
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def form(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def column(folder: Path, name: str) -> list[str]:
    return [line[name] for line in form(folder)]


def journal(folder: Path, device: str = "my-board") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"results.csv.{device}.journal").read_text().splitlines()]


def test_values_are_times_of_the_networks(board: FakeBoard, tmp_path: Path) -> None:
    folder = write(tmp_path / "networks", "fine", "slow", "fine")
    said = fill(board, folder)
    summary = f"3 networks measured, 0 failed, written to {folder / 'results.csv'} as my-board (onnxruntime 0.fake CPU)"
    assert summary in said
    assert "6 of 6 networks and passes" in said
    assert [(line["device"], line["metric"], line["unit"], line["note"]) for line in form(folder)] == [
        ("my-board", "latency", "ms", "")
    ] * 3
    fast, slow, other = map(float, column(folder, "value"))
    assert 0.05 < fast < 10
    assert 0.05 < other < 10
    assert 10 < slow < 200
    table = read_measurements(folder / "results.csv")
    assert list(map(str, table.targets)) == ["my-board/latency"]
    assert np.allclose(table.costs[:, 0], [fast, slow, other])


def test_empty_lines_and_fields_of_a_spreadsheet_are_no_networks(board: FakeBoard, folder: Path) -> None:
    path = folder / "results.csv"
    header, *lines = path.read_text().splitlines()
    n_fields = len(header.split(","))
    empty = ["," * (n_fields - 1), "", " " + "," * (n_fields + 1)]
    path.write_text("\n".join([header + ",", *(line + ",," for line in lines), *empty]) + "\n")
    fill(board, folder)
    assert column(folder, "file") == [f"network-{number:05d}.onnx" for number in range(3)]
    assert read_measurements(path).costs.shape == (3, 1)


def test_what_fails_costs_itself_only(board: FakeBoard, tmp_path: Path) -> None:
    # The first network is one of them: another one is the anchor then.
    folder = write(tmp_path / "networks", "refuse-load", "crash-run", "hang-run", "fine", "fine")
    said = fill(board, folder, "--timeout", "1")
    assert "2 networks measured, 3 failed" in said
    assert column(folder, "note") == [
        "ValueError: no kernel for 0",
        "the measuring process ended with signal SIGSEGV (a fault in the runtime's native code)",
        "loading it, or running it once, took longer than 1 s",
        "",
        "",
    ]
    values = column(folder, "value")
    assert values[:3] == ["failed"] * 3
    assert all(float(value) > 0 for value in values[3:])
    table = read_measurements(folder / "results.csv")
    assert table.why_missing().iloc[:, 0].tolist() == column(folder, "note")


def test_nothing_runs(board: FakeBoard, tmp_path: Path) -> None:
    folder = write(tmp_path / "networks", "refuse-load", "refuse-load")
    before = (folder / "results.csv").read_bytes()
    assert fill(board, folder, code=1) == (
        "error: no network of the form can be run here; network-00000.onnx: ValueError: no kernel for 0.\n"
    )
    assert (folder / "results.csv").read_bytes() == before


def test_a_kill_in_the_middle_costs_what_was_in_hand(board: FakeBoard, tmp_path: Path) -> None:
    folder = write(tmp_path / "networks", "slow", "slow", "slow")
    before = (folder / "results.csv").read_bytes()
    command = [str(board.python), str(folder / "run.py"), *SHORT, "--device", "my-board"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    path = folder / "results.csv.my-board.journal"
    until = time.monotonic() + 30
    while time.monotonic() < until and (not path.exists() or path.read_text().count('"pass":1') == 0):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "results.csv").read_bytes() == before
    kept = journal(folder)
    fill(board, folder)
    assert journal(folder)[: len(kept)] == kept
    assert [entry["pass"] for entry in journal(folder) if "pass" in entry] == [0, 1, 1]
    assert all(float(value) > 10 for value in column(folder, "value"))


def test_an_interrupt_says_how_to_go_on(board: FakeBoard, tmp_path: Path) -> None:
    folder = write(tmp_path / "networks", "slow", "slow")
    command = [str(board.python), str(folder / "run.py"), "--repeats", "999", "--device", "my-board"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while time.monotonic() < until and not board.log("run"):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.endswith("\nstopped; what was measured is kept: run the same command again to go on\n")
    assert "Traceback" not in said
    time.sleep(0.3)
    runs = len(board.log("run"))
    time.sleep(0.3)
    assert len(board.log("run")) == runs  # the measuring process has ended too


def test_several_devices_in_one_form(board: FakeBoard, folder: Path) -> None:
    lines = form(folder)
    lines[1].update(device="by-hand", value="7.5")
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    fill(board, folder, device="first")
    fill(board, folder, device="second")
    first = form(folder)
    fill(board, folder, device="second", code=0)  # nothing is left to do
    assert form(folder) == first
    table = read_measurements(folder / "results.csv")
    assert sorted(map(str, table.targets)) == ["by-hand/latency", "first/latency", "second/latency"]
    costs = {target.device: table.costs[:, place] for place, target in enumerate(table.targets)}
    assert np.isnan(costs["by-hand"]).tolist() == [True, False, True]
    assert costs["by-hand"][1] == 7.5
    assert (costs["first"] > 0).all()
    assert (costs["second"] > 0).all()


def test_the_default_device_is_this_machine_and_runtime(board: FakeBoard, folder: Path) -> None:
    fill(board, folder, device="")
    assert set(column(folder, "device")) == {f"{os.uname().nodename}-onnxruntime-1t"}


class TestRefused:
    def test_other_files_than_were_exported(self, board: FakeBoard, folder: Path) -> None:
        path = folder / "network-00001.onnx"
        path.write_bytes(path.read_bytes() + b" ")
        said = fill(board, folder, code=1)
        assert said == f"error: {path} is not the file that was exported. Copy the folder again.\n"
        path.unlink()
        said = fill(board, folder, code=1)
        assert said == f"error: can't read {path}: No such file or directory. Copy the folder again.\n"
        assert column(folder, "value") == [""] * 3
        assert not board.log("load")

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("manifest.json", None, "can't read the manifest {path}: No such file or directory."),
            ("manifest.json", "[]", "{path} is no manifest of hwnas export of this version."),
            ("manifest.json", '{"networks": [{"file": "a", "run": {}}]}', "{path} is no manifest of hwnas export"),
            ("manifest.json", '{"networks": []}', "the manifest does not know 'network-00000.onnx': export the"),
            ("results.csv", None, "can't read the form {path}: No such file or directory."),
            (
                "results.csv",
                "a,b\n1,2\n",
                "{path} is no form of hwnas export: it needs lines with the columns file and",
            ),
            ("results.csv", "file,value\n", "{path} is no form of hwnas export"),
            ("results.csv", "file,value\n,\n", "{path} is no form of hwnas export"),
            ("results.csv", "file,value\n,3\n", "the manifest does not know ''"),
            ("results.csv", "\xff", "can't read the form {path}"),
        ],
    )
    def test_a_folder_that_is_not_whole(
        self, board: FakeBoard, folder: Path, name: str, content: str | None, message: str
    ) -> None:
        path = folder / name
        if content is None:
            path.unlink()
        else:
            path.write_text(content, encoding="latin-1")
        said = fill(board, folder, code=1)
        assert said.startswith("error: " + message.format(path=path))
        assert said.count("\n") == 1

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--runtime", "openvino"], "error: {python} can't import openvino"),
            (["--runtime", "ncnn"], "argument --runtime: invalid choice: 'ncnn' (choose from"),
            (["--threads", "0"], "error: threads must be at least 1, got 0."),
            (["--passes", "0"], "error: passes must be an integer of at least 1, got 0."),
            (["--timeout", "nan"], "error: timeout must be a positive number such as 60.0, got nan."),
        ],
        ids=["missing", "of-other-files", "threads", "passes", "timeout"],
    )
    def test_arguments(self, board: FakeBoard, folder: Path, more: list[str], message: str) -> None:
        (board.folder / "openvino.py").write_text("raise ImportError('not here')")
        said = fill(board, folder, *more, code=2 if "choice" in message else 1)
        assert message.format(python=sys.executable) in said
        assert column(folder, "value") == [""] * 3

    def test_no_runtime_at_all(self, board: FakeBoard, folder: Path) -> None:
        for name in ("onnxruntime", "openvino"):
            (board.folder / f"{name}.py").write_text(f"raise ImportError('no {name}')")
        said = fill(board, folder, code=1)
        assert said == (
            f"error: {sys.executable} can't import onnxruntime (no onnxruntime). Install it for this "
            f"Python. {sys.executable} can't import openvino (no openvino). Install it for this Python.\n"
        )

    def test_a_folder_that_can_not_be_written(self, board: FakeBoard, folder: Path) -> None:
        if os.getuid() == 0:  # nothing is forbidden to root, but on a disk that is mounted read-only
            subprocess.run(["mount", "--bind", str(folder), str(folder)], check=False, capture_output=True)
            how = ["mount", "-o", "remount,bind,ro", str(folder)]
            if subprocess.run(how, capture_output=True).returncode:
                pytest.skip("nothing can be mounted here")
        else:
            folder.chmod(0o500)
        try:
            said = fill(board, folder, code=1)
        finally:
            if os.getuid() == 0:
                subprocess.run(["umount", str(folder)], check=True)
            folder.chmod(0o700)
        assert said.startswith(f"error: can't write {folder / 'results.csv.my-board.journal'}: ")
        assert said.count("\n") == 1

    def test_other_settings_than_before(self, board: FakeBoard, folder: Path) -> None:
        fill(board, folder)
        before = form(folder)
        said = fill(board, folder, "--threads", "2", code=1)
        assert "belongs to a measurement with other settings (different: threads)" in said
        assert form(folder) == before

    def test_more_threads_than_cores(self, board: FakeBoard, folder: Path) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        told = f"share {cores} core{'s' * (cores > 1)} of this machine: they wait for each other"
        said = fill(board, folder, "--threads", str(cores + 7))
        assert said.startswith(f"WARNING: {cores + 7} threads {told}, so that the costs are not those of {cores + 7} ")
        assert f". Use at most {cores}.\n" in said
        assert "threads share" not in fill(board, folder, "--threads", "1", device="other")

    def test_a_clock_that_stands_still(self, folder: Path, tmp_path: Path) -> None:
        board = FakeBoard(tmp_path / "clock", "import time; time.perf_counter_ns = lambda: 7")
        said = fill(board, folder, code=1)
        why = "the clock of this machine stood still or went back while a network ran"
        assert said == f"error: no network of the form can be run here; network-00000.onnx: {why}.\n"


def test_what_export_writes_is_filled_in_and_read(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs the extra onnxruntime")
    export_networks(SPACE, [5, 6, 7], tmp_path / "made", TINY)
    folder = Path(shutil.copytree(tmp_path / "made", tmp_path / "on the board"))  # as it is copied to a board
    command = [sys.executable, "-I", "run.py", "--device", "my-board", *SHORT]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 networks measured, 0 failed" in done.stderr
    table = read_measurements(folder / "results.csv", "nasbench201")
    assert table.targets == (Target("my-board", "latency"),)
    assert np.array_equal(table.archs, SPACE.at([5, 6, 7]))
    assert (table.costs > 0).all()
    assert column(folder, "note") == [""] * 3


def test_outputs_are_checked_on_the_board(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs the extra onnxruntime")
    folder = tmp_path / "made"
    manifest = json.loads(export_networks(SPACE, [5, 6], folder, TINY).read_text())
    outputs = manifest["networks"][1]["run"]["outputs"]
    outputs[0][0] += 1.0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    command = [sys.executable, "-I", str(folder / "run.py"), "--device", "my-board", *SHORT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (_, note) = column(folder, "note")
    assert "differs from PyTorch's by" in note
