"""Values that are no costs are refused wherever costs enter, and numbers mean the same however they are stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import BlockTable, CostTable
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import evaluate, regret, score, top_k_recall
from hwnas_surrogate.reals import booleans, reals
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.search.quality import quality_by_row
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, tune

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(4, 0)
TEXTS = SPACE.format_all(ARCHS)
GOOD = [1.0, 2.0, 3.0, 4.0]
SPANS = np.arange(1, 5).astype("m8[ms]")

NOT_NUMBERS: dict[str, tuple[Any, str]] = {
    "masked": (np.ma.array(GOOD, mask=[0, 0, 1, 0]), r"1 masked value \(.*filled\(np\.nan\)"),
    "masked in a list": ([1.0, np.ma.masked, 3.0, 4.0], "1 masked value"),
    "time spans": (SPANS, r"time spans \(.*np\.timedelta64\(1, 'ms'\)"),
    "a column of time spans": (pd.Series(SPANS), "time spans"),
    "timedelta": ([timedelta(1)] * 4, "timedelta"),
    "dates": (np.arange(4).astype("M8[ns]"), "dates"),
    "datetime": ([datetime(2020, 1, 1)] * 4, "datetime"),
    "dates with a zone": (pd.date_range("2020", periods=4, tz="UTC"), "Timestamp"),
    "booleans": (np.array([True, False, True, True]), "booleans"),
    "a boolean among numbers": ([1.0, True, 3.0, 4.0], "booleans"),
    "nullable booleans": (pd.array([True, None, True, True], dtype="boolean"), "booleans"),
    "complex": (np.array(GOOD, complex), "complex numbers"),
    "a complex number": ([1.0, 2j, 3.0, 4.0], "complex numbers"),
    "texts": (["1", "2", "3", "4"], "texts"),
    "a text among numbers": ([1.0, "2", 3.0, 4.0], "texts"),
    "a column of texts": (pd.Series(["1", "2", "3", "4"]), "texts"),
    "bytes": (np.array([b"1"] * 4), "texts"),
    "categories of texts": (pd.Series(list("abcd"), dtype="category"), "texts"),
    "records": (np.zeros(4, [("ms", float)]), "'ms'"),
    "objects": ([object()] * 4, "object"),
    "a set": ({1.0, 2.0, 3.0, 4.0}, "set"),
    "too large": ([1, 2, 3, 10**400], "too large"),
    "ragged": ([[1.0], [2.0, 3.0], [4.0], [5.0]], "inhomogeneous"),
}
refused = pytest.mark.parametrize(("values", "what"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)


@refused
def test_what_is_no_number_is_refused(values: Any, what: str) -> None:
    with pytest.raises(InvalidInputError, match=f"costs must be numbers.*{what}"):
        reals(values)


ITSELF: list[Any] = [1.0]
ITSELF.append(ITSELF)
DOUBLED: list[Any] = [1.0]
for _ in range(40):
    DOUBLED = [DOUBLED, DOUBLED]
SHARED: list[Any] = [[[1.0] * 1000] * 1000] * 10_000
"""A hundred kilobytes that stand for eighty gigabytes."""


@pytest.mark.parametrize("values", [ITSELF, DOUBLED, SHARED, [SHARED]], ids=["itself", "doubled", "shared", "deeper"])
def test_a_few_bytes_do_not_take_all_memory(values: Any) -> None:
    for read in (reals, booleans):
        with pytest.raises(InvalidInputError, match=r"at most, got nested sequences of more"):
            read(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (3, 3.0),
        (None, np.nan),
        (range(3), [0.0, 1.0, 2.0]),
        ([Fraction(1, 4), Decimal("0.1"), np.float32(0.5), np.int8(2)], [0.25, 0.1, 0.5, 2.0]),
        (np.ma.array([1.0, 2.0]), [1.0, 2.0]),  # nothing is masked
        ([1, None, pd.NA, np.nan], [1.0, np.nan, np.nan, np.nan]),
        (pd.array([1, None], dtype="Int64"), [1.0, np.nan]),
        (pd.Series([0.1, None], dtype="Float64"), [0.1, np.nan]),
        (pd.Series([0.1, None], dtype="double[pyarrow]"), [0.1, np.nan]),
        (pd.Series([Decimal("0.1"), None], dtype=object), [0.1, np.nan]),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [0.5, 1.5]}), [[1.0, 0.5], [np.nan, 1.5]]),
        ([np.array([1, 2]), [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
        ([], []),
    ],
)
def test_numbers_mean_the_same_however_they_are_stored(values: Any, expected: Any) -> None:
    found = reals(values)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.array(expected, np.float64), strict=True)


def table() -> CostTable:
    return CostTable("nasbench201", ARCHS, np.array(GOOD)[:, None], ["pi/latency"])


ENTRANCES: dict[str, Callable[[Any], object]] = {
    "CostTable": lambda values: CostTable("nasbench201", ARCHS, [[v] for v in values], ["pi/latency"]),
    "CostTable, as it is": lambda values: CostTable("nasbench201", ARCHS, values, ["pi/latency"]),
    "CostTable repeats": lambda values: CostTable(
        "nasbench201", ARCHS, np.ones((4, 1)), ["pi/latency"], repeats=[[[v] * 5] for v in values]
    ),
    "BlockTable": lambda values: BlockTable({"pi/latency": dict(zip("abcd", values, strict=True))}),
    "Surrogate.fit": lambda values: Surrogate().fit(ARCHS, values),
    "Surrogate.score": lambda values: Surrogate().fit(ARCHS, GOOD).score(ARCHS, values),
    "Surrogate.predict_within": lambda values: Surrogate().fit(ARCHS, GOOD).predict_within(ARCHS, values),
    "SurrogateSuite.fit": lambda values: SurrogateSuite().fit(ARCHS, {"pi/latency": values}),
    "tune": lambda values: tune(Surrogate(), ARCHS, values, seconds=1),
    "score measured": lambda values: score(values, GOOD),
    "score predicted": lambda values: score(GOOD, values),
    "top_k_recall": lambda values: top_k_recall(values, GOOD, 1),
    "regret": lambda values: regret(GOOD, GOOD, values),
    "evaluate": lambda values: evaluate(table(), n_test=2, quality=values),
    "quality_by_row": lambda values: quality_by_row(table(), pd.Series(values, TEXTS)),
    "pareto_front": lambda values: pareto_front(pd.DataFrame({"a": values, "b": GOOD}), ["a", "b"]),
}


@pytest.mark.parametrize(
    ("entrance", "name"),
    [
        (entrance, name)
        for entrance in ENTRANCES
        for name in ("masked", "time spans", "dates", "booleans", "a boolean among numbers", "complex")
        if name != "masked" or entrance not in ("quality_by_row", "pareto_front")  # pandas makes NaN of these
    ],
)
def test_no_entrance_takes_them(entrance: str, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"must be|must hold") as caught:
        ENTRANCES[entrance](NOT_NUMBERS[name][0])
    assert "number" in str(caught.value)
    assert "shape" not in str(caught.value)  # it is not for another reason


def test_missing_costs_of_nullable_columns_are_missing() -> None:
    costs = pd.DataFrame({("pi", "latency", "ms"): pd.array([1, None, 3, 4], dtype="Int64")})
    suite = SurrogateSuite().fit(ARCHS, costs)
    assert suite["pi/latency"].n_train_ == 3
    with pytest.raises(InvalidInputError, match="got nan in row 1"):
        Surrogate().fit(ARCHS, costs.iloc[:, 0])


def test_masked_failures_are_refused() -> None:
    failed = np.ma.array([False, True, False, False], mask=[0, 1, 0, 0])
    with pytest.raises(InvalidInputError, match="True or False for each architecture, got masked"):
        Surrogate().fit(ARCHS, GOOD, failed=failed)


NOT_BOOLEANS: dict[str, tuple[Any, str]] = {
    "texts": (["False"] * 4, "texts"),
    "a text among booleans": ([True, "False", True, True], "texts"),
    "an array of texts": (np.array(["True"] * 4), "texts"),
    "numbers": ([0, 1, 0, 1], "numbers"),
    "an array of numbers": (np.array([0.0, 1.0, np.nan, 0.0]), "numbers"),
    "complex": (np.zeros(4, complex), "complex numbers"),
    "complex numbers": ([1j] * 4, "complex numbers"),
    "dates": (np.arange(4).astype("M8[ns]"), "dates"),
    "datetime": ([datetime(2020, 1, 1)] * 4, "datetime"),
    "no dates": ([pd.NaT] * 4, "NaTType"),
    "time spans": (SPANS, "time spans"),
    "none": ([True, None, True, True], "missing values"),
    "nullable": (pd.array([True, None, True, True], dtype="boolean"), "missing values"),
    "a nullable column": (pd.Series([True, None, True, True], dtype="boolean"), "missing values"),
    "masked": (np.ma.array([True] * 4, mask=[0, 1, 0, 0]), "masked values"),
    "masked in a list": ([np.ma.array([True], mask=[True])] * 4, "masked values"),
    "the masked one": ([True, np.ma.masked, True, True], "masked values"),
    "a set": ({True, False}, "set"),
    "ragged": ([[True], [True, False]], "inhomogeneous"),
}


@pytest.mark.parametrize(("values", "what"), NOT_BOOLEANS.values(), ids=NOT_BOOLEANS)
def test_what_is_no_truth_value_is_refused(values: Any, what: str) -> None:
    with pytest.raises(InvalidInputError, match=f"marks must be True or False.*{what}"):
        booleans(values)
    with pytest.raises(InvalidInputError, match=f"failed must hold True or False for each architecture.*{what}"):
        Surrogate().fit(ARCHS, GOOD, failed=values)
    if isinstance(values, (list, np.ndarray)) and what != "inhomogeneous":
        with pytest.raises(InvalidInputError, match=f"the reason 'broken' must be True or False for each cost.*{what}"):
            CostTable("nasbench201", ARCHS, np.full((4, 1), np.nan), ["pi/latency"], reasons={"broken": values})


@pytest.mark.parametrize(
    "values",
    [
        [True, False],
        (np.True_, False),
        np.array([True, False]),
        np.array([True, False], object),
        np.ma.array([True, False]),  # nothing is masked
        pd.Series([True, False]),
        pd.array([True, False], dtype="boolean"),
        pd.Series([True, False], dtype=object),
    ],
)
def test_truth_values_mean_the_same_however_they_are_stored(values: Any) -> None:
    np.testing.assert_array_equal(booleans(values), np.array([True, False]), strict=True)
    frame = np.asarray(pd.DataFrame({"a": values}))
    np.testing.assert_array_equal(booleans(frame), np.array([[True], [False]]), strict=True)
    assert booleans([]).shape == (0,)
