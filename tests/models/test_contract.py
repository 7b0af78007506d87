"""Laws that every named model keeps: numbers with names in, costs out."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Combined
from hwnas_surrogate.models import MODELS, make_model
from hwnas_surrogate.spaces import get_space

SMALL: dict[str, Any] = {"steps": 60, "hidden": (16,), "n_estimators": 20, "n_jobs": 1}

every_model = pytest.mark.parametrize("name", MODELS)


def build(name: str, seed: int = 0) -> Any:
    """Return a named model, with few steps or trees where it has any."""
    model = make_model(name, seed)
    return model.set_params(**{key: value for key, value in SMALL.items() if key in model.get_params()})


def planted(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    space = get_space("nasbench201")
    archs = space.sample(n, seed)
    noise = np.random.default_rng(seed).normal(0, 0.5, n)
    return Combined().frame(archs), space.batch(archs).total("macs", "live") / 1e7 + 5 + noise


@pytest.fixture(scope="module")
def train() -> tuple[pd.DataFrame, np.ndarray]:
    return planted(60, 0)


@pytest.fixture(scope="module")
def unseen() -> pd.DataFrame:
    return planted(25, 1)[0]


@pytest.fixture(scope="module")
def fitted(train: tuple[pd.DataFrame, np.ndarray]) -> dict[str, Any]:
    return {name: build(name).fit(*train) for name in MODELS}


@every_model
def test_a_model_learns(name: str, fitted: dict[str, Any]) -> None:
    X, y = planted(200, 7)
    assert np.corrcoef(fitted[name].predict(X), y)[0, 1] > 0.8


@every_model
def test_predictions_are_finite_and_one_per_row(name: str, fitted: dict[str, Any], unseen: pd.DataFrame) -> None:
    predicted = fitted[name].predict(unseen)
    assert predicted.shape == (len(unseen),)
    assert np.isfinite(predicted).all()


@every_model
def test_fit_returns_the_model(name: str, train: tuple[pd.DataFrame, np.ndarray]) -> None:
    model = build(name)
    assert model.fit(*train) is model


@every_model
def test_inputs_are_not_mutated(name: str, train: tuple[pd.DataFrame, np.ndarray]) -> None:
    X, y = train[0].copy(), train[1].copy()
    y.flags.writeable = False
    build(name).fit(X, y).predict(X)
    pd.testing.assert_frame_equal(X, train[0])
    assert np.array_equal(y, train[1])


@every_model
def test_the_same_random_state_gives_the_same_result(
    name: str, fitted: dict[str, Any], train: tuple[pd.DataFrame, np.ndarray], unseen: pd.DataFrame
) -> None:
    assert np.array_equal(build(name).fit(*train).predict(unseen), fitted[name].predict(unseen))


@pytest.mark.parametrize("name", ["forest", "xgboost", "mlp"])
def test_the_random_state_matters_where_a_model_draws_numbers(
    name: str, fitted: dict[str, Any], train: tuple[pd.DataFrame, np.ndarray], unseen: pd.DataFrame
) -> None:
    assert not np.array_equal(build(name, seed=1).fit(*train).predict(unseen), fitted[name].predict(unseen))


@every_model
def test_the_global_generators_stay_untouched(name: str, train: tuple[pd.DataFrame, np.ndarray]) -> None:
    import torch

    def states() -> tuple[Any, ...]:
        kind, keys, *rest = np.random.get_state()  # noqa: NPY002 -- the global generator is what is looked at
        return random.getstate(), kind, np.asarray(keys).tolist(), rest, torch.get_rng_state().tolist()

    before = states()
    build(name).fit(*train).predict(train[0])
    assert states() == before


@every_model
def test_a_clone_is_unfitted_and_learns_the_same(
    name: str, fitted: dict[str, Any], train: tuple[pd.DataFrame, np.ndarray], unseen: pd.DataFrame
) -> None:
    copy = clone(fitted[name])
    assert repr(copy) == repr(fitted[name])
    with pytest.raises(NotFittedError):
        copy.predict(unseen)
    assert np.array_equal(copy.fit(*train).predict(unseen), fitted[name].predict(unseen))


@every_model
def test_one_row_equals_its_place_in_the_batch(name: str, fitted: dict[str, Any], unseen: pd.DataFrame) -> None:
    alone = np.concatenate([fitted[name].predict(unseen.iloc[[row]]) for row in range(len(unseen))])
    np.testing.assert_allclose(alone, fitted[name].predict(unseen), rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in MODELS if hasattr(make_model(name), "to_arrays")])
def test_arrays_hold_all_that_was_learned(name: str, fitted: dict[str, Any], unseen: pd.DataFrame) -> None:
    learned = fitted[name]
    arrays = learned.to_arrays()
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fi" for array in arrays.values())
    again = clone(learned).from_arrays({key: array.copy() for key, array in arrays.items()}, learned.feature_names_in_)
    assert again.n_features_in_ == learned.n_features_in_ == unseen.shape[1]
    assert again.predict(unseen).tobytes() == learned.predict(unseen).tobytes()
    assert all(np.array_equal(again.to_arrays()[key], array) for key, array in arrays.items())


@pytest.mark.parametrize("name", [name for name in MODELS if hasattr(make_model(name), "to_arrays")])
def test_there_are_no_arrays_before_fit(name: str) -> None:
    with pytest.raises(NotFittedError):
        make_model(name).to_arrays()


@every_model
def test_constant_columns_are_harmless(name: str, train: tuple[pd.DataFrame, np.ndarray], unseen: pd.DataFrame) -> None:
    constant = {"constant:zero": 0.0, "constant:large": 0.1 + 1e9}
    model = build(name).fit(train[0].assign(**constant), train[1])
    predicted = model.predict(unseen.assign(**constant))
    assert np.isfinite(predicted).all()
    assert np.abs(predicted - train[1].mean()).max() < 10 * np.ptp(train[1])


@every_model
def test_columns_that_never_vary_predict_the_mean(name: str) -> None:
    X = pd.DataFrame({"onehot:a": np.ones(20), "count:b": np.zeros(20)})
    y = np.linspace(1, 3, 20)
    np.testing.assert_allclose(build(name).fit(X, y).predict(X), np.full(20, 2.0), atol=0.2)


@every_model
def test_two_rows_are_enough(name: str, train: tuple[pd.DataFrame, np.ndarray], unseen: pd.DataFrame) -> None:
    assert np.isfinite(build(name).fit(train[0][:2], train[1][:2]).predict(unseen)).all()


@every_model
def test_more_columns_than_rows(name: str, train: tuple[pd.DataFrame, np.ndarray], unseen: pd.DataFrame) -> None:
    X, y = train[0][:12], train[1][:12]
    assert X.shape[0] < X.shape[1]
    predicted = build(name).fit(X, y).predict(unseen)
    assert np.abs(predicted - y.mean()).max() < 10 * np.ptp(y)


# -- by name ----------------------------------------------------------------------------------------------


def test_an_unknown_model_is_refused_with_the_allowed_names() -> None:
    with pytest.raises(
        InvalidInputError, match=r"unknown model 'rigde'; allowed: 'default', 'boosted', 'ridge'.*Did you mean 'ridge'"
    ):
        make_model("rigde")


@every_model
def test_the_random_state_is_passed_on(name: str) -> None:
    params = make_model(name, 17).get_params()
    assert params.get("random_state", 17) == 17
