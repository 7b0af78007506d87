"""The engines by name."""

from __future__ import annotations

from hwnas_surrogate.runner.engine import Engine
from hwnas_surrogate.runner.executorch_engine import ExecuTorchEngine
from hwnas_surrogate.runner.litert import LiteRTEngine
from hwnas_surrogate.runner.ncnn_engine import NcnnEngine
from hwnas_surrogate.runner.onnx_engines import OnnxRuntimeEngine, OpenVINOEngine

__all__ = ["ENGINES"]

ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (OnnxRuntimeEngine, OpenVINOEngine, LiteRTEngine, NcnnEngine, ExecuTorchEngine)
}
"""The engines by the name of the runtime."""
