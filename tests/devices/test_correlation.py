"""Rank correlation of devices, against scipy on the pairs of columns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from hwnas_surrogate.data import BlockTable, CostTable
from hwnas_surrogate.devices import correlation
from hwnas_surrogate.devices.correlation import METHODS, Method
from hwnas_surrogate.errors import InvalidInputError, NotInTableError

TARGETS = ["cpu/latency", "cpu/energy", "gpu/latency"]
SCIPY: dict[str, Callable[..., Any]] = {
    "kendall": stats.kendalltau,
    "spearman": stats.spearmanr,
    "pearson": stats.pearsonr,
    "pearson_log": lambda first, second: stats.pearsonr(np.log(first), np.log(second)),
}
every_method = pytest.mark.parametrize("method", METHODS)


def table_of(costs: npt.ArrayLike) -> CostTable:
    values = np.asarray(costs, float)
    return CostTable("nasbench201", list(range(len(values))), values, TARGETS[: values.shape[1]])


@pytest.fixture
def costs() -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(0)
    common = rng.uniform(1, 5, 60)
    # Two of the columns hold ties.
    return np.column_stack([common, np.round(common + rng.normal(0, 0.5, 60), 1) + 2, np.round(9 - common)])


@every_method
def test_equals_scipy_on_clean_costs(costs: npt.NDArray[np.float64], method: Method) -> None:
    result = correlation(table_of(costs), method)
    assert list(result.index) == list(result.columns) == TARGETS
    for i in range(3):
        for j in range(3):
            assert result.iloc[i, j] == pytest.approx(SCIPY[method](costs[:, i], costs[:, j]).statistic)
    assert result.loc["cpu/latency", "gpu/latency"] < -0.8


@every_method
@pytest.mark.parametrize("levels", [3, None])
def test_equals_scipy_where_most_costs_are_missing(method: Method, levels: int | None) -> None:
    rng = np.random.default_rng(3)
    costs = 1 + (rng.uniform(1, 5, (150, 12)) if levels is None else rng.integers(0, levels, (150, 12)).astype(float))
    costs[rng.random(costs.shape) < 0.8] = np.nan
    names = [f"device{number}/latency" for number in range(12)]
    result = correlation(CostTable("nasbench201", list(range(150)), costs, names), method).to_numpy()
    compared = 0
    for i in range(12):
        for j in range(12):
            both = costs[~np.isnan(costs[:, [i, j]]).any(axis=1)][:, [i, j]]
            if len(both) < 2 or (np.ptp(both, axis=0) == 0).any():
                assert np.isnan(result[i, j])
            else:
                assert result[i, j] == pytest.approx(SCIPY[method](*both.T).statistic, abs=1e-12)
                compared += 1
    assert compared > 100


@every_method
def test_a_thousand_devices_with_most_costs_missing_are_quick(method: Method) -> None:
    rng = np.random.default_rng(0)
    costs = np.exp(rng.normal(size=(300, 1)) + 0.3 * rng.normal(size=(300, 1000)))
    costs[rng.random(costs.shape) < 0.9] = np.nan
    names = [f"device{number}/latency" for number in range(1000)]
    start = time.process_time()
    result = correlation(CostTable("nasbench201", list(range(300)), costs, names), method).to_numpy()
    assert time.process_time() - start < 4
    assert np.nanmedian(result) > 0.5


@every_method
def test_each_pair_uses_the_rows_that_both_have(costs: npt.NDArray[np.float64], method: Method) -> None:
    costs[:25, 0] = np.nan
    costs[20:40, 1] = np.nan
    result = correlation(table_of(costs), method)
    assert (result.to_numpy() == result.to_numpy().T).all()
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        both = ~np.isnan(costs[:, [i, j]]).any(axis=1)
        assert result.iloc[i, j] == pytest.approx(SCIPY[method](costs[both, i], costs[both, j]).statistic)
    assert np.diag(result) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("method", ["kendall", "spearman"])
def test_costs_closer_than_1e_9_are_ties(method: Method) -> None:
    clean = np.array([1.0, 1.0, 2.0, 2.0, 3.0])
    noisy = clean * (1 + 1e-13 * np.array([0, 1, 1, 0, 0]))
    assert stats.kendalltau(clean, noisy).statistic < 0.95
    assert correlation(table_of(np.column_stack([clean, noisy])), method).iloc[0, 1] == pytest.approx(1.0)


@every_method
def test_constant_columns_have_no_correlation_even_with_themselves(method: Method) -> None:
    varying = np.arange(1.0, 8.0)
    constant = np.full(7, 0.1)
    once = np.where(varying == 3, 4.0, np.nan)
    result = correlation(table_of(np.column_stack([varying, constant, once])), method).to_numpy()
    assert result[0, 0] == pytest.approx(1.0)
    assert np.isnan(result).sum() == 8


@every_method
def test_constant_in_the_common_rows_only(method: Method) -> None:
    nan = np.nan
    result = correlation(table_of([[1, 5], [2, 5], [3, 5], [nan, 6], [nan, 7]]), method)
    assert np.isnan(result.iloc[0, 1])
    assert np.diag(result) == pytest.approx([1, 1])


@every_method
def test_no_rows_in_common(method: Method) -> None:
    nan = np.nan
    result = correlation(table_of([[1, nan], [2, nan], [nan, 6], [nan, 7]]), method)
    assert np.isnan(result.iloc[0, 1])
    assert np.isnan(correlation(table_of(np.empty((0, 2))), method).to_numpy()).all()


def test_logarithms_are_of_costs_above_0() -> None:
    powers = np.array([1.0, 2.0, 3.0, 4.0])
    costs = np.column_stack([10**powers, 10 ** (2 * powers)])
    assert correlation(table_of(costs), "pearson").iloc[0, 1] < 0.999
    with_zero = np.vstack([costs, [0.0, 5.0]])
    assert correlation(table_of(with_zero), "pearson_log").iloc[0, 1] == pytest.approx(1.0, abs=1e-12)


def test_some_targets(costs: npt.NDArray[np.float64]) -> None:
    table = table_of(costs)
    everything = correlation(table)
    some = correlation(table, targets=["gpu/latency", "cpu/latency"])
    assert list(some.index) == ["gpu/latency", "cpu/latency"]
    assert some.equals(everything.loc[some.index, some.columns])
    assert list(correlation(table, targets="cpu").columns) == ["cpu/latency", "cpu/energy"]
    with pytest.raises(NotInTableError, match="Did you mean 'gpu/latency'"):
        correlation(table, targets="gpo/latency")


def test_the_table_is_not_changed(costs: npt.NDArray[np.float64]) -> None:
    costs[3, 0] = np.nan
    table = table_of(costs)
    before = table.costs.copy()
    correlation(table)
    assert np.array_equal(table.costs, before, equal_nan=True)


def test_an_unknown_method_is_refused(costs: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InvalidInputError, match="Did you mean 'kendall'"):
        correlation(table_of(costs), "kendal")  # type: ignore[arg-type]


@pytest.mark.parametrize("table", [BlockTable({}), [[1.0, 2.0]]], ids=["blocks", "list"])
def test_what_is_no_cost_table_is_refused(table: Any) -> None:
    with pytest.raises(InvalidInputError, match=rf"needs a cost table, got {type(table).__name__}.*tabulate"):
        correlation(table)


@every_method
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_many_targets_at_once_equal_scipy_pair_by_pair(method: Method, missing: float) -> None:
    rng = np.random.default_rng(1)
    costs = np.round(rng.uniform(1, 3, (40, 9)), 1)  # ties
    costs[rng.random(costs.shape) < missing] = np.nan
    table = CostTable("nasbench201", list(range(40)), costs, [f"device{k}/latency" for k in range(9)])
    result = correlation(table, method).to_numpy()
    for i in range(9):
        for j in range(i):
            both = ~np.isnan(costs[:, [i, j]]).any(axis=1)
            expected = SCIPY[method](costs[both, i], costs[both, j]).statistic
            assert result[i, j] == result[j, i] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["kendall", "spearman"])
def test_few_and_many_rows_are_compared_in_two_ways_with_one_result(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    costs = np.round(rng.uniform(1, 5, (200, 3)), 1)
    costs[:50, 0] = np.nan
    at_once = correlation(table_of(costs), method).to_numpy()
    monkeypatch.setattr(sys.modules[correlation.__module__], "_FEW_ROWS", 100)
    assert correlation(table_of(costs), method).to_numpy() == pytest.approx(at_once, abs=1e-12)


@every_method
def test_2000_devices_take_seconds(method: Method) -> None:
    rng = np.random.default_rng(3)
    costs = rng.uniform(1, 5, (60, 8)) @ rng.uniform(0, 1, (8, 2000))
    table = CostTable("nasbench201", list(range(60)), costs, [f"device{k}/latency" for k in range(2000)])
    begin = time.process_time()
    result = correlation(table, method)
    assert time.process_time() - begin < 10
    assert result.shape == (2000, 2000)


def test_a_spearman_matrix_of_many_rows_with_missing_costs_takes_seconds() -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(1, 5, (1000, 120))
    costs[rng.random(costs.shape) < 0.05] = np.nan
    table = CostTable("nasbench201", list(range(1000)), costs, [f"device{k}/latency" for k in range(120)])
    begin = time.process_time()
    result = correlation(table, "spearman").to_numpy()
    assert time.process_time() - begin < 5
    both = ~np.isnan(costs[:, [7, 100]]).any(axis=1)
    assert result[7, 100] == pytest.approx(stats.spearmanr(costs[both][:, [7, 100]]).statistic)


def test_huge_costs_correlate() -> None:
    costs = 1e306 * np.column_stack([np.arange(1.0, 9.0), np.arange(1.0, 9.0)[::-1]])
    assert correlation(table_of(costs), "pearson").iloc[0, 1] == pytest.approx(-1.0)
