"""Small databases and their converted tables, which many tests read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.data.accuracy import AccuracyTable, convert_accuracy
from hwnas_surrogate.spaces import get_space
from tests.data.accuracy.databases import database, write


@pytest.fixture(scope="session")
def archs() -> list[str]:
    space = get_space("nasbench201")
    assert space is not None
    return space.format_all(space.enumerate()[:6])


@pytest.fixture(scope="session")
def content(archs: list[str]) -> dict[str, Any]:
    """Return a database of five evaluated architectures of six, of three or four epochs, with some gaps."""
    found = database(archs, epochs=4)
    del found["arch2infos"][4]
    found["evaluated_indexes"] = {0, 1, 2, 3, 5}
    full = found["arch2infos"][2]["full"]
    del full["all_results"]["cifar100", 888]
    full["dataset_seed"]["cifar100"] = [777]
    gaps = found["arch2infos"][3]["full"]["all_results"]["cifar100", 777]
    for name in ("eval_acc1es", "eval_losses"):  # evaluated after the last epoch only, without times
        gaps[name] = {key: value for key, value in gaps[name].items() if key in ("x-test@3", "x-valid@3")}
    gaps["eval_times"] = {}
    gaps["train_times"] = gaps["latency"] = None
    gaps["eval_names"] = ["x-test", "x-valid"]
    return found


@pytest.fixture(scope="session")
def converted(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accuracy")
    return convert_accuracy(write(content, folder / "benchmark.pth", "old"), folder / "accuracy.parquet")


@pytest.fixture
def table(converted: Path) -> AccuracyTable:
    return AccuracyTable(converted)
