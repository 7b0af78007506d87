"""Search cells: each way to run one, against sums written out."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from hwnas_surrogate.errors import HWNASError
from hwnas_surrogate.networks.cells import CellStructure, EdgeTable, InferenceCell, SearchCell
from hwnas_surrogate.networks.cells.choosing import chosen, gumbel_one_hot
from hwnas_surrogate.networks.cells.search_cell import random_structure, useful_structure

OPS = ["none", "skip_connect", "nor_conv_1x1"]


@pytest.fixture
def cell() -> SearchCell:
    torch.manual_seed(0)
    return SearchCell(4, 4, 1, 3, OPS).eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(1))


def conv(cell: SearchCell, edge: str, x: Tensor) -> Tensor:
    out: Tensor = cell.edges[edge][2](x)  # type: ignore[index]
    return out


def test_joint_is_a_weighted_sum(cell: SearchCell, x: Tensor) -> None:
    weights = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])
    first = 0.3 * x + 0.5 * conv(cell, "1<-0", x)
    second = 0.6 * x + 0.3 * conv(cell, "2<-0", x) + 0.25 * first + 0.25 * conv(cell, "2<-1", first)
    torch.testing.assert_close(cell(x, weights), second)
    torch.testing.assert_close(cell.forward_joint(x, weights), second)


def test_one_operation_of_each_edge(cell: SearchCell, x: Tensor) -> None:
    weights = torch.eye(3)[[2, 1, 0]]
    expected = x + 0 * conv(cell, "1<-0", x)
    torch.testing.assert_close(cell.forward_select(x, weights), expected)
    torch.testing.assert_close(cell.forward_gdas(x, weights, [2, 1, 0]), expected)
    torch.testing.assert_close(cell.forward_gdas(x, weights, torch.tensor([[2], [1], [0]])), expected)
    structure = CellStructure.str2structure("|nor_conv_1x1~0|+|skip_connect~0|none~1|")
    torch.testing.assert_close(cell.forward_dynamic(x, structure), expected)


def test_a_structure_may_be_sparse(cell: SearchCell, x: Tensor) -> None:
    sparse = CellStructure.str2structure("|nor_conv_1x1~0|+|skip_connect~1|skip_connect~1|")
    torch.testing.assert_close(cell.forward_dynamic(x, sparse), 2 * conv(cell, "1<-0", x))


def test_a_structure_computes_what_its_inference_cell_does(x: Tensor) -> None:
    structure = CellStructure.str2structure("|nor_conv_1x1~0|+|skip_connect~0|nor_conv_1x1~1|")
    search = SearchCell(4, 6, 2, 3, OPS, affine=True).eval()
    alone = InferenceCell(structure, 4, 6, 2).eval()
    for layer, (row, op) in zip(alone.layers, search.table.entries(structure), strict=True):
        edge = list(search.edges.values())[row]
        layer.load_state_dict(edge[op].state_dict())  # type: ignore[index]
    torch.testing.assert_close(search.forward_dynamic(x, structure), alone(x))


def test_gradients_reach_the_operations_that_did_not_run(cell: SearchCell, x: Tensor) -> None:
    parameters = torch.zeros(3, 3, requires_grad=True)
    weights, choices = gumbel_one_hot(parameters, 10.0)
    cell.forward_gdas(x, weights, choices).square().sum().backward()  # type: ignore[no-untyped-call]
    assert parameters.grad is not None
    assert (parameters.grad != 0).any(dim=1).all()


def test_uniform_draws_are_uniform_and_never_all_none(cell: SearchCell) -> None:
    random.seed(0)
    drawn = [useful_structure(cell.table) for _ in range(3000)]
    first = [node[0][0] for node, _ in (one.nodes for one in drawn)]
    assert "none" not in first
    assert first.count("skip_connect") / len(drawn) == pytest.approx(1 / 2, abs=0.04)
    seconds = {tuple(op for op, _ in one.node(2)) for one in drawn}
    assert len(seconds) == 8
    assert ("none", "none") not in seconds
    random.seed(0)
    assert drawn[0] == useful_structure(cell.table)


def test_random_structures_take_every_operation() -> None:
    random.seed(0)
    table = EdgeTable(3, OPS)
    assert len({random_structure(table) for _ in range(400)}) == 27


def test_rows_are_in_the_order_of_names() -> None:
    table = EdgeTable(12, OPS)
    assert list(table.rows) == sorted(table.rows)
    assert table.row(10, 0) < table.row(2, 0)
    assert EdgeTable(4, OPS).pairs == [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]


def test_gumbel_draws_follow_the_softmax() -> None:
    torch.manual_seed(0)
    parameters = torch.tensor([[0.0, 1.0, -1.0]]).repeat(4000, 1)
    weights, choices = gumbel_one_hot(parameters, 10.0)
    assert torch.equal(weights.round(), torch.eye(3)[choices])
    shares = torch.bincount(torch.tensor(choices)) / 4000
    torch.testing.assert_close(shares, parameters[0].softmax(0), atol=0.03, rtol=0)
    assert chosen(parameters[:2], parameters[:2]) == [1, 1]


@pytest.mark.parametrize("choices", [[0, 0], [0, 0, 3], [0, 0, -1], [0, 0, 1.0], [0, 0, True]], ids=str)
def test_wrong_choices(choices: Any) -> None:
    with pytest.raises(HWNASError, match=r"3 operations, each a number 0\.\.2"):
        EdgeTable(3, OPS).structure(choices)


@pytest.mark.parametrize(
    "text", ["|none~0|", "|none~0|+|avg_pool_3x3~0|", "|none~0|+|none~0|+|none~0|"], ids=["few", "op", "many"]
)
def test_structures_of_other_cells(cell: SearchCell, x: Tensor, text: str) -> None:
    with pytest.raises(HWNASError):
        cell.forward_dynamic(x, CellStructure.str2structure(text))


def test_uniform_draws_need_an_operation(x: Tensor) -> None:
    with pytest.raises(HWNASError, match="other than 'none'"):
        SearchCell(4, 4, 1, 3, ["none"]).forward_urs(x)
