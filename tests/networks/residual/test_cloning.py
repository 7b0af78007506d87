from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.residual import (
    DenseNet,
    cifar_resnet,
    copy_base,
    copy_basic,
    copy_bn,
    copy_conv,
    copy_fc,
    inferred_cifar_resnet,
    init_from_model,
    search_cifar_resnet,
)
from hwnas_surrogate.networks.residual.search_resnet import SearchResNet

NARROW = [3, 8, 7, 6, 10, 12, 20, 24]


def randomised(network: nn.Module) -> nn.Module:
    for values in network.state_dict().values():
        if values.is_floating_point():
            nn.init.uniform_(values, 0.1, 1.0)
    return network


@pytest.mark.parametrize("module", ["ResNetBasicblock", "ResNetBottleneck"])
def test_a_clone_computes_the_same(module: str) -> None:
    """Strided shortcuts and bottlenecks are copied, too."""
    depth = 8 if module == "ResNetBasicblock" else 11
    source = randomised(cifar_resnet(module, depth, 10, False)).eval()
    target = cifar_resnet(module, depth, 10, False).eval()
    init_from_model(target, source)
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(target(x)[1], source(x)[1])
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), source.parameters(), strict=True))


def test_leading_slices() -> None:
    source = randomised(cifar_resnet("ResNetBasicblock", 8, 10, False))
    target = inferred_cifar_resnet("ResNetBasicblock", 8, 10, False, xchannels=NARROW)
    init_from_model(target, source)
    wide = source.state_dict()
    # The stem has 8 channels and the first block 6, so that its shortcut, which has no counterpart, is left as it was.
    own = [name for name in target.state_dict() if name.startswith("layers.1.downsample")]
    assert len(own) == 6
    for name, values in target.state_dict().items():
        if name not in own and "num_batches" not in name:
            assert torch.equal(values, wide[name][tuple(slice(size) for size in values.shape)]), name


def test_blocks_are_matched_by_stage() -> None:
    source = randomised(cifar_resnet("ResNetBasicblock", 14, 10, False))
    target = inferred_cifar_resnet("ResNetBasicblock", 14, 10, False, xblocks=[1, 2, 1])
    init_from_model(target, source)
    pairs = {1: 1, 2: 3, 3: 4, 4: 5}
    for layer, counterpart in pairs.items():
        ours, theirs = target.layers[layer].state_dict(), source.layers[counterpart].state_dict()
        assert all(torch.equal(values, theirs[name]) for name, values in ours.items())


def test_from_a_searched_network() -> None:
    """The batch norm of the width that was chosen is copied."""
    source = randomised(search_cifar_resnet("width", "ResNetBasicblock", 8, 10))
    assert isinstance(source, SearchResNet)
    source.get_submodule("layers.0.conv").get_parameter("weight").data += 1
    target = inferred_cifar_resnet("ResNetBasicblock", 8, 10, False, xchannels=[3, 8, 9, 8, 16, 16, 32, 64])
    init_from_model(target, source)
    state, wide = target.state_dict(), source.state_dict()
    assert torch.equal(state["layers.0.conv.weight"], wide["layers.0.conv.weight"][:8])
    assert torch.equal(state["layers.0.bn.weight"], wide["layers.0.BNs.2.weight"])
    assert torch.equal(state["layers.1.conv_a.bn.running_var"], wide["layers.1.conv_a.BNs.3.running_var"])


def test_single_layers() -> None:
    wide, conv = nn.Conv2d(5, 6, 3), nn.Conv2d(4, 3, 3)
    copy_conv(conv, wide)
    assert torch.equal(conv.weight, wide.weight[:3, :4])
    assert conv.bias is not None
    assert wide.bias is not None
    assert torch.equal(conv.bias, wide.bias[:3])
    assert conv.weight.requires_grad
    norm, wide_norm = nn.BatchNorm2d(2), nn.BatchNorm2d(3)
    randomised(wide_norm)
    copy_bn(norm, wide_norm)
    assert torch.equal(norm.running_mean, wide_norm.running_mean[:2])
    linear, wide_linear = nn.Linear(3, 2), nn.Linear(5, 4)
    copy_fc(linear, wide_linear)
    assert torch.equal(linear.weight, wide_linear.weight[:2, :3])


def test_blocks_and_units() -> None:
    source, target = (cifar_resnet("ResNetBasicblock", 8, 10, False) for _ in range(2))
    copy_base(target.layers[0], source.layers[0])
    copy_basic(target.layers[2], source.layers[2])
    for layer in (0, 2):
        ours, theirs = target.layers[layer].state_dict(), source.layers[layer].state_dict()
        assert all(torch.equal(values, theirs[name]) for name, values in ours.items())


def test_refusals() -> None:
    narrow = inferred_cifar_resnet("ResNetBasicblock", 8, 10, False, xchannels=NARROW)
    basic, bottleneck = cifar_resnet("ResNetBasicblock", 8, 10, False), cifar_resnet("ResNetBottleneck", 11, 10, False)
    with pytest.raises(InvalidInputError, match="can't be a part"):
        init_from_model(basic, narrow)
    with pytest.raises(InvalidInputError, match="blocks of one kind"):
        init_from_model(basic, bottleneck)
    with pytest.raises(InvalidInputError, match="no layer for stage 0, block 1"):
        init_from_model(cifar_resnet("ResNetBasicblock", 14, 10, False), basic)
    with pytest.raises(InvalidInputError, match="got DenseNet"):
        init_from_model(basic, DenseNet(4, 10, 0.5, 10, True))
    with pytest.raises(InvalidInputError, match="Conv2d are copied, got Linear"):
        copy_conv(nn.Conv2d(2, 2, 1), nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="units of a convolution"):
        copy_base(nn.ReLU(), basic.layers[0])  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="can't be a part"):
        copy_conv(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1))
