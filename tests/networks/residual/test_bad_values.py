"""Values that a user's config or call may hold by mistake: one clear error each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.residual import (
    build_cifar_network,
    build_imagenet_network,
    build_search_network,
    change_key,
    select2withP,
)

SEARCH = {"dataset": "cifar", "arch": "resnet", "search_mode": "width", "depth": 8, "class_num": 10}
SEARCH |= {"module": "ResNetBasicblock"}
INFERRED = {"module": "ResNetBasicblock", "depth": 8, "class_num": 10, "zero_init_residual": False}


@pytest.mark.parametrize(
    ("build", "config", "message"),
    [
        (build_cifar_network, {"super_type": np.zeros(2)}, "unknown super_type of a CIFAR network"),
        (build_imagenet_network, {"super_type": np.zeros(2)}, "unknown super_type of an ImageNet network"),
        (build_search_network, {**SEARCH, "arch": np.zeros(2)}, "unknown arch of a cifar network to search"),
        (build_cifar_network, {**INFERRED, "super_type": "infer-width", "xchannels": None}, "has no value of 'xchan"),
        (build_cifar_network, {**INFERRED, "super_type": "infer-depth", "xblocks": None}, "has no value of 'xblocks'"),
        (build_search_network, {**SEARCH, "depth": None}, "has no value of 'depth': it is None"),
        (build_cifar_network, {**INFERRED, "super_type": "infer-depth", "xblocks": np.array(1)}, "a list of integers"),
        (build_cifar_network, {**INFERRED, "super_type": "infer-depth", "xblocks": np.ones((3, 1), int)}, "a list of"),
    ],
    ids=["super type", "ImageNet super type", "arch", "no channels", "no blocks", "no depth", "no axis", "two axes"],
)
def test_configs(build: Callable[[Mapping[str, Any]], object], config: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        build(config)


def test_long_names_are_not_quoted_whole() -> None:
    with pytest.raises(InvalidConfigError) as error:
        build_cifar_network({"arch": "x" * 5000})
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("tau", [np.nan, np.inf, None, "", np.zeros(2), True])
def test_temperatures(tau: Any) -> None:
    network = build_search_network(SEARCH)
    with pytest.raises(InvalidConfigError, match="must be a finite number, got"):
        network.set_tau(10.0, tau, 0.5)
    with pytest.raises(InvalidConfigError, match="tau must be a finite number, got"):
        select2withP(torch.zeros(2, 3), tau)


def test_calls() -> None:
    network = build_search_network(SEARCH)
    with pytest.raises(InvalidConfigError, match=r"must be a mapping of names to values, got \[\]"):
        network.get_flop("genotype", [])  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"can't draw 1.5 choices from logits of shape \(2, 3\)"):
        select2withP(torch.zeros(2, 3), 1.0, num=1.5)  # type: ignore[call-overload]
    with pytest.raises(InvalidInputError, match="key is an attribute's name, a text; got None"):
        change_key(None, 3)  # type: ignore[arg-type]


def test_numbers_of_numpy() -> None:
    """What a value means does not depend on who stores it."""
    dense: dict[str, Any] = {"arch": "densenet", "growthRate": 4, "depth": 10, "reduction": 0.5, "class_num": 10}
    given = dense | {"growthRate": np.int8(4), "reduction": np.float32(0.5), "bottleneck": np.True_}
    expected, found = (build_cifar_network(config).state_dict() for config in (dense | {"bottleneck": True}, given))
    assert {name: value.shape for name, value in found.items()} == {name: v.shape for name, v in expected.items()}
    with pytest.raises(InvalidConfigError, match=r"reduction must be a number above 0, up to 1, got np.float32\(nan\)"):
        build_cifar_network(given | {"reduction": np.float32("nan")})
    with pytest.raises(InvalidConfigError, match="bottleneck must be True or False, got"):
        build_cifar_network(given | {"bottleneck": np.float32(1)})
