"""Clusters of devices that were planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hwnas_surrogate.devices import cluster_devices, correlation
from hwnas_surrogate.errors import InvalidInputError
from tests.tables import FIVE, table_of


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
