"""Additive costs are found exactly, and the ridge finds the columns that the costs depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import LinAlgError, svd
from sklearn.linear_model import LinearRegression, Ridge

from hwnas_surrogate.features import Combined, OneHot, OpCounts
from hwnas_surrogate.models import AdditiveExact, LeaveOneOutRidge
from hwnas_surrogate.spaces import NASBench201

SPACE = NASBench201()


def additive_costs(archs: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Price (position, op) pairs; two of the ops cost the same everywhere, so that many architectures tie."""
    prices = np.random.default_rng(5).uniform(0.1, 3, (SPACE.n_positions, len(SPACE.ops)))
    prices[:, 1] = prices[:, 0]
    return scale * (7.7 + prices[np.arange(SPACE.n_positions), archs].sum(axis=1))


def without_ties(archs: np.ndarray) -> np.ndarray:
    """Return for each architecture the one of equal cost in which op 1 is op 0."""
    return np.where(archs == 1, 0, archs).astype(np.int8)


@pytest.fixture(scope="module")
def everything() -> tuple[np.ndarray, pd.DataFrame]:
    archs = SPACE.enumerate()
    return archs, Combined().frame(archs)


@pytest.mark.parametrize("model", [AdditiveExact(), LeaveOneOutRidge()], ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e5])
def test_additive_costs_are_reproduced_from_124_architectures(
    model: AdditiveExact | LeaveOneOutRidge, scale: float, everything: tuple[np.ndarray, pd.DataFrame]
) -> None:
    archs, frame = everything
    costs = additive_costs(archs, scale)
    train = np.random.default_rng(0).permutation(len(archs))[:124]
    predicted = model.fit(frame.iloc[train], costs[train]).predict(frame)
    np.testing.assert_allclose(predicted, costs, rtol=1e-9)
    assert model.decimals_ is not None


@pytest.mark.parametrize("model", [AdditiveExact(), LeaveOneOutRidge()], ids=str)
def test_equal_costs_are_predicted_equal_to_the_bit(
    model: AdditiveExact | LeaveOneOutRidge, everything: tuple[np.ndarray, pd.DataFrame]
) -> None:
    archs, frame = everything
    train = np.random.default_rng(1).permutation(len(archs))[:124]
    predicted = model.fit(frame.iloc[train], additive_costs(archs)[train]).predict(frame)
    code_of = SPACE.codes(without_ties(archs))
    by_tie = pd.Series(predicted).groupby(code_of).nunique()
    assert len(by_tie) == 4**6
    assert (by_tie == 1).all()


def test_exact_tells_whether_the_costs_are_sums(everything: tuple[np.ndarray, pd.DataFrame]) -> None:
    archs, frame = everything
    rows = np.random.default_rng(2).permutation(len(archs))[:124]
    costs = additive_costs(archs)[rows]
    noisy = costs * (1 + 1e-6 * np.random.default_rng(3).standard_normal(124))
    assert AdditiveExact().fit(frame.iloc[rows], costs).exact_ is True
    assert AdditiveExact().fit(frame.iloc[rows], noisy).exact_ is False
    assert LeaveOneOutRidge().fit(frame.iloc[rows], costs).groups_ == ("onehot",)


@pytest.mark.parametrize("n", [2, 5, 24])
def test_fewer_rows_than_ops_are_never_taken_for_exact(n: int) -> None:
    archs = SPACE.sample(n, 4)
    costs = np.random.default_rng(4).uniform(1, 2, n)
    model = AdditiveExact().fit(OneHot().frame(archs), costs)
    assert model.exact_ is False
    assert model.decimals_ is None


def test_without_its_group_additive_sums_all_columns() -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = AdditiveExact().fit(X, X @ [1.0, 2.0, 3.0] + 4)
    np.testing.assert_allclose(model.coef_, [1, 2, 3], rtol=1e-9)
    assert model.intercept_ == pytest.approx(4, rel=1e-9)
    assert model.exact_


def test_additive_sums_its_group_only() -> None:
    archs = SPACE.sample(80, 0)
    model = AdditiveExact().fit(Combined().frame(archs), additive_costs(archs))
    assert not model.coef_[len(OneHot().get_feature_names_out()) :].any()


# -- the ridge --------------------------------------------------------------------------------------------


def compiled_costs(archs: np.ndarray) -> np.ndarray:
    counts = OpCounts(views=["folded"]).frame(archs)
    prices = {"none": 0.3, "skip_connect": 0.7, "nor_conv_1x1": 4.0, "nor_conv_3x3": 9.0, "avg_pool_3x3": 3.0}
    return 5.0 + sum(price * counts[f"count_folded:{op}"].to_numpy() for op, price in prices.items())


def test_the_ridge_finds_the_view_that_the_costs_depend_on(everything: tuple[np.ndarray, pd.DataFrame]) -> None:
    archs, frame = everything
    rows = np.random.default_rng(6).permutation(len(archs))[:80]
    costs = compiled_costs(archs)
    model = LeaveOneOutRidge().fit(frame.iloc[rows], costs[rows])
    assert "count_folded" in model.groups_
    onehot = OneHot().transform(archs)
    plain = LinearRegression().fit(onehot[rows], costs[rows])
    ridge_error = np.abs(model.predict(frame) - costs).mean()
    plain_error = np.abs(plain.predict(onehot) - costs).mean()
    assert ridge_error < 0.01 * plain_error
    assert model.loo_error_ < 0.1 * plain_error


def test_noise_is_predicted_as_about_its_mean() -> None:
    archs = SPACE.sample(400, 8)
    costs = 100 + np.random.default_rng(8).standard_normal(400)
    frame = Combined().frame(archs)
    model = LeaveOneOutRidge().fit(frame[:80], costs[:80])
    predicted = model.predict(frame[80:])
    assert abs(predicted.mean() - 100) < 0.4
    assert predicted.std() < 0.4
    assert 0.5 < model.loo_error_ < 1.1


def test_the_leave_one_out_error_is_that_of_leaving_each_out() -> None:
    rng = np.random.default_rng(9)
    X = pd.DataFrame(rng.normal(size=(30, 3)), columns=["g:a", "g:b", "g:c"])
    y = X.to_numpy() @ [1.0, -2.0, 0.5] + 10 + rng.normal(size=30)
    alpha = 1.0
    model = LeaveOneOutRidge(alphas=[alpha]).fit(X, y)
    standard = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    errors = []
    for row in range(30):
        kept = np.arange(30) != row
        A, b = standard[kept], y[kept]
        mean_A, mean_b = A.mean(axis=0), b.mean()
        centred = A - mean_A
        coef = np.linalg.solve(centred.T @ centred + alpha * np.eye(3), centred.T @ (b - mean_b))
        errors.append(abs(y[row] - mean_b - (standard[row] - mean_A) @ coef))
    assert model.loo_error_ == pytest.approx(np.mean(errors), rel=1e-9)
    assert (model.groups_, model.alpha_) == (("g",), alpha)


def test_columns_without_names_are_one_group() -> None:
    X = np.random.default_rng(0).normal(size=(50, 40))
    model = LeaveOneOutRidge().fit(X, X[:, 0] + 3)
    assert len(model.groups_) == 1
    np.testing.assert_allclose(model.predict(X), X[:, 0] + 3, atol=0.01)


def test_the_unit_of_the_columns_does_not_matter(everything: tuple[np.ndarray, pd.DataFrame]) -> None:
    archs, frame = everything
    rows = np.random.default_rng(6).permutation(len(archs))[:60]
    counts = frame.loc[:, [name.startswith("count") for name in frame.columns]].iloc[rows]
    costs = compiled_costs(archs[rows]) + np.random.default_rng(0).normal(0, 0.2, 60)
    expected = LeaveOneOutRidge().fit(counts, costs).predict(counts)
    np.testing.assert_allclose(LeaveOneOutRidge().fit(counts * 1e-9, costs).predict(counts * 1e-9), expected, rtol=1e-6)


def test_residuals_are_those_of_refitting_without_the_row(everything: tuple[np.ndarray, pd.DataFrame]) -> None:
    counts = [name for name in everything[1] if name.startswith("count_all:")]
    few = everything[1][counts].sample(40, random_state=0)
    costs = 1 + few[["count_all:nor_conv_3x3", "count_all:nor_conv_1x1"]].to_numpy() @ [0.5, 0.2]
    costs = costs * (1 + 0.1 * np.random.default_rng(1).normal(size=40))
    model = LeaveOneOutRidge(alphas=[0.1], reach=1e6).fit(few, costs)
    values = few.to_numpy()[:, np.flatnonzero(model.coef_)]
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    for row in range(0, 40, 7):
        others = np.arange(40) != row
        refitted = Ridge(model.alpha_).fit(scaled[others], costs[others])
        # The closed form keeps the columns' mean of all rows, refitting takes that of the others: nearly the same.
        assert model.residuals_[row] == pytest.approx(
            costs[row] - refitted.predict(scaled[[row]])[0], rel=0.02, abs=1e-3
        )


def test_choosing_the_columns_does_not_flatter_the_residuals(everything: tuple[np.ndarray, pd.DataFrame]) -> None:
    archs, frame = everything
    left, unseen = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(archs))[:600]
        costs = compiled_costs(archs[order]) + rng.normal(0, 3.0, 600)  # hardly more than noise: any columns may win
        model = LeaveOneOutRidge(reach=1e6).fit(frame.iloc[order[:50]], costs[:50])
        left.append(np.abs(model.residuals_).mean())
        unseen.append(np.abs(costs[50:] - model.predict(frame.iloc[order[50:]])).mean())
    assert np.mean(left) == pytest.approx(np.mean(unseen), rel=0.02)


@pytest.mark.parametrize("factor", [1000.0, 1e-3, 0.0])
def test_a_wild_cost_costs_little_accuracy(everything: tuple[np.ndarray, pd.DataFrame], factor: float) -> None:
    features = everything[1].sample(1000, random_state=0)
    costs = 1 + features[["count_all:nor_conv_3x3", "count_all:nor_conv_1x1"]].to_numpy() @ [0.5, 0.2]
    costs = costs * (1 + 0.05 * np.random.default_rng(1).normal(size=len(costs)))
    spoilt = costs[:100].copy()
    spoilt[3] *= factor
    errors = [
        np.abs(LeaveOneOutRidge().fit(features[:100], of).predict(features[100:]) - costs[100:]).mean()
        for of in (costs[:100], spoilt)
    ]
    assert errors[1] < 1.1 * errors[0]


def test_exact_sums_stay_exact_with_a_wild_cost_among_them(everything: tuple[np.ndarray, pd.DataFrame]) -> None:
    features = everything[1].sample(1000, random_state=0)
    costs = features[[name for name in features if name.startswith("onehot:")]].to_numpy() @ np.arange(1.0, 31.0)
    spoilt = costs[:200].copy()
    spoilt[[3, 50]] *= 1000
    model = LeaveOneOutRidge().fit(features[:200], spoilt)
    assert model.exact_
    assert np.allclose(model.predict(features), costs, rtol=1e-9)
    assert set(np.flatnonzero(np.abs(model.residuals_) > 1e-6)) == {3, 50}


def test_where_the_quick_decomposition_gives_up_another_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Combined().frame(SPACE.sample(80, 0))
    costs = frame["layers_all:sqrt_macs"].to_numpy() ** 1.5
    expected = LeaveOneOutRidge().fit(frame, costs)
    drivers = []

    def giving_up(*arguments: Any, lapack_driver: str = "gesdd", **options: Any) -> Any:
        drivers.append(lapack_driver)
        if lapack_driver == "gesdd":
            raise LinAlgError("SVD did not converge")
        return svd(*arguments, lapack_driver=lapack_driver, **options)

    monkeypatch.setattr("hwnas_surrogate.models.linear.svd", giving_up)
    found = LeaveOneOutRidge().fit(frame, costs)
    assert {"gesdd", "gesvd"} == set(drivers)
    assert found.groups_ == expected.groups_
    np.testing.assert_allclose(found.predict(frame), expected.predict(frame), rtol=1e-8)


def test_as_many_columns_as_rows_leave_no_outlier_to_tell() -> None:
    """There the others say of every cost what they like: pulling costs towards that would run away from all of them."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(22, 19))
        costs = 20 + X[:, :3] @ [3.0, 2.0, 1.0] + 0.3 * rng.normal(size=22)
        costs[5] += 12
        model = LeaveOneOutRidge(alphas=[1e-4]).fit(X, costs)
        assert np.abs(model.predict(X) - costs).max() < 12
        known = LeaveOneOutRidge(alphas=[1e-4]).fit(X[:, :3], costs)  # with few columns it is told, and pulled in
        assert np.abs(known.predict(X[:, :3]) - costs).max() > 9
