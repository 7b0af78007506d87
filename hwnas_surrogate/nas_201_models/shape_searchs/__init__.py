"""Networks whose widths and depths are searched, under the original's names and with its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas_surrogate.networks.cells import SizeSearchNetwork as GenericNAS301Model
from hwnas_surrogate.networks.residual import (
    SearchResNet,
    search_cifar_resnet,
    search_imagenet_resnet,
    search_simple_resnet,
)

__all__ = [
    "GenericNAS301Model",
    "SearchDepthCifarResNet",
    "SearchShapeCifarResNet",
    "SearchShapeImagenetResNet",
    "SearchWidthCifarResNet",
    "SearchWidthSimResNet",
]


def SearchWidthCifarResNet(block_name: str, depth: int, num_classes: int) -> SearchResNet:
    """Build :func:`~hwnas_surrogate.networks.residual.search_cifar_resnet` to search widths."""
    return search_cifar_resnet("width", block_name, depth, num_classes)


def SearchDepthCifarResNet(block_name: str, depth: int, num_classes: int) -> SearchResNet:
    """Build :func:`~hwnas_surrogate.networks.residual.search_cifar_resnet` to search depths."""
    return search_cifar_resnet("depth", block_name, depth, num_classes)


def SearchShapeCifarResNet(block_name: str, depth: int, num_classes: int) -> SearchResNet:
    """Build :func:`~hwnas_surrogate.networks.residual.search_cifar_resnet` to search widths and depths."""
    return search_cifar_resnet("shape", block_name, depth, num_classes)


def SearchWidthSimResNet(depth: int, num_classes: int) -> SearchResNet:
    """Build :func:`~hwnas_surrogate.networks.residual.search_simple_resnet`."""
    return search_simple_resnet(depth, num_classes)


def SearchShapeImagenetResNet(
    block_name: str, layers: Sequence[int], deep_stem: bool, num_classes: int
) -> SearchResNet:
    """Build :func:`~hwnas_surrogate.networks.residual.search_imagenet_resnet`."""
    return search_imagenet_resnet(block_name, layers, deep_stem, num_classes)
