"""MobileNetV2, under the original's name."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import MobileNetV2

__all__ = ["MobileNetV2"]
