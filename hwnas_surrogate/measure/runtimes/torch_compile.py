"""PyTorch, compiled by inductor, on the CPU and on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from hwnas_surrogate.measure.runtimes.torch_eager import Torch

__all__ = ["CudaCompile", "TorchCompile"]


@dataclass(frozen=True)
class TorchCompile(Torch):
    """``torch.compile`` with inductor, float32, on the CPU.

    A network is compiled when it is loaded, which takes some ten seconds; inductor keeps what it compiled in its own
    cache (the environment variable ``TORCHINDUCTOR_CACHE_DIR``, otherwise a temporary folder of the user). The outputs
    are compared with those of eager execution.
    """

    name: ClassVar[str] = "torch-compile"

    def describe(self) -> str:
        """Return the version; a host without a C++ compiler can't be measured."""
        return f"torch {torch.__version__} inductor float32"
