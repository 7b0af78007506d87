"""The runtimes by name."""

from __future__ import annotations

import os

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.measure.runtimes.base import Converted, FileRuntime, Runtime
from hwnas_surrogate.measure.runtimes.onnx_files import OnnxRuntime, OnnxRuntimeInt8, OpenVINO
from hwnas_surrogate.measure.runtimes.torch_eager import Cuda, Torch

__all__ = [
    "RUNTIMES",
    "Converted",
    "Cuda",
    "FileRuntime",
    "OnnxRuntime",
    "OnnxRuntimeInt8",
    "OpenVINO",
    "Runtime",
    "Torch",
    "make_runtime",
]

RUNTIMES: dict[str, type[Runtime]] = {
    runtime.name: runtime for runtime in (Torch, Cuda, OnnxRuntime, OnnxRuntimeInt8, OpenVINO)
}
"""The runtimes by their name in ``hwnas measure --runtime``."""


def make_runtime(name: str, threads: int | None = 1) -> Runtime:
    """Make one of :data:`RUNTIMES`.

    Parameters
    ----------
    name : str
        The runtime: ``"torch"``, ``"onnxruntime"``, and so on.
    threads : int or None, default=1
        Threads that one execution may use; None for all that this process may run on.

    Raises
    ------
    InvalidInputError
        If there is no such runtime.
    """
    if name not in RUNTIMES:
        raise unknown(InvalidInputError, "runtime", name, RUNTIMES)
    return RUNTIMES[name](_all_threads() if threads is None else threads)


def _all_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
