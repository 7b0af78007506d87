"""Throughput beside latency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, Device, Target, load_table, write_parquet
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.measure import with_throughput
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")


def table(batch: int | None, *, repeats: bool = True) -> CostTable:
    return CostTable(
        SPACE,
        SPACE.at([5, 6, 7]),
        np.array([[2.0, 30.0], [8.0, 40.0], [np.nan, np.nan]]),
        [Target("pi", "latency"), Target("pi", "energy")],
        devices=[Device("pi", "a board", "a runtime", batch)],
        reasons={"too large": np.array([[False, False], [False, False], [True, True]])},
        repeats=np.array([[[1.0, 2.0, 4.0, 2.0, 2.5]] * 2] * 2 + [[[np.nan] * 5] * 2]) if repeats else None,
        meta={"how": "by hand"},
    )


def test_it_is_the_batch_over_the_latency(tmp_path: Path) -> None:
    before = table(4)
    after = with_throughput(before)
    assert list(map(str, after.targets)) == ["pi/latency", "pi/energy", "pi/throughput"]
    assert after.targets[2].unit == "images/s"
    assert np.array_equal(after.costs[:, :2], before.costs, equal_nan=True)
    assert after.costs[:2, 2].tolist() == [4 / 2e-3, 4 / 8e-3]
    assert np.isnan(after.costs[2, 2])
    assert after.why_missing().iloc[2].tolist() == ["too large"] * 3
    assert after.repeats is not None
    # The quartiles change their order, the halves of the passes do not.
    assert after.repeats[0, 2].tolist() == [1000.0, 2000.0, 4000.0, 2000.0, 1600.0]
    assert after.meta == before.meta
    assert after.row_configs == before.row_configs
    read = load_table(write_parquet(after, tmp_path / "table.parquet"))
    assert read.fingerprint == after.fingerprint


def test_without_repeats() -> None:
    assert with_throughput(table(1, repeats=False)).repeats is None


def test_no_batch_is_known() -> None:
    with pytest.raises(InvalidInputError, match="device 'pi' has no batch of its own, so that images per second are"):
        with_throughput(table(None))
