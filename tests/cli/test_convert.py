"""``hwnas convert``: in a process whose litert-torch is a stub; the real one is in tests/measure/converting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwnas_surrogate.errors import DownloadError
from hwnas_surrogate.measure.converting import environment
from hwnas_surrogate.measure.converting.environment import VARIABLE
from hwnas_surrogate.measure.converting.tflite import TfliteConverter
from tests.cli.conftest import Run
from tests.measure.converting.stub import stub_python

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the interpreter of these tests is a shell script")

NETWORKS = """
import torch
from torch import nn

def networks():
    torch.manual_seed(0)
    return {f"net-{batch}": (nn.Linear(3, 2).eval(), (torch.zeros(batch, 3),)) for batch in (1, 4, 6)}

broken = {"broken": (nn.Linear(3, 2).eval(), (torch.zeros(4, 3),))}
"""


@pytest.fixture
def stubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stub"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(stub_python(folder)))
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.py").write_text(NETWORKS)
    return tmp_path


def test_failures_are_listed_and_the_others_converted(run: Run, stubbed: Path) -> None:
    arguments = ("convert", "--to", "tflite", "--networks", "mine.py:networks", "--jobs", 2)
    out, err = run(*arguments, "-o", "files")
    assert out == "files\n"
    assert "net-4: litert-torch can't convert it: ValueError: no such operator" in err
    assert "2 networks converted, 1 failed; measure them with: hwnas measure --runtime litert" in err
    files = {path.name: path.read_text() for path in Path("files").iterdir()}
    assert files == {"net-1.tflite": "(1, 3)", "net-6.tflite": "(6, 3)"}
    before = {path: path.read_bytes() for path in (stubbed / "cache" / "tflite").iterdir()}
    assert len(before) == 2
    assert "not an empty folder" in run(*arguments, "-o", "files", code=2)[1]
    run(*arguments)  # resumes: only what failed is tried again
    assert {path: path.read_bytes() for path in (stubbed / "cache" / "tflite").iterdir()} == before


def test_architectures_are_converted_once(run: Run, stubbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = run("convert", "--to", "tflite", 7, 8, "--dataset", "C4-N1-k10-3x8x8", "-o", "files")
    assert "2 networks converted, 0 failed" in err
    assert [path.read_text() for path in Path("files").iterdir()] == ["(1, 3, 8, 8)"] * 2
    monkeypatch.setattr(TfliteConverter, "__init__", _fails_to_convert(TfliteConverter.__init__))
    run("convert", "--to", "tflite", 7, 8, "--dataset", "C4-N1-k10-3x8x8")


def _fails_to_convert(init: object) -> object:
    def replaced(self: TfliteConverter, timeout: float) -> None:
        init(self, timeout)  # type: ignore[operator]
        self._converter = None  # type: ignore[assignment]
        self.close = lambda: None  # type: ignore[method-assign]

    return replaced


def test_nothing_converted_is_an_error(run: Run, stubbed: Path) -> None:
    _, err = run("convert", "--to", "tflite", "--networks", "mine.py:broken", "-o", "files", code=1)
    assert "broken: litert-torch can't convert it" in err
    assert "none of the 1 networks could be converted" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", 1], "name the format to convert to: --to tflite or --to tflite-int8"),
        (["--to", "onnx"], "unknown format 'onnx'; allowed: 'tflite', 'tflite-int8'"),
        (["--to", "tflite", "-n", 1, "7"], "give either architectures, or --networks, or -n N"),
        (["--to", "tflite", "--networks", "mine.py:networks", "--space", "fbnet"], "--space belongs to architectures"),
        (["--to", "tflite", "-o", "files"], "there is nothing to write to --output"),
        (["--to", "tflite", "-n", 1, "-o", "."], "not an empty folder"),
        (["--to", "tflite", "-n", 1, "--timeout", "9"], "--timeout reads a time with its unit"),
        (["--clear", "--to", "tflite"], "--clear only removes what is kept"),
    ],
    ids=["no-format", "format", "both", "space", "output", "full", "timeout", "clear"],
)
def test_wrong_command_lines(run: Run, stubbed: Path, arguments: list[object], message: str) -> None:
    assert message in run("convert", *arguments, code=2)[1]


def test_onnx_files_are_refused(run: Run, stubbed: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    from hwnas_surrogate.networks import build_network, to_onnx

    onnx.save(to_onnx(build_network(7, "C4-N1-k10-3x8x8", random_state=0), (3, 8, 8)), "mine.onnx")
    _, err = run("convert", "--to", "tflite", "mine.onnx", code=2)
    assert "mine.onnx is an ONNX file, and litert-torch converts PyTorch modules only" in err


def test_the_environment_is_made_first_and_its_size_and_place_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))

    def install(folder: Path, say: environment.Say) -> None:
        python = environment._python_of(folder)
        python.parent.mkdir()
        python.touch()
        say("installing 60 packages")

    monkeypatch.setattr(environment, "_install", install)
    _, err = run("convert", "--to", "tflite")
    place = f"installing litert-torch in an environment of its own, {tmp_path / 'cache' / 'environments'}"
    assert err.index(place) < err.index("GB") < err.index("installing 60 packages") < err.index("is installed")
    assert "installing" not in run("convert", "--to", "tflite")[1]
    assert "1 environment" in run("convert", "--clear")[1]

    def fail(folder: Path, say: environment.Say) -> None:
        raise DownloadError("pip can't install litert-torch: no reason.")

    monkeypatch.setattr(environment, "_install", fail)
    assert "error: pip can't install litert-torch" in run("convert", "--to", "tflite", code=1)[1]
