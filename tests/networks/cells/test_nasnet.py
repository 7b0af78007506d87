"""NASNet-style networks: what a cell sums, super-nets and the networks of their genotypes, wrong genotypes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError
from hwnas_surrogate.networks.cells import (
    NASNET_SUPER_NETS,
    AuxiliaryHead,
    CellPlace,
    NASNetCell,
    NASNetDARTSNetwork,
    NASNetFixedReductionNetwork,
    NASNetGDASNetwork,
    NASNetOnCIFAR,
    NASNetSearchCell,
)
from hwnas_surrogate.networks.cells.nasnet_layout import nasnet_places

OPS = ["none", "skip_connect", "nor_conv_1x1"]
GENOTYPE: dict[str, Any] = {
    "normal": [[("nor_conv_1x1", 0), ("skip_connect", 1)], [("skip_connect", 2), ("nor_conv_1x1", 0)]],
    "normal_concat": [2, 3],
    "reduce": [[("skip_connect", 0, 0.5), ("nor_conv_1x1", 1, 0.25)]],
    "reduce_concat": [2],
}


def super_net(kind: str, C: int = 8, N: int = 1) -> Any:
    torch.manual_seed(0)
    return NASNET_SUPER_NETS[kind](C, N, 2, 2, 2, 10, OPS).eval()


@pytest.fixture
def states() -> tuple[Tensor, Tensor]:
    drawn = torch.randn(2, 2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    return drawn[0], drawn[1]


def test_places_double_at_each_reduction() -> None:
    places = list(nasnet_places(8, 2, 24, {False: 4, True: 4}))
    assert [(place.C, place.reduction, place.reduction_prev) for place in places] == [
        (8, False, False),
        (8, False, False),
        (16, True, False),
        (16, False, True),
        (32, True, False),
        (32, False, True),
    ]
    assert [place.C_prev for place in places] == [24, 32, 32, 64, 64, 128]
    assert [place.C_prev_prev for place in places] == [24, 24, 32, 32, 64, 64]


def test_a_cell_is_the_sum_of_its_edges(states: tuple[Tensor, Tensor]) -> None:
    cell = NASNetCell(GENOTYPE["normal"], [2, 3], CellPlace(4, 4, 3, False, False)).eval()
    a, b = cell.preprocess0(states[0]), cell.preprocess1(states[1])
    first = cell.edges["2<-0"](a) + b
    torch.testing.assert_close(cell(*states), torch.cat([first, first + cell.edges["3<-0"](a)], dim=1))


def test_two_operations_on_one_state_are_the_later_one_twice(states: tuple[Tensor, Tensor]) -> None:
    cell = NASNetCell([(("nor_conv_1x1", 0), ("skip_connect", 0))], [2], CellPlace(4, 4, 3, False, False)).eval()
    torch.testing.assert_close(cell(*states), 2 * cell.preprocess0(states[0]))


def test_search_cells_agree_with_their_one_hot_weights(states: tuple[Tensor, Tensor]) -> None:
    cell = NASNetSearchCell(OPS, 2, 2, CellPlace(4, 4, 3, True, False)).eval()
    assert list(cell.rows) == ["0<-0", "0<-1", "1<-0", "1<-1", "1<-2"]
    index = [2, 1, 0, 2, 1]
    weights = torch.eye(3)[index]
    out = cell.forward_darts(*states, weights)
    assert out.shape == (2, 6, 3, 3)
    torch.testing.assert_close(cell.forward_gdas(*states, weights, index), out)
    torch.testing.assert_close(cell.forward_gdas(*states, weights, torch.tensor(index)), out)


@pytest.mark.parametrize("kind", NASNET_SUPER_NETS)
def test_genotypes_of_super_nets_build_networks(kind: str) -> None:
    network = super_net(kind)
    genotype = network.genotype()
    keys = ["normal", "normal_concat"] if kind == "GDAS_FRC" else ["normal", "normal_concat", "reduce", "reduce_concat"]
    assert list(genotype) == keys
    for node in genotype["normal"]:
        assert len(node) == 2
        assert node[0][2] >= node[1][2]
        assert "none" not in [op for op, _, _ in node]
    assert genotype["normal_concat"] == [2, 3]
    alone = NASNetOnCIFAR(8, 1, 2, 10, genotype, False).eval()
    x = torch.randn(1, 3, 8, 8)
    assert alone(x)[0].shape == network(x)[0].shape == (1, 32 * (4 if kind == "GDAS_FRC" else 2))


def test_genotypes_take_the_largest_weights() -> None:
    network = super_net("DARTS")
    with torch.no_grad():
        network.arch_normal_parameters.zero_()
        network.arch_normal_parameters[:, 0] = 5  # none
        network.arch_normal_parameters[3, 1] = 3  # 1<-1
        network.arch_normal_parameters[3, 2] = 4
    second = network.genotype()["normal"][1]
    assert [(op, state) for op, state, _ in second] == [("nor_conv_1x1", 1), ("skip_connect", 1)]
    share = torch.tensor([5.0, 3.0, 4.0]).softmax(0)
    assert [weight for _, _, weight in second] == pytest.approx([share[2].item(), share[1].item()])


def test_parameters_and_temperature() -> None:
    network = super_net("GDAS")
    assert network.get_alphas() == [network.arch_normal_parameters, network.arch_reduce_parameters]
    both = {id(one) for one in (*network.get_weights(), *network.get_alphas())}
    assert both == {id(one) for one in network.parameters()}
    assert network.get_tau() == 10
    network.set_tau(0.5)
    assert network.get_tau() == network.tau == 0.5
    assert super_net("GDAS_FRC").get_alphas()[0].shape == (5, 3)
    assert "arch-normal-parameters" in network.show_alphas()
    assert "NASNetGDASNetwork(C=8, N=1, steps=2, multiplier=2, L=3)" in network.get_message()
    assert isinstance(super_net("GDAS_FRC"), NASNetFixedReductionNetwork)
    assert not isinstance(super_net("DARTS"), NASNetGDASNetwork)
    assert NASNET_SUPER_NETS["DARTS"] is NASNetDARTSNetwork


def test_gdas_draws_in_eval_mode_too() -> None:
    network = super_net("GDAS")
    torch.manual_seed(0)
    with torch.no_grad():
        assert len({network(torch.ones(1, 3, 8, 8))[1].sum().item() for _ in range(8)}) > 3


def test_auxiliary_logits_are_of_training_alone() -> None:
    network = NASNetOnCIFAR(2, 1, 1, 5, GENOTYPE, True)
    x = torch.randn(2, 3, 32, 32)
    _, (logits, extra) = network(x)
    assert logits.shape == extra.shape == (2, 5)
    assert isinstance(network.eval()(x)[1], Tensor)
    assert network.auxiliary_head is not None
    assert network.auxiliary_param() == list(network.auxiliary_head.parameters())
    assert NASNetOnCIFAR(2, 1, 1, 5, GENOTYPE, False).auxiliary_param() == []
    with pytest.raises(HWNASError, match="got a map of 4x4"):
        network.train()(torch.randn(2, 3, 16, 16))
    assert AuxiliaryHead(4, 5).eval()(torch.randn(2, 4, 8, 8)).shape == (2, 5)


def test_drop_path_spares_the_identity(states: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    cell = NASNetCell([(("skip_connect", 1), ("nor_conv_1x1", 0))], [2], CellPlace(4, 4, 3, False, False))
    for module in cell.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    identity = cell.preprocess1(states[1])
    full = cell(*states) - identity
    seen = set()
    for _ in range(40):
        rest = cell(*states, 0.5) - identity
        for sample in range(2):
            kept = not torch.allclose(rest[sample], torch.zeros(()), atol=1e-6)
            torch.testing.assert_close(rest[sample], 2 * full[sample] * kept, atol=1e-5, rtol=1e-4)
            seen.add(kept)
    assert seen == {True, False}
    assert torch.equal(cell.eval()(*states, 0.5), cell(*states))
    network = NASNetOnCIFAR(2, 1, 1, 5, GENOTYPE, False)
    network.update_drop_path(0.3)
    assert network.drop_path_prob == 0.3
    with pytest.raises(HWNASError, match="below 1"):
        network.update_drop_path(1.0)
    with pytest.raises(HWNASError):
        network.update_drop_path(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"normal": []}, {"normal": "abc"}, {"normal": [[]]}, {"normal": [["ab"]]}, {"normal": [[("nor_conv_1x1",)]]},
        {"normal": [[("nor_conv_1x1", 2)]]}, {"normal": [[("nor_conv_1x1", -1)]]}, {"normal": [[("nor", 0)]]},
        {"normal_concat": []}, {"normal_concat": [1]}, {"normal_concat": [4]}, {"normal_concat": "23"}, {"extra": 1},
    ],
    ids=str,
)  # fmt: skip
def test_malformed_genotypes(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArchitectureError):
        NASNetOnCIFAR(2, 1, 1, 5, GENOTYPE | change, False)


@pytest.mark.parametrize("genotype", ["|none~0|", [], None, {}, {"normal": GENOTYPE["normal"]},
                                      {"reduce": [], "reduce_concat": []}], ids=str)  # fmt: skip
def test_genotypes_of_other_networks(genotype: Any) -> None:
    with pytest.raises(InvalidArchitectureError):
        NASNetOnCIFAR(2, 1, 1, 5, genotype, False)


def test_a_reduction_without_its_joined_states() -> None:
    with pytest.raises(InvalidArchitectureError, match="reduce_concat"):
        NASNetOnCIFAR(2, 1, 1, 5, {key: value for key, value in GENOTYPE.items() if key != "reduce_concat"}, False)


def test_wrong_super_nets() -> None:
    with pytest.raises(HWNASError, match="multiplier"):
        NASNetDARTSNetwork(8, 1, 2, 3, 2, 10, OPS)
    with pytest.raises(HWNASError, match="multiple of 8"):
        super_net("GDAS_FRC", C=2)
    with pytest.raises(HWNASError, match="positive"):
        super_net("GDAS").set_tau(-1)
