"""The mean of predictions that are no short sum or product: near the truth, continuous, exact for architectures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwnas_surrogate.models import LogRidge
from hwnas_surrogate.trainers import Surrogate
from tests.trainers.differentiable_cases import (
    BLOCKS,
    CELLS,
    RELAXED,
    costs_of,
    few_are_soft,
    fitted,
    mean_prediction,
    module,
)

relaxed = pytest.mark.parametrize("kind", sorted(RELAXED))


def drawn(probabilities: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Draw n architectures, (positions, ops) -> (n, positions)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(len(row), n, p=row) for row in probabilities], axis=1).astype(np.int8)


@relaxed
def test_it_is_near_the_mean_of_the_predictions(kind: str) -> None:
    surrogate, cost = fitted(kind), module(kind)
    rng = np.random.default_rng(0)
    n_positions, n_ops = cost.one_hot(cost.space.sample(1, 0)).shape[1:]
    for concentration in (0.3, 3.0):
        probabilities = rng.dirichlet(np.full(n_ops, concentration), n_positions)
        mean = surrogate.predict(drawn(probabilities, 800)).mean()
        assert cost(torch.from_numpy(probabilities)).item() == pytest.approx(mean, rel=0.05)


@relaxed
def test_it_is_continuous_between_architectures(kind: str) -> None:
    cost = module(kind)
    first, second = cost.one_hot(cost.space.sample(2, 4), torch.float64)
    steps = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None, None]
    costs = cost((1 - steps) * first + steps * second)
    assert costs.diff().abs().max() < 0.02 * costs.max()
    ends = fitted(kind).predict(cost.space.sample(2, 4))
    assert costs[[0, -1]].numpy() == pytest.approx(ends, rel=1e-9)


def test_the_gradient_ranks_ops_as_the_predictions_do() -> None:
    surrogate, cost = fitted("blocks, xgboost"), module("blocks, xgboost")
    probabilities = np.random.default_rng(1).dirichlet(np.ones(9), 22) * 0.95 + 0.05 / 9
    archs = drawn(probabilities, 8000)
    predicted = surrogate.predict(archs)
    measured = np.array([[predicted[archs[:, p] == op].mean() for op in range(9)] for p in range(22)])
    given = torch.from_numpy(probabilities).requires_grad_()
    cost(given).backward()
    centred = given.grad.numpy() - (given.grad.numpy() * probabilities).sum(axis=1, keepdims=True)
    assert np.corrcoef(centred.ravel(), (measured - predicted.mean()).ravel())[0, 1] > 0.9


def test_costs_that_are_nearly_products() -> None:
    archs = BLOCKS.sample(200, 1)
    costs = costs_of(BLOCKS, archs) ** 4
    surrogate = Surrogate(BLOCKS, model=LogRidge(0), random_state=0, calibrate=False)
    surrogate.fit(archs, costs)
    cost = surrogate.to_torch()
    checked = BLOCKS.sample(5, 7)
    assert cost(cost.one_hot(checked, torch.float64)).numpy() == pytest.approx(surrogate.predict(checked), rel=1e-9)
    probabilities = few_are_soft(BLOCKS, 3, n=10)
    mean = mean_prediction(surrogate, probabilities)
    assert cost(probabilities).item() == pytest.approx(mean, rel=0.02)


def test_the_mean_is_not_the_cost_of_the_mean_architecture() -> None:
    surrogate, cost = fitted("blocks, product"), module("blocks, product")
    probabilities = few_are_soft(BLOCKS, 3, n=10)
    mean = mean_prediction(surrogate, probabilities)
    features = surrogate.encoder_.frame([[0] * 22])
    features.iloc[0] = probabilities.flatten().numpy()
    of_mean = surrogate.model_.predict(features)[0] * surrogate.scale_
    assert cost(probabilities).item() == pytest.approx(mean, rel=1e-9)
    assert of_mean < 0.95 * mean


def test_a_floor_that_binds() -> None:
    archs = BLOCKS.sample(300, 0)
    effects = np.random.default_rng(0).uniform(1, 2, (22, 9))
    effects[:, 8] = 0.0
    costs = effects[np.arange(22), archs].sum(axis=1)
    surrogate = Surrogate(BLOCKS, model="additive", random_state=0, calibrate=False).fit(archs, costs)
    cost = surrogate.to_torch()
    skips = cost.one_hot([8] * 22, torch.float64)
    assert cost.floor == surrogate.floor_ == cost(skips).item() == surrogate.predict([[8] * 22])[0]
    probabilities = few_are_soft(BLOCKS, 0)
    assert cost(probabilities).item() == pytest.approx(mean_prediction(surrogate, probabilities), rel=1e-9)
    assert cost.exact
    for skipped in (0.3, 0.45, 0.5, 0.55, 0.7):  # the mean is above the floor, at it, and below it
        near = np.full((22, 9), (1 - skipped) / 8)
        near[:, 8] = skipped
        mean = surrogate.predict(drawn(near, 2000)).mean()
        assert cost(torch.from_numpy(near)).item() == pytest.approx(mean, rel=0.01)
        given = torch.from_numpy(near).requires_grad_()
        assert torch.autograd.gradcheck(cost, given, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_peak_memory_is_not_predicted_for_every_architecture() -> None:
    archs = CELLS.sample(12, 0)  # each takes milliseconds: its graph is built
    surrogate = Surrogate(CELLS, metric="peak_memory", random_state=0, calibrate=False)
    surrogate.fit(archs, CELLS.batch(archs).peak_memory() / 2**20 + 1)
    cost = surrogate.to_torch()
    checked = CELLS.sample(4, 1)
    assert not cost.exact
    assert cost(cost.one_hot(checked, torch.float64)).numpy() == pytest.approx(surrogate.predict(checked), rel=1e-9)
    assert cost.expected_layers(cost.one_hot(checked)).shape == (4, len(cost.operators()))
