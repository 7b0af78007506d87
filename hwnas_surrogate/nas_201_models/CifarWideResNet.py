"""Wide ResNets for CIFAR, under the original's name."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import WideResNet as CifarWideResNet

__all__ = ["CifarWideResNet"]
