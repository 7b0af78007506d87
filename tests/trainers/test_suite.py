"""A suite is one surrogate per target, with the targets' units, over one encoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from hwnas_surrogate.data import CostTable, Target, load_table
from hwnas_surrogate.errors import HWNASError, InvalidConfigError, InvalidInputError, NotInTableError
from hwnas_surrogate.features import OneHot
from hwnas_surrogate.models import BoostedRidge, PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from hwnas_surrogate.trainers.encoded import encode
from tests.trainers.conftest import planted_costs

SPACE = get_space("nasbench201")
LATENCY, ENERGY = Target("raspi4", "latency"), Target("edge-gpu", "energy")


@pytest.fixture(scope="session")
def suite(suites: dict[str, SurrogateSuite]) -> SurrogateSuite:
    return suites["old"]


def test_each_target_is_predicted_as_a_surrogate_of_its_own_would(
    archs: np.ndarray, costs: np.ndarray, queries: np.ndarray
) -> None:
    archs, costs = archs[:18], costs[:18]
    suite = SurrogateSuite(random_state=3).fit(archs, {LATENCY: costs, ENERGY: costs**2})
    assert suite.targets_ == (LATENCY, ENERGY)
    predicted = suite.predict(queries)
    for target, measured in ((LATENCY, costs), (ENERGY, costs**2)):
        alone = Surrogate(random_state=suite.random_state).fit(archs, measured).predict(queries)
        assert np.array_equal(predicted[target.device, target.metric, target.unit], alone)
        assert np.array_equal(suite[target].predict(queries), alone)
        assert suite[target].target_ == target


def test_columns_carry_device_metric_and_unit(suite: SurrogateSuite, queries: np.ndarray) -> None:
    predicted = suite.predict(queries)
    assert predicted.columns.names == ["device", "metric", "unit"]
    assert predicted.columns.tolist() == [("raspi4", "latency", "ms"), ("edge-gpu", "energy", "mJ")]
    assert predicted.shape == (len(queries), 2)
    assert suite.predict([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("asked", "targets"),
    [
        ("edge-gpu/energy", [ENERGY]),
        ("raspi4", [LATENCY]),
        (ENERGY, [ENERGY]),
        (["edge-gpu", LATENCY], [ENERGY, LATENCY]),
        (None, [LATENCY, ENERGY]),
    ],
)
def test_some_of_the_targets_can_be_asked_for(
    suite: SurrogateSuite, queries: np.ndarray, asked: object, targets: list[Target]
) -> None:
    predicted = suite.predict(queries, targets=asked)
    assert predicted.columns.tolist() == [(target.device, target.metric, target.unit) for target in targets]
    pd.testing.assert_frame_equal(predicted, suite.predict(queries)[predicted.columns])


def test_an_unknown_target_is_refused_with_what_there_is(suite: SurrogateSuite, queries: np.ndarray) -> None:
    for ask in (lambda: suite.predict(queries, targets="raspi5/latency"), lambda: suite["raspi5/latency"]):
        with pytest.raises(NotInTableError, match=r"unknown target 'raspi5/latency'.*'raspi4/latency'.*Did you mean"):
            ask()


def test_a_device_with_two_metrics_is_no_single_surrogate(archs: np.ndarray, costs: np.ndarray) -> None:
    suite = SurrogateSuite(model="ridge").fit(archs, {"eyeriss/latency": costs, "eyeriss/energy": costs})
    with pytest.raises(InvalidInputError, match=r"'eyeriss' stands for eyeriss/latency, eyeriss/energy; choose one"):
        suite["eyeriss"]


def test_progress_counts_the_targets(archs: np.ndarray, costs: np.ndarray) -> None:
    table = CostTable(SPACE, archs, np.column_stack([costs, costs**2]), [LATENCY, ENERGY])
    calls: list[tuple[int, int]] = []
    suite = SurrogateSuite(model="ridge").fit_table(table, progress=lambda *step: calls.append(step))
    assert calls == [(1, 2), (2, 2)]
    SurrogateSuite(model="ridge").fit_table(table, ENERGY, progress=lambda *step: calls.append(step))
    assert calls[2:] == [(1, 1)]
    silent = SurrogateSuite(model="ridge").fit(archs, table.lookup(), table.row_configs)
    pd.testing.assert_frame_equal(suite.predict(archs), silent.predict(archs))


def test_rows_without_a_cost_are_left_out_target_by_target(
    archs: np.ndarray, costs: np.ndarray, queries: np.ndarray
) -> None:
    holes = costs.copy()
    holes[::3] = np.nan
    suite = SurrogateSuite().fit(archs, {LATENCY: holes, ENERGY: costs})
    known = ~np.isnan(holes)
    assert (suite[LATENCY].n_train_, suite[ENERGY].n_train_) == (known.sum(), len(costs))
    expected = Surrogate().fit(archs[known], costs[known]).predict(queries)
    assert np.array_equal(suite[LATENCY].predict(queries), expected)
    assert np.array_equal(suite[ENERGY].predict(queries), Surrogate().fit(archs, costs).predict(queries))


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ([np.nan, 1, 2, -3], r"edge-gpu/energy: .*not negative, got -3.0 in row 3"),
        ([np.nan, 1, np.inf, 3], r"edge-gpu/energy: .*finite.*got inf in row 2"),
        ([np.nan, 1, np.nan, np.nan], r"edge-gpu/energy: .*at least 2 measured architectures, got 1"),
        ([np.nan] * 4, r"edge-gpu/energy: .*at least 2 measured architectures, got 0"),
        ([1, 2, 3], r"edge-gpu/energy: cost must hold one value per architecture, \(4,\), got shape \(3,\)"),
    ],
)
def test_wrong_costs_name_their_target(cost: list[float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        SurrogateSuite().fit(SPACE.sample(4, 0), {LATENCY: [1, 2, 3, 4], ENERGY: cost})


def test_no_target_and_no_such_metric_are_refused(archs: np.ndarray, costs: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="at least one target"):
        SurrogateSuite().fit(archs, {})
    with pytest.raises(InvalidInputError, match=r"unknown metric 'latencies'.*Did you mean 'latency'"):
        SurrogateSuite().fit(archs, {"raspi4/latencies": costs})
    with pytest.raises(InvalidInputError, match=r"a target reads 'device/metric'.*got 'raspi4'"):
        SurrogateSuite().fit(archs, {"raspi4": costs})
    with pytest.raises(InvalidInputError, match=r"columns must be targets.*got 0"):
        SurrogateSuite().fit(archs, pd.DataFrame(costs))


def test_predict_before_fit_is_scikit_learns_error(queries: np.ndarray) -> None:
    with pytest.raises(NotFittedError):
        SurrogateSuite().predict(queries)
    with pytest.raises(NotFittedError):
        SurrogateSuite()["raspi4"]


def test_parameters_are_stored_cloned_and_handed_on(archs: np.ndarray, costs: np.ndarray) -> None:
    suite = SurrogateSuite(SPACE, OneHot(SPACE), "linear", 5)
    assert repr(clone(suite)) == repr(suite)
    fitted = clone(suite).fit(archs, {LATENCY: costs})
    assert fitted[LATENCY].get_params(deep=False).keys() == suite.get_params(deep=False).keys() | {"metric"}
    assert (fitted[LATENCY].model, fitted[LATENCY].random_state) == ("linear", 5)
    assert isinstance(fitted[LATENCY].encoder_, OneHot)


def test_a_lookups_frame_is_accepted_as_it_is(suite: SurrogateSuite, archs: np.ndarray, queries: np.ndarray) -> None:
    lookup = suite.predict(archs)
    again = SurrogateSuite(model="ridge").fit(archs, lookup)
    assert again.targets_ == suite.targets_
    assert again.predict(queries).columns.equals(lookup.columns)


# -- tables -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> CostTable:
    bundled = load_table(space="nasbench201")
    assert isinstance(bundled, CostTable)
    return bundled.rows(np.arange(0, len(bundled), max(1, len(bundled) // 60)))


def test_a_table_is_fitted_with_its_rows_configs_and_targets(table: CostTable) -> None:
    suite = SurrogateSuite(model="ridge").fit_table(table)
    by_hand = SurrogateSuite(model="ridge").fit(table.archs, table.lookup(), table.row_configs)
    assert suite.targets_ == table.targets
    pd.testing.assert_frame_equal(
        suite.predict(table.archs, table.row_configs), by_hand.predict(table.archs, table.row_configs)
    )
    assert suite.info_ == {"table_fingerprint": table.fingerprint}
    assert by_hand.info_ == {}


def test_some_targets_of_a_table(table: CostTable) -> None:
    wanted = table.targets[-1]
    assert SurrogateSuite().fit_table(table, wanted).targets_ == (wanted,)
    with pytest.raises(NotInTableError, match="unknown target 'toaster'"):
        SurrogateSuite().fit_table(table, "toaster")


def test_a_table_of_another_space_is_refused(table: CostTable) -> None:
    with pytest.raises(InvalidInputError, match="the suite is over 'fbnet', the table over 'nasbench201'"):
        SurrogateSuite("fbnet").fit_table(table)
    assert issubclass(InvalidInputError, HWNASError)


def test_a_space_object_of_its_own_fits_a_table(table: CostTable) -> None:
    suite = SurrogateSuite(type(SPACE)(), model="ridge").fit_table(table, table.targets[0])
    assert suite.targets_ == table.targets[:1]


# -- few costs of one target, many of another -------------------------------------------------------------


@pytest.fixture(scope="module")
def uneven() -> SurrogateSuite:
    """Return a suite of a target with 130 costs, and one with 30."""
    archs = SPACE.sample(130, 4)
    macs = SPACE.batch(archs).macs / 1e7 + 1
    few = np.where(np.arange(130) < 30, macs**0.9, np.nan)
    return SurrogateSuite(random_state=0).fit(archs, {LATENCY: planted_costs(archs), ENERGY: few})


def test_each_target_has_the_default_for_its_number_of_costs(uneven: SurrogateSuite, queries: np.ndarray) -> None:
    assert [type(one.model_) for one in uneven.surrogates_.values()] == [BoostedRidge, PhysicsStack]
    predicted, bounds = uneven.predict(queries), uneven.predict_interval(queries)
    for place, alone in enumerate(uneven.surrogates_.values()):
        assert np.array_equal(predicted.iloc[:, place], alone.predict(queries))
        assert np.array_equal(bounds.iloc[:, 2 * place : 2 * place + 2], alone.predict_interval(queries))


def test_such_a_suite_comes_back(uneven: SurrogateSuite, queries: np.ndarray, tmp_path: Path) -> None:
    loaded = SurrogateSuite.load(uneven.save(tmp_path / "suite"))
    assert np.array_equal(loaded.predict(queries), uneven.predict(queries))
    assert np.array_equal(loaded.predict_interval(queries), uneven.predict_interval(queries))
    assert loaded.get_params() == uneven.get_params()
    for target, one in loaded.surrogates_.items():
        assert one.get_params() == uneven[target].get_params()


def test_no_target_asked_for_is_an_error(uneven: SurrogateSuite, queries: np.ndarray) -> None:
    for ask in (uneven.predict, uneven.predict_interval, uneven.predict_has_cost):
        with pytest.raises(InvalidInputError, match=r"at least one of raspi4/latency, edge-gpu/energy; got none"):
            ask(queries, targets=[])


def test_a_suite_is_read_as_a_mapping_of_its_targets_is() -> None:
    archs = SPACE.sample(30, 0)
    macs = SPACE.batch(archs).macs
    unfitted = SurrogateSuite()
    assert len(unfitted) == 0
    assert unfitted
    assert repr(unfitted) == "SurrogateSuite()"
    assert "a/latency" not in unfitted
    with pytest.raises(NotFittedError):
        list(unfitted)
    suite = SurrogateSuite(model="ridge").fit(archs, {"a/latency": macs, "b/energy": macs})
    assert list(suite) == [Target("a", "latency"), Target("b", "energy")] == list(suite.targets_)
    assert len(suite) == 2
    assert repr(suite) == "<SurrogateSuite over nasbench201: a/latency, b/energy>"
    assert "a/latency" in suite
    assert Target("b", "energy") in suite
    assert "c/latency" not in suite
    assert "a" in suite
    assert suite["a"] is suite["a/latency"]
    assert "c" not in suite
    assert 0 not in suite
    assert "a" not in SurrogateSuite(model="ridge").fit(archs, {"a/latency": macs, "a/energy": macs})
    for ask in (lambda: suite[0], lambda: list(reversed(suite)), lambda: suite[:1]):
        with pytest.raises(InvalidInputError, match=r"by target.*got .*There are a/latency, b/energy\."):
            ask()
    assert [suite[target].n_train_ for target in suite] == [30, 30]


CONFIGS = ["cifar10", "C8-N2-k10-3x32x32", "C12-N3-k10-3x24x24"] * 10


def test_configs_may_come_from_a_generator() -> None:
    archs = SPACE.sample(30, 0)
    costs = np.array([float(SPACE.batch(a, c).macs[0]) for a, c in zip(archs, CONFIGS, strict=True)])
    one = Surrogate(model="ridge").fit(archs, costs, CONFIGS)
    again = Surrogate(model="ridge").fit(archs, costs, (config for config in CONFIGS))
    expected = one.predict(archs, CONFIGS)
    np.testing.assert_array_equal(again.predict(archs, CONFIGS), expected)
    np.testing.assert_array_equal(one.predict(archs, iter(CONFIGS)), expected)
    by_target = {"a/latency": costs, "b/latency": 2 * costs}
    suite = SurrogateSuite(model="ridge").fit(archs, by_target, (config for config in CONFIGS))
    np.testing.assert_array_equal(suite["a"].predict(archs, CONFIGS), expected)
    np.testing.assert_array_equal(suite.predict(archs, iter(CONFIGS)).iloc[:, 0], expected)
    assert suite.targets_for(config for config in CONFIGS) == suite.targets_
    with pytest.raises(InvalidConfigError, match="got int"):
        suite.targets_for(3)


def test_rows_of_what_is_extrapolated_keep_what_it_is_extrapolated_from() -> None:
    archs = SPACE.sample(6, 0)
    encoder = OneHot(SPACE)
    base = encode(encoder, SPACE.batch(archs, "cifar10"))
    growth = np.arange(12.0).reshape(6, 2)
    whole = encode(encoder, SPACE.batch(archs, "cifar100")).extrapolated(base, growth)
    for which in (np.array([4, 1]), np.arange(6) > 2):
        part = whole.rows(which)
        assert part.base is not None
        np.testing.assert_array_equal(part.base.batch.archs, archs[which])
        assert part.base.configs == base.configs
        np.testing.assert_array_equal(part.growth, growth[which])
    assert base.rows(np.array([0])).base is None


def test_a_coverage_that_one_target_cant_promise_names_it() -> None:
    table = load_table(space="nasbench201").rows(range(60))
    suite = SurrogateSuite(model="ridge").fit_table(table, ["epyc-torch-1t", "epyc-openvino-1t"])
    few = suite["epyc-openvino-1t"].n_train_
    assert few < 20
    with pytest.raises(
        InvalidInputError,
        match=rf"^epyc-openvino-1t/latency: .* 0\.99 .* takes the costs of 20 networks, .* to {few}: ask",
    ):
        suite.predict_interval([0, 1], coverage=0.99)
