"""PyTorch, compiled by inductor, on the CPU and on a GPU."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.runnable import Runnable
from hwnas_surrogate.measure.runtimes.torch_eager import Cuda, Torch, inputs_on
from hwnas_surrogate.runner.prepared import Prepared, check_outputs
from hwnas_surrogate.runner.rounds import Run

__all__ = ["CudaCompile", "TorchCompile"]


@dataclass(frozen=True)
class TorchCompile(Torch):
    """``torch.compile`` with inductor, float32, on the CPU: one graph, for the shapes of the inputs.

    A network is compiled when it is loaded: 10 to 50 s of one core, so that a timeout of some minutes is advisable.
    Inductor keeps what it compiled in a folder of its own (``$TORCHINDUCTOR_CACHE_DIR``, otherwise a temporary one of
    the user). The outputs are compared with those of eager execution. A network that can't be compiled as one graph is
    an error, since a part of it would run eagerly.
    """

    name: ClassVar[str] = "torch-compile"
    patience: ClassVar[float] = 600.0

    def describe(self) -> str:
        """Return the version; a host without a C++ compiler can't be measured."""
        _need_compiler(self.name, os.environ.get("CXX") or _COMPILERS.get(sys.platform, "g++"), "C++")
        return f"torch {torch.__version__} inductor float32"

    def load(self, network: Runnable) -> Run:
        """Compile the network, and compare its outputs."""
        expected = network.expected()
        module, inputs = network.module()
        here = inputs_on(inputs, "cpu")
        compiled = _compiled(module.to("cpu"), here, Prepared([], {}, expected))
        return partial(compiled, *here)


@dataclass(frozen=True)
class CudaCompile(Cuda):
    """``torch.compile`` with inductor, float32 (TF32 as torch sets it), on the current CUDA device.

    As :class:`TorchCompile`, but the outputs are compared to 1e-2, since TF32 has 10 bits of precision.
    """

    name: ClassVar[str] = "torch-cuda-compile"
    patience: ClassVar[float] = 600.0

    def describe(self) -> str:
        """Return the versions; a host without a CUDA device, Triton or a C compiler can't be measured."""
        if not torch.cuda.is_available():
            raise MeasurementError(
                f"runtime {self.name} needs a CUDA device and a torch built for it; torch {torch.__version__} sees "
                "none."
            )
        if importlib.util.find_spec("triton") is None:
            raise MeasurementError(f"runtime {self.name} needs Triton, which is not installed: pip install triton.")
        _need_compiler(self.name, os.environ.get("CC") or "gcc", "C")
        return f"torch {torch.__version__} inductor float32, CUDA {torch.version.cuda}"

    def device_name(self, host: str) -> str:
        """Return the name of a device under this runtime: threads mean nothing to it."""
        return f"{host}-torch-compile{f'-b{self.batch}' if self.batch > 1 else ''}"

    def load(self, network: Runnable) -> Run:
        """Compile the network on the GPU, and compare its outputs; a run ends when the GPU has finished."""
        expected = network.expected()  # before the module moves
        module, inputs = network.module()
        there = inputs_on(inputs, "cuda")
        compiled = _compiled(module.to("cuda"), there, Prepared([], {}, expected, tolerance=1e-2))

        def run() -> object:
            result = compiled(*there)
            torch.cuda.synchronize()
            return result

        return run


_COMPILERS = {"darwin": "clang++", "win32": "cl"}


def _compiled(module: torch.nn.Module, inputs: tuple[Any, ...], prepared: Prepared) -> Callable[..., Any]:
    """Compile a module for some inputs, check what it computes, and return it."""

    def execute(*inputs: Any) -> Any:
        return module(*inputs)

    # PyTorch counts compilations by code object, and stops compiling after 8: each network gets one of its own.
    execute.__code__ = execute.__code__.replace()
    compiled: Callable[..., Any] = torch.compile(execute, dynamic=False, fullgraph=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself, and about TF32
            result = compiled(*inputs)
    except Exception as error:  # torch raises errors of many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise MeasurementError(f"torch.compile can't compile the network as one graph: {reason}") from error
    leaves = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    check_outputs([leaf.detach().cpu().numpy() for leaf in leaves], prepared)
    return compiled


def _need_compiler(runtime: str, compiler: str, language: str) -> None:
    """Raise if inductor could not compile, so that not each network fails."""
    if shutil.which(compiler.split()[0]) is None:
        raise MeasurementError(
            f"runtime {runtime} needs a {language} compiler, and there is no {compiler!r}: install one, or set "
            f"{'CXX' if language == 'C++' else 'CC'} to its name."
        )
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        raise MeasurementError(
            f"runtime {runtime} needs Python's header files, and there is no {header}: install them (for Debian's "
            "Python: apt install python3-dev)."
        )
