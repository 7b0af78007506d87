"""ncnn: what it computes, what it can't convert, and the times of its layers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate.capture import OnnxFile
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, MissingExtraError
from hwnas_surrogate.measure.runnable import OnnxRunnable, TorchRunnable
from hwnas_surrogate.measure.runtimes import ncnn as converting
from hwnas_surrogate.measure.runtimes.ncnn import Ncnn
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.runner.ncnn_engine import NcnnEngine
from hwnas_surrogate.runner.prepared import Prepared, check_outputs

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("ncnn", reason="the extra ncnn is not installed")
pytest.importorskip("pnnx", reason="the extra ncnn is not installed")

CONFIG = "C4-N1-k10-3x8x8"


def image(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def network() -> TorchRunnable:
    return TorchRunnable(build_network(7000, CONFIG, random_state=0), (image(1, 3, 8, 8),))


class Two(nn.Module):
    """Two inputs, of which the second is read first; outputs of different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.convolution = nn.Linear(8, 4), nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"second": self.convolution(y), "first": self.linear(x), "third": self.linear(x).relu()}


class Tokens(nn.Module):
    """Whole numbers as inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(x).mean(1))


class Transform(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft2(x).abs()


class Sums(nn.Module):
    """An operator that pnnx reads from TorchScript only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).cumsum(1)


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (Two(), (image(1, 8), image(1, 3, 9, 9))),
        (Tokens(), (torch.arange(6)[None],)),
        (Sums(), (image(1, 3, 7, 7),)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish()), (image(1, 3, 7, 5),)),
    ],
    ids=["two inputs, three outputs", "whole numbers", "from TorchScript", "sizes that are no multiple of 4"],
)
def test_it_computes_what_pytorch_computes(module: nn.Module, inputs: Any, tmp_path: Path) -> None:
    prepared = Ncnn().prepare(TorchRunnable(module.eval(), inputs), tmp_path)
    session = NcnnEngine().open(prepared)
    for _ in range(2):
        check_outputs(session.outputs(), prepared)
        session.run()


def test_it_runs_onnx_files(tmp_path: Path) -> None:
    model, feed = network().onnx()
    path = tmp_path / "mine.onnx"
    path.write_bytes(model)
    prepared = Ncnn().prepare(OnnxRunnable(OnnxFile("mine", str(path))), tmp_path)
    [array] = feed.values()
    same = Prepared(prepared.files, {"in0": array}, network().expected())
    check_outputs(NcnnEngine().open(same).outputs(), same)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.onnx", "model.bin", "model.param"]


def test_what_ncnn_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="fft"):
        Ncnn().convert(TorchRunnable(Transform(), (image(1, 3, 8, 8),)), tmp_path)


def test_it_runs_batch_1_only(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="ncnn has no batch dimension, so that batch must be 1, got 2"):
        Ncnn(1, 2)
    with pytest.raises(MeasurementError, match=r"ncnn runs batch 1 only, and an input has the shape \(2, 3, 9, 9\)"):
        Ncnn().convert(TorchRunnable(nn.Conv2d(3, 4, 3), (image(2, 3, 9, 9),)), tmp_path)


def test_pnnx_may_take_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converting, "TIMEOUT", 0.001)
    with pytest.raises(MeasurementError, match="pnnx took more than 0 s"):
        Ncnn().convert(network(), tmp_path)


def test_a_missing_pnnx_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pnnx", None)
    with pytest.raises(MissingExtraError, match="the extra 'ncnn'"):
        Ncnn().convert(network(), tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    prepared = Ncnn().prepare(network(), tmp_path)
    Path(prepared.files[0]).write_text("7767517\n1 1\nWhat is this\n")
    with pytest.raises(MeasurementError, match="ncnn can't load the network"):
        NcnnEngine().open(prepared)


def test_layers_in_order(tmp_path: Path) -> None:
    prepared = Ncnn().prepare(network(), tmp_path)
    layers = [line.split()[:2] for line in Path(prepared.files[0]).read_text().splitlines()[2:]]
    operators = NcnnEngine().open(prepared).operators(5)
    assert operators is not None
    assert [[operator.kind, operator.name] for operator in operators] == [line for line in layers if line[0] != "Input"]
    assert min(operator.ms for operator in operators) >= 0
    assert sum(operator.ms for operator in operators) > 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted on Linux only")
@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_with_these_threads(threads: int, tmp_path: Path) -> None:
    described = Ncnn().prepare(network(), tmp_path).save(tmp_path)
    program = (
        "import json, os, sys, pathlib; import ncnn\n"
        "from hwnas_surrogate.runner.ncnn_engine import NcnnEngine\n"
        "from hwnas_surrogate.runner.prepared import Prepared\n"
        "prepared = Prepared.read(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        f"NcnnEngine({threads}).open(prepared).run()\n"
        "print(len(os.listdir('/proc/self/task')) - before)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), json.dumps(described)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads - 1
    assert done.stderr == ""


def test_it_is_float32(tmp_path: Path) -> None:
    prepared = Ncnn().prepare(network(), tmp_path)
    assert prepared.expected is not None
    for got, wanted in zip(NcnnEngine().open(prepared).outputs(), prepared.expected, strict=True):
        assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()  # half precision: 1e-3
