"""Every kind of cell network is captured as a graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hwnas_surrogate import Graph
from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.networks.cells import CELL_SPACES, CELL_SUPER_NETS, NASNET_SUPER_NETS, build_cell_network
from tests.networks.cells.recorded import A0
from tests.networks.cells.test_building import BUILDS, CIFAR, NASNET, SEARCH

SUPER: dict[str, Any] = {
    "C": 4, "N": 1, "max_nodes": 4, "num_classes": 10, "space": list(CELL_SPACES["nas-bench-201"]),
    "affine": True, "track_running_stats": True,
}  # fmt: skip
X = torch.zeros(1, 3, 8, 8)


def graph_of(network: Any) -> Graph:
    return Graph.from_torch(network.eval(), X)


def parameters_of(graph: Graph) -> int:
    return sum(spec.numel for spec in graph.weights)


@pytest.fixture(scope="module")
def alone() -> Graph:
    return graph_of(build_cell_network(SUPER | {"name": "infer.tiny", "arch_str": A0}))


@pytest.mark.parametrize("name", ["GDAS", "ENAS", "generic"])
def test_a_chosen_cell_is_the_graph_of_its_inference_network(name: str, alone: Graph) -> None:
    network: Any = build_cell_network(SUPER | {"name": name})
    network.set_cal_mode("dynamic", A0)
    assert graph_of(network) == alone


def test_noise_is_captured_as_the_most_probable_path(alone: Graph) -> None:
    network: Any = build_cell_network(SUPER | {"name": "GDAS"})
    with torch.no_grad():
        network.arch_parameters.copy_(torch.eye(5)[[4, 2, 1, 2, 1, 1]])
    kinds = [node.op.kind for node in graph_of(network).nodes]
    assert kinds.count("conv") == [node.op.kind for node in alone.nodes].count("conv")
    network.set_cal_mode("select")
    kinds = [node.op.kind for node in graph_of(network).nodes]
    assert kinds.count("conv") == [node.op.kind for node in alone.nodes].count("conv")


def test_a_joint_pass_runs_every_operation() -> None:
    graph = graph_of(build_cell_network(SUPER | {"name": "DARTS-V2"}))
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds.count("conv") == 1 + 3 * 6 * 2 + 2 * 3
    assert kinds.count("avg_pool") == 3 * 6 + 2
    assert kinds.count("zero") == 3 * 6


@pytest.mark.parametrize("mode", ["urs", "gdas", "joint"])
def test_modes_of_the_generic_super_net(mode: str) -> None:
    network: Any = build_cell_network(SUPER | {"name": "generic"})
    network.set_algo("gdas")
    network.set_cal_mode(mode)
    assert graph_of(network).inputs[0].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("name", NASNET_SUPER_NETS)
def test_nasnet_super_nets(name: str) -> None:
    graph = graph_of(build_cell_network(NASNET | {"name": name, "C": 8}))
    assert [graph.outputs != (), len(graph.outputs)] == [True, 2]


@pytest.mark.parametrize("algo", ["fbv2", "tunas", "tas"])
def test_sized_super_nets(algo: str) -> None:
    network: Any = build_cell_network(SEARCH)
    network.set_algo(algo)
    network.set_tau(5.0)
    assert len(graph_of(network).outputs) == (8 if algo == "tunas" else 2)


@pytest.mark.parametrize("case", ["tiny", "sized", "cifar"])
def test_inference_networks_have_all_their_parameters(case: str) -> None:
    network = build_cell_network(BUILDS[case][0])
    held = sum(one.numel() for one in network.parameters())
    running = sum(one.numel() for name, one in network.named_buffers() if "running" in name)
    assert parameters_of(graph_of(network)) == held + running


def test_an_auxiliary_head_does_not_run_in_eval_mode() -> None:
    plain, with_head = (graph_of(build_cell_network(CIFAR | {"auxiliary": given})) for given in (False, True))
    assert plain == with_head


def test_without_numbers_a_path_can_not_be_chosen() -> None:
    with torch.device("meta"):
        network: Any = build_cell_network(SUPER | {"name": "GDAS"})
    with pytest.raises(InvalidGraphError, match="Choose a cell first"):
        graph_of(network)
    network.set_cal_mode("dynamic", A0)
    assert len(graph_of(network).outputs) == 2


def test_every_strategy_is_covered() -> None:
    assert set(CELL_SUPER_NETS) == {"DARTS-V1", "DARTS-V2", "GDAS", "SETN", "ENAS", "RANDOM", "generic"}
