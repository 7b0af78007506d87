"""Every kind of cell network is captured as a graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hwnas_surrogate import Graph
from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.networks.cells import CELL_SPACES, CELL_SUPER_NETS, NASNET_SUPER_NETS, build_cell_network
from tests.networks.cells.recorded import A0, RECORDS
from tests.networks.cells.test_building import CIFAR, NASNET, SEARCH

SUPER: dict[str, Any] = {
    "C": 4, "N": 1, "max_nodes": 4, "num_classes": 10, "space": list(CELL_SPACES["nas-bench-201"]),
    "affine": True, "track_running_stats": True,
}  # fmt: skip
X = torch.zeros(1, 3, 8, 8)


def graph_of(network: Any) -> Graph:
    return Graph.from_torch(network.eval(), X)


@pytest.fixture(scope="module")
def alone() -> Graph:
    return graph_of(build_cell_network(SUPER | {"name": "infer.tiny", "arch_str": A0}))


@pytest.mark.parametrize("name", CELL_SUPER_NETS)
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


@pytest.mark.parametrize("mode", ["urs", "gdas"])
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


@pytest.mark.parametrize(
    "name",
    [
        "infer.tiny/5-node",
        "infer.shape.tiny/(8, 8, 8, 16, 16, 16, 32, 32)",
        "DARTS-V1/max_nodes=3",
        "cifar infer-nasnet.cifar/duplicate in-node",
    ],
)
def test_graphs_have_the_recorded_costs(name: str) -> None:
    record = RECORDS[name]
    network = build_cell_network(record["config"]).eval()
    graph = Graph.from_torch(network, torch.zeros(1, 3, record["input_hw"], record["input_hw"]))
    assert (graph.macs, graph.params) == (record["forward"]["eval"]["macs"], record["params"])


def test_an_auxiliary_head_does_not_run_in_eval_mode() -> None:
    plain, with_head = (graph_of(build_cell_network(CIFAR | {"auxiliary": given})) for given in (False, True))
    assert plain == with_head


def test_without_numbers_a_path_can_not_be_chosen() -> None:
    with torch.device("meta"):
        network: Any = build_cell_network(SUPER | {"name": "GDAS"})
    with pytest.raises(InvalidGraphError, match="set_cal_mode"):
        graph_of(network)
    network.set_cal_mode("dynamic", A0)
    assert len(graph_of(network).outputs) == 2
