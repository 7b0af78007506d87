"""Predictions of streams and files are those of batches, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hwnas_surrogate.data import Target
from hwnas_surrogate.errors import (
    DataFileError,
    InvalidArchitectureError,
    InvalidConfigError,
    InvalidInputError,
    NotInTableError,
)
from hwnas_surrogate.prediction import predict_batches, predict_file, streaming
from hwnas_surrogate.trainers import SurrogateSuite, encoded
from tests.graph_tables import zoo_table
from tests.tables import noisy, table_of
from tests.trainers.conftest import SPACE, planted_costs

LATENCY, ENERGY = "phone/latency (ms)", "phone/energy (mJ)"


@pytest.fixture(scope="module")
def suite() -> SurrogateSuite:
    archs = SPACE.sample(300, 3)
    costs = planted_costs(archs)
    failed = (archs[:, 5] == 4).astype(bool)
    return SurrogateSuite().fit(
        archs,
        {"phone/latency": costs, "phone/energy": np.where(failed, np.nan, 2 * costs)},
        failed={"phone/energy": failed},
    )


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BATCH", 7)


def forms(archs: np.ndarray) -> dict[str, Any]:
    texts = SPACE.format_all(archs)
    return {
        "an array": archs,
        "strings": texts,
        "indices": SPACE.index(archs).tolist(),
        "op lists": archs.tolist(),
        "a generator": (text for text in texts),
        "a mixture": [texts[0], *archs[1:]],
    }


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("form", list(forms(SPACE.sample(3, 0))))
def test_streams_give_what_batches_give(suite: SurrogateSuite, form: str) -> None:
    archs = SPACE.sample(30, 5)
    frames = list(predict_batches(suite, forms(archs)[form], coverage=0.8, budgets={"phone/latency": 5.0}))
    assert [len(frame) for frame in frames] == [7, 7, 7, 7, 2]
    frame = pd.concat(frames, ignore_index=True)
    assert frame["architecture"].tolist() == SPACE.format_all(archs)
    latency, energy = suite["phone/latency"], suite["phone/energy"]
    np.testing.assert_allclose(frame[LATENCY], latency.predict(archs), rtol=1e-12)
    np.testing.assert_allclose(
        frame[[f"{LATENCY} low", f"{LATENCY} high"]], latency.predict_interval(archs, coverage=0.8), rtol=1e-12
    )
    np.testing.assert_allclose(frame["P(phone/latency <= 5 ms)"], latency.predict_within(archs, 5.0), rtol=1e-12)
    np.testing.assert_allclose(frame["P(phone/energy has a cost)"], energy.predict_has_cost(archs), rtol=1e-6)
    assert "P(phone/latency has a cost)" not in frame


@pytest.mark.parametrize("batch", [1, 4, 6, 7])
@pytest.mark.parametrize(
    "stream",
    [
        [0, 1, 2, 3, 4, 0] * 2,
        np.array([0, 1, 2, 3, 4, 0] * 2),
        np.array([0, 1, 2, 3, 4, 0] * 2, np.int8),
        pd.Series([0, 1, 2, 3, 4, 0] * 2),
        torch.tensor([0, 1, 2, 3, 4, 0] * 2),
    ],
    ids=lambda stream: type(stream).__name__,
)
def test_integers_of_a_stream_are_indices_however_many_come_at_once(
    suite: SurrogateSuite, stream: Any, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH", batch)
    frame = pd.concat(predict_batches(suite, stream), ignore_index=True)
    assert frame["architecture"].tolist() == SPACE.format_all(SPACE.at([0, 1, 2, 3, 4, 0] * 2))


@pytest.mark.parametrize("batch", [1, 4, 6, 7])
@pytest.mark.parametrize("rows", [pd.Series, list, tuple, torch.tensor, lambda row: np.array(row, np.uint8)])
def test_rows_of_a_stream_are_op_lists(
    suite: SurrogateSuite, rows: Any, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH", batch)
    archs = SPACE.sample(12, 8)
    frame = pd.concat(predict_batches(suite, map(rows, archs.tolist())), ignore_index=True)
    assert frame["architecture"].tolist() == SPACE.format_all(archs)


@pytest.mark.usefixtures("small_batches")
def test_a_stream_may_have_other_op_numbers(suite: SurrogateSuite) -> None:
    archs = SPACE.sample(20, 8)
    numbers = SPACE.to_convention(archs, "naslib").tolist()
    mixed = [*numbers[:10], *SPACE.format_all(archs[10:])]
    frame = pd.concat(predict_batches(suite, mixed, convention="naslib"), ignore_index=True)
    assert frame["architecture"].tolist() == SPACE.format_all(archs)
    with pytest.raises(InvalidArchitectureError, match="architecture 8 of the stream: an index is no op list"):
        list(predict_batches(suite, [*numbers[:8], 3], convention="naslib"))
    with pytest.raises(InvalidInputError, match="allowed: 'naslib'"):
        next(predict_batches(suite, numbers, convention="mine"))


def test_a_suite_reads_a_flat_sequence_as_a_surrogate_does(suite: SurrogateSuite) -> None:
    ops = [0, 1, 2, 3, 4, 0]
    for form in (ops, np.array(ops), np.array(ops, np.int8), pd.Series(ops), torch.tensor(ops)):
        expected = suite["phone/latency"].predict([ops])
        assert suite.predict(form).shape == (1, 2)
        np.testing.assert_array_equal(suite.predict(form)["phone", "latency", "ms"], expected)
        np.testing.assert_array_equal(suite["phone/latency"].predict(form), expected)
    frame = pd.DataFrame(SPACE.sample(5, 0).astype(int))
    rows = frame.apply(lambda row: suite["phone/latency"].predict(row)[0], axis=1)
    np.testing.assert_allclose(rows, suite["phone/latency"].predict(frame), rtol=1e-12)


def test_nothing_gives_nothing(suite: SurrogateSuite) -> None:
    assert list(predict_batches(suite, [])) == []


@pytest.mark.usefixtures("small_batches")
def test_each_architecture_may_have_its_config() -> None:
    archs = SPACE.sample(120, 3)
    configs = ["cifar10", "C8-N2-k10-3x32x32", "C12-N3-k10-3x24x24"] * 40
    costs = np.array([float(SPACE.batch(a, c).macs[0]) for a, c in zip(archs, configs, strict=True)])
    suite = SurrogateSuite(calibrate=False).fit(archs, {"phone/latency": costs / 1e6}, configs)
    frame = pd.concat(predict_batches(suite, archs[:20], iter(configs[:20])), ignore_index=True)
    np.testing.assert_allclose(frame[LATENCY], suite.predict(archs[:20], configs[:20]).iloc[:, 0], rtol=1e-12)
    default = pd.concat(predict_batches(suite, archs), ignore_index=True)
    np.testing.assert_allclose(default[LATENCY], suite.predict(archs, "cifar10").iloc[:, 0], rtol=1e-12)
    with pytest.raises(InvalidConfigError, match="one per architecture"):
        list(predict_batches(suite, archs, configs[:10]))
    for n in (6, 7, 8, 14):  # batches hold seven
        with pytest.raises(InvalidConfigError, match=f"one per architecture: got more than {n} for {n}"):
            list(predict_batches(suite, archs[:n], iter(configs)))
        frames = list(predict_batches(suite, archs[:n], iter(configs[:n])))
        assert sum(map(len, frames)) == n
    with pytest.raises(InvalidConfigError, match="got more than 0 for 0"):
        list(predict_batches(suite, [], iter(configs)))


def test_one_config_may_be_a_mapping(suite: SurrogateSuite, tmp_path: Path) -> None:
    config = {"name": "infer.tiny", "C": 16, "N": 5, "num_classes": 10}
    archs = SPACE.sample(5, 0)
    (expected,) = predict_batches(suite, archs, "cifar10")
    (frame,) = predict_batches(suite, archs, config)
    pd.testing.assert_frame_equal(frame, expected)
    predict_file(suite, written(tmp_path / "in.csv", archs), tmp_path / "out.parquet", config)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), expected)


@pytest.mark.parametrize("budget", [np.float32(3), np.int64(3), Decimal(3), Fraction(3), np.array(3.0)], ids=repr)
def test_budgets_are_real_numbers_of_any_type(suite: SurrogateSuite, budget: Any) -> None:
    (frame,) = predict_batches(suite, [0, 1], targets="phone/latency", budgets={"phone/latency": budget})
    np.testing.assert_allclose(
        frame["P(phone/latency <= 3 ms)"], suite["phone/latency"].predict_within([0, 1], 3), rtol=1e-12
    )


def test_coverage_is_a_real_number_of_any_type(suite: SurrogateSuite) -> None:
    for coverage in (np.float32(0.75), Decimal("0.75"), Fraction(3, 4)):
        (frame,) = predict_batches(suite, [0, 1], "cifar10", coverage=coverage)
        (expected,) = predict_batches(suite, [0, 1], "cifar10", coverage=0.75)
        pd.testing.assert_frame_equal(frame, expected)
        bounds = suite.predict_interval([0, 1], coverage=coverage)
        pd.testing.assert_frame_equal(bounds, suite.predict_interval([0, 1], coverage=0.75))


@pytest.mark.usefixtures("small_batches")
def test_the_wrong_one_is_named_by_its_place(suite: SurrogateSuite) -> None:
    stream = predict_batches(suite, [0] * 9 + [15_625])
    assert len(next(stream)) == 7
    with pytest.raises(InvalidArchitectureError, match=r"architecture 9 of the stream: .*15625"):
        next(stream)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"budgets": {"phone/latency": -1.0}}, InvalidInputError, "budget of phone/latency must be a number above 0"),
        ({"budgets": {"phone/latency": True}}, InvalidInputError, "above 0, got True"),
        ({"budgets": {"tablet/latency": 5.0}}, NotInTableError, "tablet/latency"),
        ({"budgets": {"phone/energy": 5.0}, "targets": "phone/latency"}, InvalidInputError, "not among the targets"),
        ({"budgets": {"phone": 3}}, InvalidInputError, "stands for phone/latency, phone/energy: name one"),
        ({"budgets": {"phone/latency": 3, Target("phone", "latency"): 5}}, InvalidInputError, "two for phone/latency"),
        ({"budgets": {"phone/latency": [3.0]}}, InvalidInputError, r"above 0, got \[3\.0\]"),
        ({"budgets": {"phone/latency": "3"}}, InvalidInputError, "above 0, got '3'"),
        ({"coverage": 90}, InvalidInputError, "coverage must be a number between 0 and 1"),
        ({"targets": "tablet"}, NotInTableError, "tablet"),
    ],
)
def test_wrong_questions_are_refused(
    suite: SurrogateSuite, asked: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        next(predict_batches(suite, [0, 1], **asked))


CONFIGS = ["cifar10", "C8-N2-k10-3x32x32", "C12-N3-k10-3x24x24"] * 10


@pytest.mark.parametrize("configs", [None, "cifar10", CONFIGS])
def test_large_batches_are_cut_and_put_together_again(
    suite: SurrogateSuite, configs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    archs, budgets = SPACE.sample(30, 5), np.linspace(1, 9, 30)
    energy = suite["phone/energy"]

    def told() -> list[Any]:
        return [
            energy.predict(archs, configs, extrapolate=True),
            energy.predict_interval(archs, configs, extrapolate=True),
            energy.predict_within(archs, budgets, configs, extrapolate=True),
            energy.predict_has_cost(archs, configs, extrapolate=True),
            suite.predict(archs, configs, extrapolate=True),
            suite.predict_interval(archs, configs, extrapolate=True),
            suite.predict_has_cost(archs, configs, extrapolate=True),
        ]

    whole = told()
    monkeypatch.setattr(encoded, "BATCH", 7)
    for one, other in zip(whole, told(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12)


def test_nothing_has_no_costs_but_all_columns(suite: SurrogateSuite) -> None:
    energy = suite["phone/energy"]
    for configs in (None, "cifar10", []):
        assert energy.predict([], configs).shape == (0,)
        assert energy.predict_interval([], configs).shape == (0, 2)
        assert energy.predict_within([], 5.0, configs).shape == (0,)
        assert energy.predict_has_cost([], configs).shape == (0,)
        assert suite.predict([], configs).shape == (0, 2)
        assert suite.predict_interval([], configs).shape == (0, 4)


def test_memory_of_a_batch_is_that_of_its_answers(suite: SurrogateSuite) -> None:
    archs = np.tile(SPACE.enumerate(), (6, 1))
    tracemalloc.start()
    intervals = suite["phone/latency"].predict_interval(archs)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    features = len(archs) * suite["phone/latency"].n_features_in_ * 8
    assert intervals.nbytes < most < 0.6 * features


def test_memory_does_not_grow_with_the_stream(suite: SurrogateSuite) -> None:
    def peak(n: int) -> int:
        stream: Iterator[int] = (number % 15_625 for number in range(n))
        tracemalloc.start()
        assert sum(len(frame) for frame in predict_batches(suite, stream, targets="phone/latency")) == n
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(9000)
    assert peak(60_000) < 1.3 * peak(20_000)


# -- files ------------------------------------------------------------------------------------------------


def written(path: Path, archs: np.ndarray, column: str = "architecture") -> Path:
    texts = SPACE.format_all(archs)
    if path.suffix == ".txt":
        path.write_text("\n".join([*texts, "", ""]))
        return path
    values = archs.tolist() if column == "op_index" else texts
    frame = pd.DataFrame({"number": range(len(archs)), column: values})
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("in.parquet", "architecture"),
        ("in.parquet", "arch_str"),
        ("in.parquet", "op_index"),
        ("in.csv", "arch_str"),
        ("in.txt", ""),
    ],
)
@pytest.mark.parametrize("output", ["out.parquet", "out.csv"])
def test_files_give_what_batches_give(
    suite: SurrogateSuite, source: str, column: str, output: str, tmp_path: Path
) -> None:
    archs = SPACE.sample(30, 6)
    path = tmp_path / output
    assert predict_file(suite, written(tmp_path / source, archs, column), path, coverage=0.9) == 30
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    assert frame["architecture"].tolist() == SPACE.format_all(archs)
    np.testing.assert_allclose(frame[LATENCY], suite["phone/latency"].predict(archs), rtol=1e-12)
    assert (frame[f"{LATENCY} low"] < frame[LATENCY]).all()


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("source", ["in.parquet", "in.csv", "in.txt"])
def test_files_may_have_other_op_numbers(suite: SurrogateSuite, source: str, tmp_path: Path) -> None:
    archs = SPACE.sample(20, 8)
    numbers = SPACE.to_convention(archs, "naslib").tolist()
    path, texts = tmp_path / source, [str(tuple(row)) for row in numbers]
    if path.suffix == ".txt":
        path.write_text("\n".join(texts))
    elif path.suffix == ".csv":
        pd.DataFrame({"architecture": texts}).to_csv(path, index=False)
    else:
        pd.DataFrame({"op_index": numbers}).to_parquet(path)
    assert predict_file(suite, path, tmp_path / "out.parquet", convention="naslib") == 20
    assert pd.read_parquet(tmp_path / "out.parquet")["architecture"].tolist() == SPACE.format_all(archs)


def test_a_column_of_configs_is_followed_and_kept(tmp_path: Path) -> None:
    archs = SPACE.sample(90, 3)
    configs = ["cifar10", "C8-N2-k10-3x32x32", "C12-N3-k10-3x24x24"] * 30
    costs = np.array([float(SPACE.batch(a, c).macs[0]) for a, c in zip(archs, configs, strict=True)])
    suite = SurrogateSuite(calibrate=False).fit(archs, {"phone/latency": costs / 1e6}, configs)
    pd.DataFrame({"arch_str": SPACE.format_all(archs), "config": configs}).to_csv(tmp_path / "in.csv", index=False)
    predict_file(suite, tmp_path / "in.csv", tmp_path / "out.parquet")
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame["config"].tolist() == configs
    np.testing.assert_allclose(frame[LATENCY], suite.predict(archs, configs).iloc[:, 0], rtol=1e-12)


@pytest.fixture(scope="module")
def configured() -> SurrogateSuite:
    """Return a suite that predicts for any config: costs are multiply-adds."""
    archs, configs = SPACE.sample(90, 3), ["cifar10", "C8-N2-k10-3x32x32", "C12-N3-k10-3x24x24"] * 30
    costs = np.array([float(SPACE.batch(a, c).macs[0]) for a, c in zip(archs, configs, strict=True)])
    return SurrogateSuite(model="ridge", calibrate=False).fit(archs, {"phone/latency": costs / 1e6}, configs)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("key", ["op_index", "Op_Index", " op_index "])
@pytest.mark.parametrize("name", ["config", "Config", " config", "CONFIG ", "dataset", "Dataset"])
def test_columns_are_known_whatever_their_case(
    configured: SurrogateSuite, name: str, key: str, suffix: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"id": ["x", "y"], name: ["C8-N2-k10-3x32x32", "cifar10"], key: [0, 7]})
    path = tmp_path / f"in.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    told: list[Any] = []
    assert predict_file(configured, path, tmp_path / "out.parquet", "cifar100", ignored=told.append) == 2
    predicted = pd.read_parquet(tmp_path / "out.parquet")
    expected = configured.predict([0, 7], ["C8-N2-k10-3x32x32", "cifar10"]).iloc[:, 0]
    np.testing.assert_allclose(predicted[LATENCY], expected, rtol=1e-12)
    assert predicted["config"].tolist() == ["C8-N2-k10-3x32x32", "cifar10"]
    assert told == [("id",)]


@pytest.mark.usefixtures("small_batches")
def test_other_columns_are_told_once(suite: SurrogateSuite, tmp_path: Path) -> None:
    pd.DataFrame({"op_index": range(20), "id": "x", "accuracy": 93.0}).to_csv(tmp_path / "in.csv", index=False)
    told: list[Any] = []
    assert predict_file(suite, tmp_path / "in.csv", tmp_path / "out.csv", ignored=told.append) == 20
    assert told == [("id", "accuracy")]
    pd.DataFrame({"op_index": range(20)}).to_csv(tmp_path / "in.csv", index=False)
    predict_file(suite, tmp_path / "in.csv", tmp_path / "out.csv", ignored=told.append)
    assert len(told) == 1


def test_a_file_of_excels_and_an_index_of_pandas_are_read(suite: SurrogateSuite, tmp_path: Path) -> None:
    for name, text in (("in.csv", "op_index\n0\n7\n"), ("in.txt", "0\n7\n")):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert predict_file(suite, tmp_path / name, tmp_path / "out.csv") == 2
    pd.DataFrame({"id": ["x", "y"]}, index=pd.Index([0, 7], name="op_index")).to_parquet(tmp_path / "in.parquet")
    assert predict_file(suite, tmp_path / "in.parquet", tmp_path / "out.csv") == 2
    assert pd.read_csv(tmp_path / "out.csv")["architecture"].tolist() == SPACE.format_all([0, 7])


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        (
            "in.csv",
            "architecture,op_index\n0,1\n",
            DataFileError,
            "of architectures, got 'architecture' and 'op_index'",
        ),
        ("in.csv", "op_index,Op_Index\n0,1\n", DataFileError, "column of architectures, got 'op_index' and 'Op_Index'"),
        ("in.csv", "op_index,op_index\n0,1\n", DataFileError, "column of architectures, got 'op_index' and 'op_index'"),
        ("in.csv", "op_index,config,dataset\n0,a,b\n", DataFileError, "column of configs, got 'config' and 'dataset'"),
        (
            "in.csv",
            "op_index\n0,1,2,3,4,0\n",
            DataFileError,
            "nothing was predicted.*\n.*line 2: 6 fields .*has 1 .quote",
        ),
        ("in.csv", "op_index\n012340\n", InvalidArchitectureError, "'012340' is no index.*'0,1,2,3,4,0'"),
        ("in.txt", "7\n012340\n", InvalidArchitectureError, "'012340' is no index.*'0,1,2,3,4,0'"),
        ("in.csv", "name,cost\na,1\n", DataFileError, r"no column architecture, arch_str, op_index; it has name, cost"),
        ("in.csv", "", DataFileError, "no column .*; it has none"),
        ("in.csv", "arch_str\n", InvalidInputError, "holds no architecture"),
        ("in.csv", "arch_str\n3\nhello\n", InvalidArchitectureError, "architecture 1 of the stream.*hello"),
        ("in.parquet", "no parquet", DataFileError, "can't be read"),
        ("in.txt", "\n\n", InvalidInputError, "holds no architecture"),
        ("in.json", "[]", InvalidInputError, r"must end in .parquet, .csv, .txt, got 'in.json'"),
    ],
)
def test_files_that_make_no_sense_leave_what_stood_there(
    suite: SurrogateSuite, name: str, content: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(error, match=message):
        predict_file(suite, tmp_path / name, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {name, "out.csv"}


@pytest.mark.usefixtures("small_batches")
def test_a_wrong_line_far_down_is_named_by_its_number(suite: SurrogateSuite, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("3\n" * 20 + "99999\n")
    with pytest.raises(InvalidArchitectureError, match=r"architecture 20 of the stream: .*99999"):
        predict_file(suite, tmp_path / "in.txt", tmp_path / "out.csv")


def test_a_missing_file_and_a_strange_output_are_refused(suite: SurrogateSuite, tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="there is no file"):
        predict_file(suite, tmp_path / "in.csv", tmp_path / "out.csv")
    with pytest.raises(InvalidInputError, match=r"must end in .parquet, .csv, got 'out.xlsx'"):
        predict_file(suite, written(tmp_path / "in.csv", SPACE.sample(3, 0)), tmp_path / "out.xlsx")


def test_graphs_come_as_a_batch_a_list_or_a_mapping() -> None:
    table = zoo_table(1)
    of_graphs = SurrogateSuite(None, model="ridge", calibrate=False).fit_table(table)
    graphs = table.batch.graphs  # type: ignore[attr-defined]
    named = dict(zip(table.names, graphs, strict=True))
    frames = [pd.concat(predict_batches(of_graphs, form)) for form in (table.batch, list(graphs), named)]
    for frame in frames[1:]:
        assert frame.drop(columns="model").equals(frames[0].drop(columns="model"))
    assert frames[2]["model"].tolist() == list(table.names)
    of_archs = SurrogateSuite(model="ridge", calibrate=False).fit_table(table_of(noisy(20, 2)))
    for form in (table.batch, list(graphs), named):
        with pytest.raises(InvalidInputError, match="was trained on architectures, and can't predict graphs"):
            list(predict_batches(of_archs, form))
