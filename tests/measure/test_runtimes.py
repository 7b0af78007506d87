"""The runtimes: each loads and runs, says what it is, and how it is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate.errors import InvalidInputError, MeasurementError, MissingExtraError
from hwnas_surrogate.measure import Cuda, OnnxRuntimeInt8, Runtime, Torch, make_runtime
from hwnas_surrogate.measure.converting.environment import find_python
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.networks import build_network
from tests.measure.fake_runtimes import outputs_of

LIBRARY = {
    "onnxruntime": "onnxruntime",
    "onnxruntime-int8": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai_edge_litert",
    "litert-int8": "ai_edge_litert",
    "ncnn": "ncnn",
    "executorch": "executorch",
}
HERE = ["torch", *LIBRARY]
"""torch.compile, CUDA and ONNX Runtime's providers have tests of their own."""


def runtime_of(name: str, threads: int = 1) -> Runtime:
    if name in LIBRARY:
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
        pytest.importorskip(LIBRARY[name], reason=f"{LIBRARY[name]} is not installed")
    if name.startswith("litert"):
        try:
            find_python()
        except MissingExtraError:
            pytest.skip("litert-torch has no environment here: hwnas convert --to tflite makes it")
    return make_runtime(name, threads)


@pytest.mark.parametrize("name", [name for name in HERE if name != "executorch"])  # lowering takes long: its own test
def test_it_runs_what_the_network_computes(name: str) -> None:
    runtime = runtime_of(name)
    network = build_network(7000, "C4-N1-k10-3x8x8", random_state=0)
    with runtime.active():
        runnable = TorchRunnable(network, (torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)),))
        run = runtime.load(runnable)
        run()
        first, second = (outputs_of(runtime, runnable) for _ in range(2))
    expected = runnable.expected()
    for got, again, wanted in zip(first, second, expected, strict=True):
        assert np.array_equal(got, again)
        assert got.shape == wanted.shape
        if name.endswith("-int8"):
            assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.8
        else:
            assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_int8_has_int8_weights(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    runtime_of("onnxruntime-int8")
    network = build_network(7000, "C4-N1-k10-3x8x8", random_state=0)
    [path], _ = OnnxRuntimeInt8().convert(TorchRunnable(network, (torch.zeros(1, 3, 8, 8),)), tmp_path)
    model = onnx.load(path)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    types = {item.data_type for item in model.graph.initializer if item.name.endswith("weight_quantized")}
    assert types == {onnx.TensorProto.INT8}


@pytest.mark.parametrize("name", HERE)
def test_it_says_what_it_is(name: str) -> None:
    device = runtime_of(name, 2).device("mine")
    assert device.name == "mine"
    assert device.hardware
    assert (device.batch, device.source) == (1, "measured")
    assert device.runtime.endswith(", 2 threads")
    assert any(part[0].isdigit() for part in device.runtime.split())  # a version
    assert ("int8" if "int8" in name else "float32") in device.runtime
    assert runtime_of(name).device().name == f"cpu-{name}-1t"


def test_torch_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with Torch(before + 1).active():
        assert torch.get_num_threads() == before + 1
        assert torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-int8", "openvino"])
def test_a_missing_library_is_named_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LIBRARY[name], None)
    with pytest.raises(MissingExtraError, match=rf"the extra '{LIBRARY[name]}', for .* is not installed: pip install"):
        make_runtime(name).device("mine")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this host has a CUDA device")
def test_no_cuda_device() -> None:
    with pytest.raises(MeasurementError, match="needs a CUDA device"):
        Cuda().device("gpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_runs_what_the_network_computes() -> None:
    network = build_network(7000, "cifar10", random_state=0)
    with torch.inference_mode():
        expected = network(torch.zeros(1, 3, 32, 32))[1]
    runtime = Cuda()
    with runtime.active():
        _, logits = runtime.load(TorchRunnable(network, (torch.zeros(1, 3, 32, 32),)))()
    assert logits.is_cuda
    assert torch.allclose(logits.cpu(), expected, rtol=1e-2, atol=1e-3)
    assert runtime.device("gpu").hardware == torch.cuda.get_device_name()


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "1"])
def test_wrong_threads(threads: Any) -> None:
    with pytest.raises(InvalidInputError, match="threads must be an integer of at least 1"):
        Torch(threads)


def test_make_runtime() -> None:
    assert make_runtime("torch") == Torch(1)
    assert make_runtime("torch", None) == Torch(len(os.sched_getaffinity(0)))
    with pytest.raises(InvalidInputError, match=r"unknown runtime 'onnx-runtime'.*'onnxruntime'.*Did you mean"):
        make_runtime("onnx-runtime")
