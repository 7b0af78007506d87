"""The command: what each sub-command prints, its exit codes, and that results alone go to stdout."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hwnas_surrogate
from hwnas_surrogate.cli.output import Progress
from hwnas_surrogate.data import BlockTable, CostTable, Target, load_table, write_parquet
from hwnas_surrogate.data.blocks import block_keys
from hwnas_surrogate.evaluation import Evaluation
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.spaces import FBNetConfig, get_space
from hwnas_surrogate.trainers import SurrogateSuite
from tests.cli.conftest import Run

SPACE = get_space("nasbench201")


@pytest.fixture(scope="module")
def table() -> CostTable:
    archs = SPACE.at(np.arange(60))
    macs = SPACE.batch(archs).macs / 1e6
    costs = np.column_stack([macs, macs[::-1], 3 * macs])
    costs[5, 1] = np.nan
    return CostTable(SPACE, archs, costs, ["phone/latency", "board/latency", "phone/energy"])


@pytest.fixture(scope="module")
def path(table: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(table, tmp_path_factory.mktemp("cli") / "table.parquet")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = get_space("fbnet").configs["cifar100"]
    assert isinstance(config, FBNetConfig)
    stem, rows, head = block_keys(config)
    keys = [stem, *(key for row in rows for key in row), *head]
    costs = {key: float(1 + number % 17) for number, key in enumerate(keys)}
    folder = tmp_path_factory.mktemp("blocks")
    return write_parquet(BlockTable({Target("phone", "latency"): costs}), folder / "blocks.parquet")


def test_query_prints_exact_costs_with_units(run: Run, path: Path, table: CostTable) -> None:
    out, _ = run("query", 3, SPACE.format(4), "4,2,1,2,1,1", "--data", path, "--json")
    records = json.loads(out)
    assert [record["architecture"] for record in records] == SPACE.format_all(SPACE.at([3, 4, 0]))
    assert [record["phone/latency (ms)"] for record in records] == table.costs[[3, 4, 0], 0].tolist()
    assert [record["phone/energy (mJ)"] for record in records] == table.costs[[3, 4, 0], 2].tolist()


def test_query_of_everything_as_csv(run: Run, path: Path, table: CostTable) -> None:
    out, _ = run("query", "--all", "--data", path, "--csv", "--target", "board")
    frame = pd.read_csv(io.StringIO(out))
    assert list(frame.columns) == ["architecture", "board/latency (ms)"]
    np.testing.assert_array_equal(frame["board/latency (ms)"], table.costs[:, 1])


@pytest.mark.parametrize("lines", [b"1\n\n2\n", "\ufeff1\r\n2".encode(), "1\n2\n".encode("utf-16")])
def test_query_reads_stdin(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch, lines: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    out, _ = run("query", "-", "--data", path, "--csv")
    assert len(out.splitlines()) == 3


def test_missing_costs_are_null_and_a_dash(run: Run, path: Path) -> None:
    assert json.loads(run("query", 5, "--data", path, "--json")[0])[0]["board/latency (ms)"] is None
    assert run("query", 5, "--data", path)[0].splitlines()[3].split() == ["board/latency", "(ms)", "-"]


def test_train_shows_one_bar_over_scoring_and_fitting(
    run: Run, path: Path, table: CostTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[list[tuple[int, int | None]]] = []

    @contextmanager
    def recorded(what: str) -> Iterator[Progress]:
        bars.append([])
        yield lambda done, total: bars[-1].append((done, total))

    monkeypatch.setattr("hwnas_surrogate.cli.train.progress", recorded)
    run("train", "--data", path, "--model", "ridge")
    both = 2 * len(table.targets)
    assert bars == [[(done, both) for done in range(both + 1)]]


def test_query_of_a_block_table(run: Run, blocks: Path) -> None:
    out, _ = run("query", ",".join(["8"] * 22), "--data", blocks, "--json")
    expected = load_table(blocks).lookup([[8] * 22]).iloc[0, 0]
    assert json.loads(out)[0]["phone/latency (ms)"] == expected
    assert "10^21" in run("query", "--all", "--data", blocks, code=2)[1]


def test_train_saves_what_predict_loads(run: Run, path: Path, table: CostTable, tmp_path: Path) -> None:
    out, err = run("train", "--data", path, "--json")
    records = json.loads(out)
    assert [(record["device"], record["metric"], record["unit"]) for record in records] == [
        ("phone", "latency", "ms"),
        ("board", "latency", "ms"),
        ("phone", "energy", "mJ"),
    ]
    assert all(-1 <= record["kendall_tau"] <= 1 and record["fit_seconds"] > 0 for record in records)
    assert "surrogates/nasbench201" in err
    suite = SurrogateSuite.load(tmp_path / "surrogates/nasbench201")
    assert suite.info_["table_fingerprint"] == table.fingerprint
    assert [row["kendall_tau"] for row in suite.info_["scores"]] == [row["kendall_tau"] for row in records]
    out, _ = run("predict", 100, 101, "--csv")
    frame = pd.read_csv(io.StringIO(out))
    assert list(frame)[:2] == ["architecture", "connected"]
    np.testing.assert_array_equal(frame.iloc[:, 2:], suite.predict([100, 101]))
    assert len(json.loads(run("predict", "--sample", 7, "--json", "--target", "phone/energy")[0])) == 7


NASLIB = "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|"


def test_predict_reads_op_numbers_of_naslib(run: Run, path: Path, tmp_path: Path) -> None:
    run("train", "--data", path, "--target", "phone/latency", "--model", "ridge")
    told = json.loads(run("predict", NASLIB, "--json")[0])
    for text in ("4,0,3,1,4,3", "(4, 0, 3, 1, 4, 3)", NASLIB):
        assert json.loads(run("predict", text, "--ops", "naslib", "--json")[0]) == told
    assert json.loads(run("predict", "4,0,3,1,4,3", "--json")[0]) != told
    (tmp_path / "in.csv").write_text('architecture\n"(4, 0, 3, 1, 4, 3)"\n')
    run("predict", "--input", "in.csv", "--output", "out.csv", "--ops", "naslib")
    assert pd.read_csv(tmp_path / "out.csv")["architecture"].tolist() == [NASLIB]
    assert "an index is no op list" in run("predict", 5, "--ops", "naslib", code=2)[1]
    assert "allowed: 'naslib'" in run("predict", "4,0,3,1,4,3", "--ops", "mine", code=2)[1]
    assert "--sample needs none" in run("predict", "--sample", 3, "--ops", "naslib", code=2)[1]


@pytest.mark.parametrize(
    "text", ["architecture,device,value\n{},pi,2.5\n", "op_index,pi\n{},2.5\n"], ids=["long", "wide"]
)
def test_import_reads_op_numbers_of_naslib(run: Run, text: str, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text(text.format('"(4, 0, 3, 1, 4, 3)"'))
    run("import", "file.csv", "--ops", "naslib", "-o", "table.parquet")
    table = load_table(tmp_path / "table.parquet")
    assert isinstance(table, CostTable)
    assert SPACE.format_all(table.archs) == [NASLIB]
    assert "allowed: 'naslib'" in run("import", "file.csv", "--ops", "mine", code=2)[1]


@pytest.mark.parametrize("network", ["mobilenet_v2", "model.pt"])
def test_other_networks_are_refused_by_what_is_supported(run: Run, path: Path, network: str) -> None:
    run("train", "--data", path, "--target", "phone/latency", "--model", "ridge")
    for command in (("predict", network), ("query", network, "--data", path)):
        _, err = run(*command, code=2)
        assert f"'{network}' is no NAS-Bench-201 architecture" in err
        assert "Other networks are given as graphs" in err


def test_train_on_a_block_table_is_exact(run: Run, blocks: Path) -> None:
    out, _ = run("train", "--data", blocks, "--rows", 600, "-o", "here", "--json")
    (record,) = json.loads(out)
    assert record["space"] == "fbnet"
    assert record["n_train"] == 480
    assert record["mape"] < 1e-9


def test_evaluate_compares_models(run: Run, path: Path) -> None:
    arguments = ("evaluate", "--data", path, "--n-train", 40, "--n-test", 15, "--seeds", 2, "--target", "phone/latency")
    records = json.loads(run(*arguments, "--model", "ridge", "--model", "additive", "--json")[0])
    assert [record["model"] for record in records] == ["ridge", "additive"]
    assert {(record["n_train"], record["n"], record["seeds"]) for record in records} == {(40, 15, 2)}
    out, _ = run(*arguments)
    assert {"kendall", "spearman", "rmse"} <= set(out.split())
    assert " ms" in out


def test_evaluate_writes_what_it_takes_to_draw_it_anew(run: Run, path: Path) -> None:
    arguments = ("evaluate", "--data", path, "--n-train", 40, "--n-test", 15, "--seeds", 2, "--target", "phone/latency")
    out, err = run(*arguments, "--json")
    assert "evaluations/nasbench201-random.json" in err
    evaluation = Evaluation.read("evaluations/nasbench201-random.json")
    assert len(evaluation.predictions) == 30
    assert json.loads(out)[0]["kendall_tau"] == pytest.approx(evaluation.scores["kendall_tau"].mean())


def test_learning_curve_is_drawn(run: Run, path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    arguments = ("evaluate", "--data", path, "--protocol", "learning-curve", "--target", "phone", "--sizes", "10,30")
    records = json.loads(run(*arguments, "--seeds", 2, "--model", "ridge", "-o", "here", "--json")[0])
    assert [(record["metric"], record["n_train"]) for record in records] == [
        (metric, n) for metric in ("latency", "energy") for n in (10, 30)
    ]
    assert Path("here/nasbench201-learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv("here/nasbench201-learning-curve.csv")) == 8
    assert Evaluation.read("here/nasbench201-learning-curve.json").about["protocol"] == "learning-curve"


def test_errors_by_distance_are_shown_for_several_configs(run: Run) -> None:
    arguments = (
        "evaluate",
        "--data",
        "modified",
        "--protocol",
        "config",
        "--seeds",
        1,
        "--target",
        "epyc-onnxruntime-1t",
    )
    out, _ = run(*arguments, "--model", "ridge", "--n-train", 200)
    assert "log2 distance" in out
    assert "within 20 %" in out


def test_intervals_and_budgets(run: Run, path: Path) -> None:
    run("train", "--data", path, "--target", "phone", "--model", "ridge", "-o", "saved")
    arguments = ("predict", 100, "-s", "saved", "--interval", 80, "--budget", "phone/latency=30", "--json")
    (record,) = json.loads(run(*arguments)[0])
    low, high = record["phone/latency (ms) low"], record["phone/latency (ms) high"]
    assert low <= record["phone/latency (ms)"] <= high
    assert 0 <= record["P(phone/latency <= 30 ms)"] <= 1
    for wrong in (0, 0.9, 100, 900, "nan"):
        error = run("predict", 1, "-s", "saved", "--interval", wrong, code=2)[1]
        assert "--interval reads per cent: 90 for 90 %; it must be at least 1 and below 100, got" in error
    error = run("predict", 1, "-s", "saved", "--budget", "phone=5", code=2)[1]
    assert "'phone', which stands for phone/latency, phone/energy: name one" in error
    for wrong in ("phone", "phone/latency", "phone/latency=5ms", "=5"):
        error = run("predict", 1, "-s", "saved", "--budget", wrong, code=2)[1]
        assert "a budget reads NAME=LIMIT, the limit in the metric's unit: raspi4/latency=30 for 30 ms" in error
        assert repr(wrong) in error
    twice = ("--budget", "phone/latency=3", "--budget", "phone/latency=50")
    assert "a budget is given once, got two for phone/latency" in run("predict", 1, "-s", "saved", *twice, code=2)[1]
    again = run("predict", 1, "-s", "saved", "--target", "phone", "--target", "phone", "--json")[0]
    assert again == run("predict", 1, "-s", "saved", "--target", "phone", "--json")[0]


def test_predict_from_file_to_file(run: Run, path: Path) -> None:
    run("train", "--data", path, "--model", "ridge", "-o", "saved")
    Path("archs.txt").write_text("1\n2\n")
    _, err = run("predict", "--input", "archs.txt", "--output", "costs.csv", "-s", "saved")
    assert "2 architectures predicted into costs.csv" in err
    assert pd.read_csv("costs.csv")["architecture"].tolist() == SPACE.format_all([1, 2])
    assert "not read" not in err
    pd.DataFrame({"id": ["x", "y"], "Config": "cifar10", "op_index": [1, 2]}).to_csv("ids.csv", index=False)
    _, err = run("predict", "--input", "ids.csv", "--output", "costs.csv", "-s", "saved")
    assert "columns of ids.csv that are not read: id\n" in err
    assert pd.read_csv("costs.csv")["config"].tolist() == ["cifar10", "cifar10"]
    assert "'012340' is no index" in run("predict", "012340", "-s", "saved", code=2)[1]
    assert "belong together" in run("predict", "--input", "archs.txt", code=2)[1]
    assert "replace architectures" in run("predict", 1, "--input", "archs.txt", "-o", "x.csv", code=2)[1]


def test_train_tunes_and_goes_on(run: Run, path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra tuning is not installed")
    arguments = ("train", "--data", path, "--target", "phone/latency", "--tune", "1s", "-o", "saved")
    assert "phone/latency: 1 settings tried, the default kept" in run(*arguments)[1], "few costs, no settings"
    arguments += ("--model", "boosted")
    first = run(*arguments)[1]
    assert "phone/latency: " in first
    assert "settings tried" in first
    study = Path("saved/tuning/phone-latency.jsonl")
    before = study.read_bytes()
    run(*arguments)
    assert study.read_bytes().startswith(before)
    assert len(json.loads(run("predict", 3, "-s", "saved", "--json")[0])) == 1


def test_a_device_of_any_name_is_tuned(run: Run, table: CostTable) -> None:
    pytest.importorskip("optuna", reason="the extra tuning is not installed")
    targets = [Target(name, "latency") for name in ("long" * 80, "..\\up", "my board")]
    costs = np.column_stack([table.costs[:, 0]] * 3)
    write_parquet(CostTable(SPACE, table.archs, costs, targets), "odd.parquet")
    run("train", "--data", "odd.parquet", "--tune", "1s", "-o", "saved", "--model", "boosted")
    assert len(list(Path("saved/tuning").glob("*.jsonl"))) == 3
    assert len(json.loads(run("predict", 3, "-s", "saved", "--json")[0])) == 1


def test_outlying_costs_are_told(run: Run, table: CostTable) -> None:
    costs = table.costs[:, :1].copy()
    costs[7] *= 1000
    write_parquet(CostTable(SPACE, table.archs, costs, ["phone/latency"]), "slip.parquet")
    _, err = run("train", "--data", "slip.parquet", "--n-test", 10)
    assert f"1 of 60 costs lie far from what the others say ({SPACE.format_all([7])[0]})" in err


def test_correlate_is_symmetric(run: Run, path: Path) -> None:
    records = json.loads(run("correlate", "--data", path, "--method", "spearman", "--json")[0])
    matrix = np.array([[record[other["target"]] for other in records] for record in records])
    np.testing.assert_allclose(matrix, matrix.T)
    np.testing.assert_allclose(np.diag(matrix), 1)
    assert matrix[0, 2] == pytest.approx(1)


def test_measure_then_train(run: Run) -> None:
    arguments = (
        *("measure", "-n", 6, "--dataset", "C4-N1-k10-3x8x8", "--device", "mine", "--repeats", 2),
        *("--output", "mine.parquet"),
    )
    out, err = run(*arguments, "--json")
    (record,) = json.loads(out)
    assert record["target"] == "mine/latency"
    assert (record["costs"], record["failed"]) == (6, 0)
    assert -1 <= record["noise floor: tau"] <= 1
    assert 0 < record["minimum"] <= record["median"] <= record["maximum"]
    assert "hwnas train --data mine.parquet" in err
    before = Path("mine.parquet.journal").read_bytes()
    run(*arguments, "--json")
    assert Path("mine.parquet.journal").read_bytes() == before
    run("train", "--data", "mine.parquet", "--n-test", 1, "-o", "saved")


def test_measure_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def append_then_stop(journal: Journal, **entry: Any) -> None:
        append(journal, **entry)
        if "ns" in entry:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", append_then_stop)
    _, err = run("measure", 1, "--dataset", "C4-N1-k10-3x8x8", "-o", "mine.parquet", code=130)
    assert "Every finished run is kept in the journal beside the output, and the same command resumes." in err
    assert '"ns"' in Path("mine.parquet.journal").read_text()


def test_measure_with_another_runtime_within_a_time_limit(run: Run) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    arguments = ("measure", "-n", 3, "--dataset", "C4-N1-k10-3x8x8", "--runtime", "onnxruntime", "--time-limit", "5m")
    (record,) = json.loads(run(*arguments, "--repeats", 2, "--json")[0])
    assert record["target"] == "cpu-onnxruntime-1t/latency"
    assert record["costs"] == 3
    told = json.loads(run("data", "info", "measurements/nasbench201-onnxruntime.parquet", "--json")[0])
    assert told["targets"][0]["runtime"].startswith("onnxruntime ")


def test_export_fill_in_import_train(run: Run) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    _, err = run("export", "-n", 6, "--dataset", "C4-N1-k10-3x8x8", "-o", "networks")
    assert (
        "copy networks to the board and run there: python run.py --device NAME; it fills in results.csv, then:" in err
    )
    assert len(list(Path("networks").glob("*.onnx"))) == 6
    header, *lines = Path("networks/results.csv").read_text().splitlines()
    filled = [line.replace(",,latency,,ms", f",my-board,latency,{1000 + row},us") for row, line in enumerate(lines)]
    Path("filled.csv").write_text("\n".join([header, *filled]))
    (record,) = json.loads(run("import", "filled.csv", "-o", "mine.parquet", "--json")[0])
    assert (record["target"], record["unit"], record["costs"]) == ("my-board/latency", "ms", 6)
    assert record["config"] == "C4-N1-k10-3x8x8"
    run("train", "--data", "filled.csv", "--n-test", 2, "-o", "saved")
    assert run("export", "-n", 1, "-o", "networks", code=2)[1].count("not an empty folder") == 1


def test_import_lists_wrong_lines(run: Run) -> None:
    Path("bad.csv").write_text("architecture,device,value\n1,a,-3\n2,a,fast\n3,a,1\n")
    out, err = run("import", "bad.csv", code=1)
    assert out == ""
    assert "2 wrong lines" in err
    assert "line 2: " in err
    assert "line 3: " in err
    assert not Path("measurements").exists()


WIDE = "op_index,pixel3_latency_us,raspi4 (s),energy_mJ\n0 1 2 3 4 0,3000,0.25,1\n0 1 2 3 4 1,1,1,1\n"


def test_every_command_says_what_the_columns_of_a_wide_file_are_taken_for(run: Run) -> None:
    Path("board.csv").write_text(WIDE)
    told = (
        "columns of board.csv read as: pixel3_latency_us = pixel3/latency (us); raspi4 (s) = raspi4/latency (s); "
        "energy_mJ = board/energy (mJ), the device named after the file\n"
    )
    for command in (["query", "--all", "--data", "board.csv"], ["data", "info", "board.csv"], ["import", "board.csv"]):
        out, err = run(*command, "--json")
        assert err.startswith(told)
        assert told not in out
        json.loads(out)
    # The table imported knows its targets: nothing is taken for anything any more.
    assert run("query", "--all", "--data", "measurements/board.parquet", "--json")[1] == ""
    pd.read_csv("board.csv").assign(op_index=[[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 4, 1]]).to_parquet("board.parquet")
    assert "columns of board.parquet read as: " in run("query", "--all", "--data", "board.parquet", "--json")[1]


def test_import_chooses_columns(run: Run) -> None:
    Path("board.csv").write_text(WIDE.replace("raspi4 (s)", "nano_cycles"))
    _, err = run("import", "board.csv", code=1)
    assert "column 'nano_cycles': 'cycles' is not latency" in err
    assert not Path("measurements").exists()
    chosen = ("--columns", "pixel3_latency_us, energy_mJ=tpu/energy", "--columns", "nano_cycles=nano/latency (us)")
    records = json.loads(run("import", "board.csv", *chosen, "--json")[0])
    assert [record["target"] for record in records] == ["pixel3/latency", "tpu/energy", "nano/latency"]
    for wrong, why in [
        ("=a", "got '=a'"),
        ("a=", "got 'a='"),
        ("a,,b", "got ''"),
        ("", "got ''"),
        ("a,a=b", "'a' more than once"),
        ('"a', "like a line of a CSV file, got '\"a'"),
    ]:
        assert why in run("import", "board.csv", "--columns", wrong, code=2)[1]


def test_import_chooses_a_column_with_a_comma(run: Run) -> None:
    Path("board.csv").write_text('op_index,"raspi4, fp16",acc,b\n0 1 2 3 4 0,3,1,2\n')
    _, err = run("import", "board.csv", code=1)
    assert """--columns '"raspi4, fp16",b'""" in err
    records = json.loads(run("import", "board.csv", "--columns", '"raspi4, fp16",b', "--json")[0])
    assert [record["target"] for record in records] == ["raspi4, fp16/latency", "b/latency"]
    records = json.loads(run("import", "board.csv", "--columns", '"raspi4, fp16=pi/latency"', "--json")[0])
    assert [record["target"] for record in records] == ["pi/latency"]
    _, err = run("import", "board.csv", "--columns", "raspi4, fp16", code=1)
    assert """quotes hold a name with a comma together: --columns '"a, b",c'""" in err


def test_what_query_prints_can_be_imported_and_what_predict_prints_can_not(run: Run) -> None:
    text = "architecture,config,device,metric,value,unit\n"
    lines = [
        f"{n},{config},pi,{m},{n + 1},\n"
        for n in (5, 9)
        for config in ("cifar10", "cifar100")
        for m in ("latency", "energy")
    ]
    Path("long.csv").write_text(text + "".join(lines))
    for options, config in (
        (["--all"], None),
        (["--all", "--dataset", "cifar10"], "cifar10"),
        (["--all", "--dataset", "cifar100"], "cifar100"),
        ([5, "--dataset", "cifar100"], "cifar100"),
    ):
        Path("told.csv").write_text(run("query", *options, "--data", "long.csv", "--csv")[0])
        assert run("query", "--all", "--data", "told.csv", "--csv")[0] == Path("told.csv").read_text()
        assert load_table("told.csv").configs == load_table("long.csv", dataset=config).configs
    Path("told.csv").write_text("architecture,connected,pi/latency (ms)\n5,True,1.5\n")  # as hwnas predict prints them
    assert "holds predictions" in run("import", "told.csv", code=1)[1]


def test_an_unknown_batch_is_shown_as_such(run: Run) -> None:
    Path("board.csv").write_text(WIDE)
    assert [record["batch"] for record in json.loads(run("data", "info", "board.csv", "--json")[0])["targets"]] == [
        None
    ] * 3
    assert ",,," in run("data", "info", "board.csv", "--csv")[0]
    assert " - " in run("data", "info", "board.csv")[0]
    known = run("data", "info", "--csv")[0].splitlines()
    assert {line.split(",")[-2] for line in known[1:]} == {"1"}


def test_simulate(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zigzag", reason="the extra simulator is not installed")
    monkeypatch.setattr("hwnas_surrogate.measure.simulator._run", lambda layer: (layer.macs + 1.0, 2.0))
    records = json.loads(run("simulate", 1, 2, "--json")[0])
    assert [(record["target"], record["source"]) for record in records] == [
        ("eyeriss-like/latency", "estimated"),
        ("eyeriss-like/energy", "estimated"),
    ]


@pytest.mark.real_data
def test_data_info_and_convert(run: Run, path: Path, shared_data: Path, tmp_path: Path) -> None:
    records = json.loads(run("data", "info", path, "--json")[0])["targets"]
    assert [(record["target"], record["costs"], record["missing"]) for record in records] == [
        ("phone/latency", 60, 0),
        ("board/latency", 59, 1),
        ("phone/energy", 60, 0),
    ]
    run("data", "convert", shared_data / "HW-NAS-Bench-subset.pickle", "converted")
    told = json.loads(run("data", "info", "converted", "--space", "fbnet", "--json")[0])
    assert {record["costs"] for record in told["targets"]} == {112}
    assert "MIT" in told["meta"]["licence"]
    assert "HW-NAS-Bench" in run("data", "info", "converted", "--space", "fbnet", "--verbose")[0]


def test_a_download_of_something_else_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/other.pickle").write_bytes(b"not the benchmark")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/other.pickle"
        out, err = run("data", "download", "--folder", "here", "--url", url, code=1)
        server.shutdown()
    assert out == ""
    assert "b0634cb7f6e7be07192c77833df9eafa4baf705e" in err
    assert not [path for path in Path("here").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["query", "99999"], 2, ["0..15624", "99999"]),
        (["query", "|nor_conv_3x4~0|+|none~0|none~1|+|none~0|none~1|none~2|"], 2, ["nor_conv_3x4", "Did you mean"]),
        (["query"], 2, ["no network"]),
        (["query", "1", "--all"], 2, ["not both"]),
        (["query", "1", "--json", "--csv"], 2, ["exclude each other"]),
        (["query", "100"], 1, ["not in the table"]),
        (["query", "1", "--dataset", "cifar100"], 1, ["cifar100", "cifar10"]),
        (["query", "1", "--dataset", "cifar11"], 2, ["cifar11", "Did you mean"]),
        (["query", "1", "--space", "fbnet"], 1, ["nasbench201", "fbnet"]),
        (["query", "1", "--space", "darts"], 2, ["darts", "nasbench201"]),
        (["query", "1", "--target", "phome"], 1, ["phome", "Did you mean 'phone'"]),
        (["train", "--model", "ridgee"], 2, ["ridgee", "Did you mean 'ridge'"]),
        (["train", "--encoder", "hot"], 2, ["hot", "onehot"]),
        (["train", "--n-train", "60"], 2, ["60"]),
        (["train", "--tune", "soon"], 2, ["--tune reads a time with its unit, 90s, 30m or 2h", "'soon'"]),
        (["train", "--tune", "5"], 2, ["--tune reads a time with its unit, 90s, 30m or 2h", "'5'"]),
        (["evaluate", "--sizes", "10,20"], 2, ["learning-curve"]),
        (["evaluate", "--protocol", "learning-curve", "--sizes", "ten"], 2, ["--sizes reads", "ten"]),
        (["evaluate", "--protocol", "learning-curve", "--n-train", "9"], 2, ["--n-train is set"]),
        (["evaluate", "--protocol", "laube"], 2, ["laube", "isomorphism"]),
        (["evaluate", "--protocol", "laube2022"], 2, ["needs 749 costs, the table has 60"]),
        (["evaluate", "--n-train", "50", "--n-test", "50"], 2, ["60 architectures", "50"]),
        (["correlate", "--method", "kendal"], 2, ["kendal", "Did you mean 'kendall'"]),
    ],
)
def test_bad_questions_get_one_clear_line(
    run: Run, path: Path, arguments: list[str], code: int, parts: list[str]
) -> None:
    out, err = run(*arguments, "--data", path, code=code)
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["bogus"], 2, "No such command"),
        (["train", "--n-train", "x"], 2, "n-train"),
        (["data", "info", "nowhere.parquet"], 1, "no file nowhere.parquet"),
        (["data", "convert", "nowhere.pickle", "out"], 1, "nowhere.pickle"),
        (["predict", "1"], 1, "no saved surrogate"),
        (["predict"], 2, "--sample"),
        (["measure"], 2, "-n"),
        (["measure", "-n", "2", "--dataset", "C16-N5-k10-3x30x30"], 2, "multiples of 4"),
        (["measure", "-n", "2", "--runtime", "onnx-runtime"], 2, "Did you mean 'onnxruntime'"),
        (["measure", "-n", "2", "--threads", "0"], 2, "--threads must be"),
        (["measure", "-n", "2", "--time-limit", "soon"], 2, "--time-limit reads a time with its unit, 90s, 30m or 2h"),
        (["measure", "-n", "2", "-o", "/dev/null"], 2, "/dev/null is a pipe or a device"),
        (["measure", "-n", "2", "--timeout", "0s"], 2, "--timeout reads a time with its unit, 90s, 30m or 2h"),
        (["measure", "-n", "2", "--budget", "30m"], 2, "is --time-limit TIME"),
        (["measure", "-n", "2", "--half-width", "2"], 2, "--half-width is a part of the median: 0.02 for 2 %; got 2"),
        (["measure", "--blocks", "--space", "nasbench201"], 2, "blocks of fbnet"),
        (["export", "-o", "x"], 2, "-n"),
        (["export", "-n", "1", "-o", "x", "--format", "tfl"], 2, "'tfl'; allowed: 'onnx', 'onnx-int8'"),
        (["simulate"], 2, "-n"),
        (["import", "none.csv"], 1, "there is no file none.csv"),
        (["query", "1", "--data", "hw-nas-bench"], 1, "hwnas data download"),
    ],
)
def test_other_failures(
    run: Run, arguments: list[str], code: int, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWNAS_DATA", str(tmp_path / "none"))
    out, err = run(*arguments, code=code)
    assert out == ""
    assert part in err


def test_a_failed_train_leaves_the_saved_suite(run: Run, path: Path, tmp_path: Path) -> None:
    run("train", "--data", path, "--model", "ridge")
    saved = tmp_path / "surrogates/nasbench201"
    before = {file.name: file.read_bytes() for file in saved.iterdir()}
    run("train", "--data", path, "--n-train", 60, code=2)
    assert {file.name: file.read_bytes() for file in saved.iterdir() if file.is_file()} == before
    assert [folder.name for folder in saved.iterdir() if folder.is_dir()] == ["unfinished"]


def test_version_and_help(run: Run) -> None:
    assert run("--version")[0].strip() == hwnas_surrogate.__version__
    commands = "query train predict evaluate correlate measure simulate export import data"
    for command in commands.split():
        assert command in run("--help")[0]
        assert "Usage" in run(command, "--help")[0]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from hwnas_surrogate.cli.app import app\n"
        "print([m for m in ('numpy', 'pandas', 'sklearn', 'torch', 'xgboost', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_of_many_targets_the_first_are_printed_and_all_are_written(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(1, 2, (20, 120))
    table = CostTable("nasbench201", list(range(20)), costs, [f"device{k:03}/latency" for k in range(120)])
    write_parquet(table, tmp_path / "many.parquet")
    shown, _ = run("correlate", "--data", tmp_path / "many.parquet")
    assert "the first 100 of 120 targets; --json and --csv have all" in shown
    assert "device099/latency" in shown
    assert "device100/latency" not in shown
    assert len(json.loads(run("correlate", "--data", tmp_path / "many.parquet", "--json")[0])) == 120
