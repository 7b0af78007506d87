"""Regressors of others are saved to the bit, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import BayesianRidge, HuberRegressor, Lasso, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor
from xgboost import XGBRegressor, XGBRFRegressor

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.models import AdditiveExact, LeaveOneOutRidge
from hwnas_surrogate.trainers import Surrogate

KEPT: list[Any] = [
    make_pipeline(StandardScaler(), Ridge()),
    make_pipeline(PolynomialFeatures(2), StandardScaler(), Lasso(0.1)),
    make_pipeline(StandardScaler(), RandomForestRegressor(n_estimators=5, random_state=0)),
    TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
    GradientBoostingRegressor(n_estimators=10, random_state=0),
    HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5),
    ExtraTreesRegressor(n_estimators=5, random_state=0),
    AdaBoostRegressor(n_estimators=5, random_state=0),
    DecisionTreeRegressor(random_state=0),
    KNeighborsRegressor(3),
    KNeighborsRegressor(3, algorithm="brute"),
    SVR(),
    KernelRidge(),
    BayesianRidge(),
    make_pipeline(StandardScaler(), HuberRegressor(max_iter=1000)),
    XGBRegressor(n_estimators=5, objective="reg:tweedie"),
    XGBRegressor(n_estimators=5, objective="reg:gamma", missing=0.0),
    XGBRegressor(n_estimators=3, num_parallel_tree=4, subsample=0.5),
    XGBRFRegressor(n_estimators=5),
    AdditiveExact("count_all"),
    LeaveOneOutRidge(alphas=(0.1, 1.0)),
]


class MyRidge(Ridge):
    """A model of a user's own."""


class MyAdditive(AdditiveExact):
    """A child of one of the package's models: loading would give its parent."""


def own_objective(costs: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return predicted - costs, np.ones_like(predicted)


REFUSED: list[tuple[Any, str]] = [
    (MyRidge(), "MyRidge"),
    (MyAdditive(), "MyAdditive"),
    (make_pipeline(StandardScaler(), MyRidge()), "test_weights.MyRidge"),
    (make_pipeline(StandardScaler(), AdditiveExact()), "AdditiveExact"),
    (XGBRegressor(n_estimators=5, booster="gblinear"), "must be gbtree, got gblinear. Supported are XGBRegressor and"),
    (XGBRegressor(n_estimators=5, booster="dart"), "must be gbtree, got dart. Supported"),
    (XGBRegressor(n_estimators=5, objective="survival:cox"), "got survival:cox. Supported"),
    (XGBRegressor(n_estimators=5, objective=own_objective), "its objective is a function. Supported"),
    (KNeighborsRegressor(3, algorithm="ball_tree"), "BallTree"),
    (GaussianProcessRegressor(alpha=0.1), "kernels"),
    (TransformedTargetRegressor(Ridge(), func=lambda y: y, inverse_func=lambda y: y), "lambda"),
]


@pytest.mark.parametrize("model", KEPT, ids=lambda model: str(model)[:60])
def test_it_is_saved_to_the_bit(
    model: Any, archs: np.ndarray, costs: np.ndarray, queries: np.ndarray, tmp_path: Path
) -> None:
    surrogate = Surrogate(encoder="counts", model=model).fit(archs, costs)
    loaded = Surrogate.load(surrogate.save(tmp_path))
    assert np.array_equal(loaded.predict(queries), surrogate.predict(queries))
    assert type(loaded.model_) is type(model)


def test_a_loaded_xgboost_keeps_its_settings_and_importances(
    archs: np.ndarray, costs: np.ndarray, tmp_path: Path
) -> None:
    model = XGBRFRegressor(n_estimators=5, max_depth=4, reg_lambda=0.5)
    surrogate = Surrogate(encoder="counts", model=model).fit(archs, costs)
    loaded = Surrogate.load(surrogate.save(tmp_path)).model_
    for name in ("n_estimators", "max_depth", "reg_lambda", "objective", "booster"):
        assert loaded.get_params()[name] == surrogate.model_.get_params()[name] or name in ("objective", "booster")
    assert np.array_equal(loaded.feature_importances_, surrogate.model_.feature_importances_)
    assert loaded.feature_names_in_.tolist() == surrogate.model_.feature_names_in_.tolist()
    assert loaded.get_booster().num_boosted_rounds() == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("model", "culprit"), REFUSED, ids=[culprit for _, culprit in REFUSED])
def test_it_is_refused_before_anything_is_written(
    model: Any, culprit: str, archs: np.ndarray, costs: np.ndarray, queries: np.ndarray, tmp_path: Path
) -> None:
    old = Surrogate(encoder="counts").fit(archs, costs)
    old.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    surrogate = Surrogate(encoder="counts", model=model).fit(archs, costs)
    with pytest.raises(SavedFormatError, match=rf"a {type(model).__name__} can't be saved.*{culprit}"):
        surrogate.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert np.array_equal(Surrogate.load(tmp_path).predict(queries), old.predict(queries))
