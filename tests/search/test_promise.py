"""Which networks promise the largest gain."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hwnas_surrogate.search.promise import most_promising


def expected_gain(losses: np.ndarray, probability: np.ndarray, known: np.ndarray) -> float:
    """Return the expected improvement of the best, over every outcome: the slow reference."""
    low, high = min(losses.min(), known.min()), max(losses.max(), known.max())
    total = 0.0
    for outcome in product([0, 1], repeat=len(losses)):
        kept = np.array(outcome, bool)
        best = min([known.min(), *losses[kept]])
        total += float(np.prod(np.where(kept, probability, 1 - probability))) * (known.min() - best)
    return total / (high - low)


@pytest.mark.parametrize("seed", range(5))
def test_the_gain_is_the_expected_improvement_of_the_batch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses, probability, known = rng.uniform(0, 1, 5), rng.uniform(0, 1, 5), rng.uniform(0.5, 1.2, 3)
    rows, gain = most_promising(losses[:, None], probability, known[:, None], 5)
    scale = np.ptp(np.concatenate([losses, known]))
    own = expected_gain(losses[rows], probability[rows], known)
    ranged = np.ptp(np.concatenate([losses[rows], known]))
    assert gain == pytest.approx(own * ranged / scale)
    assert set(rows) == set(np.flatnonzero(losses < known.min()))  # the others gain nothing


def test_each_choice_adds_most_to_those_before_it() -> None:
    rng = np.random.default_rng(7)
    losses, probability, known = rng.uniform(0, 1, 8), rng.uniform(0.1, 0.9, 8), np.array([0.9])
    rows, _ = most_promising(losses[:, None], probability, known[:, None], 4)
    for n in range(1, 5):
        ranged = np.ptp(np.concatenate([losses, known]))

        def value(chosen: list[int], ranged: float = ranged) -> float:
            own = np.concatenate([losses[chosen], known])
            return expected_gain(losses[chosen], probability[chosen], known) * np.ptp(own) / ranged

        before = list(rows[: n - 1])
        left = [row for row in range(8) if row not in before]
        assert rows[n - 1] == max(left, key=lambda row: value([*before, row]))


def test_a_safe_network_goes_beside_a_good_one() -> None:
    losses = np.array([[0.0], [0.01], [0.2], [1.0]])
    rows, _ = most_promising(losses, np.array([0.4, 0.1, 1.0, 1.0]), np.array([[0.9]]), 2)
    assert rows.tolist() == [2, 0]


def test_nothing_promises_a_gain() -> None:
    rows, gain = most_promising(np.array([[2.0], [3.0]]), np.ones(2), np.array([[1.0]]), 5)
    assert (len(rows), gain) == (0, 0.0)
    rows, gain = most_promising(np.empty((0, 2)), np.empty(0), np.empty((0, 2)), 5)
    assert (len(rows), gain) == (0, 0.0)


def test_without_a_kept_budget_a_likely_network_comes_first() -> None:
    losses = np.array([[0.0], [1.0]])
    rows, gain = most_promising(losses, np.array([0.2, 0.9]), np.empty((0, 1)), 1)
    assert rows.tolist() == [1]
    assert gain == pytest.approx(0.9)


def test_a_front_grows_where_the_volume_is_largest() -> None:
    known = np.array([[0.0, 1.0], [1.0, 0.0]])
    losses = np.array([[0.05, 0.95], [0.3, 0.3], [0.5, 0.5], [1.0, 1.0]])
    rows, gain = most_promising(losses, np.ones(4), known, 3)
    assert rows.tolist()[:2] == [1, 0]
    assert 2 not in rows
    assert gain > 0


def test_an_unlikely_network_hides_no_likely_one() -> None:
    losses = np.array([[0.1, 0.1], [0.2, 0.2]])
    known = np.array([[0.0, 1.0], [1.0, 0.0]])
    rows, _ = most_promising(losses, np.array([0.1, 0.95]), known, 1)
    assert rows.tolist() == [1]
