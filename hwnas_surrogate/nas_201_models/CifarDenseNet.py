"""DenseNet for CIFAR, under the original's name."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import DenseNet

__all__ = ["DenseNet"]
