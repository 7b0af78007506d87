"""Metrics other than times: what surrogates are fitted to, and what they give back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import METRICS, CostTable, read_measurements
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.evaluation import evaluate
from hwnas_surrogate.prediction import predict_batches
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, TransferSurrogate

SPACE = get_space("nasbench201")
BATCH = SPACE.batch(SPACE.sample(300, 0))
MS = (BATCH.macs / 1e8 + 0.02 * BATCH.counts().sum(axis=1)) * np.exp(
    0.02 * np.random.default_rng(0).normal(size=len(BATCH))
)
VALUES = {
    "latency": MS,
    "energy": 3 * MS,
    "throughput": 1000 / MS,
    "arithmetic_intensity": MS,
    "peak_memory": 2 * MS,
    "model_size": 4e-6 * BATCH.params,
    "accuracy": 94 - 20 / (1 + MS),
}
TRAIN, TEST = np.arange(50), np.arange(80, 300)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Surrogate]:
    return {name: Surrogate(metric=name).fit(BATCH.take(TRAIN), y[TRAIN]) for name, y in VALUES.items()}


def test_every_metric_is_tried() -> None:
    assert set(VALUES) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_costs_and_values_are_each_others_inverse(name: str) -> None:
    metric, values = METRICS[name], VALUES[name]
    costs = metric.to_cost(values)
    assert (costs >= 0).all()
    np.testing.assert_allclose(metric.from_cost(costs), values)
    assert (np.corrcoef(costs, values)[0, 1] > 0) is not metric.larger_is_better


@pytest.mark.parametrize("name", METRICS)
def test_predictions_are_in_the_metrics_unit(fitted: dict[str, Surrogate], name: str) -> None:
    predicted = fitted[name].predict(BATCH.take(TEST))
    assert np.median(np.abs(predicted / VALUES[name][TEST] - 1)) < 0.03
    assert fitted[name].score(BATCH.take(TEST), VALUES[name][TEST]) > 0.95


@pytest.mark.parametrize("name", METRICS)
def test_intervals_hold(fitted: dict[str, Surrogate], name: str) -> None:
    low, high = fitted[name].predict_interval(BATCH.take(TEST)).T
    predicted = fitted[name].predict(BATCH.take(TEST))
    assert (low <= predicted).all()
    assert (predicted <= high).all()
    assert np.isfinite(high).all()
    held = ((low <= VALUES[name][TEST]) & (VALUES[name][TEST] <= high)).mean()
    assert held > 0.8


def test_a_throughput_is_the_inverse_of_the_time_for_an_image(fitted: dict[str, Surrogate]) -> None:
    """Same splits, same model: to the last digit that a power of two of the unit leaves."""
    time = Surrogate().fit(BATCH.take(TRAIN), 1 / VALUES["throughput"][TRAIN])
    np.testing.assert_allclose(fitted["throughput"].predict(BATCH), 1 / time.predict(BATCH), rtol=1e-12)
    low, high = time.predict_interval(BATCH).T
    np.testing.assert_allclose(fitted["throughput"].predict_interval(BATCH), np.stack([1 / high, 1 / low], 1))


@pytest.mark.parametrize("name", METRICS)
def test_a_budget_is_a_limit_on_the_worse_side(fitted: dict[str, Surrogate], name: str) -> None:
    values = VALUES[name][TEST]
    limit = float(np.median(values))
    good = values >= limit if METRICS[name].larger_is_better else values <= limit
    likely = fitted[name].predict_within(BATCH.take(TEST), limit)
    assert likely[good].mean() > 0.8 > 0.2 > likely[~good].mean()


@pytest.mark.parametrize("metric", ["throughput", "accuracy"])
def test_every_network_has_at_least_nothing(fitted: dict[str, Surrogate], metric: str) -> None:
    some = BATCH.take([0, 1, 2])
    assert (fitted[metric].predict_within(some, [0.0, -1.0, 0.0]) == 1).all()
    mixed = fitted[metric].predict_within(some, [0.0, 60.0, 1e9])
    assert mixed[0] == 1
    assert mixed[1] == fitted[metric].predict_within(some.take([1]), 60.0)[0]
    assert mixed[2] == 0


def test_what_was_fitted_stays_what_it_is() -> None:
    surrogate = Surrogate(metric="throughput").fit(BATCH.take(TRAIN), VALUES["throughput"][TRAIN])
    expected = surrogate.predict(BATCH)
    assert np.array_equal(surrogate.set_params(metric="latency").predict(BATCH), expected)


@pytest.mark.parametrize("values", [[0.91, 0.92, 0.93], [1.0, 0.5, 0.0]])
def test_fractions_are_no_percentages(values: list[float]) -> None:
    with pytest.raises(InvalidInputError, match=r"accuracy is in %, got (0.93|1) at most: multiply fractions by 100"):
        Surrogate(metric="accuracy").fit([0, 1, 2], values)
    with pytest.raises(InvalidInputError, match="board/accuracy is kept in %"):
        CostTable("nasbench201", [0, 1, 2], np.array(values)[:, None], ["board/accuracy"])


def test_an_accuracy_is_never_above_its_limit() -> None:
    """The best networks lie at 99.9 %: what is missing can't be negative."""
    y = 100 - 5 / (1 + MS**3)
    surrogate = Surrogate(metric="accuracy").fit(BATCH.take(TRAIN), y[TRAIN])
    assert surrogate.predict(BATCH).max() <= 100
    assert surrogate.predict_interval(BATCH).max() <= 100


def test_accuracies_know_no_layer_physics(fitted: dict[str, Surrogate]) -> None:
    assert not fitted["accuracy"].physical
    assert not any(name.startswith("physics") for name in fitted["accuracy"].columns_)


@pytest.mark.parametrize(
    ("metric", "wrong", "allowed"),
    [
        ("latency", -1.0, "finite and not negative"),
        ("throughput", 0.0, "finite and above 0"),
        ("throughput", 1e-310, "finite and above 0"),
        ("throughput", np.inf, "finite and above 0"),
        ("accuracy", 100.5, "from 0 to 100"),
        ("accuracy", -0.5, "from 0 to 100"),
        ("peak_memory", np.inf, "finite and not negative"),
    ],
)
def test_values_that_cannot_be_get_one_clear_error(metric: str, wrong: float, allowed: str) -> None:
    costs = [50.0, 60.0, wrong]
    with pytest.raises(InvalidInputError, match=rf"costs must be {allowed}, got {wrong} in row 2"):
        Surrogate(metric=metric).fit([0, 1, 2], costs)
    with pytest.raises(InvalidInputError, match=rf"board/{metric}: costs must be {allowed}"):
        SurrogateSuite().fit([0, 1, 2], {f"board/{metric}": costs})
    with pytest.raises(InvalidInputError, match=rf"costs must be {allowed} .* for board/{metric} in row 2"):
        CostTable("nasbench201", [0, 1, 2], np.array(costs)[:, None], [f"board/{metric}"])


@pytest.mark.parametrize("metric", ["fps", ["latency"], None])
def test_an_unknown_metric_is_refused(metric: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"unknown metric .*; allowed: 'latency'"):
        Surrogate(metric=metric).fit([0, 1, 2], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("metric", ["throughput", "accuracy"])
def test_a_suite_takes_the_metric_of_its_target(fitted: dict[str, Surrogate], metric: str, tmp_path: Path) -> None:
    table = CostTable("nasbench201", BATCH.archs, VALUES[metric][:, None], [f"board/{metric}"])
    suite = SurrogateSuite().fit_table(table.rows(TRAIN))
    expected = fitted[metric].predict(BATCH)
    np.testing.assert_array_equal(suite.predict(BATCH).to_numpy()[:, 0], expected)
    suite.save(tmp_path / "suite")
    again = SurrogateSuite.load(tmp_path / "suite")
    np.testing.assert_array_equal(again.predict(BATCH).to_numpy()[:, 0], expected)
    (frame,) = predict_batches(again, [0], budgets={f"board/{metric}": 50.0})
    assert any(name.startswith(f"P(board/{metric} >= 50 ") for name in frame)


def test_a_saved_surrogate_knows_its_metric(fitted: dict[str, Surrogate], tmp_path: Path) -> None:
    folder = fitted["throughput"].save(tmp_path / "saved")
    np.testing.assert_array_equal(Surrogate.load(folder).predict(BATCH), fitted["throughput"].predict(BATCH))
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"metric": "throughput"', '"metric": "speed"'))
    with pytest.raises(SavedFormatError):
        Surrogate.load(folder)


@pytest.mark.parametrize("metric", ["throughput", "accuracy"])
def test_ten_measurements_adapt(metric: str) -> None:
    values = VALUES[metric]
    new = TransferSurrogate(metric=metric).fit(BATCH.take(TRAIN[:15]), values[:15])
    assert new.score(BATCH.take(TEST), values[TEST]) > 0.8
    np.testing.assert_allclose(new.left_out_["measured"], values[:15])


def test_sources_of_throughput_help_with_latency() -> None:
    table = CostTable("nasbench201", BATCH.archs, VALUES["throughput"][:, None], ["old/throughput"])
    source = SurrogateSuite().fit_table(table.rows(TRAIN))
    new = TransferSurrogate(sources=source).fit(BATCH.take(TRAIN[:8]), MS[:8])
    assert new.score(BATCH.take(TEST), MS[TEST]) > 0.97


def test_held_out_scores_count_the_best_as_the_cheapest() -> None:
    targets = ["a/latency", "a/throughput"]
    table = CostTable("nasbench201", BATCH.archs, np.column_stack([MS, 1000 / MS]), targets)
    scores = evaluate(table, n_train=80, n_test=200, seeds=[0]).scores.set_index("metric")
    for name in ("kendall_tau", "top_10pct_recall", "regret", "overrun", "coverage_90"):
        assert scores.loc["throughput", name] == pytest.approx(scores.loc["latency", name], abs=1e-9), name


def test_a_front_maximises_what_is_better_if_larger() -> None:
    table = CostTable(
        "nasbench201", BATCH.archs, np.column_stack([MS, VALUES["accuracy"]]), ["a/latency", "a/accuracy"]
    )
    front = pareto_front(table, ["a/latency", "a/accuracy"])
    assert front.attrs["maximise"] == ["a/accuracy"]
    assert len(front) > 50  # accuracy grows with latency here: hardly any beats another


@pytest.mark.parametrize(
    ("header", "target", "factor"),
    [
        ("board (images/s)", "board/throughput", 1.0),
        ("board_images/s", "board/throughput", 1.0),
        ("board (FPS)", "board/throughput", 1.0),
        ("board_throughput", "board/throughput", 1.0),
        ("board_peak_memory (MB)", "board/peak_memory", 1e6 / 2**20),
        ("board/peak_memory (GiB)", "board/peak_memory", 1024.0),
        ("board_model_size_MiB", "board/model_size", 1.048576),
        ("board_accuracy", "board/accuracy", 1.0),
        ("board (%)", "board/accuracy", 1.0),
    ],
)
def test_files_name_metrics_and_units(header: str, target: str, factor: float, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(f"arch_str,{header}\n" + "".join(f"{SPACE.format(arch)},{10 + arch}\n" for arch in range(3)))
    table = read_measurements(path)
    assert list(map(str, table.targets)) == [target]
    np.testing.assert_allclose(sorted(table.costs[:, 0]), np.array([10.0, 11, 12]) * factor)


def test_bytes_alone_name_no_metric(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(f"arch_str,board_MB\n{SPACE.format(0)},10\n")
    with pytest.raises(Exception, match=r"MB is a unit of peak_memory or model_size: name which"):
        read_measurements(path)
