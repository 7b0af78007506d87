"""Trees over operators: they learn costs of operators from costs of networks, better from profiles, and are saved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models import OperatorTrees

N, L = 60, 90


def device(seed: int) -> tuple[np.ndarray, np.ndarray, csr_array, np.ndarray, csr_array]:
    """Return sizes, first estimates, counts, costs and profiles of a device slow at multiples of 8."""
    rng = np.random.default_rng(seed)
    work, channels = rng.uniform(1, 100, L), rng.integers(1, 65, L)
    of_ops = 0.01 * work * np.where(channels % 8 == 0, 3.0, 1.0)
    counts = rng.poisson(0.15, (N, L)).astype(float)
    counts[:, 0] += 1
    sizes = np.column_stack([np.log2(work), channels, channels % 8 == 0])
    costs = counts @ of_ops
    return sizes, 0.015 * work, csr_array(counts), costs, csr_array(counts * of_ops)


def errors(profiled: bool) -> float:
    sizes, estimates, counts, costs, times = device(0)
    fitted = OperatorTrees(0).fit(sizes, estimates, counts[:20], costs[:20], times[:20] if profiled else None)
    return float(np.median(np.abs(counts[20:] @ fitted.predict(sizes, estimates) / costs[20:] - 1)))


def test_costs_of_operators_are_learned_and_profiles_help() -> None:
    assert errors(profiled=False) < 0.25
    assert errors(profiled=True) < 0.6 * errors(profiled=False)


def test_the_scale_of_costs_does_not_matter() -> None:
    sizes, estimates, counts, costs, times = device(1)
    one = OperatorTrees(0).fit(sizes, estimates, counts, costs, times).predict(sizes, estimates)
    other = OperatorTrees(0).fit(sizes, estimates, counts, costs * 1024, times * 1024).predict(sizes, estimates)
    assert np.median(np.abs(other / (one * 1024) - 1)) < 0.01  # rounding may change which of two equal splits is taken


def test_networks_without_a_profile_count_beside_profiled_ones() -> None:
    sizes, estimates, counts, costs, times = device(2)
    mixed = times.toarray()
    mixed[10:] = 0
    fitted = OperatorTrees(0).fit(sizes, estimates, counts, costs, csr_array(mixed))
    assert np.median(np.abs(counts @ fitted.predict(sizes, estimates) / costs - 1)) < 0.05


def test_operators_that_do_nothing_cost_nothing() -> None:
    sizes, estimates, counts, costs, _ = device(3)
    estimates[5] = 0
    fitted = OperatorTrees().fit(sizes, estimates, counts, costs)
    predicted = fitted.predict(sizes, estimates)
    assert predicted[5] == 0
    assert (np.delete(predicted, 5) > 0).all()
    assert fitted.predict(sizes[:0], estimates[:0]).shape == (0,)


def test_arrays_restore_it_to_the_bit() -> None:
    sizes, estimates, counts, costs, _ = device(4)
    fitted = OperatorTrees(3).fit(sizes, estimates, counts, costs)
    again = OperatorTrees().from_arrays(fitted.to_arrays(), sizes.shape[1])
    assert again.predict(sizes, estimates).tobytes() == fitted.predict(sizes, estimates).tobytes()
    same = OperatorTrees(3).fit(sizes, estimates, counts, costs)
    assert same.predict(sizes, estimates).tobytes() == fitted.predict(sizes, estimates).tobytes()


@pytest.mark.parametrize("name", ["feature", "base"])
def test_a_missing_array_is_an_error(name: str) -> None:
    sizes, estimates, counts, costs, _ = device(5)
    arrays = OperatorTrees().fit(sizes, estimates, counts, costs).to_arrays()
    del arrays[name]
    with pytest.raises(InvalidInputError, match="missing"):
        OperatorTrees().from_arrays(arrays, sizes.shape[1])


def test_costs_must_be_above_0() -> None:
    sizes, estimates, counts, costs, _ = device(6)
    costs[3] = 0
    with pytest.raises(InvalidInputError, match="costs above 0, got 0"):
        OperatorTrees().fit(sizes, estimates, counts, costs)
