"""Networks of any kind on the command line: suggested, adapted to, trained on, predicted, evaluated."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table, write_parquet
from hwnas_surrogate.graphs import Graph, GraphBatch
from tests.cli.conftest import Run
from tests.graph_tables import plain, zoo, zoo_table

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


def named(path: str, graphs: dict[str, Graph]) -> None:
    write_parquet(CostTable(None, GraphBatch(graphs), np.empty((len(graphs), 0)), []), path)


def test_equal_networks_are_measured_once(run: Run) -> None:
    named("one.parquet", {"net": plain(8, 1), "other": plain(8, 2)})
    named("copy.parquet", {"copy": plain(8, 1)})
    out, err = run("suggest", "--networks", "one.parquet", "--networks", "copy.parquet", "-n", 2, "--csv")
    assert "equal networks cost the same, and are measured once: copy equals net" in err
    assert "copy" not in out
    assert load_table("samples.parquet").names == ("net", "other")  # type: ignore[union-attr]


def test_a_name_of_two_networks_is_an_error_before_anything_is_done(run: Run) -> None:
    write_parquet(CostTable(None, {"net": plain(8, 1)}, [[1.0]], ["phone/latency"]), "measured.parquet")
    named("new.parquet", {"net": plain(8, 2), "other": plain(8, 3)})
    out, err = run("suggest", "--networks", "new.parquet", "--given", "measured.parquet", "-n", 1, code=2)
    assert "tables call two different networks 'net'" in err
    assert not out
    assert not Path("measured-more.csv").exists()
    named("other.parquet", {"third": plain(8, 4)})
    run("suggest", "--networks", "other.parquet", "--given", "measured.parquet", "-n", 1)
    assert [line["model"] for line in lines("measured-more.csv")] == ["net", "third"]


def test_a_form_replaces_no_table_of_its_name(run: Run, table: CostTable) -> None:
    before = Path("zoo.parquet").read_bytes()
    _, err = run("suggest", "--networks", "zoo.parquet", "-n", 2, "-o", "zoo.csv", code=2)
    assert "zoo.parquet is there already and may hold measurements; name another file with -o" in err
    assert Path("zoo.parquet").read_bytes() == before
    assert not Path("zoo.csv").exists()
    run("suggest", "-n", 2, "-o", "zoo.csv")  # a form of architectures needs no table


def test_what_query_writes_is_imported_again(run: Run, table: CostTable) -> None:
    out, _ = run("query", "--all", "--data", "zoo.parquet", "--csv")
    Path("costs.csv").write_text(out, encoding="utf-8")
    _, err = run("import", "costs.csv", code=1)
    assert "Networks are named by costs.parquet beside the file, by networks (--networks)" in err
    run("import", "costs.csv", "--networks", "zoo.parquet")
    again = load_table("measurements/costs.parquet")
    assert again.names == table.names  # type: ignore[union-attr]
    assert again.fingerprint == table.fingerprint  # type: ignore[union-attr]


def test_models_are_looked_up_by_their_content(run: Run) -> None:
    Path("nets.py").write_text(NETWORKS, encoding="utf-8")
    run("suggest", "--networks", "nets.py:networks", "-n", 1)
    known = load_table("samples.parquet")
    assert isinstance(known, CostTable)
    write_parquet(CostTable(None, known.batch, np.arange(12.0)[:, None], ["phone/latency"]), "zoo.parquet")
    out, _ = run("query", "--networks", "nets.py:networks", "--data", "zoo.parquet", "--json")
    records = json.loads(out)
    assert [(record["model"], record["phone/latency (ms)"]) for record in records] == [
        (name, float(row)) for row, name in enumerate(known.names)
    ]
    _, err = run("query", "--networks", "nets.py:networks", code=2)
    assert "the table holds NAS-Bench-201 architectures; give those, not models" in err
    _, err = run("query", "--networks", "nets.py:networks", "--all", "--data", "zoo.parquet", code=2)
    assert "give architectures or networks, or --all, not both" in err


def test_a_name_in_the_table_is_no_file(run: Run) -> None:
    write_parquet(CostTable(None, {"net.onnx": plain(8, 1)}, [[3.0]], ["phone/latency"]), "one.parquet")
    out, _ = run("query", "net.onnx", "--data", "one.parquet", "--csv")
    assert out.splitlines()[1] == "net.onnx,3.0"
    _, err = run("query", "other.onnx", "--data", "one.parquet", code=1)
    assert "can't read other.onnx: No such file" in err


@pytest.mark.filterwarnings("ignore::hwnas_surrogate.trainers.ExtrapolationWarning")  # those of the file are smaller
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
        (
            ["suggest", "--networks", "zoo.parquet", "-n", 37],
            "at most the number of different networks to choose among, 36",
        ),
        (["evaluate", "--data", "zoo.parquet", "--by", "colour"], "unknown group of networks 'colour'"),
        (["evaluate", "--data", "zoo.parquet", "--by", "family", "--protocol", "cost"], "--by and --protocol cost"),
        (["evaluate", "--data", "zoo.parquet", "--protocol", "op"], "needs a table over architectures"),
        (["evaluate", "--data", "more.parquet"], "needs the costs of at least one target"),
        (["query", "nobody", "--data", "zoo.parquet"], "unknown network 'nobody'"),
    ]
    for arguments, why in wrong:
        _, err = run(*arguments, code=1 if "nobody" in arguments else 2)
        assert why in err, arguments
