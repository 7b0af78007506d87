"""Intervals of correlations, against slow references and published examples."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import write_parquet
from hwnas_surrogate.devices import correlation, correlation_interval
from hwnas_surrogate.devices.correlation import METHODS, Method
from hwnas_surrogate.devices.intervals import kendall_interval
from hwnas_surrogate.errors import InvalidInputError
from tests.tables import noisy, table_of

every_method = pytest.mark.parametrize("method", METHODS)


def slow_kendall(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[float, float]:
    """Tau-b and its asymptotic error as Brown and Benedetti have them: over the cells of a contingency table."""
    rows, columns = np.unique(x), np.unique(y)
    cells = np.array([[np.sum((x == row) & (y == column)) for column in columns] for row in rows], float)
    n = cells.sum()
    by_row, by_column = cells.sum(axis=1), cells.sum(axis=0)
    w_r, w_c = n**2 - (by_row**2).sum(), n**2 - (by_column**2).sum()
    w = np.sqrt(w_r * w_c)
    d = np.zeros_like(cells)
    for i, j in np.ndindex(*cells.shape):
        alike = cells[:i, :j].sum() + cells[i + 1 :, j + 1 :].sum()
        d[i, j] = alike - cells[:i, j + 1 :].sum() - cells[i + 1 :, :j].sum()
    tau = (cells * d).sum() / w
    v = by_row[:, None] * w_c + by_column * w_r
    variance = ((cells * (2 * w * d + tau * v) ** 2).sum() - n**3 * tau**2 * (w_r + w_c) ** 2) / w**4
    return tau, np.sqrt(variance)


def test_kendalls_interval_is_that_of_the_sas_manual() -> None:
    """SAS/STAT User's Guide, PROC FREQ, hypothetical pain data: tau-b .3373, 95 % limits .2114 and .4631."""
    cells = np.array([[26, 26, 23, 18, 9], [6, 7, 9, 14, 23]])
    dose, adverse = np.repeat(np.tile(range(5), 2), cells.ravel()), np.repeat(np.repeat(range(2), 5), cells.ravel())
    n, tau, low, high = kendall_interval(dose.astype(float), adverse.astype(float))
    assert n == 161
    assert (round(tau, 4), round(low, 4), round(high, 4)) == (0.3373, 0.2114, 0.4631)


@pytest.mark.parametrize("levels", [3, 10, 10_000])
@pytest.mark.parametrize("n", [4, 5, 17, 64, 65, 200])
def test_kendalls_interval_equals_the_slow_one(n: int, levels: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(0, levels, n).astype(float)
    y = x + rng.integers(0, levels, n)
    _, tau, low, high = kendall_interval(x, y, 0.9)
    slow, error = slow_kendall(x, y)
    assert tau == pytest.approx(slow) == pytest.approx(stats.kendalltau(x, y).statistic)
    reach = stats.norm.ppf(0.95) * error
    assert (low, high) == pytest.approx((max(slow - reach, -1), min(slow + reach, 1)))


def test_kendalls_interval_covers_what_it_says() -> None:
    """Of a normal pair with correlation r, tau is 2/pi asin(r)."""
    rng = np.random.default_rng(0)
    truth = 2 / np.pi * np.arcsin(0.6)
    inside = 0
    for _ in range(400):
        x, noise = rng.normal(size=(2, 100))
        _, _, low, high = kendall_interval(x, 0.6 * x + 0.8 * noise)
        inside += low <= truth <= high
    assert 0.91 <= inside / 400 <= 0.98


@every_method
def test_the_value_is_the_correlation_and_is_inside(method: Method) -> None:
    costs = noisy()
    costs[:20, 0], costs[70:, 2] = np.nan, np.nan
    table = table_of(costs)
    frame, matrix = correlation_interval(table, method), correlation(table, method)
    assert list(frame) == ["first", "second", "n", "value", "low", "high"]
    assert [tuple(pair) for pair in frame[["first", "second"]].to_numpy()] == list(combinations(matrix, 2))
    assert list(frame["n"]) == [60, 50, 70]
    for row in frame.itertuples():
        assert row.value == pytest.approx(matrix.loc[row.first, row.second], abs=1e-12)
    assert (frame["low"] < frame["value"]).all()
    assert (frame["value"] < frame["high"]).all()


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_the_bootstrap_equals_resampling_row_by_row(method: Method) -> None:
    costs = noisy(60, 2)
    frame = correlation_interval(table_of(costs), method, n_bootstrap=50, random_state=3)
    rng = np.random.default_rng(3)
    scipys = {"spearman": stats.spearmanr, "pearson": stats.pearsonr}[method]
    draws = [scipys(*costs[rng.integers(60, size=60)].T).statistic for _ in range(50)]
    assert frame[["low", "high"]].iloc[0].tolist() == pytest.approx(np.quantile(draws, [0.025, 0.975]).tolist())


@every_method
def test_more_confidence_is_wider_and_a_seed_repeats(method: Method) -> None:
    table = table_of(noisy())
    narrow, wide = (correlation_interval(table, method, confidence=part) for part in (0.5, 0.99))
    assert ((wide["high"] - wide["low"]) > (narrow["high"] - narrow["low"])).all()
    pd.testing.assert_frame_equal(wide, correlation_interval(table, method, confidence=0.99, random_state=0))


@every_method
def test_pairs_without_a_correlation_have_no_interval(method: Method) -> None:
    nan = np.nan
    columns = [[1, 2, 4, 3, 5, 7], [5] * 6, [nan] * 6, [2, 1, 3, nan, nan, nan], [nan, nan, nan, 1, 2, 3]]
    frame = correlation_interval(table_of(np.transpose(columns)), method).set_index(["first", "second"])
    assert np.isnan(frame.loc[("a/latency", "d/latency"), ["low", "high"]].astype(float)).all()
    assert not np.isnan(frame.loc[("a/latency", "d/latency"), "value"])
    for pair, n in [(("a/latency", "b/latency"), 6), (("a/latency", "c/latency"), 0), (("d/latency", "e/energy"), 0)]:
        assert frame.loc[pair, "n"] == n
        assert frame.loc[pair, ["value", "low", "high"]].isna().all()


@every_method
def test_one_target_and_no_row_are_empty_or_nan(method: Method) -> None:
    alone = correlation_interval(table_of(noisy()), method, "a/latency")
    assert alone.empty
    assert list(alone) == ["first", "second", "n", "value", "low", "high"]
    assert correlation_interval(table_of(np.empty((0, 2))), method)["value"].isna().all()


def test_wrong_arguments_of_an_interval_are_refused() -> None:
    table = table_of(noisy())
    with pytest.raises(InvalidInputError, match="Did you mean 'pearson_log'"):
        correlation_interval(table, "pearson-log")  # type: ignore[arg-type]
    for part in (0, 1, 95, True, "0.9"):
        with pytest.raises(InvalidInputError, match="confidence must be between 0 and 1"):
            correlation_interval(table, confidence=part)  # type: ignore[arg-type]
    for n in (0, 19, 2.5, True):
        with pytest.raises(InvalidInputError, match="n_bootstrap must be an integer of at least 20"):
            correlation_interval(table, n_bootstrap=n)  # type: ignore[arg-type]


def test_the_command_lists_intervals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = table_of(noisy(20))
    path = write_parquet(table, tmp_path / "table.parquet")
    with pytest.raises(SystemExit) as stop:
        main(["correlate", "--data", str(path), "--method", "pearson_log", "--intervals", "--json"])
    assert not stop.value.code
    expected = correlation_interval(table, "pearson_log").to_dict("records")
    assert json.loads(capsys.readouterr().out) == [pytest.approx(row) for row in expected]
