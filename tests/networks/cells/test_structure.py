"""Cell structures: strings, recorded answers, and the facts of the whole NAS-Bench-201 space."""

from __future__ import annotations

import copy
import hashlib
import itertools
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.networks.cells import CELL_ARCHITECTURES, CELL_SPACES, CellStructure
from hwnas_surrogate.networks.cells.structure import as_structure
from hwnas_surrogate.spaces import NASBench201
from tests.networks.cells.recorded import A0, RECORDED

MISC: dict[str, Any] = RECORDED["misc"]
OPS = CELL_SPACES["nas-bench-201"]


@pytest.fixture(scope="module")
def everything() -> list[CellStructure]:
    return CellStructure.gen_all(OPS, 4)


@st.composite
def cells(draw: st.DrawFn) -> CellStructure:
    """Draw any cell: sparse and repeated edges too."""
    nodes = []
    for node in range(1, draw(st.integers(2, 5))):
        edge = st.tuples(st.sampled_from(OPS), st.integers(0, node - 1))
        nodes.append(tuple(draw(st.lists(edge, min_size=1, max_size=4))))
    return CellStructure(tuple(nodes))


@settings(max_examples=50)
@given(cells())
def test_strings_round_trip(cell: CellStructure) -> None:
    again = CellStructure.str2structure(cell.tostr())
    assert again == cell
    assert hash(again) == hash(cell)
    assert CellStructure.str2structure(cell) is cell
    full = CellStructure.str2fullstructure(cell)
    assert all({source for _, source in full.node(node)} == set(range(node)) for node in range(1, len(full)))
    assert full.check_valid() == cell.check_valid()


@pytest.mark.parametrize("text", ["|nor_conv_3x3~0|", "|a~0|+|b~0|c~1|", "nor_conv_3x3~0",
                                  "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "", "|a~1|", "|a|"])  # fmt: skip
def test_recorded_strings(text: str) -> None:
    expected = MISC[f"str2structure({text!r}).tostr"]
    if isinstance(expected, dict):
        with pytest.raises(InvalidArchitectureError):
            CellStructure.str2structure(text)
    else:
        assert CellStructure.str2structure(text).tostr() == expected


def test_recorded_full_structure() -> None:
    sparse = "|nor_conv_3x3~0|+|nor_conv_3x3~1|+|skip_connect~0|skip_connect~2|"
    assert CELL_ARCHITECTURES["resnet"].tostr() == sparse
    assert CellStructure.str2fullstructure(sparse).tostr() == MISC["str2fullstructure sparse"]


@pytest.mark.parametrize("name", ["all_c3x3", "all_idnt"])
def test_recorded_named_cells(name: str) -> None:
    cell, expected = CELL_ARCHITECTURES[name], MISC[f"CellArchitectures[{name}]"]
    assert cell.tostr() == expected["tostr"]
    assert len(cell) == cell.node_num == expected["len"]
    assert cell.check_valid() is expected["check_valid"]
    assert cell.check_valid_op(OPS) is expected["check_valid_op_nb201"]
    for zero in (False, True, None):
        assert cell.to_unique_str(zero) == expected[f"unique_{zero}"]
    nodes, complete = cell.tolist("none")
    assert nodes is not None
    assert [[[list(edge) for edge in node] for node in nodes], complete] == expected["tolist_none"]
    assert repr(cell).endswith(expected["repr"].removeprefix("Structure"))


@pytest.mark.parametrize(("space", "num"), [("connect-nas", 2), ("connect-nas", 4), ("nas-bench-201", 3)])
def test_recorded_enumerations(space: str, num: int) -> None:
    expected = MISC[f"gen_all({space},{num})"]
    texts = [cell.tostr() for cell in CellStructure.gen_all(CELL_SPACES[space], num)]
    assert (len(texts), texts[0], texts[-1]) == (expected["n"], expected["first"], expected["last"])
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest() == expected["sha"]


def test_facts_of_the_whole_space(everything: list[CellStructure]) -> None:
    assert len(everything) == 15_625
    assert sum(cell.check_valid() for cell in everything) == 15_284
    assert sum(cell.tolist("none")[1] for cell in everything) == 11_904
    counts = {zero: len({cell.to_unique_str(zero) for cell in everything}) for zero in (True, False, None)}
    assert counts == {True: 6_466, False: 12_751, None: 15_625}


def test_unique_strings_are_the_spaces_canonical_ones(everything: list[CellStructure]) -> None:
    some = everything[::97]
    texts = [cell.tostr() for cell in some]
    assert NASBench201().canonical(texts, zeros="keep") == [cell.to_unique_str(True) for cell in some]
    assert NASBench201().canonical(texts, zeros="ignore") == [cell.to_unique_str() for cell in some]


def test_enumerations_as_they_are() -> None:
    nested = CellStructure.gen_all(["a", "b"], 3, return_ori=True)
    assert len(nested) == 8
    assert nested[1] == ((("a", 0),), (("a", 0), ("b", 1)))
    assert [CellStructure(nodes) for nodes in nested] == CellStructure.gen_all(["a", "b"], 3)


def test_nodes_count_from_the_first_after_the_input() -> None:
    cell = CellStructure.str2structure(A0)
    assert cell.node(1) == cell[0] == (("avg_pool_3x3", 0),)
    assert cell.node(3) == cell[-1]
    assert list(cell) == list(cell.nodes)


def test_removing_an_operation_sorts_edges() -> None:
    cell = CellStructure([[("x", 0)], [("b", 1), ("none", 0), ("a", 1)]])  # type: ignore[arg-type]
    assert cell.tolist("none") == ([(("x", 0),), (("a", 1), ("b", 1))], True)
    assert cell.tolist("x") == (None, False)


@pytest.mark.parametrize("ops", list(itertools.product(["none", "skip_connect"], repeat=3)))
def test_validity_is_a_path(ops: tuple[str, str, str]) -> None:
    first, direct, through = (op != "none" for op in ops)
    cell = CellStructure((((ops[0], 0),), ((ops[1], 0), (ops[2], 1))))
    assert cell.check_valid() is (direct or (first and through))


def test_structures_are_values() -> None:
    cell = CELL_ARCHITECTURES["all_full"]
    assert copy.deepcopy(cell) == pickle.loads(pickle.dumps(cell)) == cell
    with pytest.raises(AttributeError):
        cell.nodes = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    "nodes",
    [(), "|a~0|", [[]], [[("a",)]], [[("a", 1)]], [[("a", -1)]], [[("a", True)]], [[(0, 0)]], ["a~0"], 3, [["ab"]],
     [[("a", 0.0)]]],
    ids=str,
)  # fmt: skip
def test_malformed_nodes(nodes: Any) -> None:
    with pytest.raises(InvalidArchitectureError):
        CellStructure(nodes)


@pytest.mark.parametrize("value", [None, 3, {"normal": []}, "", "|a~b|", "|~0|", "|a~0|+", "+|a~0|", b"|a~0|"], ids=str)
def test_what_is_no_cell(value: Any) -> None:
    with pytest.raises(InvalidArchitectureError):
        as_structure(value)


@pytest.mark.parametrize("index", [0, 4, -1, 1.0, True], ids=str)
def test_wrong_nodes(index: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"1\.\.3"):
        CellStructure.str2structure(A0).node(index)


@pytest.mark.parametrize(
    ("ops", "num"), [(OPS, 1), (OPS, 0), (OPS, 2.0), (OPS, True), ([], 3), (None, 2), ("ab", 2), ([1], 2)], ids=str
)
def test_wrong_enumerations(ops: Any, num: Any) -> None:
    with pytest.raises(HWNASError):
        CellStructure.gen_all(ops, num)


def test_operations_are_checked_against_names() -> None:
    cell = CellStructure.str2structure(A0)
    assert cell.check_valid_op(set(OPS))
    assert not cell.check_valid_op(OPS[:3])
    with pytest.raises(HWNASError, match="list of names"):
        cell.check_valid_op(None)  # type: ignore[arg-type]
