"""The default model: trees where they help, none where they don't."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.base import clone

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Combined
from hwnas_surrogate.models import BoostedRidge, LeaveOneOutRidge, make_model
from hwnas_surrogate.models.linear import candidates
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return Combined().frame(SPACE.sample(3000, 0))


def linear_costs(features: pd.DataFrame, noise: float = 0.02) -> npt.NDArray[np.float64]:
    counts = features[["count_all:nor_conv_3x3", "count_all:nor_conv_1x1"]].to_numpy()
    costs: npt.NDArray[np.float64] = 1 + counts @ [0.5, 0.2]
    return costs * (1 + noise * np.random.default_rng(1).normal(size=len(costs)))


def planted_costs(features: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return products of ops and a threshold, with noise: nothing that a sum over positions can say."""
    onehot = features[[name for name in features if name.startswith("onehot:")]].to_numpy().reshape(-1, 6, 5)
    product = onehot[:, 0, 3] * onehot[:, 5, 3] + onehot[:, 1, 4] * onehot[:, 3, 0] * 1.5
    heavy = features["count_all:nor_conv_3x3"].to_numpy() >= 3
    costs = 1 + product + 2 * heavy + 0.2 * features["count_all:nor_conv_1x1"].to_numpy()
    result: npt.NDArray[np.float64] = costs * (1 + 0.03 * np.random.default_rng(2).normal(size=len(costs)))
    return result


@pytest.mark.parametrize("n", [30, 100, 900])
def test_no_trees_for_a_sum(features: pd.DataFrame, n: int) -> None:
    costs = linear_costs(features)
    model, ridge = BoostedRidge().fit(features[:n], costs[:n]), LeaveOneOutRidge().fit(features[:n], costs[:n])
    assert model.trees_ is None
    assert np.array_equal(model.predict(features[n:]), ridge.predict(features[n:]))


def test_exact_sums_stay_exact(features: pd.DataFrame) -> None:
    costs = linear_costs(features, noise=0.0)
    model = BoostedRidge().fit(features[:400], costs[:400])
    assert model.exact_
    assert model.trees_ is None
    assert np.allclose(model.predict(features), costs, rtol=1e-9)


def test_trees_for_what_is_no_sum(features: pd.DataFrame) -> None:
    costs, n = planted_costs(features), 600
    errors: dict[str, list[float]] = {"boosted": [], "ridge": [], "xgboost": []}
    for seed in range(5):  # one split is too noisy to tell the two with trees apart
        order = np.random.default_rng(seed).permutation(len(costs))
        train, test = order[:n], order[2200:]
        for name, of in errors.items():
            model = make_model(name, 0).fit(features.iloc[train], costs[train])
            of.append(float(np.abs(model.predict(features.iloc[test]) - costs[test]).mean()))
            if name == "boosted":
                assert model.trees_ is not None
                assert 0 < model.gain_ < 1
    assert np.mean(errors["boosted"]) < 0.7 * np.mean(errors["ridge"])
    assert np.mean(errors["boosted"]) <= 1.05 * np.mean(errors["xgboost"])


def test_the_seed_decides_the_trees(features: pd.DataFrame) -> None:
    costs = planted_costs(features)[:200]
    fits = [BoostedRidge(n_trees=50, random_state=seed).fit(features[:200], costs) for seed in (0, 0, 1, None)]
    first, same, other, default = (fit.predict(features[600:900]) for fit in fits)
    assert np.array_equal(first, same)
    assert np.array_equal(first, default)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("n", [20, 40, 100])
@pytest.mark.parametrize("model", [LeaveOneOutRidge(), BoostedRidge(n_trees=30)], ids=["ridge", "boosted"])
@pytest.mark.parametrize("law", [linear_costs, planted_costs])
def test_held_out_rows_are_predicted_as_after_a_fit(
    features: pd.DataFrame, model: LeaveOneOutRidge, law: Callable[..., npt.NDArray[np.float64]], n: int
) -> None:
    costs, train, others = law(features)[:n], features[:n], features[n : n + 300]
    costs[3] *= 50
    tried = candidates(train.to_numpy(np.float64), Columns.of(train))
    expected = clone(model).fit(train, costs).predict(others)
    assert np.array_equal(clone(model).predict_held_out(train, costs, tried, others), expected)


def test_residuals_are_those_of_rows_not_seen(features: pd.DataFrame) -> None:
    costs = planted_costs(features)
    model = BoostedRidge().fit(features[:1500], costs[:1500])
    assert model.trees_ is not None
    seen = np.abs(costs[:1500] - model.predict(features[:1500])).mean()
    unseen = np.abs(costs[1500:] - model.predict(features[1500:])).mean()
    assert seen < 0.8 * unseen
    assert np.abs(model.residuals_).mean() == pytest.approx(unseen, rel=0.15)


def test_one_wild_cost_among_many_changes_little(features: pd.DataFrame) -> None:
    costs = planted_costs(features)
    wild = costs[:900].copy()
    wild[17] *= 1000
    clean, spoilt = (BoostedRidge().fit(features[:900], of).predict(features[900:]) for of in (costs[:900], wild))
    errors = [float(np.abs(predicted - costs[900:]).mean()) for predicted in (clean, spoilt)]
    assert errors[1] < 1.25 * errors[0]


def test_arrays_and_back(features: pd.DataFrame) -> None:
    costs = planted_costs(features)[:600]
    model = BoostedRidge(n_trees=50).fit(features[:600], costs)
    assert model.trees_ is not None
    again = BoostedRidge().from_arrays(model.to_arrays(), model.feature_names_in_)
    copied = pickle.loads(pickle.dumps(model))
    for other in (again, copied, copy.deepcopy(model), clone(model).fit(features[:600], costs)):
        assert np.array_equal(other.predict(features[600:]), model.predict(features[600:]))


def test_trees_predict_the_bits_of_their_booster(features: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    boosters = []
    boost = BoostedRidge._boost

    def noted(model: BoostedRidge, values: np.ndarray, residuals: np.ndarray) -> Any:
        boosters.append(boost(model, values, residuals))
        return boosters[-1]

    monkeypatch.setattr(BoostedRidge, "_boost", noted)
    model = BoostedRidge(n_trees=50).fit(features[:600], planted_costs(features)[:600])
    values = features[600:].to_numpy(np.float64)
    below = LeaveOneOutRidge.predict_values(model, values)
    expected = below + boosters[-1].inplace_predict(values[:, model.columns_]).astype(np.float64)
    assert np.array_equal(model.predict(features[600:]), expected)


@pytest.mark.parametrize("columns", [[0.0, 1.0], [0, 1000], [-1, 0], [[0]]], ids=str)
def test_columns_that_are_not_there_are_refused(columns: Any, features: pd.DataFrame) -> None:
    model = BoostedRidge(n_trees=20).fit(features[:600], planted_costs(features)[:600])
    arrays = model.to_arrays() | {"columns": np.array(columns)}
    with pytest.raises(InvalidInputError, match="columns must be a row of int64 from 0 to"):
        BoostedRidge().from_arrays(arrays, model.feature_names_in_)


@pytest.mark.parametrize(("n", "errors", "helped"), [(100, 1.5, False), (100, 2.5, True), (4000, 1.5, True)])
def test_few_rows_must_show_more_than_many(
    n: int, errors: float, helped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trees that leave so many standard errors less than the ridge are taken, or not."""
    less = np.random.default_rng(0).normal(size=n) * 0.1
    less += errors * less.std() / np.sqrt(n) - less.mean()

    class Trees:
        def inplace_predict(self, rows: np.ndarray) -> np.ndarray:
            return np.asarray(less[rows[:, 0].astype(int)])

    monkeypatch.setattr(BoostedRidge, "_boost", lambda *_: Trees())
    rows, ones = np.arange(n), np.ones(n)
    fold = (rows, rows, ones, np.zeros(n))
    columns = rows[:, None].astype(float)
    left, _, better = BoostedRidge()._cross_validate(columns, ones, ones > 0, [fold], ones)
    np.testing.assert_allclose(left, 1 - less)
    assert better is helped


def test_trees_must_help_what_they_stand_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ridge whose columns were chosen with the rows held out in view looks better without any help of trees."""

    class Trees:
        def inplace_predict(self, rows: np.ndarray) -> np.ndarray:
            return np.full(len(rows), -0.1)

    monkeypatch.setattr(BoostedRidge, "_boost", lambda *_: Trees())
    rows, ones = np.arange(200), np.ones(200)
    columns = rows[:, None].astype(float)
    for below, helped in ((0.5, False), (1.3, True)):  # leaves 0.5 and makes it 0.6; leaves -0.3 and makes it -0.2
        fold = (rows, rows, ones, np.full(200, below))
        assert BoostedRidge()._cross_validate(columns, ones, ones > 0, [fold], ones)[2] is helped
