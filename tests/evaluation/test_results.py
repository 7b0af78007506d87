"""An evaluation keeps what it takes to draw everything anew, in memory and in JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.evaluation import Evaluation, evaluate, learning_curve, score, summary
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate

SPACE = get_space("nasbench201")
CONFIGS = [f"C{channels}-N{cells}-k10-3x32x32" for channels in (8, 16, 32) for cells in (1, 2, 4)]
KEYS = ["model", "device", "metric", "unit", "seed", "n_train"]


def costs_of(archs: np.ndarray, configs: list[str]) -> np.ndarray:
    macs = np.array([SPACE.batch(arch, config).macs[0] for arch, config in zip(archs, configs, strict=True)])
    noise: np.ndarray = np.random.default_rng(0).normal(1, 0.03, len(archs))
    return (0.2 + macs / 1e7) * noise


@pytest.fixture(scope="module")
def table() -> CostTable:
    archs = np.repeat(SPACE.sample(20, 0), len(CONFIGS), axis=0)
    configs = CONFIGS * 20
    costs = costs_of(archs, configs)
    return CostTable(
        SPACE, archs, np.column_stack([costs, 3 * costs]), ["phone/latency", "phone/energy"], configs=configs
    )


@pytest.fixture(scope="module")
def held_out_configs(table: CostTable) -> Evaluation:
    return evaluate(table, Surrogate(encoder="layers", model="ridge"), split="config", seeds=range(2))


def test_scores_are_those_of_the_predictions(held_out_configs: Evaluation) -> None:
    assert len(held_out_configs.scores) == 4
    for _, row in held_out_configs.scores.iterrows():
        mine = held_out_configs.predictions
        for key in KEYS:
            mine = mine[mine[key] == row[key]]
        assert len(mine) == row["n"]
        expected = score(mine["measured"], mine["predicted"]).to_dict()
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        inside = (mine["measured"] >= mine["low"]) & (mine["measured"] <= mine["high"])
        assert row["coverage_90"] == inside.mean()
        assert row["coverage_80"] <= row["coverage_90"] <= row["coverage_95"]
        assert row["width_90"] == pytest.approx(((mine["high"] - mine["low"]) / mine["predicted"]).median())


def test_an_evaluation_shows_in_a_line(held_out_configs: Evaluation) -> None:
    n = len(held_out_configs.predictions)
    assert repr(held_out_configs) == f"Evaluation(scores: 4 of ridge on 2 targets; predictions: {n})"
    assert repr(Evaluation(pd.DataFrame(), pd.DataFrame(), {})) == "Evaluation(no fits)"


def test_measured_costs_are_the_tables(held_out_configs: Evaluation, table: CostTable) -> None:
    frame = held_out_configs.predictions
    latency = frame[frame["metric"] == "latency"]
    looked_up = table.lookup(latency["architecture"].tolist(), latency["config"].tolist(), "phone/latency")
    assert latency["measured"].tolist() == looked_up.iloc[:, 0].tolist()


def test_regret_is_in_parts_of_the_best_quality(table: CostTable) -> None:
    part = table.select("phone/latency")
    quality = np.arange(len(part), dtype=float)
    told = evaluate(part, Surrogate(encoder="layers", model="linear", calibrate=False), quality=quality, seeds=[0])
    assert 0 <= told.scores.loc[0, "regret"] < 1
    assert told.about["quality"] == "given"
    with pytest.raises(InvalidInputError, match=r"quality must hold a finite number for each of the table's 180 rows"):
        evaluate(part, quality=[1.0, 2.0])


def test_without_calibration_there_are_no_intervals(table: CostTable) -> None:
    told = evaluate(table.select("phone/latency"), Surrogate(encoder="layers", model="linear", calibrate=False))
    assert told.scores["coverage_90"].isna().all()
    assert told.predictions["low"].isna().all()


def test_distance_is_log2_to_the_nearest_config(held_out_configs: Evaluation) -> None:
    frame = held_out_configs.predictions
    assert (frame["distance"] > 0).all()
    for _, part in frame.groupby(["metric", "seed"]):
        tested = set(part["config"])
        trained = [config for config in CONFIGS if config not in tested]

        def sizes(config: str) -> np.ndarray:
            batch = SPACE.batch(SPACE.sample(20, 0), config)
            layers = [op.kind not in ("relu", "add", "view") for op in batch.distinct()]
            moved = batch.sums(
                [op.activation_bytes * layer for op, layer in zip(batch.distinct(), layers, strict=True)]
            )
            return np.log2([batch.macs.mean(), batch.params.mean(), moved.mean()])

        for config, told in part.groupby("config")["distance"]:
            expected = min(np.abs(sizes(str(config)) - sizes(other)).max() for other in trained)
            assert told.nunique() == 1
            assert told.iloc[0] == pytest.approx(expected, rel=0.05)


def test_errors_by_distance_count_every_prediction(held_out_configs: Evaluation) -> None:
    frame = held_out_configs.by_distance()
    assert frame["n"].sum() == len(held_out_configs.predictions)
    assert set(frame["log2_distance"]) <= {"0 to 0.25", "0.25 to 0.5", "0.5 to 1", "1 to 2", "over 2"}
    assert ((frame["within_10pct"] <= frame["within_20pct"]) & (frame["mdape"] >= 0)).all()
    first = frame.iloc[0]
    edges = {
        "0 to 0.25": (0, 0.25),
        "0.25 to 0.5": (0.25, 0.5),
        "0.5 to 1": (0.5, 1),
        "1 to 2": (1, 2),
        "over 2": (2, 99),
    }
    low, high = edges[first["log2_distance"]]
    mine = held_out_configs.predictions
    mine = mine[(mine["metric"] == first["metric"]) & (mine["distance"] >= low) & (mine["distance"] < high)]
    assert first["mdape"] == pytest.approx((mine["predicted"] / mine["measured"] - 1).abs().median())


def test_predictions_tell_which_networks_have_a_path(held_out_configs: Evaluation) -> None:
    frame = held_out_configs.predictions
    assert frame["connected"].tolist() == SPACE.connected(frame["architecture"].tolist()).tolist()
    assert frame["connected"].dtype == bool


# -- JSON -------------------------------------------------------------------------------------------------


def test_json_and_back(held_out_configs: Evaluation, tmp_path: Path) -> None:
    again = Evaluation.read(held_out_configs.write(tmp_path / "deep" / "here.json"))
    pd.testing.assert_frame_equal(again.scores, held_out_configs.scores, check_dtype=False, rtol=1e-8)
    pd.testing.assert_frame_equal(again.predictions, held_out_configs.predictions, check_dtype=False, rtol=1e-8)
    assert again.about == held_out_configs.about
    pd.testing.assert_frame_equal(again.by_distance(), held_out_configs.by_distance(), rtol=1e-6)
    cut_off = replace(held_out_configs, predictions=held_out_configs.predictions.assign(connected=False))
    assert not Evaluation.read(cut_off.write(tmp_path / "cut.json")).predictions["connected"].any()


def test_an_evaluation_of_an_earlier_version_is_read(held_out_configs: Evaluation, tmp_path: Path) -> None:
    path = held_out_configs.write(tmp_path / "old.json")
    said = json.loads(path.read_text())
    said.pop("cut_off")
    path.write_text(json.dumps(said))
    expected = held_out_configs.predictions.drop(columns="connected")
    pd.testing.assert_frame_equal(Evaluation.read(path).predictions, expected, check_dtype=False, rtol=1e-8)


def test_infinite_and_missing_numbers_come_back(table: CostTable, tmp_path: Path) -> None:
    few = evaluate(table.select("phone/latency"), Surrogate(encoder="layers", model="ridge"), n_train=8, n_test=20)
    few.predictions["high"] = np.inf
    path = few.write(tmp_path / "few.json")
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    again = Evaluation.read(path)
    assert np.isinf(again.predictions["high"]).all()
    assert again.scores["kendall_tau"].tolist() == pytest.approx(few.scores["kendall_tau"].tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said.update(format="else"), "no evaluation"),
        (lambda said: said.update(format_version=99), "format version 99, this version reads 1"),
        (lambda said: said.pop("architectures"), "damaged"),
        (lambda said: said["predictions"][0].update(measured=[1.0]), "damaged"),
        (lambda said: said["predictions"][0]["architecture"].append(10**6), "damaged"),
        (lambda said: said.update(scores="none"), "damaged"),
    ],
)
def test_what_is_no_evaluation_is_refused(
    change: Any, message: str, held_out_configs: Evaluation, tmp_path: Path
) -> None:
    path = held_out_configs.write(tmp_path / "here.json")
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))
    with pytest.raises(SavedFormatError, match=message):
        Evaluation.read(path)


def test_files_that_are_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SavedFormatError, match="can't be read"):
        Evaluation.read(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"format": "hwnas-eval')
    with pytest.raises(SavedFormatError, match="can't be read"):
        Evaluation.read(tmp_path / "half.json")


# -- learning curves --------------------------------------------------------------------------------------


def test_learning_curves_rise_on_the_same_held_out_rows(table: CostTable) -> None:
    surrogate = Surrogate(encoder="layers", model="xgboost", calibrate=False)
    curve = learning_curve(table, surrogate, sizes=[10, 40, 120], seeds=range(3))
    told = summary(curve.scores)
    assert told[["device", "metric", "n_train"]].to_numpy().tolist() == [
        ["phone", metric, n] for metric in ("latency", "energy") for n in (10.0, 40.0, 120.0)
    ]
    means = told[told["metric"] == "latency"]["kendall_tau"].tolist()
    assert means[0] < means[1] < means[2]
    frame = curve.predictions[(curve.predictions["seed"] == 1) & (curve.predictions["metric"] == "latency")]
    tested = {n: set(zip(part["architecture"], part["config"], strict=True)) for n, part in frame.groupby("n_train")}
    assert tested[10] == tested[40] == tested[120]
    assert curve.about["protocol"] == "learning-curve"


def test_default_sizes_go_as_far_as_the_costs(table: CostTable) -> None:
    curve = learning_curve(table.select("phone/latency"), Surrogate(encoder="layers", model="linear"), seeds=[0])
    assert curve.scores["n_train"].tolist() == [10, 20, 50, 100]
    with pytest.raises(InvalidInputError, match=r"phone/latency: a learning curve needs 10 costs"):
        learning_curve(table.rows(np.arange(8)))
    with pytest.raises(InvalidInputError, match="phone/latency: 180 architectures can't be split"):
        learning_curve(table, sizes=[170])


def test_joined_needs_something() -> None:
    with pytest.raises(InvalidInputError, match="no evaluation to join"):
        Evaluation.joined([])


@pytest.mark.parametrize("thing", [None, 3], ids=str)
def test_what_is_no_path_is_refused(thing: Any) -> None:
    """A small number was opened as a file descriptor."""
    with pytest.raises(InvalidInputError, match="a path must be a text"):
        Evaluation.read(thing)
