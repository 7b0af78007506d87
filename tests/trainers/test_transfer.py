"""A device measured ten times is predicted, sources help or do nothing, and doubtful measurements are told."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError, SavedFormatError
from hwnas_surrogate.models import ConstantCost
from hwnas_surrogate.search import suggest
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import (
    AdaptWarning,
    Surrogate,
    SurrogateSuite,
    TransferSurrogate,
    fit_sources,
)

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
COVERAGES = (0.8, 0.9, 0.95)
TORCH, RUNTIME = "epyc-torch-1t/latency", "epyc-onnxruntime-1t/latency"
# int8 is not among them: quantised kernels' costs follow the layers' sizes little (0.75 with ten measurements).
DEVICES = (
    ("nasbench201", TORCH),
    ("nasbench201", RUNTIME),
    ("nasbench201", "epyc-openvino-1t/latency"),
    ("nasbench201", "eyeriss-like/latency"),
    ("fbnet", TORCH),
    ("fbnet", RUNTIME),
)


def bundled(space: str, target: str, path: str | None = None) -> CostTable:
    """Return a bundled table's measured rows of one target."""
    table = load_table(path, space)
    assert isinstance(table, CostTable)
    table = table.select(target)
    return table.rows(np.flatnonzero(~np.isnan(table.costs[:, 0])))


TABLES = {(space, target): bundled(space, target) for space, target in (*DEVICES, ("nasbench201", "epyc-torch-2t"))}


@dataclass
class Draw:
    """A few measurements of a bundled table, and others that were held out."""

    archs: np.ndarray
    costs: np.ndarray
    others: np.ndarray
    held_out: np.ndarray

    def error(self, surrogate: Surrogate) -> float:
        return float(np.median(np.abs(surrogate.predict(self.others) / self.held_out - 1)))


def draw(space: str, target: str, n: int, seed: int, others: int = 400) -> Draw:
    table = TABLES[space, target]
    rows = np.random.default_rng(seed).permutation(len(table))[: n + others]
    archs, costs = table.archs[rows], table.costs[rows, 0]
    return Draw(archs[:n], costs[:n], archs[n:], costs[n:])


def quietly(surrogate: TransferSurrogate, *arguments: Any, **options: Any) -> TransferSurrogate:
    """Fit, whatever there is to be said of the measurements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AdaptWarning)
        return surrogate.fit(*arguments, **options)


def answers(surrogate: TransferSurrogate, archs: np.ndarray, config: Any = None) -> list[np.ndarray]:
    told = [
        surrogate.predict(archs, config, extrapolate=True),
        surrogate.predict_has_cost(archs, config, extrapolate=True),
    ]
    if surrogate.n_train_:
        told += [
            surrogate.predict_interval(archs, config, extrapolate=True),
            surrogate.predict_within(archs, 5.0, config, extrapolate=True),
        ]
    return told


def assert_same(ones: list[np.ndarray], others: list[np.ndarray]) -> None:
    for one, other in zip(ones, others, strict=True):
        assert np.array_equal(one, other)


class Adapted(dict[tuple[str, str, int], list[tuple[TransferSurrogate, Draw]]]):
    """Surrogates of ten and of twenty measurements of each device, fitted when first asked for.

    Those of twenty take a second each: six draws where notes must not be made of clean measurements, else four.
    """

    def __missing__(self, key: tuple[str, str, int]) -> list[tuple[TransferSurrogate, Draw]]:
        space, target, n = key
        draws = 6 if n == 10 or (space == "nasbench201" and target in (TORCH, RUNTIME)) else 4
        parts = [draw(space, target, n, seed) for seed in range(draws)]
        self[key] = [(quietly(TransferSurrogate(space), part.archs, part.costs), part) for part in parts]
        return self[key]


@pytest.fixture(scope="module")
def adapted() -> Adapted:
    """Return surrogates of measurements, (space, target, how many) to several draws; tests must not change them."""
    return Adapted()


@pytest.fixture(scope="module")
def sources() -> dict[str, Any]:
    """Return fitted sources: a device's sister, and three that have nothing to say, one of them from FBNet."""
    table = TABLES["nasbench201", TORCH].rows(np.random.default_rng(0).permutation(15625)[:59])
    costs = table.costs[:, 0]
    noise = np.random.default_rng(1).uniform(1, 10, len(costs))
    useless = np.column_stack([noise, costs.max() + costs.min() - costs])
    fitted = fit_sources(CostTable(SPACE, table.archs, useless, ["noise/latency", "mirror/latency"]))
    return {
        "sister": fit_sources(table),
        "random": fitted["noise"],
        "reversed": fitted["mirror"],
        "other space": fit_sources(TABLES["fbnet", TORCH].rows(range(59))),
    }


# -- ten measurements -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "target"), DEVICES)
def test_ten_measurements_rank_the_rest(space: str, target: str, adapted: dict[Any, Any]) -> None:
    scores = [surrogate.score(part.others, part.held_out) for surrogate, part in adapted[space, target, 10]]
    assert np.mean(scores) > 0.94
    assert min(scores) > 0.9
    assert np.mean([part.error(surrogate) for surrogate, part in adapted[space, target, 10]]) < 0.07


def test_they_rank_where_the_ordinary_surrogate_may_fail(adapted: dict[Any, Any]) -> None:
    fitted = adapted["nasbench201", RUNTIME, 10][:4]
    ordinary = [
        Surrogate(model="boosted").fit(part.archs, part.costs).score(part.others, part.held_out) for _, part in fitted
    ]
    few = [surrogate.score(part.others, part.held_out) for surrogate, part in fitted]
    assert min(few) > min(ordinary) + 0.05
    assert np.mean(few) > np.mean(ordinary) + 0.03


@pytest.mark.parametrize("n", [10, 20])
def test_the_error_is_foretold_by_leaving_out(n: int, adapted: dict[Any, Any]) -> None:
    for space, target in DEVICES:
        fitted = adapted[space, target, n]
        real = np.mean([part.error(surrogate) for surrogate, part in fitted])
        told = np.mean([surrogate.loo_error_ for surrogate, _ in fitted])
        assert 0.5 * real - 1e-3 < told < 2 * real + 1e-3
        ranked = np.mean([surrogate.score(part.others, part.held_out) for surrogate, part in fitted])
        assert np.mean([surrogate.loo_spearman_ for surrogate, _ in fitted]) == pytest.approx(ranked, abs=0.12)


# -- intervals --------------------------------------------------------------------------------------------


def coverage_of(fitted: list[tuple[TransferSurrogate, Draw]], coverage: float) -> float:
    held = []
    for surrogate, part in fitted:
        low, high = surrogate.predict_interval(part.others, coverage=coverage).T
        held.append(np.mean((low <= part.held_out) & (part.held_out <= high)))
    return float(np.mean(held))


@pytest.mark.parametrize("n", [10, 20])
def test_about_as_many_costs_lie_inside_as_said(n: int, adapted: dict[Any, Any]) -> None:
    by_device = {device: [coverage_of(adapted[*device, n], part) for part in COVERAGES] for device in DEVICES}
    for low, middle, high in by_device.values():
        assert 0.75 < middle <= 1.0
        assert 0.6 < low <= middle <= high
    assert np.mean(list(by_device.values()), axis=0) == pytest.approx(COVERAGES, abs=0.06)


def test_intervals_hold_from_suggested_architectures_too() -> None:
    table = TABLES["nasbench201", TORCH]
    costs = dict(zip(SPACE.codes(table.archs).tolist(), table.costs[:, 0], strict=True))
    held, errors = [], []
    for seed in range(4):
        archs = suggest(SPACE, 10, random_state=seed).archs
        fitted = quietly(TransferSurrogate(), archs, [costs[code] for code in SPACE.codes(archs).tolist()])
        low, high = fitted.predict_interval(table.archs[::20], coverage=0.9).T
        held.append(np.mean((low <= table.costs[::20, 0]) & (table.costs[::20, 0] <= high)))
        errors.append(np.median(np.abs(fitted.predict(table.archs[::20]) / table.costs[::20, 0] - 1)))
    assert 0.8 < np.mean(held) <= 1.0
    assert np.mean(errors) < 0.04


def test_intervals_nest_and_hold_the_prediction(adapted: dict[Any, Any]) -> None:
    for n in (10, 20):
        surrogate, part = adapted["nasbench201", RUNTIME, n][0]
        nested = [surrogate.predict_interval(part.others, coverage=coverage) for coverage in (0.5, *COVERAGES, 0.98)]
        predicted = surrogate.predict(part.others)
        for inner, outer in pairwise(nested):
            assert (outer[:, 0] <= inner[:, 0]).all()
            assert (inner[:, 1] < outer[:, 1]).all()
        assert np.isfinite(nested[-1]).all()
        assert ((nested[1][:, 0] < predicted) & (predicted < nested[1][:, 1])).all()


def test_two_measurements_promise_little(adapted: dict[Any, Any]) -> None:
    part = draw("nasbench201", TORCH, 3, 0)
    surrogate = quietly(TransferSurrogate(), part.archs, part.costs)
    few, ten = (
        np.diff(one.predict_interval(part.others)).ravel() / part.held_out
        for one in (surrogate, adapted["nasbench201", TORCH, 10][0][0])
    )
    assert np.isfinite(few).all()
    assert np.median(few) > 1.5 * np.median(ten)


# -- sources ----------------------------------------------------------------------------------------------


def figures(space: str, target: str, n: int, given: Any, draws: int = 5) -> tuple[float, float]:
    """Return the mean error and score over several draws of n measurements."""
    parts = [draw(space, target, n, seed, 250) for seed in range(draws)]
    fitted = [quietly(TransferSurrogate(space, given), part.archs, part.costs) for part in parts]
    scores = [one.score(part.others, part.held_out) for one, part in zip(fitted, parts, strict=True)]
    return float(np.mean([part.error(one) for one, part in zip(fitted, parts, strict=True)])), float(np.mean(scores))


ALONE: dict[tuple[str, str, int], tuple[float, float]] = {}


def alone(space: str, target: str, n: int) -> tuple[float, float]:
    if (space, target, n) not in ALONE:
        ALONE[space, target, n] = figures(space, target, n, None)
    return ALONE[space, target, n]


@pytest.mark.parametrize("n", [5, 8])
def test_a_sister_device_helps(n: int, sources: dict[str, Any]) -> None:
    (error, score), (before, ranked) = (
        figures("nasbench201", "epyc-torch-2t", n, sources["sister"]),
        alone("nasbench201", "epyc-torch-2t", n),
    )
    assert error < 0.9 * before
    assert score > ranked - 0.002
    part = draw("nasbench201", "epyc-torch-2t", n, 0)
    assert quietly(TransferSurrogate(sources=sources["sister"]), part.archs, part.costs).source_weight_ > 0.5


@pytest.mark.parametrize("given", ["random", "reversed", "other space", "sister", "all of them"])
@pytest.mark.parametrize(("space", "target"), [("nasbench201", RUNTIME), ("fbnet", RUNTIME)])
def test_sources_that_tell_nothing_do_no_harm(given: str, space: str, target: str, sources: dict[str, Any]) -> None:
    error, score = figures(space, target, 10, list(sources.values()) if given == "all of them" else sources[given])
    before, ranked = alone(space, target, 10)
    assert error < 1.15 * before
    assert score > ranked - 0.01
    if given in ("random", "reversed"):
        part = draw(space, target, 10, 0)
        assert quietly(TransferSurrogate(space, sources[given]), part.archs, part.costs).source_weight_ < 0.2


@pytest.mark.parametrize("name", ["sister", "other space"])
@pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
def test_nothing_measured_is_a_ranking_with_sources(name: str, space: str, sources: dict[str, Any]) -> None:
    part = draw(space, RUNTIME, 0, 0)
    with pytest.warns(AdaptWarning, match="nothing was measured: the predictions rank architectures as the sources"):
        surrogate = TransferSurrogate(space, sources[name]).fit([], [])
    assert surrogate.score(part.others, part.held_out) > 0.75
    assert surrogate.n_train_ == 0
    assert surrogate.left_out_.columns.tolist() == ["measured", "predicted", "outlying"]
    assert len(surrogate.left_out_) == 0
    assert len(surrogate.notes_) == 1
    assert np.isnan([surrogate.loo_error_, surrogate.loo_spearman_]).all()
    assert surrogate.source_weight_ == 1.0
    for ask in (surrogate.predict_interval, lambda archs: surrogate.predict_within(archs, 1.0)):
        with pytest.raises(InvalidInputError, match="nothing was measured on this device: a ranking has no intervals"):
            ask(part.others)


def test_a_ranking_is_the_sources_average(sources: dict[str, Any]) -> None:
    archs = SPACE.sample(50, 3)
    one, other = sources["sister"][TORCH], sources["reversed"]
    both = quietly(TransferSurrogate(sources=[one, other]), [], []).predict(archs)
    reference = SPACE.sample(1000, 0)
    expected = sum(part.predict(archs) / part.predict(reference).mean() for part in (one, other)) / 2
    np.testing.assert_allclose(both, expected, rtol=1e-6)


def test_too_little_is_refused(sources: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="neither a measurement nor a source"):
        TransferSurrogate().fit([], [])
    with pytest.raises(InvalidInputError, match="neither a measurement nor a source"):
        TransferSurrogate(sources=[]).fit([], [])
    for given in (None, sources["sister"]):
        with pytest.raises(InvalidInputError, match="at least 2 measured architectures, got 1"):
            TransferSurrogate(sources=given).fit(SPACE.sample(1, 0), [1.0])
        with pytest.raises(InvalidInputError, match=r"got 1 \(and 2 that failed\)"):
            TransferSurrogate(sources=given).fit(SPACE.sample(3, 0), [1.0, 2, 3], failed=[True, False, True])
    with pytest.raises(InvalidInputError, match="one value per architecture: got 2 for none"):
        TransferSurrogate(sources=sources["sister"]).fit([], [1.0, 2.0])
    with pytest.raises(NotFittedError):
        TransferSurrogate().predict(SPACE.sample(3, 0))
    with pytest.raises(InvalidArchitectureError, match="NAS-Bench-201 architecture has 6 ops"):
        TransferSurrogate().fit(FBNET.sample(10, 0), np.ones(10))


# -- what is said of the measurements ---------------------------------------------------------------------


def noted(archs: np.ndarray, costs: Any, match: str, **options: Any) -> TransferSurrogate:
    """Fit, and check that a note which matches is warned of and kept."""
    with pytest.warns(AdaptWarning) as told:
        surrogate = TransferSurrogate().fit(archs, costs, **options)
    assert [str(warning.message) for warning in told if warning.category is AdaptWarning] == list(surrogate.notes_)
    assert sum(match in note for note in surrogate.notes_) == 1, surrogate.notes_
    return surrogate


def test_clean_measurements_are_not_spoken_of(adapted: dict[Any, Any]) -> None:
    for target in (TORCH, RUNTIME):
        for surrogate, _ in adapted["nasbench201", target, 20]:
            assert surrogate.notes_ == ()
            assert not surrogate.left_out_["outlying"].any()
            assert surrogate.outliers_.tolist() == []


def test_few_networks_are_told() -> None:
    part = draw("nasbench201", TORCH, 7, 0)
    surrogate = noted(part.archs, part.costs, "7 networks were measured: too few")
    assert surrogate.score(part.others, part.held_out) > 0.8


def test_measurements_of_one_network_tell_the_scale_only() -> None:
    part = draw("nasbench201", TORCH, 1, 0)
    surrogate = noted(part.archs.repeat(10, axis=0), part.costs * np.linspace(0.97, 1.03, 10), "10 measurements are of")
    np.testing.assert_allclose(surrogate.predict(part.archs), part.costs, rtol=0.02)
    assert surrogate.predict(part.others).std() > 0
    noted(part.archs.repeat(2, axis=0), [3.0, 3.0], "all 2 measurements are of one network")


@pytest.mark.parametrize("cost", [5.0, 0.0])
def test_equal_costs_are_a_coarse_timer(cost: float) -> None:
    archs = SPACE.sample(10, 0)
    surrogate = noted(archs, np.full(10, cost), f"all 10 costs are {cost:g}: the timer is too coarse")
    assert isinstance(surrogate.model_, ConstantCost)
    assert surrogate.predict(SPACE.sample(50, 1)).tolist() == [cost] * 50
    assert surrogate.source_weight_ == 0.0


@pytest.mark.parametrize(("n", "factor"), [(10, 1000.0), (16, 1000.0), (20, 0.001), (24, 0.001)])
@pytest.mark.parametrize("seed", range(3))
def test_one_slipped_unit_is_named_and_counts_little(n: int, factor: float, seed: int) -> None:
    part = draw("nasbench201", TORCH, n, seed)
    clean = quietly(TransferSurrogate(), part.archs, part.costs)
    slipped = part.costs.copy()
    slipped[seed + 2] *= factor
    surrogate = noted(part.archs, slipped, f"1 of {n} measurements lie far from their predictions: ")
    (note,) = (text for text in surrogate.notes_ if "lie far" in text)
    assert f"{slipped[seed + 2]:.4g} (number {seed + 3}; predicted from the others: " in note
    assert np.flatnonzero(surrogate.left_out_["outlying"]).tolist() == [seed + 2] == surrogate.outliers_.tolist()
    assert surrogate.left_out_["predicted"][seed + 2] == pytest.approx(part.costs[seed + 2], rel=0.25)
    assert surrogate.left_out_["measured"].tolist() == slipped.tolist()
    moved = np.abs(surrogate.predict(part.others) / clean.predict(part.others) - 1)
    assert np.median(moved) < 0.05
    assert part.error(surrogate) < 0.06
    assert surrogate.loo_error_ < 0.1


@pytest.mark.parametrize("target", [TORCH, RUNTIME])
def test_costs_that_slipped_to_near_nothing_are_told(target: str) -> None:
    for seed in range(6):
        part = draw("nasbench201", target, 10, seed)
        part.costs[seed % 10] /= 1000
        surrogate = quietly(TransferSurrogate(), part.archs, part.costs)
        assert surrogate.left_out_["predicted"][seed % 10] > 100 * part.costs[seed % 10]
        assert surrogate.outliers_.tolist() == [seed % 10]


def test_a_slip_does_not_come_in_by_the_ordinary_model() -> None:
    part = draw("nasbench201", TORCH, 20, 11)
    part.costs[11] *= 1000
    assert part.error(quietly(TransferSurrogate(), part.archs, part.costs)) < 0.05


def test_slips_are_told_without_calibration_too() -> None:
    part = draw("nasbench201", TORCH, 12, 0)
    part.costs[2] *= 1000
    told = quietly(TransferSurrogate(calibrate=False), part.archs, part.costs).left_out_["outlying"]
    assert np.flatnonzero(told).tolist() == [2]


def test_repeats_that_disagree_are_told() -> None:
    part = draw("nasbench201", TORCH, 10, 1)
    archs, costs = np.concatenate([part.archs, part.archs[:1]]), np.append(part.costs, 1.4 * part.costs[0])
    noted(archs, costs, "repeated measurements of one network differ by up to 40%")
    calm = quietly(TransferSurrogate(), archs, np.append(part.costs, 1.05 * part.costs[0]))
    assert not any("repeated" in note for note in calm.notes_)


@pytest.mark.parametrize("seed", range(3))
def test_noise_follows_no_law(seed: int) -> None:
    noted(
        SPACE.sample(20, seed),
        np.random.default_rng(seed).uniform(1, 10, 20),
        "leave-one-out errors are as large as the spread",
    )


def test_what_was_left_out_stands_in_the_order_of_the_measurements() -> None:
    part = draw("nasbench201", TORCH, 12, 4)
    order = np.random.default_rng(0).permutation(12)
    plain = quietly(TransferSurrogate(), part.archs, part.costs)
    shuffled = quietly(TransferSurrogate(), part.archs[order], part.costs[order])
    assert plain.left_out_.columns.tolist() == ["measured", "predicted", "outlying"]
    assert plain.left_out_["measured"].tolist() == part.costs.tolist()
    np.testing.assert_allclose(shuffled.left_out_.to_numpy(float), plain.left_out_.to_numpy(float)[order], rtol=1e-6)
    np.testing.assert_allclose(shuffled.predict(part.others), plain.predict(part.others), rtol=1e-6)
    assert plain.loo_error_ == pytest.approx(
        np.median(np.abs(plain.left_out_["predicted"] / plain.left_out_["measured"] - 1))
    )


def test_what_was_left_out_is_predicted_without_it() -> None:
    part = draw("nasbench201", TORCH, 12, 4)
    told = quietly(TransferSurrogate(), part.archs, part.costs).left_out_["predicted"]
    again = [
        quietly(TransferSurrogate(), np.delete(part.archs, row, 0), np.delete(part.costs, row)).predict(part.archs[row])
        for row in range(12)
    ]
    off = np.abs(told / np.concatenate(again) - 1)
    spread = np.abs(told / part.costs - 1)
    assert np.median(off) < 0.5 * np.median(spread)


def test_failures_are_no_measurements() -> None:
    part = draw("nasbench201", TORCH, 14, 5)
    failed = np.zeros(14, bool)
    failed[[0, 6, 9]] = True
    costs = np.where(failed, np.nan, part.costs)
    costs[11] *= 1000
    rest = quietly(TransferSurrogate(), part.archs[~failed], costs[~failed])
    surrogate = quietly(TransferSurrogate(), part.archs, costs, failed=failed)
    assert surrogate.left_out_.reset_index(drop=True).equals(rest.left_out_)
    assert surrogate.left_out_.index.tolist() == np.flatnonzero(~failed).tolist()
    assert any("(number 12; predicted from the others: " in note for note in surrogate.notes_)
    assert surrogate.left_out_["measured"].tolist() == costs[~failed].tolist()
    assert surrogate.outliers_.tolist() == [11]
    assert rest.outliers_.tolist() == [8]
    assert np.flatnonzero(surrogate.left_out_["outlying"]).tolist() == [8]
    assert np.array_equal(surrogate.predict(part.others), rest.predict(part.others))
    assert surrogate.predict_has_cost(part.archs)[failed].max() < 1 == rest.predict_has_cost(part.archs).min()


# -- as the measurements grow -----------------------------------------------------------------------------


def test_it_grows_into_the_ordinary_surrogate() -> None:
    part = draw("nasbench201", RUNTIME, 300, 0)
    grown = quietly(TransferSurrogate(), part.archs, part.costs)
    ordinary = Surrogate().fit(part.archs, part.costs)
    assert part.error(grown) < 1.1 * part.error(ordinary)
    assert grown.score(part.others, part.held_out) > ordinary.score(part.others, part.held_out) - 0.002
    assert grown.general_weight_ > 0.7
    assert grown.notes_ == ()
    assert 0.85 < coverage_of([(grown, part)], 0.9) < 0.97


def test_three_measurements_recalibrate_a_device_under_another_config(sources: dict[str, Any]) -> None:
    table = bundled("nasbench201", TORCH, "modified")
    before, after, ranked = [], [], []
    for config in table.configs[:30]:
        mine = table.select(configs=config)
        archs, costs = mine.archs, mine.costs[:, 0]
        one = sources["sister"][TORCH]
        if one.score(archs[3:], costs[3:], config, extrapolate=True) < 0.95:
            continue  # the ranking does not carry over
        surrogate = quietly(TransferSurrogate(sources=sources["sister"]), archs[:3], costs[:3], config)
        assert surrogate.configs_ == (config,)
        before.append(np.median(np.abs(one.predict(archs[3:], config, extrapolate=True) / costs[3:] - 1)))
        after.append(np.median(np.abs(surrogate.predict(archs[3:]) / costs[3:] - 1)))
        ranked.append(surrogate.score(archs[3:], costs[3:]))
    assert len(before) > 10
    assert np.median(after) < 0.5 * np.median(before)
    assert np.median(after) < 0.06
    assert np.median(ranked) > 0.93


# -- an estimator like the others -------------------------------------------------------------------------


def test_inputs_and_sources_stay_as_they_are(sources: dict[str, Any]) -> None:
    part = draw("nasbench201", TORCH, 10, 0)
    archs, costs, failed = part.archs.copy(), part.costs.copy(), np.zeros(10, bool)
    for array in (archs, costs, failed):
        array.flags.writeable = False
    given = sources["random"]
    before = given.predict(part.others)
    surrogate = TransferSurrogate(sources=given)
    assert quietly(surrogate, archs, costs, failed=failed) is surrogate
    assert np.array_equal(archs, part.archs)
    assert np.array_equal(costs, part.costs)
    assert surrogate.sources is given
    assert surrogate.sources_ == (given,)
    assert np.array_equal(given.predict(part.others), before)


def test_a_clone_keeps_its_sources_fitted(sources: dict[str, Any]) -> None:
    part = draw("nasbench201", "epyc-torch-2t", 10, 0)
    surrogate = quietly(TransferSurrogate("nasbench201", sources["sister"], 3, False), part.archs, part.costs)
    copy = clone(surrogate)
    assert copy.get_params(deep=False) == surrogate.get_params(deep=False)
    assert copy.sources is surrogate.sources
    assert not hasattr(copy, "model_")
    assert np.array_equal(quietly(copy, part.archs, part.costs).predict(part.others), surrogate.predict(part.others))
    with pytest.raises(InvalidInputError, match="calibrate=False"):
        copy.predict_interval(part.others)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AdaptWarning)
        assert cross_val_score(TransferSurrogate(sources=sources["sister"]), part.archs, part.costs, cv=2).mean() > 0.6


def test_a_second_fit_forgets_the_first(adapted: dict[Any, Any]) -> None:
    part = draw("nasbench201", TORCH, 10, 0)
    twice = quietly(quietly(TransferSurrogate(), part.archs[:4], part.costs[:4] * 9), part.archs, part.costs)
    assert_same(answers(twice, part.others), answers(adapted["nasbench201", TORCH, 10][0][0], part.others))


@pytest.mark.parametrize("factor", [2.0**-20, 1e6])
def test_the_unit_does_not_matter(factor: float, adapted: dict[Any, Any]) -> None:
    surrogate, part = adapted["nasbench201", RUNTIME, 10][0]
    other = quietly(TransferSurrogate(), part.archs, part.costs * factor)
    np.testing.assert_allclose(other.predict(part.others), surrogate.predict(part.others) * factor, rtol=1e-6)
    told = [one.predict_interval(part.others) for one in (other, surrogate)]
    np.testing.assert_allclose(told[0], told[1] * factor, rtol=1e-6)


def test_positive_costs_are_predicted_positive() -> None:
    archs = SPACE.sample(10, 5)
    megamacs = SPACE.batch(archs).macs / 1e6
    surrogate = quietly(TransferSurrogate(), archs, np.maximum(megamacs - np.median(megamacs), 0) + 1e-6)
    assert (surrogate.predict(SPACE.sample(2000, 6)) > 0).all()


@pytest.mark.parametrize("first", ["costs", "none"])
def test_a_failed_fit_leaves_all_as_it_was(first: str, sources: dict[str, Any]) -> None:
    part = draw("nasbench201", TORCH, 10, 2)
    surrogate = TransferSurrogate(sources=sources["random"])
    if first == "costs":
        quietly(surrogate, part.archs, part.costs)
    else:
        quietly(surrogate, [], [])
    before, notes, left_out = answers(surrogate, part.others), surrogate.notes_, surrogate.left_out_
    for archs, costs in ((part.archs, -part.costs), (part.archs[:1], [1.0]), ([], [1.0]), (part.archs, ["slow"] * 10)):
        with pytest.raises(InvalidInputError):
            surrogate.fit(archs, costs)
    surrogate.set_params(sources=None)
    with pytest.raises(InvalidInputError):
        surrogate.fit([], [])
    surrogate.set_params(sources=["nobody"])
    with pytest.raises(InvalidInputError):
        surrogate.fit(part.archs, part.costs)
    assert_same(answers(surrogate, part.others), before)
    assert surrogate.notes_ is notes
    assert surrogate.left_out_ is left_out
    assert surrogate.sources_ == (sources["random"],)


# -- saving -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kinds(sources: dict[str, Any]) -> dict[str, TransferSurrogate]:
    """Return fitted surrogates with sources of every kind; tests must not change them."""
    part = draw("nasbench201", RUNTIME, 25, 0)
    plain = Surrogate(model="ridge").fit(*draw_of_torch(60))
    return {
        "no source": quietly(TransferSurrogate(random_state=4), part.archs, part.costs),
        "the same space": quietly(TransferSurrogate(sources=sources["sister"]), part.archs, part.costs),
        "an ordinary one": quietly(TransferSurrogate(sources=plain), part.archs[:10], part.costs[:10]),
        "the other space": quietly(TransferSurrogate(sources=sources["other space"]), part.archs[:10], part.costs[:10]),
        "several": quietly(TransferSurrogate(sources=[plain, *sources.values()]), part.archs[:10], part.costs[:10]),
        "failures": quietly(
            TransferSurrogate(sources=sources["random"]), part.archs, part.costs, failed=np.arange(25) % 5 == 0
        ),
        "nothing measured": quietly(TransferSurrogate(sources=list(sources.values())), [], []),
    }


def draw_of_torch(n: int) -> tuple[np.ndarray, np.ndarray]:
    part = draw("nasbench201", TORCH, n, 9)
    return part.archs, part.costs


KINDS = (
    "no source",
    "the same space",
    "an ordinary one",
    "the other space",
    "several",
    "failures",
    "nothing measured",
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_says_the_same_to_the_bit(
    kind: str, kinds: dict[str, TransferSurrogate], tmp_path: Path
) -> None:
    archs = SPACE.sample(60, 8)
    surrogate = kinds[kind]
    once = TransferSurrogate.load(surrogate.save(tmp_path / "once"))
    for loaded in (once, TransferSurrogate.load(once.save(tmp_path / "twice"))):
        assert type(loaded) is TransferSurrogate
        assert_same(answers(loaded, archs), answers(surrogate, archs))
        assert_same(answers(loaded, archs, "C8-N2-k10-3x32x32"), answers(surrogate, archs, "C8-N2-k10-3x32x32"))
        for name in ("n_train_", "n_features_in_", "scale_", "floor_", "target_", "random_state", "calibrate"):
            assert getattr(loaded, name) == getattr(surrogate, name)
    if kind == "nothing measured":
        with pytest.raises(InvalidInputError, match="a ranking has no intervals"):
            once.predict_interval(archs)


@pytest.mark.parametrize("kind", ["no source", "several"])
def test_what_is_loaded_can_be_fitted_again(kind: str, kinds: dict[str, TransferSurrogate], tmp_path: Path) -> None:
    part = draw("nasbench201", TORCH, 10, 3)
    loaded = TransferSurrogate.load(kinds[kind].save(tmp_path))
    expected = quietly(clone(kinds[kind]), part.archs, part.costs)
    assert_same(answers(quietly(loaded, part.archs, part.costs), part.others), answers(expected, part.others))


def test_what_is_loaded_has_its_sources(kinds: dict[str, TransferSurrogate], tmp_path: Path) -> None:
    loaded = TransferSurrogate.load(kinds["several"].save(tmp_path))
    assert [source.target_ for source in loaded.sources_] == [one.target_ for one in kinds["several"].sources_]


def test_the_manifest_names_the_sources(kinds: dict[str, TransferSurrogate], tmp_path: Path) -> None:
    kinds["several"].save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["class"] == "TransferSurrogate"
    assert [entry["class"] for entry in manifest["surrogates"]] == ["TransferSurrogate"]
    assert [entry["class"] for entry in manifest["sources"]] == ["Surrogate"] * 5
    assert [entry["space"] for entry in manifest["sources"]] == ["nasbench201"] * 4 + ["fbnet"]
    devices = [None if entry["target"] is None else entry["target"]["device"] for entry in manifest["sources"]]
    assert devices == [None, "epyc-torch-1t", "noise", "mirror", "epyc-torch-1t"]


def test_another_class_says_how_to_load_it(kinds: dict[str, TransferSurrogate], tmp_path: Path) -> None:
    folder = kinds["the same space"].save(tmp_path / "new")
    message = r"holds a TransferSurrogate, not a Surrogate: use TransferSurrogate\.load"
    with pytest.raises(SavedFormatError, match=message):
        Surrogate.load(folder)
    with pytest.raises(SavedFormatError, match=r"holds a TransferSurrogate, not a SurrogateSuite: use TransferSurr"):
        SurrogateSuite.load(folder)
    ordinary = Surrogate(model="ridge").fit(*draw_of_torch(30)).save(tmp_path / "ordinary")
    with pytest.raises(SavedFormatError, match=r"holds a Surrogate, not a TransferSurrogate: use Surrogate\.load"):
        TransferSurrogate.load(ordinary)


@pytest.mark.parametrize("kind", ["the same space", "several", "nothing measured"])
def test_damaged_sources_are_refused(kind: str, kinds: dict[str, TransferSurrogate], tmp_path: Path) -> None:
    folder = kinds[kind].save(tmp_path)
    files = sorted(folder.glob("source*"))
    assert len(files) >= len(kinds[kind].sources_)
    for path in files:
        data = path.read_bytes()
        for damaged in (data[:-1], data[:80] + bytes([data[80] ^ 1]) + data[81:], b""):
            path.write_bytes(damaged)
            with pytest.raises(SavedFormatError, match=rf"the weights {path.name} are damaged"):
                TransferSurrogate.load(folder)
        path.unlink()
        with pytest.raises(SavedFormatError, match=rf"the weights {path.name} can't be read"):
            TransferSurrogate.load(folder)
        path.write_bytes(data)
    TransferSurrogate.load(folder)


def test_a_surrogate_with_sources_is_a_source_in_turn(kinds: dict[str, TransferSurrogate], tmp_path: Path) -> None:
    part = draw("nasbench201", "epyc-torch-2t", 10, 0)
    surrogate = quietly(TransferSurrogate(sources=kinds["the same space"]), part.archs, part.costs)
    assert part.error(surrogate) < 0.06
    loaded = TransferSurrogate.load(surrogate.save(tmp_path))
    assert_same(answers(loaded, part.others), answers(surrogate, part.others))
