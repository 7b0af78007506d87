"""Sums, tables and tensor trains equal the functions that they decompose."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hwnas_surrogate.trainers.differentiable.decomposition import (
    factors,
    main_effects,
    rough_train,
    train,
    train_values,
)
from hwnas_surrogate.trainers.differentiable.probes import extreme, probes

N_OPS = np.array([2, 4, 3, 1, 5, 3])
EFFECTS = np.random.default_rng(0).normal(0, 1, (6, 5))
PAIRS = np.random.default_rng(1).normal(0, 1, (5, 5, 5))
EVERYTHING = np.array(list(product(*map(range, N_OPS))), np.int8)


def a_sum(archs: np.ndarray) -> np.ndarray:
    return np.asarray(7 + EFFECTS[np.arange(6), archs].sum(axis=1))


def a_product(archs: np.ndarray) -> np.ndarray:
    return np.exp(a_sum(archs) - 7)


def a_chain(archs: np.ndarray) -> np.ndarray:
    """Return sums in which neighbours interact."""
    return a_sum(archs) + sum(PAIRS[p, archs[:, p], archs[:, p + 1]] for p in range(5))


def a_memory(archs: np.ndarray) -> np.ndarray:
    """Return sums in which an op costs more if the next op that is not 0 is 1, as in a quantized network."""
    total, twice = a_sum(archs), np.zeros(len(archs), bool)
    for place in reversed(range(6)):
        total = total + twice * 0.1 * archs[:, place]
        twice = np.where(archs[:, place] == 0, twice, archs[:, place] == 1)
    return np.asarray(total)


@pytest.mark.parametrize("function", [a_sum, a_product, a_chain, a_memory], ids=lambda function: function.__name__)
def test_a_train_equals_its_function_everywhere(function):  # type: ignore[no-untyped-def]
    cores = train(function, probes(N_OPS, 40), N_OPS)
    assert cores is not None
    assert train_values(cores, EVERYTHING) == pytest.approx(function(EVERYTHING), rel=1e-8, abs=1e-8)


def test_noise_is_no_train() -> None:
    n_ops = np.full(8, 6)
    noise = np.random.default_rng(0).normal(0, 1, (6**4, 6**4))
    steps = 6 ** np.arange(4)

    def function(archs: np.ndarray) -> np.ndarray:
        return noise[archs[:, :4] @ steps, archs[:, 4:] @ steps]

    assert train(function, probes(n_ops, 100), n_ops) is None
    assert train(lambda archs: np.zeros(len(archs)), probes(n_ops, 10), n_ops) is None
    assert train(lambda archs: np.full(len(archs), np.nan), probes(n_ops, 10), n_ops) is None


def test_a_rough_train_is_near() -> None:
    def function(archs: np.ndarray) -> np.ndarray:
        return (a_sum(archs) + 5) ** 3

    cores = rough_train(function, EVERYTHING[100], N_OPS)
    found, expected = train_values(cores, EVERYTHING), function(EVERYTHING)
    assert np.abs(found - expected).mean() < 0.1 * np.abs(expected).mean()


def test_main_effects_of_a_sum() -> None:
    effects = main_effects(EVERYTHING, a_sum(EVERYTHING), N_OPS)
    assert effects[np.arange(6), EVERYTHING].sum(axis=1) == pytest.approx(a_sum(EVERYTHING), rel=1e-10)
    assert (effects[np.arange(5) >= N_OPS[:, None]] == 0).all()


@pytest.mark.parametrize("function", [a_sum, a_chain, np.random.default_rng(0).normal])
def test_factors_of_a_table(function):  # type: ignore[no-untyped-def]
    table = function(EVERYTHING) if function in (a_sum, a_chain) else function(size=len(EVERYTHING))
    left, right, cut = factors(table, N_OPS)
    assert left.shape[0] == np.prod(N_OPS[:cut])
    assert (left @ right.T).ravel() == pytest.approx(table, rel=1e-10, abs=1e-10)
    assert function is not a_sum or left.shape[1] == 2


@pytest.mark.parametrize("least", [1e-2, 1e-6, 1e-12])
def test_factors_of_costs_of_many_sizes_give_the_small_ones(least: float) -> None:
    first, second = np.linspace(0, 1, 40), np.linspace(0, 1, 30)
    table = ((first[:, None] - second) ** 2 + least).ravel()  # of rank 3, whose terms cancel out
    left, right, _ = factors(table, np.array([40, 30]))
    product = (left.astype(np.float32) @ right.T.astype(np.float32)).ravel()
    assert product == pytest.approx(table, rel=1e-6, abs=0)


def test_one_position() -> None:
    left, right, _ = factors(np.array([3.0, 4.0]), np.array([2]))
    assert (left @ right.T).ravel() == pytest.approx([3.0, 4.0])


@pytest.mark.parametrize("sign", [1, -1])
def test_extremes_of_sums(sign: int) -> None:
    found = extreme(a_sum, EVERYTHING[17], N_OPS, sign)
    assert found == pytest.approx(sign * (sign * a_sum(EVERYTHING)).min())


def test_probes_reach_corners() -> None:
    drawn = probes(np.full(22, 9), 400)
    assert (drawn >= 0).all()
    assert (drawn < 9).all()
    most = np.array([np.bincount(row).max() for row in drawn])
    assert (most[:200] < 12).all()
    assert (most[200:] > 10).mean() > 0.8
