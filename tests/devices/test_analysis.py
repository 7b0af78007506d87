"""How devices relate, against slow references, published examples and structure that was planted."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import BlockTable, CostTable, load_table, write_parquet
from hwnas_surrogate.errors import DataFileError, InvalidInputError, NotInTableError
from hwnas_surrogate.evaluation import (
    Evaluation,
    additivity,
    cluster_devices,
    correlation,
    correlation_interval,
    disagreement,
    noise_against_error,
    pareto_front,
    principal_directions,
    proxies,
    read_quality,
    tied_ranks,
)
from hwnas_surrogate.evaluation.correlation import METHODS, Method
from hwnas_surrogate.evaluation.intervals import kendall_interval
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")
FIVE = ["a/latency", "b/latency", "c/latency", "d/latency", "e/energy"]
every_method = pytest.mark.parametrize("method", METHODS)


def table_of(costs: npt.ArrayLike, targets: list[str] = FIVE, **more: Any) -> CostTable:
    values = np.asarray(costs, float)
    return CostTable(SPACE, SPACE.at(np.arange(len(values))), values, targets[: values.shape[1]], **more)


def noisy(n: int = 80, t: int = 3, seed: int = 0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    costs = rng.uniform(1, 5, (n, 1)) + rng.uniform(0, 3, (n, t))
    costs[:, 1] = np.round(costs[:, 1])  # ties
    return costs


def counts(n: int) -> npt.NDArray[np.float64]:
    archs = SPACE.at(np.arange(n))
    return np.column_stack([(archs == op).sum(axis=1) for op in range(5)]).astype(float)


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


# -- intervals --------------------------------------------------------------------------------------------


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


# -- clusters ---------------------------------------------------------------------------------------------


def planted() -> pd.DataFrame:
    """Targets 0, 2, 4 belong together, and 1, 3."""
    groups = np.array([0, 1, 0, 1, 0])
    values = np.where(groups[:, None] == groups, 0.9, 0.2) + 0.02 * np.outer(range(1, 6), range(1, 6)) / 25
    np.fill_diagonal(values, 1.0)
    return pd.DataFrame(values, FIVE, FIVE)


def test_planted_clusters_are_found_and_stand_together() -> None:
    found = cluster_devices(planted())
    assert found.cluster.to_dict() == dict(zip(FIVE, [0, 1, 0, 1, 0], strict=True))
    assert sorted(found.order) == FIVE
    assert found.cluster[list(found.order)].tolist() == [0, 0, 0, 1, 1]
    assert found.silhouette > 0.8
    assert found.linkage.shape == (4, 4)


def test_planted_clusters_of_costs_are_found() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.uniform(1, 9, (200, 2))
    costs = kinds[:, [0, 1, 0, 1, 0]] + rng.uniform(0, 1, (200, 5))
    assert cluster_devices(correlation(table_of(costs))).cluster.tolist() == [0, 1, 0, 1, 0]


def test_devices_that_are_all_alike_are_one_cluster() -> None:
    rng = np.random.default_rng(1)
    costs = rng.uniform(1, 9, (300, 1)) + rng.uniform(0, 2, (300, 5))
    found = cluster_devices(correlation(table_of(costs)))
    assert set(found.cluster) == {0}
    assert np.isnan(found.silhouette)


def test_the_order_does_not_depend_on_the_order_of_the_matrix() -> None:
    matrix, other = planted(), [3, 0, 4, 2, 1]
    shuffled = cluster_devices(matrix.iloc[other, other])
    same = cluster_devices(matrix).order
    assert shuffled.order in (same, same[::-1])


def test_what_has_no_correlation_is_set_aside() -> None:
    matrix = planted()
    matrix.loc["b/latency"] = matrix["b/latency"] = np.nan
    found = cluster_devices(matrix)
    assert found.cluster["b/latency"] == -1
    assert found.order[-1] == "b/latency"
    assert found.cluster.drop("b/latency").tolist() == [0, 0, 1, 0]


def test_a_pair_without_correlation_counts_as_uncorrelated() -> None:
    matrix = planted()
    matrix.loc["a/latency", "b/latency"] = matrix.loc["b/latency", "a/latency"] = np.nan
    assert cluster_devices(matrix).cluster.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("values", "labels"),
    [([[1]], [0]), ([[np.nan]], [0]), ([[1, 0.1], [0.1, 1]], [0, 0]), (np.full((3, 3), np.nan), [-1, -1, -1])],
)
def test_few_targets_are_one_cluster(values: npt.ArrayLike, labels: list[int]) -> None:
    n = len(labels)
    found = cluster_devices(pd.DataFrame(values, FIVE[:n], FIVE[:n]))
    assert found.cluster.tolist() == labels
    assert set(found.order) == set(FIVE[:n])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), "is a DataFrame, got ndarray"),
        (pd.DataFrame(), "same names both ways"),
        (pd.DataFrame(np.eye(2), ["a", "b"], ["b", "a"]), "same names both ways"),
        (pd.DataFrame(np.eye(2), ["a", "a"], ["a", "a"]), "each once"),
        (pd.DataFrame([[1, 0.5], [0.4, 1]]), "symmetric"),
        (pd.DataFrame([[1, 2], [2, 1]]), "from -1 to 1"),
        (pd.DataFrame([["x"]]), "must be numbers"),
    ],
)
def test_what_is_no_correlation_matrix_is_refused(matrix: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        cluster_devices(matrix)


# -- principal directions ---------------------------------------------------------------------------------


def test_as_many_directions_as_were_planted() -> None:
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=5)
    found = principal_directions(table_of(np.exp(logs)))
    assert found.n_for(0.99) <= 2
    assert found.n_for(1.0) == 2
    assert found.n == 200
    # The same by the eigenvalues of the covariance.
    eigenvalues = np.linalg.eigvalsh(np.cov(logs.T))[::-1]
    np.testing.assert_allclose(found.explained_variance_ratio, eigenvalues / eigenvalues.sum(), atol=1e-12)
    assert list(found.loadings.index) == FIVE
    assert list(found.loadings.columns) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose((found.loadings**2).sum(), 1)
    assert (found.loadings.max() == found.loadings.abs().max()).all()


def test_a_faster_device_is_no_new_direction() -> None:
    base = noisy(50, 2)[:, :1]
    found = principal_directions(table_of(np.hstack([base, 7 * base, 0.1 * base])))
    assert found.n_for(0.999999) == 1
    np.testing.assert_allclose(found.loadings[1], 3**-0.5)


def test_only_rows_that_all_have_count() -> None:
    costs = noisy(60)
    missing = costs.copy()
    missing[:10, 0], missing[20:25, 2], missing[30, 1] = np.nan, np.nan, 0.0
    kept = np.r_[10:20, 25:30, 31:60]
    found, same = principal_directions(table_of(missing)), principal_directions(table_of(costs[kept]))
    assert found.n == len(kept)
    np.testing.assert_allclose(found.explained_variance_ratio, same.explained_variance_ratio)


def test_one_device_is_one_direction() -> None:
    assert principal_directions(table_of(noisy(10)), "a/latency").n_for() == 1


def test_principal_directions_of_nothing_are_refused() -> None:
    nan = np.nan
    with pytest.raises(InvalidInputError, match=r"got 0; a/latency has the fewest, 1 of 3"):
        principal_directions(table_of([[1, nan], [nan, 2], [nan, 3]]))
    with pytest.raises(InvalidInputError, match="the same in all 3 rows"):
        principal_directions(table_of([[1, 2]] * 3))
    with pytest.raises(InvalidInputError, match="at least 2 rows"):
        principal_directions(table_of(noisy()), [])
    for part in (0, 1.1, 99, True):
        with pytest.raises(InvalidInputError, match="the part must be above 0 and at most 1"):
            principal_directions(table_of(noisy())).n_for(part)


# -- proxies ----------------------------------------------------------------------------------------------


def test_proxies_equal_scipys_tau_with_sums_over_the_layers() -> None:
    archs = SPACE.at(np.arange(150))
    costs = 1 + counts(150) @ np.array([[0, 1], [0, 1], [2, 1.5], [9, 1], [0.5, 2]])
    costs[4:9, 0] = np.nan
    configs = ["cifar10"] * 75 + ["C4-N1-k10-3x8x8"] * 75
    frame = proxies(CostTable(SPACE, archs, costs, FIVE[:2], configs=configs)).set_index(["target", "proxy"])
    assert list(frame) == ["n", "kendall_tau", "low", "high"]
    sizes: dict[str, list[float]] = {"macs": [], "params": [], "layers": [], "activation_bytes": []}
    for arch, config in zip(archs, configs, strict=True):
        batch = SPACE.batch(arch, config)
        called = [(op, count) for op, count in zip(batch.distinct(), batch.counts()[0], strict=True) if count]
        for name in ("macs", "params", "activation_bytes"):
            sizes[name].append(sum(getattr(op, name) * count for op, count in called))
        busy = ("conv", "matmul", "avg_pool", "global_pool", "batch_norm")
        sizes["layers"].append(sum(count for op, count in called if op.kind in busy))
    for (target, proxy), row in frame.iterrows():
        column = costs[:, FIVE.index(target)]
        known = ~np.isnan(column)
        assert row["n"] == known.sum()
        expected = stats.kendalltau(tied_ranks(column[known]), np.array(sizes[proxy])[known]).statistic
        assert row["kendall_tau"] == pytest.approx(expected)
        assert row["low"] < expected < row["high"]


def test_a_device_priced_by_macs_has_tau_1_with_them() -> None:
    macs = SPACE.batch(np.arange(50)).macs
    frame = proxies(table_of(np.column_stack([macs, np.ones(50), np.full(50, np.nan)]))).set_index(["target", "proxy"])
    assert frame.loc[("a/latency", "macs"), ["kendall_tau", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    for target, n in (("b/latency", 50), ("c/latency", 0)):
        assert (frame.loc[target, "n"] == n).all()
        assert frame.loc[target, "kendall_tau"].isna().all()


# -- additivity -------------------------------------------------------------------------------------------


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


# -- noise ------------------------------------------------------------------------------------------------


def evaluation(*taus: float) -> Evaluation:
    rows = [("ridge", "a", "latency", "ms", seed, 100, tau, 0.05) for seed, tau in enumerate(taus)]
    columns = ["model", "device", "metric", "unit", "seed", "n_train", "kendall_tau", "mdape"]
    return Evaluation(pd.DataFrame(rows, columns=columns), pd.DataFrame(), {})


def test_noise_stands_beside_the_surrogates_score() -> None:
    costs = noisy(30, 2)
    repeats = np.repeat(costs[:, :, None], 5, axis=2)
    repeats[:, 0, 4] *= np.random.default_rng(0).uniform(0.9, 1.1, 30)
    repeats[:, 1] = np.nan
    table = table_of(costs, repeats=repeats)
    alone = noise_against_error(table)
    floor = next(iter(table.noise_floor().values()))
    assert alone["noise_tau"].iloc[0] == pytest.approx(floor["kendall_tau"])
    assert alone["n"].tolist() == [30, 0]
    assert np.isnan(alone["noise_tau"].iloc[1])
    beside = noise_against_error(table, evaluation(0.6, 0.8))
    assert beside["surrogate_tau"].iloc[0] == pytest.approx(0.7)
    assert beside["gap"].iloc[0] == pytest.approx(floor["kendall_tau"] - 0.7)
    assert beside["seeds"].iloc[0] == 2
    assert np.isnan(beside["surrogate_tau"].iloc[1])


def test_an_evaluation_of_other_targets_is_refused() -> None:
    table = table_of(noisy(), ["x/latency", "y/latency", "z/latency"])
    assert noise_against_error(table)["noise_tau"].isna().all()
    with pytest.raises(InvalidInputError, match="none is both"):
        noise_against_error(table, evaluation(0.5))
    with pytest.raises(InvalidInputError, match="must be an Evaluation, got DataFrame"):
        noise_against_error(table, pd.DataFrame())  # type: ignore[arg-type]


# -- disagreement -----------------------------------------------------------------------------------------


def test_the_op_by_which_two_devices_differ_is_found() -> None:
    n = 1000
    costs = counts(n) @ np.array([[0, 0], [1, 1], [3, 3], [9, 9], [1, 8]])
    found = disagreement(table_of(costs), "a/latency", "b/latency", n=7)
    assert found.effects["op"].iloc[0] == "avg_pool_3x3"
    assert found.effects["effect"].iloc[0] > 2 * found.effects["effect"].abs().iloc[1]
    assert found.effects["effect"].sum() == pytest.approx(0)
    assert found.r2 > 0.7
    assert found.r2_by_position >= found.r2
    assert set(found.effects_by_position["op"].iloc[:6]) == {"avg_pool_3x3"}
    assert set(found.effects_by_position["position"].iloc[:6]) == set(SPACE.position_names)
    for frame, sign in ((found.cheap_on_first, 1), (found.cheap_on_second, -1)):
        assert len(frame) == 7
        assert (sign * frame["difference"]).is_monotonic_decreasing
        assert (sign * frame["difference"] > 0).all()
    pools = [text.count("avg_pool_3x3") for text in found.cheap_on_first["architecture"]]
    assert min(pools) >= 2


def test_ranks_are_parts_of_the_architectures() -> None:
    found = disagreement(table_of([[1, 4], [2, 3], [3, 2], [4, 1], [np.nan, 9]]), "a", "b", n=1)
    assert found.n == 4
    row = found.cheap_on_first.iloc[0]
    assert row["architecture"] == SPACE.format_all([0])[0]
    assert row[["a/latency (ms)", "b/latency (ms)"]].tolist() == [1, 4]
    assert row[["rank_first", "rank_second", "difference"]].tolist() == [12.5, 87.5, 75.0]


def test_effects_equal_the_regression_on_differences_within_configs() -> None:
    n = 400
    prices = counts(n) @ np.array([[0, 0], [1, 2], [3, 1], [9, 7], [1, 8]])
    scale = np.where(np.arange(n) < 200, 1.0, 5.0)
    configs = ["cifar10"] * 200 + ["cifar100"] * 200
    found = disagreement(table_of(prices * scale[:, None], configs=configs), "a", "b")
    ranks = [100 * (stats.rankdata(tied_ranks(column)) - 0.5) / n for column in (prices * scale[:, None]).T]
    design = np.column_stack([counts(n)[:, 1:], scale == 1, np.ones(n)])
    slow = np.linalg.lstsq(design, ranks[1] - ranks[0], rcond=None)[0]
    effects = found.effects.set_index("op")["effect"]
    # Of the solutions of the collinear problem only differences between ops are unique.
    for op, value in zip(SPACE.ops[1:], slow, strict=False):
        assert effects[op] - effects["none"] == pytest.approx(value)


def test_devices_that_agree_have_nothing_to_list() -> None:
    costs = noisy(10, 2)[:, :1]
    found = disagreement(table_of(np.hstack([costs, 3 * costs])), "a", "b")
    assert found.cheap_on_first.empty
    assert found.cheap_on_second.empty
    assert np.isnan(found.r2)
    np.testing.assert_allclose(found.effects["effect"].dropna(), 0, atol=1e-9)


def test_an_op_that_no_architecture_has_has_no_effect() -> None:
    archs = [[1, 2, 3, 1, 2, 3], [3, 2, 1, 1, 2, 2], [2, 2, 2, 1, 1, 3]]
    found = disagreement(CostTable(SPACE, archs, [[1, 3], [2, 1], [3, 2]], FIVE[:2]), "a", "b")
    assert found.effects.set_index("op")["effect"].isna().to_dict() == {
        "none": True, "skip_connect": False, "nor_conv_1x1": False, "nor_conv_3x3": False, "avg_pool_3x3": True,
    }  # fmt: skip


def test_wrong_arguments_of_a_disagreement_are_refused() -> None:
    table = table_of([[1, np.nan], [2, np.nan], [np.nan, 3]])
    with pytest.raises(InvalidInputError, match=r"at least 2 rows in common, got 0 of 3"):
        disagreement(table, "a", "b")
    with pytest.raises(InvalidInputError, match="different targets, got a/latency twice"):
        disagreement(table, "a", "a/latency")
    with pytest.raises(NotInTableError, match="unknown target 'q'"):
        disagreement(table, "a", "q")
    two = table_of(noisy(5, 2), ["a/latency", "a/energy"])
    with pytest.raises(InvalidInputError, match=r"first must be one target, got 'a'"):
        disagreement(two, "a", "a/energy")
    for n in (0, 1.5, True):
        with pytest.raises(InvalidInputError, match="n must be an integer of at least 1"):
            disagreement(table, "a", "b", n)  # type: ignore[arg-type]


# -- fronts -----------------------------------------------------------------------------------------------


def slow_front(values: npt.NDArray[np.float64]) -> list[int]:
    """Rows that no other dominates, all smaller being better."""
    front = []
    for row, value in enumerate(values):
        if not ((values <= value).all(axis=1) & (values < value).any(axis=1)).any():
            front.append(row)
    return front


@pytest.mark.parametrize("objectives", [2, 3, 4])
@pytest.mark.parametrize("levels", [4, 1000])
def test_fronts_equal_the_brute_force_ones(objectives: int, levels: int) -> None:
    rng = np.random.default_rng(levels + objectives)
    values = rng.integers(1, levels, (300, objectives)).astype(float)
    table = table_of(values)
    rows = np.flatnonzero(SPACE.connected(table.archs))
    front = pareto_front(table, FIVE[:objectives])
    assert sorted(front.index) == rows[slow_front(values[rows])].tolist()
    assert front["a/latency"].is_monotonic_increasing
    larger = FIVE[1:objectives]
    signs = np.array([1] + [-1] * len(larger))
    front = pareto_front(table, FIVE[:objectives], larger)
    assert sorted(front.index) == rows[slow_front(values[rows] * signs)].tolist()


def test_networks_without_a_path_are_on_no_front_of_a_table() -> None:
    archs = SPACE.as_array(
        ["|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_3x3~1|none~2|", *SPACE.format_all([0, 1])]
    )
    assert SPACE.connected(archs).tolist() == [False, True, True]
    table = CostTable(SPACE, archs, [[0.01, 0.01], [2, 3], [3, 2]], FIVE[:2])
    front = pareto_front(table, ["a", "b"])
    assert list(front.index) == [1, 2]
    assert (front.attrs["n"], front.attrs["left_out"], front.attrs["cut_off"]) == (2, 0, 1)
    frame = pd.DataFrame(table.costs, columns=["a", "b"])
    assert list(pareto_front(frame, ["a", "b"]).index) == [0]
    for connected in (SPACE.connected(archs), pd.array([False, True, None], dtype="boolean")):
        front = pareto_front(frame.assign(connected=connected), ["a", "b"])
        assert list(front.index) == [1, 2]
        assert (front.attrs["n"], front.attrs["left_out"], front.attrs["cut_off"]) == (2, 0, 1)
    assert list(pareto_front(frame.assign(connected=["no", "yes", "yes"]), ["a", "b"]).index) == [0]
    assert disagreement(table, "a", "b").cheap_on_first["connected"].all()
    assert disagreement(table.rows([0, 2]), "a", "b").cheap_on_second.empty


def test_results_of_arrays_show_in_a_line() -> None:
    table = table_of(noisy())
    shown = [
        (cluster_devices(correlation(table)), "Clusters([["),
        (disagreement(table, "a", "b"), "Disagreement(a/latency and b/latency: n=80, r2=0."),
        (principal_directions(table), "PrincipalDirections(3 targets, n=80, explained: "),
    ]
    for result, start in shown:
        assert repr(result).startswith(start)
        assert len(repr(result)) < 120
        assert "\n" not in repr(result)


def test_ties_are_kept_even_if_rounding_breaks_them() -> None:
    frame = pd.DataFrame({"x": [1.0, 1.0, 1 + 1e-13, 2.0], "y": [3.0, 3.0, 3 + 1e-13, 1.0], "name": list("abcd")})
    front = pareto_front(frame, ["x", "y"])
    assert front["name"].tolist() == list("abcd")
    assert list(front) == ["x", "y", "name"]


def test_rows_without_a_value_are_left_out_and_counted() -> None:
    costs = np.array([[1, 5], [np.nan, 0], [2, np.nan], [3, 3], [4, 4]])
    front = pareto_front(table_of(costs), ["a", "b"])
    assert list(front.index) == [0, 3]
    assert front["architecture"].tolist() == SPACE.format_all([0, 3])
    assert (front.attrs["n"], front.attrs["left_out"]) == (3, 2)
    nothing = pareto_front(table_of(np.full((3, 2), np.nan)), ["a", "b"])
    assert nothing.empty
    assert list(nothing) == ["architecture", "config", "a/latency", "b/latency"]
    assert nothing.attrs["left_out"] == 3


def test_accuracies_by_architecture_are_one_more_objective(tmp_path: Path) -> None:
    table = table_of([[1.0], [2.0], [3.0], [4.0]])
    # In another order, with one that the table lacks, and without one that it has.
    texts = SPACE.format_all([3, 9, 1, 0])
    series = pd.Series([92.0, 99.0, 91.0, 91.0], index=texts)
    front = pareto_front(table, ["a"], accuracy=series)
    assert list(front.index) == [0, 3]
    assert front["accuracy"].tolist() == [91.0, 92.0]
    assert front.attrs["left_out"] == 1
    assert front.attrs["maximise"] == ["accuracy"]
    series.rename_axis("architecture").rename("top-1 (%)").to_csv(tmp_path / "accuracy.csv")
    pd.testing.assert_frame_equal(pareto_front(table, "a", accuracy=tmp_path / "accuracy.csv"), front)
    by_index = pd.Series(series.to_numpy(), index=[3, 9, 1, 0])
    both = pareto_front(table, ["a", "accuracy"], ["accuracy"], accuracy=by_index)
    pd.testing.assert_frame_equal(both, front)


def test_accuracies_of_fbnet_are_found() -> None:
    space = get_space("fbnet")
    archs = space.sample(5, 0)
    table = CostTable(space, archs, [[5.0], [4], [3], [2], [1]], FIVE[:1])
    accuracy = pd.Series([5.0, 4, 1, 2, 3], index=space.format_all(archs))
    assert list(pareto_front(table, "a", accuracy=accuracy).index) == [4, 1, 0]


def test_wrong_fronts_are_refused() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [2.0, np.inf], "z": ["a", "b"], "w": [1, 2]})
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: pareto_front(frame, ["x"]), "two or more different objectives"),
        (lambda: pareto_front(frame, ["x", "x"]), "two or more different objectives"),
        (lambda: pareto_front(frame, ["x", "q"]), "unknown objective 'q'"),
        (lambda: pareto_front(frame, ["x", "w"], ["y"]), "unknown objective to maximise 'y'"),
        (lambda: pareto_front(frame, ["x", "y"]), "y must be finite"),
        (lambda: pareto_front(frame, ["x", "z"]), "z must be a column of numbers"),
        (lambda: pareto_front(frame, ["x"], accuracy=frame["w"]), "goes with a cost table"),
        (lambda: pareto_front([[1.0]], ["x", "y"]), "a cost table or a DataFrame, got list"),  # type: ignore[arg-type]
        (lambda: pareto_front(table_of(noisy()), ["a"], accuracy=[1.0]), "must be a Series .* got list"),  # type: ignore[arg-type]
        (lambda: pareto_front(table_of(noisy()), ["a"], accuracy=pd.Series([1, 2], [0, 0])), "twice"),
        (lambda: pareto_front(table_of(noisy()), ["a"], accuracy=pd.Series(["x"], [0])), "must hold numbers"),
        (lambda: pareto_front(table_of(noisy(5, 2), ["a/latency", "a/energy"]), ["a", "x"]), "one target, got 'a'"),
    ]
    for call, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            call()
    with pytest.raises(NotInTableError, match="Did you mean 'a/latency'"):
        pareto_front(table_of(noisy()), ["a/latancy", "b"])


def test_qualities_are_read_in_every_form_of_architecture(tmp_path: Path) -> None:
    file = tmp_path / "quality.csv"
    text = SPACE.format_all([5])[0]
    file.write_text(f'accuracy,architecture\n93.5,{text}\n-0.5,17\n,"0,1,2,3,4,0"\n\n', encoding="utf-8")
    archs, values = read_quality(file)
    assert archs.dtype == np.int8
    assert archs.tolist() == [SPACE.at([5])[0].tolist(), SPACE.at([17])[0].tolist(), [0, 1, 2, 3, 4, 0]]
    np.testing.assert_array_equal(values, [93.5, -0.5, np.nan])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got nothing"),
        ("architecture\n1\n", "a column 'architecture' and one of numbers"),
        ("architecture,a,b\n1,2,3\n", "got architecture, a, b"),
        ("arch,accuracy\n1,2\n", "a column 'architecture'"),
        ("architecture,accuracy,accuracy\n1,2,3\n", "stands 2 times"),
        ("architecture,accuracy\n", "holds no architecture"),
        (
            "architecture,accuracy\n1,2\n99999,3\n1,4\n2,x\n3,inf\n",
            r"(?s)4 wrong lines.*line 3: .*0..15624.*line 4: .*line 2 too.*line 5: .*'x'.*line 6",
        ),
        ("architecture,accuracy\n1,2,3\n", "3 fields where the header has 2"),
        ("architecture,accuracy\n1,9_3.1\n", "line 2: accuracy must be a number, or empty, got '9_3.1'"),
        ("architecture,accuracy\n1,\u0661\u0662\n", "line 2: accuracy must be a number, or empty, got '\u0661\u0662'"),
    ],
)
def test_wrong_files_of_qualities_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataFileError, match=message):
        read_quality(tmp_path / "q.csv", "nasbench201")


def test_absent_and_unreadable_files_of_qualities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="there is no file"):
        read_quality(tmp_path / "absent.csv")
    with pytest.raises(DataFileError, match="is a folder"):
        read_quality(tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00,\x81")
    with pytest.raises(DataFileError, match="can't read"):
        read_quality(tmp_path / "binary.csv")


# -- every analysis of a table ----------------------------------------------------------------------------

ANALYSES: dict[str, Callable[[CostTable], Any]] = {
    "correlation_interval": correlation_interval,
    "principal_directions": principal_directions,
    "proxies": proxies,
    "additivity": additivity,
    "noise_against_error": noise_against_error,
    "disagreement": lambda table: disagreement(table, "a", "b"),
    "pareto_front": lambda table: pareto_front(table, ["a", "b"]),
}


@pytest.mark.parametrize("name", ANALYSES)
def test_tables_are_not_changed_and_ten_rows_do(name: str) -> None:
    costs = noisy(10)
    costs[2, 0] = np.nan
    table = table_of(costs)
    before, state = table.costs.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ANALYSES[name](table)
    np.testing.assert_array_equal(table.costs, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("name", [name for name in ANALYSES if name != "pareto_front"])
def test_what_is_no_cost_table_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"{name} needs a cost table, got BlockTable.*tabulate"):
        ANALYSES[name](BlockTable({}))  # type: ignore[arg-type]


@pytest.mark.real_data
def test_what_is_known_of_the_devices_of_help_is_found(shared_data: Path) -> None:
    """From peers.md: eyeriss and fpga are additive; raspi4 and pixel3 see compiled ops, R2 .982 and .967."""
    table = load_table(shared_data / "nasbench201_latency.npz", "nasbench201")
    assert isinstance(table, CostTable)
    frame = additivity(table).set_index("target")
    assert set(frame.index[frame["exact"]]) == {"eyeriss/latency", "fpga/latency"}
    assert set(frame.index[frame["best_view"] == "folded"]) == {"raspi4/latency", "pixel3/latency"}
    assert frame["r2_folded"][["raspi4/latency", "pixel3/latency"]].round(3).tolist() == [0.982, 0.967]
    labels = cluster_devices(correlation(table)).cluster
    assert len({labels[f"{gpu}_256/latency"] for gpu in ("1080ti", "titanx", "titanxp")}) == 1
    assert labels["1080ti_256/latency"] != labels["1080ti_1/latency"]
