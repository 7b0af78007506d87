"""Initial weights, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import initialize_resnet

__all__ = ["initialize_resnet"]
