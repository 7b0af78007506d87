from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.residual import additive_func, change_key, parse_channel_info


def test_sum_over_common_channels() -> None:
    a, b = torch.randn(2, 5, 3, 3, requires_grad=True), torch.randn(2, 3, 3, 3, requires_grad=True)
    before = a.detach().clone()
    for total in (additive_func(a, b), additive_func(b, a)):
        assert torch.equal(total[:, :3], a[:, :3] + b)
        assert torch.equal(total[:, 3:], a[:, 3:])
    assert torch.equal(additive_func(a, a), 2 * a)
    assert torch.equal(a, before)
    additive_func(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert torch.equal(a.grad, torch.ones_like(a))


@pytest.mark.parametrize("shape", [(1, 3, 3, 3), (2, 3, 2, 3), (2, 3, 3), (2,)])
def test_sum_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="differ in the channels only"):
        additive_func(torch.zeros(2, 5, 3, 3), torch.zeros(shape))


def test_change_key_leaves_other_modules() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.ReLU(), nn.Sequential(nn.Dropout(0.5)))
    network.apply(change_key("p", 0.2))
    assert [module.p for module in network.modules() if hasattr(module, "p")] == [0.2, 0.2]
    assert not hasattr(network[1], "p")


def test_channels_text() -> None:
    assert parse_channel_info("3-16 16-12-8 8") == [[3, 16], [16, 12, 8], [8]]


@pytest.mark.parametrize("text", ["", " ", "3:16", "3-", "a-b", "3--4", None, 3, "3-0"], ids=repr)
def test_bad_channels_text(text: object) -> None:
    with pytest.raises(InvalidConfigError, match="channels"):
        parse_channel_info(text)  # type: ignore[arg-type]
