from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hwnas_surrogate.networks.residual import cifar_resnet, inferred_cifar_resnet, initialize_resnet


def test_initial_weights() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 64, 3).apply(initialize_resnet)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)
    assert conv.bias is not None
    assert not conv.bias.any()
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.apply(initialize_resnet)
    assert (norm.weight.tolist(), norm.bias.tolist()) == ([1, 1, 1], [0, 0, 0])
    linear = nn.Linear(100, 100).apply(initialize_resnet)
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not linear.bias.any()


def test_parts_that_a_module_lacks() -> None:
    for module in (nn.Linear(2, 2, bias=False), nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2, affine=False)):
        module.apply(initialize_resnet)


@pytest.mark.parametrize("module", ["ResNetBasicblock", "ResNetBottleneck"])
def test_blocks_begin_as_shortcuts(module: str) -> None:
    depth = 8 if module == "ResNetBasicblock" else 11
    for build in (cifar_resnet, inferred_cifar_resnet):
        network = build(module, depth, 10, True)
        zeros = [name for name, values in network.named_parameters() if name.endswith("bn.weight") and not values.any()]
        last = "conv_b" if module == "ResNetBasicblock" else "conv_1x4"
        assert zeros == [f"layers.{layer}.{last}.bn.weight" for layer in (1, 2, 3)]
