"""Tables of operators by choice: against sums one operator after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.graphs import Op, TensorSpec
from hwnas_surrogate.spaces import OpTable
from hwnas_surrogate.spaces.tables import smallest_counter

OPS = tuple(Op("relu", (spec,), (spec,)) for spec in (TensorSpec((1, width)) for width in range(1, 13)))
Calls = Counter[Op]
Rows = npt.NDArray[np.integer[Any]]
SIZES = pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 500, 501, 1203])
"""Numbers of rows around the number of choices, and around that from which pairs of positions are summed."""
POSITIONS = pytest.mark.parametrize("positions", [1, 2, 3, 6, 7])


def drawn(positions: int, choices: int = 8, seed: int = 0) -> tuple[Calls, list[list[Calls]]]:
    """Draw what is called always, and by each choice at each position."""
    rng = np.random.default_rng(seed)

    def calls() -> Calls:
        return Counter({OPS[place]: int(rng.integers(1, 5)) for place in rng.permutation(len(OPS))[: rng.integers(5)]})

    return calls(), [[calls() for _ in range(choices)] for _ in range(positions)]


def rows(n: int, positions: int, choices: int = 8, seed: int = 1) -> Rows:
    return np.random.default_rng(seed).integers(0, choices, (n, positions)).astype(np.int8)


def slowly(fixed: Calls, per_choice: Sequence[Sequence[Calls]], which: Rows, value: dict[Op, Any]) -> list[Any]:
    """Sum over each network, one operator after another."""
    result = []
    for row in which.tolist():
        called = Counter(fixed)
        for position, choice in enumerate(row):
            called.update(per_choice[position][choice])
        result.append(sum(value[op] * times for op, times in called.items()))
    return result


@SIZES
@POSITIONS
def test_sums_are_those_of_each_network(positions: int, n: int) -> None:
    fixed, per_choice = drawn(positions)
    table, which = OpTable.build(fixed, per_choice), rows(n, positions)
    value = {op: np.array([3 + 7 * place, 2**40 + place, -place]) for place, op in enumerate(OPS)}
    values = np.array([value[op] for op in table.distinct])
    expected = np.array(slowly(fixed, per_choice, which, value), float).reshape(n, 3)
    np.testing.assert_array_equal(table.sums(which, values), expected)
    np.testing.assert_array_equal(table.sums(which, values[:, 1].tolist()), expected[:, 1])


@SIZES
@POSITIONS
def test_sums_of_no_values_have_no_columns(positions: int, n: int) -> None:
    table, which = OpTable.build(*drawn(positions)), rows(n, positions)
    assert table.sums(which, np.empty((len(table.distinct), 0))).shape == (n, 0)


def test_networks_that_run_nothing_sum_to_zero() -> None:
    table = OpTable.build({}, [[{}, {}]] * 2)
    assert table.distinct == ()
    for n in (0, 5, 600):
        assert table.sums(rows(n, 2, 2), []).tolist() == [0] * n
        assert table.sums(rows(n, 2, 2), np.empty((0, 2))).tolist() == [[0, 0]] * n


@SIZES
@POSITIONS
def test_values_that_are_no_integers_are_summed_the_same_in_any_batch_and_order(positions: int, n: int) -> None:
    fixed, per_choice = drawn(positions)
    table, which = OpTable.build(fixed, per_choice), rows(n, positions)
    roots = np.random.default_rng(2).lognormal(0, 4, (len(table.distinct), 2))
    sums = table.sums(which, roots)
    for part in (slice(0, 1), slice(2, 9), slice(0, 501), slice(None, None, -1), slice(n // 2, n)):
        np.testing.assert_array_equal(table.sums(which[part], roots), sums[part])
        np.testing.assert_array_equal(table.sums(which[part], roots[:, 1]), sums[part, 1])
    more = np.tile(which, (1203 // max(n, 1) + 1, 1))
    np.testing.assert_array_equal(table.sums(more, roots)[:n], sums)
    exact = slowly(fixed, per_choice, which, dict(zip(table.distinct, roots, strict=True)))
    np.testing.assert_allclose(sums, np.reshape(exact, (n, 2)), rtol=1e-14, atol=128 * 2.0**-42 * roots.max())


@SIZES
def test_networks_of_equal_operators_have_equal_sums(n: int) -> None:
    """At other positions, the same operators come in another order."""
    _, (choices,) = drawn(1)
    table, which = OpTable.build({}, [choices] * 6), rows(n, 6)
    shuffled = np.random.default_rng(3).permuted(which, axis=1)
    roots = np.sqrt(np.arange(1, len(table.distinct) + 1))
    np.testing.assert_array_equal(table.sums(which, roots), table.sums(shuffled, roots))


def test_rounded_values_are_close_to_what_they_are() -> None:
    table = OpTable.build({OPS[0]: 3, OPS[1]: 1}, [[{OPS[1]: 2}, {OPS[2]: 1}]])
    values = np.array([1e9 + 0.1, 0.3, 2.0])
    sums = table.sums(np.array([[0], [1]]), values)
    np.testing.assert_allclose(sums, [3e9 + 1.2, 3e9 + 2.6], rtol=1e-12)
    assert (sums == table.sums(np.array([[0], [1]]), values)).all()


def test_integers_are_exact_beside_values_that_are_none() -> None:
    table = OpTable.build({OPS[0]: 1}, [[{OPS[1]: 1}, {OPS[1]: 2}]])
    which = np.array([[0], [1], [1]])
    assert table.sums(which, [[2.0**52, 0.1], [1.0, 2.0]])[:, 0].tolist() == [2**52 + 1, 2**52 + 2, 2**52 + 2]


@POSITIONS
def test_distinct_operators_come_in_the_order_of_their_appearance(positions: int) -> None:
    fixed, per_choice = drawn(positions)
    table = OpTable.build(fixed, per_choice)
    calls = [fixed, *(calls for choices in per_choice for calls in choices)]
    assert table.distinct == tuple(dict.fromkeys(op for each in calls for op in each))
    counts = table.sums(rows(20, positions), np.eye(len(table.distinct)))
    for row, found in zip(rows(20, positions).tolist(), counts, strict=True):
        called = sum((per_choice[position][choice] for position, choice in enumerate(row)), Counter(fixed))
        assert found.tolist() == [called[op] for op in table.distinct]


def test_operators_that_always_come_together_are_a_group() -> None:
    a, b, c, d = OPS[:4]
    table = OpTable.build({a: 1, b: 1, d: 2}, [[{}, {a: 2, b: 2, c: 1}], [{c: 3}, {}]])
    assert table.distinct == (a, b, d, c)
    assert table.group.tolist() == [0, 0, 1, 2]
    assert table.fixed.tolist() == [1, 2, 0]
    assert table.per_choice.tolist() == [[[0, 0, 0], [2, 0, 1]], [[0, 0, 3], [0, 0, 0]]]
    assert table.sums(np.array([[1, 0]]), [1, 10, 100, 1000]).tolist() == [3 + 30 + 200 + 4000]


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_counts_make_the_same_table_as_calls(positions: int, choices: int, n: int, seed: int) -> None:
    fixed, per_choice = drawn(positions, choices, seed)
    fixed[OPS[0]] += 1
    built = OpTable.build(fixed, per_choice)
    counts = OpTable.of_counts(
        built.distinct,
        np.array([fixed[op] for op in built.distinct]),
        np.array([[[calls[op] for op in built.distinct] for calls in at] for at in per_choice]),
    )
    assert counts.distinct == built.distinct
    for field in ("group", "fixed", "per_choice"):
        np.testing.assert_array_equal(getattr(counts, field), getattr(built, field))
    value = {op: op.activation_bytes for op in OPS}
    which = rows(n, positions, choices, seed)
    found = counts.sums(which, [value[op] for op in built.distinct])
    assert found.tolist() == slowly(fixed, per_choice, which, value)


def test_more_than_127_calls_are_counted() -> None:
    """Counters of eight bits would wrap."""
    (op, *_), which = OPS, np.zeros((3, 200), np.int8)
    table = OpTable.build({}, [[{op: 1}, {}]] * 200)
    which[1, :50] = 1
    assert table.sums(which, [op.activation_bytes]).tolist() == [200 * 8, 150 * 8, 200 * 8]
    assert OpTable.build({op: 1000}, [[{}, {op: 300}]]).sums(np.array([[1]]), [1]).tolist() == [1300]


def test_choices_may_be_more_than_127() -> None:
    (op, *_) = OPS
    for positions in (1, 2):
        table = OpTable.build({}, [[{op: choice} for choice in range(1000)]] * positions)
        for n in (3, 600, 1500):
            which = np.random.default_rng(0).integers(0, 1000, (n, positions)).astype(np.int16)
            assert table.sums(which, [2]).tolist() == (2 * which.sum(axis=1)).tolist()


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int64])
def test_choices_may_be_integers_of_any_size(kind: type) -> None:
    fixed, per_choice = drawn(2, 30)
    table = OpTable.build(fixed, per_choice)
    values = [op.activation_bytes for op in table.distinct]
    for n in (5, 800):
        which = rows(n, 2, 30)
        np.testing.assert_array_equal(table.sums(which.astype(kind), values), table.sums(which, values))


def test_a_table_may_be_of_what_is_always_run() -> None:
    table = OpTable.build({OPS[0]: 2}, [[{}, {}]])
    assert table.sums(np.array([[0], [1], [1]]), [1.5]).tolist() == [3, 3, 3]


def test_values_of_another_number_are_refused() -> None:
    table = OpTable.build({OPS[0]: 2, OPS[1]: 1}, [[{}]])
    with pytest.raises(ValueError, match="reshape"):
        table.sums(np.zeros((1, 1), np.int8), [1.0, 2.0, 3.0])


def test_counters_are_as_small_as_they_may_be() -> None:
    assert smallest_counter(127) is np.int8
    assert smallest_counter(128) is np.int64
