"""ResNets for ImageNet, under the original's name."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import ImageNetResNet as ResNet

__all__ = ["ResNet"]
