"""Scores against slow references, and the laws that they keep."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import Scores, score

relaxed = settings(deadline=None)
RANKED = ("kendall_tau", "kendall_tau_raw", "spearman_rho")
# Levels are far enough apart for none to be a tie by accident, and repeat often.
levels = st.integers(1, 12).map(lambda level: level / 7)
pairs = st.lists(st.tuples(levels, levels), min_size=1, max_size=40)


def sign(a: float, b: float) -> int:
    if abs(a - b) <= 1e-9 * max(abs(a), abs(b)):
        return 0
    return 1 if a > b else -1


def slow_tau_b(first: list[float], second: list[float]) -> float:
    agreeing = first_untied = second_untied = 0
    for i, j in combinations(range(len(first)), 2):
        a, b = sign(first[i], first[j]), sign(second[i], second[j])
        agreeing += a * b
        first_untied += abs(a)
        second_untied += abs(b)
    if not first_untied or not second_untied:
        return math.nan
    return agreeing / math.sqrt(first_untied * second_untied)


def slow_midranks(values: list[float]) -> list[float]:
    return [sum(sign(value, other) + 1 for other in values) / 2 for value in values]


# -- rank scores ------------------------------------------------------------------------------------------


@relaxed
@given(pairs)
def test_rank_scores_equal_slow_references(drawn: list[tuple[float, float]]) -> None:
    measured, predicted = map(list, zip(*drawn, strict=True))
    scores = score(measured, predicted)
    expected = slow_tau_b(measured, predicted)
    assert scores.kendall_tau == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert scores.kendall_tau_raw == pytest.approx(expected, abs=1e-12, nan_ok=True)
    if math.isnan(expected):
        assert math.isnan(scores.spearman_rho)
    else:
        rho = np.corrcoef(slow_midranks(measured), slow_midranks(predicted))[0, 1]
        assert scores.spearman_rho == pytest.approx(rho, abs=1e-12)


def test_a_reversed_order_keeps_its_sign() -> None:
    scores = score([1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 3.0, 1.0])
    assert [getattr(scores, name) for name in RANKED] == pytest.approx([-1.0] * 3)


@pytest.mark.parametrize("noisy_side", ["measured", "predicted"])
def test_noise_below_1e_9_is_a_tie_on_either_side(noisy_side: str) -> None:
    clean = [1.0, 1.0, 2.0, 2.0, 3.0]
    noisy = [1.0, 1.0 + 1e-13, 2.0 + 1e-13, 2.0, 3.0]
    scores = score(noisy, clean) if noisy_side == "measured" else score(clean, noisy)
    assert (scores.kendall_tau, scores.spearman_rho) == pytest.approx((1.0, 1.0), abs=1e-12)
    # 10 pairs, 8 of them untied on the clean side.
    assert scores.kendall_tau_raw == pytest.approx(8 / math.sqrt(8 * 10))


def test_noise_on_both_sides_does_not_make_an_order() -> None:
    scores = score([1.0, 1.0 + 1e-13, 2.0], [5.0 + 1e-12, 5.0, 9.0])
    assert scores.kendall_tau == pytest.approx(1.0, abs=1e-12)
    assert scores.kendall_tau_raw == pytest.approx(1 / 3)


def test_a_difference_above_1e_9_is_an_order() -> None:
    assert score([1.0, 1.0 + 1e-8, 2.0], [1.0 + 1e-8, 1.0, 2.0]).kendall_tau == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("measured", "predicted"),
    [([0.1] * 3, [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [0.1] * 3), ([0.1] * 7, [0.3] * 7), ([2.0], [1.0])],
    ids=["measured", "predicted", "both", "single"],
)
def test_rank_scores_of_constants_are_nan_without_a_warning(measured: list[float], predicted: list[float]) -> None:
    scores = score(measured, predicted)
    assert all(math.isnan(getattr(scores, name)) for name in RANKED)


@pytest.mark.parametrize("n", range(1, 12))
def test_r2_of_constant_costs_is_nan_however_their_mean_rounds(n: int) -> None:
    # The mean of [0.1, 0.1, 0.1] is not 0.1.
    assert math.isnan(score([0.1] * n, np.linspace(1, 2, n)).r2)


# -- errors in the unit of the costs, and relative to them ------------------------------------------------


@relaxed
@given(pairs)
def test_error_scores_equal_slow_references(drawn: list[tuple[float, float]]) -> None:
    measured, predicted = map(list, zip(*drawn, strict=True))
    scores = score(measured, predicted)
    n = len(drawn)
    relative = sorted(abs(guess - truth) / truth for truth, guess in drawn)
    assert scores.n == n
    assert scores.rmse == pytest.approx(math.sqrt(sum((guess - truth) ** 2 for truth, guess in drawn) / n))
    assert scores.mape == pytest.approx(sum(relative) / n)
    assert scores.mdape == pytest.approx((relative[(n - 1) // 2] + relative[n // 2]) / 2)
    if len(set(measured)) > 1:
        assert scores.r2 == pytest.approx(r2_score(measured, predicted))


def test_hand_computed_scores() -> None:
    scores = score([10.0, 20.0, 40.0, 80.0], [10.4, 22.0, 30.0, 81.0])
    assert scores.mape == pytest.approx((0.04 + 0.1 + 0.25 + 0.0125) / 4)
    assert scores.mdape == pytest.approx(0.07)
    assert scores.rmse == pytest.approx(math.sqrt((0.16 + 4 + 100 + 1) / 4))
    assert scores.r2 == pytest.approx(1 - 105.16 / (27.5**2 + 17.5**2 + 2.5**2 + 42.5**2))
    assert (scores.within_5pct, scores.within_10pct) == (0.5, 0.75)


def test_costs_of_zero_are_left_out_of_relative_errors() -> None:
    scores = score([0.0, 1.0, 2.0], [0.5, 1.1, 2.0])
    assert scores.mape == pytest.approx(0.05)
    assert scores.mdape == pytest.approx(0.05)
    assert scores.within_10pct == pytest.approx(2 / 3)  # no error is small beside a cost of 0
    assert score([0.0, 1.0], [0.0, 5.0]).within_5pct == 0.5


def test_relative_errors_of_nothing_but_zeros_are_nan() -> None:
    scores = score([0.0, 0.0], [0.0, 1.0])
    assert math.isnan(scores.mape)
    assert math.isnan(scores.mdape)
    assert scores.within_5pct == 0.5


@pytest.mark.parametrize("cost", [0.1, 0.3, 0.7, 1.0, 3.3, 7.7, 123.4])
@pytest.mark.parametrize(("name", "part"), [("within_5pct", 0.05), ("within_10pct", 0.1)])
@pytest.mark.parametrize("side", [1, -1])
def test_exactly_at_the_bound_counts_and_beyond_does_not(cost: float, name: str, part: float, side: int) -> None:
    assert getattr(score([cost], [cost * (1 + side * part)]), name) == 1.0
    assert getattr(score([cost], [cost * (1 + side * part * 1.0001)]), name) == 0.0


# -- the cheapest tenth -----------------------------------------------------------------------------------


def test_top_recall_by_hand() -> None:
    measured = np.arange(1.0, 31.0)  # cheapest three: rows 0, 1, 2
    predicted = measured.copy()
    assert score(measured, predicted).top_10pct_recall == 1.0
    predicted[[1, 17]] = predicted[[17, 1]]  # row 17 takes the place of row 1
    assert score(measured, predicted).top_10pct_recall == pytest.approx(2 / 3)
    assert score(measured, -predicted).top_10pct_recall == 0.0


def test_top_recall_has_at_least_one_place() -> None:
    assert score([1.0, 2.0, 3.0], [2.0, 3.0, 1.0]).top_10pct_recall == 0.0
    assert score([5.0], [7.0]).top_10pct_recall == 1.0


def test_ties_at_the_border_share_the_places() -> None:
    measured = np.repeat([1.0, 2.0], [4, 16])  # two places, four rows with an equal claim
    assert score(measured, measured).top_10pct_recall == 1.0
    # Rows 0 and 1 are picked: each holds half of the right places.
    assert score(measured, [1.0, 2.0] + [3.0] * 18).top_10pct_recall == pytest.approx(0.5)
    # A constant prediction is no better than chance, however the rows are sorted.
    assert score(np.arange(20.0), [1.0] * 20).top_10pct_recall == pytest.approx(0.1)


def test_floating_point_noise_does_not_lower_the_recall() -> None:
    rng = np.random.default_rng(0)
    levels_of_rows = np.repeat([1.0, 2.0, 3.0, 4.0], 25)
    noisy = levels_of_rows * (1 + 1e-13 * rng.standard_normal(100))
    assert score(noisy, levels_of_rows).top_10pct_recall == 1.0


# -- laws -------------------------------------------------------------------------------------------------


@relaxed
@given(pairs, st.sampled_from([1e-6, 1e-3, 0.3, 1e3, 1e6]))
def test_the_unit_changes_rmse_only(drawn: list[tuple[float, float]], unit: float) -> None:
    measured, predicted = np.transpose(drawn)
    before, after = score(measured, predicted).to_dict(), score(measured * unit, predicted * unit).to_dict()
    assert after.pop("rmse") == pytest.approx(before.pop("rmse") * unit)
    # Equal levels stay equal bits, so that the raw tau holds too.
    assert after == pytest.approx(before, nan_ok=True, rel=1e-9, abs=1e-12)


@relaxed
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_decides_nothing(drawn: list[tuple[float, float]], random: object) -> None:
    shuffled = list(drawn)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (score(*np.transpose(rows)).to_dict() for rows in (drawn, shuffled))
    assert first == pytest.approx(second, nan_ok=True, abs=1e-12)


def test_perfect_predictions() -> None:
    costs = np.random.default_rng(3).uniform(1, 9, 50)
    perfect = score(costs, costs)
    assert perfect == Scores(50, *[pytest.approx(1.0)] * 4, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)  # type: ignore[arg-type]


def test_scores_are_values() -> None:
    scores = score([1.0, 2.0], [1.0, 3.0])
    assert scores == score([1, 2], np.array([1, 3], np.float32))
    assert list(scores.to_dict()) == list(Scores.__dataclass_fields__)
    assert all(type(value) in (int, float) for value in scores.to_dict().values())
    with pytest.raises(AttributeError):
        scores.n = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("measured", "predicted", "told"),
    [
        ([1.0, 2.0], [1.0], r"\(2,\) and \(1,\)"),
        ([], [], r"at least 1, got \(0,\)"),
        (1.0, 1.0, r"\(\) and \(\)"),
        ([[1.0, 2.0]], [[1.0, 2.0]], r"\(1, 2\)"),
        ([1.0, math.nan], [1.0, 2.0], "measured costs must be finite, got nan"),
        ([1.0, 2.0], [-math.inf, 2.0], "predicted costs must be finite, got -inf"),
    ],
)
def test_what_cannot_be_scored_is_refused(measured: object, predicted: object, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        score(measured, predicted)  # type: ignore[arg-type]


def test_scores_print_as_lines_of_four_digits() -> None:
    rng = np.random.default_rng(0)
    measured = rng.uniform(1, 3, 1234)
    scores = score(measured, measured * rng.uniform(0.9, 1.1, 1234))
    lines = dict(line.split(maxsplit=1) for line in str(scores).splitlines())
    assert list(lines) == list(scores.to_dict())
    assert lines["n"] == "1,234"
    assert lines["kendall_tau"] == f"{scores.kendall_tau:.4g}"
    assert lines["rmse"] == f"{scores.rmse:.4g}"
    assert lines["mdape"] == f"{100 * scores.mdape:.4g} %"
    assert lines["within_10pct"] == "100 %"
    assert eval(repr(scores), {"Scores": Scores}) == scores
    constant = dict(line.split(maxsplit=1) for line in str(score([1.0, 1.0], [0.5, 0.5])).splitlines())
    assert constant["kendall_tau"] == constant["r2"] == "-"


@pytest.mark.parametrize("unit", [1e150, 1e200, 1e306, 1.7e308])
def test_scores_of_huge_costs_are_those_in_a_larger_unit(unit: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(30)
    guess = truth * rng.uniform(0.9, 1 / truth.max(), 30)
    small, large = score(truth, guess), score(truth * unit, guess * unit)
    assert large.rmse == pytest.approx(small.rmse * unit)
    for name in (*RANKED, "r2", "mape", "mdape", "within_5pct", "top_10pct_recall"):
        assert getattr(large, name) == pytest.approx(getattr(small, name))
