"""Ranges of an endless random sequence: each alone as in a longer draw, and uniform."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.spaces import get_space, space_names
from hwnas_surrogate.spaces.drawing import drawn


@pytest.mark.parametrize("name", space_names())
def test_any_range_is_that_of_a_longer_draw(name: str) -> None:
    space = get_space(name)
    everything = space.draw(0, 200, 7)
    assert everything.dtype == np.int8
    np.testing.assert_array_equal(space.as_array(everything), everything)  # valid architectures
    for start, stop in [(0, 1), (1, 2), (3, 3), (17, 200), (199, 200)]:
        np.testing.assert_array_equal(space.draw(start, stop, 7), everything[start:stop])
    parts = [space.draw(start, stop, 7) for start, stop in itertools.pairwise([0, 5, 6, 63, 64, 65, 200])]
    np.testing.assert_array_equal(np.concatenate(parts), everything)


@pytest.mark.parametrize("n_ops", [[9] * 22, [5] * 6, [2, 3, 127, 1], [100] * 7])
def test_ops_are_uniform_and_independent(n_ops: list[int]) -> None:
    archs = drawn(np.array(n_ops), 0, 60_000, 3)
    for position, n in enumerate(n_ops):
        counts = np.bincount(archs[:, position], minlength=n)
        assert len(counts) == n
        assert n == 1 or chisquare(counts).pvalue > 1e-5
    pairs = [pair for pair in itertools.combinations(range(len(n_ops)), 2) if n_ops[pair[0]] * n_ops[pair[1]] < 100]
    for first, second in pairs:
        both = np.bincount(archs[:, first] * n_ops[second] + archs[:, second], minlength=n_ops[first] * n_ops[second])
        assert chisquare(both).pvalue > 1e-6


def test_far_numbers_seeds_and_repeats() -> None:
    space = get_space("fbnet")
    far = 3 * 10**17
    np.testing.assert_array_equal(space.draw(far, far + 9)[4:], space.draw(far + 4, far + 9))
    assert (space.draw(0, 50, 1) != space.draw(0, 50, 2)).any()
    assert len(np.unique(space.draw(0, 20_000), axis=0)) == 20_000
    assert len(np.unique(get_space("nasbench201").draw(0, 20_000), axis=0)) < 15_625


@pytest.mark.parametrize(("start", "stop", "seed"), [(-1, 3, 0), (4, 3, 0), (0, 2**63, 0), (0, 3, -1)])
def test_no_range_or_seed_is_refused(start: int, stop: int, seed: int) -> None:
    with pytest.raises(InvalidInputError, match=r"a range is from|random_state must be"):
        get_space("fbnet").draw(start, stop, seed)
