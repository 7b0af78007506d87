from __future__ import annotations

from typing import Any

import pytest
import torch

from hwnas_surrogate.networks.residual import PlannedResNet, cifar_resnet, inferred_cifar_resnet


def shapes(network: PlannedResNet) -> list[tuple[int, ...]]:
    return [tuple(values.shape) for values in network.state_dict().values()]


@pytest.mark.parametrize("depth", [8, 20])
def test_full_shape_is_the_basic_network(depth: int) -> None:
    n_blocks = (depth - 2) // 6
    channels = [3, 16, *(width for width in (16, 32, 64) for _ in range(2 * n_blocks))]
    basic = cifar_resnet("ResNetBasicblock", depth, 10, False).eval()
    x = torch.randn(1, 3, 16, 16)
    choices: list[dict[str, Any]] = [
        {"xchannels": channels}, {"xblocks": [n_blocks] * 3}, {"xchannels": channels, "xblocks": [n_blocks] * 3},
    ]  # fmt: skip
    for choice in choices:
        network = inferred_cifar_resnet("ResNetBasicblock", depth, 10, False, **choice).eval()
        network.load_state_dict(basic.state_dict())
        assert torch.equal(network(x)[1], basic(x)[1])


def test_channels_after_dropped_blocks() -> None:
    """Of two blocks a stage one is kept: the next stage reads its 10 channels, not the 12 of the dropped one."""
    channels = (3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
    network = inferred_cifar_resnet("ResNetBasicblock", 14, 5, False, [1, 2, 1], channels)
    convs = [shape[:2] for shape in shapes(network) if len(shape) == 4 and shape[2] == 3]
    assert convs == [(8, 3), (9, 8), (10, 9), (13, 10), (14, 13), (15, 14), (16, 15), (17, 16), (18, 17)]
    assert network.classifier.in_features == 18
    assert network(torch.randn(2, 3, 8, 8))[1].shape == (2, 5)


def test_arguments_are_not_changed() -> None:
    channels, blocks = [3, 8, 7, 6, 10, 12, 20, 24], [1, 1, 1]
    inferred_cifar_resnet("ResNetBasicblock", 8, 10, False, blocks, channels)
    assert (channels, blocks) == ([3, 8, 7, 6, 10, 12, 20, 24], [1, 1, 1])


def test_norms_of_shortcuts() -> None:
    """A bottleneck's first shortcut has a batch norm in the basic network only; a pooled one never has."""
    with torch.device("meta"):
        basic = cifar_resnet("ResNetBottleneck", 11, 10, False)
        inferred = inferred_cifar_resnet("ResNetBottleneck", 11, 10, False)
    for network, expected in ((basic, [True, False, False]), (inferred, [False, False, False])):
        assert [f"layers.{n}.downsample.bn.weight" in network.state_dict() for n in (1, 2, 3)] == expected


def test_message() -> None:
    text = inferred_cifar_resnet("ResNetBasicblock", 14, 5, False, [1, 2, 1]).get_message()
    assert text == "ResNet: depth 10, blocks of each stage [1, 2, 1], 5 classes"
