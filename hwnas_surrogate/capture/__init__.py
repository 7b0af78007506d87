"""Capture networks of other formats as graphs.

Names are imported on first use: ONNX models need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.capture.finishing import UncountedWarning
    from hwnas_surrogate.capture.given import (
        GivenNetwork,
        OnnxFile,
        UserModule,
        given_networks,
        is_model,
        parse_input_shape,
    )
    from hwnas_surrogate.capture.graph_store import GraphCacheWarning, cache_dir
    from hwnas_surrogate.capture.module_space import ModuleSpace, capture
    from hwnas_surrogate.capture.onnx_model import graph_of_onnx
    from hwnas_surrogate.capture.parallel import capturing
    from hwnas_surrogate.capture.torch_module import graph_of_exported, graph_of_module

__all__ = [
    "GivenNetwork",
    "GraphCacheWarning",
    "ModuleSpace",
    "OnnxFile",
    "UncountedWarning",
    "UserModule",
    "cache_dir",
    "capture",
    "capturing",
    "given_networks",
    "graph_of_exported",
    "graph_of_module",
    "graph_of_onnx",
    "is_model",
    "parse_input_shape",
]

_MODULES = {
    "finishing": ["UncountedWarning"],
    "given": ["GivenNetwork", "OnnxFile", "UserModule", "given_networks", "is_model", "parse_input_shape"],
    "graph_store": ["GraphCacheWarning", "cache_dir"],
    "module_space": ["ModuleSpace", "capture"],
    "parallel": ["capturing"],
    "onnx_model": ["graph_of_onnx"],
    "torch_module": ["graph_of_exported", "graph_of_module"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
