"""A few steps of every searchable network lower its loss, and the architecture parameters learn where they should."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hwnas_surrogate.networks.cells import CELL_SPACES, build_cell_network

NORM = {"affine": False, "track_running_stats": True, "num_classes": 2}
TINY: dict[str, Any] = {"C": 4, "N": 1, "max_nodes": 3, "space": list(CELL_SPACES["connect-nas"]), **NORM}
NASNET: dict[str, Any] = TINY | {
    "super_type": "nasnet-super",
    "steps": 2,
    "multiplier": 2,
    "stem_multiplier": 1,
    "C": 8,
}
SIZED: dict[str, Any] = NORM | {
    "super_type": "search-shape", "candidate_Cs": [4, 8], "max_num_Cs": 5, "affine": True,
    "genotype": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|",
}  # fmt: skip


def generic(algo: str, mode: str) -> Callable[[Any], None]:
    def prepare(network: Any) -> None:
        network.set_algo(algo)
        network.set_cal_mode(mode)

    return prepare


def sized(algo: str) -> Callable[[Any], None]:
    def prepare(network: Any) -> None:
        network.set_algo(algo)
        network.set_tau(2.0)

    return prepare


def mode(name: str) -> Callable[[Any], None]:
    return lambda network: network.set_cal_mode(name)


CASES: dict[str, tuple[dict[str, Any], Callable[[Any], Any], Callable[[Any], Any], bool]] = {
    # config, what is called once, what is called before each step, whether architecture parameters get gradients
    "DARTS-V1": (TINY | {"name": "DARTS-V1"}, lambda network: None, lambda network: None, True),
    "GDAS": (TINY | {"name": "GDAS"}, lambda network: None, lambda network: None, True),
    "SETN-urs": (TINY | {"name": "SETN"}, lambda network: None, lambda network: None, False),
    "SETN-joint": (TINY | {"name": "SETN"}, mode("joint"), lambda network: None, True),
    "SETN-select": (TINY | {"name": "SETN"}, mode("select"), lambda network: None, False),
    "ENAS": (TINY | {"name": "ENAS"}, lambda network: None,
             lambda network: network.update_arch([random.randrange(1, 3) for _ in range(3)]), False),
    "RANDOM": (TINY | {"name": "RANDOM"}, lambda network: None, lambda network: network.random_genotype(True), False),
    "generic-gdas": (TINY | {"name": "generic"}, generic("gdas", "gdas"), lambda network: None, True),
    "generic-setn": (TINY | {"name": "generic"}, generic("setn", "joint"), lambda network: None, True),
    "generic-enas": (TINY | {"name": "generic"}, generic("enas", "enas"), lambda network: None, False),
    "nasnet-GDAS": (NASNET | {"name": "GDAS"}, lambda network: None, lambda network: None, True),
    "nasnet-GDAS_FRC": (NASNET | {"name": "GDAS_FRC"}, lambda network: None, lambda network: None, True),
    "nasnet-DARTS": (NASNET | {"name": "DARTS"}, lambda network: None, lambda network: None, True),
    "fbv2": (SIZED, sized("fbv2"), lambda network: None, True),
    "tunas": (SIZED, sized("tunas"), lambda network: None, True),
    "tas": (SIZED, sized("tas"), lambda network: None, True),
}  # fmt: skip


def task() -> tuple[Tensor, Tensor]:
    """Return noise, and in half of the images a bright stripe."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 3, 8, 8, generator=draw), torch.arange(16) % 2
    x[:, 0, :, 2:5] += 3.0 * y.view(-1, 1, 1)
    return x, y


def losses(network: Any, before: Callable[[Any], Any], steps: int) -> tuple[list[float], bool]:
    """Return the loss of each step, and whether all architecture parameters had gradients in one."""
    x, y = task()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    found, learned = [], False
    for _ in range(steps):
        before(network)
        output = network(x)
        loss = functional.cross_entropy(output[1], y)
        found.append(loss.item())
        if len(output) == 3 and output[2]:  # TuNAS: a draw is rewarded by a low loss
            loss = loss + loss.detach() * torch.cat(output[2]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learned = learned or all(one.grad is not None and one.grad.abs().sum() > 0 for one in alphas_of(network))
    return found, learned


def alphas_of(network: Any) -> list[Tensor]:
    if network.__dict__["_parameters"].get("arch_parameters", network) is None:
        return [torch.empty(0)]
    alphas: list[Tensor] = network.get_alphas() if hasattr(network, "get_alphas") else network.alphas
    return alphas


@pytest.mark.parametrize("case", CASES)
def test_steps_lower_the_loss(case: str) -> None:
    config, prepare, before, learns = CASES[case]
    torch.manual_seed(0)
    random.seed(0)
    network: Any = build_cell_network(config)
    prepare(network)
    found, learned = losses(network, before, 12)
    assert sum(found[-4:]) < 0.8 * sum(found[:4])
    weights = network.get_weights() if hasattr(network, "get_weights") else network.weights
    assert sum(one.grad is not None for one in weights) > len(weights) / 3
    assert learned is learns


def test_a_controller_learns_the_rewarded_cells() -> None:
    torch.manual_seed(0)
    network: Any = build_cell_network(TINY | {"name": "ENAS"})
    controller = network.create_controller()
    optimizer = torch.optim.Adam(controller.parameters(), lr=0.02)
    rewards = []
    for _ in range(40):
        log_prob, _, ops = controller()
        reward = sum(op == 1 for op in ops) / len(ops)
        rewards.append(reward)
        optimizer.zero_grad()
        (-(reward - 0.4) * log_prob).backward()
        optimizer.step()
    assert sum(rewards[-15:]) > 1.3 * sum(rewards[:15])
