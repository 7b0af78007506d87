"""Networks of any kind on the command line: suggested, adapted to, trained on, predicted, evaluated."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, write_parquet
from tests.cli.conftest import Run
from tests.graph_tables import zoo, zoo_table

NETWORKS = """
import torch
from torch import nn


def networks():
    made = {}
    for width in (4, 8, 12):
        for depth in (1, 2, 3, 4):
            layers = [nn.Conv2d(3, width, 3, padding=1), *(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))]
            net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
            made[f"net-{width}-{depth}"] = (net.eval(), torch.zeros(1, 3, 16, 16))
    return made
"""


@pytest.fixture
def table(run: Run) -> CostTable:
    """Write a table of graphs with costs, and one of more graphs without."""
    made = zoo_table(3)
    write_parquet(made, "zoo.parquet")
    write_parquet(CostTable(None, zoo(5), np.empty((len(zoo(5)), 0)), []), "more.parquet")
    return made


def lines(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill(path: str, known: CostTable) -> None:
    filled = lines(path)
    for line in filled:
        line |= {"device": "phone", "value": str(known.lookup(line["model"], targets="phone").iloc[0, 0]), "unit": "ms"}
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(filled[0]))
        writer.writeheader()
        writer.writerows(filled)


def test_ten_of_many_graphs_predict_the_others(run: Run, table: CostTable) -> None:
    out, err = run("suggest", "--networks", "zoo.parquet", "-n", 10)
    assert "model" in out
    assert "fill in device, value and unit in samples.csv" in err
    assert len({line["model"] for line in lines("samples.csv")} & set(table.names)) == 10
    assert Path("samples.parquet").is_file()
    fill("samples.csv", table)
    _, err = run("adapt", "samples.csv")
    assert "predict with: hwnas predict MODEL.onnx -s surrogates/samples" in err
    asked = ("--networks", "zoo.parquet", "-s", "surrogates/samples", "--extrapolate")
    out, _ = run("predict", *asked, "--json", "--interval", 90)
    records = json.loads(out)
    predicted = np.array([record["phone/latency (ms)"] for record in records])
    assert [record["model"] for record in records] == list(table.names)
    assert np.median(np.abs(predicted / table.costs[:, 0] - 1)) < 0.1
    assert {"phone/latency (ms) low", "phone/latency (ms) high"} <= set(records[0])
    out, err = run("suggest", "--networks", "zoo.parquet", "--given", "samples.csv", "-n", 2)
    more = lines("samples-more.csv")
    assert len(more) == 12
    assert [bool(line["value"]) for line in more] == [True] * 10 + [False] * 2
    assert len({line["model"] for line in more}) == 12


def test_networks_of_a_file_are_suggested_and_predicted(run: Run, table: CostTable) -> None:
    Path("nets.py").write_text(NETWORKS, encoding="utf-8")
    out, _ = run("suggest", "--networks", "nets.py:networks", "-n", 3, "--json")
    assert len(json.loads(out)) == 3
    run("train", "--data", "zoo.parquet", "-o", "mine", "--target", "phone")
    out, _ = run("predict", "--networks", "nets.py:networks", "-s", "mine", "--budget", "phone/latency=1")
    assert "net-12-4" in out
    assert "P(within budget)" in out


def test_tables_of_graphs_are_shown_trained_on_and_evaluated(run: Run, table: CostTable) -> None:
    out, _ = run("data", "info", "zoo.parquet")
    assert "Costs of 36 networks" in out
    assert "config" not in out
    out, _ = run("data", "info", "more.parquet")
    assert "Costs of 60 networks" in out
    out, _ = run("query", table.names[1], "--data", "zoo.parquet", "--csv")
    assert out.splitlines()[0] == "model,phone/latency (ms),board/latency (ms)"
    assert out.splitlines()[1].startswith(f"{table.names[1]},{table.costs[1, 0]}")
    out, err = run("evaluate", "--data", "zoo.parquet", "--by", "family", "--model", "ridge", "--seeds", 1)
    assert "separable" in out
    assert "scores and predictions are in evaluations/graphs-by-family.json" in err
    run("correlate", "--data", "zoo.parquet")


def test_what_graphs_can_not_do_is_said(run: Run, table: CostTable) -> None:
    wrong: list[tuple[list[object], str]] = [
        (["predict", "--networks", "zoo.parquet", "--sample", 3], "belong to architectures"),
        (["suggest", "--networks", "zoo.parquet", "--space", "fbnet"], "belong to architectures"),
        (["suggest", "--networks", "zoo.parquet", "-n", 37], "at most the number of networks to choose among, 36"),
        (["evaluate", "--data", "zoo.parquet", "--by", "colour"], "unknown group of networks 'colour'"),
        (["evaluate", "--data", "zoo.parquet", "--by", "family", "--protocol", "cost"], "--by and --protocol cost"),
        (["evaluate", "--data", "zoo.parquet", "--protocol", "op"], "needs a table over architectures"),
        (["evaluate", "--data", "more.parquet"], "needs the costs of at least one target"),
        (["query", "nobody", "--data", "zoo.parquet"], "unknown network 'nobody'"),
    ]
    for arguments, why in wrong:
        _, err = run(*arguments, code=1 if "nobody" in arguments else 2)
        assert why in err, arguments
