"""Conversion writes all figures to a parquet file that others can read, or leaves what was there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hwnas_surrogate.data.accuracy import AccuracyTable, NASBench201API, convert_accuracy
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from tests.data.accuracy.databases import write


def test_other_programs_read_the_columns(content: dict[str, Any], converted: Path) -> None:
    frame = pd.read_parquet(converted)
    row = frame.query("hp == '200' and dataset == 'cifar100' and set == 'x-test' and arch_index == 1 and seed == 888")
    training = content["arch2infos"][1]["full"]["all_results"]["cifar100", 888]
    (accuracy,), (seconds,) = row["accuracy"], row["seconds"]
    assert accuracy.tolist() == [training["eval_acc1es"][f"x-test@{epoch}"] for epoch in range(4)]
    assert row["last_loss"].item() == training["eval_losses"]["x-test@3"]
    assert row["all_seconds"].item() == pytest.approx(sum(seconds))
    trained = frame.query("hp == '12' and dataset == 'cifar10' and set == 'train' and arch_index == 5")
    assert trained["flops"].item() == content["arch2infos"][5]["less"]["all_results"]["cifar10", 777]["flop"]
    assert len(frame.query("set == 'train'")) == 5 * 12 - 1


def test_rows_are_written_in_groups_of_bounded_size(
    content: dict[str, Any], converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas_surrogate.data.accuracy.writing._ROWS", 3)
    path = convert_accuracy(write(content, tmp_path / "file", "4"), tmp_path / "small.parquet")
    metadata = pq.read_metadata(path)
    assert max(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)) == 3
    small, whole = AccuracyTable(path), AccuracyTable(converted)
    for hp in ("12", "200"):
        for dataset in whole.datasets(hp):
            pd.testing.assert_frame_equal(small.frame(dataset, hp), whole.frame(dataset, hp))


def test_progress_is_told(content: dict[str, Any], tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    source = write(content, tmp_path / "file", "zip")
    convert_accuracy(source, tmp_path / "out.parquet", lambda done, total: told.append((done, total)))
    assert told == [(number, None) for number in range(1, 6)]


def test_a_failed_conversion_leaves_the_old_file(content: dict[str, Any], tmp_path: Path) -> None:
    source, output = write(content, tmp_path / "file", "zip"), tmp_path / "out.parquet"
    convert_accuracy(source, output)
    before = output.read_bytes()
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(DataFileError, match="cut off"):
        convert_accuracy(source, output)
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out.parquet"]


@pytest.mark.parametrize("method", ["write_table", "add_key_value_metadata"])
def test_a_full_disk_is_an_error_of_the_output(
    method: str, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, method, full)
    source = write(content, tmp_path / "file", "4")
    with pytest.raises(DataFileError, match=r"can't write .*out\.parquet: No space left on device"):
        convert_accuracy(source, tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_output_is_a_parquet_file_and_not_the_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"must end in \.parquet"):
        convert_accuracy(tmp_path / "a.pth", tmp_path / "b.csv")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidInputError, match="is the input as well"):
        convert_accuracy(tmp_path / "a.parquet", tmp_path / "a.parquet")


def changed(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(training: dict[str, Any]) -> None:
        training[key] = value

    return change


WRONG = {
    "no epochs": (changed("epochs", 0), "number of epochs is 0"),
    "epochs are a text": (changed("epochs", "4"), "number of epochs is '4'"),
    "an accuracy is a text": (changed("train_acc1es", {0: "a", 1: 1.0}), "holds a str where a number is expected"),
    "an epoch too many": (changed("train_losses", {0: 1.0, 9: 1.0}), "figures of other epochs than 0 to 1"),
    "figures are a list": (changed("train_times", [1.0]), "figures are a list, not a dict by epoch"),
    "sets twice": (changed("eval_names", ["x-test", "x-test"]), "evaluated sets are"),
    "a config is a list": (changed("arch_config", [1]), "arch_config is no dict"),
    "a config holds a dict": (changed("arch_config", {"a": {}}), "arch_config is no dict of texts and numbers"),
    "parameters are None": (changed("params", None), "holds a NoneType where a number is expected"),
    "multiply-adds are a text": (changed("flop", "1.0"), "holds a str where a number is expected"),
    "a set is half a character": (changed("eval_names", ["\ud800"]), "surrogates not allowed"),
    "an accuracy is a bool": (changed("eval_acc1es", {"x-valid@0": True, "x-valid@1": 1.0}), "holds a bool"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_other_layouts_are_refused(
    change: Callable[[dict[str, Any]], None], message: str, content: dict[str, Any], tmp_path: Path
) -> None:
    wrong = {**content, "arch2infos": {0: copy.deepcopy(content["arch2infos"][0])}}
    change(wrong["arch2infos"][0]["less"]["all_results"]["cifar10-valid", 777])
    with pytest.raises(DataFileError, match=rf"results of architecture 0, 'less', .*{message}"):
        convert_accuracy(write(wrong, tmp_path / "file", "2"), tmp_path / "out.parquet")


def test_what_older_files_lack_is_unknown(content: dict[str, Any], tmp_path: Path) -> None:
    older = {**content, "arch2infos": copy.deepcopy(content["arch2infos"])}
    for training in older["arch2infos"][0]["less"]["all_results"].values():
        for name in ("latency", "train_times", "train_acc5es", "eval_times"):
            del training[name]
    file = convert_accuracy(write(older, tmp_path / "file", "2"), tmp_path / "out.parquet")
    memory, api = NASBench201API(older, verbose=False), NASBench201API(file)
    for dataset in ("cifar10", "cifar100"):
        info, costs = api.get_more_info(0, dataset, None, "12", False), api.get_cost_info(0, dataset, "12")
        assert info == memory.get_more_info(0, dataset, None, "12", False)
        assert costs == memory.get_cost_info(0, dataset, "12")
        assert info["train-accuracy"] > 0
        assert (info["train-all-time"], costs["latency"], costs["T-train@total"]) == (None, None, None)


def test_seeds_are_those_of_the_results(content: dict[str, Any], tmp_path: Path) -> None:
    wrong = {**content, "arch2infos": {0: copy.deepcopy(content["arch2infos"][0])}}
    wrong["arch2infos"][0]["full"]["dataset_seed"]["cifar10"] = [777]
    with pytest.raises(DataFileError, match="dataset_seed names other trainings than all_results holds"):
        convert_accuracy(write(wrong, tmp_path / "file", "2"), tmp_path / "out.parquet")


def test_a_seed_that_no_file_can_hold_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    wrong = {**content, "arch2infos": {0: copy.deepcopy(content["arch2infos"][0])}}
    results = wrong["arch2infos"][0]["less"]
    results["dataset_seed"] = {"cifar10": [2**64]}
    results["all_results"] = {("cifar10", 2**64): results["all_results"]["cifar10", 777]}
    with pytest.raises(DataFileError, match="it holds an integer of 9 bytes"):
        convert_accuracy(write(wrong, tmp_path / "file", "2"), tmp_path / "out.parquet")


def test_figures_that_are_not_finite_are_kept(content: dict[str, Any], tmp_path: Path) -> None:
    odd = {**content, "arch2infos": {0: copy.deepcopy(content["arch2infos"][0])}}
    training = odd["arch2infos"][0]["less"]["all_results"]["cifar10", 777]
    training["train_losses"] = {0: float("inf"), 1: float("nan")}
    path = convert_accuracy(write(odd, tmp_path / "file", "2"), tmp_path / "out.parquet")
    assert np.isnan(AccuracyTable(path).frame("cifar10", "12")["train-loss"]).all()
