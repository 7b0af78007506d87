"""Inference networks of cells, against those of the package's own spaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.networks.cells import (
    CELL_ARCHITECTURES,
    CellStructure,
    InferenceCell,
    SizedCellNetwork,
    StructureNetwork,
)
from hwnas_surrogate.networks.cells.inference import as_channels
from hwnas_surrogate.spaces import NASBench201Config
from tests.networks.cells.recorded import A0, fill, image


def same_output(one: nn.Module, other: nn.Module) -> None:
    for network in (one, other):
        fill(network)
        network.eval()
    assert [(name, tensor.shape) for name, tensor in one.state_dict().items()] == [
        (name, tensor.shape) for name, tensor in other.state_dict().items()
    ]
    with torch.no_grad():
        for got, expected in zip(one(image(16)), other(image(16)), strict=True):
            torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("arch", [0, 7_000, 15_624])
def test_a_dense_cell_is_the_spaces_network(arch: int) -> None:
    own = build_network(arch, NASBench201Config(C=4, N=2, num_classes=7))
    same_output(StructureNetwork(4, 2, _text(arch), 7), own)


def _text(arch: int) -> str:
    from hwnas_surrogate.spaces import NASBench201

    return NASBench201().format(arch)


def test_the_size_spaces_cell_is_its_network() -> None:
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    own = build_network("8:16:8:16:24", space="natsbench-size")
    same_output(SizedCellNetwork("8:16:8:16:24", cell, 10), own)


def test_sparse_and_repeated_edges_sum() -> None:
    twice = CellStructure.str2structure("|skip_connect~0|skip_connect~0|+|skip_connect~1|")
    network = StructureNetwork(2, 1, twice, 3).eval()
    x = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(network.cells[0](x), 2 * x)


@pytest.mark.parametrize(
    "genotype", [CELL_ARCHITECTURES["resnet"], A0, [[("none", 0)], [("skip_connect", 0)]]], ids=str
)
def test_all_forms_of_a_cell(genotype: Any) -> None:
    network = StructureNetwork(2, 1, genotype, 3)
    assert "StructureNetwork(C=2, N=1, L=5)" in network.get_message()
    assert network.genotype.tostr() in network.get_message()
    assert SizedCellNetwork([2, 2], genotype, 3)(torch.randn(2, 3, 8, 8))[1].shape == (2, 3)


@pytest.mark.parametrize("channels", ["8", "8:8:8", "8:16:24:32", "8:x:8:8:8", "", "8:-8", [8, 0], [8, 8.0], [True, 8],
                                      None, 5, {8: 8}], ids=str)  # fmt: skip
def test_wrong_channels(channels: Any) -> None:
    with pytest.raises(HWNASError, match="3 k \\+ 2"):
        as_channels(channels)


def test_channels_in_all_forms() -> None:
    assert (
        as_channels(" 8: 16 ")
        == as_channels((8, 16))
        == as_channels([8, 16])
        == as_channels(np.array([8, 16]))
        == (8, 16)
    )


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(HWNASError, match=r"'nor_conv_9x9'.*allowed"):
        StructureNetwork(4, 1, "|nor_conv_9x9~0|", 10)


def test_a_cell_alone_takes_all_forms() -> None:
    text = "|nor_conv_1x1~0|+|skip_connect~1|"
    forms = (text, CellStructure.str2structure(text), [[("nor_conv_1x1", 0)], [["skip_connect", 1]]])
    assert {str(InferenceCell(form, 2, 4, 2)) for form in forms} == {str(InferenceCell(text, 2, 4, 2))}
    for wrong in (None, 7, {"normal": []}, "nor_conv_1x1"):
        with pytest.raises(InvalidArchitectureError):
            InferenceCell(wrong, 2, 4, 2)  # type: ignore[arg-type]
