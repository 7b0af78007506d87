"""How well sizes of networks rank costs, against sums over the layers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import proxies
from hwnas_surrogate.ranks import tied_ranks
from tests.tables import FIVE, SPACE, counts, table_of


def test_proxies_equal_scipys_tau_with_sums_over_the_layers() -> None:
    archs = SPACE.at(np.arange(150))
    costs = 1 + counts(150) @ np.array([[0, 1], [0, 1], [2, 1.5], [9, 1], [0.5, 2]])
    costs[4:9, 0] = np.nan
    configs = ["cifar10"] * 75 + ["C4-N1-k10-3x8x8"] * 75
    frame = proxies(CostTable(SPACE, archs, costs, FIVE[:2], configs=configs)).set_index(["target", "proxy"])
    assert list(frame) == ["n", "kendall_tau", "low", "high"]
    sizes: dict[str, list[float]] = {"macs": [], "params": [], "layers": [], "activation_bytes": []}
    for arch, config in zip(archs, configs, strict=True):
        batch = SPACE.batch(arch, config)
        called = [(op, count) for op, count in zip(batch.distinct(), batch.counts()[0], strict=True) if count]
        for name in ("macs", "params", "activation_bytes"):
            sizes[name].append(sum(getattr(op, name) * count for op, count in called))
        busy = ("conv", "matmul", "avg_pool", "global_pool", "batch_norm")
        sizes["layers"].append(sum(count for op, count in called if op.kind in busy))
    for (target, proxy), row in frame.iterrows():
        column = costs[:, FIVE.index(target)]
        known = ~np.isnan(column)
        assert row["n"] == known.sum()
        expected = stats.kendalltau(tied_ranks(column[known]), np.array(sizes[proxy])[known]).statistic
        assert row["kendall_tau"] == pytest.approx(expected)
        assert row["low"] < expected < row["high"]


def test_a_device_priced_by_macs_has_tau_1_with_them() -> None:
    macs = SPACE.batch(np.arange(50)).macs
    frame = proxies(table_of(np.column_stack([macs, np.ones(50), np.full(50, np.nan)]))).set_index(["target", "proxy"])
    assert frame.loc[("a/latency", "macs"), ["kendall_tau", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    for target, n in (("b/latency", 50), ("c/latency", 0)):
        assert (frame.loc[target, "n"] == n).all()
        assert frame.loc[target, "kendall_tau"].isna().all()
