from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.residual import (
    ChannelWiseInter,
    drop_path,
    get_depth_choices,
    get_width_choices,
    linear_forward,
    select2withP,
)


def test_selection_without_noise() -> None:
    logits = torch.tensor([[3.0, 0.0, 1.0], [0.0, 0.0, 5.0]], requires_grad=True)
    assert torch.allclose(select2withP(logits, -1, True), logits.softmax(1))
    picks, weights = select2withP(logits, 0)
    for row, (pair, shares) in enumerate(zip(picks, weights, strict=True)):
        assert pair[0] != pair[1]
        assert torch.allclose(shares, logits[row, pair].softmax(0))
    weights[:, 0].sum().backward()
    assert logits.grad is not None
    assert (logits.grad.gather(1, picks) != 0).all()
    assert logits.grad.count_nonzero() == 4


def test_selection_follows_the_probabilities() -> None:
    """Gumbel noise at temperature 1: the largest value is each choice with its probability."""
    torch.manual_seed(0)
    odds = torch.tensor([0.1, 0.2, 0.7])
    drawn = select2withP(odds.log().repeat(20_000, 1), 1.0, True).argmax(1)
    assert torch.allclose(drawn.bincount() / 20_000, odds, atol=0.015)


def test_selection_is_reproducible() -> None:
    logits = torch.randn(6, 8)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(select2withP(logits, 2.0))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_selection_of_no_rows() -> None:
    picks, weights = select2withP(torch.zeros(0, 4), 1.0)
    assert (picks.dtype, picks.shape, weights.shape) == (torch.int64, (0, 2), (0, 2))


def test_selection_of_other_numbers() -> None:
    picks, weights = select2withP(torch.zeros(2, 4), 1.0, num=4)
    assert picks.sort(1).values.tolist() == [[0, 1, 2, 3]] * 2
    assert torch.allclose(weights.sum(1), torch.ones(2))


@pytest.mark.parametrize(
    ("shape", "num"), [((3, 1), 2), ((3,), 2), ((3, 4), 5), ((3, 4), 0), ((3, 4), None), ((3, 4), True)]
)
def test_selection_refuses(shape: tuple[int, ...], num: Any) -> None:
    with pytest.raises(InvalidInputError, match="can't draw"):
        select2withP(torch.zeros(shape), 1.0, num=num)


def test_selection_of_what_is_not_finite_ends() -> None:
    with pytest.raises(InvalidInputError, match="not finite"):
        select2withP(torch.full((1, 3), float("nan")), 1.0)


def interpolated(x: Tensor, c_out: int) -> Tensor:
    """Average the input channels that each output channel overlaps, one by one."""
    c_in = x.shape[1]
    out = []
    for place in range(c_out):
        overlaps = [c for c in range(c_in) if c * c_out < (place + 1) * c_in and (c + 1) * c_out > place * c_in]
        out.append(x[:, overlaps].mean(1))
    return torch.stack(out, 1)


@pytest.mark.parametrize("mode", ["v1", "v2"])
@pytest.mark.parametrize(("c_in", "c_out"), [(4, 4), (4, 9), (9, 16), (5, 2), (1, 3), (3, 1)])
def test_interpolation(mode: str, c_in: int, c_out: int) -> None:
    x = torch.randn(2, c_in, 3, 2)
    assert torch.allclose(ChannelWiseInter(x, c_out, mode), interpolated(x, c_out), atol=1e-6)


def test_interpolation_refuses() -> None:
    with pytest.raises(InvalidConfigError, match="unknown mode"):
        ChannelWiseInter(torch.zeros(1, 2, 3, 3), 4, "v3")
    with pytest.raises(InvalidInputError, match="shape"):
        ChannelWiseInter(torch.zeros(1, 2), 4)
    with pytest.raises(InvalidConfigError, match="oC"):
        ChannelWiseInter(torch.zeros(1, 2, 3, 3), 0)


def test_linear_of_leading_features() -> None:
    linear, x = nn.Linear(5, 3), torch.randn(2, 4)
    padded = torch.cat([x, torch.zeros(2, 1)], 1)
    assert torch.allclose(linear_forward(x, linear), linear(padded), atol=1e-6)
    assert linear_forward(x, None) is x
    no_bias = nn.Linear(4, 2, bias=False)
    assert torch.equal(linear_forward(x, no_bias), no_bias(x))
    with pytest.raises(InvalidInputError, match="at most 5"):
        linear_forward(torch.zeros(1, 6), linear)


@pytest.mark.parametrize(
    ("full", "choices"),
    [
        (16, (4, 6, 8, 9, 11, 12, 14, 16)),
        (64, (19, 25, 32, 38, 44, 51, 57, 64)),
        (2048, (614, 819, 1024, 1228, 1433, 1638, 1843, 2048)),
        (8, (2, 3, 4, 5, 6, 7, 8)),
    ],
)
def test_width_choices(full: int, choices: tuple[int, ...]) -> None:
    assert get_width_choices(full) == choices


def test_number_of_width_choices() -> None:
    assert get_width_choices(None) == 8


@pytest.mark.parametrize(
    ("blocks", "choices"), [(2, (1, 2)), (3, (1, 2, 3)), (4, (1, 3, 4)), (5, (1, 3, 5)), (9, (1, 3, 5, 7, 9))]
)
def test_depth_choices(blocks: int, choices: tuple[int, ...]) -> None:
    assert get_depth_choices(blocks) == choices
    assert get_depth_choices(blocks, True) == len(choices)


def test_choices_of_nothing() -> None:
    with pytest.raises(InvalidInputError, match="no depths"):
        get_depth_choices(1)
    for choices in (get_depth_choices, get_width_choices):
        with pytest.raises(InvalidConfigError, match="integer"):
            choices(0)


def test_drop_path() -> None:
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 1, 1)
    out = drop_path(x, 0.25)
    assert drop_path(x, 0) is x
    assert drop_path(x, np.float32(0)) is x  # type: ignore[arg-type]
    assert torch.equal(out[:, 0], out[:, 1])
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert out.mean().item() == pytest.approx(1, abs=0.03)
    for bad in (1, -0.1, float("nan"), None, "0.5", [0.5]):
        with pytest.raises(InvalidConfigError, match="drop_prob"):
            drop_path(x, bad)  # type: ignore[arg-type]
