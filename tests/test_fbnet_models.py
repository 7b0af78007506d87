"""FBNet under the original's name: the same network as this package's, from a config in every form."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hwnas_surrogate import FBNet
from hwnas_surrogate.config_utils import dict2config
from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError, InvalidConfigError
from hwnas_surrogate.fbnet_models import FBNet_Infer
from hwnas_surrogate.networks import FBNetNetwork, build_network

OPS = [0, 1, 2, 3, 4, 5, 6, 7, 8, *[8] * 13]
CONFIG = {
    "dataset": "cifar100",
    "num_classes": 100,
    "op_idx_list": OPS,
    "arch_str": [FBNet.ops[op] for op in OPS],
}


@pytest.mark.parametrize("form", [dict, dict2config, lambda config: SimpleNamespace(**config)], ids=["dict", "2", "3"])
@pytest.mark.parametrize("leave_out", ["", "op_idx_list", "arch_str", "num_classes"])
def test_every_form_of_a_config(form: Any, leave_out: str) -> None:
    config = {name: value for name, value in CONFIG.items() if name != leave_out}
    network = FBNet_Infer(form({**config, "extra": object()}))
    ours = build_network(OPS, "cifar100", "fbnet")
    assert isinstance(network, FBNetNetwork)
    assert network.training
    assert network.state_dict().keys() == ours.state_dict().keys()
    network.load_state_dict(ours.state_dict())
    x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x), ours(x))


def test_other_classes_and_the_other_dataset() -> None:
    assert FBNet_Infer({**CONFIG, "num_classes": 7}).fc.out_features == 7
    network = FBNet_Infer({"dataset": "ImageNet", "op_idx_list": OPS})
    assert (network.fc.in_features, network.fc.out_features) == (1984, 1000)


def test_the_weights_come_from_torchs_generator() -> None:
    torch.manual_seed(3)
    first = FBNet_Infer(CONFIG).fc.weight
    torch.manual_seed(3)
    assert torch.equal(FBNet_Infer(CONFIG).fc.weight, first)


WRONG: dict[str, tuple[Mapping[str, Any] | object, type[HWNASError]]] = {
    "nothing": ({}, InvalidConfigError),
    "no dataset": ({"op_idx_list": OPS}, InvalidConfigError),
    "dataset": ({**CONFIG, "dataset": "cifar10"}, InvalidConfigError),
    "dataset of another type": ({**CONFIG, "dataset": ["cifar100"]}, InvalidConfigError),
    "no classes": ({**CONFIG, "num_classes": 0}, InvalidConfigError),
    "half a class": ({**CONFIG, "num_classes": 2.5}, InvalidConfigError),
    "no architecture": ({"dataset": "cifar100"}, InvalidArchitectureError),
    "-1": ({"dataset": "cifar100", "op_idx_list": [-1] * 22}, InvalidArchitectureError),
    "9": ({"dataset": "cifar100", "op_idx_list": [9] * 22}, InvalidArchitectureError),
    "21 blocks": ({"dataset": "cifar100", "op_idx_list": [0] * 21}, InvalidArchitectureError),
    "two architectures": ({"dataset": "cifar100", "op_idx_list": [OPS, OPS]}, InvalidArchitectureError),
    "block name": ({"dataset": "cifar100", "arch_str": ["k7_e1"] * 22}, InvalidArchitectureError),
    "two that differ": ({**CONFIG, "op_idx_list": [0] * 22}, InvalidArchitectureError),
    "an index": (3, InvalidConfigError),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_configs(name: str) -> None:
    config, error = WRONG[name]
    with pytest.raises(error):
        FBNet_Infer(config)
