"""ResNets for CIFAR, under the original's name and with its arguments."""

from __future__ import annotations

from torch import nn

from hwnas_surrogate.networks.residual import cifar_resnet

__all__ = ["CifarResNet"]


def CifarResNet(block_name: str, depth: int, num_classes: int, zero_init_residual: bool) -> nn.Module:
    """Build :func:`~hwnas_surrogate.networks.residual.cifar_resnet` of a block's name, a depth and classes."""
    return cifar_resnet(block_name, depth, num_classes, zero_init_residual)
