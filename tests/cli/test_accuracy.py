"""Accuracies on the command line: converted once, they are a table and a quality."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from hwnas_surrogate.spaces import NASBench201
from tests.cli.conftest import Run
from tests.data.accuracy.databases import database, write

SPACE = NASBench201()


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    return write(database(SPACE.format_all([0, 1, 2])), tmp_path / "benchmark.pth", "old")


def test_a_published_file_is_converted(run: Run, benchmark: Path) -> None:
    _, said = run("data", "convert-accuracy", benchmark, "-o", "accuracy.parquet")
    assert said == "3 of 3 architectures, hp 12, 200: accuracy.parquet\n"
    table = run("query", "2", "--data", "accuracy.parquet", "--dataset", "cifar100", "--csv")[0]
    (row,) = csv.DictReader(io.StringIO(table))
    content = database(SPACE.format_all([0, 1, 2]))["arch2infos"][2]["full"]["all_results"]
    expected = [content["cifar100", seed]["eval_acc1es"]["x-test@2"] for seed in (777, 888)]
    assert float(row["test/accuracy (%)"]) == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_mistakes_are_explained(run: Run, benchmark: Path) -> None:
    _, said = run("data", "convert-accuracy", benchmark, "-o", "accuracy.csv", code=2)
    assert "must end in .parquet" in said
    benchmark.write_bytes(benchmark.read_bytes()[:-4000])
    _, said = run("data", "convert-accuracy", benchmark, "-o", "accuracy.parquet", code=1)
    assert "cut off" in said
    _, said = run("data", "convert-accuracy", "none.pth", "-o", "accuracy.parquet", code=1)
    assert "there is no file none.pth" in said
    assert [path.name for path in Path().iterdir()] == ["benchmark.pth"]
