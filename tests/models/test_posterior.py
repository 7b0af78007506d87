"""Posteriors: means, standard deviations, quantiles, and the probability of a bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.ensemble import RandomForestRegressor

from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.features import Combined, LayerPhysics
from hwnas_surrogate.models import (
    MLP,
    AdditiveExact,
    BoostedRidge,
    ConstantCost,
    CostModel,
    LeaveOneOutRidge,
    LogRidge,
    NormalPosterior,
    PhysicsGP,
    PhysicsStack,
    cost_model,
)
from hwnas_surrogate.spaces import get_space

MODELS: list[Any] = [AdditiveExact(), LeaveOneOutRidge(), BoostedRidge(), LogRidge(), PhysicsGP(), PhysicsStack()]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
NOISE = 0.04


@pytest.fixture(scope="module")
def rows() -> tuple[pd.DataFrame, np.ndarray]:
    space = get_space("nasbench201")
    archs = space.sample(160, 3)
    features = pd.concat([Combined().frame(archs), LayerPhysics().frame(archs)], axis=1)
    clean = space.batch(archs).total("macs", "folded") / 1e7 + 4
    return features, clean * np.exp(NOISE * np.random.default_rng(3).standard_normal(160))


def test_a_normal_posterior_is_that_of_scipy() -> None:
    mean, sd = np.array([1.0, -3.0]), np.array([0.5, 2.0])
    posterior = NormalPosterior(mean, sd)
    np.testing.assert_allclose(posterior.quantile(0.3), norm.ppf(0.3, mean, sd))
    np.testing.assert_allclose(posterior.below([1.2, -3]), norm.cdf([1.2, -3], mean, sd))
    np.testing.assert_allclose(posterior.interval(0.9), np.stack(norm.interval(0.9, mean, sd), axis=1))
    assert len(posterior) == 2


def test_where_nothing_is_uncertain_a_cost_is_at_most_itself() -> None:
    posterior = NormalPosterior(np.array([2.0, 2.0, 2.0]), np.zeros(3))
    assert posterior.below([1.9, 2.0, 2.1]).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("bad", [0, 1, -0.1, 1.5, float("nan"), True, "0.5"])
def test_what_is_no_probability_is_refused(bad: Any) -> None:
    posterior = NormalPosterior(np.zeros(1), np.ones(1))
    for ask in (posterior.quantile, posterior.interval):
        with pytest.raises(InvalidInputError, match="a probability must be a number between 0 and 1"):
            ask(bad)


@every_model
def test_a_models_posterior_is_its_prediction_and_about_as_wide_as_its_errors(
    model: CostModel, rows: tuple[pd.DataFrame, np.ndarray]
) -> None:
    features, costs = rows
    fitted = model.fit(features[:80], costs[:80])
    posterior = fitted.posterior(features[80:])
    assert np.array_equal(posterior.mean, fitted.predict(features[80:]))
    scores = (costs[80:] - posterior.mean) / posterior.sd
    assert 0.4 < np.sqrt((scores**2).mean()) < 2.5


@every_model
def test_standard_deviations_are_saved(model: CostModel, rows: tuple[pd.DataFrame, np.ndarray]) -> None:
    features, costs = rows
    fitted = model.fit(features[:40], costs[:40])
    names = np.array(features.columns, object)
    again = type(model)().from_arrays(fitted.to_arrays(), names)
    assert again.posterior(features[40:]).sd.tobytes() == fitted.posterior(features[40:]).sd.tobytes()


def test_a_constant_is_as_uncertain_as_there_are_few_of_it(rows: tuple[pd.DataFrame, np.ndarray]) -> None:
    features = rows[0]
    few, many = (ConstantCost().fit(features[:n], np.full(n, 6.0)) for n in (2, 20))
    assert few.posterior(features[:3]).mean.tolist() == [6.0] * 3
    assert few.posterior(features[:3]).sd[0] > 5 * many.posterior(features[:3]).sd[0]


def test_a_regressor_of_somebody_elses_does_not_know_its_errors(rows: tuple[pd.DataFrame, np.ndarray]) -> None:
    features, costs = rows
    forest = cost_model(RandomForestRegressor(5, random_state=0)).fit(features[:40], costs[:40])
    assert forest.predict(features[40:]).shape == (120,)
    assert (forest.residuals_, forest.heteroscedastic, forest.extrapolates) == (None, False, False)
    for model in (forest, MLP(steps=5, random_state=0).fit(features[:40], costs[:40])):
        with pytest.raises(InvalidInputError, match="does not know how far off it is"):
            model.posterior(features[40:])


def test_a_cost_model_passes_through() -> None:
    ridge = LeaveOneOutRidge()
    assert cost_model(ridge) is ridge


def test_a_model_without_arrays_can_not_be_saved(rows: tuple[pd.DataFrame, np.ndarray]) -> None:
    class Mean(CostModel):
        def fit(self, X: pd.DataFrame, y: Any) -> Mean:
            _, costs, _ = self._checked(X, y)
            self.mean_ = costs.mean()
            return self

        def predict(self, X: pd.DataFrame) -> np.ndarray:
            return np.full(len(X), self.mean_)

    with pytest.raises(SavedFormatError, match="a Mean can't be saved"):
        Mean().fit(*rows).to_arrays()


def test_a_leader_that_no_column_holds_is_refused(rows: tuple[pd.DataFrame, np.ndarray]) -> None:
    features, costs = rows
    renamed = features.rename(columns=lambda name: name.replace(":macs", ":multiply_adds"))
    with pytest.raises(InvalidInputError, match="unknown leader of the PhysicsPrior 'macs'"):
        PhysicsGP().fit(renamed[:20], costs[:20])
    PhysicsGP(prior={"leaders": [None]}).fit(renamed[:20], costs[:20])
