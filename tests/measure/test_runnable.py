"""What runtimes load: a module and its ONNX form compute the same, and a file's inputs fit it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate.capture import OnnxFile
from hwnas_surrogate.errors import MeasurementError, MissingExtraError
from hwnas_surrogate.measure import make_runtime, runnable
from hwnas_surrogate.measure.runnable import OnnxRunnable, TorchRunnable
from tests.measure.fake_runtimes import outputs_of

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
LIBRARY = {"onnxruntime": "onnxruntime", "onnxruntime-int8": "onnxruntime", "openvino": "openvino"}


class Tokens(nn.Module):
    """Two inputs, one of token ids, another that nothing reads, and options that are no tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.linear = nn.Embedding(40, 8), nn.Linear(8, 4)

    def forward(self, unused: Any, ids: Any, parts: Any, factor: int = 1) -> Any:
        return {"scores": self.linear(self.embed(ids)) * parts["mask"].unsqueeze(-1) * factor}


def made(seed: int = 0) -> dict[str, TorchRunnable]:
    torch.manual_seed(seed)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    swish = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.LayerNorm(6))
    image, ids = torch.randn(1, 3, 8, 8), torch.tensor([[3, 39, 0]])
    mask = {"mask": torch.rand(1, 3)}
    return {
        "parts that are known": TorchRunnable(nn.Sequential(*plain[:4]).eval(), (image,)),
        "traced": TorchRunnable(swish.eval(), (image,)),
        "two images": TorchRunnable(plain.eval(), (torch.randn(2, 3, 8, 8),)),
        "tokens": TorchRunnable(Tokens().eval(), (torch.zeros(2), ids, mask, 3)),
    }


def expected(network: TorchRunnable) -> np.ndarray:
    with torch.inference_mode():
        found = network.network(*network.inputs)
    return (found["scores"] if isinstance(found, dict) else found).numpy()


@pytest.mark.parametrize("runtime", ["torch", *LIBRARY])
def test_every_runtime_computes_what_the_module_computes(runtime: str) -> None:
    if runtime in LIBRARY:
        pytest.importorskip(LIBRARY[runtime], reason=f"the extra {LIBRARY[runtime]} is not installed")
    chosen = make_runtime(runtime)
    for name, network in made().items():
        with chosen.active():
            [got, *_], wanted = outputs_of(chosen, network), expected(network)
        assert got.shape == wanted.shape, name
        if runtime == "onnxruntime-int8":
            # Processors without instructions for int8 dot products saturate sums of two products.
            assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.7, name
        else:
            assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max(), name


def test_parts_that_are_known_need_no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runnable, "_exported", lambda *_: pytest.fail("it was traced"))
    model, feed = made()["parts that are known"].onnx()
    assert list(feed) == ["image"]
    kinds = [node.op_type for node in onnx.load_model_from_string(model).graph.node]
    assert kinds == ["Conv", "BatchNormalization", "Relu", "GlobalAveragePool", "Identity"]


def test_inputs_that_nothing_reads_are_not_fed() -> None:
    model, feed = made()["tokens"].onnx()
    graph = onnx.load_model_from_string(model).graph
    assert [value.name for value in graph.input] == list(feed) == ["input_1", "input_2"]
    assert feed["input_1"].tolist() == [[3, 39, 0]]


def test_a_module_that_cannot_be_traced_says_why() -> None:
    class Fourier(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.fft.fft2(x).real

    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError, match="fft_fft2"):
        TorchRunnable(Fourier().eval(), (torch.zeros(1, 4, 4),)).onnx()


class TestOnnxFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Write a file with symbolic sizes, whole numbers, weights stored among its inputs, and outside the file."""
        helper, kinds = onnx.helper, onnx.TensorProto
        value = helper.make_tensor_value_info
        table = onnx.numpy_helper.from_array(np.random.default_rng(0).random((2, 300), np.float32), "table")
        nodes = [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("Mul", ["rows", "factor"], ["scaled"]),
            helper.make_node("Where", ["flag", "scaled", "rows"], ["y"]),
        ]
        inputs = [value("ids", kinds.INT64, ("n", "m")), value("table", kinds.FLOAT, (2, 300))]
        inputs += [value("factor", kinds.FLOAT, ("n", 1, 300)), value("flag", kinds.BOOL, (1,))]
        graph = helper.make_graph(nodes, "g", inputs, [value("y", kinds.FLOAT, ("n", "m", 300))], [table])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
        return tmp_path / "m.onnx"

    @pytest.mark.parametrize("runtime", LIBRARY)
    def test_it_runs_at_the_given_shapes(self, path: Path, runtime: str) -> None:
        pytest.importorskip(LIBRARY[runtime], reason=f"the extra {LIBRARY[runtime]} is not installed")
        chosen = make_runtime(runtime)
        [got] = outputs_of(chosen, OnnxRunnable(OnnxFile("m", str(path), "ids=1x5,factor=1x1x300")))
        assert got.shape == (1, 5, 300)

    def test_inputs_are_random_but_always_the_same(self, path: Path) -> None:
        file = OnnxFile("m", str(path), "ids=3x50,factor=3x1x300")
        _, feed = OnnxRunnable(file).onnx()
        _, again = OnnxRunnable(file).onnx()
        _, other = OnnxRunnable(file, seed=1).onnx()
        assert {name: (array.dtype, array.shape) for name, array in feed.items()} == {
            "ids": (np.int64, (3, 50)),
            "factor": (np.float32, (3, 1, 300)),
            "flag": (bool, (1,)),
        }
        assert set(np.unique(feed["ids"])) == {0, 1}
        assert abs(feed["factor"].std() - 1) < 0.1
        assert all(np.array_equal(feed[name], again[name]) for name in feed)
        assert not np.array_equal(feed["factor"], other["factor"])

    def test_a_file_without_symbolic_sizes_is_opened_where_it_is(self, path: Path) -> None:
        model, _ = OnnxRunnable(OnnxFile("m", str(path), None)).onnx()
        assert model == str(path)  # with what is stored beside it

    def test_it_has_no_module(self, path: Path) -> None:
        with pytest.raises(MeasurementError, match=r"m\.onnx is an ONNX file, which PyTorch can't run"):
            OnnxRunnable(OnnxFile("m", str(path))).module()

    def test_texts_cannot_be_made_up(self, tmp_path: Path) -> None:
        helper = onnx.helper
        value = helper.make_tensor_value_info("words", onnx.TensorProto.STRING, (3,))
        graph = helper.make_graph([helper.make_node("Identity", ["words"], ["y"])], "g", [value], [value])
        onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
        with pytest.raises(MeasurementError, match="the input 'words' takes texts"):
            OnnxRunnable(OnnxFile("m", str(tmp_path / "m.onnx"))).onnx()

    @pytest.mark.parametrize("network", ["file", "module"])
    def test_without_the_package_onnx(self, path: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(MissingExtraError, match=r"the extra 'onnx', for (reading|writing) ONNX, is not installed"):
            (OnnxRunnable(OnnxFile("m", str(path))) if network == "file" else made()["traced"]).onnx()
