"""Capture networks of other formats as graphs."""

from hwnas_surrogate.capture.torch_module import graph_of_module

__all__ = ["graph_of_module"]
