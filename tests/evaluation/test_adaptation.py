"""Curves of a device's own measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable, as_graphs
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import adaptation, adaptation_curve
from hwnas_surrogate.graphs import GraphBatch
from tests.evaluation.planted import TRIO, planted, with_costs

TABLE = planted("nasbench201", TRIO)


@pytest.fixture(scope="module")
def curve() -> pd.DataFrame:
    return adaptation_curve(planted("nasbench201", ("phone",), 40, noise=0), sizes=[3, 10, 30], draws=6)


def test_adaptation_curve_has_a_row_per_size_and_draw(curve: pd.DataFrame) -> None:
    assert list(curve.columns) == ["device", "metric", "unit", "n_shots", "draw", "mdape", "spearman_rho"]
    assert curve[["device", "metric", "unit"]].drop_duplicates().to_numpy().tolist() == [["phone", "latency", "ms"]]
    assert [*zip(curve["n_shots"], curve["draw"], strict=True)] == [(n, i) for n in (3, 10, 30) for i in range(6)]
    assert curve["mdape"].gt(0).all()
    assert curve["spearman_rho"].between(-1, 1).all()


def test_the_error_falls_with_the_measurements(curve: pd.DataFrame) -> None:
    errors = curve.groupby("n_shots")["mdape"].mean().tolist()
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_default_sizes_go_from_three_to_two_less_than_there_are() -> None:
    table = TABLE.select("phone")
    told = adaptation_curve(table.rows(range(23)), draws=1)
    assert told["n_shots"].tolist() == [3, 7, 10, 14, 17, 21]
    assert told["spearman_rho"].isna().tolist() == [False] * 5 + [True]
    assert adaptation_curve(table.rows(range(6)), draws=1)["n_shots"].tolist() == [3, 4]


def test_adaptation_curve_is_repeatable() -> None:
    table = TABLE.select("phone").rows(range(12))
    first, same, other = (
        adaptation_curve(table, sizes=[5], draws=2, random_state=state)["mdape"].tolist() for state in (0, 0, 1)
    )
    assert first == same
    assert first != other


def test_profiles_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.models.operator_trees._ROUNDS", 20)
    graphs = as_graphs(TABLE.select("phone").rows(range(16)))
    (target,), costs = graphs.targets, graphs.costs[:, 0]
    assert isinstance(graphs.batch, GraphBatch)
    times = [np.full(len(graph), cost / len(graph)) for graph, cost in zip(graphs.batch.graphs, costs, strict=True)]
    profiled = CostTable(None, graphs.batch, graphs.costs, [target], operators={target: times})
    errors = [adaptation_curve(each, sizes=[12], draws=1)["mdape"].item() for each in (graphs, profiled, profiled)]
    assert errors[0] != errors[1] == errors[2]


def test_every_target_has_its_curve_of_its_own_measurements() -> None:
    def change(costs: npt.NDArray[np.float64]) -> None:
        costs[8:, 1] = np.nan

    table = with_costs(TABLE.select(["phone", "board"]).rows(range(12)), change)
    told = adaptation_curve(table, draws=1)
    assert told.groupby("device", sort=False)["n_shots"].max().to_dict() == {"phone": 10, "board": 6}
    alone = adaptation_curve(table.select("board").rows(range(8)), draws=1)
    pd.testing.assert_frame_equal(told[told["device"] == "board"].reset_index(drop=True), alone)
    with pytest.raises(InvalidInputError, match="board/latency: a curve takes 6 measurements or more, got 5"):
        adaptation_curve(table.rows([0, 1, 2, 3, 4, 9, 10, 11]), draws=1)


def test_sources_help_the_first_measurements() -> None:
    table = TABLE.rows(range(60))
    few = table.select("phone").rows(range(12))
    alone, helped = (
        adaptation_curve(few, sources, sizes=[3], draws=6)["mdape"].mean() for sources in (None, table.select("board"))
    )
    assert helped < alone


@pytest.mark.parametrize("sizes", [[1], [12], [3, 13], [0]])
def test_sizes_out_of_range_are_told(sizes: list[int]) -> None:
    table = TABLE.select("phone").rows(range(12))
    with pytest.raises(InvalidInputError, match="phone/latency: sizes must be from 2 to 11, got") as told:
        adaptation_curve(table, sizes=sizes)
    assert str(sizes) in str(told.value)


@pytest.mark.parametrize("sizes", [[2], [11]])
def test_sizes_at_the_ends_are_allowed(sizes: list[int]) -> None:
    told = adaptation_curve(TABLE.select("phone").rows(range(12)), sizes=sizes, draws=2)
    assert told["mdape"].notna().all()
    assert told["spearman_rho"].isna().all() == (sizes == [11])


@pytest.mark.parametrize("draws", [0, -1, "5", 1.5, True, None])
def test_draws_that_are_no_number_of_draws_are_told(draws: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"draws must be an integer of at least 1, got {draws!r}"):
        adaptation_curve(TABLE.select("phone").rows(range(12)), sizes=[4], draws=draws)


@pytest.mark.parametrize("sizes", [[], [3.5], 4, [True]])
def test_sizes_that_are_none_or_no_whole_numbers_are_told(sizes: list[Any]) -> None:
    with pytest.raises(InvalidInputError):
        adaptation_curve(TABLE.select("phone").rows(range(12)), sizes=sizes)


def test_a_killed_curve_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, scored = [], adaptation._draws

    def noted(targets: Any, *task: Any) -> Any:
        begun.append(task)
        return scored(targets, *task)

    def killed(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(adaptation, "_draws", noted)
    table = TABLE.rows(range(12)).select(["phone", "board"])
    how: dict[str, Any] = {"sizes": [4, 8], "draws": np.int64(2), "journal": tmp_path / "curve.journal"}
    with pytest.raises(KeyboardInterrupt):
        adaptation_curve(table, **how, progress=killed)
    steps: list[tuple[int, int]] = []
    again = adaptation_curve(table, **how, progress=lambda *step: steps.append(step))
    assert begun == [(0, 4, 2, 0), (0, 8, 2, 0), (1, 4, 2, 0), (1, 8, 2, 0)]
    assert steps == [(3, 4), (4, 4)]
    pd.testing.assert_frame_equal(again, adaptation_curve(table, sizes=[4, 8], draws=2), check_exact=True)
    before = len(begun)
    adaptation_curve(table, TABLE.select("server").rows(range(30)), **how)
    assert len(begun) == before + 4  # of other sources, nothing counts
