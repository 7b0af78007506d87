"""The size space's super-net: masks, draws, two widths, and wrong uses."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hwnas_surrogate.errors import HWNASError
from hwnas_surrogate.networks.cells import SizeSearchNetwork

CELL = "|nor_conv_1x1~0|+|skip_connect~0|nor_conv_1x1~1|"
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def super_net(algo: str | None = None, tau: float = 5.0, layers: int = 5) -> SizeSearchNetwork:
    torch.manual_seed(0)
    network = SizeSearchNetwork([4, 8, 6], layers, CELL, 10, True, True).eval()
    if algo is not None:
        network.set_algo(algo)
        network.set_tau(tau)
    return network


def cut(network: SizeSearchNetwork, widths: list[int]) -> Tensor:
    """Return the logits when only the first channels of each layer are used."""
    x = X
    for number, cell in enumerate(network._cells):
        x = cell(x)
        x = functional.pad(x[:, : widths[max(0, number - 1)]], (0, 0, 0, 0, 0, 8 - widths[max(0, number - 1)]))
    logits: Tensor = network.classifier(network.global_pooling(network.lastact(x)).flatten(1))
    return logits


@pytest.mark.parametrize("algo", ["fbv2", "tunas", "tas"])
def test_certain_parameters_cut_channels(algo: str) -> None:
    network = super_net(algo, tau=0.01)
    with torch.no_grad():
        network.alphas[0].copy_(400 * torch.eye(3)[[0, 2, 1, 0, 2]])
        features, logits, log_probs = network(X)
        assert network.genotype == "4:6:8:4:6"
        assert (features.shape, logits.shape) == ((2, 8), (2, 10))
        assert len(log_probs) == (6 if algo == "tunas" else 0)
        if algo != "tas":  # there a narrow width is spread over the channels of a wider one
            torch.testing.assert_close(logits, cut(network, [4, 6, 8, 4, 6]))


def test_two_equal_widths_are_cut_channels() -> None:
    """With both draws at the widest there is nothing to spread: weights of 1 and 0 on widths 8 and 6."""
    network = super_net("tas", tau=0.01)
    with torch.no_grad():
        network.alphas[0].copy_(torch.tensor([-400.0, 400, 200]).repeat(5, 1))
        torch.testing.assert_close(network(X)[1], cut(network, [8] * 5))


def test_tunas_returns_the_probability_of_its_draw() -> None:
    network = super_net("tunas")
    with torch.no_grad():
        network.alphas[0].normal_()
    torch.manual_seed(0)
    logs = network.alphas[0].log_softmax(-1)
    chosen = []
    for _ in range(120):
        log_probs = network(X[:1])[2]
        first = (logs[0] - log_probs[0]).abs().argmin().item()
        chosen.append(first)
        assert (logs[4] - log_probs[5]).abs().min() < 1e-6
    shares = torch.bincount(torch.tensor(chosen), minlength=3) / 120
    torch.testing.assert_close(shares, logs[0].exp().detach(), atol=0.15, rtol=0)


def test_draws_differ_in_eval_mode_too() -> None:
    for algo in ("fbv2", "tunas", "tas"):
        network = super_net(algo)
        torch.manual_seed(0)
        with torch.no_grad():
            assert len({network(X)[1].sum().item() for _ in range(8)}) > 3


def test_channels_as_text() -> None:
    network = super_net()
    random.seed(0)
    drawn = {network.random for _ in range(30)}
    assert len(drawn) > 20
    assert {part for text in drawn for part in text.split(":")} == {"4", "6", "8"}
    assert all(len(text.split(":")) == 5 for text in drawn)
    assert "arch-parameters" in network.show_alphas()
    assert "candidates=[4, 8, 6], num=5, N=1" in network.get_message()


def test_parameters_are_parted() -> None:
    network = super_net("fbv2")
    both = {id(one) for one in (*network.weights, *network.alphas)}
    assert both == {id(one) for one in network.parameters()}
    assert network.tau.tolist() == [5.0]


def test_one_candidate_has_nothing_to_mix() -> None:
    network = SizeSearchNetwork([4], 2, CELL, 10).eval()
    network.set_algo("tas")
    network.set_tau(1)
    assert network(X)[1].shape == (2, 10)


WRONG: dict[str, Any] = {
    "algorithm": lambda: super_net().set_algo("bogus"),
    "twice": lambda: super_net("tas").set_algo("fbv2"),
    "no-algorithm": lambda: super_net()(X),
    "no-temperature": lambda: (network := super_net(), network.set_algo("tas"), network(X)),
    "temperature": lambda: super_net("tas").set_tau(0),
    "no-number": lambda: super_net("tas").set_tau(None),  # type: ignore[arg-type]
    "endless": lambda: super_net("tas").set_tau(float("inf")),
    "array-algorithm": lambda: super_net().set_algo(torch.zeros(2)),  # type: ignore[arg-type]
    "layers": lambda: super_net(layers=6),
    "layers-text": lambda: SizeSearchNetwork([4], "5", CELL, 10),  # type: ignore[arg-type]
    "layers-bool": lambda: SizeSearchNetwork([4], True, CELL, 10),
    "no-candidates": lambda: SizeSearchNetwork([], 5, CELL, 10),
    "zero": lambda: SizeSearchNetwork([4, 0], 5, CELL, 10),
    "repeated": lambda: SizeSearchNetwork([4, 4], 5, CELL, 10),
    "text": lambda: SizeSearchNetwork("48", 5, CELL, 10),  # type: ignore[arg-type]
    "number": lambda: SizeSearchNetwork(4, 5, CELL, 10),  # type: ignore[arg-type]
    "cell": lambda: SizeSearchNetwork([4], 5, {"normal": []}, 10),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_uses(case: str) -> None:
    with pytest.raises(HWNASError):
        WRONG[case]()
