"""Measure networks on this host, into cost tables like any other."""

from __future__ import annotations

from hwnas_surrogate.measure.environment import environment
from hwnas_surrogate.measure.session import measure
from hwnas_surrogate.measure.torch_eager import TorchEager

__all__ = ["TorchEager", "environment", "measure"]
