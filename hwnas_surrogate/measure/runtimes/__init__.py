"""The runtimes by name."""

from __future__ import annotations

import os

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.measure.runtimes.base import Converted, FileRuntime, Runtime
from hwnas_surrogate.measure.runtimes.executorch import ExecuTorch
from hwnas_surrogate.measure.runtimes.litert import LiteRT, LiteRTInt8
from hwnas_surrogate.measure.runtimes.ncnn import Ncnn
from hwnas_surrogate.measure.runtimes.onnx_files import OnnxRuntime, OnnxRuntimeInt8, OpenVINO
from hwnas_surrogate.measure.runtimes.onnx_providers import PROVIDER_RUNTIMES
from hwnas_surrogate.measure.runtimes.torch_compile import CudaCompile, TorchCompile
from hwnas_surrogate.measure.runtimes.torch_eager import Cuda, Torch

__all__ = [
    "RUNTIMES",
    "Converted",
    "Cuda",
    "CudaCompile",
    "ExecuTorch",
    "FileRuntime",
    "LiteRT",
    "LiteRTInt8",
    "Ncnn",
    "OnnxRuntime",
    "OnnxRuntimeInt8",
    "OpenVINO",
    "Runtime",
    "Torch",
    "TorchCompile",
    "make_runtime",
]

_KINDS: tuple[type[Runtime], ...] = (
    Torch,
    TorchCompile,
    Cuda,
    CudaCompile,
    OnnxRuntime,
    OnnxRuntimeInt8,
    *PROVIDER_RUNTIMES.values(),
    OpenVINO,
    LiteRT,
    LiteRTInt8,
    Ncnn,
    ExecuTorch,
)

RUNTIMES: dict[str, type[Runtime]] = {kind.name: kind for kind in _KINDS}
"""The runtimes by their name in ``hwnas measure --runtime``."""


def make_runtime(name: str, threads: int | None = 1, batch: int = 1, cold: bool = False) -> Runtime:
    """Make one of :data:`RUNTIMES`.

    Parameters
    ----------
    name : str
        The runtime: ``"torch"``, ``"onnxruntime"``, and so on.
    threads : int or None, default=1
        Threads that one execution may use; None for all that this process may run on.
    batch : int, default=1
        Images of one execution.
    cold : bool, default=False
        Whether a timed run opens the network as well.

    Raises
    ------
    InvalidInputError
        If there is no such runtime, a number is out of range, or it can't open networks anew.
    """
    if name not in RUNTIMES:
        raise unknown(InvalidInputError, "runtime", name, RUNTIMES)
    kind = RUNTIMES[name]
    count = _all_threads() if threads is None else threads
    if not cold:
        return kind(count, batch)
    if not issubclass(kind, FileRuntime):
        able = ", ".join(name for name, kind in RUNTIMES.items() if issubclass(kind, FileRuntime))
        raise InvalidInputError(f"runtime {name} opens no files, so that it has no cold start; these do: {able}.")
    return kind(count, batch, cold=True)


def _all_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
