"""Accuracy is a column of a cost table, and a quality wherever one is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_quality, load_table, merge
from hwnas_surrogate.errors import DataFileError, InvalidInputError, NotInTableError
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.search.quality import quality_by_row
from hwnas_surrogate.spaces import get_space
from tests.data.accuracy.databases import recorded_301, write


def mean_of(content: dict[str, Any], index: int, dataset: str, key: str, hp: str = "full") -> float:
    trainings = content["arch2infos"][index][hp]["all_results"]
    return float(np.mean([trained["eval_acc1es"][key] for (name, _), trained in trainings.items() if name == dataset]))


def test_accuracies_are_costs_of_two_targets(content: dict[str, Any], converted: Path) -> None:
    table = load_quality(converted)
    assert list(map(str, table.targets)) == ["valid/accuracy", "test/accuracy"]
    assert [table.space_name, len(table), len(table.configs)] == ["nasbench201", 15, 3]
    found = table.lookup([0, 5], "cifar10").to_numpy()
    expected = [
        [mean_of(content, index, "cifar10-valid", "x-valid@3"), mean_of(content, index, "cifar10", "ori-test@3")]
        for index in (0, 5)
    ]
    np.testing.assert_array_equal(found, expected)
    short = load_quality(converted, hp="12")
    assert short.lookup(1, "cifar100").iloc[0, 1] == mean_of(content, 1, "cifar100", "x-test@1", "less")
    assert table.meta == {"source": "benchmark.pth", "hp": "200"}
    with pytest.raises(NotInTableError, match=r"hp in .* '90'; allowed: '12', '200'"):
        load_quality(converted, hp="90")


def test_load_table_opens_them_and_merge_puts_them_beside_costs(converted: Path) -> None:
    accuracies = load_table(converted)
    assert isinstance(accuracies, CostTable)
    costs = CostTable("nasbench201", [0, 1, 2, 3], [[4.0], [3.0], [2.0], [1.0]], ["board/latency"])
    both = merge([costs, accuracies.select(configs=costs.configs[0])])
    front = pareto_front(both, ["board/latency", "test/accuracy"])
    assert front.attrs["maximise"] == ["test/accuracy"]
    assert (
        front["architecture"].tolist()
        == pareto_front(costs, "board/latency", accuracy=converted)["architecture"].tolist()
    )


def test_they_are_a_quality_under_each_networks_own_config(content: dict[str, Any], converted: Path) -> None:
    costs = CostTable(
        "nasbench201", [1, 4, 1, 1], np.ones((4, 1)), ["board/latency"],
        configs=["cifar10", "cifar10", "cifar100", "C8-N5-k10-3x32x32"],
    )  # fmt: skip
    for given in (converted, str(converted), load_quality(converted)):
        found = quality_by_row(costs, given)
        expected = [
            mean_of(content, 1, "cifar10", "ori-test@3"), np.nan, mean_of(content, 1, "cifar100", "x-test@3"), np.nan,
        ]  # fmt: skip
        np.testing.assert_array_equal(found, expected)
        assert found.name == "test/accuracy (%)"
    chosen = quality_by_row(costs, load_quality(converted).select(targets="valid/accuracy"))
    assert chosen[0] == mean_of(content, 1, "cifar10-valid", "x-valid@3")


def test_another_space_is_refused(converted: Path) -> None:
    fbnet = CostTable("fbnet", [[0] * 22], [[1.0]], ["board/latency"])
    with pytest.raises(InvalidInputError, match="of architectures of nasbench201, the table holds networks of fbnet"):
        quality_by_row(fbnet, converted)
    other = CostTable("nasbench201", [0], [[1.0, 2.0]], ["a/latency", "b/latency"])
    with pytest.raises(InvalidInputError, match="must be one column, got a/latency, b/latency"):
        quality_by_row(other, other)


def test_the_size_space_is_recognised(tmp_path: Path) -> None:
    table = load_quality(write(recorded_301(), tmp_path / "file", "zip"))
    space = get_space("natsbench-size")
    assert (table.space, len(table)) == (space, 4)
    expected = mean_of(recorded_301(), 1, "cifar100", "x-test@1", "90")
    assert table.lookup("16:16:16:16:16", "cifar100").iloc[0, 1] == expected


def test_other_architectures_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    odd = {**content, "meta_archs": ["|odd~0|", *content["meta_archs"][1:]]}
    with pytest.raises(DataFileError, match=r"holds other architectures than NAS-Bench-201's: .*odd"):
        load_quality(write(odd, tmp_path / "file", "zip"))
