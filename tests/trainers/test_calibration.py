"""Intervals hold what they say, probabilities come true, and what a device can't run is told."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import ExtrapolationWarning, Surrogate, SurrogateSuite
from hwnas_surrogate.trainers.calibration import Calibration, LeftOut

SPACE = get_space("nasbench201")
COVERAGES = (0.8, 0.9, 0.95)
MODELS = {"the default": None, "one that is cross-validated": LinearRegression()}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def law(archs: np.ndarray, config: Any = None) -> np.ndarray:
    """Return costs without noise: a sum over the layers."""
    return SPACE.batch(archs, config).macs / 2e7 + (archs == 4).sum(axis=1) + 3


def multiplied(archs: np.ndarray, seed: int, spread: float = 0.05, config: Any = None) -> np.ndarray:
    """Return costs with noise in proportion to them."""
    return law(archs, config) * np.exp(spread * np.random.default_rng(seed).normal(size=len(archs)))


def added(archs: np.ndarray, seed: int) -> np.ndarray:
    """Return costs with noise of one size."""
    return law(archs) + 0.3 * np.random.default_rng(seed).normal(size=len(archs))


def inside(bounds: np.ndarray, costs: np.ndarray) -> np.ndarray:
    return (bounds[:, 0] <= costs) & (costs <= bounds[:, 1])


def width(bounds: np.ndarray) -> float:
    return float(np.median(bounds[:, 1] - bounds[:, 0]))


def refused(archs: np.ndarray) -> np.ndarray:
    """Tell which networks the planted compiler can't build: a pool at the last edge and two wide convolutions."""
    return (archs[:, 5] == 4) & ((archs == 3).sum(axis=1) >= 2)


@pytest.fixture(scope="module")
def asked() -> np.ndarray:
    return SPACE.sample(400, 71)


@pytest.fixture(scope="module")
def noisy() -> Surrogate:
    """Return a surrogate of 300 costs with 15 % of noise; tests must not change it."""
    archs = SPACE.sample(300, 70)
    return Surrogate().fit(archs, multiplied(archs, 70, 0.15))


# -- coverage ---------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("noise", [added, multiplied], ids=["noise of one size", "noise in proportion"])
def test_so_many_measured_costs_lie_inside(model: Any, noise: Any) -> None:
    held: dict[float, list[float]] = {coverage: [] for coverage in COVERAGES}
    for seed in range(4):  # the mean of four parts inside has a standard deviation of about 0.008
        archs = SPACE.sample(1300, 100 + seed)
        costs = noise(archs, seed)
        surrogate = Surrogate(model=model).fit(archs[:300], costs[:300])
        for coverage in COVERAGES:
            bounds = surrogate.predict_interval(archs[300:], coverage=coverage)
            held[coverage].append(inside(bounds, costs[300:]).mean())
    measured = {coverage: float(np.mean(parts)) for coverage, parts in held.items()}
    assert measured == pytest.approx({coverage: coverage for coverage in COVERAGES}, abs=0.02)


def test_intervals_grow_with_the_cost_where_the_noise_does(asked: np.ndarray) -> None:
    archs = SPACE.sample(400, 6)
    order = np.argsort(law(asked))
    grown = {}
    for noise in (added, multiplied):
        bounds = Surrogate().fit(archs, noise(archs, 6)).predict_interval(asked[order])
        grown[noise] = width(bounds[-100:]) / width(bounds[:100])
    assert grown[added] < 1.2
    assert grown[multiplied] > 1.4


def test_intervals_nest(noisy: Surrogate, asked: np.ndarray) -> None:
    nested = [noisy.predict_interval(asked, coverage=coverage) for coverage in (0.5, 0.8, 0.9, 0.95, 0.99)]
    for inner, outer in pairwise(nested):
        assert (outer[:, 0] < inner[:, 0]).all()
        assert (inner[:, 1] < outer[:, 1]).all()


def test_the_prediction_lies_inside_and_no_bound_below_zero(asked: np.ndarray) -> None:
    archs = SPACE.sample(100, 3)
    surrogate = Surrogate().fit(archs, np.maximum(added(archs, 3) - law(archs).min(), 0.0))
    bounds = surrogate.predict_interval(asked, coverage=0.95)
    assert inside(bounds, surrogate.predict(asked)).all()
    assert bounds.min() == 0.0
    assert (bounds[:, 1] > 0).all()
    assert bounds.shape == (len(asked), 2)
    assert surrogate.predict_interval([]).shape == (0, 2)


def test_exact_sums_have_intervals_like_points(asked: np.ndarray) -> None:
    archs = SPACE.sample(200, 4)
    costs = {name: 2.0 + batch @ np.arange(1.0, 7.0) for name, batch in (("told", archs), ("asked", asked))}
    surrogate = Surrogate().fit(archs, costs["told"])
    bounds = surrogate.predict_interval(asked)
    assert inside(bounds, costs["asked"]).all()
    assert ((bounds[:, 1] - bounds[:, 0]) / costs["asked"]).max() < 1e-8
    assert (surrogate.predict_within(asked, costs["asked"]) > 0.99).all()
    assert (surrogate.predict_within(asked, costs["asked"] - 1e-6) < 0.01).all()


# -- where the surrogate extrapolates ---------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("noise", [added, multiplied], ids=["noise of one size", "noise in proportion"])
@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_wider_where_no_such_network_was_measured(model: Any, noise: Any, seed: int) -> None:
    archs = SPACE.sample(2000, seed)
    convolutions = (archs == 3).sum(axis=1)
    few, many = archs[convolutions <= 1], archs[convolutions >= 3]
    surrogate = Surrogate(model=model).fit(few[:200], noise(few, seed)[:200])
    assert width(surrogate.predict_interval(many)) > 1.4 * width(surrogate.predict_interval(few[200:]))


SMALL = ("C8-N1-k10-3x32x32", "C8-N2-k10-3x32x32", "C12-N2-k10-3x32x32", "C16-N1-k10-3x32x32")


def under_configs(seed: int, names: tuple[str, ...], model: Any = "ridge") -> Surrogate:
    archs, configs = SPACE.sample(240, seed), [names[row % len(names)] for row in range(240)]
    costs = np.array([law(archs[row : row + 1], config)[0] for row, config in enumerate(configs)])
    noise = np.exp(0.05 * np.random.default_rng(seed).normal(size=240))
    return Surrogate(encoder="layers", model=model).fit(archs, costs * noise, configs)


@pytest.mark.parametrize(("seed", "model"), [(0, "ridge"), (1, "ridge"), (2, None), (3, LinearRegression())])
def test_intervals_are_wider_for_configs_that_were_not_trained_on(seed: int, model: Any, asked: np.ndarray) -> None:
    surrogate = under_configs(seed, SMALL, model)
    known = [width(surrogate.predict_interval(asked, config)) for config in SMALL]
    between = width(surrogate.predict_interval(asked, "C10-N2-k10-3x32x32"))
    with pytest.warns(ExtrapolationWarning, match="million multiply-adds"):
        beyond = width(surrogate.predict_interval(asked, "C32-N5-k10-3x32x32"))
    assert between > 1.5 * max(known)
    assert beyond > 2 * between


def test_intervals_of_other_configs_grow_with_their_distance() -> None:
    rng, n = np.random.default_rng(0), 2000
    columns, ones = np.empty((n, 0)), np.ones(n)
    distances = rng.choice([0.1, 0.5, 1.5], n)

    def noise(distances: np.ndarray) -> np.ndarray:
        return np.asarray(0.02 * (1 + 2 * distances) * rng.normal(size=n))

    left_out = LeftOut(np.arange(n), ones, noise(distances), ones, distances)
    calibration = Calibration().fit(columns, ones, 0.01 * rng.normal(size=n), other=left_out)
    assert calibration.other_.growth == pytest.approx(2, rel=0.25)
    again = Calibration().from_arrays(calibration.to_arrays(), 0)
    for distance in (0.1, 0.5, 1.0, 1.5):
        distances = np.full(n, distance)
        bounds = calibration.interval(columns, ones, ones, distances, 0.9)
        assert inside(bounds, 1 + noise(distances)).mean() == pytest.approx(0.9, abs=0.03)
        assert np.array_equal(again.interval(columns, ones, ones, distances, 0.9), bounds)
        told = calibration.probability(columns, ones, ones, distances, np.full(n, 1.02))
        assert told.mean() == pytest.approx(norm.cdf(1 / (1 + 2 * distance)), abs=0.03)
    assert width(calibration.interval(columns, ones, ones, 0 * ones, 0.9)) == pytest.approx(0.0329, rel=0.1)


def test_where_errors_do_not_grow_with_the_distance_neither_do_intervals() -> None:
    rng, n = np.random.default_rng(1), 4000
    distances = rng.choice([0.1, 0.5, 1.5], n)
    unseen = rng.normal(size=n) * np.where(distances > 1, 0.5, 1.0)
    left_out = LeftOut(np.arange(n), np.ones(n), unseen, np.ones(n), distances)
    calibration = Calibration().fit(np.empty((n, 0)), np.ones(n), rng.normal(size=n), other=left_out)
    assert calibration.other_.growth == 0


def test_known_and_other_configs_may_be_mixed_in_one_question(asked: np.ndarray) -> None:
    surrogate = under_configs(0, SMALL)
    configs = [("C8-N1-k10-3x32x32", "C10-N2-k10-3x32x32")[row % 2] for row in range(len(asked))]
    mixed = surrogate.predict_interval(asked, configs)
    for number, config in enumerate(configs[:2]):
        alone = surrogate.predict_interval(asked[number::2], config)
        np.testing.assert_allclose(mixed[number::2], alone, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_intervals_hold_costs_beyond_the_most_expensive_trained_on(seed: int) -> None:
    """Predictions there are too low: an expensive network is expensive by its noise too, and ridges shrink."""
    archs = SPACE.sample(3000, seed)
    costs = multiplied(archs, seed, 0.05)
    expensive = costs > np.quantile(costs, 0.8)
    surrogate = Surrogate().fit(archs[~expensive][:400], costs[~expensive][:400])
    bounds = surrogate.predict_interval(archs[expensive])
    assert inside(bounds, costs[expensive]).mean() > 0.8
    alike = surrogate.predict_interval(archs[~expensive][400:])
    assert inside(alike, costs[~expensive][400:]).mean() == pytest.approx(0.9, abs=0.04)
    high = bounds[:, 1]
    np.testing.assert_allclose(surrogate.predict_within(archs[expensive], high), 0.95, atol=0.01)


def test_two_configs_are_too_few_to_leave_one_out() -> None:
    assert under_configs(0, SMALL[:2]).calibration_.other_ is None
    assert under_configs(0, SMALL[:3]).calibration_.other_.n == 240


# -- too few rows -----------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("rows", [5, 10, 20, 39])
def test_few_rows_hold_what_they_say(model: Any, rows: int, asked: np.ndarray) -> None:
    held: dict[float, list[float]] = {coverage: [] for coverage in COVERAGES}
    for seed in range(8):  # one's part inside has a standard deviation of about 0.09, the mean of eight of 0.03
        archs = SPACE.sample(rows, 200 + seed)
        surrogate = Surrogate(model=model).fit(archs, multiplied(archs, seed, 0.2))
        costs = multiplied(asked, 50 + seed, 0.2)
        for coverage in COVERAGES:
            bounds = surrogate.predict_interval(asked, coverage=coverage)
            assert np.isfinite(bounds).all()
            held[coverage].append(inside(bounds, costs).mean())
    for coverage, parts in held.items():
        assert coverage - 0.1 < np.mean(parts) < 1.0


@every_model
@pytest.mark.parametrize(("rows", "most", "needed"), [(2, 0.9, 4), (4, 0.95, 20), (10, 0.98, 20), (60, 0.996, 200)])
def test_what_so_few_rows_cant_promise_is_refused(
    model: Any, rows: int, most: float, needed: int, asked: np.ndarray
) -> None:
    archs = SPACE.sample(rows, 6)
    surrogate = Surrogate(model=model, calibrate=True).fit(archs, multiplied(archs, 6))
    low, high = surrogate.predict_interval(asked, coverage=most).T
    assert np.isfinite(high).all()
    assert (low < high).all()
    beyond = 1 - 1 / (5 * needed)
    said = (
        rf"a coverage of {beyond:g} \(.* %\) takes the costs of {needed} networks, .* or measure {needed - rows} more"
    )
    with pytest.raises(InvalidInputError, match=said):
        surrogate.predict_interval(asked, coverage=beyond)
    with pytest.raises(InvalidInputError) as refused:
        surrogate.predict_interval(asked, coverage=1 - 1 / (5 * rows) + 1e-5)
    advised = float(re.search(r"ask for (\S+) at most", str(refused.value))[1])
    surrogate.predict_interval(asked, coverage=advised)
    with pytest.raises(InvalidInputError, match=r"coverage must be at most 0\.999 \(99\.9%\), got 0\.9995"):
        surrogate.predict_interval(asked, coverage=0.9995)


@pytest.mark.parametrize("n", [5, 15, 40, 150])
def test_the_next_score_lies_beyond_a_quantile_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    held = []
    for _ in range(400):
        scores = rng.standard_t(5, n + 200)
        found = Calibration().fit(np.empty((n, 0)), np.ones(n), scores[:n], sds=np.full(n, 1.3))
        one, sure = np.ones(1), np.full(1, 1.3)
        bounds = [found.interval(np.empty((1, 0)), one, sure, 0 * one, part)[0] - 1 for part in COVERAGES]
        held.append([((scores[n:] >= low) & (scores[n:] <= high)).mean() for low, high in bounds])
    assert np.mean(held, axis=0) == pytest.approx(COVERAGES, abs=0.05 if n == 5 else 0.03)


@pytest.mark.parametrize("n", [25, 100, 400])
def test_tails_reach_beyond_what_was_seen(n: int) -> None:
    rng = np.random.default_rng(n)
    held = []
    for _ in range(400):
        scores = rng.standard_t(5, n + 200)
        found = Calibration().fit(np.empty((n, 0)), np.ones(n), scores[:n])
        low, high = found.interval(np.empty((1, 0)), *np.ones((2, 1)), np.zeros(1), 0.99)[0] - 1
        held.append(((scores[n:] >= low) & (scores[n:] <= high)).mean())
    assert np.mean(held) == pytest.approx(0.99, abs=0.01)


@every_model
def test_fewer_rows_have_heavier_tails(model: Any, asked: np.ndarray) -> None:
    grown = {}
    for rows in (4, 10, 30):
        ratios = []
        for seed in range(6, 12):
            archs = SPACE.sample(rows, seed)
            surrogate = Surrogate(model=model).fit(archs, multiplied(archs, seed))
            # The upper halves: a lower bound is never below 0.
            middle = surrogate.predict(asked)
            narrow, wide = (surrogate.predict_interval(asked, coverage=part)[:, 1] - middle for part in (0.5, 0.95))
            ratios.append(np.median(wide / narrow))
            chances = surrogate.predict_within(asked, 10.0)
            assert ((chances >= 0) & (chances <= 1)).all()
        grown[rows] = np.mean(ratios)
    assert grown[4] > grown[10] > grown[30] > 2.5


# -- probabilities ----------------------------------------------------------------------------------------


def test_probabilities_grow_with_the_budget(noisy: Surrogate, asked: np.ndarray) -> None:
    chances = np.array([noisy.predict_within(asked, budget) for budget in np.linspace(0.0, 100.0, 60)])
    assert (np.diff(chances, axis=0) >= 0).all()
    assert chances[0].max() < 0.02
    assert chances[-1].min() > 0.98
    assert (noisy.predict_within(asked, np.inf) == 1.0).all()


def test_probabilities_agree_with_the_intervals(noisy: Surrogate, asked: np.ndarray) -> None:
    low, high = noisy.predict_interval(asked).T
    assert (low > 0).all()
    np.testing.assert_allclose(noisy.predict_within(asked, low), 0.05, atol=0.01)
    np.testing.assert_allclose(noisy.predict_within(asked, high), 0.95, atol=0.01)


def test_probabilities_come_true() -> None:
    chances, decided, happened = [], [], []
    for seed in range(3):
        archs = SPACE.sample(1300, seed)
        costs = multiplied(archs, seed, 0.15)
        surrogate = Surrogate().fit(archs[:300], costs[:300])
        for budget in np.quantile(costs, [0.2, 0.5, 0.8]):
            chances.append(surrogate.predict_within(archs[300:], budget))
            decided.append(surrogate.predict(archs[300:]) <= budget)
            happened.append(costs[300:] <= budget)
    chance, decision, truth = (np.concatenate(parts).astype(float) for parts in (chances, decided, happened))
    assert np.mean((chance - truth) ** 2) < 0.8 * np.mean((decision - truth) ** 2)
    for low in (0.0, 0.25, 0.5, 0.75):
        said = (low <= chance) & (chance <= low + 0.25)
        assert said.sum() > 300
        assert chance[said].mean() == pytest.approx(truth[said].mean(), abs=0.06)


def test_one_budget_or_one_per_architecture(noisy: Surrogate, asked: np.ndarray) -> None:
    budgets = np.linspace(4.0, 30.0, len(asked))
    each = noisy.predict_within(asked, budgets)
    alone = [noisy.predict_within(asked[row : row + 1], float(budget))[0] for row, budget in enumerate(budgets)]
    np.testing.assert_allclose(each, alone, atol=1e-12)
    assert each.shape == (len(asked),)
    assert np.array_equal(noisy.predict_within(asked, budgets.tolist()), each)
    assert np.array_equal(noisy.predict_within(asked, 12.0), noisy.predict_within(asked, [12.0] * len(asked)))
    assert noisy.predict_within([], 12.0).shape == (0,)


@every_model
@pytest.mark.parametrize("factor", [1e3, 1e-6])
def test_the_unit_does_not_matter(model: Any, factor: float, asked: np.ndarray) -> None:
    archs = SPACE.sample(200, 8)
    costs = multiplied(archs, 8)
    one, other = (Surrogate(model=model).fit(archs, costs * by) for by in (1.0, factor))
    np.testing.assert_allclose(other.predict_interval(asked), one.predict_interval(asked) * factor, rtol=1e-6)
    # A score that stands on the budget may fall on either side of it.
    chances = one.predict_within(asked, 10.0), other.predict_within(asked, 10.0 * factor)
    np.testing.assert_allclose(*chances, atol=1.5 / 201)


def test_without_calibration_there_are_no_intervals(tmp_path: Path, asked: np.ndarray) -> None:
    archs = SPACE.sample(100, 9)
    costs = multiplied(archs, 9)
    plain = Surrogate(calibrate=False).fit(archs, costs)
    suite = SurrogateSuite(calibrate=False).fit(archs, {"raspi4/latency": costs})
    assert plain.calibration_ is None
    assert np.array_equal(plain.predict(asked), Surrogate().fit(archs, costs).predict(asked))
    for surrogate in (plain, Surrogate.load(plain.save(tmp_path / "plain"))):
        assert surrogate.calibrate is False
        for ask in (surrogate.predict_interval, suite.predict_interval, lambda batch: plain.predict_within(batch, 9.0)):
            with pytest.raises(InvalidInputError, match="fitted with calibrate=False: it knows no intervals"):
                ask(asked)


# -- has it a cost at all? --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled() -> dict[str, Surrogate]:
    """Return surrogates that know of the failures, were trained on the others only, and on a device that has none."""
    archs = SPACE.sample(600, 20)
    costs, failed = multiplied(archs, 20, 0.03), refused(archs)
    return {
        "told": Surrogate(random_state=0).fit(archs, np.where(failed, np.nan, costs), failed=failed),
        "rest": Surrogate(random_state=0).fit(archs[~failed], costs[~failed]),
        "all": Surrogate(random_state=0).fit(archs, costs),
    }


def test_a_compile_rule_is_learned(compiled: dict[str, Surrogate]) -> None:
    queries = SPACE.sample(3000, 21)
    chances, failed = compiled["told"].predict_has_cost(queries), refused(queries)
    assert 100 < failed.sum() < 300
    assert ((chances > 0.5) == ~failed).mean() > 0.99
    assert (chances[failed] < 0.5).mean() > 0.9
    assert ((chances >= 0) & (chances <= 1)).all()


def test_failures_do_not_disturb_the_costs(compiled: dict[str, Surrogate]) -> None:
    queries = SPACE.sample(1000, 22)
    queries = queries[~refused(queries)]
    error = {name: np.median(np.abs(one.predict(queries) / law(queries) - 1)) for name, one in compiled.items()}
    assert error["told"] < 1.5 * error["all"]
    assert np.array_equal(compiled["told"].predict(queries), compiled["rest"].predict(queries))
    assert np.array_equal(compiled["told"].predict_interval(queries), compiled["rest"].predict_interval(queries))
    assert compiled["told"].n_train_ == compiled["rest"].n_train_ < 600


def test_what_stands_at_a_failed_row_is_not_looked_at(compiled: dict[str, Surrogate], asked: np.ndarray) -> None:
    archs = SPACE.sample(600, 20)
    costs, failed = multiplied(archs, 20, 0.03), refused(archs)
    for filler in (np.inf, -1.0, 1e9):
        other = Surrogate(random_state=0, model="ridge").fit(archs, np.where(failed, filler, costs), failed=failed)
        expected = clone(other).fit(archs[~failed], costs[~failed])
        assert np.array_equal(other.predict(asked), expected.predict(asked))
        assert np.array_equal(other.predict_has_cost(asked), compiled["told"].predict_has_cost(asked))


def test_a_network_that_fails_is_in_no_budget(compiled: dict[str, Surrogate]) -> None:
    queries = SPACE.sample(1000, 23)
    within = compiled["told"].predict_within(queries, 12.0)
    expected = compiled["rest"].predict_within(queries, 12.0) * compiled["told"].predict_has_cost(queries)
    assert np.array_equal(within, expected)
    assert np.median(compiled["told"].predict_within(queries[refused(queries)], 1e6)) < 0.1


def test_without_failures_every_network_has_a_cost(compiled: dict[str, Surrogate], asked: np.ndarray) -> None:
    archs = SPACE.sample(60, 24)
    none_failed = Surrogate().fit(archs, law(archs), failed=np.zeros(60, bool))
    for surrogate in (none_failed, compiled["all"]):
        assert surrogate.classifier_ is None
        assert surrogate.predict_has_cost(asked).tolist() == [1.0] * len(asked)
    assert none_failed.predict_has_cost([]).shape == compiled["told"].predict_has_cost([]).shape == (0,)


def test_a_second_fit_forgets_the_failures(asked: np.ndarray) -> None:
    archs = SPACE.sample(100, 25)
    surrogate = Surrogate(model="ridge").fit(archs, law(archs), failed=archs[:, 0] == 0)
    assert surrogate.predict_has_cost(asked).min() < 0.5
    assert surrogate.fit(archs, law(archs)).predict_has_cost(asked).min() == 1.0


# -- suites -----------------------------------------------------------------------------------------------


LATENCY, ENERGY = Target("raspi4", "latency"), Target("edge-gpu", "energy")


@pytest.fixture(scope="module")
def suite() -> SurrogateSuite:
    """Return a suite of two targets, the first of which has failures; tests must not change it."""
    archs = SPACE.sample(300, 30)
    costs, failed = multiplied(archs, 30), refused(archs)
    return SurrogateSuite(random_state=0).fit(
        archs, {LATENCY: np.where(failed, np.nan, costs), ENERGY: costs**2}, failed={LATENCY: failed}
    )


def test_a_suite_has_its_surrogates_intervals(suite: SurrogateSuite, asked: np.ndarray) -> None:
    for coverage in COVERAGES:
        bounds = suite.predict_interval(asked, coverage=coverage)
        assert bounds.columns.names == ["device", "metric", "unit", "bound"]
        assert bounds.columns.tolist() == [
            ("raspi4", "latency", "ms", "low"),
            ("raspi4", "latency", "ms", "high"),
            ("edge-gpu", "energy", "mJ", "low"),
            ("edge-gpu", "energy", "mJ", "high"),
        ]
        alone = [suite[target].predict_interval(asked, coverage=coverage) for target in (LATENCY, ENERGY)]
        assert np.array_equal(bounds, np.hstack(alone))
        for number, bound in enumerate(("low", "high")):
            one = bounds.xs(bound, axis=1, level="bound")
            assert one.columns.equals(suite.predict(asked).columns)
            assert np.array_equal(one, np.column_stack([both[:, number] for both in alone]))
    some = suite.predict_interval(asked, targets="edge-gpu")
    assert some.equals(suite.predict_interval(asked).iloc[:, 2:])
    assert suite.predict_interval([]).shape == (0, 4)


def test_a_suite_tells_what_each_device_can_run(suite: SurrogateSuite, asked: np.ndarray) -> None:
    chances = suite.predict_has_cost(asked)
    assert chances.columns.tolist() == [("raspi4", "latency", "ms"), ("edge-gpu", "energy", "mJ")]
    assert np.array_equal(chances["raspi4", "latency", "ms"], suite[LATENCY].predict_has_cost(asked))
    assert ((chances["raspi4", "latency", "ms"] > 0.5) == ~refused(asked)).mean() > 0.97
    assert (chances["edge-gpu", "energy", "mJ"] == 1.0).all()
    archs = SPACE.sample(300, 30)
    costs, failed = multiplied(archs, 30), refused(archs)
    alone = Surrogate(random_state=0).fit(archs, costs, failed=failed)
    assert np.array_equal(suite[LATENCY].predict_has_cost(asked), alone.predict_has_cost(asked))
    assert np.array_equal(suite[LATENCY].predict_within(asked, 12.0), alone.predict_within(asked, 12.0))


def test_a_tables_reasons_are_failures_and_other_missing_costs_are_not(asked: np.ndarray) -> None:
    archs = SPACE.sample(600, 31)
    costs, failed = law(archs), refused(archs)
    unmeasured = (archs[:, 0] == 0) & ~failed
    columns = np.column_stack([np.where(failed | unmeasured, np.nan, costs), costs])
    masks = [np.column_stack([part, np.zeros(600, bool)]) for part in (failed & (archs[:, 1] < 2), failed)]
    reasons = dict(zip(("the compiler failed", "the run crashed"), masks, strict=True))
    table = CostTable("nasbench201", archs, columns, [LATENCY, ENERGY], reasons=reasons)
    fitted = SurrogateSuite(random_state=0).fit_table(table)
    chances = fitted.predict_has_cost(asked)["raspi4", "latency", "ms"]
    assert ((chances > 0.5) == ~refused(asked)).mean() > 0.97
    assert chances[(asked[:, 0] == 0) & ~refused(asked)].median() > 0.9
    assert fitted[ENERGY].classifier_ is None
    assert fitted[LATENCY].n_train_ == (~failed & ~unmeasured).sum()
    silent = CostTable("nasbench201", archs, columns, [LATENCY, ENERGY])
    assert SurrogateSuite().fit_table(silent, LATENCY)[LATENCY].classifier_ is None


def test_what_is_loaded_says_the_same_to_the_bit(
    noisy: Surrogate, compiled: dict[str, Surrogate], tmp_path: Path, asked: np.ndarray
) -> None:
    archs = SPACE.sample(60, 32)
    fitted = {
        "noisy": (noisy, None),
        "failures": (compiled["told"], None),
        "cross-validated": (Surrogate(model=LinearRegression()).fit(archs, multiplied(archs, 32)), None),
        "configs": (under_configs(1, SMALL), [(*SMALL, "C10-N2-k10-3x32x32")[row % 5] for row in range(len(asked))]),
    }
    for name, (surrogate, configs) in fitted.items():
        once = Surrogate.load(surrogate.save(tmp_path / name))
        for loaded in (once, Surrogate.load(once.save(tmp_path / f"{name} again"))):
            for coverage in COVERAGES:
                bounds = loaded.predict_interval(asked, configs, coverage=coverage)
                assert np.array_equal(bounds, surrogate.predict_interval(asked, configs, coverage=coverage))
            chances = loaded.predict_within(asked, 8.0, configs)
            assert np.array_equal(chances, surrogate.predict_within(asked, 8.0, configs))
            assert np.array_equal(loaded.predict_has_cost(asked, configs), surrogate.predict_has_cost(asked, configs))


def test_a_loaded_suite_says_the_same_to_the_bit(suite: SurrogateSuite, tmp_path: Path, asked: np.ndarray) -> None:
    once = SurrogateSuite.load(suite.save(tmp_path / "suite"))
    for loaded in (once, SurrogateSuite.load(once.save(tmp_path / "again"))):
        assert loaded.predict_interval(asked).equals(suite.predict_interval(asked))
        assert loaded.predict_has_cost(asked).equals(suite.predict_has_cost(asked))
        assert np.array_equal(loaded[LATENCY].predict_within(asked, 9.0), suite[LATENCY].predict_within(asked, 9.0))


# -- outliers ---------------------------------------------------------------------------------------------


def with_slips(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Return architectures, clean costs, which failed, which were not measured, and three of the other rows."""
    rng = np.random.default_rng(seed)
    archs = SPACE.sample(400, seed)
    clean, failed = multiplied(archs, seed, 0.03), refused(archs)
    missing = (rng.random(400) < 0.2) & ~failed
    rows = np.sort(rng.choice(np.flatnonzero(~failed & ~missing), 3, replace=False))
    return archs, clean, failed, missing, rows.tolist()


@pytest.mark.parametrize(("model", "seed"), [*zip(MODELS.values(), (1, 2), strict=True)], ids=MODELS.keys())
def test_slipped_units_are_told_by_their_rows(model: Any, seed: int) -> None:
    archs, clean, failed, missing, rows = with_slips(seed)
    costs = clean.copy()
    costs[rows] *= 1000
    assert Surrogate(model=model).fit(archs, costs).outliers_.tolist() == rows
    assert Surrogate(model=model).fit(archs, costs, failed=failed).outliers_.tolist() == rows
    holes = np.where(missing | failed, np.nan, costs)
    fitted = SurrogateSuite(model=model).fit(archs, {LATENCY: holes, ENERGY: clean}, failed={LATENCY: failed})
    assert fitted[LATENCY].outliers_.tolist() == rows
    assert fitted[ENERGY].outliers_.tolist() == []


def test_a_slip_among_few_of_its_kind_is_the_only_outlier() -> None:
    archs, clean, failed, _, rows = with_slips(0)
    costs = clean.copy()
    costs[rows] *= 1000
    surrogate = Surrogate().fit(archs, costs, failed=failed)
    queries = SPACE.sample(3000, 9)
    assert (np.abs(surrogate.predict(queries) / law(queries) - 1) < 0.5).all()
    assert surrogate.outliers_.tolist() == rows
