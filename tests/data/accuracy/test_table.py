"""Converted tables: what they hold is what the file held; wrong questions and damaged files are errors."""

from __future__ import annotations

import json
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hwnas_surrogate.data.accuracy import AccuracyTable, NASBench201API, is_accuracy_table, open_accuracy
from hwnas_surrogate.data.accuracy.containers import Heading
from hwnas_surrogate.data.accuracy.writing import DIGEST_KEY, METADATA_KEY, AccuracyWriter, digest
from hwnas_surrogate.errors import DataFileError, InvalidInputError, NotInTableError
from hwnas_surrogate.spaces import get_space
from tests.data.accuracy.databases import SETS, state, write


def test_a_table_says_what_it_holds(table: AccuracyTable, archs: list[str]) -> None:
    assert (table.archs, table.evaluated, table.hps) == (archs, {0, 1, 2, 3, 5}, ["12", "200"])
    assert table.datasets("200") == list(SETS)
    assert table.sets("200", "cifar100") == ["train", "x-valid", "x-test", "ori-test"]
    assert repr(table) == "AccuracyTable(6 architectures, hps 12, 200, of benchmark.pth)"


def test_a_frame_holds_all_architectures(table: AccuracyTable, content: dict[str, Any], archs: list[str]) -> None:
    frame = table.frame("cifar10")
    assert frame.index.tolist() == [0, 1, 2, 3, 5]
    assert frame["architecture"].tolist() == [archs[index] for index in frame.index]
    trainings = [content["arch2infos"][1]["full"]["all_results"]["cifar10", seed] for seed in (777, 888)]
    expected = np.mean([training["eval_acc1es"]["ori-test@3"] for training in trainings])
    assert frame.loc[1, "test-accuracy"] == expected
    assert "valid-accuracy" not in frame
    assert frame.loc[1, "flops"] == np.mean([training["flop"] for training in trainings])
    assert frame.loc[1, "latency"] == pytest.approx(np.mean([np.mean(t["latency"]) for t in trainings]))
    assert table.frame("cifar10", "12").loc[1, "test-accuracy"] != expected
    # Architecture 3 has no ori-test of one seed, and so no mean over seeds; and no times of it.
    gaps = table.frame("cifar100").loc[3]
    assert gaps[["valtest-accuracy", "train-all-time", "valid-all-time"]].isna().all()
    assert np.isfinite(gaps[["valid-accuracy", "train-accuracy"]].astype(float)).all()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("90", "cifar10", "train"), "hp '90'; allowed: '12', '200'"),
        (("200", "mnist", "train"), "dataset 'mnist'; allowed: 'cifar10-valid', 'cifar10'"),
        (("200", "cifar10", "x-valid"), "set of cifar10 'x-valid'; allowed: 'train', 'ori-test'"),
        (("200", ["cifar10"], "train"), "dataset"),
    ],
)
def test_what_is_not_there_is_an_error(table: AccuracyTable, key: Any, message: str) -> None:
    with pytest.raises(NotInTableError, match=message):
        table.last(*key)


def test_a_changed_or_shortened_file_is_refused(converted: Path, tmp_path: Path) -> None:
    raw = converted.read_bytes()
    path = tmp_path / "file.parquet"
    rng = np.random.default_rng(0)
    for end in (0, 3, 4, 100, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:end])
        with pytest.raises(DataFileError):
            open_accuracy(path)
    for at in rng.integers(4, len(raw), 60).tolist():
        changed = bytearray(raw)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            api = NASBench201API(path, verbose=False)
            whole = [api.get_more_info(index, "cifar10", None, "200", False) for index in (0, 1, 2, 3, 5)]
        except (DataFileError, NotInTableError):
            continue
        same = NASBench201API(converted, verbose=False)
        assert whole == [same.get_more_info(index, "cifar10", None, "200", False) for index in (0, 1, 2, 3, 5)]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="there is no file"):
        AccuracyTable(tmp_path / "none.parquet")
    with pytest.raises(DataFileError, match="there is no file"):
        open_accuracy(tmp_path / "none.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataFileError, match="holds no accuracies; `hwnas data convert-accuracy` writes such"):
        AccuracyTable(tmp_path / "other.parquet")
    assert not is_accuracy_table(tmp_path / "other.parquet")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataFileError, match="it is a pipe"):
        AccuracyTable(tmp_path / "pipe")


def test_another_versions_file_is_refused(converted: Path, tmp_path: Path) -> None:
    with pq.ParquetFile(converted) as file:
        arrow = file.read()
        metadata = dict(file.metadata.metadata)
    for raw, message in ((b"{}", "its metadata is damaged"), (metadata[METADATA_KEY], "row groups are not those")):
        keys = {key: value for key, value in metadata.items() if b"sha256" in key} | {METADATA_KEY: raw}
        path = tmp_path / "file.parquet"
        pq.write_table(arrow.replace_schema_metadata(keys), path)
        with pytest.raises(DataFileError, match=message):
            AccuracyTable(path)


def test_a_published_file_is_converted_into_a_temporary_one(content: dict[str, Any], tmp_path: Path) -> None:
    source = write(content, tmp_path / "file.pth", "zip")
    table = open_accuracy(source)
    source.unlink()
    assert os.name != "posix" or not table.path.exists()
    assert len(table.frame("cifar100")) == 5
    with pytest.raises(InvalidInputError, match=r"convert file\.pth first"):
        pickle.dumps(table)


def test_tables_and_apis_are_pickled_as_their_files(converted: Path) -> None:
    api = pickle.loads(pickle.dumps(NASBench201API(converted)))
    expected = NASBench201API(converted).get_more_info(1, "cifar10", None, "200", False)
    assert api.get_more_info(1, "cifar10", None, "200", False) == expected


def test_figures_by_epoch_stay_in_memory_up_to_a_limit(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.data.accuracy.table._KEPT_BYTES", 1000)
    api, other = NASBench201API(converted, verbose=False), NASBench201API(converted, verbose=False)
    for dataset in SETS:
        for epoch in range(3):
            first = api.get_more_info(1, dataset, epoch, "200", False)
            assert first == other.get_more_info(1, dataset, epoch, "200", False)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of NAS-Bench-201's 15,625 architectures on three datasets: one training, of many accuracies."""
    space = get_space("nasbench201")
    assert space is not None
    archs = space.format_all(space.enumerate())
    names = ["cifar10", "cifar100", "ImageNet16-120"]
    folder = tmp_path_factory.mktemp("full")
    small = AccuracyWriter(folder / "small.parquet")
    small.add(0, {"200": state(np.random.default_rng(0), 0, archs[0], 2, [777], names)})
    small.close(Heading(archs, frozenset(range(len(archs)))), "made")
    path = folder / "accuracy.parquet"
    with pq.ParquetFile(folder / "small.parquet") as file, pq.ParquetWriter(path, file.schema_arrow) as writer:
        header = json.loads(file.metadata.metadata[METADATA_KEY])
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number).take(np.zeros(len(archs), int))
            index = pa.array(np.arange(len(archs), dtype=np.int32))
            rows = rows.set_column(rows.column_names.index("arch_index"), "arch_index", index)
            accuracy = pa.array(np.arange(len(archs)) / 1000)
            rows = rows.set_column(rows.column_names.index("last_accuracy"), "last_accuracy", accuracy)
            writer.write_table(rows, row_group_size=len(archs))
        raw = json.dumps({**header, "groups": [[*group, len(archs)] for *group, _ in header["groups"]]}).encode()
        writer.add_key_value_metadata({METADATA_KEY: raw, DIGEST_KEY: digest(raw)})
    return path


def quickest(work: Any, times: int = 5) -> float:
    """Return the least seconds of a call: other processes disturb the others."""
    seconds = []
    for _ in range(times):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


@pytest.mark.slow
def test_a_full_table_is_quick(full_size: Path) -> None:
    assert quickest(lambda: AccuracyTable(full_size)) < 0.05
    assert quickest(lambda: NASBench201API(full_size)) < 0.05
    api, table = NASBench201API(full_size), AccuracyTable(full_size)

    def thousand() -> None:
        for index in range(0, 15_000, 15):
            api.get_more_info(index, "cifar100", None, "200", False)

    assert quickest(thousand) / 1000 < 20e-6
    assert len(table.frame("cifar100")) == 15_625
    assert quickest(lambda: table.frame("cifar100")) < 0.02
    assert api.get_more_info(77, "cifar100", None, "200", True)["test-accuracy"] == 0.077
    assert api.find_best("cifar100", "valid", hp="200") == (15_624, 15.624)
