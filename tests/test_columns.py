"""Columns say what models may take them for, and their names say it all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas_surrogate.columns import Column, Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import LayerPhysics

MEANT = [
    (Column("onehot", "edge10=none"), "feature", None),
    (Column.physics("all", "macs"), "physics", "all"),
    (Column.correction("all", "kernel"), "correction", "all"),
    (Column.physics("fused", "macs"), "physics", "fused"),
    (Column.source("raspi4/latency"), "source", None),
]
COLUMNS = [column for column, _, _ in MEANT]


@pytest.mark.parametrize(("column", "role", "view"), MEANT, ids=[column.name for column in COLUMNS])
def test_a_column_has_a_role_and_a_view(column: Column, role: str, view: str | None) -> None:
    assert (column.role, column.view) == (role, view)


@given(st.from_regex(r"[a-z_0-9]+", fullmatch=True), st.text(min_size=1))
def test_a_name_gives_the_column_back(group: str, feature: str) -> None:
    column = Column(group, feature)
    assert Column.of(column.name) == column


def test_columns_are_found_by_role_view_and_group() -> None:
    columns = Columns(COLUMNS)
    assert columns.where("physics").tolist() == [1, 3]
    assert columns.where("physics", "correction", view="all").tolist() == [1, 2]
    assert columns.where("physics", view="nothing").tolist() == []
    assert columns.of_groups(["onehot", "source"]).tolist() == [0, 4]
    assert columns.views == ("all", "fused")
    assert columns.groups == ("onehot", "physics_all", "correction_all", "physics_fused", "source")
    assert (columns[1], list(columns[3:])) == (COLUMNS[1], COLUMNS[3:])


def test_columns_of_a_frame_an_array_and_of_names() -> None:
    names = [column.name for column in COLUMNS]
    frame = pd.DataFrame(np.zeros((2, 5)), columns=names)
    assert Columns.of(frame).names == Columns.of(names).names == tuple(names)
    assert Columns.of(np.zeros((3, 2))).names == ("x:0", "x:1")


def test_a_name_without_a_colon_is_a_group_of_its_own() -> None:
    columns = Columns.of(["a", "b"])
    assert columns.groups == ("a", "b")
    assert columns.names == ("a", "b")


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="two columns have the name 'a:b'"):
        Columns.of(["a:b", "c:d", "a:b"])


def test_an_encoder_says_its_columns() -> None:
    columns = LayerPhysics("fbnet").columns
    assert list(columns.names) == LayerPhysics("fbnet").get_feature_names_out().tolist()
    assert columns.views == ("all", "computed", "folded", "fused", "quantized")
    assert {column.role for column in columns} == {"physics", "correction"}
