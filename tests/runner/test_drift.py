"""Drift: found where networks tell, not made up where they don't, and never from a reading itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from hwnas_surrogate.runner.drift import estimate_drift

Ints = npt.NDArray[np.intp]


def plan(n_networks: int, width: int, seed: int = 0) -> tuple[Ints, Ints]:
    """Return networks and blocks of two shuffled passes, with network 0 as the anchor in every block."""
    rng = np.random.default_rng(seed)
    network, block, number = [], [], 0
    for _ in range(2):
        order = rng.permutation(np.arange(1, n_networks))
        for start in range(0, len(order), width):
            members = [0, *order[start : start + width].tolist()]
            network += members
            block += [number] * len(members)
            number += 1
    return np.array(network), np.array(block)


def test_a_planted_drift_is_found() -> None:
    network, block = plan(200, 16)
    rng = np.random.default_rng(1)
    cost, drift = rng.normal(size=200), rng.normal(0, 0.3, block.max() + 1)
    drift -= np.median(drift)
    found = estimate_drift(network, block, cost[network] + drift[block])
    assert np.allclose(found, drift[block], atol=1e-4)


def test_outliers_do_not_move_it() -> None:
    network, block = plan(200, 16)
    rng = np.random.default_rng(1)
    cost, drift = rng.normal(size=200), rng.normal(0, 0.3, block.max() + 1)
    drift -= np.median(drift)
    times = cost[network] + drift[block] + rng.normal(0, 0.01, len(block))
    slow = rng.random(len(block)) < 0.1  # one reading in ten was disturbed: twice as slow
    found = estimate_drift(network, block, times + np.log(2) * slow)
    assert np.abs(found - drift[block]).mean() < 0.02


def test_better_than_the_anchor_alone() -> None:
    network, block = plan(400, 16)
    rng = np.random.default_rng(2)
    cost, drift = rng.normal(size=400), rng.normal(0, 0.05, block.max() + 1)
    drift -= np.median(drift)
    times = cost[network] + drift[block] + rng.normal(0, 0.02, len(block))
    found = estimate_drift(network, block, times)
    anchor = (times - cost[network])[network == 0]
    assert np.std(found - drift[block]) < 0.6 * np.std(anchor - drift)


def test_a_reading_does_not_correct_itself() -> None:
    network, block = plan(64, 8)
    times = np.random.default_rng(3).normal(size=64)[network]
    found = estimate_drift(network, block, times)
    at = int(np.flatnonzero(network == 5)[0])
    moved = times.copy()
    moved[at] += 1.0
    after = estimate_drift(network, block, moved)
    assert after[at] == pytest.approx(found[at], abs=0.02)
    assert moved[at] - after[at] == pytest.approx(times[at] - found[at] + 1.0, abs=0.02)


def test_one_pass_is_told_by_the_anchor() -> None:
    network, block = np.array([0, 1, 2, 0, 3, 4, 0, 5, 6]), np.repeat([0, 1, 2], 3)
    drift = np.array([-0.2, 0.0, 0.5])
    times = np.random.default_rng(4).normal(size=7)[network] + drift[block]
    found = estimate_drift(network, block, times)
    assert np.allclose(found[network > 0], drift[block][network > 0])


def test_an_anchor_alone_in_its_block_is_left_as_it_is() -> None:
    found = estimate_drift(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([1.0, 2.0, 5.0]))
    assert found[0] == 0.0
    assert np.isfinite(found).all()


def test_the_same_whatever_the_order_of_the_readings() -> None:
    network, block = plan(50, 7)
    times = np.random.default_rng(5).normal(size=len(block))
    order = np.random.default_rng(6).permutation(len(block))
    found = estimate_drift(network[order], block[order], times[order])
    assert np.allclose(found, estimate_drift(network, block, times)[order])
