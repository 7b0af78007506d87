"""The engines by name."""

from __future__ import annotations

from hwnas_surrogate.runner.engine import Engine
from hwnas_surrogate.runner.onnx_engines import OnnxRuntimeEngine, OpenVINOEngine

__all__ = ["ENGINES"]

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (OnnxRuntimeEngine, OpenVINOEngine)}
"""The engines by the name of the runtime."""
