"""Networks in LiteRT's format, converted by litert-torch itself: skipped where it has no environment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError, MeasurementError, MissingExtraError
from hwnas_surrogate.measure.converting import tflite
from hwnas_surrogate.measure.converting.converter import Converter
from hwnas_surrogate.measure.converting.environment import VARIABLE, find_python
from hwnas_surrogate.measure.converting.tflite import TfliteConverter
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.measure.runtimes.litert import LiteRT, LiteRTInt8
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.runner.prepared import Prepared, check_outputs


class Small(nn.Module):
    """What the networks of the spaces lack: nested outputs, whole numbers, two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.linear, self.embedding = nn.Linear(4, 5), nn.Embedding(7, 5)

    def forward(self, images: Tensor, tokens: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        features = self.conv(images)
        return {"y": (self.linear(features.mean((2, 3))) + self.embedding(tokens), tokens + 1), "x": features}


def small() -> TorchRunnable:
    torch.manual_seed(0)
    return TorchRunnable(Small().eval(), (torch.randn(1, 3, 9, 9), torch.tensor([3])))


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TfliteConverter]:
    try:
        find_python()
    except MissingExtraError:
        pytest.skip(f"litert-torch has no environment here: run hwnas convert --to tflite, or set {VARIABLE}")
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite, "cache_dir", lambda: tmp_path_factory.mktemp("cache"))
        found = TfliteConverter(timeout=300)
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.parametrize("which", ["nasbench201", "nested"])
def test_float32_computes_what_pytorch_computes(which: str, converter: TfliteConverter, tmp_path: Path) -> None:
    network = small()
    if which == "nasbench201":
        image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        network = TorchRunnable(build_network(7000, "C4-N1-k10-3x8x8", random_state=0), (image,))
    feed = converter.convert(network, "tflite", tmp_path / "model.tflite")
    prepared = _prepared(LiteRT, tmp_path, feed, network)
    prepared.tolerance = 1e-5
    check_outputs(LiteRT().make_engine().open(prepared).outputs(), prepared)


@pytest.mark.slow
def test_int8_is_close_and_is_int8(converter: TfliteConverter, tmp_path: Path) -> None:
    network = small()
    feed = converter.convert(network, "tflite-int8", tmp_path / "model.tflite")
    prepared = _prepared(LiteRTInt8, tmp_path, feed, network)
    prepared.tolerance = 0.1
    outputs = LiteRTInt8().make_engine().open(prepared).outputs()
    check_outputs(outputs, prepared)
    assert len(np.unique(outputs[0])) <= 256
    from ai_edge_litert.interpreter import Interpreter

    types = [found["dtype"] for found in Interpreter(str(tmp_path / "model.tflite")).get_input_details()]
    assert types == [np.int8, np.int32]


@pytest.mark.slow
def test_the_second_time_it_comes_from_the_cache(
    converter: TfliteConverter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first.tflite", tmp_path / "second.tflite"
    feed = converter.convert(small(), "tflite-int8", first)
    for name in ("convert", "quantize"):
        monkeypatch.setattr(Converter, name, None)
    again = converter.convert(small(), "tflite-int8", second)
    assert first.read_bytes() == second.read_bytes()
    assert all(np.array_equal(feed[name], again[name]) for name in feed)
    converter.convert(small(), "tflite", second)  # int8 is made from it


@pytest.mark.slow
def test_what_litert_torch_can_not_convert_has_a_reason(converter: TfliteConverter, tmp_path: Path) -> None:
    class Unknown(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.svd(x)[0]

    with pytest.raises(MeasurementError, match=r"litert-torch can't convert it: \S+"):
        converter.convert(TorchRunnable(Unknown(), (torch.randn(3, 3),)), "tflite", tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()


def test_unknown_formats(converter: TfliteConverter, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"unknown format 'onnx'; allowed: 'tflite', 'tflite-int8'"):
        converter.convert(small(), "onnx", tmp_path / "model.onnx")


def test_without_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path))
    for runtime in (LiteRT(), LiteRTInt8()):
        with pytest.raises(MissingExtraError, match="run: hwnas convert --to tflite"):
            runtime.describe()
    assert not list(tmp_path.iterdir())


def test_without_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingExtraError, match="the extra 'litert', for runtime litert, is not installed"):
        LiteRT().describe()


def _prepared(runtime: type[LiteRT], folder: Path, feed: dict[str, np.ndarray], network: TorchRunnable) -> Prepared:
    return Prepared([str(folder / "model.tflite")], feed, network.expected(), runtime.tolerance)
