"""Searchable networks: modes, temperature, choices, gradients, training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.residual import (
    SearchResNet,
    build_cifar_network,
    build_imagenet_network,
    change_key,
    search_cifar_resnet,
    search_imagenet_resnet,
    search_simple_resnet,
)
from tests.networks.test_oracle import run

BUILDERS: dict[str, Callable[[], SearchResNet]] = {
    "width": lambda: search_cifar_resnet("width", "ResNetBasicblock", 8, 2),
    "width-bottleneck": lambda: search_cifar_resnet("width", "ResNetBottleneck", 11, 2),
    "depth": lambda: search_cifar_resnet("depth", "ResNetBasicblock", 14, 2),
    "shape": lambda: search_cifar_resnet("shape", "ResNetBasicblock", 14, 2),
    "simple": lambda: search_simple_resnet(5, 2),
    "imagenet": lambda: search_imagenet_resnet("BasicBlock", [1, 2, 1, 1], True, 2),
}


def built(kind: str) -> SearchResNet:
    torch.manual_seed(0)
    return BUILDERS[kind]()


def toy_task() -> tuple[Tensor, Tensor]:
    """Return images of noise, of two classes: one channel is brighter than the others."""
    images, labels = 0.3 * torch.randn(8, 3, 8, 8), torch.arange(8) % 2
    for image, label in zip(images, labels.tolist(), strict=True):
        image[label] += 2
    return images, labels


@pytest.mark.parametrize("kind", BUILDERS)
def test_training_lowers_the_loss(kind: str) -> None:
    """Weights and probabilities are trained together; every logit that can matter gets a gradient."""
    network = built(kind).train()
    images, labels = toy_task()
    if kind == "imagenet":
        images = images.repeat(1, 1, 4, 4)
    network.apply(change_key("search_mode", "search"))
    network.set_tau(5, 0.1, 0.0)
    weights = torch.optim.Adam(network.base_parameters(), lr=0.03)
    probabilities = torch.optim.Adam(network.arch_parameters(), lr=0.01)
    losses, costs = [], []
    for _ in range(10):
        logits, mflops = network(images)
        loss = nn.functional.cross_entropy(logits, labels)
        network.zero_grad()
        (loss + mflops.squeeze() / mflops.item()).backward()
        weights.step()
        probabilities.step()
        losses.append(loss.item())
        costs.append(mflops.item())
    assert min(losses[1:]) < 0.7 * losses[0]  # the last ones may rise again: steps are large
    assert costs[-1] < costs[0]
    for values in network.arch_parameters():
        assert values.grad is not None
        assert values.grad.any() or values.shape[1] == 1


@pytest.mark.parametrize("kind", BUILDERS)
def test_parameters_are_of_one_group(kind: str) -> None:
    network = built(kind)
    together = [*network.arch_parameters(), *network.base_parameters()]
    assert {id(values) for values in together} == {id(values) for values in network.parameters()}
    assert len(together) == len(list(network.parameters()))


def test_basic_mode_trains() -> None:
    network = built("shape").train()
    features, logits = network(torch.randn(2, 3, 8, 8))
    assert (features.shape, logits.shape) == ((2, 64), (2, 2))
    logits.sum().backward()
    assert network.classifier.weight.grad is not None
    assert network.width_attentions is not None
    assert network.width_attentions.grad is None


def test_search_mode_needs_no_basic_pass_before() -> None:
    network = built("width")
    network.search_mode = "search"
    logits, mflops = network(torch.zeros(2, 3, 8, 8))
    assert (logits.shape, mflops.shape) == ((2, 2), (1,))
    network.search_mode = "searching"
    with pytest.raises(InvalidConfigError, match="Did you mean 'search'"):
        network(torch.zeros(2, 3, 8, 8))


def test_expected_multiply_adds_of_certain_choices() -> None:
    """If the largest widths and depths are certain, the expected multiply-adds are those of the full network."""
    for kind in ("width", "depth", "shape", "simple", "imagenet"):
        network = built(kind).eval()
        _, macs = run(network, 32)
        for values in network.arch_parameters():
            values.data.zero_()
            values.data[:, -1] = 100
        network.search_mode = "search"
        with torch.no_grad():
            mflops = network(torch.zeros(1, 3, 32, 32))[1]
        assert mflops.item() == pytest.approx(macs / 1e6, rel=1e-5)


def test_certain_depths_are_those_of_the_inferred_network() -> None:
    network = built("depth").eval()
    assert network.depth_attentions is not None
    with torch.no_grad():
        network.depth_attentions.copy_(torch.tensor([[100.0, 0], [0, 100.0], [100.0, 0]]))
        network.search_mode = "search"
        logits, mflops = network(torch.full((1, 3, 32, 32), 0.5))
    expected, config = network.get_flop("genotype", {})
    assert config["xblocks"] == [1, 2, 1]
    assert mflops.item() == pytest.approx(expected, rel=1e-5)
    inferred = build_cifar_network(inferred_config("depth", config)).eval()
    state = network.state_dict()
    kept = {1: 1, 2: 3, 3: 4, 4: 5}
    for name in inferred.state_dict():
        _, layer, *rest = name.split(".")
        if name.startswith("layers."):
            source = ".".join(["layers", str(kept.get(int(layer), 0)), *rest])
            inferred.state_dict()[name].copy_(state[source])
        else:
            inferred.state_dict()[name].copy_(state[name])
    with torch.no_grad():
        assert torch.allclose(inferred(torch.full((1, 3, 32, 32), 0.5))[1], logits, atol=1e-5)


def inferred_config(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    known = {
        "width": {"module": "ResNetBasicblock", "depth": 8},
        "width-bottleneck": {"module": "ResNetBottleneck", "depth": 11},
        "depth": {"module": "ResNetBasicblock", "depth": 14},
        "shape": {"module": "ResNetBasicblock", "depth": 14},
        "imagenet": {"arch": "resnet", "block_name": "BasicBlock", "layers": [1, 2, 1, 1], "deep_stem": True},
    }
    return {**known[kind], "class_num": 2, "zero_init_residual": False, **found}


@pytest.mark.parametrize("mode", ["genotype", "max", "fix", "random"])
@pytest.mark.parametrize("kind", BUILDERS)
def test_every_mode_of_get_flop(kind: str, mode: str) -> None:
    """What is estimated is what the inferred network computes, unless a dropped block's channels are counted."""
    network = built(kind).eval()
    for values in network.arch_parameters():
        nn.init.normal_(values)
    given = {"note": "kept"}
    _, full = run(network, 32)
    mflops, config = network.get_flop(mode, given, 0.5 if mode in ("fix", "random") else None)
    assert given == {"note": "kept"}
    assert config["note"] == "kept"
    assert config["estimated_FLOP"] == mflops
    if mode == "max":
        assert mflops == pytest.approx(full / 1e6, rel=1e-9)
    if kind == "simple":
        return
    inferred = (build_imagenet_network if kind == "imagenet" else build_cifar_network)(inferred_config(kind, config))
    _, macs = run(inferred.eval(), 32)
    if config.get("xblocks") in (None, [2, 2, 2], [1, 2, 1, 1]) or "xchannels" not in config:
        assert mflops == pytest.approx(macs / 1e6, rel=1e-9)


def test_fixed_depths() -> None:
    network = search_cifar_resnet("depth", "ResNetBasicblock", 32, 2)
    network(torch.zeros(1, 3, 8, 8))
    for part, blocks in ((0.1, 1), (0.6, 3), (1.0, 5)):
        assert network.get_flop("fix", {}, part)[1]["xblocks"] == [blocks] * 3


def test_random_depths_follow_the_probabilities() -> None:
    network = built("depth")
    network(torch.zeros(1, 3, 8, 8))
    assert network.depth_attentions is not None
    network.depth_attentions.data.copy_(torch.tensor([0.2, 0.8]).log().repeat(3, 1))
    torch.manual_seed(0)
    drawn = [network.get_flop("random", {})[1]["xblocks"] for _ in range(200)]
    assert sum(map(sum, drawn)) / 600 == pytest.approx(1.8, abs=0.06)


def test_get_flop_refuses() -> None:
    network = built("shape")
    with pytest.raises(InvalidInputError, match="run the network once"):
        network.get_flop("genotype")
    network(torch.zeros(1, 3, 8, 8))
    with pytest.raises(InvalidConfigError, match="unknown mode of get_flop 'bogus'"):
        network.get_flop("bogus")
    for extra in (None, 0, 1.5, "half"):
        with pytest.raises(InvalidConfigError, match="extra_info must be a number"):
            network.get_flop("fix", None, extra)  # type: ignore[arg-type]


def test_temperature() -> None:
    network = built("width")
    assert network.tau == -1
    for done, tau in ((0, 10), (1, 0.5), (0.5, 5.25), (0.25, 0.5 + 9.5 * (1 + math.cos(math.pi / 4)) / 2)):
        network.set_tau(10, 0.5, done)
        assert network.tau == pytest.approx(tau)
    with pytest.raises(InvalidConfigError, match="epoch_ratio"):
        network.set_tau(10, 0.5, 1.1)


def test_arch_info() -> None:
    network = built("shape")
    assert network.width_attentions is not None
    assert network.depth_attentions is not None
    network.width_attentions.data.zero_()
    network.depth_attentions.data.copy_(torch.tensor([0.75, 0.25]).log().repeat(3, 1))
    text, leads = network.get_arch_info()
    assert leads == pytest.approx([0.5] * 3 + [0.0] * 13)
    assert len(text.splitlines()) == 2 + 16
    assert network.get_message() == "ResNet to search shapes: depth 14, blocks of each stage [2, 2, 2]"


def test_sizes_of_the_last_pass_count() -> None:
    network = built("width")
    network(torch.zeros(1, 3, 32, 32))
    large = network.get_flop("max")
    network(torch.zeros(1, 3, 16, 16))
    small = network.get_flop("max")
    assert isinstance(large, float)
    assert isinstance(small, float)
    assert (large - 64 * 2 / 1e6) == pytest.approx(4 * (small - 64 * 2 / 1e6))
