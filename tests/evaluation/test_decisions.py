"""Decisions by predicted costs, against references that try everything."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import score
from hwnas_surrogate.evaluation.decisions import pick_under_budget, regret, top_k_recall

relaxed = settings(deadline=None)
# Levels are far enough apart for none to be a tie by accident, and repeat often.
levels = st.integers(1, 8).map(lambda level: level / 7)
pairs = st.lists(st.tuples(levels, levels), min_size=1, max_size=12)
triples = st.lists(st.tuples(levels, levels, levels), min_size=1, max_size=20)
quantiles = st.integers(1, 20).map(lambda twentieths: twentieths / 20)


def slow_pick(cost: list[float], quality: list[float], budget: float) -> int | None:
    best = None
    for row in range(len(cost)):
        if cost[row] > budget * (1 + 1e-9):
            continue
        if best is None or (quality[row], -cost[row]) > (quality[best], -cost[best]):
            best = row
    return best


def every_top(costs: list[float], k: int) -> list[set[int]]:
    """Return every choice of k rows that is a cheapest one: ties at the border may go either way."""
    total = sum(sorted(costs)[:k])
    rows = combinations(range(len(costs)), k)
    return [set(chosen) for chosen in rows if abs(sum(costs[row] for row in chosen) - total) < 1e-6]


# -- recall -----------------------------------------------------------------------------------------------


@relaxed
@given(pairs.filter(lambda drawn: len(drawn) <= 8), st.data())
def test_recall_shares_the_places_of_every_way_to_break_ties(
    drawn: list[tuple[float, float]], data: st.DataObject
) -> None:
    measured, predicted = map(list, zip(*drawn, strict=True))
    k = data.draw(st.integers(1, len(drawn)))
    # A row's part of the places is how many of the possible choices it is in.
    parts = []
    for costs in (measured, predicted):
        choices = every_top(costs, k)
        parts.append([sum(row in chosen for chosen in choices) / len(choices) for row in range(len(costs))])
    expected = sum(map(min, *parts)) / k
    assert top_k_recall(measured, predicted, k) == pytest.approx(expected, abs=1e-12)


@relaxed
@given(st.permutations(range(15)), st.permutations(range(15)), st.integers(1, 15))
def test_recall_without_ties_counts_what_both_hold(first: list[int], second: list[int], k: int) -> None:
    cheapest = {row for row in range(15) if first[row] < k}
    expected = len(cheapest & {row for row in range(15) if second[row] < k}) / k
    assert top_k_recall(first, second, k) == pytest.approx(expected)


@pytest.mark.parametrize("n", [5, 30, 104])
def test_recall_of_a_tenth_is_the_score_of_that_name(n: int) -> None:
    rng = np.random.default_rng(n)
    measured, predicted = rng.integers(1, 9, (2, n)).astype(float)
    expected = score(measured, predicted).top_10pct_recall
    assert top_k_recall(measured, predicted, max(1, round(n / 10))) == pytest.approx(expected)


def test_recall_sees_through_noise_and_gives_constants_that_of_chance() -> None:
    noise = 1 + 1e-13 * np.random.default_rng(0).standard_normal(40)
    steps = np.repeat([1.0, 2.0, 3.0, 4.0], 10)
    assert top_k_recall(steps * noise, steps, 5) == pytest.approx(1.0)
    assert top_k_recall(np.arange(40.0), noise, 8) == pytest.approx(8 / 40)
    # A difference above 1e-9 is an order.
    assert top_k_recall([1.0, 1.0 + 1e-8], [1.0 + 1e-8, 1.0], 1) == 0.0


@pytest.mark.parametrize("k", [0, -1, 4, 1.0, True, None, "2"])
def test_k_must_be_a_number_of_places(k: object) -> None:
    with pytest.raises(InvalidInputError, match=r"k must be an integer from 1 to 3.*got"):
        top_k_recall([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], k)  # type: ignore[arg-type]


def test_k_may_be_numpys() -> None:
    assert top_k_recall([1.0, 2.0, 3.0], [2.0, 1.0, 3.0], np.int64(2)) == 1.0  # type: ignore[arg-type]


# -- picking ----------------------------------------------------------------------------------------------


@relaxed
@given(pairs, st.one_of(levels, st.floats(-1, 2)))
def test_the_pick_is_the_one_that_a_loop_finds(drawn: list[tuple[float, float]], budget: float) -> None:
    cost, quality = map(list, zip(*drawn, strict=True))
    assert pick_under_budget(cost, quality, budget) == slow_pick(cost, quality, budget)


def test_ties_go_to_the_cheaper_and_then_to_the_first() -> None:
    assert pick_under_budget([3.0, 2.0, 2.0, 1.0], [5.0, 5.0, 5.0, 4.0], 9.0) == 1
    # Noise makes neither a better quality nor a cheaper cost.
    assert pick_under_budget([2.0, 1.0], [5.0 * (1 + 1e-13), 5.0], 9.0) == 1
    assert pick_under_budget([2.0 * (1 + 1e-13), 2.0], [5.0, 5.0], 9.0) == 0
    assert pick_under_budget([2.0, 1.0], [5.0 * (1 + 1e-6), 5.0], 9.0) == 0


def test_what_costs_the_budget_is_paid_for_and_more_is_not() -> None:
    assert pick_under_budget([1.0, 2.0], [1.0, 2.0], 2.0) == 1
    assert pick_under_budget([1.0, 2.0 * (1 + 1e-12)], [1.0, 2.0], 2.0) == 1
    assert pick_under_budget([1.0, 2.0 * (1 + 1e-7)], [1.0, 2.0], 2.0) == 0
    assert pick_under_budget([1.0, 2.0], [1.0, 2.0], 0.99) is None


@pytest.mark.parametrize("budget", [math.nan, math.inf, None, "2", True, [2.0]])
def test_a_budget_must_be_a_finite_number(budget: object) -> None:
    with pytest.raises(InvalidInputError, match=r"budget must be a finite number.*got"):
        pick_under_budget([1.0], [1.0], budget)  # type: ignore[arg-type]


# -- regret -----------------------------------------------------------------------------------------------


@relaxed
@given(triples, st.lists(quantiles, min_size=1, max_size=4))
def test_regret_equals_a_slow_reference(drawn: list[tuple[float, float, float]], budgets: list[float]) -> None:
    measured, predicted, quality = map(list, zip(*drawn, strict=True))
    found = regret(measured, predicted, quality, budgets)
    assert found["quantile"].tolist() == budgets
    for row in found.itertuples():
        assert row.budget == pytest.approx(np.percentile(measured, 100 * row.quantile), abs=1e-12)
        paid = [i for i, cost in enumerate(measured) if cost <= row.budget + 1e-9]
        assert row.best in paid
        assert quality[row.best] == max(quality[i] for i in paid)
        picked = slow_pick(predicted, quality, row.budget)
        if picked is None:
            assert row.picked == -1
            assert math.isnan(row.regret)
            assert math.isnan(row.overrun)
        else:
            assert row.picked == picked
            assert row.regret == pytest.approx(max(0.0, quality[row.best] - quality[picked]))
            over = 0.0 if picked in paid else measured[picked] / row.budget - 1
            assert row.overrun == pytest.approx(over, abs=1e-9)


@relaxed
@given(pairs, st.integers(0, 2**32 - 1))
def test_exact_predictions_cost_nothing_even_with_noise(drawn: list[tuple[float, float]], seed: int) -> None:
    measured, quality = map(np.array, zip(*drawn, strict=True))
    noise = np.random.default_rng(seed).uniform(-1e-13, 1e-13, len(drawn))
    found = regret(measured, measured * (1 + noise), quality, [0.1, 0.5, 1.0])
    assert found["picked"].tolist() == found["best"].tolist()
    assert (found[["regret", "overrun"]] == 0.0).all(axis=None)


def test_both_sides_of_a_wrong_cost_by_hand() -> None:
    measured, quality = [1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 20.0, 30.0, 40.0, 50.0]
    # The median, 3, is predicted too dear: the next best is worse by 10, and within the budget.
    dear = regret(measured, [1.0, 2.0, 3.1, 4.0, 5.0], quality, [0.5]).iloc[0]
    assert (dear["budget"], dear["picked"], dear["best"], dear["regret"], dear["overrun"]) == (3.0, 1, 2, 10.0, 0.0)
    # The dearest is predicted cheap: its higher quality is not won, and it is over by two thirds.
    cheap = regret(measured, [1.0, 2.0, 3.0, 4.0, 2.5], quality, [0.5]).iloc[0]
    assert (cheap["picked"], cheap["best"], cheap["regret"]) == (4, 2, 0.0)
    assert cheap["overrun"] == pytest.approx(2 / 3)
    # A pick may break the budget and be worse all the same: both are told.
    worse = regret(measured, [9.0, 9.0, 9.0, 2.0, 9.0], [10.0, 20.0, 30.0, 25.0, 50.0], [0.5]).iloc[0]
    assert (worse["picked"], worse["regret"]) == (3, 5.0)
    assert worse["overrun"] == pytest.approx(1 / 3)


def test_nothing_picked_is_told_as_such() -> None:
    found = regret([1.0, 2.0], [8.0, 9.0], [1.0, 2.0])
    assert list(found) == ["quantile", "budget", "picked", "best", "regret", "overrun"]
    assert found["quantile"].tolist() == [0.25, 0.5, 0.75]
    assert found["picked"].tolist() == [-1, -1, -1]
    assert found["best"].tolist() == [0, 0, 0]
    assert found[["regret", "overrun"]].isna().all(axis=None)
    assert [found[name].dtype.kind for name in found] == ["f", "f", "i", "i", "f", "f"]


def test_noise_above_the_budget_is_no_overrun() -> None:
    measured = [1.0, 2.0, 2.0 * (1 + 1e-12), 4.0, 5.0]
    found = regret(measured, measured, [1.0, 2.0, 3.0, 4.0, 5.0], [0.25]).iloc[0]
    assert (found["budget"], found["picked"], found["best"], found["overrun"]) == (2.0, 2, 2, 0.0)


def test_the_overrun_of_a_budget_of_zero_is_infinite() -> None:
    found = regret([0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [1.0, 1.0, 2.0], [0.5])
    assert found["overrun"].tolist() == [math.inf]


@relaxed
@given(triples, st.sampled_from([1e-6, 1e-3, 1e3, 1e6]))
def test_the_unit_of_the_costs_changes_the_budget_only(drawn: list[tuple[float, float, float]], unit: float) -> None:
    measured, predicted, quality = np.transpose(drawn)
    before, after = regret(measured, predicted, quality), regret(measured * unit, predicted * unit, quality)
    for name in before:
        expected = before[name] * unit if name == "budget" else before[name]
        assert after[name].tolist() == pytest.approx(expected.tolist(), rel=1e-8, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("budgets", [[0.0], [1.1], [-0.1], [math.nan], [0.5, 25], ["0.5"], [True], [None]])
def test_a_quantile_outside_is_refused(budgets: list[object]) -> None:
    with pytest.raises(InvalidInputError, match=rf"above 0 and at most 1, got {budgets[-1]!r}.*pick_under_budget"):
        regret([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], budgets)  # type: ignore[arg-type]


@pytest.mark.parametrize("budgets", [[], 0.5, None, "0.5"])
def test_budgets_must_be_a_sequence_with_something_in_it(budgets: object) -> None:
    with pytest.raises(InvalidInputError, match=r"at least one quantile.*got"):
        regret([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], budgets)  # type: ignore[arg-type]


# -- what no decision can be made by ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "predicted", "told"),
    [
        ([1.0, 2.0], [1.0], r"measured and predicted must be vectors of one length, .*got \(2,\) and \(1,\)"),
        ([], [], r"at least 1, got \(0,\) and \(0,\)"),
        (1.0, 1.0, r"got \(\) and \(\)"),
        ([[1.0]], [[1.0]], r"got \(1, 1\)"),
        ([1.0, math.nan], [1.0, 2.0], "measured must be finite, got nan"),
        ([1.0, 2.0], [-math.inf, 2.0], "predicted must be finite, got -inf"),
        ([1.0, 2.0], ["cheap", "dear"], "predicted must be a vector of numbers, got list"),
    ],
)
def test_malformed_vectors_are_refused(measured: object, predicted: object, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        top_k_recall(measured, predicted, 1)  # type: ignore[arg-type]


def test_malformed_qualities_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="quality must be finite, got nan"):
        pick_under_budget([1.0], [math.nan], 1.0)
    with pytest.raises(InvalidInputError, match=r"measured and predicted and quality .*\(1,\) and \(1,\) and \(2,\)"):
        regret([1.0], [1.0], [1.0, 2.0])
