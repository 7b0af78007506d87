from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.capture import ModuleSpace
from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.report import candidates as candidates_module
from hwnas_surrogate.report.candidates import Candidates, candidates
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from tests.graph_tables import zoo_table

SPACE = get_space("nasbench201")
PHONE = Target("phone", "latency")


def small_table(n: int = 60) -> CostTable:
    archs = SPACE.sample(n, random_state=0)
    costs = 1 + SPACE.batch(archs).macs / 5e7 * np.random.default_rng(0).uniform(0.98, 1.02, n)
    return CostTable(SPACE, archs, costs[:, None], [PHONE])


def made(table: CostTable, **given: Any) -> Candidates:
    wanted = {"quality": None, "surrogates": None, "model": "ridge", "seed": 0} | given
    return candidates(table, table.targets, **wanted)


def test_the_whole_space_is_shown_and_what_was_not_measured_is_predicted() -> None:
    table = small_table()
    found = made(table)
    assert found.whole
    assert found.n_measured == 60
    np.testing.assert_array_equal(found.table.archs[:60], table.archs)
    assert sorted(SPACE.index(found.table.archs)) == list(range(len(SPACE)))
    surrogate = Surrogate(model="ridge").fit(table.archs, table.costs[:, 0])
    others = found.table.archs[60:]
    np.testing.assert_allclose(found.predicted[PHONE][:, 0], surrogate.predict(others))
    np.testing.assert_allclose(found.predicted[PHONE][:, 1:], surrogate.predict_interval(others))
    np.testing.assert_array_equal(found.values(PHONE)[:60], table.costs[:, 0])
    assert found.about == "All 15,565 others of the space are shown by their predictions."


def test_a_failed_network_is_not_predicted_and_others_like_it_neither() -> None:
    table = small_table(400)
    slow = (table.archs == 3).sum(axis=1) > 1
    costs = np.where(slow[:, None], np.nan, table.costs)
    costs[:5] = np.nan
    failed = slow[:, None] & np.isnan(costs)
    part = CostTable(SPACE, table.archs, costs, [PHONE], reasons={"does not fit in memory": failed})
    found = made(part)
    rows = np.flatnonzero(~found.to_predict(PHONE))
    np.testing.assert_array_equal(rows, np.flatnonzero(~np.isnan(costs[:, 0]) | slow))
    values = found.values(PHONE)
    assert np.isnan(values[:400][slow]).all()
    assert not np.isnan(values[:5][~slow[:5]]).any()
    alike = (found.table.archs[400:] == 3).sum(axis=1) > 1
    assert np.mean(np.isnan(values[400:]) == alike) > 0.9


def test_costs_that_are_all_known_are_not_predicted() -> None:
    archs = SPACE.enumerate()
    table = CostTable(SPACE, archs, 1 + SPACE.batch(archs).macs[:, None], [PHONE])
    found = made(table)
    assert (found.predicted, found.surrogates, found.about) == ({}, {}, "")
    assert found.table is table


def test_given_surrogates_predict_their_targets_and_the_others_are_fitted() -> None:
    archs = SPACE.sample(40, random_state=0)
    macs = SPACE.batch(archs).macs / 1e6
    table = CostTable(SPACE, archs, np.column_stack([macs, 2 * macs]), ["phone/latency", "board/latency"])
    far = SurrogateSuite(model="ridge").fit(archs, {"phone/latency": 100 + macs})
    found = made(table, surrogates=far)
    phone, board = (found.predicted[target][:, 0] for target in table.targets)
    np.testing.assert_allclose(phone, 100 + board / 2, rtol=0.02)
    assert found.surrogates[table.targets[0]] is far["phone/latency"]


def test_surrogates_of_another_space_are_refused() -> None:
    sizes = get_space("natsbench-size")
    archs = sizes.sample(10, random_state=0)
    suite = SurrogateSuite(sizes, model="ridge").fit(archs, {"phone/latency": sizes.batch(archs).macs})
    with pytest.raises(InvalidInputError, match="surrogates are of natsbench-size, the table holds networks of nasb"):
        made(small_table(), surrogates=suite)
    with pytest.raises(InvalidInputError, match=r"must be a SurrogateSuite, got Surrogate: SurrogateSuite\.load reads"):
        made(small_table(), surrogates=Surrogate())


def test_a_target_with_one_cost_has_its_reason() -> None:
    table = small_table()
    costs = np.full((60, 1), np.nan)
    costs[0] = 1.0
    found = made(CostTable(SPACE, table.archs, costs, [PHONE]))
    assert found.why_not == {PHONE: "1 cost, 2 are needed."}
    assert np.count_nonzero(~np.isnan(found.values(PHONE))) == 1


def test_of_a_large_space_a_sample_is_shown_and_the_front_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates_module, "_DRAWN", 3000)
    monkeypatch.setattr(candidates_module, "_KEPT", 100)
    space = get_space("fbnet")
    archs = space.sample(50, random_state=1)
    table = CostTable(space, archs, 1 + space.batch(archs).macs[:, None] / 1e8, [PHONE])
    rated = space.sample(7, random_state=2)
    quality = pd.Series(np.arange(7.0), index=space.format_all(rated), name="top-1")
    found = made(table, quality=quality)
    assert not found.whole
    np.testing.assert_array_equal(found.table.archs[:50], archs)
    np.testing.assert_array_equal(found.table.archs[50:57], rated)
    assert found.quality is not None
    np.testing.assert_array_equal(found.quality.to_numpy()[50:57], np.arange(7.0))
    assert "those of known quality, and the front of 3,007 for each target." in found.about
    wanted = space.sample(9, random_state=3)
    found = made(table, quality=quality, wanted=wanted)
    np.testing.assert_array_equal(found.table.archs[50:66], np.concatenate([wanted, rated]))
    assert "those of known quality, those that the search found, and the front of 3,016" in found.about
    plain = made(table)
    # The front of those kept is that of all that were drawn.
    every = np.concatenate([archs, space.representatives(3000, 0)])
    surrogate = plain.surrogates[PHONE]
    costs = np.concatenate([table.costs[:, 0], surrogate.predict(every[50:])])
    frame = pd.DataFrame({"cost": costs, "macs": space.batch(every).total("macs", "live")})
    front = pareto_front(frame, ["cost", "macs"], ["macs"]).index
    shown = set(space.format_all(plain.table.archs))
    assert set(space.format_all(every[front])) <= shown
    assert 150 <= len(shown) <= 150 + len(front)


def test_graphs_several_configs_and_modules_are_shown_alone() -> None:
    table = zoo_table(2)
    assert len(made(table).table) == len(table)
    archs = SPACE.sample(6, random_state=0)
    both = CostTable(SPACE, archs, np.ones((6, 1)), [PHONE], configs=["cifar10", "cifar100"] * 3)
    assert made(both).table is both

    class Modules(ModuleSpace):
        name = "modules-of-a-report"
        title = "modules"
        choices = {f"place{k}": tuple(range(6)) for k in range(5)}  # noqa: RUF012

    space = Modules()
    archs = np.zeros((1, 5), np.int8)
    assert candidates_module._others(_Archs(space, archs), None, 0, None)[0].shape == (0, 5)
    wanted = np.concatenate([archs, archs + 1])
    others, whole, sampled = candidates_module._others(_Archs(space, archs), None, 0, wanted)
    np.testing.assert_array_equal(others, archs + 1)
    assert (whole, sampled) == (False, False)


class _Archs:
    """As much of a table as the choice of other networks reads: capturing modules takes long."""

    def __init__(self, space: Any, archs: Any) -> None:
        self.space, self.archs, self.configs = space, archs, (space.default_config,)

    def __len__(self) -> int:
        return len(self.archs)


def test_quality_is_checked_before_anything_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SurrogateSuite, "fit_table", lambda *_: pytest.fail("fitted"))
    with pytest.raises(DataFileError, match="there is no file"):
        made(small_table(), quality=tmp_path / "none.csv")
    with pytest.raises(InvalidInputError, match="quality has no value for any of the architectures to be shown"):
        made(small_table(), quality=pd.Series([np.nan], [3]))


def test_without_calibration_predictions_have_no_intervals() -> None:
    table = small_table()
    suite = SurrogateSuite(model="ridge", calibrate=False).fit_table(table)
    found = made(table, surrogates=suite).predicted[PHONE]
    np.testing.assert_array_equal(found[:, 0], suite[PHONE].predict(made(table).table.archs[60:]))
    assert np.isnan(found[:, 1:]).all()
