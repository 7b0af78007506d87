"""The inputs of ONNX models."""

from __future__ import annotations

from typing import Any

__all__ = ["inputs_of"]


def inputs_of(graph: Any) -> list[Any]:
    """Return the inputs of an ONNX graph (ValueInfoProto); older files list stored tensors among them, too."""
    stored = {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in stored]
