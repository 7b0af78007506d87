"""Physics for a handful of measurements, the ordinary model for hundreds, and no worse than either in between."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Combined, LayerPhysics
from hwnas_surrogate.models import BoostedRidge, PhysicsGP, PhysicsStack
from hwnas_surrogate.models.stack import MIN_ROWS
from hwnas_surrogate.spaces import get_space

N = 1500
TEST = slice(700, None)
ARCHS = get_space("nasbench201").sample(N, 0)

Array = npt.NDArray[np.float64]


@cache
def ordinary_columns() -> pd.DataFrame:
    return Combined().frame(ARCHS)


@cache
def physical_columns() -> pd.DataFrame:
    return LayerPhysics().frame(ARCHS)


@cache
def columns() -> pd.DataFrame:
    return pd.concat([ordinary_columns(), physical_columns()], axis=1)


def law(seed: int) -> Array:
    """Return costs that are shares of physics; their mean is 1."""
    physics = physical_columns()[[name for name in physical_columns() if name.startswith("physics_all:")]].to_numpy()
    means = physics.mean(axis=0)
    shares = np.random.default_rng(seed).exponential(size=np.count_nonzero(means))
    costs: Array = physics[:, means > 0] / means[means > 0] @ (shares / shares.sum())
    return costs


def interacting(seed: int) -> Array:
    """Return a law of physics, and besides what pairs of ops cost together: it moves every architecture."""
    rng = np.random.default_rng(100 + seed)
    costs = law(seed)
    for first, second in ((0, 5), (1, 3), (2, 4)):
        costs += 0.2 * rng.normal(size=(5, 5))[ARCHS[:, first], ARCHS[:, second]]
    return np.maximum(costs, 0.1)


def fusing(seed: int) -> Array:
    """Return a law of physics that one in six breaks, as where a compiler fuses ops that stand side by side."""
    first, second, third, fourth = (ARCHS[:, position] for position in (0, 5, 1, 3))
    costs = law(seed) + 0.4 * ((first == 3) & (second == 3)) + 0.3 * ((third == 2) & (fourth == 1))
    costs += 0.25 * ((ARCHS == 3).sum(axis=1) >= 3)
    return costs


def additive(seed: int) -> Array:
    """Return costs that are a sum of prices of (position, op)."""
    prices = np.random.default_rng(seed).uniform(0.1, 3, (6, 5))
    costs: Array = 5 + prices[np.arange(6), ARCHS].sum(axis=1)
    return costs


def measured(costs: Array, seed: int) -> Array:
    noisy: Array = costs * (1 + 0.02 * np.random.default_rng(200 + seed).normal(size=N))
    return noisy


@cache
def fitted(planted: Callable[[int], Array], n: int, seed: int) -> PhysicsStack:
    return PhysicsStack().fit(columns().iloc[seed : seed + n], measured(planted(seed), seed)[seed : seed + n])


def errors(planted: Callable[[int], Array], n: int, seed: int) -> tuple[float, float, float]:
    """Return the mean absolute errors on unseen rows, as measured: of the whole, of physics, of the ordinary model."""
    model, costs = fitted(planted, n, seed), measured(planted(seed), seed)
    ordinary = model.boosted_ or BoostedRidge().fit(ordinary_columns().iloc[seed : seed + n], costs[seed : seed + n])
    predictions = (
        model.predict(columns()[TEST]),
        model.physics_.predict(physical_columns()[TEST]),
        ordinary.predict(ordinary_columns()[TEST]),
    )
    whole, physics, other = (float(np.abs(predicted - costs[TEST]).mean()) for predicted in predictions)
    return whole, physics, other


# -- who has the say --------------------------------------------------------------------------------------


def test_a_handful_is_told_by_physics_alone() -> None:
    few = MIN_ROWS - 1
    costs = measured(law(0), 0)
    model = PhysicsStack().fit(columns()[:few], costs[:few])
    assert model.boosted_ is None
    assert model.weights_["boosted"] == 0
    alone = PhysicsGP().fit(physical_columns()[:few], costs[:few])
    assert np.array_equal(model.predict(columns()), alone.predict(physical_columns()))
    assert np.array_equal(model.residuals_, alone.residuals_)
    assert spearmanr(model.predict(columns()), law(0))[0] > 0.98


@pytest.mark.parametrize(("n", "seeds"), [(60, 2), (100, 1)])
def test_sums_over_positions_are_found_exactly(n: int, seeds: int) -> None:
    for seed in range(seeds):
        costs = additive(seed)
        model = PhysicsStack().fit(columns()[:n], costs[:n])
        assert model.weights_["boosted"] == 1
        np.testing.assert_allclose(model.predict(columns()), costs, rtol=1e-9)
        assert np.abs(model.residuals_).max() < 1e-8


def test_sums_over_positions_are_mostly_believed_where_rows_are_few() -> None:
    costs = additive(0)
    model = PhysicsStack().fit(columns()[:32], costs[:32])
    physics = model.physics_.predict(physical_columns())
    assert 0.5 < model.weights_["boosted"] < 0.95
    assert np.abs(model.predict(columns()) - costs).mean() < 0.8 * np.abs(physics - costs).mean()


def test_hundreds_of_measurements_are_told_by_the_ordinary_model_where_ops_interact() -> None:
    model = fitted(interacting, 600, 0)
    assert model.weights_["boosted"] > 0.8
    whole, physics, ordinary = errors(interacting, 600, 0)
    assert whole < 0.6 * physics
    assert whole < 1.05 * ordinary


def test_physics_alone_has_less_of_a_say_the_more_is_measured() -> None:
    weights = [
        np.mean([sum(fitted(interacting, n, seed).weights_[of] for of in ("boosted", "remainder")) for seed in seeds])
        for n, seeds in ((20, range(3)), (50, range(3)), (200, range(2)), (600, range(1)))
    ]
    assert weights[0] < 0.3
    assert (np.diff(weights) > 0).all()


@pytest.mark.parametrize(
    ("planted", "n", "seeds"),
    [(law, 20, 3), (law, 50, 3), (law, 200, 1), *((interacting, *rows) for rows in ((20, 3), (50, 3), (200, 2)))],
)
def test_it_is_hardly_worse_than_the_better_of_its_parts(planted: Callable[[int], Array], n: int, seeds: int) -> None:
    found = np.array([errors(planted, n, seed) for seed in range(seeds)])
    assert (found[:, 0] < 1.15 * found[:, 1:].min(axis=1)).all()
    assert found[:, 0].mean() < 1.05 * found[:, 1:].mean(axis=0).min()


def test_nor_where_physics_fails_for_a_minority() -> None:
    whole, physics, ordinary = errors(fusing, 200, 0)
    assert ordinary < 0.7 * physics
    assert whole < 1.15 * ordinary


def test_slips_do_not_decide_who_has_the_say() -> None:
    costs = measured(interacting(0), 0)[:200]
    spoilt = costs.copy()
    spoilt[[7, 90]] *= 1000
    model, clean = PhysicsStack().fit(columns()[:200], spoilt), fitted(interacting, 200, 0)
    learned = [sum(either.weights_[of] for of in ("boosted", "remainder")) for either in (model, clean)]
    assert learned[0] == pytest.approx(learned[1], abs=0.15)
    truth = interacting(0)[TEST]
    apart = [np.abs(either.predict(columns()[TEST]) - truth).mean() for either in (model, clean)]
    assert apart[0] < 1.25 * apart[1]


# -- residuals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planted", "n", "seeds"),
    [(law, 20, 3), (law, 50, 3), *((interacting, *rows) for rows in ((20, 3), (50, 3), (200, 2)))],
)
def test_residuals_are_as_large_as_errors_on_unseen_rows(planted: Callable[[int], Array], n: int, seeds: int) -> None:
    left = [np.abs(fitted(planted, n, seed).residuals_).mean() for seed in range(seeds)]
    unseen = [errors(planted, n, seed)[0] for seed in range(seeds)]
    assert all(len(fitted(planted, n, seed).residuals_) == n for seed in range(seeds))
    assert 0.65 < np.mean(left) / np.mean(unseen) < 1.5


# -- columns ----------------------------------------------------------------------------------------------


def test_without_ordinary_columns_it_is_physics_and_without_physics_nothing() -> None:
    costs = measured(law(1), 1)
    model = PhysicsStack().fit(physical_columns()[:30], costs[:30])
    assert model.boosted_ is None
    alone = PhysicsGP().fit(physical_columns()[:30], costs[:30])
    assert np.array_equal(model.predict(physical_columns()), alone.predict(physical_columns()))
    with pytest.raises(InvalidInputError, match=r"columns of LayerPhysics"):
        PhysicsStack().fit(ordinary_columns()[:30], costs[:30])


def test_sources_are_told_to_physics_and_hidden_from_the_ordinary_model() -> None:
    frame = columns().assign(**{"source:kin": law(2)})
    model = PhysicsStack().fit(frame[:40], additive(2)[:40])
    assert model.boosted_ is not None
    assert "source:kin" in model.physics_.feature_names_in_
    names = [*model.physics_.feature_names_in_, *model.boosted_.feature_names_in_]
    assert sorted(names) == sorted(frame)


def test_the_columns_must_be_those_of_the_fit() -> None:
    model = fitted(law, 20, 0)
    for wrong in (columns()[columns().columns[::-1]], physical_columns(), columns().assign(other=1.0)):
        with pytest.raises(ValueError, match=r"feature names should match"):
            model.predict(wrong)


def test_where_the_columns_stand_does_not_matter() -> None:
    costs = measured(interacting(0), 0)
    other = pd.concat([physical_columns(), ordinary_columns()], axis=1)
    model = PhysicsStack().fit(other[:50], costs[:50])
    np.testing.assert_allclose(model.predict(other), fitted(interacting, 50, 0).predict(columns()), rtol=1e-9)


def test_the_prediction_is_the_weighted_sum_of_the_parts() -> None:
    model = fitted(interacting, 200, 0)
    parts = {"physics": (model.physics_, physical_columns()), "boosted": (model.boosted_, ordinary_columns())}
    parts["remainder"] = (model.remainder_, ordinary_columns())
    known = {name: part for name, (part, _) in parts.items() if part is not None}
    assert len(known) == 3
    expected = sum(model.weights_[name] * part.predict(parts[name][1]) for name, part in known.items())
    np.testing.assert_allclose(model.predict(columns()), expected, rtol=1e-12)


def test_ranked_by_sources_alone_it_is_their_average() -> None:
    sources = {"source:a": 3 * law(0), "source:b": law(1)}
    frame = columns().assign(**sources)
    model = PhysicsStack().rank(frame[:40])
    expected = np.mean([costs / costs[:40].mean() for costs in sources.values()], axis=0)
    np.testing.assert_allclose(model.predict(frame), expected, rtol=1e-12)
    assert model.boosted_ is None
    assert model.weights_["boosted"] == 0
    again = PhysicsStack().from_arrays(model.to_arrays(), model.feature_names_in_)
    assert np.array_equal(again.predict(frame), model.predict(frame))


# -- the contract -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planted", "n", "part"),
    [(law, 20, 0), (interacting, 200, None), (interacting, 600, 1)],
    ids=["physics", "both", "boosted"],
)
def test_arrays_hold_all_that_was_learned(planted: Callable[[int], Array], n: int, part: float | None) -> None:
    model = fitted(planted, n, 0)
    assert model.weights_["boosted"] == part if part is not None else 0 < model.weights_["boosted"] < 1
    arrays = {name: array.copy() for name, array in model.to_arrays().items()}
    assert all(array.dtype.kind in "fiub" for array in arrays.values())
    again = PhysicsStack().from_arrays(arrays, model.feature_names_in_)
    assert again.predict(columns()).tobytes() == model.predict(columns()).tobytes()
    assert again.weights_["boosted"] == model.weights_["boosted"]
    assert {name: array.tobytes() for name, array in again.to_arrays().items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }


def test_nothing_is_told_before_fit() -> None:
    for use in (lambda model: model.predict(columns()), lambda model: model.to_arrays()):
        with pytest.raises(NotFittedError):
            use(PhysicsStack())


def test_the_same_seed_gives_the_same_result_and_no_input_is_changed() -> None:
    X, y = columns()[:50].copy(), measured(interacting(0), 0)[:50]
    y.flags.writeable = False
    model = PhysicsStack(random_state=0)
    assert model.fit(X, y) is model
    assert np.array_equal(model.predict(columns()), fitted(interacting, 50, 0).predict(columns()))
    copy = clone(model)
    assert repr(copy) == repr(model)
    assert not hasattr(copy, "physics_")
    assert np.array_equal(copy.fit(X, y).predict(columns()), model.predict(columns()))
    pd.testing.assert_frame_equal(X, columns()[:50])
    assert np.array_equal(y, measured(interacting(0), 0)[:50])


@pytest.mark.parametrize("cost", [0.0, 3.0])
def test_networks_that_cost_alike_are_predicted_alike(cost: float) -> None:
    """But for the few in which equal additions are merged, where all measured ones have as many additions."""
    for n in (12, 30, 60):
        predicted = PhysicsStack().fit(columns()[:n], np.full(n, cost)).predict(columns())
        assert (np.abs(predicted - cost) < 0.01 * cost + 1e-3).mean() > 0.98


@pytest.mark.parametrize("scale", [1e4, 1e-5])
def test_the_unit_of_the_costs_does_not_matter(scale: float) -> None:
    model = PhysicsStack().fit(columns()[:50], measured(interacting(0), 0)[:50] * scale)
    expected = scale * fitted(interacting, 50, 0).predict(columns())
    np.testing.assert_allclose(model.predict(columns()), expected, rtol=1e-6)
