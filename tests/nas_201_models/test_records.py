"""Every record of the original's networks, built through the original's names from a dict and from an object."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hwnas_surrogate.nas_201_models as models
from hwnas_surrogate.errors import HWNASError
from tests.networks.filling import fill

RECORDS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("other_networks.json").read_text())["records"]
BUILT = [record for record in RECORDS if "params" in record]
REFUSED = [record for record in RECORDS if "params" not in record]
QUICK = [record for record in BUILT if record.get("macs", math.inf) < 15e6]
"""Those whose values take a moment; the tests of the networks check the values of all."""


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config as users write it: a named cell stands for itself."""
    named = config.get("genotype")
    if isinstance(named, Mapping) and "CellArchitectures" in named:
        return {**config, "genotype": models.CellArchitectures[named["CellArchitectures"]]}
    return dict(config)


def build(record: dict[str, Any], form: Any = dict) -> nn.Module:
    network: nn.Module = getattr(models, record["builder"])(form(given(record["config"])))
    if record["name"].startswith("search-shape/"):  # it adds to the state what it searches with
        network.set_algo(record["name"].partition("/")[2])
    return network


def digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def name_of(record: dict[str, Any]) -> str:
    return f"{record['builder']}-{record['name']}".replace(" ", "_")


def test_the_records() -> None:
    assert (len(RECORDS), len(BUILT), len(REFUSED)) == (62, 54, 8)
    assert len(QUICK) == 8
    assert {record["builder"] for record in BUILT} == {
        "get_cell_based_tiny_net",
        "get_cifar_models",
        "get_imagenet_models",
        "obtain_model",
        "obtain_search_model",
    }


@pytest.mark.parametrize("record", BUILT, ids=name_of)
def test_parameters_shapes_and_names(record: dict[str, Any]) -> None:
    for form in (dict, lambda config: SimpleNamespace(**config)):
        with torch.device("meta") if record["params"] > 3e6 else nullcontext():
            network = build(record, form)
        assert network.training
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        assert sum(parameter.numel() for parameter in trained) == record["params"]
        shapes = [str(tuple(parameter.shape)) for parameter in network.parameters()]
        assert digest(sorted(shapes)) == record["param_shape_multiset_sha256"]
        state = {name: str(tuple(tensor.shape)) for name, tensor in network.state_dict().items()}
        assert digest(list(state.values())) == record["shape_seq_sha256"]
        assert digest([f"{name}:{shape}" for name, shape in state.items()]) == record["state_dict_sha256"]


@pytest.mark.parametrize("record", REFUSED, ids=name_of)
def test_configs_that_are_refused(record: dict[str, Any]) -> None:
    for form in (dict, lambda config: SimpleNamespace(**config)):
        with pytest.raises(HWNASError):
            build(record, form)


@pytest.mark.parametrize("record", QUICK, ids=name_of)
def test_outputs(record: dict[str, Any]) -> None:
    network = build(record).eval()
    fill(network)
    height = record["input_hw"]
    with torch.no_grad():
        outputs: tuple[Tensor, ...] = network(torch.linspace(-1, 1, 3 * height * height).reshape(1, 3, height, height))
    assert [list(output.shape) for output in outputs] == record["output_shapes"]
    for output, expected in zip(outputs, record["tensors"], strict=True):
        flat = output.flatten().double()
        atol = 1e-5 * expected["abs_sum"]
        np.testing.assert_allclose(flat[:5].numpy(), expected["first5"], rtol=1e-4, atol=atol)
        assert flat.sum().item() == pytest.approx(expected["sum"], rel=1e-4, abs=atol)
        assert flat.abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-4)
