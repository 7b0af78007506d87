"""Super-nets of the search strategies: modes, draws, the most probable cells, and wrong uses."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hwnas_surrogate.errors import HWNASError
from hwnas_surrogate.networks.cells import (
    CELL_SUPER_NETS,
    CellStructure,
    DARTSCellNetwork,
    EdgeTable,
    ENASCellNetwork,
    GDASCellNetwork,
    GenericCellNetwork,
    RandomCellNetwork,
    SearchableCellNetwork,
    SETNCellNetwork,
    StructureNetwork,
)
from hwnas_surrogate.networks.cells.probabilities import top_structures

OPS = ["none", "skip_connect", "nor_conv_1x1"]
CELL = "|nor_conv_1x1~0|+|skip_connect~0|nor_conv_1x1~1|"
SETTINGS: tuple[Any, ...] = (4, 1, 3, 10, OPS)
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def super_net(kind: type[SearchableCellNetwork], affine: bool = False) -> Any:
    torch.manual_seed(0)
    return kind(*SETTINGS, affine=affine).eval()


@pytest.mark.parametrize("kind", sorted(set(CELL_SUPER_NETS.values()), key=str), ids=lambda kind: kind.__name__)
def test_a_given_cell_computes_what_its_inference_network_does(kind: type[SearchableCellNetwork]) -> None:
    network = super_net(kind, affine=True)
    network.set_cal_mode("dynamic", CELL)
    alone = StructureNetwork(4, 1, CELL, 10).eval()
    held = {name.removeprefix("_"): tensor for name, tensor in network.state_dict().items()}
    entries = network.table.entries(alone.genotype)
    names = list(network.table.rows)
    state = {}
    for name in alone.state_dict():
        parts = name.split(".")
        if ".layers." in name:
            row, op = entries[int(parts[3])]
            parts[2:4] = ["edges", names[row], str(op)]
        state[name] = held[".".join(parts)]
    alone.load_state_dict(state)
    with torch.no_grad():
        for got, expected in zip(network(X), alone(X), strict=True):
            torch.testing.assert_close(got, expected)


def test_certain_parameters_make_all_modes_alike() -> None:
    network = super_net(SETNCellNetwork)
    with torch.no_grad():
        network.arch_parameters.copy_(200 * torch.eye(3)[[2, 1, 2]])
        network.set_tau(0.1)
        outputs = []
        for mode in ("joint", "select", "gdas"):
            network.set_cal_mode(mode)
            outputs.append(network(X)[1])
    network.set_cal_mode("dynamic", CELL)
    assert network.genotype().tostr() == network.dync_genotype().tostr() == CELL
    for output in outputs:
        torch.testing.assert_close(output, network(X)[1])


def test_first_modes() -> None:
    assert super_net(DARTSCellNetwork).get_cal_mode() == "joint"
    assert super_net(SETNCellNetwork).get_cal_mode() == "urs"
    gdas = super_net(GDASCellNetwork)
    assert (gdas.get_cal_mode(), gdas.get_tau()) == ("gdas", 10)
    gdas.set_tau(2.5)
    assert gdas.get_tau() == 2.5


def test_gdas_draws_in_eval_mode_too() -> None:
    network = super_net(GDASCellNetwork)
    torch.manual_seed(0)
    drawn = {network(X)[1].sum().item() for _ in range(12)}
    assert len(drawn) > 3


def test_setn_draws_each_cell_anew() -> None:
    network = super_net(SETNCellNetwork)
    random.seed(0)
    assert len({network(X)[1].sum().item() for _ in range(12)}) > 3


def test_parameters_are_parted() -> None:
    network = super_net(DARTSCellNetwork)
    alphas = network.get_alphas()
    assert alphas[0] is network.arch_parameters
    both = {id(one) for one in (*network.get_weights(), *alphas)}
    assert both == {id(one) for one in network.parameters()}
    assert not {id(one) for one in alphas} & {id(one) for one in network.get_weights()}
    assert "arch-parameters" in network.show_alphas()
    assert network.edge2index == {"1<-0": 0, "2<-0": 1, "2<-1": 2}
    assert network.num_edge == len(alphas[0]) == 3


def test_most_probable_cells_by_counting_all() -> None:
    network = super_net(SETNCellNetwork)
    with torch.no_grad():
        network.arch_parameters.normal_(generator=torch.Generator().manual_seed(3))
    cells = CellStructure.gen_all(OPS, 3)
    ranked = sorted(cells, key=lambda cell: -network.get_log_prob(cell))
    assert network.return_topK(27) == network.return_topK(-1) == network.return_topK(100) == ranked
    assert network.return_topK(4) == ranked[:4]
    assert network.return_topK(0) == []
    assert network.return_topK(1) == [network.genotype()]
    assert sum(torch.tensor([network.get_log_prob(cell) for cell in cells]).exp()) == pytest.approx(1, rel=1e-5)
    random.seed(0)
    some = network.return_topK(9, use_random=True)
    assert len(set(some)) == 9
    assert set(some) <= set(cells)


def test_most_probable_cells_of_a_space_too_large_to_count() -> None:
    table = EdgeTable(9, [f"op{k}" for k in range(8)])  # 8^36 cells
    parameters = torch.zeros(36, 8)
    parameters[:, 3] = 5
    parameters[table.row(8, 7), 4] = 4
    first, second, third = top_structures(table, parameters, 3)
    assert {op for node in first for op, _ in node} == {"op3"}
    assert second[-1][-1] == ("op4", 7)
    assert third[0] == (("op0", 0),)
    random.seed(0)
    assert len(set(top_structures(table, parameters, 5, use_random=True))) == 5


def test_equally_probable_cells_come_in_order() -> None:
    network = super_net(DARTSCellNetwork)
    with torch.no_grad():
        network.arch_parameters.zero_()
    assert network.return_topK(5) == CellStructure.gen_all(OPS, 3)[:5]


def test_draws_follow_the_probabilities() -> None:
    network = super_net(DARTSCellNetwork)
    with torch.no_grad():
        network.arch_parameters.copy_(torch.tensor([[0.0, 1.0, -1.0]]).repeat(3, 1))
    torch.manual_seed(0)
    drawn = [network.dync_genotype() for _ in range(600)]
    share = sum(cell[0][0][0] == "skip_connect" for cell in drawn) / 600
    assert share == pytest.approx(float(torch.tensor([0.0, 1.0, -1.0]).softmax(0)[1]), abs=0.06)


def test_enas_runs_what_it_is_given() -> None:
    network = super_net(ENASCellNetwork)
    assert network.sampled_arch is None
    structure = CellStructure.str2structure(CELL)
    assert (
        network.update_arch(np.array([2, 1, 2]))
        == network.update_arch(CELL)
        == network.update_arch(structure)
        == structure
    )
    network(X)
    assert network.update_arch(None) is None
    with pytest.raises(HWNASError, match="update_arch"):
        network(X)


def test_random_search_runs_what_it_drew() -> None:
    network = super_net(RandomCellNetwork)
    random.seed(0)
    network.random_genotype(False)
    with pytest.raises(HWNASError, match="random_genotype"):
        network(X)
    drawn = network.random_genotype(True)
    assert drawn == network.arch_cache
    network(X)


def test_generic_algorithms() -> None:
    network = super_net(GenericCellNetwork)
    assert (network.mode, network.tau, network.drop_path) == (None, None, None)
    assert network.alphas[0] is network.arch_parameters
    network.set_algo("enas")
    assert {id(one) for one in network.alphas} == {id(one) for one in network.controller.parameters()}
    network.set_cal_mode("enas")
    torch.manual_seed(0)
    assert len({network(X)[1].sum().item() for _ in range(12)}) > 3
    assert "alg=enas" in network.message
    with pytest.raises(HWNASError, match="once"):
        network.set_algo("gdas")


def test_generic_weights_of_a_pass() -> None:
    network = super_net(GenericCellNetwork)
    network.set_algo("gdas")
    assert network.tau == 10
    network.set_cal_mode("joint")
    weights, on_cpu, index, kind = network.normalize_archp()
    assert kind == "SOFTMAX"
    torch.testing.assert_close(weights, network.arch_parameters.softmax(-1))
    network.set_cal_mode("gdas")
    weights, on_cpu, index, kind = network.normalize_archp()
    assert kind == "GUMBEL"
    assert weights.requires_grad
    assert not on_cpu.requires_grad
    torch.testing.assert_close(on_cpu, torch.zeros(3, 3).scatter_(1, index, 1.0))


def test_generic_drop_path_is_of_training_alone() -> None:
    network = super_net(GenericCellNetwork)
    network.set_cal_mode("joint")
    network.set_drop_path(0.5, 0.8)
    assert network.drop_path == pytest.approx(0.4)
    assert torch.equal(network(X)[1], network(X)[1])
    network.train()
    torch.manual_seed(0)
    assert len({network(X)[1].sum().item() for _ in range(6)}) > 2
    network.set_drop_path(None, 0.2)
    assert network.drop_path == 0.2
    network.set_drop_path(0.5, None)
    assert network.drop_path is None
    assert torch.equal(network(X)[1], network(X)[1])


WRONG: dict[str, Any] = {
    "mode": lambda: super_net(SETNCellNetwork).set_cal_mode("both"),
    "enas-mode": lambda: super_net(SETNCellNetwork).set_cal_mode("enas"),
    "no-cell": lambda: super_net(SETNCellNetwork).set_cal_mode("dynamic"),
    "superfluous-cell": lambda: super_net(SETNCellNetwork).set_cal_mode("joint", CELL),
    "other-cell": lambda: super_net(SETNCellNetwork).set_cal_mode("dynamic", "|none~0|"),
    "other-op": lambda: super_net(SETNCellNetwork).get_log_prob("|none~0|+|avg_pool_3x3~0|"),
    "nasnet-genotype": lambda: super_net(SETNCellNetwork).get_log_prob({"normal": []}),
    "joint-without-parameters": lambda: super_net(ENASCellNetwork).set_cal_mode("joint"),
    "genotype-without-parameters": lambda: super_net(RandomCellNetwork).show_alphas(),
    "top": lambda: super_net(DARTSCellNetwork).return_topK(2.5),
    "tau": lambda: super_net(GDASCellNetwork).set_tau(0),
    "no-number-as-tau": lambda: super_net(GDASCellNetwork).set_tau(None),
    "endless-tau": lambda: super_net(GDASCellNetwork).set_tau(float("inf")),
    "no-tau-at-all": lambda: super_net(GDASCellNetwork).set_tau(float("nan")),
    "array-mode": lambda: super_net(SETNCellNetwork).set_cal_mode(np.zeros(2)),
    "array-algorithm": lambda: super_net(GenericCellNetwork).set_algo(np.zeros(2)),
    "drop-text": lambda: super_net(GenericCellNetwork).set_drop_path("", 0.5),
    "drop-rate-text": lambda: super_net(GenericCellNetwork).set_drop_path(0.5, ""),
    "drop-object": lambda: super_net(GenericCellNetwork).set_drop_path(object(), object()),
    "progress": lambda: super_net(GenericCellNetwork).set_drop_path(1.5, 0.5),
    "float-channels": lambda: DARTSCellNetwork(4.0, 1, 3, 10, OPS),  # type: ignore[arg-type]
    "no-tau": lambda: (network := super_net(GenericCellNetwork), network.set_cal_mode("gdas"), network(X)),
    "no-controller": lambda: (network := super_net(GenericCellNetwork), network.set_cal_mode("enas"), network(X)),
    "algorithm": lambda: super_net(GenericCellNetwork).set_algo("bogus"),
    "drop": lambda: super_net(GenericCellNetwork).set_drop_path(1.0, 1.0),
    "update-length": lambda: super_net(ENASCellNetwork).update_arch([1, 2]),
    "update-number": lambda: super_net(ENASCellNetwork).update_arch([1, 2, 3]),
    "update-kind": lambda: super_net(ENASCellNetwork).update_arch(3),
    "repeated-op": lambda: DARTSCellNetwork(4, 1, 3, 10, ["none", "none"]),
    "text-space": lambda: DARTSCellNetwork(4, 1, 3, 10, "darts"),
    "empty-space": lambda: DARTSCellNetwork(4, 1, 3, 10, []),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_uses(case: str) -> None:
    with pytest.raises(HWNASError):
        WRONG[case]()


def test_nothing_runs_before_its_mode_is_set() -> None:
    with pytest.raises(HWNASError, match="set_cal_mode first: 'gdas', 'enas'"):
        super_net(GenericCellNetwork)(X)


def test_outputs_are_features_and_logits() -> None:
    features, logits = super_net(DARTSCellNetwork)(X)
    assert isinstance(features, Tensor)
    assert (features.shape, logits.shape) == ((2, 16), (2, 10))
