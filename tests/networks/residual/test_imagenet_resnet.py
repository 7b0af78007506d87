from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hwnas_surrogate.networks.residual import ImageNetResNet, inferred_imagenet_resnet, search_imagenet_resnet


def convs_of(network: nn.Module, name: str) -> list[tuple[Any, ...]]:
    parts = network.get_submodule(name).modules()
    return [
        (part.in_channels, part.out_channels, part.kernel_size[0], part.stride[0], part.groups)
        for part in parts
        if isinstance(part, nn.Conv2d)
    ]


def test_deep_stem() -> None:
    with torch.device("meta"):
        network = ImageNetResNet("BasicBlock", [1, 1, 1, 1], True, 10, False, 1, 64)
    assert convs_of(network, "conv") == [(3, 32, 3, 2, 1), (32, 32, 3, 1, 1), (32, 64, 3, 1, 1)]


@pytest.mark.parametrize(("groups", "width", "params"), [(32, 4, 25_028_904), (1, 128, 68_883_240)])
def test_published_variants(groups: int, width: int, params: int) -> None:
    """ResNeXt-50 (32x4d) and Wide ResNet-50-2 have as many parameters as published (torchvision's documentation)."""
    with torch.device("meta"):
        network = ImageNetResNet("Bottleneck", [3, 4, 6, 3], False, 1000, False, groups, width)
    assert sum(values.numel() for values in network.parameters()) == params


def test_zero_init() -> None:
    network = ImageNetResNet("BasicBlock", [1, 1, 1, 1], False, 10, True, 1, 64)
    zeros = [name for name, values in network.named_parameters() if name.endswith("bn2.weight") and not values.any()]
    assert zeros == [f"layer{stage}.0.bn2.weight" for stage in (1, 2, 3, 4)]


def test_inferred_with_a_deep_stem() -> None:
    channels = [3, 4, 5, *[6] * 2, *[7] * 4, *[8] * 2, *[9] * 2]
    network = inferred_imagenet_resnet("BasicBlock", [1, 2, 1, 1], [1, 1, 1, 1], channels, True, 10, False).eval()
    assert convs_of(network, "layers.0") + convs_of(network, "layers.1") == [(3, 4, 3, 2, 1), (4, 5, 3, 1, 1)]
    assert convs_of(network, "layers.5")[0][:2] == (7, 8)
    features, logits = network(torch.randn(1, 3, 64, 64))
    assert (features.shape, logits.shape) == ((1, 9), (1, 10))


def test_depths_to_search() -> None:
    with torch.device("meta"):
        network = search_imagenet_resnet("Bottleneck", [3, 4, 6, 3], False, 10)
    assert network.depths == [(1, 2, 3), (1, 2, 4), (2, 4, 6), (1, 2, 3)]
