"""Every figure of the oracle (the original networks, computed independently) under the rules in its ``meta``."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.networks import build_network
from hwnas_surrogate.spaces import FBNet, NASBench201, NASBench201Config
from tests.networks.filling import fill

ORACLE: dict[str, Any] = json.loads(Path(__file__).with_name("network_oracle.json").read_text())
ARCHS = {name: {arch["id"]: arch for arch in ORACLE[name]["archs"]} for name in ("nasbench201", "fbnet")}


def state_hash(network: nn.Module) -> str:
    lines = (f"{name}:{tuple(tensor.shape)}" for name, tensor in network.state_dict().items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run(network: nn.Module, height: int) -> tuple[Any, int]:
    """Return the output for the oracle's input, and the MACs of every call counted by hooks."""
    macs = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += out.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)
        elif isinstance(module, nn.Linear):
            macs += module.in_features * module.out_features

    for module in network.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        return network(torch.linspace(-1, 1, 3 * height * height).reshape(1, 3, height, height)), macs


def check_values(got: Tensor, expected: dict[str, Any]) -> None:
    flat = got.flatten().double()
    atol = 1e-5 * expected["abs_sum"]
    np.testing.assert_allclose(flat[:5].numpy(), expected["first5"], rtol=1e-4, atol=atol)
    assert flat.sum().item() == pytest.approx(expected["sum"], rel=1e-4, abs=atol)
    assert flat.abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-4)


def check_structure(network: nn.Module, macs: int, record: dict[str, Any]) -> None:
    assert sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad) == record["params"]
    assert macs == record["macs"]
    assert state_hash(network) == record["state_dict_sha256"]


def case_id(record: dict[str, Any]) -> str:
    return f"{record['arch']}-{record.get('config', record.get('dataset'))}"


@pytest.mark.parametrize("record", ORACLE["nasbench201"]["records"], ids=case_id)
def test_nasbench201(record: dict[str, Any]) -> None:
    arch = ARCHS["nasbench201"][record["arch"]]["arch_str"]
    height = ORACLE["meta"]["configs"][record["config"]]["input_hw"]
    config = NASBench201().config(ORACLE["meta"]["configs"][record["config"]])
    assert isinstance(config, NASBench201Config)
    assert config.input_shape == (3, height, height)
    network = build_network(arch, config)
    fill(network)
    (features, logits), macs = run(network, height)
    check_structure(network, macs, record)
    assert list(features.shape) == record["feature_shape"]
    assert list(logits.shape) == record["logit_shape"]
    check_values(features, record["rand"]["feature"])
    check_values(logits, record["rand"]["logits"])
    batch = NASBench201().batch(arch, config)
    assert (batch.macs[0], batch.params[0]) == (record["macs"], record["params"])


@pytest.mark.parametrize("arch", ORACLE["nasbench201"]["archs"], ids=lambda arch: str(arch["id"]))
def test_nasbench201_index(arch: dict[str, Any]) -> None:
    assert NASBench201().format(arch["hwnasbench_index"]) == arch["arch_str"]


@pytest.mark.parametrize("record", ORACLE["fbnet"]["records"], ids=case_id)
def test_fbnet(record: dict[str, Any]) -> None:
    arch = ARCHS["fbnet"][record["arch"]]["op_idx_list"]
    network = build_network(arch, record["dataset"], "fbnet")
    fill(network)
    pooled: list[Tensor] = []
    network.get_submodule("fc").register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    logits, macs = run(network, {"cifar100": 32, "ImageNet": 224}[record["dataset"]])
    check_structure(network, macs, record)
    assert list(logits.shape) == record["logit_shape"]
    check_values(logits, record["rand"]["logits"])
    check_values(pooled[0], record["rand"]["pooled_feature"])
    batch = FBNet().batch(arch, record["dataset"])
    assert (batch.macs[0], batch.params[0]) == (record["macs"], record["params"])
