"""LiteRT, which executes ``.tflite`` files: float32 and int8."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from hwnas_surrogate.measure.converting.environment import find_python
from hwnas_surrogate.measure.converting.tflite import TfliteConverter
from hwnas_surrogate.measure.runnable import Runnable
from hwnas_surrogate.measure.runtimes.base import Converted, FileRuntime
from hwnas_surrogate.runner.litert import LiteRTEngine

__all__ = ["LiteRT", "LiteRTInt8"]


@dataclass(frozen=True)
class LiteRT(FileRuntime):
    """LiteRT on the CPU (XNNPACK), float32.

    Networks are converted by litert-torch, in an environment of its own: ``hwnas convert --to tflite`` makes it, and
    converts networks ahead. Those that were converted before come from a cache.
    """

    name: ClassVar[str] = "litert"
    runs_onnx: ClassVar[bool] = False
    extra: ClassVar[str] = "litert"
    patience: ClassVar[float] = 600.0
    engine: ClassVar = LiteRTEngine
    format: ClassVar[str] = "tflite"

    def describe(self) -> str:
        """Return the version and the number format; networks can be converted then."""
        described = super().describe()
        find_python()
        return described

    def convert(self, network: Runnable, folder: Path) -> Converted:
        """Convert the network, or take it from the cache."""
        path = folder / "model.tflite"
        feed = _converter().convert(network, self.format, path)
        return Converted([path], feed)


@dataclass(frozen=True)
class LiteRTInt8(LiteRT):
    """LiteRT on the CPU, statically quantized to int8: weights (per channel), activations, inputs and outputs.

    The outputs are not compared with PyTorch's values. Operators that XNNPACK lacks in int8, such as average pooling,
    run as LiteRT's own kernels, so that int8 may cost more than float32.
    """

    name: ClassVar[str] = "litert-int8"
    format: ClassVar[str] = "tflite-int8"
    number_format: ClassVar[str] = "int8 static"
    tolerance: ClassVar[float | None] = None


@lru_cache(maxsize=1)
def _converter() -> TfliteConverter:
    """Return the converter of this process; importing litert-torch takes seconds, so it stays."""
    return TfliteConverter()
