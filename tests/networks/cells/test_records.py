"""Every recorded figure of a cell network: parameters, state, outputs, multiply-adds, and answers about architectures.

Networks that draw numbers are compared in value too where PyTorch draws the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import HWNASError
from hwnas_surrogate.networks.cells import (
    CellStructure,
    EdgeTable,
    ENASCellNetwork,
    GenericCellNetwork,
    StructureController,
    build_cell_network,
)
from tests.networks.cells.recorded import (
    A0,
    BUILT,
    RECORDED,
    REFUSED,
    fill,
    leaves,
    run,
    same_noise,
    seed,
    shapes,
    state_hashes,
)

BY_TORCH = ("GDAS", "fbv2", "tas")
"""Parts of names of the records whose outputs PyTorch's random numbers decide."""

MODES: dict[str, Callable[[Any], object]] = {
    "eval": lambda network: None,
    "urs": lambda network: network.set_cal_mode("urs"),
    "joint": lambda network: network.set_cal_mode("joint"),
    "select": lambda network: network.set_cal_mode("select"),
    "dynamic": lambda network: network.set_cal_mode("dynamic", A0),
    "update_arch(Structure)": lambda network: network.update_arch(CellStructure.str2structure(A0)),
    "update_arch([1,2,3,4,0,1])": lambda network: network.update_arch([1, 2, 3, 4, 0, 1]),
    "random_genotype(True)": lambda network: network.random_genotype(True),
}


def built(record: dict[str, Any]) -> nn.Module:
    network = build_cell_network(record["config"])
    if record["config"].get("super_type") == "search-shape":
        assert not isinstance(network.set_algo, (Tensor, nn.Module))
        network.set_algo(record["name"].partition("/")[2])
    fill(network)
    if record["config"].get("super_type") == "search-shape":
        assert not isinstance(network.set_tau, (Tensor, nn.Module))
        network.set_tau(5.0)
    return network.eval()


@pytest.mark.parametrize("name", BUILT)
def test_figures(name: str) -> None:
    record = BUILT[name]
    network = built(record)
    assert sum(one.numel() for one in network.parameters() if one.requires_grad) == record["params"]
    as_tuples, as_products = state_hashes(network)
    assert as_tuples == record["state_dict_sha256"]
    assert as_products == record.get("state_names_sha256", as_products)
    for question, answer in record.get("arch_api", {}).items():
        check_answer(network, question, answer)
    for mode, expected in record.get("forward", {}).items():
        if expected == "refused":
            with pytest.raises(HWNASError, match=r"call|Call"):
                network(torch.zeros(1, 3, 8, 8))
            continue
        seed()
        if mode == "gdas after set_algo":
            assert isinstance(network, GenericCellNetwork)
            network.set_algo("gdas")  # draws the parameters anew
            network.set_cal_mode("gdas")
        else:
            MODES[mode](network)
            seed()
        drawn = any(part in name for part in BY_TORCH) or mode.startswith("gdas")
        check_output(run(network, record["input_hw"]), expected, compared=not drawn or same_noise())


def check_output(got: tuple[Any, int], expected: dict[str, Any], compared: bool) -> None:
    output, macs = got
    assert shapes(output) == expected["output_shapes"]
    if not compared:
        return
    assert macs == expected["macs"]
    for tensor, figures in zip(leaves(output), expected["tensors"], strict=True):
        flat = tensor.flatten().double()
        atol = 1e-5 * figures["abs_sum"]
        np.testing.assert_allclose(flat[:5].numpy(), figures["first5"], rtol=1e-4, atol=atol)
        assert flat.sum().item() == pytest.approx(figures["sum"], rel=1e-4, abs=atol)
        assert flat.abs().sum().item() == pytest.approx(figures["abs_sum"], rel=1e-4)


def check_answer(network: Any, question: str, answer: Any) -> None:
    seed()
    generic = isinstance(network, GenericCellNetwork)
    match question:
        case "genotype":
            got = network.genotype if generic else network.genotype()
            assert simple(got) == simple(answer)
        case "dync_genotype(True)":
            assert network.dync_genotype(True).tostr() == answer
        case "dync_genotype(False)":
            drawn = network.dync_genotype().tostr()
            assert drawn == answer or not same_noise()
        case "get_log_prob(A0)":
            assert network.get_log_prob(A0) == pytest.approx(answer, rel=1e-5)
        case "return_topK(3)":
            assert [cell.tostr() for cell in network.return_topK(3)] == answer
        case "len(return_topK(-1))":
            assert len(network.return_topK(-1)) == answer
        case "len/shapes get_alphas" | "len/numel alphas":
            alphas = network.alphas if generic else network.get_alphas()
            assert [len(alphas), sum(map(Tensor.numel, alphas))] == answer
        case "len/shapes get_weights" | "len/numel weights":
            weights = network.weights if generic else network.get_weights()
            assert [len(weights), sum(map(Tensor.numel, weights))] == answer
        case _:
            raise AssertionError(question)


def simple(genotype: Any) -> Any:
    """Return a genotype as lists, weights rounded."""
    if isinstance(genotype, dict):
        return {key: simple(value) for key, value in genotype.items()}
    if isinstance(genotype, (list, tuple)):
        return [simple(value) for value in genotype]
    if isinstance(genotype, float):
        return round(genotype, 5)
    return genotype.tostr() if isinstance(genotype, CellStructure) else genotype


TRAINED = {name: record for name, record in BUILT.items() if "infer" in name and "train_output_shapes_batch4" in record}
"""Super-nets are trained in ``test_training.py``."""


@pytest.mark.parametrize("name", TRAINED)
def test_training_mode_gives_gradients(name: str) -> None:
    record = TRAINED[name]
    network = build_cell_network(record["config"] | ({"C": 8, "N": 1} if "C" in record["config"] else {}))
    size = 32 if record["config"].get("auxiliary") else 8  # the auxiliary head takes maps of 8x8, after two reductions
    output = network(torch.randn(4, 3, size, size))
    sizes = [out.shape[1] for out in leaves(output[1])]
    assert shapes(output)[1] == record["train_output_shapes_batch4"][1]
    assert sizes[0] == 10
    torch.stack([out.square().mean() for out in leaves(output)]).sum().backward()  # type: ignore[no-untyped-call]
    assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in network.parameters())


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(HWNASError):
        build_cell_network(REFUSED[name]["config"])


def test_enas_controller() -> None:
    record = RECORDED["controllers"]["ENAS.create_controller()"]
    network = ENASCellNetwork(4, 1, 4, 10, ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"])
    controller = network.create_controller()
    assert {name: list(tensor.shape) for name, tensor in controller.state_dict().items()} == record["state"]
    assert sum(one.numel() for one in controller.parameters()) == record["params"]
    fill(controller)
    seed()
    log_prob, entropy, ops = controller()
    expected = record["forward_after_fill_rand_manual_seed0"]
    assert entropy.item() == pytest.approx(expected["entropy_sum"], rel=1e-3)
    if same_noise():
        assert ops == expected["sampled_arch"]
        assert log_prob.item() == pytest.approx(expected["log_prob_sum"], rel=1e-5)
        assert entropy.item() == pytest.approx(expected["entropy_sum"], rel=1e-5)
    assert len(network.table) == len(ops)
    assert network.update_arch(ops) == network.sampled_arch


def test_generic_controller() -> None:
    record = RECORDED["controllers"]["generic.set_algo(enas).controller"]
    ops = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    controller = StructureController(EdgeTable(4, ops))
    assert state_hashes(controller)[0] == record["state_dict_sha256"]
    fill(controller)
    seed()
    log_prob, _, cell = controller()
    assert isinstance(cell, CellStructure)
    if same_noise():
        expected = record["forward_after_fill_rand_manual_seed0"]
        assert cell.tostr() == expected["sampled_arch"]
        assert log_prob.item() == pytest.approx(expected["log_prob_sum"], rel=1e-5)
