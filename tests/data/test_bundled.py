"""The bundled measurements: what is promised of them."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

import hwnas_surrogate.data
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.spaces import get_space, space_names

PROMISED = {"nasbench201": ("cifar10", 4000), "fbnet": ("cifar100", 1000)}


@pytest.fixture(params=space_names())
def table(request: pytest.FixtureRequest) -> CostTable:
    loaded = load_table(space=request.param)
    assert isinstance(loaded, CostTable)
    return loaded


def test_enough_architectures_under_the_published_config(table: CostTable) -> None:
    dataset, n = PROMISED[table.space.name]
    assert table.configs == (table.space.configs[dataset],)
    assert (~np.isnan(table.costs)).sum(axis=0).max() >= n


def test_latencies_are_plausible(table: CostTable) -> None:
    assert {target.metric for target in table.targets} == {"latency"}
    costs = table.costs[~np.isnan(table.costs)]
    assert 0.1 < costs.min() < costs.max() < 1000
    macs = table.space.layers(table.archs, table.configs[0]).macs
    for column in table.costs.T:
        known = ~np.isnan(column)
        assert np.corrcoef(macs[known], column[known])[0, 1] > 0.3


def test_it_says_how_it_was_measured(table: CostTable) -> None:
    parts = table.meta.get("tables", [table.meta])
    for part in parts:
        assert {"cpu", "torch", "python", "cores"} <= set(part["environment"])
        assert part["protocol"]["passes"] * part["protocol"]["repeats"] >= 10
        assert 0 < part["repeatability"]["kendall_tau"] <= 1
    for device in table.devices.values():
        assert device.hardware
        assert device.runtime
        assert (device.batch, device.source) == (1, "measured")
    assert table.spread is not None
    assert (table.spread[~np.isnan(table.costs)] >= 0).all()


def test_files_are_small() -> None:
    folder = resources.files(hwnas_surrogate.data.__name__) / "bundled"
    sizes = [len((folder / f"{space}.parquet").read_bytes()) for space in space_names()]
    assert sum(sizes) < 2e6


def test_the_default_is_nasbench201() -> None:
    assert load_table().space is get_space("nasbench201")
