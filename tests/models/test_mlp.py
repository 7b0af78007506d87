"""The perceptron predicts without torch what torch trained."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate.models import MLP


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).uniform(-2, 2, (200, 3))
    return X, 50 + 10 * np.abs(X[:, 0]) + X[:, 1] ** 2


@pytest.fixture(scope="module")
def fitted(data: tuple[np.ndarray, np.ndarray]) -> MLP:
    return MLP(hidden=(32, 16), steps=200, random_state=0).fit(*data)


def test_it_learns_what_no_linear_model_can(fitted: MLP, data: tuple[np.ndarray, np.ndarray]) -> None:
    assert fitted.score(*data) > 0.9


def test_predictions_are_those_of_the_torch_network(fitted: MLP, data: tuple[np.ndarray, np.ndarray]) -> None:
    import torch

    hidden = torch.from_numpy((data[0] - data[0].mean(axis=0)) / data[0].std(axis=0))
    for number, (weight, bias) in enumerate(zip(fitted.weights_, fitted.biases_, strict=True)):
        hidden = hidden @ torch.from_numpy(weight).T + torch.from_numpy(bias)
        if number < 2:
            hidden = torch.nn.functional.silu(hidden)
    expected = hidden[:, 0].numpy() * data[1].std() + data[1].mean()
    np.testing.assert_allclose(fitted.predict(data[0]), expected, rtol=1e-12)


def test_far_inputs_do_not_overflow(fitted: MLP) -> None:
    assert np.isfinite(fitted.predict(np.array([[1e6, -1e6, 1e6], [-1e9, 1e9, 0]]))).all()


def test_the_layers_have_the_asked_sizes(fitted: MLP) -> None:
    assert [weight.shape for weight in fitted.weights_] == [(32, 3), (16, 32), (1, 16)]
    assert [bias.shape for bias in fitted.biases_] == [(32,), (16,), (1,)]
