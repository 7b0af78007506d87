"""What a surrogate knows of costs agrees with its predictions, intervals and probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from hwnas_surrogate import Surrogate, get_space
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.trainers import TransferSurrogate

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(400, 11)
COSTS = (SPACE.batch(ARCHS).macs / 1e7 + 3) * np.exp(0.03 * np.random.default_rng(5).standard_normal(400))


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    return Surrogate().fit(ARCHS[:100], COSTS[:100])


def test_it_is_what_the_surrogate_predicts_and_promises(surrogate: Surrogate) -> None:
    posterior = surrogate.posterior(ARCHS[100:])
    assert len(posterior) == 300
    assert np.array_equal(posterior.mean, surrogate.predict(ARCHS[100:]))
    interval = surrogate.predict_interval(ARCHS[100:], coverage=0.8)
    np.testing.assert_allclose(posterior.interval(0.8), interval)
    np.testing.assert_allclose(posterior.quantile(0.1), interval[:, 0])
    np.testing.assert_allclose(posterior.quantile(0.9), interval[:, 1])
    assert np.array_equal(posterior.below(9.0), surrogate.predict_within(ARCHS[100:], 9.0))


def test_its_quantiles_hold_and_rise(surrogate: Surrogate) -> None:
    posterior = surrogate.posterior(ARCHS[100:])
    levels = (0.05, 0.3, 0.5, 0.7, 0.95)
    quantiles = np.array([posterior.quantile(level) for level in levels])
    assert (np.diff(quantiles, axis=0) >= 0).all()
    held = (COSTS[100:] <= quantiles).mean(axis=1)
    np.testing.assert_allclose(held, levels, atol=0.12)
    scores = (COSTS[100:] - posterior.mean) / posterior.sd
    assert 0.7 < scores.std() < 1.4


def test_the_probability_of_a_quantile_is_its_level(surrogate: Surrogate) -> None:
    posterior = surrogate.posterior(ARCHS[100:200])
    for level in (0.1, 0.5, 0.8):
        np.testing.assert_allclose(posterior.below(posterior.quantile(level)), level, atol=0.01)


def test_a_throughput_is_below_a_bound_as_often_as_it_is_not_within_it() -> None:
    rates = 1000 / COSTS
    fitted = Surrogate(metric="throughput").fit(ARCHS[:100], rates[:100])
    posterior = fitted.posterior(ARCHS[100:])
    bound = float(np.median(rates))
    np.testing.assert_allclose(posterior.below(bound), 1 - fitted.predict_within(ARCHS[100:], bound))
    assert (rates[100:] <= posterior.quantile(0.8)).mean() == pytest.approx(0.8, abs=0.1)
    assert posterior.below(0.0).tolist() == [0.0] * 300


def test_a_model_of_somebody_elses_gets_its_errors_measured() -> None:
    fitted = Surrogate(encoder="onehot", model=RandomForestRegressor(20, random_state=0)).fit(ARCHS[:100], COSTS[:100])
    posterior = fitted.posterior(ARCHS[100:])
    held = (COSTS[100:] <= posterior.quantile(0.9)).mean()
    assert held == pytest.approx(0.9, abs=0.08)


def test_ten_measurements_have_a_posterior() -> None:
    posterior = TransferSurrogate().fit(ARCHS[:10], COSTS[:10]).posterior(ARCHS[100:])
    assert (COSTS[100:] <= posterior.quantile(0.9)).mean() > 0.75


def test_without_calibration_there_is_none() -> None:
    with pytest.raises(InvalidInputError, match="calibrate=False"):
        Surrogate(calibrate=False).fit(ARCHS[:30], COSTS[:30]).posterior(ARCHS[:2])


def test_a_quantile_that_the_costs_can_not_promise_is_refused() -> None:
    posterior = TransferSurrogate().fit(ARCHS[:10], COSTS[:10]).posterior(ARCHS[:2])
    with pytest.raises(InvalidInputError, match="takes the costs of"):
        posterior.quantile(0.999)
