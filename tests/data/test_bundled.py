"""The bundled measurements: what is promised of them."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
from scipy.stats import kendalltau

import hwnas_surrogate.data
from hwnas_surrogate.data import BlockTable, CostTable, load_table
from hwnas_surrogate.spaces import NASBench201Config, get_space

# (table, space) -> costs that each target is promised to have at least
PROMISED = {
    ("bundled", "nasbench201"): {
        "epyc-torch-1t/latency": 15625,
        "epyc-onnxruntime-1t/latency": 4000,
        "epyc-openvino-1t/latency": 2000,
        "epyc-onnxruntime-int8-1t/latency": 500,
        "eyeriss-like/latency": 500,
        "eyeriss-like/energy": 500,
        "sapphire-litert-1t/latency": 500,
        "sapphire-litert-int8-1t/latency": 500,
        "sapphire-ncnn-1t/latency": 1000,
    },
    ("modified", "nasbench201"): {"epyc-torch-1t/latency": 1500, "epyc-onnxruntime-1t/latency": 500},
    ("bundled", "fbnet"): {"epyc-torch-1t/latency": 1000, "epyc-onnxruntime-1t/latency": 1000},
}
NOISE_FLOOR = {"nasbench201": 0.90, "fbnet": 0.90}


@pytest.fixture(params=PROMISED, ids=" ".join)
def table(request: pytest.FixtureRequest) -> CostTable:
    loaded = load_table(*request.param)
    assert isinstance(loaded, CostTable)
    return loaded


@pytest.mark.parametrize(("name", "space"), PROMISED)
def test_enough_costs(name: str, space: str) -> None:
    table = load_table(name, space)
    assert isinstance(table, CostTable)
    known = dict(zip(map(str, table.targets), (~np.isnan(table.costs)).sum(axis=0).tolist(), strict=True))
    for target, n in PROMISED[name, space].items():
        assert known[target] >= n


def test_the_published_config_alone() -> None:
    for space, dataset in (("nasbench201", "cifar10"), ("fbnet", "cifar100")):
        table = load_table(space=space)
        assert table.configs == (table.space.configs[dataset],)


def test_modified_configs_cover_what_is_said() -> None:
    table = load_table("modified")
    assert isinstance(table, CostTable)
    configs = table.configs
    assert len(configs) >= 60
    assert all(isinstance(config, NASBench201Config) for config in configs)
    ranges = {"C": (8, 32), "N": (1, 5), "height": (16, 64), "in_channels": (1, 4)}
    for name, (low, high) in ranges.items():
        values = {getattr(config, name) for config in configs}
        assert low <= min(values) <= low + 4
        assert high - 4 <= max(values) <= high
    assert all(config.height % 4 == 0 for config in configs)  # type: ignore[attr-defined]


def test_costs_are_plausible(table: CostTable) -> None:
    for column, target in zip(table.costs.T, table.targets, strict=True):
        live = table.batch.total(
            "macs", "live"
        )  # a converter may replace a network that computes nothing by a constant
        known = np.flatnonzero(~np.isnan(column) & (live > 0))
        costs = column[known]
        assert 0.05 < costs.min() < costs.max() < 1000
        rows = table.rows(known)
        macs = np.empty(len(rows))
        for number, config in enumerate(rows.configs):
            mine = rows.config_number == number
            macs[mine] = rows.space.batch(rows.archs[mine], config).macs
        # LiteRT runs pools in int8 outside XNNPACK: they cost more than convolutions there.
        assert np.corrcoef(macs, costs)[0, 1] > (0.2 if "litert-int8" in target.device else 0.3), target


def test_it_says_how_it_was_made(table: CostTable) -> None:
    for part in table.meta["tables"]:
        assert {"cpu", "torch", "python", "cores"} <= set(part["environment"])
        assert part["licence"] == "MIT"
        device = table.devices[part["targets"][0].partition("/")[0]]
        assert device.hardware
        assert device.runtime
        assert device.batch == 1
        if device.source == "measured":
            assert part["protocol"]["passes"] * part["protocol"]["repeats"] >= 10
    assert {device.name for device in table.devices.values() if device.source == "estimated"} <= {"eyeriss-like"}


def test_noise_floor_follows_from_the_table(table: CostTable) -> None:
    floors = table.noise_floor()
    for target in table.targets:
        if table.devices[target.device].source == "measured":
            assert floors[target]["kendall_tau"] >= NOISE_FLOOR[table.space.name]
            assert floors[target]["median_relative_difference"] < 0.05


def test_halves_and_quartiles_surround_the_cost(table: CostTable) -> None:
    assert table.repeats is not None
    for column, target in enumerate(table.targets):
        known = ~np.isnan(table.repeats[:, column, 3:]).any(axis=1)
        if not known.any():
            assert table.devices[target.device].source == "estimated"
            continue
        lower, median, upper, first, second = table.repeats[known, column].T
        assert (lower <= median + 1e-9).all()
        assert (median <= upper + 1e-9).all()
        # The cost is the mean of the passes', each rounded to 1e-5.
        assert np.allclose(table.costs[known, column], (first + second) / 2, atol=2e-5)


def test_every_block_of_fbnet() -> None:
    table = load_table("blocks", "fbnet")
    assert isinstance(table, BlockTable)
    assert table.configs == (table.space.configs["cifar100"],)
    assert [device.source for device in table.devices.values()] == ["estimated"]
    archs = np.repeat(np.arange(9, dtype=np.int8)[:, None], 22, axis=1)  # every op at every layer
    sums = table.lookup(archs).to_numpy()[:, 0]
    assert np.isfinite(sums).all()
    # Sums of blocks rank whole networks about as these were measured end to end.
    whole = load_table(space="fbnet")
    assert isinstance(whole, CostTable)
    measured = whole.select("epyc-torch-1t").costs[:, 0]
    assert kendalltau(table.lookup(whole.archs).to_numpy()[:, 0], measured).statistic > 0.5


def test_files_are_small() -> None:
    folder = resources.files(hwnas_surrogate.data.__name__) / "bundled"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 6e6


def test_the_default_is_nasbench201() -> None:
    assert load_table().space is get_space("nasbench201")
