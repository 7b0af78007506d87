"""torch.compile: what it computes, and what it needs."""

from __future__ import annotations

import sysconfig
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.measure.runtimes.torch_compile import CudaCompile, TorchCompile


class Chosen(nn.Module):
    """One module of several widths, whose ``forward`` is the same code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).relu() + 1


def chosen(width: int) -> TorchRunnable:
    return TorchRunnable(Chosen(width).eval(), (torch.ones(1, 4),))


def test_a_missing_compiler_is_named_at_the_beginning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O1")
    with pytest.raises(MeasurementError, match=r"needs a C\+\+ compiler, and there is no 'no-such-compiler -O1'.*CXX"):
        TorchCompile().describe()


def test_missing_headers_are_named_at_the_beginning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "python3")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(MeasurementError, match=r"needs Python's header files, and there is no .*Python\.h"):
        TorchCompile().describe()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this host has a CUDA device")
def test_no_cuda_device() -> None:
    with pytest.raises(MeasurementError, match="torch-cuda-compile needs a CUDA device"):
        CudaCompile().describe()
    assert CudaCompile().device_name("gpu") == "gpu-torch-compile"


def test_each_network_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch compiles one code object 8 times, and then executes it eagerly."""
    compiled = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    real: Any = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend=backend, **options))
    with TorchCompile().active():
        runs = [TorchCompile().load(chosen(width)) for width in range(1, 13)]
        assert len(compiled) == 12
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for run in runs * 2:
                run()
    assert len(compiled) == 12


def test_what_is_no_single_graph_is_refused() -> None:
    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._dynamo.graph_break()
            return x + 1

    with pytest.raises(MeasurementError, match=r"can't compile the network as one graph: .*graph_break"):
        TorchCompile().load(TorchRunnable(Breaks(), (torch.ones(1, 3),)))


def test_what_it_computes_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = torch.compile

    def wrong(graph: torch.fx.GraphModule, _: Any) -> Any:
        return lambda *inputs: [value + 1 for value in graph.forward(*inputs)]

    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend=wrong, **options))
    with pytest.raises(MeasurementError, match="output 0 differs from PyTorch's"):
        TorchCompile().load(chosen(3))


@pytest.mark.slow
def test_inductor_computes_what_the_network_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        assert "inductor float32" in TorchCompile().describe()
    except MeasurementError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    network = chosen(5)
    # Of no use to one network: headers compiled ahead for later ones, code of vectors, and processes that compile.
    cheap = {"compile_threads": 1, "cpp_cache_precompile_headers": False, "cpp.simdlen": 0}
    with TorchCompile().active(), torch._inductor.config.patch(cheap):
        result: Any = TorchCompile().load(network)()
    assert np.allclose(result.numpy(), network.expected()[0], atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_inductor_on_a_gpu() -> None:
    with CudaCompile().active():
        result: Any = CudaCompile().load(chosen(5))()
    assert result.is_cuda
