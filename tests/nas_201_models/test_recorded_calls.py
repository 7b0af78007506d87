"""Calls of the original's small functions, and what they were recorded to return."""

from __future__ import annotations

import ast
import hashlib
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hwnas_surrogate.errors import HWNASError
from hwnas_surrogate.nas_201_models import (
    CellArchitectures,
    CellStructure,
    get_cell_based_tiny_net,
    get_search_spaces,
    obtain_model,
)
from tests.networks.filling import fill

FILE: dict[str, Any] = json.loads(Path(__file__).with_name("other_networks.json").read_text())
MISC: dict[str, Any] = FILE["misc"]
NAS201 = get_search_spaces("cell", "nas-bench-201")


def recorded(start: str) -> dict[str, Any]:
    found = {name: value for name, value in MISC.items() if name.startswith(start)}
    assert found
    return found


def argument(name: str) -> Any:
    """Return the arguments in a record's name."""
    return ast.literal_eval("(" + name.partition("(")[2].rpartition(")")[0] + ",)")


@pytest.mark.parametrize("name", recorded("get_search_spaces"))
def test_search_spaces(name: str) -> None:
    if "error" in MISC[name]:
        with pytest.raises(HWNASError):
            get_search_spaces(*argument(name))
    else:
        assert get_search_spaces(*argument(name)) == MISC[name]


@pytest.mark.parametrize("name", recorded("str2structure"))
def test_strings_of_cells(name: str) -> None:
    if isinstance(MISC[name], dict):
        with pytest.raises(HWNASError):
            CellStructure.str2structure(*argument(name))
    else:
        assert CellStructure.str2structure(*argument(name)).tostr() == MISC[name]


def test_a_sparse_cell_is_filled() -> None:
    full = CellStructure.str2structure(MISC["str2fullstructure sparse"])
    sparse = CellStructure(tuple(tuple(edge for edge in edges if edge[0] != "none") for edges in full.nodes))
    assert CellStructure.str2fullstructure(sparse.tostr()) == full


@pytest.mark.parametrize("name", recorded("CellArchitectures"))
def test_named_cells(name: str) -> None:
    cell, expected = CellArchitectures[name.partition("[")[2].rstrip("]")], MISC[name]
    assert cell.tostr() == expected["tostr"]
    assert len(cell) == expected["len"]
    assert cell.check_valid() == expected["check_valid"]
    assert cell.check_valid_op(NAS201) == expected["check_valid_op_nb201"]
    assert [cell.to_unique_str(zero) for zero in (False, True, None)] == [
        expected[f"unique_{zero}"] for zero in (False, True, None)
    ]
    nodes, is_complete = cell.tolist("none")
    assert json.loads(json.dumps([nodes, is_complete])) == expected["tolist_none"]


@pytest.mark.parametrize("name", recorded("gen_all("))
def test_all_cells(name: str) -> None:
    space, _, n_nodes = name.partition("(")[2].rstrip(")").partition(",")
    cells = [cell.tostr() for cell in CellStructure.gen_all(get_search_spaces("cell", space), int(n_nodes), False)]
    assert len(cells) == MISC[name]["n"]
    assert (cells[0], cells[-1]) == (MISC[name]["first"], MISC[name]["last"])
    assert hashlib.sha256("\n".join(cells).encode()).hexdigest() == MISC[name]["sha"]


def test_what_is_refused() -> None:
    assert "error" in MISC["gen_all num=1"]
    with pytest.raises(HWNASError):
        CellStructure.gen_all(NAS201, 1)
    assert "error" in MISC["Structure.node(0)"]
    with pytest.raises(HWNASError):
        CellArchitectures["resnet"].node(0)
    assert "error" in MISC["obtain_model(dict)"]  # here a dict is a config, too
    config = {"dataset": "cifar", "arch": "resnet", "module": "ResNetBasicblock", "depth": 8, "class_num": 10}
    config["zero_init_residual"] = False
    assert type(obtain_model(config)) is type(obtain_model(SimpleNamespace(**config)))


@pytest.mark.parametrize("name", FILE["controllers"])
def test_controllers(name: str) -> None:
    config = {"name": "generic" if "generic" in name else "ENAS", "C": 4, "N": 1, "max_nodes": 4, "num_classes": 10}
    network: Any = get_cell_based_tiny_net(config | {"space": NAS201, "affine": False, "track_running_stats": True})
    if "generic" in name:
        network.set_algo("enas")
    controller = network.controller if "generic" in name else network.create_controller()
    expected = FILE["controllers"][name]
    lines = [f"{key}:{tuple(tensor.shape)}" for key, tensor in controller.state_dict().items()]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == expected["state_dict_sha256"]
    assert sum(parameter.numel() for parameter in controller.parameters()) == expected["params"]
    fill(controller)
    torch.manual_seed(0)
    random.seed(0)
    log_prob, entropy, arch = controller()
    drawn = expected["forward_after_fill_rand_manual_seed0"]
    assert log_prob.item() == pytest.approx(drawn["log_prob_sum"], rel=1e-4)
    assert entropy.item() == pytest.approx(drawn["entropy_sum"], rel=1e-4)
    assert (arch.tostr() if isinstance(arch, CellStructure) else arch) == drawn["sampled_arch"]
    assert "set_algo_twice" not in expected or "generic" in name
