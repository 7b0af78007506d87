"""Data as people have them: repeated, slipped, of all sizes, too few, of the wrong space; and wrong questions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor

from hwnas_surrogate.data import METRICS, BlockTable, CostTable, load_table
from hwnas_surrogate.devices import additivity, correlation_interval
from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.evaluation import score
from hwnas_surrogate.models import LeaveOneOutRidge
from hwnas_surrogate.spaces import FBNetConfig, NASBench201Config, get_space
from hwnas_surrogate.trainers import AdaptWarning, Surrogate, SurrogateSuite, TransferSurrogate

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")


def noisy(archs: np.ndarray, seed: int, spread: float = 0.03) -> np.ndarray:
    """Return costs with noise in proportion to them."""
    costs = SPACE.batch(archs).macs / 2e7 + (archs == 4).sum(axis=1) + 3
    return costs * np.exp(spread * np.random.default_rng(seed).normal(size=len(archs)))


# -- repeated architectures -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::hwnas_surrogate.trainers.AdaptWarning")
@pytest.mark.parametrize("kind", [Surrogate, TransferSurrogate])
def test_repeats_of_an_architecture_count_once_at_their_median(kind: type[Surrogate]) -> None:
    archs, asked = SPACE.sample(50, 0), SPACE.sample(200, 1)
    measured = np.array([noisy(archs, seed, 0.2) for seed in range(5)])
    shuffled = np.random.default_rng(0).permutation(measured.size)
    repeated = kind().fit(np.tile(archs, (5, 1)), measured.ravel())
    mixed = kind().fit(np.tile(archs, (5, 1))[shuffled], measured.ravel()[shuffled])
    once = kind().fit(archs, np.median(measured, axis=0))
    assert repeated.n_train_ == mixed.n_train_ == 50
    np.testing.assert_array_equal(repeated.predict(asked), once.predict(asked))
    np.testing.assert_array_equal(repeated.predict_interval(asked), once.predict_interval(asked))
    np.testing.assert_allclose(mixed.predict(asked), once.predict(asked), rtol=0.2)


def test_repeats_promise_no_more_than_networks_do() -> None:
    archs = SPACE.sample(5, 0)
    surrogate = Surrogate().fit(np.tile(archs, (20, 1)), noisy(np.tile(archs, (20, 1)), 0, 0.01))
    with pytest.raises(InvalidInputError, match="takes the costs of 20 networks, the surrogate was fitted to 5"):
        surrogate.predict_interval(archs, coverage=0.99)


def test_intervals_hold_what_they_say_where_networks_were_measured_several_times() -> None:
    held = []
    for seed in range(10):
        archs, asked = SPACE.sample(20, 100 + seed), SPACE.sample(300, 50)
        costs = np.exp(0.15 * np.random.default_rng(seed).standard_normal(20)) * SPACE.batch(archs).macs
        again = np.tile(costs, 5) * np.exp(0.01 * np.random.default_rng(seed + 50).standard_normal(100))
        truth = np.exp(0.15 * np.random.default_rng(seed + 99).standard_normal(300)) * SPACE.batch(asked).macs
        low, high = Surrogate().fit(np.tile(archs, (5, 1)), again).predict_interval(asked).T
        held.append(((low <= truth) & (truth <= high)).mean())
    assert 0.84 < np.mean(held) < 0.97


def test_a_slip_among_repeats_is_told_and_does_no_harm() -> None:
    archs = SPACE.sample(50, 0)
    costs = np.tile(SPACE.batch(archs).macs / 1e6, 3)
    spoilt = costs.copy()
    spoilt[70] *= 1000
    surrogate = Surrogate().fit(np.tile(archs, (3, 1)), spoilt)
    assert surrogate.outliers_.tolist() == [70]
    clean = Surrogate().fit(np.tile(archs, (3, 1)), costs)
    np.testing.assert_array_equal(surrogate.predict(archs), clean.predict(archs))


def test_costs_that_are_mostly_zero_have_finite_intervals(tmp_path: Path) -> None:
    archs = SPACE.sample(1100, 0)
    costs = SPACE.batch(archs[:80]).macs / 1e6
    costs[np.arange(80) % 3 != 0] = 1e-6
    surrogate = Surrogate(random_state=0).fit(archs[:80], costs)
    assert np.isfinite(surrogate.predict_interval(archs[80:])).all()
    assert np.isfinite(surrogate.predict_within(archs[80:], 50.0)).all()
    assert len(surrogate.outliers_) == 0
    loaded = Surrogate.load(surrogate.save(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.predict(archs), surrogate.predict(archs))


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_equal_costs_have_intervals_that_narrow_as_they_grow(n: int) -> None:
    archs = SPACE.sample(300, 0)
    surrogate = Surrogate().fit(archs[:n], np.full(n, 3.0))
    low, high = surrogate.predict_interval(archs[200:], coverage=0.9).T
    assert ((low < 3.0) & (high > 3.0)).all()
    assert ((high - low) >= 2 * 3.0 / (n + 1)).all()
    assert (surrogate.predict_within(archs[200:], 3.0001) < 0.9).all()


def test_costs_of_too_many_orders_of_magnitude_are_refused() -> None:
    archs = SPACE.sample(20, 0)
    with pytest.raises(InvalidInputError, match=r"within 100 orders of magnitude .* got 1e-60 to"):
        Surrogate().fit(archs, [1e-60] * 10 + [1e60] * 10)
    assert np.isfinite(Surrogate().fit(archs, np.linspace(1e306, 1.7e307, 20)).predict(archs)).all()
    assert np.isfinite(Surrogate().fit(archs, np.linspace(1.6e308, 1.7e308, 20)).predict(archs)).all()


def test_products_have_no_slips_where_there_are_none() -> None:
    factors = np.array([-2.0, -1.0, 0.0, 1.0, 0.5])
    archs = SPACE.sample(150, 1)
    noise = np.exp(0.05 * np.random.default_rng(0).standard_normal(150))
    costs = np.exp(factors[archs].sum(axis=1)) * noise
    assert len(Surrogate(random_state=0).fit(archs, costs).outliers_) == 0
    costs[7] *= 1000
    assert Surrogate(random_state=0).fit(archs, costs).outliers_.tolist() == [7]


@pytest.mark.parametrize(
    ("model", "times"), [(None, 50), *((model, 30) for model in ("boosted", "ridge", "linear", "xgboost", "additive"))]
)
def test_one_architecture_with_two_costs_costs_their_mean(model: str | None, times: int) -> None:
    archs = SPACE.sample(2, 0)
    surrogate = Surrogate(model=model, random_state=0).fit(np.repeat(archs, times, axis=0), [1.0, 3.0] * times)
    np.testing.assert_allclose(surrogate.predict(archs), 2.0, rtol=0.03)
    bounds = surrogate.predict_interval(archs)
    assert np.isfinite(bounds).all()
    assert (bounds[:, 0] < 1.2).all()
    assert (bounds[:, 1] > 2.8).all()


def test_a_single_architecture_costs_its_mean() -> None:
    archs = SPACE.sample(1, 0)
    surrogate = Surrogate(model="boosted").fit(np.repeat(archs, 30, axis=0), [1.0, 2.0, 6.0] * 10)
    np.testing.assert_allclose(surrogate.predict(SPACE.sample(5, 1)), 3.0)
    assert np.isfinite(surrogate.predict_interval(SPACE.sample(5, 1))).all()


# -- costs that slipped, and costs of all sizes -----------------------------------------------------------


@pytest.mark.parametrize(("rows", "seed"), [(50, 0), (100, 1), (900, 2)])
@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_one_slipped_unit_does_little(rows: int, seed: int, factor: float) -> None:
    error, width, _ = with_slip(rows, seed, 1.0)
    assert error < 0.03
    slipped_error, slipped_width, outliers = with_slip(rows, seed, factor)
    assert slipped_error == pytest.approx(error, rel=0.25)
    assert slipped_width == pytest.approx(width, rel=0.25)
    if factor > 1:  # a cost near 0 is no further off than a cost can be
        assert outliers == [17]


@cache
def with_slip(rows: int, seed: int, factor: float) -> tuple[float, float, list[int]]:
    """Fit to costs of which one slipped by a factor; return median error, median width of intervals, and outliers."""
    archs = SPACE.sample(rows + 1000, seed)
    costs = noisy(archs, seed)
    slipped = costs.copy()
    slipped[17] *= factor
    surrogate = Surrogate().fit(archs[:rows], slipped[:rows])
    error = np.median(np.abs(surrogate.predict(archs[rows:]) / costs[rows:] - 1))
    width = np.median(np.diff(surrogate.predict_interval(archs[rows:]), axis=1))
    return float(error), float(width), surrogate.outliers_.tolist()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("model", [None, "ridge", "additive"])
def test_costs_over_nine_orders_of_magnitude(seed: int, model: str | None) -> None:
    archs = SPACE.sample(1000, seed)
    place = np.arange(6) * 5 + archs
    exponents = np.random.default_rng(seed).normal(size=30)[place].sum(axis=1)
    exponents = 9 * (exponents - exponents.min()) / np.ptp(exponents)
    costs = 10 ** (exponents - 6)
    assert costs.max() / costs.min() == pytest.approx(1e9)
    surrogate = Surrogate(model=model).fit(archs[:500], costs[:500])
    predicted, bounds = surrogate.predict(archs[500:]), surrogate.predict_interval(archs[500:])
    assert np.isfinite(predicted).all()
    assert (predicted > 0).all()
    assert np.isfinite(bounds).all()
    held = (bounds[:, 0] <= costs[500:]) & (costs[500:] <= bounds[:, 1])
    if model is None:  # products of ops are found exactly
        np.testing.assert_allclose(predicted, costs[500:], rtol=1e-6)
        np.testing.assert_allclose(bounds, np.stack([costs[500:]] * 2, axis=1), rtol=1e-6)
    else:
        assert held.mean() == pytest.approx(0.9, abs=0.06)
        assert surrogate.score(archs[500:], costs[500:]) > 0.7


@pytest.mark.parametrize("rows", [60, 150, 400])
def test_noisy_costs_over_nine_orders_of_magnitude(rows: int) -> None:
    """More of them rank better: sums ranked 150 worse than 60."""
    archs = SPACE.sample(1400, 1)
    macs = SPACE.batch(archs).macs
    law = 10 ** (9 * macs / macs.max() - 3)
    costs = law * np.exp(0.1 * np.random.default_rng(5).normal(size=1400))
    surrogate = Surrogate().fit(archs[:rows], costs[:rows])
    assert surrogate.score(archs[400:], law[400:]) > 0.99
    predicted, bounds = surrogate.predict(archs[400:]), surrogate.predict_interval(archs[400:])
    assert np.median(np.abs(predicted / law[400:] - 1)) < 0.05
    held = (bounds[:, 0] <= costs[400:]) & (costs[400:] <= bounds[:, 1])
    assert held.mean() == pytest.approx(0.9, abs=0.06)
    assert np.median((bounds[:, 1] - bounds[:, 0]) / law[400:]) < 0.6


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e150])
def test_costs_in_a_strange_unit(size: float) -> None:
    archs = SPACE.sample(60, 5)
    costs = noisy(archs, 5)
    usual, strange = Surrogate(model="ridge").fit(archs, costs), Surrogate(model="ridge").fit(archs, costs * size)
    np.testing.assert_allclose(strange.predict(archs), usual.predict(archs) * size, rtol=1e-6)
    np.testing.assert_allclose(strange.predict_interval(archs), usual.predict_interval(archs) * size, rtol=1e-6)


# -- hardly any costs, or none ----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 3])
@pytest.mark.parametrize("model", [None, "ridge", "linear", "additive", "xgboost"])
def test_two_or_three_rows_predict_something_and_promise_little(rows: int, model: str | None) -> None:
    archs, queries = SPACE.sample(rows, 0), SPACE.sample(200, 1)
    surrogate = Surrogate(model=model, random_state=0).fit(archs, noisy(archs, 0))
    assert (surrogate.predict(queries) > 0).all()
    assert np.isfinite(surrogate.predict(queries)).all()
    bounds = {part: surrogate.predict_interval(queries, coverage=part) for part in (0.5, 0.9)}
    assert np.isfinite(bounds[0.9]).all()
    widths = {part: np.diff(both, axis=1) for part, both in bounds.items()}
    assert (widths[0.9] > (2.0 if rows == 2 else 1.5) * widths[0.5]).all()
    with pytest.raises(
        InvalidInputError, match=rf"a coverage of 0\.99 .* takes the costs of 20 networks, .* was fitted to {rows}"
    ):
        surrogate.predict_interval(queries, coverage=0.99)
    chances = surrogate.predict_within(queries, 8.0)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert surrogate.outliers_.tolist() == []


def test_one_row_is_too_few() -> None:
    with pytest.raises(InvalidInputError, match=r"at least 2 measured architectures, got 1\."):
        Surrogate().fit(SPACE.sample(1, 0), [1.0])
    with pytest.raises(InvalidInputError, match=r"at least 2 measured architectures, got 1 \(and 2 that failed\)\."):
        Surrogate().fit(SPACE.sample(3, 0), [1.0, 2.0, 3.0], failed=[True, False, True])


def test_no_cost_at_all_is_refused() -> None:
    archs, missing = SPACE.sample(20, 0), np.full(20, np.nan)
    with pytest.raises(InvalidInputError, match=r"got nan in row 0 \(20 such values in all\)"):
        Surrogate().fit(archs, missing)
    with pytest.raises(InvalidInputError, match=r"got 0 \(and 20 that failed\)"):
        Surrogate().fit(archs, missing, failed=np.ones(20, bool))
    costs = {"raspi4/latency": noisy(archs, 0), "edge-gpu/energy": missing}
    with pytest.raises(InvalidInputError, match=r"^edge-gpu/energy: .*at least 2 measured architectures, got 0\."):
        SurrogateSuite().fit(archs, costs)
    failed = {"edge-gpu/energy": np.ones(20, bool)}
    with pytest.raises(InvalidInputError, match=r"^edge-gpu/energy: .*got 0 \(and 20 that failed\)"):
        SurrogateSuite().fit(archs, costs, failed=failed)


# -- wrong questions, and that nothing is lost by them ----------------------------------------------------


ARCHS, BLOCKS, QUERIES = SPACE.sample(60, 0), FBNET.sample(60, 0), SPACE.sample(30, 1)
COSTS = noisy(ARCHS, 0)
FAILED = ARCHS[:, 0] == 0
UNSOUND = "C16-N5-k10-3x30x30"
UNSOUND_BLOCKS = "S16-15.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32"

FITTED: dict[str, Any] = {}
ANSWERS: dict[str, list[np.ndarray]] = {}


@pytest.fixture(scope="module", autouse=True)
def fitted() -> Iterator[None]:
    """Fit a surrogate of each space and a suite, which no failing call may change."""
    FITTED["cells"] = Surrogate(random_state=0).fit(ARCHS, COSTS, failed=FAILED)
    FITTED["blocks"] = Surrogate("fbnet", random_state=0).fit(BLOCKS, FBNET.batch(BLOCKS).macs / 1e6)
    FITTED["suite"] = SurrogateSuite(random_state=0).fit(
        ARCHS, {"raspi4/latency": COSTS, "edge-gpu/energy": COSTS**2}, failed={"raspi4/latency": FAILED}
    )
    ANSWERS.update({name: answers(one) for name, one in FITTED.items()})
    yield
    FITTED.clear()
    ANSWERS.clear()


def answers(fitted: Any) -> list[np.ndarray]:
    archs = FBNET.sample(30, 1) if fitted.space == "fbnet" else QUERIES
    told = [fitted.predict(archs), fitted.predict_interval(archs, coverage=0.8), fitted.predict_has_cost(archs)]
    if isinstance(fitted, Surrogate):
        told.append(fitted.predict_within(archs, 10.0))
    return [np.asarray(values) for values in told]


def assert_refused_and_nothing_lost(name: str, call: Callable[[Any], Any], error: type[HWNASError], text: str) -> None:
    with pytest.raises(error, match=text):
        call(FITTED[name])
    for was, stays in zip(ANSWERS[name], answers(FITTED[name]), strict=True):
        assert np.array_equal(was, stays)


ASK: dict[str, Callable[..., Any]] = {
    "predict": lambda fitted, archs, configs=None: fitted.predict(archs, configs),
    "interval": lambda fitted, archs, configs=None: fitted.predict_interval(archs, configs),
    "has cost": lambda fitted, archs, configs=None: fitted.predict_has_cost(archs, configs),
    "within": lambda fitted, archs, configs=None: fitted.predict_within(archs, 5.0, configs),
    "fit": lambda fitted, archs, configs=None: fitted.fit(
        archs, {"raspi4/latency": COSTS} if isinstance(fitted, SurrogateSuite) else COSTS, configs
    ),
}
NAMES = {ask: ["cells", "blocks"] if ask == "within" else ["cells", "blocks", "suite"] for ask in ASK}
every_question = pytest.mark.parametrize(("ask", "name"), [(ask, name) for ask in ASK for name in NAMES[ask]])


@every_question
@pytest.mark.parametrize("form", ["an array", "strings"])
def test_architectures_of_the_other_space_are_refused(ask: str, name: str, form: str) -> None:
    space, archs = (SPACE, ARCHS) if name == "blocks" else (FBNET, BLOCKS)
    given = archs if form == "an array" else space.format_all(archs)
    text = {
        ("blocks", "an array"): r"FBNet architecture has 22 ops, got an array of shape \(60, 6\)",
        ("blocks", "strings"): r"no FBNet architecture, but one of NAS-Bench-201: give space='nasbench201'",
        ("cells", "an array"): r"NAS-Bench-201 architecture has 6 ops, got an array of shape \(60, 22\)",
    }.get((name, form), "NAS-Bench-201 architecture(, but one of FBNet: give space='fbnet'| has 6 ops)")
    assert_refused_and_nothing_lost(name, lambda one: ASK[ask](one, given), InvalidArchitectureError, text)


@every_question
def test_configs_that_cant_be_built_are_refused(ask: str, name: str) -> None:
    config, text = (UNSOUND, "height and width must be multiples of 4, got 30x30")
    if name == "blocks":
        config, text = (UNSOUND_BLOCKS, "needs channels divisible by 2, got 16 -> 15 under config S16-15")
    archs = BLOCKS if name == "blocks" else ARCHS
    assert_refused_and_nothing_lost(name, lambda one: ASK[ask](one, archs, config), InvalidConfigError, text)


@every_question
@pytest.mark.parametrize("form", ["an object", "a string", "one among others"])
def test_configs_of_the_other_space_are_refused(ask: str, name: str, form: str) -> None:
    own, other = (NASBench201Config(), FBNetConfig())
    archs, title = ARCHS, "NAS-Bench-201"
    if name == "blocks":
        own, other, archs, title = other, own, BLOCKS, "FBNet"
    configs: Any = {"an object": other, "a string": str(other), "one among others": [own] * 59 + [other]}[form]
    text = rf"an? {title} config (must be a|reads like)"
    assert_refused_and_nothing_lost(name, lambda one: ASK[ask](one, archs, configs), InvalidConfigError, text)


@pytest.mark.parametrize("name", ["cells", "suite"])
@pytest.mark.parametrize("coverage", [0, 1, 0.0, 1.0, 90, -0.5, True, "90", "0.9", np.nan, np.inf, None])
def test_a_wrong_coverage_is_refused(name: str, coverage: Any) -> None:
    text = r"coverage must be a number between 0 and 1, got .*; 0\.9 is 90 %"
    for archs in (QUERIES, []):
        call = lambda one, archs=archs: one.predict_interval(archs, coverage=coverage)  # noqa: E731
        assert_refused_and_nothing_lost(name, call, InvalidInputError, text)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (np.nan, "budget must be a number, got NaN"),
        ([1.0] * 29 + [np.nan], "budget must be a number, got NaN"),
        ("slow", r"one number or one per architecture \(30\), got texts"),
        (["slow"] * 30, r"one number or one per architecture \(30\), got texts"),
        ([1.0, 2.0], r"one number or one per architecture \(30\), got \[1\.0, 2\.0\]"),
        ([1.0] * 31, r"one number or one per architecture \(30\)"),
        ([[1.0]] * 30, r"one number or one per architecture \(30\)"),
        ({"raspi4": 1.0}, r"one number or one per architecture \(30\), got dict"),
        (True, r"one per architecture \(30\), got booleans"),
        (np.ma.array([1.0] * 30, mask=[1] + [0] * 29), r"\(30\), got 1 masked value \(leave them out"),
        (np.timedelta64(3, "ms"), r"\(30\), got time spans \(divide them by the costs' unit"),
    ],
)
def test_a_wrong_budget_is_refused(budget: Any, text: str) -> None:
    call = lambda one: one.predict_within(QUERIES, budget)  # noqa: E731
    assert_refused_and_nothing_lost("cells", call, InvalidInputError, text)


@pytest.mark.parametrize(
    ("failed", "text"),
    [
        ([True] * 3, r"True or False for each architecture, \(60,\), got shape \(3,\)"),
        (True, r"got shape \(\)"),
        (np.zeros((60, 1), bool), r"got shape \(60, 1\)"),
        ([0] * 60, r"failed must hold True or False for each architecture, got numbers"),
        (np.zeros(60), r"True or False for each architecture, got numbers"),
        (["no"] * 60, r"True or False for each architecture, got texts"),
        ([None] * 60, r"True or False for each architecture, got missing values"),
        (np.arange(60) > 0, r"got 1 \(and 59 that failed\)"),
    ],
)
def test_wrong_failures_are_refused(failed: Any, text: str) -> None:
    call = lambda one: one.fit(ARCHS, COSTS, failed=failed)  # noqa: E731
    assert_refused_and_nothing_lost("cells", call, InvalidInputError, text)


@pytest.mark.parametrize("costs", [COSTS[:1], np.full(60, np.nan), -COSTS, COSTS[:59], ["slow"] * 60])
def test_a_fit_to_wrong_costs_loses_nothing(costs: Any) -> None:
    archs = ARCHS[:1] if len(costs) == 1 else ARCHS
    assert_refused_and_nothing_lost("cells", lambda one: one.fit(archs, costs), InvalidInputError, "cost|measured")


@pytest.mark.parametrize("costs", [np.full(60, np.nan), -COSTS, COSTS[:59]])
def test_a_suite_names_the_target_of_wrong_costs_and_loses_nothing(costs: np.ndarray) -> None:
    call = lambda one: one.fit(ARCHS, {"raspi4/latency": COSTS, "edge-gpu/energy": costs})  # noqa: E731
    assert_refused_and_nothing_lost("suite", call, InvalidInputError, "^edge-gpu/energy")


# -- not yet as they should be ----------------------------------------------------------------------------


def test_a_model_that_can_be_fitted_can_be_calibrated() -> None:
    surrogate = Surrogate(model=KNeighborsRegressor(n_neighbors=5))
    assert clone(surrogate).set_params(calibrate=False).fit(ARCHS[:6], COSTS[:6]).predict(QUERIES).shape == (30,)
    assert surrogate.fit(ARCHS[:6], COSTS[:6]).predict(QUERIES).shape == (30,)


def test_a_model_that_fails_to_fit_loses_nothing() -> None:
    chosen = GridSearchCV(KNeighborsRegressor(), {"n_neighbors": [2]}, cv=5)
    surrogate = Surrogate(model=chosen).fit(ARCHS, COSTS)
    before = surrogate.predict(QUERIES), surrogate.predict_interval(QUERIES)
    with pytest.raises(ValueError, match="n_splits=5"):
        surrogate.fit(ARCHS[:3], 2 * COSTS[:3])
    assert np.array_equal(surrogate.predict(QUERIES), before[0])
    assert np.array_equal(surrogate.predict_interval(QUERIES), before[1])


@pytest.mark.parametrize(
    "failed",
    [
        {"raspi4/latency": [True] * 3},
        {"raspi4/latency": ["yes"] * 60},
        {"raspi4/latency": [2] * 60},
        {"raspi4/energy": FAILED},
        FAILED,
    ],
    ids=["too few", "text", "numbers", "another target", "no mapping"],
)
def test_a_suite_names_the_target_of_wrong_failures(failed: Any) -> None:
    with pytest.raises(InvalidInputError, match="failed"):
        SurrogateSuite(model="ridge").fit(ARCHS, {"raspi4/latency": COSTS}, failed=failed)


def test_a_suite_does_not_look_at_the_costs_of_failed_rows() -> None:
    filled = np.where(FAILED, np.inf, COSTS)
    suite = SurrogateSuite(model="ridge").fit(ARCHS, {"raspi4/latency": filled}, failed={"raspi4/latency": FAILED})
    alone = Surrogate(model="ridge").fit(ARCHS, filled, failed=FAILED)
    assert np.array_equal(suite["raspi4"].predict(QUERIES), alone.predict(QUERIES))


@pytest.mark.parametrize("costs", [["slow"] * 60, 5.0, COSTS[:, None].repeat(2, axis=1)], ids=["text", "one", "two"])
def test_a_suite_says_what_is_wrong_with_costs_of_another_form(costs: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^raspi4/latency: .*(numbers|shape)"):
        SurrogateSuite().fit(ARCHS, {"raspi4/latency": costs})


def test_no_cost_is_within_a_negative_budget() -> None:
    assert (FITTED["cells"].predict_within(QUERIES, -1.0) == 0.0).all()


@pytest.mark.parametrize("size", [1e305, 1e307, 1.7e308])
def test_huge_costs_are_analysed_as_ordinary_ones(size: float) -> None:
    archs = SPACE.sample(40, 0)
    costs = SPACE.batch(archs).macs / SPACE.batch(archs).macs.max()
    costs = costs * np.random.default_rng(0).uniform(0.8, 1, 40)
    small, large = (
        CostTable(SPACE, archs, np.column_stack([costs, costs[::-1]]) * unit, ["a/latency", "b/latency"],
                  repeats=np.repeat(costs[:, None, None] * unit, 10, axis=2).reshape(40, 2, 5))
        for unit in (1.0, size)
    )  # fmt: skip
    pd.testing.assert_frame_equal(additivity(large), additivity(small))
    pd.testing.assert_frame_equal(correlation_interval(large, "pearson"), correlation_interval(small, "pearson"))
    assert large.noise_floor() == small.noise_floor()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AdaptWarning)
        adapted = TransferSurrogate(random_state=0).fit(archs[:10], large.costs[:10, 0])
    assert np.isfinite(adapted.predict(archs)).all()


def test_blocks_whose_costs_add_up_to_too_much_are_refused() -> None:
    keys = load_table("blocks", "fbnet").keys
    table = BlockTable({"a/latency": dict.fromkeys(keys, 1e308)})
    with pytest.raises(InvalidInputError, match=r"add up to more than 1\.79769e\+308: check their unit"):
        table.lookup(get_space("fbnet").sample(2, 0), "cifar100")


def test_tensors_that_require_a_gradient_are_one_error() -> None:
    torch = pytest.importorskip("torch")
    archs = SPACE.sample(10, 0)
    costs = torch.arange(1.0, 11.0, requires_grad=True)
    table = CostTable(SPACE, archs, costs.detach()[:, None], ["a/latency"])
    for use in (
        lambda: CostTable(SPACE, archs, costs[:, None], ["a/latency"]),
        lambda: table.rows(costs),
        lambda: METRICS["throughput"].to_cost(costs),
        lambda: METRICS["accuracy"].from_cost(costs),
        lambda: Surrogate().fit(archs, costs),
        lambda: Surrogate().fit(archs, costs.detach(), failed=costs),
        lambda: LeaveOneOutRidge().fit(costs[:, None], costs.detach()),
        lambda: LeaveOneOutRidge().fit(costs.detach().numpy()[:, None], costs),
        lambda: score(costs, costs),
        lambda: SPACE.as_array(costs),
    ):
        with pytest.raises(HWNASError, match=r"detach|row numbers 0\.\.9"):
            use()
