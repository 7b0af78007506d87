from __future__ import annotations

import torch

from hwnas_surrogate.networks.residual import WideResNet


def test_dropout_trains() -> None:
    torch.manual_seed(0)
    network = WideResNet(depth=10, wide_factor=1, class_num=3, dropout=True).train()
    x = torch.randn(4, 3, 8, 8)
    first, second = network(x)[1], network(x)[1]
    assert not torch.equal(first, second)
    first.square().sum().backward()
    assert all(values.grad is not None for values in network.parameters())


def test_dropout_rests_in_eval_mode() -> None:
    plain, dropping = (WideResNet(10, 1, 3, dropout).eval() for dropout in (False, True))
    dropping.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(plain(x)[1], dropping(x)[1])
