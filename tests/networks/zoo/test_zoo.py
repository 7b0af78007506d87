"""The zoo: names and numbers of its networks, and that each family runs, is captured, and is the same every time."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.networks.zoo import ZooNetwork, zoo_families, zoo_networks

EVERY = zoo_networks()
FIRST = [zoo_networks([family])[0] for family in zoo_families()]


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_there_are_enough_networks_and_families() -> None:
    assert len(EVERY) >= 250
    counts = Counter(network.family for network in EVERY)
    assert list(counts) == list(zoo_families())
    assert len(counts) >= 60
    assert min(counts.values()) >= 4


def test_names_are_unique_and_readable() -> None:
    names = [network.name for network in EVERY]
    assert len(set(names)) == len(names)
    wrong = [name for name in names if not re.fullmatch(r"[a-z0-9.-]+-[0-9]+(px|t)", name)]
    assert not wrong
    assert [network.name for network in EVERY if not network.name.startswith(network.family[:3])] == []


@pytest.mark.parametrize("network", FIRST, ids=lambda network: network.family)
def test_each_family_computes(network: ZooNetwork) -> None:
    with torch.inference_mode():
        found: list[Tensor] = tree_leaves(network.build()(*network.example_inputs()))
    for tensor in found:
        assert tensor.isfinite().all()
        assert 1e-4 < float(tensor.std()) < 1e6


SAMPLE = [
    pytest.param(network, id=network.family, marks=[pytest.mark.slow] if place % 3 else [])
    for place, network in enumerate(FIRST)
]


@pytest.mark.parametrize("network", SAMPLE)
def test_each_family_is_captured(network: ZooNetwork) -> None:
    outline = network.outline()
    graph = Graph.from_torch(outline, *network.example_inputs())  # an unknown operator is a warning, an error here
    assert 1e6 <= sum(node.op.macs for node in graph.nodes) <= 2e9
    assert parameters(outline) <= 12e6
    assert sum(node.op.kind in ("conv", "matmul", "attention", "conv_transpose") for node in graph.nodes) > 3


def test_weights_depend_on_the_name_only() -> None:
    first, second, *_ = zoo_networks(["mobilenet-v2"])
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = first.build().state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    again = first.build().state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    key = "0.0.weight"
    assert not torch.equal(one[key].flatten()[:8], second.build().state_dict()[key].flatten()[:8])


def test_inputs_are_the_same_every_time_and_of_any_batch() -> None:
    [image] = FIRST[0].example_inputs()
    assert image.shape == (1, 3, 160, 160)
    assert torch.equal(image, FIRST[0].example_inputs()[0])
    assert FIRST[0].example_inputs(batch=3)[0].shape == (3, 3, 160, 160)


def test_published_sizes() -> None:
    """Multiply-adds and parameters as published, with 1,000 classes at 224 pixels: they check the blocks."""
    by_name = {network.name: network for network in EVERY}

    def sizes(name: str) -> tuple[float, float]:
        outline = by_name[name].outline()
        graph = Graph.from_torch(outline, *by_name[name].example_inputs())
        return sum(node.op.macs for node in graph.nodes) / 1e6, parameters(outline) / 1e6

    np.testing.assert_allclose(sizes("mobilenet-v2-w1.00-224px"), (300, 3.5), rtol=0.02)  # Sandler et al., table 4
    np.testing.assert_allclose(sizes("efficientnet-w1.00-d1.0-silu-224px"), (390, 5.3), rtol=0.03)  # Tan and Le
    np.testing.assert_allclose(sizes("shufflenet-v2-w1.00-k3-224px"), (146, 2.3), rtol=0.02)  # Ma et al., table 8
    np.testing.assert_allclose(sizes("regnet-x200-224px"), (200, 2.7), rtol=0.02)  # Radosavovic et al.


@pytest.mark.parametrize(
    ("families", "message"),
    [
        (["resnets"], r"unknown family of the zoo 'resnets'.*resnet"),
        ("resnet", r"families are a list of names, got 'resnet': put it into a list"),
    ],
    ids=["unknown", "text"],
)
def test_families_that_are_none(families: list[str] | str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        zoo_networks(families)


def test_families_are_chosen_in_the_zoos_order() -> None:
    chosen = zoo_networks(["vgg", "resnet", "vgg"])
    assert list(dict.fromkeys(network.family for network in chosen)) == ["resnet", "vgg"]
    assert zoo_networks([]) == ()
