"""The converting process: what it answers, and what a crash or a hang of the converter costs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.converting import converter as converter_module
from hwnas_surrogate.measure.converting.converter import Converter
from tests.measure.converting.stub import stub_python

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the interpreter of these tests is a shell script")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub_python(tmp_path_factory.mktemp("stub"))


@pytest.fixture(scope="module")
def converter(python: Path) -> Iterator[Converter]:
    with Converter(python, timeout=60) as found:
        yield found


def program(folder: Path, batch: int) -> Path:
    archive = io.BytesIO()
    torch.export.save(torch.export.export(nn.ReLU(), (torch.zeros(batch, 3),)), archive)
    path = folder / f"{batch}.pt2"
    path.write_bytes(archive.getvalue())
    return path


def test_a_failure_and_a_crash_cost_one_network(converter: Converter, tmp_path: Path) -> None:
    out = tmp_path / "out"
    converter.convert(program(tmp_path, 1), out)
    assert out.read_text() == "(1, 3)"
    with pytest.raises(MeasurementError, match="litert-torch can't convert it: ValueError: no such operator"):
        converter.convert(program(tmp_path, 4), out)
    with pytest.raises(MeasurementError, match="the converting process ended with signal SIGSEGV"):
        converter.convert(program(tmp_path, 2), out)
    converter.convert(program(tmp_path, 6), out)
    assert out.read_text() == "(6, 3)"


def test_a_damaged_program_is_a_failure(converter: Converter, tmp_path: Path) -> None:
    (tmp_path / "bad.pt2").write_bytes(b"PK nothing")
    with pytest.raises(MeasurementError, match="litert-torch can't convert it"):
        converter.convert(tmp_path / "bad.pt2", tmp_path / "out")


def test_an_exit_is_explained_by_what_was_said_last(converter: Converter, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match=r"the converting process ended with exit status 7: out of luck"):
        converter.convert(program(tmp_path, 5), tmp_path / "out")


def test_a_hang_is_ended(python: Path, tmp_path: Path) -> None:
    hung = pytest.raises(MeasurementError, match="converting it took longer than 1 s")
    with Converter(python, timeout=1) as converter, hung:
        converter.convert(program(tmp_path, 3), tmp_path / "out")


def test_an_interpreter_that_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no module named litert_torch >&2\nexit 3\n")
    with pytest.raises(MeasurementError, match=r"can't start .*: Permission denied"):
        Converter(broken, 10).convert(tmp_path / "x", tmp_path / "y")
    broken.chmod(0o755)
    with pytest.raises(MeasurementError, match="ended with exit status 3: no module named litert_torch"):
        Converter(broken, 10).convert(tmp_path / "x", tmp_path / "y")


def test_it_is_another_process_after_many(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Converter] = []
    start = Converter._start

    def counted(self: Converter) -> None:
        started.append(self)
        start(self)

    monkeypatch.setattr(Converter, "_start", counted)
    monkeypatch.setattr(converter_module, "MOST", 2)
    path = program(tmp_path, 1)
    with Converter(python, timeout=60) as converter:
        for number in range(3):
            converter.convert(path, tmp_path / f"{number}")
    assert len(started) == 2


def test_it_ends_with_its_parent(python: Path, tmp_path: Path) -> None:
    path = program(tmp_path, 3)  # it hangs in the converter
    code = (
        "from pathlib import Path; from hwnas_surrogate.measure.converting.converter import Converter; "
        f"c = Converter(Path({str(python)!r}), 600); c._start(); print(c._process.pid, flush=True); "
        f"c.convert(Path({str(path)!r}), Path({str(tmp_path / 'out')!r}))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        number = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _runs(number) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(number)


def _runs(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
