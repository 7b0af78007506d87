"""Evolution: its start, its corners, and what it never does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.search.evolution import Evolution
from hwnas_surrogate.spaces import ChoiceSpace
from tests.search.planted import FBNET

Vector = npt.NDArray[np.float64]
EFFECTS = np.random.default_rng(0).normal(size=(22, 9, 2))


def losses(archs: npt.NDArray[np.int8]) -> Vector:
    """Return two sums over the positions, whose optima are known."""
    return np.asarray(EFFECTS[np.arange(22), archs].sum(axis=1))


def told(evolution: Evolution, archs: npt.NDArray[np.int8]) -> None:
    evolution.tell(archs, losses(archs), np.zeros(len(archs)))


def test_the_start_holds_uniform_architectures_and_all_neighbours_of_one() -> None:
    start = Evolution(FBNET, 2, 0).start(5000)
    assert len(np.unique(start, axis=0)) == len(start) == 9 + 1 + 176 + 100
    assert (start[:9] == np.arange(9)[:, None]).all()
    assert len(Evolution(FBNET, 2, 0).start(50)) == 50


def test_the_corners_of_sums_are_their_optima() -> None:
    evolution = Evolution(FBNET, 2, 0)
    start = evolution.start(5000)
    told(evolution, start)
    corners = evolution.corners(start, losses(start))
    told(evolution, corners)
    best = np.concatenate([EFFECTS.min(axis=1).sum(axis=0), -EFFECTS.max(axis=1).sum(axis=0)])
    found = losses(corners)
    np.testing.assert_allclose(np.concatenate([found.min(axis=0), -found.max(axis=0)]), best)


def test_no_corners_follow_without_all_neighbours() -> None:
    evolution = Evolution(FBNET, 2, 0)
    start = evolution.start(100)
    assert len(evolution.corners(start, losses(start))) == 0
    unknown = Evolution(FBNET, 2, 0)
    start = unknown.start(5000)
    values = losses(start)
    values[60] = np.nan
    assert len(unknown.corners(start, values)) == 0


def test_nothing_is_asked_twice_and_half_are_neighbours_of_the_front() -> None:
    evolution = Evolution(FBNET, 2, 0)
    asked = [evolution.start(5000)]
    told(evolution, asked[0])
    for _ in range(10):
        front = evolution.front
        asked.append(evolution.ask(100))
        near = (asked[-1][:, None] != front[None]).sum(axis=2).min(axis=1) == 1
        assert near[:50].all()
        told(evolution, asked[-1])
    every = np.concatenate(asked)
    assert len(every) == 286 + 10 * 100
    assert len(np.unique(every, axis=0)) == len(every)


def test_networks_told_from_outside_are_not_asked_again() -> None:
    evolution = Evolution(FBNET, 2, 0)
    told(evolution, FBNET.sample(1, 9))
    assert len(evolution.ask(5)) == 5


def test_networks_that_break_budgets_are_not_on_the_front() -> None:
    evolution = Evolution(FBNET, 2, 0)
    start = evolution.start(300)
    violation = (losses(start)[:, 0] < 0).astype(float)
    evolution.tell(start, losses(start), violation)
    assert (evolution.front_losses[:, 0] >= 0).all()


def test_a_small_space_is_used_up() -> None:
    class Few(ChoiceSpace):
        name = "few"
        choices = {"depth": (1, 2, 3), "only": (8,), "width": (8, 16)}  # noqa: RUF012

    evolution = Evolution(Few(), 1, 0, population=4)
    asked = [evolution.start(3)]
    while len(asked[-1]):
        evolution.tell(asked[-1], asked[-1][:, :1].astype(float), np.zeros(len(asked[-1])))
        asked.append(evolution.ask(2))
    assert len(np.unique(np.concatenate(asked), axis=0)) == sum(map(len, asked)) == 6
