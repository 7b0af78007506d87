"""Pareto fronts, against brute force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import disagreement
from hwnas_surrogate.errors import InvalidInputError, NotInTableError
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.spaces import get_space
from tests.graph_tables import zoo_table
from tests.tables import FIVE, SPACE, noisy, table_of


def slow_front(values: npt.NDArray[np.float64]) -> list[int]:
    """Rows that no other dominates, all smaller being better."""
    front = []
    for row, value in enumerate(values):
        if not ((values <= value).all(axis=1) & (values < value).any(axis=1)).any():
            front.append(row)
    return front


@pytest.mark.parametrize("objectives", [2, 3, 4])
@pytest.mark.parametrize("levels", [4, 1000])
def test_fronts_equal_the_brute_force_ones(objectives: int, levels: int) -> None:
    rng = np.random.default_rng(levels + objectives)
    values = rng.integers(1, levels, (300, objectives)).astype(float)
    table = table_of(values)
    rows = np.flatnonzero(SPACE.connected(table.archs))
    front = pareto_front(table, FIVE[:objectives])
    assert sorted(front.index) == rows[slow_front(values[rows])].tolist()
    assert front["a/latency"].is_monotonic_increasing
    larger = FIVE[1:objectives]
    signs = np.array([1] + [-1] * len(larger))
    front = pareto_front(table, FIVE[:objectives], larger)
    assert sorted(front.index) == rows[slow_front(values[rows] * signs)].tolist()


def test_networks_without_a_path_are_on_no_front_of_a_table() -> None:
    archs = SPACE.as_array(
        ["|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_3x3~1|none~2|", *SPACE.format_all([0, 1])]
    )
    assert SPACE.connected(archs).tolist() == [False, True, True]
    table = CostTable(SPACE, archs, [[0.01, 0.01], [2, 3], [3, 2]], FIVE[:2])
    front = pareto_front(table, ["a", "b"])
    assert list(front.index) == [1, 2]
    assert (front.attrs["n"], front.attrs["left_out"], front.attrs["cut_off"]) == (2, 0, 1)
    frame = pd.DataFrame(table.costs, columns=["a", "b"])
    assert list(pareto_front(frame, ["a", "b"]).index) == [0]
    for connected in (SPACE.connected(archs), pd.array([False, True, None], dtype="boolean")):
        front = pareto_front(frame.assign(connected=connected), ["a", "b"])
        assert list(front.index) == [1, 2]
        assert (front.attrs["n"], front.attrs["left_out"], front.attrs["cut_off"]) == (2, 0, 1)
    assert list(pareto_front(frame.assign(connected=["no", "yes", "yes"]), ["a", "b"]).index) == [0]
    assert disagreement(table, "a", "b").cheap_on_first["connected"].all()
    assert disagreement(table.rows([0, 2]), "a", "b").cheap_on_second.empty


def test_ties_are_kept_even_if_rounding_breaks_them() -> None:
    frame = pd.DataFrame({"x": [1.0, 1.0, 1 + 1e-13, 2.0], "y": [3.0, 3.0, 3 + 1e-13, 1.0], "name": list("abcd")})
    front = pareto_front(frame, ["x", "y"])
    assert front["name"].tolist() == list("abcd")
    assert list(front) == ["x", "y", "name"]


def test_rows_without_a_value_are_left_out_and_counted() -> None:
    costs = np.array([[1, 5], [np.nan, 0], [2, np.nan], [3, 3], [4, 4]])
    front = pareto_front(table_of(costs), ["a", "b"])
    assert list(front.index) == [0, 3]
    assert front["architecture"].tolist() == SPACE.format_all([0, 3])
    assert (front.attrs["n"], front.attrs["left_out"]) == (3, 2)
    nothing = pareto_front(table_of(np.full((3, 2), np.nan)), ["a", "b"])
    assert nothing.empty
    assert list(nothing) == ["architecture", "config", "a/latency", "b/latency"]
    assert nothing.attrs["left_out"] == 3


def test_accuracies_by_architecture_are_one_more_objective(tmp_path: Path) -> None:
    table = table_of([[1.0], [2.0], [3.0], [4.0]])
    # In another order, with one that the table lacks, and without one that it has.
    texts = SPACE.format_all([3, 9, 1, 0])
    series = pd.Series([92.0, 99.0, 91.0, 91.0], index=texts)
    front = pareto_front(table, ["a"], accuracy=series)
    assert list(front.index) == [0, 3]
    assert front["accuracy"].tolist() == [91.0, 92.0]
    assert front.attrs["left_out"] == 1
    assert front.attrs["maximise"] == ["accuracy"]
    series.rename_axis("architecture").rename("top-1 (%)").to_csv(tmp_path / "accuracy.csv")
    pd.testing.assert_frame_equal(pareto_front(table, "a", accuracy=tmp_path / "accuracy.csv"), front)
    by_index = pd.Series(series.to_numpy(), index=[3, 9, 1, 0])
    both = pareto_front(table, ["a", "accuracy"], ["accuracy"], accuracy=by_index)
    pd.testing.assert_frame_equal(both, front)


def test_accuracies_of_fbnet_are_found() -> None:
    space = get_space("fbnet")
    archs = space.sample(5, 0)
    table = CostTable(space, archs, [[5.0], [4], [3], [2], [1]], FIVE[:1])
    accuracy = pd.Series([5.0, 4, 1, 2, 3], index=space.format_all(archs))
    assert list(pareto_front(table, "a", accuracy=accuracy).index) == [4, 1, 0]


def test_wrong_fronts_are_refused() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [2.0, np.inf], "z": ["a", "b"], "w": [1, 2]})
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: pareto_front(frame, ["x"]), "two or more different objectives"),
        (lambda: pareto_front(frame, ["x", "x"]), "two or more different objectives"),
        (lambda: pareto_front(frame, ["x", "q"]), "unknown objective 'q'"),
        (lambda: pareto_front(frame, ["x", "w"], ["y"]), "unknown objective to maximise 'y'"),
        (lambda: pareto_front(frame, ["x", "y"]), "y must be finite"),
        (lambda: pareto_front(frame, ["x", "z"]), "z must be a column of numbers"),
        (lambda: pareto_front(frame, ["x"], accuracy=frame["w"]), "goes with a cost table"),
        (lambda: pareto_front([[1.0]], ["x", "y"]), "a cost table or a DataFrame, got list"),  # type: ignore[arg-type]
        (lambda: pareto_front(table_of(noisy()), ["a"], accuracy=[1.0]), "must be a Series .* got list"),  # type: ignore[arg-type]
        (lambda: pareto_front(table_of(noisy()), ["a"], accuracy=pd.Series([1, 2], [0, 0])), "twice"),
        (lambda: pareto_front(table_of(noisy()), ["a"], accuracy=pd.Series(["x"], [0])), "must hold numbers"),
        (lambda: pareto_front(table_of(noisy(5, 2), ["a/latency", "a/energy"]), ["a", "x"]), "one target, got 'a'"),
    ]
    for call, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            call()
    with pytest.raises(NotInTableError, match="Did you mean 'a/latency'"):
        pareto_front(table_of(noisy()), ["a/latancy", "b"])


def test_a_front_of_graphs_names_them() -> None:
    table = zoo_table(1)
    accuracy = pd.Series(np.arange(len(table), dtype=float), index=table.names)
    front = pareto_front(table, ["phone"], accuracy=accuracy)
    assert list(front.columns) == ["model", "phone/latency", "accuracy"]
    best = slow_front(np.column_stack([table.costs[:, 0], -accuracy]))
    assert set(front["model"]) == {table.names[row] for row in best}
