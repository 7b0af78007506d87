"""Prices by op that were planted, and least squares as scikit-learn has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.devices import additivity
from hwnas_surrogate.errors import InvalidInputError
from tests.tables import SPACE, counts, noisy, table_of


def test_planted_prices_are_recognised() -> None:
    n = 2000
    archs = SPACE.at(np.arange(n))
    rng = np.random.default_rng(0)
    by_count = 1 + counts(n) @ [0, 0.5, 2, 9, 1]
    by_position = 1 + rng.uniform(1, 2, (6, 5))[np.arange(6), archs].sum(axis=1)
    run = SPACE.executed(archs, "folded")
    compiled = 1 + sum(price * ((archs == op) & run).sum(axis=1) for op, price in enumerate([0, 0.5, 2, 9, 1]))
    product = np.exp(0.3 * counts(n) @ [0, 1, 2, 3, 1])
    costs = np.column_stack([by_count, by_position, compiled, product, np.ones(n)])
    frame = additivity(table_of(costs)).set_index("target")
    assert frame["exact"].tolist() == [True, True, False, False, True]
    assert frame["best_view"].tolist()[:3] == ["all", "all", "folded"]
    assert pd.isna(frame["best_view"].iloc[4])
    np.testing.assert_allclose(frame.loc["a/latency", ["r2_all", "r2_onehot"]].astype(float), 1)
    assert frame.loc["a/latency", "r2_live"] < 0.95
    assert frame.loc["b/latency", "r2_onehot"] == pytest.approx(1)
    assert frame.loc["b/latency", "r2_all"] < 0.9
    assert frame.loc["c/latency", "r2_folded"] == pytest.approx(1)
    assert frame.loc["d/latency", "r2_onehot"] < 0.99
    assert frame.loc["e/energy", ["r2_all", "r2_onehot"]].isna().all()


def test_r2_is_scikit_learns() -> None:
    from sklearn.linear_model import LinearRegression

    n = 300
    costs = np.random.default_rng(0).uniform(1, 2, n) + counts(n)[:, 3]
    costs[7] = np.nan
    known = ~np.isnan(costs)
    frame = additivity(table_of(costs[:, None]))
    expected = LinearRegression().fit(counts(n)[known], costs[known]).score(counts(n)[known], costs[known])
    assert frame["r2_all"].iloc[0] == pytest.approx(expected)
    assert frame["n"].iloc[0] == n - 1


def test_few_rows_say_nothing_about_one_hot() -> None:
    row = additivity(table_of(noisy(10))).iloc[0]
    assert np.isnan(row["r2_onehot"])
    assert 0 < row["r2_all"] < 1
    assert not row["exact"]
    empty = additivity(table_of(np.full((5, 1), np.nan))).iloc[0]
    assert empty["n"] == 0
    assert np.isnan(empty["r2_all"])
    assert not empty["exact"]
    assert additivity(table_of(np.empty((0, 1))))["best_view"].isna().tolist() == [True]


def test_additivity_is_of_one_config() -> None:
    table = table_of(noisy(6), configs=["cifar10"] * 3 + ["cifar100"] * 3)
    with pytest.raises(InvalidInputError, match=r"one network config, got 2"):
        additivity(table)
    assert len(additivity(table.select(configs="cifar10"))) == 3
