"""Every documented method of the original's networks, called through the original's names as users call them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.nas_201_models import (
    CellArchitectures,
    CellStructure,
    get_cell_based_tiny_net,
    get_cifar_models,
    get_search_spaces,
    obtain_search_model,
)
from hwnas_surrogate.nas_201_models.cell_infers import NASNetonCIFAR, TinyNetwork
from hwnas_surrogate.nas_201_models.cell_infers.cells import AuxiliaryHeadCIFAR, InferCell, NASNetInferCell
from hwnas_surrogate.nas_201_models.cell_operations import OPS, RAW_OP_CLASSES, SearchSpaceNames, drop_path
from hwnas_surrogate.nas_201_models.cell_searchs import nas201_super_nets, nasnet_super_nets
from hwnas_surrogate.nas_201_models.cell_searchs.generic_model import Controller as GenericController
from hwnas_surrogate.nas_201_models.cell_searchs.genotypes import Structure, architectures, get_combination
from hwnas_surrogate.nas_201_models.cell_searchs.search_cells import MixedOp, NAS201SearchCell, NASNetSearchCell
from hwnas_surrogate.nas_201_models.cell_searchs.search_model_enas_utils import Controller
from hwnas_surrogate.nas_201_models.SharedUtils import change_key

SPACE = get_search_spaces("cell", "nas-bench-201")
SUPER = {"C": 4, "N": 1, "max_nodes": 4, "num_classes": 3, "space": SPACE, "affine": False, "track_running_stats": True}
NASNET = {"super_type": "nasnet-super", "C": 8, "N": 1, "steps": 4, "multiplier": 4, "stem_multiplier": 3}
NASNET |= {"num_classes": 3, "space": get_search_spaces("cell", "connect-nas"), "affine": False}
NASNET |= {"track_running_stats": True}
SIZES = {"super_type": "search-shape", "name": "generic", "candidate_Cs": [4, 6, 8], "max_num_Cs": 5, "num_classes": 3}
SIZES |= {"genotype": "|nor_conv_1x1~0|+|skip_connect~0|none~1|", "affine": False, "track_running_stats": True}
X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def super_net(name: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    random.seed(0)
    return get_cell_based_tiny_net({**SUPER, "name": name, **changes})


def check_outputs(network: nn.Module, features: int = 16) -> None:
    for training in (True, False):
        out = network.train(training)(X)
        assert [tuple(tensor.shape) for tensor in out] == [(2, features), (2, 3)]
        assert all(tensor.isfinite().all() for tensor in out)


def test_the_tables_of_super_nets() -> None:
    assert set(nas201_super_nets) == {"DARTS-V1", "DARTS-V2", "GDAS", "SETN", "ENAS", "RANDOM", "generic"}
    assert set(nasnet_super_nets) == {"GDAS", "GDAS_FRC", "DARTS"}
    for name in nas201_super_nets:
        network = nas201_super_nets[name](4, 1, 4, 3, SPACE, False, True)
        assert isinstance(super_net(name), type(network))
        assert "C=4, Max-Nodes=4, N=1, L=5" in network.get_message().partition("\n")[0]


@pytest.mark.parametrize("name", ["DARTS-V1", "DARTS-V2", "GDAS", "SETN"])
def test_networks_with_architecture_parameters(name: str) -> None:
    network = super_net(name)
    check_outputs(network)
    (alphas,) = network.get_alphas()
    assert alphas.shape == (6, 5)
    with torch.no_grad():
        alphas.zero_()
        for row, op in enumerate([3, 0, 2, 1, 0, 4]):
            alphas[row, op] = 9
    assert network.genotype().tostr() == CELL
    n_weights = sum(parameter.numel() for parameter in network.get_weights())
    assert n_weights + 30 == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["DARTS-V1", "GDAS", "generic"])
def test_the_text_of_the_parameters(name: str) -> None:
    network = super_net(name)
    lines = network.show_alphas().splitlines()
    assert len(lines) == 7
    assert all(line.count("0.") == 5 for line in lines[1:])


def test_gdas() -> None:
    network = super_net("GDAS")
    assert network.get_tau() == 10
    network.set_tau(0.5)
    assert network.get_tau() == 0.5
    network.eval()
    torch.manual_seed(1)
    outs = [network(X)[1] for _ in range(6)]
    assert any(not torch.equal(out, outs[0]) for out in outs)
    sum(out.sum() for out in outs).backward()
    assert network.get_alphas()[0].grad.abs().sum() > 0


def test_setn() -> None:
    network = super_net("SETN")
    for mode in ("urs", "joint", "select"):
        network.set_cal_mode(mode)
        assert network.get_cal_mode() == mode
        check_outputs(network)
    network.set_cal_mode("dynamic", CellStructure.str2structure(CELL))
    check_outputs(network)
    for wrong in (("bogus",), ("dynamic",), ("joint", CellStructure.str2structure(CELL)), (None,), ([],)):
        with pytest.raises(HWNASError):
            network.set_cal_mode(*wrong)
    assert network.get_log_prob(CellStructure.str2structure(CELL)) == pytest.approx(6 * math.log(0.2), abs=0.05)
    for use_random in (False, True):
        assert network.dync_genotype(use_random).check_valid_op(SPACE)
    best = network.return_topK(3)
    assert len(best) == 3
    assert best[0] == network.genotype()
    logs = [network.get_log_prob(arch) for arch in best]
    assert logs == sorted(logs, reverse=True)


def test_return_top_k_of_all() -> None:
    network = super_net("SETN", max_nodes=3, space=["none", "skip_connect"])
    for k in (-1, 8, 10**9):
        assert len({arch.tostr() for arch in network.return_topK(k)}) == 8
    everything = super_net("generic")
    assert len(everything.return_topK(-1, False)) == 15625
    assert len({arch.tostr() for arch in everything.return_topK(7, True)}) == 7


def test_enas() -> None:
    network = super_net("ENAS")
    with pytest.raises(InvalidInputError):
        network(X)
    network.update_arch([3, 0, 2, 1, 0, 4])
    check_outputs(network)
    network.update_arch(CellStructure.str2structure(CELL))
    with torch.no_grad():
        first = network.eval()(X)[1]
        network.update_arch([3, 0, 2, 1, 0, 4])
        torch.testing.assert_close(network(X)[1], first)
    network.update_arch(None)
    with pytest.raises(InvalidInputError):
        network(X)
    controller = network.create_controller()
    assert isinstance(controller, Controller)
    assert sum(parameter.numel() for parameter in controller.parameters()) == 17253
    log_prob, entropy, arch = controller()
    assert len(arch) == 6
    (log_prob + entropy).backward()
    network.update_arch(arch)
    check_outputs(network)
    for wrong in ([1], [9] * 6, "|nor_conv_7x7~0|", 3, [1.5] * 6):
        with pytest.raises(HWNASError):
            network.update_arch(wrong)


def test_random_with_parameter_sharing() -> None:
    network = super_net("RANDOM")
    with pytest.raises(InvalidInputError):
        network(X)
    assert network.random_genotype(False).check_valid_op(SPACE)
    with pytest.raises(InvalidInputError):
        network(X)
    arch = network.random_genotype(True)
    assert network.arch_cache == arch
    check_outputs(network)


def test_generic() -> None:
    network = super_net("generic")
    with pytest.raises(HWNASError):
        network(X)
    with pytest.raises(HWNASError):
        network.set_algo("bogus")
    network.set_algo("gdas")
    with pytest.raises(HWNASError):
        network.set_algo("gdas")
    assert network.tau == 10
    network.set_tau(2)
    assert network.tau == 2
    for mode in ("gdas", "urs", "joint", "select"):
        network.set_cal_mode(mode)
        assert network.mode == mode
        check_outputs(network)
    network.set_cal_mode("dynamic", CellStructure.str2structure(CELL))
    check_outputs(network)
    network.set_drop_path(0.5, 0.2)
    assert network.drop_path == pytest.approx(0.1)
    assert len(network.weights) == len(list(network.parameters())) - 1
    assert [alpha.shape for alpha in network.alphas] == [(6, 5)]
    assert "C=4" in network.message
    assert isinstance(network.genotype, CellStructure)
    assert network.dync_genotype(True).check_valid_op(SPACE)
    assert network.get_log_prob(network.genotype) < 0
    assert "arch" in network.show_alphas()
    network.normalize_archp()


def test_generic_enas() -> None:
    network = super_net("generic")
    network.set_algo("enas")
    log_prob, entropy, arch = network.controller()
    assert isinstance(network.controller, GenericController)
    assert isinstance(arch, CellStructure)
    assert log_prob < 0 < entropy
    network.set_cal_mode("dynamic", arch)
    check_outputs(network)


@pytest.mark.parametrize("name", nasnet_super_nets)
def test_nasnet_super_nets(name: str) -> None:
    torch.manual_seed(0)
    network: Any = get_cell_based_tiny_net({**NASNET, "name": name})
    check_outputs(network, 4 * 8 * 4)
    alphas = network.get_alphas()
    assert [alpha.shape for alpha in alphas] == [(14, 3)] * (1 if name == "GDAS_FRC" else 2)
    genotype = network.genotype()
    assert set(genotype) == {"normal", "normal_concat"} | (set() if name == "GDAS_FRC" else {"reduce", "reduce_concat"})
    assert network.show_alphas()
    assert network.get_message()
    assert network.get_weights()
    if name != "DARTS":
        assert network.get_tau() == 10
        network.set_tau(3)
        assert network.get_tau() == 3
    found = NASNetonCIFAR(8, 1, 3, 3, genotype, True)
    features, (logits, auxiliary) = found(torch.zeros(2, 3, 32, 32))
    assert (features.shape[0], logits.shape, auxiliary.shape) == (2, (2, 3), (2, 3))
    found.update_drop_path(0.2)
    assert len(found.auxiliary_param()) == 8
    assert len(found.eval()(torch.zeros(1, 3, 32, 32))) == 2
    assert found.get_message()


@pytest.mark.parametrize("algo", ["fbv2", "tunas", "tas"])
def test_sizes(algo: str) -> None:
    torch.manual_seed(0)
    network: Any = get_cell_based_tiny_net(SIZES)
    with pytest.raises(HWNASError):
        network(X)
    network.set_algo(algo)
    with pytest.raises(HWNASError):
        network.set_algo(algo)
    network.set_tau(5)
    assert network.tau == 5
    for training in (True, False):
        features, logits, log_probs = network.train(training)(X)
        assert (features.shape, logits.shape) == ((2, 8), (2, 3))
        assert len(log_probs) == (6 if algo == "tunas" else 0)
    for text in (network.random, network.genotype):
        assert all(int(width) in (4, 6, 8) for width in text.split(":"))
        assert len(text.split(":")) == 5
        assert get_cell_based_tiny_net({**SIZES, "super_type": "basic", "name": "infer.shape.tiny", "channels": text})
    assert [alpha.shape for alpha in network.alphas] == [(5, 3)]
    assert network.weights
    assert network.show_alphas()


SEARCHES: Mapping[str, dict[str, Any]] = {
    "width": {"dataset": "cifar", "arch": "resnet", "module": "ResNetBasicblock", "depth": 8},
    "depth": {"dataset": "cifar", "arch": "resnet", "module": "ResNetBasicblock", "depth": 14},
    "shape": {"dataset": "cifar", "arch": "resnet", "module": "ResNetBottleneck", "depth": 20},
    "simres": {"dataset": "cifar", "arch": "simres", "search_mode": "width", "depth": 5},
    "imagenet": {"dataset": "imagenet", "arch": "resnet", "search_mode": "shape", "block_name": "BasicBlock"}
    | {"layers": [1, 1, 2, 1], "deep_stem": True},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_residual_networks_that_are_searched(name: str) -> None:
    torch.manual_seed(0)
    network: Any = obtain_search_model({"search_mode": name, "class_num": 3, **SEARCHES[name]})
    x = torch.zeros(2, 3, 32, 32)
    with pytest.raises(HWNASError):
        network.get_flop("genotype", None, None)
    _, logits = network(x)
    assert logits.shape == (2, 3)
    n_arch, n_base = len(network.arch_parameters()), len(list(network.base_parameters()))
    assert n_arch >= 1
    assert n_arch + n_base == len(list(network.parameters()))
    network.apply(change_key("search_mode", "search"))
    network.set_tau(5, 0.1, 0)
    logits, flops = network(x)
    assert (logits.shape, flops.shape) == ((2, 3), (1,))
    (logits.sum() + flops.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.arch_parameters())
    most = network.get_flop("max", None, None)
    for mode in ("genotype", "max", "fix", "random"):
        mflops, config = network.get_flop(mode, {"k": 1}, 0.5 if mode in ("fix", "random") else None)
        assert 0 < mflops <= most * (1 + 1e-9)
        assert config["super_type"].startswith("infer-")
        assert config["estimated_FLOP"] == pytest.approx(mflops)
        assert {"xchannels", "xblocks"} & set(config)
    text, discrepancies = network.get_arch_info()
    assert text
    assert len(discrepancies) >= 1
    assert network.get_message()
    for wrong in (("bogus", None, None), (None, None, None)):
        with pytest.raises(HWNASError):
            network.get_flop(*wrong)


def test_structures() -> None:
    cell = Structure.str2structure(CELL)
    assert Structure.str2structure(cell) == cell
    assert len(cell) == 4
    assert [tuple(edges) for edges in (cell[0], cell.node(1))] == [(("nor_conv_3x3", 0),)] * 2
    assert cell.node(3) == cell[2]
    assert cell.tostr() == CELL
    assert cell.tolist("bogus")[1]
    assert cell.tolist("none")[1]
    assert Structure.str2structure("|none~0|+|none~0|none~1|").tolist("none") == (None, False)
    assert cell.check_valid()
    assert not Structure.str2structure("|none~0|").check_valid()
    assert not cell.check_valid_op(["none"])
    assert str(Structure([[("a", 0)], [("b", 0), ("c", 1)]]).tostr()) == "|a~0|+|b~0|c~1|"
    assert Structure.str2fullstructure("|nor_conv_3x3~0|+|skip_connect~1|").tostr().count("none") == 1
    assert set(architectures) == set(CellArchitectures) == {"resnet", "all_c3x3", "all_c1x1", "all_idnt", "all_full"}
    assert len(get_combination(SPACE, 2)) == 25
    for wrong in (0, -1, 1.5, None, True):
        with pytest.raises(InvalidConfigError):
            get_combination(SPACE, wrong)  # type: ignore[arg-type]
    for wrong in ("", "|a~1|", "|a|", "|a~0|+", None, 3, "|~0|"):
        with pytest.raises(InvalidArchitectureError):
            Structure.str2structure(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("zero", "expected"), [(True, 6466), (False, 12751), (None, 15625)])
def test_facts_of_the_whole_space(zero: bool | None, expected: int) -> None:
    cells = Structure.gen_all(SPACE, 4, False)
    assert len({cell.to_unique_str(zero) for cell in cells}) == expected
    if zero is None:
        assert sum(cell.check_valid() for cell in cells) == 15284
        assert sum(cell.tolist("none")[1] for cell in cells) == 11904


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("affine", [True, False])
def test_operations(op: str, affine: bool) -> None:
    x = torch.linspace(-1, 1, 2 * 8 * 9 * 9).reshape(2, 8, 9, 9)
    for c_out, stride in ((8, 1), (8, 2), (12, 1), (12, 2), (7, 2)):
        module = OPS[op](8, c_out, stride, affine, True)
        out = module(x)
        assert out.shape == (2, c_out, *[9 if stride == 1 else 5] * 2)
        biases = [
            conv.bias is not None for conv in module.modules() if isinstance(conv, nn.Conv2d) and conv.groups == 1
        ]
        assert all(bias != affine for bias in biases)


def test_cells() -> None:
    x = torch.zeros(2, 4, 8, 8)
    assert InferCell(Structure.str2structure(CELL), 4, 6, 2)(x).shape == (2, 6, 4, 4)
    for reduction, size in ((False, 8), (True, 4)):
        search = NASNetSearchCell(SPACE, 2, 2, 4, 4, 4, reduction, False, True, True)
        assert search.forward_darts(x, x, torch.ones(5, 5) / 5).shape == (2, 8, size, size)
        hard = torch.eye(5)
        assert search.forward_gdas(x, x, hard, [0, 1, 2, 3, 4]).shape == (2, 8, size, size)
        cell = [[("skip_connect", 0), ("nor_conv_3x3", 1)]]
        genotype = {"normal": cell, "normal_concat": [2], "reduce": cell, "reduce_concat": [2]}
        assert NASNetInferCell(genotype, 4, 4, 4, reduction, False, True, True)(x, x, 0.0).shape == (2, 4, size, size)
    with pytest.raises(InvalidArchitectureError, match="no 'reduce' cell"):
        NASNetInferCell({"normal": cell, "normal_concat": [2]}, 4, 4, 4, True, False, True, True)
    table = NAS201SearchCell(4, 4, 1, 4, SPACE)
    weights = torch.eye(5)[torch.tensor([1, 1, 1, 1, 1, 1])]
    torch.testing.assert_close(table(x + 1, weights), 4 * (x + 1))
    torch.testing.assert_close(table.forward_joint(x + 1, weights), 4 * (x + 1))
    torch.testing.assert_close(table.forward_gdas(x + 1, weights, [1] * 6), 4 * (x + 1))
    torch.testing.assert_close(table.forward_select(x + 1, weights), 4 * (x + 1))
    torch.testing.assert_close(table.forward_dynamic(x + 1, CellArchitectures["all_idnt"]), 4 * (x + 1))
    assert table.forward_urs(x).shape == x.shape
    mixed = MixedOp(SPACE, 4, 1, True, True)
    torch.testing.assert_close(mixed.forward_darts(x + 1, weights[0]), x + 1)
    torch.testing.assert_close(mixed.forward_gdas(x + 1, weights[0], 1), x + 1)
    assert AuxiliaryHeadCIFAR(4, 3)(x).shape == (2, 3)
    assert RAW_OP_CLASSES["gdas_reduction"](4, 4, 8, False, True, True)(x, x).shape == (2, 32, 4, 4)
    assert TinyNetwork(4, 1, CellArchitectures["resnet"], 3)(X)[1].shape == (2, 3)
    assert SearchSpaceNames["nas-bench-201"] == SPACE
    assert torch.equal(drop_path(x + 1, 0.0), x + 1)
    assert set(drop_path(torch.ones(200, 1, 1, 1), 0.5).unique().tolist()) == {0.0, 2.0}


def test_what_the_page_on_moving_says_of_differences(capsys: pytest.CaptureFixture[str]) -> None:
    channels = [3, 4, 5, 6, 7, 8, 9, 10]
    slim = {"super_type": "infer-width", "module": "ResNetBasicblock", "depth": 8, "class_num": 3}
    get_cifar_models(slim | {"zero_init_residual": False, "xchannels": channels})
    assert channels == [3, 4, 5, 6, 7, 8, 9, 10]
    nodes = CellArchitectures["resnet"]
    assert nodes.node(1) == nodes[0]
    config = {"arch": "densenet", "growthRate": 4, "depth": 11, "reduction": 0.5, "class_num": 3, "bottleneck": False}
    with pytest.raises(InvalidConfigError):
        get_cifar_models(config)
    network = get_cifar_models(config | {"depth": 10})
    assert network(torch.zeros(2, 3, 64, 48))[1].shape == (2, 3)
    assert OPS["none"](4, 8, 2, True, True)(torch.zeros(1, 4, 8, 8)).shape == (1, 8, 4, 4)
    generic = super_net("generic")
    generic.set_algo("enas")
    generic.set_cal_mode("enas")
    check_outputs(generic)
    wide = {"arch": "wideresnet", "depth": 10, "wide_factor": 1, "class_num": 3, "dropout": True}
    get_cifar_models(wide)(torch.ones(2, 3, 32, 32))[1].sum().backward()
    assert capsys.readouterr() == ("", "")
    cell = [[("nor_conv_3x3", 0), ("nor_conv_1x1", 1)]]
    genotype = {"normal": cell, "normal_concat": [2], "reduce": cell, "reduce_concat": [2]}
    nasnet = NASNetonCIFAR(4, 1, 1, 3, genotype, False)
    x = torch.linspace(-1, 1, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8)
    before = nasnet(x)[1]
    torch.testing.assert_close(nasnet(x)[1], before)
    nasnet.update_drop_path(0.9)
    assert not torch.allclose(nasnet(x)[1], before)
