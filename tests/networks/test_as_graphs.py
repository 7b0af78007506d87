"""Every kind of network of the benchmark is captured, predicted and measured like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from hwnas_surrogate import Graph, Surrogate
from hwnas_surrogate.capture import given_networks
from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.fbnet_models import FBNet_Infer
from hwnas_surrogate.measure import Protocol, Torch, measure_networks
from hwnas_surrogate.nas_201_models import (
    change_key,
    get_cell_based_tiny_net,
    get_cifar_models,
    get_imagenet_models,
    obtain_search_model,
)
from hwnas_surrogate.networks.fbnet_supernet import FBNetSuperNet
from hwnas_surrogate.networks.residual import select2withP
from hwnas_surrogate.spaces import FBNetConfig, NASBench201
from tests.measure.in_process import InProcess
from tests.networks.cells.recorded import A0
from tests.networks.cells.test_building import CIFAR, NASNET, SEARCH
from tests.networks.cells.test_graphs import SUPER

X = torch.zeros(1, 3, 32, 32)
SMALL = FBNetConfig(stem_channels=2, stage_channels=(2,) * 7, header_channels=4, num_classes=5)
RESNET = {"arch": "resnet", "module": "ResNetBasicblock", "depth": 14, "class_num": 10, "zero_init_residual": False}
IMAGENET = {"arch": "resnet", "block_name": "BasicBlock", "layers": [1, 1, 1, 1], "deep_stem": False, "class_num": 10}
BASIC: dict[str, Any] = IMAGENET | {"zero_init_residual": False, "groups": 1, "width_per_group": 64}
DENSE = {"arch": "densenet", "growthRate": 4, "depth": 10, "reduction": 0.5, "class_num": 10, "bottleneck": True}
WIDE = {"arch": "wideresnet", "depth": 10, "wide_factor": 1, "class_num": 10, "dropout": True}
MOBILE = {"arch": "mobilenet_v2", "class_num": 10, "width_multi": 0.25, "input_channel": 32, "last_channel": 64}
MOBILE["dropout"] = 0.2
SIMRES = {"dataset": "cifar", "arch": "simres", "search_mode": "width", "depth": 5, "class_num": 10}
SIZED = {"name": "infer.shape.tiny", "channels": "4:4:8:8:8", "genotype": A0, "num_classes": 10}
SHAPE = RESNET | {"dataset": "cifar", "search_mode": "shape"}


def sized_super_net() -> nn.Module:
    network: Any = get_cell_based_tiny_net(SEARCH)
    network.set_algo("tas")
    network.set_tau(5.0)
    return network  # type: ignore[no-any-return]


def searching(config: dict[str, Any]) -> nn.Module:
    network = obtain_search_model(config).apply(change_key("search_mode", "search"))
    network.set_tau(5.0, 0.1, 0.5)  # type: ignore[operator]
    return network


KINDS: dict[str, Callable[[], nn.Module]] = {
    "cell": lambda: get_cell_based_tiny_net(SUPER | {"name": "infer.tiny", "arch_str": A0}),
    "cell of given sizes": lambda: get_cell_based_tiny_net(SIZED),
    "super-net of cells": lambda: get_cell_based_tiny_net(SUPER | {"name": "GDAS"}),
    "super-net of NASNet's cells": lambda: get_cell_based_tiny_net(NASNET | {"name": "GDAS_FRC", "C": 8}),
    "super-net of sizes": sized_super_net,
    "NASNet": lambda: get_cifar_models(CIFAR),
    "CIFAR ResNet": lambda: get_cifar_models(RESNET),
    "inferred CIFAR ResNet": lambda: get_cifar_models(RESNET | {"super_type": "infer-depth", "xblocks": [1, 2, 1]}),
    "DenseNet": lambda: get_cifar_models(DENSE),
    "WideResNet": lambda: get_cifar_models(WIDE),
    "ImageNet ResNet": lambda: get_imagenet_models(BASIC),
    "MobileNetV2": lambda: get_imagenet_models(MOBILE),
    "ResNet to search": lambda: obtain_search_model(SHAPE),
    "SimResNet to search, searching": lambda: searching(SIMRES),
    "FBNet": lambda: FBNet_Infer({"dataset": "cifar100", "op_idx_list": [8] * 21 + [0]}),
    "FBNet's super-net": lambda: FBNetSuperNet(SMALL, hard=True),
}


@pytest.fixture(scope="module")
def graphs() -> dict[str, Graph]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {kind: Graph.from_torch(make().eval(), X) for kind, make in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_captured(kind: str, graphs: dict[str, Graph]) -> None:
    graph = graphs[kind]
    assert graph.macs > 10_000
    assert [value.shape for value in graph.inputs] == [(1, 3, 32, 32)]


def test_predicted(graphs: dict[str, Graph]) -> None:
    """Costs that grow with the multiply-adds are predicted in this order for kinds that were not trained on."""
    space, rng = NASBench201(), np.random.default_rng(0)
    cells = space.batch(space.sample(40, rng), "C8-N1-k10-3x32x32").graphs().graphs
    known = [*cells, *list(graphs.values())[::2]]
    surrogate = Surrogate(None, model="ridge", calibrate=False).fit(known, [1 + graph.macs / 1e6 for graph in known])
    others = list(graphs.values())[1::2]
    found = surrogate.predict(others, extrapolate=True)
    assert (found > 0).all()
    assert spearmanr([graph.macs for graph in others], found).statistic > 0.8


FILE = """
import torch
from hwnas_surrogate.nas_201_models import get_cell_based_tiny_net, get_search_spaces, obtain_search_model

def networks():
    torch.manual_seed(0)  # the most probable path of a super-net follows its first weights
    ops = get_search_spaces("cell", "nas-bench-201")
    gdas = get_cell_based_tiny_net({
        "name": "GDAS", "C": 2, "N": 1, "max_nodes": 3, "num_classes": 5, "space": ops,
        "affine": True, "track_running_stats": True,
    })
    simres = {"dataset": "cifar", "arch": "simres", "search_mode": "width", "depth": 5, "class_num": 10}
    found = {"gdas": gdas, "simres": obtain_search_model(simres)}
    return {name: (network.eval(), torch.zeros(1, 3, 8, 8)) for name, network in found.items()}
"""


def test_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hwnas_surrogate.measure.session.Worker", InProcess)
    Path("found.py").write_text(FILE)
    protocol = Protocol(passes=1, repeats=2, max_repeats=2, half_width=9.0)
    given = given_networks(["found.py:networks"])
    table = measure_networks(given, "mine.parquet", runtime=Torch(), protocol=protocol, device="mine")
    assert table.names == ("gdas", "simres")
    assert (table.costs > 0).all()


def test_fbnet_super_net_runs_the_most_probable_blocks() -> None:
    network = FBNetSuperNet(SMALL, hard=True)
    with torch.no_grad():
        network.alphas[:, 4] = 9.0
    alone, graph = (Graph.from_torch(found.eval(), torch.zeros(1, 3, 8, 8)) for found in (network.derive(), network))
    assert [node.op.kind for node in alone.nodes].count("conv") == [node.op.kind for node in graph.nodes].count("conv")
    assert 0 <= graph.macs - alone.macs < alone.macs / 10


def test_searching_runs_the_two_most_probable_widths() -> None:
    network: Any = searching(SIMRES)
    with torch.no_grad():
        network.width_attentions.zero_()[:, 0] = 4.0
        network.width_attentions[:, 1] = 3.0
    graph = Graph.from_torch(network.eval(), X)
    stem = next(node.op for node in graph.nodes if node.op.kind == "conv")
    assert stem.outputs[0].shape == (1, 6, 32, 32)  # widths of 16 are 4, 6, 8, ...: the wider one of 4 and 6


def test_drawn_choices_are_captured() -> None:
    """The most probable ones, whatever the noise."""

    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.tensor([[0.0, 2.0, 1.0]]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            picks, weights = select2withP(self.logits, 1.0)
            return x[:, : picks.shape[1]] * weights

    last = Graph.from_torch(Drawing().eval(), torch.zeros(1, 3)).nodes[-1].op
    assert [value.shape for value in last.outputs] == [(1, 2)]


def test_a_controller_draws_no_graph() -> None:
    network: Any = get_cell_based_tiny_net(SUPER | {"name": "generic"})
    network.set_algo("enas")
    network.set_cal_mode("enas")
    with pytest.raises(InvalidGraphError, match=r"a controller can't draw .* set_cal_mode\('dynamic', cell\)"):
        Graph.from_torch(network.eval(), torch.zeros(1, 3, 8, 8))
