"""Products and powers of costs are sums of logarithms."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Combined, LayerPhysics
from hwnas_surrogate.models import LogRidge, PhysicsStack
from hwnas_surrogate.spaces import get_space

N, TRAIN, TEST = 900, slice(0, 120), slice(300, None)
ARCHS = get_space("nasbench201").sample(N, 0)
Array = npt.NDArray[np.float64]


@cache
def columns() -> pd.DataFrame:
    return pd.concat([Combined().frame(ARCHS), LayerPhysics().frame(ARCHS)], axis=1)


def product() -> Array:
    """Return costs over nine orders of magnitude: every op at its place multiplies."""
    exponents = np.random.default_rng(0).uniform(0, 1.5, (6, 5))[np.arange(6), ARCHS].sum(axis=1)
    return np.asarray(10.0**exponents)


def power() -> Array:
    """Return costs that grow with the sixth power of the multiply-adds."""
    macs = columns()["physics_all:macs"].to_numpy()
    return np.asarray((macs / macs.mean() + 0.05) ** 6)


def total() -> Array:
    """Return a sum over layers, over three orders of magnitude."""
    macs = columns()["physics_all:macs"].to_numpy()
    return np.asarray(macs / macs.mean() + 1e-3)


def noisy(costs: Array, seed: int) -> Array:
    return np.asarray(costs * np.exp(0.05 * np.random.default_rng(seed).normal(size=N)))


def test_a_product_of_ops_is_found_exactly() -> None:
    model = LogRidge().fit(columns()[TRAIN], product()[TRAIN])
    np.testing.assert_allclose(model.predict(columns()[TEST]), product()[TEST], rtol=1e-7)
    assert np.abs(model.residuals_ / product()[TRAIN]).max() < 1e-7


@pytest.mark.parametrize("law", [product, power])
def test_errors_are_a_part_of_the_cost(law: Callable[[], Array]) -> None:
    costs = noisy(law(), 1)
    model = LogRidge().fit(columns()[TRAIN], costs[TRAIN])
    off = model.predict(columns()[TEST]) / law()[TEST] - 1
    order = np.argsort(law()[TEST])
    assert np.median(np.abs(off)) < 0.04
    assert np.median(np.abs(off[order[:100]])) < 3 * np.median(np.abs(off[order[-100:]])) + 0.01
    left = np.median(np.abs(model.residuals_ / (costs[TRAIN] - model.residuals_)))
    assert left == pytest.approx(np.median(np.abs(costs[TEST] / model.predict(columns()[TEST]) - 1)), rel=0.4)


@pytest.mark.parametrize(("law", "taken"), [(product, True), (power, True), (total, False)])
@pytest.mark.parametrize("n", [30, 120])
def test_products_are_taken_where_they_predict_most_costs_better(law: Callable[[], Array], taken: bool, n: int) -> None:
    costs = noisy(law(), n)
    model = PhysicsStack().fit(columns()[:n], costs[:n])
    assert (model.product_ is not None) == taken
    assert (model.weights_["product"] == 1) == taken
    assert spearmanr(model.predict(columns()[TEST]), law()[TEST])[0] > 0.98
    if taken:
        sds = model.posterior(columns()[TEST]).sd
        np.testing.assert_allclose(sds, model.least_sd_ * model.predict(columns()[TEST]), rtol=1e-12)
        assert model.least_sd_ < 0.3


def test_costs_of_nothing_have_no_logarithm() -> None:
    costs = product()
    costs[5] = 0.0
    with pytest.raises(InvalidInputError, match=r"LogRidge takes costs above 0, got 0"):
        LogRidge().fit(columns()[TRAIN], costs[TRAIN])
    assert PhysicsStack().fit(columns()[TRAIN], costs[TRAIN]).product_ is None


@pytest.mark.parametrize("n_trees", [None, 0, 20])
def test_arrays_hold_all_that_was_learned(n_trees: int | None) -> None:
    model = LogRidge(n_trees).fit(columns()[TRAIN], noisy(power(), 2)[TRAIN])
    arrays = {name: array.copy() for name, array in model.to_arrays().items()}
    again = LogRidge(n_trees).from_arrays(arrays, model.feature_names_in_)
    assert again.predict(columns()).tobytes() == model.predict(columns()).tobytes()
    stack = PhysicsStack().fit(columns()[TRAIN], noisy(power(), 2)[TRAIN])
    loaded = PhysicsStack().from_arrays(stack.to_arrays(), stack.feature_names_in_)
    assert loaded.predict(columns()).tobytes() == stack.predict(columns()).tobytes()
    arrays["offsets"] = arrays["offsets"][1:]
    with pytest.raises(InvalidInputError, match=r"offsets must be (float64 of shape|at least 0)"):
        LogRidge(n_trees).from_arrays(arrays, model.feature_names_in_)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_the_unit_of_the_costs_does_not_matter(scale: float) -> None:
    costs = noisy(power(), 3)
    one, other = (LogRidge().fit(columns()[TRAIN], costs[TRAIN] * by) for by in (1.0, scale))
    np.testing.assert_allclose(other.predict(columns()), scale * one.predict(columns()), rtol=1e-3)
