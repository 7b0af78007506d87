"""Ranks that see through floating-point noise."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hwnas_surrogate.ranks import tied_ranks

relaxed = settings(deadline=None)


def test_tied_ranks_of_nothing_are_nothing() -> None:
    ranks = tied_ranks([])
    assert ranks.shape == (0,)
    assert ranks.dtype == np.int64


@relaxed
@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), max_size=30))
def test_tied_ranks_are_dense_ranks_of_clean_values(values: list[float]) -> None:
    assert tied_ranks(values).tolist() == (stats.rankdata(values, "dense") - 1).tolist()


@relaxed
@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=30),
    st.sampled_from([1e-7, 1.0, 1e7]),
    st.integers(0, 2**32 - 1),
)
def test_tied_ranks_see_through_noise(numbers: list[int], unit: float, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-1e-13, 1e-13, len(numbers))
    values = np.array(numbers) * unit * (1 + noise)
    assert tied_ranks(values).tolist() == tied_ranks(numbers).tolist()


@relaxed
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30))
def test_tied_ranks_keep_the_order(values: list[float]) -> None:
    ranks = tied_ranks(values)
    assert sorted(set(ranks.tolist())) == list(range(ranks.max() + 1))
    for i, j in combinations(range(len(values)), 2):
        if values[i] == values[j]:
            assert ranks[i] == ranks[j]
        elif values[i] < values[j]:
            assert ranks[i] <= ranks[j]


def test_a_chain_of_close_values_is_one_rank_and_zeros_tie() -> None:
    chain = 1.0 + 0.9e-9 * np.arange(5)
    assert tied_ranks(chain).tolist() == [0] * 5
    assert tied_ranks([0.0, -0.0, 1e-300]).tolist() == [0, 0, 1]
    assert tied_ranks([1.0, 1.05, 2.0], relative=0.1).tolist() == [0, 0, 1]
