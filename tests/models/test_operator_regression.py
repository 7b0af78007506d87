"""Regression of operators' logarithms: relative errors, priors, evidence, arrays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models import OperatorRegression

REFINES = (-1, -1, 0)
"""Work, calls, and the work of operators of one kind."""


def networks(n: int, seed: int, n_ops: int = 60) -> tuple[np.ndarray, np.ndarray, csr_array, np.ndarray]:
    """Return quantities, terms, counts and costs: one kind costs twice as much, a term multiplies."""
    rng = np.random.default_rng(seed)
    work, kind, term = 10 ** rng.uniform(-2, 2, n_ops), rng.integers(0, 2, n_ops), rng.normal(size=n_ops)
    quantities = np.column_stack([work, np.ones(n_ops), work * kind])
    counts = rng.poisson(0.2, (n, n_ops)).astype(float)
    counts[np.arange(n), rng.integers(0, n_ops, n)] += 1
    of_ops = (3 * work * (1 + kind) + 0.1) * np.exp(0.3 * term)
    return quantities, 0.5 * term[:, None], csr_array(counts), counts @ of_ops


def error(n: int, seed: int) -> float:
    quantities, terms, counts, costs = networks(200, seed)
    fitted = OperatorRegression(REFINES).fit(quantities, terms, counts[:n], costs[:n])
    return float(np.median(np.abs(counts[n:] @ fitted.predict(quantities, terms) / costs[n:] - 1)))


def test_the_law_is_found_and_more_networks_help() -> None:
    errors = [np.mean([error(n, seed) for seed in range(4)]) for n in (5, 20, 80)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


def test_profiles_help() -> None:
    """The times of the operators of five networks say more than the five costs."""
    errors = []
    for seed in range(3):
        quantities, terms, counts, costs = networks(200, seed)
        of_ops = 3 * quantities[:, 0] * (1 + (quantities[:, 2] > 0)) + 0.1
        times = csr_array(counts[:5].toarray() * of_ops * np.exp(0.6 * terms[:, 0]))
        for each in (None, times):
            fitted = OperatorRegression(REFINES).fit(quantities, terms, counts[:5], costs[:5], each)
            errors.append(np.median(np.abs(counts[5:] @ fitted.predict(quantities, terms) / costs[5:] - 1)))
    assert np.mean(errors[1::2]) < 0.5 * np.mean(errors[::2])


def test_effects_before_anything_is_measured() -> None:
    """Slopes are derivatives of the logarithms of networks' costs, times the prior standard deviations."""
    quantities, terms, counts, _ = networks(4, 7)
    counts = csr_array(counts.toarray() * np.array([1, 1, 1, 0])[:, None])
    regression = OperatorRegression(REFINES)
    slopes = regression.prior_design(quantities, terms, counts)
    assert slopes.shape == (4, 4)
    assert not slopes[3].any()
    prior_sds, step = np.array([1.5, 1.5, 0.5, 1.0]), 1e-6

    def logs(coef: np.ndarray) -> np.ndarray:
        regression.coef_ = coef
        return np.log(counts[:3] @ regression.predict(quantities, terms))

    for place in range(4):
        moved = step * prior_sds[place] * (np.arange(5) == 1 + place)
        derivative = (logs(moved) - logs(-moved)) / (2 * step)
        np.testing.assert_allclose(slopes[:3, place], derivative, atol=2e-3)


def test_one_large_network_does_not_decide_alone() -> None:
    """Least squares of absolute errors would fit the largest network only, and lose the cost of a call."""
    quantities = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    counts = csr_array(np.array([[1e4, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]))
    costs = np.array([1.1e4, 0.5, 1.0, 1.5])
    fitted = OperatorRegression(REFINES).fit(quantities, np.zeros((2, 0)), counts, costs)
    np.testing.assert_allclose(fitted.predict(quantities, np.zeros((2, 0))), [1.1, 0.5], rtol=0.03)


def test_the_scale_of_costs_does_not_matter() -> None:
    quantities, terms, counts, costs = networks(12, 1)
    one, large = (OperatorRegression(REFINES).fit(quantities, terms, counts, k * costs) for k in (1.0, 1e6))
    np.testing.assert_allclose(large.predict(quantities, terms), 1e6 * one.predict(quantities, terms), rtol=0.02)


def test_a_slip_counts_less() -> None:
    quantities, terms, counts, costs = networks(40, 2)
    right = counts @ OperatorRegression(REFINES).fit(quantities, terms, counts, costs).predict(quantities, terms)
    wrong = costs.copy()
    wrong[3] *= 1000
    found = counts @ OperatorRegression(REFINES).fit(quantities, terms, counts, wrong).predict(quantities, terms)
    assert np.median(np.abs(found / right - 1)) < 0.1


def test_evidence_prefers_columns_that_explain() -> None:
    quantities, terms, counts, costs = networks(40, 3)
    shuffled = np.random.default_rng(0).permutation(quantities[:, 0])[:, None]
    fits = [OperatorRegression((-1,)).fit(each, terms, counts, costs) for each in (quantities[:, :1], shuffled)]
    assert fits[0].log_evidence_ > fits[1].log_evidence_ + 10


def test_operators_without_quantities_cost_nothing() -> None:
    quantities, terms, counts, costs = networks(20, 4)
    quantities[5] = 0
    fitted = OperatorRegression(REFINES).fit(quantities, terms, counts, costs)
    predicted = fitted.predict(quantities, terms)
    assert predicted[5] == 0
    assert (np.delete(predicted, 5) > 0).all()
    assert fitted.predict(quantities[:0], terms[:0]).shape == (0,)


def test_arrays_restore_it_to_the_bit() -> None:
    quantities, terms, counts, costs = networks(20, 5)
    fitted = OperatorRegression(REFINES).fit(quantities, terms, counts, costs)
    again = OperatorRegression(REFINES).from_arrays(fitted.to_arrays(), terms.shape[1])
    assert again.predict(quantities, terms).tobytes() == fitted.predict(quantities, terms).tobytes()
    with pytest.raises(InvalidInputError, match="missing"):
        OperatorRegression(REFINES).from_arrays({}, 1)


def test_costs_above_0_of_operators_that_run() -> None:
    quantities, terms, counts, costs = networks(20, 6)
    with pytest.raises(InvalidInputError, match="costs above 0, got -1"):
        OperatorRegression(REFINES).fit(quantities, terms, counts, np.where(costs == costs[0], -1.0, costs))
    with pytest.raises(InvalidInputError, match="no network has an operator that takes time"):
        OperatorRegression(REFINES).fit(0 * quantities, terms, counts, costs)
