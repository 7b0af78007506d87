"""The published search spaces of cell networks."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.cells import CELL_SPACES, OPERATIONS, cell_search_spaces
from tests.networks.cells.recorded import RECORDED


@pytest.mark.parametrize(
    ("xtype", "name"), [("cell", "nas-bench-201"), ("cell", "connect-nas"), ("sss", "nats-bench-size")]
)
def test_recorded(xtype: str, name: str) -> None:
    expected = RECORDED["misc"][f"get_search_spaces({xtype!r}, {name!r})"]
    assert cell_search_spaces(xtype, name) == expected
    other = "nats-bench"
    if name != "connect-nas":
        assert cell_search_spaces("tss" if xtype == "cell" else xtype, other) == expected


def test_answers_are_new_each_time() -> None:
    ops = cell_search_spaces("tss", "darts")
    assert isinstance(ops, list)
    assert len(ops) == 8
    ops.clear()
    assert cell_search_spaces("tss", "darts") == list(CELL_SPACES["darts"])


def test_every_operation_of_a_space_exists() -> None:
    assert set().union(*CELL_SPACES.values()) <= set(OPERATIONS)
    assert len(OPERATIONS) == 11


@pytest.mark.parametrize(
    ("xtype", "name"),
    [("cell", "bogus"), ("bogus", "x"), ("sss", "darts"), ("tss", None), ("cell", ["darts"]), (["cell"], "darts")],
)
def test_unknown_names(xtype: Any, name: Any) -> None:
    with pytest.raises(InvalidConfigError, match="allowed"):
        cell_search_spaces(xtype, name)
