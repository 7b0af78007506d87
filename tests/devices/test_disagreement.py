"""The ops by which two devices differ, against regressions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import disagreement
from hwnas_surrogate.errors import InvalidInputError, NotInTableError
from hwnas_surrogate.ranks import tied_ranks
from tests.tables import FIVE, SPACE, counts, noisy, table_of


def test_the_op_by_which_two_devices_differ_is_found() -> None:
    n = 1000
    costs = counts(n) @ np.array([[0, 0], [1, 1], [3, 3], [9, 9], [1, 8]])
    found = disagreement(table_of(costs), "a/latency", "b/latency", n=7)
    assert found.effects["op"].iloc[0] == "avg_pool_3x3"
    assert found.effects["effect"].iloc[0] > 2 * found.effects["effect"].abs().iloc[1]
    assert found.effects["effect"].sum() == pytest.approx(0)
    assert found.r2 > 0.7
    assert found.r2_by_position >= found.r2
    assert set(found.effects_by_position["op"].iloc[:6]) == {"avg_pool_3x3"}
    assert set(found.effects_by_position["position"].iloc[:6]) == set(SPACE.position_names)
    for frame, sign in ((found.cheap_on_first, 1), (found.cheap_on_second, -1)):
        assert len(frame) == 7
        assert (sign * frame["difference"]).is_monotonic_decreasing
        assert (sign * frame["difference"] > 0).all()
    pools = [text.count("avg_pool_3x3") for text in found.cheap_on_first["architecture"]]
    assert min(pools) >= 2


def test_ranks_are_parts_of_the_architectures() -> None:
    found = disagreement(table_of([[1, 4], [2, 3], [3, 2], [4, 1], [np.nan, 9]]), "a", "b", n=1)
    assert found.n == 4
    row = found.cheap_on_first.iloc[0]
    assert row["architecture"] == SPACE.format_all([0])[0]
    assert row[["a/latency (ms)", "b/latency (ms)"]].tolist() == [1, 4]
    assert row[["rank_first", "rank_second", "difference"]].tolist() == [12.5, 87.5, 75.0]


def test_effects_equal_the_regression_on_differences_within_configs() -> None:
    n = 400
    prices = counts(n) @ np.array([[0, 0], [1, 2], [3, 1], [9, 7], [1, 8]])
    scale = np.where(np.arange(n) < 200, 1.0, 5.0)
    configs = ["cifar10"] * 200 + ["cifar100"] * 200
    found = disagreement(table_of(prices * scale[:, None], configs=configs), "a", "b")
    ranks = [100 * (stats.rankdata(tied_ranks(column)) - 0.5) / n for column in (prices * scale[:, None]).T]
    design = np.column_stack([counts(n)[:, 1:], scale == 1, np.ones(n)])
    slow = np.linalg.lstsq(design, ranks[1] - ranks[0], rcond=None)[0]
    effects = found.effects.set_index("op")["effect"]
    # Of the solutions of the collinear problem only differences between ops are unique.
    for op, value in zip(SPACE.ops[1:], slow, strict=False):
        assert effects[op] - effects["none"] == pytest.approx(value)


def test_devices_that_agree_have_nothing_to_list() -> None:
    costs = noisy(10, 2)[:, :1]
    found = disagreement(table_of(np.hstack([costs, 3 * costs])), "a", "b")
    assert found.cheap_on_first.empty
    assert found.cheap_on_second.empty
    assert np.isnan(found.r2)
    np.testing.assert_allclose(found.effects["effect"].dropna(), 0, atol=1e-9)


def test_an_op_that_no_architecture_has_has_no_effect() -> None:
    archs = [[1, 2, 3, 1, 2, 3], [3, 2, 1, 1, 2, 2], [2, 2, 2, 1, 1, 3]]
    found = disagreement(CostTable(SPACE, archs, [[1, 3], [2, 1], [3, 2]], FIVE[:2]), "a", "b")
    assert found.effects.set_index("op")["effect"].isna().to_dict() == {
        "none": True, "skip_connect": False, "nor_conv_1x1": False, "nor_conv_3x3": False, "avg_pool_3x3": True,
    }  # fmt: skip


def test_wrong_arguments_of_a_disagreement_are_refused() -> None:
    table = table_of([[1, np.nan], [2, np.nan], [np.nan, 3]])
    with pytest.raises(InvalidInputError, match=r"at least 2 rows in common, got 0 of 3"):
        disagreement(table, "a", "b")
    with pytest.raises(InvalidInputError, match="different targets, got a/latency twice"):
        disagreement(table, "a", "a/latency")
    with pytest.raises(NotInTableError, match="unknown target 'q'"):
        disagreement(table, "a", "q")
    two = table_of(noisy(5, 2), ["a/latency", "a/energy"])
    with pytest.raises(InvalidInputError, match=r"first must be one target, got 'a'"):
        disagreement(two, "a", "a/energy")
    for n in (0, 1.5, True):
        with pytest.raises(InvalidInputError, match="n must be an integer of at least 1"):
            disagreement(table, "a", "b", n)  # type: ignore[arg-type]
