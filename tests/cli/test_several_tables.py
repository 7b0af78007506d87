"""``--data`` given more than once, and options that are not repeatable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas_surrogate.data import CostTable, write_parquet
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def tables(run: Run) -> None:
    """Write tables of two devices, which share the cost of architecture 1 with others of the first one."""
    for name, archs, costs, target in (
        ("a", [0, 1], [1.0, 2.0], "a/latency"),
        ("b", [1, 2], [3.0, 4.0], "b/latency"),
        ("same", [1, 2], [2.0, 5.0], "a/latency"),
        ("other", [1, 2], [2.5, 5.0], "a/latency"),
    ):
        write_parquet(CostTable("nasbench201", archs, [[cost] for cost in costs], [target]), Path(f"{name}.parquet"))


def test_two_tables_are_shown_side_by_side(run: Run) -> None:
    out, _ = run("query", 1, "--data", "a.parquet", "--data", "b.parquet", "--json")
    [record] = json.loads(out)
    assert (record["a/latency (ms)"], record["b/latency (ms)"]) == (2.0, 3.0)
    out, _ = run("query", "--all", "--data", "a.parquet", "--data", "b.parquet", "--json")
    assert [record["a/latency (ms)"] for record in json.loads(out)] == [1.0, 2.0, None]


def test_a_cost_that_is_equal_in_both_is_no_conflict(run: Run) -> None:
    out, _ = run("query", "--all", "--data", "a.parquet", "--data", "same.parquet", "--data", "a.parquet", "--json")
    assert [record["a/latency (ms)"] for record in json.loads(out)] == [1.0, 2.0, 5.0]


@pytest.mark.parametrize("command", [("query", 1), ("correlate",), ("train",), ("evaluate",), ("report",)], ids=str)
def test_a_cost_that_differs_is_one_error(run: Run, command: tuple[object, ...]) -> None:
    out, err = run(*command, "--data", "a.parquet", "--data", "other.parquet", code=2)
    assert out == ""
    assert err.startswith("error: --data a.parquet and other.parquet can't be merged: the cost a/latency of |")
    assert "in more than one table, with different values: 2 ms and 2.5 ms (1 such costs in all)" in err


def test_blocks_are_no_table_of_networks(run: Run) -> None:
    _, err = run("query", "--all", "--data", "a.parquet", "--data", "blocks", code=2)
    assert "blocks holds costs of FBNet's blocks, each alone: give it as the only --data" in err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("query 1 --space nasbench201 --space fbnet", "--space takes one value, got 'nasbench201' and 'fbnet'"),
        (
            "query 1 --space=fbnet --space nasbench201 --target a",
            "--space takes one value, got 'fbnet' and 'nasbench201'",
        ),
        ("train --output one -o two", "--output takes one value, got 'one' and 'two'"),
        ("import a.csv --device a --device b", "--device takes one value, got 'a' and 'b'"),
        ("data info --space nasbench201 --space fbnet", "--space takes one value, got 'nasbench201' and 'fbnet'"),
    ],
    ids=["two words", "one word", "short", "import", "data"],
)
def test_of_two_values_none_is_ignored(run: Run, line: str, told: str) -> None:
    out, err = run(*line.split(), code=2)
    assert out == ""
    assert err == f"error: {told}: leave out all but one.\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("measure -n 4 --threads 1 --threads 2", "--threads takes one value, got '1' and '2': {}, --threads 1,2."),
        (
            "measure -n 4 --runtime torch --runtime ncnn --runtime torch",
            "--runtime takes one value, got 'torch' and 'ncnn' and 'torch': {}, --runtime torch,ncnn.",
        ),
        ("measure -n 4 --batch 1 --batch 8", "--batch takes one value, got '1' and '8': {}, --batch 1,8."),
        ("search --threads 1 --threads 2", "--threads takes one value, got '1' and '2': {}, --threads 1,2."),
        ("search --measure torch --measure ncnn", "--measure takes one value, got 'torch' and 'ncnn': {}, --measure "
         "torch,ncnn."),
        ("evaluate --sizes 10 --sizes 20", "--sizes takes one value, got '10' and '20': {}, --sizes 10,20."),
        ("layers a.onnx --input-shape a=1x3 --input-shape b=1x5", "--input-shape takes one value, got 'a=1x3' and "
         "'b=1x5': {}, --input-shape a=1x3,b=1x5."),
    ],
    ids=["threads", "runtime", "batch", "of a search", "measure", "sizes", "shapes"],
)  # fmt: skip
def test_several_values_of_a_list_are_separated_by_commas(run: Run, line: str, told: str) -> None:
    out, err = run(*line.split(), code=2)
    assert (out, err) == ("", f"error: {told.format('separate several by commas')}\n")


def test_what_is_repeated_says_the_same(run: Run) -> None:
    once = run("query", 1, "--data", "a.parquet", "--json")
    space = ("--space", "nasbench201")
    assert run("query", 1, *space, "--data", "a.parquet", "--json", "--json", *space) == once
