"""FBNet's super-net: draws, hard and soft passes, costs, and the networks that are derived from it."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from hwnas_surrogate.data.blocks import BlockTable, block_keys
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.networks import FBNetNetwork, build_network
from hwnas_surrogate.networks.fbnet_supernet import FBNetSuperNet
from hwnas_surrogate.spaces import FBNet, FBNetConfig

TINY = FBNetConfig(
    stem_channels=4, stage_channels=(4, 4, 6, 6, 6, 6, 6), stage_strides=(1, 1, 2, 1, 1, 1, 1), header_channels=8,
    num_classes=2, height=8, width=8,
)  # fmt: skip
ARCH = FBNet().sample(1, 0)[0]


@cache
def built() -> FBNetSuperNet:
    torch.manual_seed(0)
    return FBNetSuperNet(TINY)


def supernet(hard: bool = False) -> FBNetSuperNet:
    """Return the one super-net of these tests, which takes a while to build, with new logits and settings."""
    network = built()
    network.hard, network.temperature = hard, 5.0
    torch.manual_seed(0)
    nn.init.normal_(network.alphas, 0, 1e-3)
    network.zero_grad()
    return network.train()


def prefer(network: FBNetSuperNet, arch: npt.NDArray[np.int8], lead: float = 1000) -> None:
    """Make an architecture certain, or just probable."""
    with torch.no_grad():
        network.alphas.zero_()
        network.alphas[torch.arange(22), torch.from_numpy(arch.astype(np.int64))] = lead


@pytest.mark.parametrize("hard", [False, True])
def test_derived_network_computes_the_same(hard: bool) -> None:
    network = supernet(hard)
    prefer(network, ARCH)
    network.train()(torch.randn(4, 3, 8, 8))  # so that the batch norms' statistics differ from their first ones
    network.eval()
    x = torch.randn(2, 3, 8, 8)
    derived = network.derive()
    assert type(derived) is FBNetNetwork
    assert not derived.training
    assert network.genotype() == FBNet().format(ARCH)
    with torch.no_grad():
        assert torch.allclose(network(x), derived(x), atol=1e-5)
        assert torch.allclose(network.derive(FBNet().format(ARCH))(x), derived(x))
    assert build_network(network.genotype(), TINY, "fbnet").state_dict().keys() == derived.state_dict().keys()


def test_derived_weights_are_copies() -> None:
    network = supernet()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    derived = network.derive(ARCH)
    for values in derived.parameters():
        values.data.zero_()
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_state_names_are_those_of_the_inference_network() -> None:
    network = supernet()
    names = set(network.state_dict())
    for op, name in enumerate(FBNet.ops):
        for key in FBNetNetwork([op] * 22, TINY).state_dict():
            layer = re.match(r"cells\.(\d+)\.", key)
            assert (f"cells.{layer[1]}.{name}.{key[layer.end() :]}" if layer else key) in names


@pytest.mark.parametrize("hard", [False, True])
def test_draws_follow_the_probabilities(hard: bool) -> None:
    """The largest weight is each block's with its probability, whatever the temperature."""
    network = supernet(hard).train()
    odds = torch.tensor([0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.1, 0.2, 0.3])
    network.alphas.data.copy_(odds.log().repeat(22, 1))
    torch.manual_seed(0)
    drawn = torch.stack([network.draw() for _ in range(500)]).detach()
    assert torch.allclose(drawn.sum(2), torch.ones(500, 22), atol=1e-5)
    assert torch.allclose(drawn.argmax(2).flatten().bincount(minlength=9) / 11_000, odds, atol=0.015)
    if hard:
        assert torch.allclose(drawn.max(2).values, torch.ones(500, 22), atol=1e-5)
        assert torch.allclose(drawn.mean((0, 1)), odds, atol=0.015)


def test_low_temperatures_are_nearly_hard() -> None:
    network = supernet().train()
    network.temperature = 1e-3
    assert network.draw().max(1).values.min() > 0.7
    network.temperature = 1e3
    assert network.draw().max() < 0.15


def test_nothing_is_drawn_in_eval_mode() -> None:
    network = supernet().eval()
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
    assert torch.allclose(network.draw(), (network.alphas / network.temperature).softmax(1), atol=1e-6)


@pytest.mark.parametrize("hard", [False, True])
def test_training_lowers_the_loss_and_the_cost(hard: bool) -> None:
    torch.manual_seed(0)
    network = FBNetSuperNet(TINY, hard=hard).train()
    if hard:  # late in a search, when draws hardly differ
        prefer(network, ARCH, 5)
    images, labels = 0.3 * torch.randn(8, 3, 8, 8), torch.arange(8) % 2
    images[:, 0] += 2 * labels[:, None, None]
    costs = np.tile(np.arange(9.0), (22, 1))
    weights = torch.optim.Adam(network.base_parameters(), lr=0.03)
    alphas = torch.optim.Adam(network.arch_parameters(), lr=0.05)
    losses, expected = [], []
    for _ in range(12 if hard else 6):
        drawn = network.draw()
        loss = nn.functional.cross_entropy(network(images, drawn), labels)
        cost = network.expected_cost(costs, drawn)
        network.zero_grad()
        (loss + 0.01 * cost).backward()
        weights.step()
        alphas.step()
        losses.append(loss.item())
        expected.append(network.expected_cost(costs).item())
    assert losses[-1] < 0.85 * losses[0]
    assert expected[-1] < expected[0]
    assert network.alphas.grad is not None
    assert network.alphas.grad.any(dim=1).all()


def test_hard_runs_one_block_a_layer() -> None:
    network = supernet(hard=True).train()
    ran: list[str] = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, part in network.named_modules()
        if re.fullmatch(r"cells\.\d+\.\w+", name)
    ]
    network(torch.randn(2, 3, 8, 8))
    for hook in hooks:
        hook.remove()
    assert [int(name.split(".")[1]) for name in ran] == list(range(22))


def test_expected_cost_of_a_table() -> None:
    """Against the mean over sampled architectures."""
    network = supernet()
    nn.init.normal_(network.alphas)
    costs = np.random.default_rng(0).uniform(1, 5, (22, 9))
    odds = network.probabilities().detach().double().numpy()
    rng = np.random.default_rng(1)
    sampled = np.stack([rng.choice(9, 4000, p=row / row.sum()) for row in odds], axis=1)
    mean = costs[np.arange(22), sampled].sum(1).mean()
    assert network.expected_cost(costs).item() == pytest.approx(mean, rel=0.005)

    def total(archs: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
        assert (archs.dtype, archs.shape[1]) == (np.int8, 22)
        return 7 + costs[np.arange(22), archs].sum(1)

    assert network.expected_cost(total).item() == pytest.approx(7 + network.expected_cost(costs).item(), rel=1e-6)


def test_expected_cost_of_a_certain_architecture() -> None:
    """Exact for a cost that is no sum over blocks, too."""
    network = supernet()
    prefer(network, ARCH)
    cost = network.expected_cost(lambda archs: np.sqrt(1.0 + archs.astype(float).sum(1) ** 2))
    assert cost.item() == pytest.approx(np.sqrt(1.0 + float(ARCH.sum()) ** 2), rel=1e-6)
    cost.backward()
    assert network.alphas.grad is not None


def test_expected_cost_of_a_block_table() -> None:
    """Its lookup is such a function."""
    stem, blocks, head = block_keys(TINY)
    keys = {stem, *head, *(key for row in blocks for key in row)}
    costs = dict(zip(sorted(keys), np.random.default_rng(0).uniform(1, 5, len(keys)), strict=True))
    table = BlockTable({"board/latency": costs}).with_config(TINY)
    network = supernet()
    prefer(network, ARCH)
    assert network.expected_cost(table.lookup).item() == pytest.approx(table.lookup(ARCH).to_numpy().item(), rel=1e-6)


@pytest.mark.parametrize(
    "costs", [
        np.zeros((9, 22)), np.full((22, 9), np.nan), "free", lambda archs: archs, lambda archs: [1.0],
        torch.ones(22, 9, requires_grad=True),
    ],
    ids=["shape", "nan", "text", "function-2d", "function-length", "gradients"],
)  # fmt: skip
def test_bad_costs(costs: object) -> None:
    with pytest.raises(InvalidInputError, match="costs must be"):
        supernet().expected_cost(costs)  # type: ignore[arg-type]


@pytest.mark.slow
def test_graph() -> None:
    network = supernet().eval()
    graph = Graph.from_torch(network, torch.zeros(1, 3, 8, 8))
    blocks = sum(sum(values.numel() for values in FBNetNetwork([op] * 22, TINY).cells.parameters()) for op in range(9))
    assert graph.params >= blocks


def test_bad_arguments() -> None:
    assert FBNetSuperNet(TINY, temperature=np.float32(2)).draw().shape == (22, 9)
    for temperature in (0, -1.0, float("inf"), "hot", True, np.float64("nan")):
        with pytest.raises(InvalidConfigError, match="temperature must be a positive, finite number"):
            FBNetSuperNet(TINY, temperature=temperature)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match="needs channels divisible by 2"):
        FBNetSuperNet(FBNetConfig(stem_channels=3))
    network = supernet()
    with pytest.raises(InvalidInputError, match=r"shape \(22, 9\)"):
        network(torch.zeros(1, 3, 8, 8), torch.zeros(9))
    with pytest.raises(InvalidInputError, match=r"a tensor of shape \(22, 9\), got list"):
        network(torch.zeros(1, 3, 8, 8), [[1.0] * 9] * 22)
    with pytest.raises(InvalidArchitectureError):
        network.derive("k3_e1|skip")
    network.temperature = 0
    with pytest.raises(InvalidConfigError, match="temperature"):
        network.draw()
