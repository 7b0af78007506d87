from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.report.candidates import Candidates, candidates
from hwnas_surrogate.report.explorer_data import explorer
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")
PHONE = Target("phone", "latency")


def decoded(text: str, dtype: str) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.fixture(scope="module")
def table() -> CostTable:
    archs = SPACE.sample(60, random_state=0)
    costs = 1 + SPACE.batch(archs).macs[:, None] / 5e7
    costs *= np.random.default_rng(0).uniform(0.9, 1.1, costs.shape)
    costs[5:10] = np.nan
    return CostTable(SPACE, archs, costs, [PHONE])


@pytest.fixture(scope="module")
def made(table: CostTable) -> Candidates:
    return candidates(table, table.targets, None, None, "ridge", 0)


def test_predictions_and_intervals_survive_their_packing(made: Candidates) -> None:
    data = explorer(made)
    (packed,) = data["predicted"]
    assert decoded(packed["rows"], "<i4").tolist() == [*range(5, 10), *range(60, len(SPACE))]
    values = decoded(packed["values"], "<f4").astype(float)
    np.testing.assert_allclose(values, made.predicted[PHONE][:, 0], rtol=1e-6)
    for column, name in ((1, "low"), (2, "high")):
        bounds = values * decoded(packed[name], "<f2").astype(float)
        np.testing.assert_allclose(bounds, made.predicted[PHONE][:, column], rtol=1e-3)
    assert packed["trained"] == 55
    assert data["n"] == len(SPACE)
    assert data["measured"] == 60


def test_rows_are_left_out_where_all_others_follow(table: CostTable) -> None:
    whole = table.rows(np.flatnonzero(~np.isnan(table.costs[:, 0])))
    (packed,) = explorer(candidates(whole, whole.targets, None, None, "ridge", 0))["predicted"]
    assert packed["rows"] is None


def test_bounds_without_end_and_unknown_ones_are_kept() -> None:
    table = CostTable(SPACE, [0, 1, 2, 3], np.full((4, 1), np.nan), [PHONE])
    predicted = {PHONE: np.array([[2.0, 0.0, np.inf], [np.nan] * 3, [4.0, np.nan, np.nan], [1.0, 0.5, 2.0]])}
    given = Candidates(table, 4, None, {PHONE: _Trained()}, predicted, {}, False, "")  # type: ignore[dict-item]
    (packed,) = explorer(given)["predicted"]
    np.testing.assert_array_equal(decoded(packed["low"], "<f2"), np.array([0, np.nan, np.nan, 0.5], np.float16))
    np.testing.assert_array_equal(decoded(packed["high"], "<f2"), np.array([np.inf, np.nan, np.nan, 2], np.float16))


class _Trained:
    n_train_ = 3


def test_a_target_without_predictions_has_its_reason() -> None:
    table = CostTable(SPACE, [0, 1], np.full((2, 1), np.nan), [PHONE])
    (packed,) = explorer(candidates(table, table.targets, None, None, None, 0))["predicted"]
    assert packed == {"values": None, "why": "0 costs, 2 are needed."}


def test_the_whole_space_is_a_few_hundred_kilobytes(table: CostTable) -> None:
    quality = pd.Series(np.arange(len(SPACE), dtype=float))
    data = explorer(candidates(table, table.targets, quality, None, "ridge", 0))
    whole, of_target = len(json.dumps(data, allow_nan=False)), len(json.dumps(data["predicted"]))
    assert of_target < 260_000
    assert whole < 800_000


@pytest.mark.parametrize("name", ["natsbench-size", "fbnet"])
def test_other_spaces_have_positions_with_their_ops(name: str) -> None:
    space = get_space(name)
    archs = space.sample(8, random_state=0)
    table = CostTable(space, archs, np.arange(1.0, 9)[:, None], [PHONE])
    data = explorer(Candidates(table, 8, None, {}, {}, {}, False, ""))
    assert data["positions"] == list(space.position_names)
    assert data["ops_at"] == [list(space.ops)] * space.n_positions
    assert not data["cell"]
    assert ("index" in data) is (name == "natsbench-size")
