"""Networks of which a search chose widths and depths, under the original's names and with its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hwnas_surrogate.networks.cells import SizedCellNetwork as DynamicShapeTinyNet
from hwnas_surrogate.networks.residual import InferredMobileNetV2 as InferMobileNetV2
from hwnas_surrogate.networks.residual import inferred_cifar_resnet, inferred_imagenet_resnet

__all__ = [
    "DynamicShapeTinyNet",
    "InferCifarResNet",
    "InferDepthCifarResNet",
    "InferImagenetResNet",
    "InferMobileNetV2",
    "InferWidthCifarResNet",
]


def InferWidthCifarResNet(
    block_name: str, depth: int, xchannels: Sequence[int], num_classes: int, zero_init_residual: bool
) -> nn.Module:
    """Build :func:`~hwnas_surrogate.networks.residual.inferred_cifar_resnet` with given widths."""
    return inferred_cifar_resnet(block_name, depth, num_classes, zero_init_residual, xchannels=xchannels)


def InferDepthCifarResNet(
    block_name: str, depth: int, xblocks: Sequence[int], num_classes: int, zero_init_residual: bool
) -> nn.Module:
    """Build :func:`~hwnas_surrogate.networks.residual.inferred_cifar_resnet` with given depths."""
    return inferred_cifar_resnet(block_name, depth, num_classes, zero_init_residual, xblocks=xblocks)


def InferCifarResNet(
    block_name: str,
    depth: int,
    xblocks: Sequence[int],
    xchannels: Sequence[int],
    num_classes: int,
    zero_init_residual: bool,
) -> nn.Module:
    """Build :func:`~hwnas_surrogate.networks.residual.inferred_cifar_resnet` with given depths and widths."""
    return inferred_cifar_resnet(block_name, depth, num_classes, zero_init_residual, xblocks, xchannels)


def InferImagenetResNet(
    block_name: str,
    layers: Sequence[int],
    xblocks: Sequence[int],
    xchannels: Sequence[int],
    deep_stem: bool,
    num_classes: int,
    zero_init_residual: bool,
) -> nn.Module:
    """Build :func:`~hwnas_surrogate.networks.residual.inferred_imagenet_resnet`."""
    return inferred_imagenet_resnet(block_name, layers, xblocks, xchannels, deep_stem, num_classes, zero_init_residual)
