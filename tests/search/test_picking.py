"""Picks that spread over a front, alternatives that differ, and volumes."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.search import search
from hwnas_surrogate.search.picking import ABOUT, hypervolume, scaled
from tests.search.planted import PI, SPACE, quality, table


@pytest.fixture(scope="module")
def costs() -> CostTable:
    return table()


def test_the_volume_of_points_is_counted_by_hand() -> None:
    assert hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]), reference=1.0) == pytest.approx(0.75)
    assert hypervolume(np.array([[0.0, 0.0]]), reference=1.0) == pytest.approx(1.0)
    assert hypervolume(np.array([[2.0, 0.0]]), reference=1.0) == 0.0
    assert hypervolume(np.empty((0, 2))) == 0.0


def test_losses_are_scaled_by_their_own_range_or_another() -> None:
    assert scaled(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert scaled(np.array([[4.0]]), np.array([[0.0], [2.0]])).tolist() == [[2.0]]
    assert scaled(np.empty((0, 2))).shape == (0, 2)
    assert scaled(np.array([[1e308], [-1e308], [0.0]])).tolist() == [[1.0], [0.0], [0.5]], "no overflow"


def test_picks_of_several_objectives_spread_over_the_front(costs: CostTable) -> None:
    found = search(costs.batch, ["quality", PI], surrogates=costs, quality=quality(costs), n=4)
    losses = scaled(found.goals.losses(found.front_frame[["quality", f"{PI} (ms)"]].to_numpy()))
    assert set(found.picks.names) < set(found.front.names)
    assert found.frame["quality"].is_monotonic_decreasing
    picked = losses[[found.front.names.index(name) for name in found.picks.names]]
    rng = np.random.default_rng(0)
    others = [hypervolume(losses[rng.choice(len(losses), 4, replace=False)]) for _ in range(200)]
    assert hypervolume(picked) >= max(others)


def test_each_pick_adds_the_largest_volume(costs: CostTable) -> None:
    found = search(costs.batch, ["quality", PI, "macs"], surrogates=costs, quality=quality(costs), n=12)
    losses = scaled(found.goals.losses(found.front_frame[["quality", f"{PI} (ms)", "macs"]].to_numpy()))
    taken: list[int] = []
    for _ in range(12):
        taken.append(int(np.argmax([hypervolume(losses[[*taken, row]]) for row in range(len(losses))])))
    picked = losses[[found.front.names.index(name) for name in found.picks.names]]
    assert len(losses) > 24
    assert hypervolume(picked) == pytest.approx(hypervolume(losses[taken]), rel=1e-9)


def test_an_alternative_is_about_as_good_and_differs_most(costs: CostTable) -> None:
    known = quality(costs)
    found = search(costs.batch, surrogates=costs, quality=known, budgets={PI: 12.0}, n=3)
    fits = (costs.costs[:, 0] <= 12) & SPACE.connected(costs.archs)
    about = ABOUT * (known[fits].max() - known[fits].median())
    for (_, pick), (_, other) in zip(found.frame.iterrows(), found.alternatives.iterrows(), strict=True):
        good = fits & (known.to_numpy() >= pick["quality"] - about) & ~known.index.isin(found.picks.names)
        apart = (costs.archs[good] != SPACE.parse(pick["architecture"])).sum(axis=1)
        own = (SPACE.parse(other["architecture"]) != SPACE.parse(pick["architecture"])).sum()
        assert own == apart.max()
        assert other["architecture"] == pick["alternative"]
        assert other["architecture"] in known.index[good]


def test_a_pick_without_an_equal_has_no_alternative() -> None:
    graphs = {"small": SPACE.graph(1462), "large": SPACE.graph(11_471)}
    found = search(graphs, "params", n=1)
    assert found.frame["alternative"].tolist() == [None]
    assert found.alternatives["model"].isna().all()


def test_of_ties_the_one_that_uses_less_of_the_budgets_is_picked(costs: CostTable) -> None:
    found = search(costs.batch, surrogates=costs, quality=lambda names: [1.0] * len(names), budgets={PI: 12.0}, n=2)
    cheapest = np.sort(costs.costs[SPACE.connected(costs.archs), 0])[:2]
    np.testing.assert_allclose(found.frame[f"{PI} (ms)"], cheapest)


def test_the_result_says_what_was_sought(costs: CostTable) -> None:
    found = search(costs.batch, surrogates=costs, quality=quality(costs), budgets={PI: 12.0}, n=2)
    assert repr(found).startswith(f"SearchResult(quality, {PI} <= 12 ms; all, front of 1)\n")
    assert len(found) == 2
