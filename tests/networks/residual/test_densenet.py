from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas_surrogate.networks.residual import DenseNet


@pytest.mark.parametrize("bottleneck", [False, True])
def test_channels(bottleneck: bool) -> None:
    """Counted by hand: 8; 12, halved to 6 (two layers without bottlenecks: 16, 8); and so on."""
    network = DenseNet(growth_rate=4, depth=10, reduction=0.5, class_num=3, bottleneck=bottleneck)
    convs = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    got = [(conv.in_channels, conv.out_channels, conv.kernel_size[0]) for conv in convs]
    if bottleneck:
        layer = (16, 4, 3)
        assert got == [(3, 8, 3), (8, 16, 1), layer, (12, 6, 1), (6, 16, 1), layer, (10, 5, 1), (5, 16, 1), layer]
    else:
        block, transition = [(8, 4, 3), (12, 4, 3)], (16, 8, 1)
        assert got == [(3, 8, 3), *block, transition, *block, transition, *block]
    features, logits = network(torch.randn(2, 3, 8, 8))
    assert (features.shape, logits.shape) == ((2, 9 if bottleneck else 16), (2, 3))
