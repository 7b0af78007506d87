"""``hwnas measure`` in several settings, on this host and on boards."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table
from tests.cli import test_tables
from tests.cli.conftest import Run
from tests.measure.fake_board import FakeBoard, Scripted
from tests.measure.in_process import InProcess
from tests.measure.sshd import running

QUICK = ("measure", "-n", 2, "--dataset", "C4-N1-k10-3x8x8", "--repeats", 2, "--max-repeats", 2, "-o", "all.parquet")


one_core = pytest.mark.filterwarnings("ignore::hwnas_surrogate.measure.FewCoresWarning")
"""Where a machine has one core."""


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.measure.session.Worker", InProcess)


def devices(path: str = "all.parquet") -> list[str]:
    table = load_table(Path(path))
    assert isinstance(table, CostTable)
    assert not np.isnan(table.costs).any()
    return [str(target) for target in table.targets]


def test_every_combination_is_a_device(run: Run) -> None:
    out, err = run(*QUICK, "--runtime", "torch, onnxruntime,torch", "--batch", "1,2", "--throughput", "--json")
    names = [f"cpu-{runtime}-1t{batch}" for runtime in ("torch", "onnxruntime") for batch in ("", "-b2")]
    wanted = [f"{name}/{metric}" for metric in ("latency", "throughput") for name in names]
    assert devices() == wanted
    rows = json.loads(out)
    assert [row["target"] for row in rows] == wanted
    assert [row["unit"] for row in rows] == ["ms"] * 4 + ["images/s"] * 4
    assert rows[1]["minimum"] == pytest.approx(2e3 / rows[5]["maximum"])
    for name in names:
        assert f"\n{name}: drift, corrected: the anchor network ran in " in f"\n{err}"
    assert "written to all.parquet; train on it with: hwnas train --data all.parquet" in err


@one_core
def test_threads(run: Run) -> None:
    run(*QUICK, "--runtime", "onnxruntime", "--threads", "1,2", "--device", "mine")
    assert devices() == ["mine-onnxruntime-1t/latency", "mine-onnxruntime-2t/latency"]


@pytest.mark.filterwarnings("default")
def test_more_threads_than_cores(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwnas_surrogate.measure import environment as of_host

    found = {**of_host(), "cores": 2}
    monkeypatch.setattr("hwnas_surrogate.measure.client.environment", lambda: found)
    _, err = run(*QUICK, "--runtime", "torch", "--threads", "2,3")
    told = (
        "3 threads share 2 cores of this host: they wait for each other, so that the costs are not those of 3 threads"
    )
    assert f"warning: {told}. Use at most 2.\n" in err
    assert "2 threads" not in err
    assert devices() == ["cpu-torch-2t/latency", "cpu-torch-3t/latency"]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(test_tables, "WIDTH", width)
    more = ("--runtime", "onnxruntime", "--batch", "1,16", "--cold", "--throughput", "--device", "raspberrypi5")
    text = test_tables.fits(test_tables.run(*QUICK, *more))
    assert text.count("throughput") == 2
    assert "costs 2, failed 0" in text
    if width == 120:
        assert "raspberrypi5-onnxruntime-1t-b16-cold/throughput " in text


@one_core
def test_boards(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeBoard(tmp_path / "fake")
    made: list[Any] = [Scripted(), Scripted(threads=2)]
    monkeypatch.setattr("hwnas_surrogate.measure.make_runtime", lambda *given: made[given[1] - 1])
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        url = server.url(python=str(fake.python), name="pi4")
        _, err = run(*QUICK, "--runtime", "scripted", "--threads", "1,2", "--board", url, "--board", url)
        assert devices() == ["pi4-scripted-1t/latency", "pi4-scripted-2t/latency"]
        assert "pi4-scripted-1t: drift, corrected" in err
    # Now the board is away; what was measured is kept.
    Path("all.parquet").unlink()
    _, err = run(*QUICK, "--runtime", "scripted", "--threads", "1,2", "--board", url, code=1)
    assert "2 of 2 settings failed. pi4-scripted-1t: can't use board ssh://board: it refused the connection" in err
    assert Path("all.parquet.parts", "pi4-scripted-2t.parquet").exists()
    assert "Traceback" not in err


@one_core
def test_a_fleet_is_one_device(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each says that it is another machine, on one server.
    fakes = {
        name: FakeBoard(tmp_path / name, f"import platform; platform.node = lambda: {name!r}")
        for name in ("one", "two")
    }
    made: list[Any] = [Scripted(), Scripted(threads=2)]
    monkeypatch.setattr("hwnas_surrogate.measure.make_runtime", lambda *given: made[given[1] - 1])
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        urls = [server.url(python=str(fake.python), name=name) for name, fake in fakes.items()]
        boards = [word for url in urls for word in ("--board", url)]
        command = (*QUICK, "--runtime", "scripted", *boards, "--fleet", "rack")
        _, err = run(*command)
        assert devices() == ["rack-scripted-1t/latency"]
        told = " ".join(err.split())
        assert "board one: " in told
        assert "board two: " in told
        assert " networks; times divided by " in told
        table = load_table(Path("all.parquet"))
        assert isinstance(table, CostTable)
        assert set("+".join(table.groups["board"]).split("+")) <= {"one", "two"}
        assert sorted(path.name for path in Path("all.parquet.journals").iterdir()) == ["one.journal", "two.journal"]
        runs = {name: len(fake.log("run")) for name, fake in fakes.items()}
        run(*command)
        assert {name: len(fake.log("run")) for name, fake in fakes.items()} == runs  # nothing is measured again
        Path("all.parquet").unlink()
        run(*command, "--threads", "1,2")
        assert devices() == ["rack-scripted-1t/latency", "rack-scripted-2t/latency"]
        swapped = [url.replace("name=one", "name=two") for url in urls[:1]]
        _, err = run(
            *QUICK, "--runtime", "scripted", "--board", *swapped, "--fleet", "rack", "-o", "all.parquet", code=1
        )
        assert "two machines have the name 'two'" in " ".join(err.split())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*event loop.*:DeprecationWarning")
def test_a_fleet_of_workers_is_one_device(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    fake = FakeBoard(tmp_path / "fake")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(fake.folder), *sys.path]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{os.getpid()}-cli")
    monkeypatch.setattr("hwnas_surrogate.measure.make_runtime", lambda *given: Scripted())
    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "protocol": "tcp", "resources": {"device": 1}}
    with distributed.LocalCluster(**how, dashboard_address="127.0.0.1:0", silence_logs=50) as running:
        command = (*QUICK, "--runtime", "scripted", "--cluster", running.scheduler_address, "--fleet", "rack")
        _, err = run(*command)
        assert devices() == ["rack-scripted-1t/latency"]
        assert "board 0: 2 networks; times divided by 1.0000, from the anchor" in " ".join(err.split())
        table = load_table(Path("all.parquet"))
        assert isinstance(table, CostTable)
        assert table.groups["board"] == ("0", "0")
        runs = len(fake.log("run"))
        run(*command)
        assert len(fake.log("run")) == runs  # nothing is measured again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "1,two"], "--threads must be an integer of at least 1, or all; got 'two'."),
        (["--threads", "²"], "--threads must be an integer of at least 1, or all; got '²'."),
        (["--batch", "1,,2"], "--batch must be an integer of at least 1; got ''."),
        (["--batch", "all"], "--batch must be an integer of at least 1; got 'all'."),
        (["--runtime", "torch,"], "unknown runtime ''"),
        (["--board", "pi"], "ssh://"),
        (["--board", "ssh://pi"], "runtime torch runs networks of this host only; runtimes that boards can use: onnx"),
        (["--board", "ssh://pi", "--runtime", "onnxruntime,torch"], "runtime torch runs networks of this host only"),
        (["--board", "ssh://a@pi", "--board", "ssh://b@pi", "--runtime", "onnxruntime"], "two settings would both be"),
        (
            ["--board", "ssh://a", "--board", "ssh://b", "--device", "x"],
            "--device names one machine; give boards names",
        ),
        (["--fleet", "rack"], "--fleet rack has no boards: give each with --board ssh://USER@HOST, or all with --clus"),
        (["--cluster", "tcp://10.0.0.5:8786"], "--cluster measures on its workers that own a device, as one fleet: g"),
        (
            ["--cluster", "tcp://10.0.0.5:8786", "--fleet", "rack", "--board", "ssh://a"],
            "give --fleet NAME, and no --board.",
        ),
        (["--cluster", "local:2", "--fleet", "rack"], "the workers of local:2 share this machine, and none owns a dev"),
        (["--fleet", "rack", "--board", "ssh://a", "--device", "x"], "--fleet names the device already: leave out --d"),
        (["--fleet", "rack", "--board", "ssh://a"], "runtime torch runs networks of this host only"),
        (
            ["--fleet", "rack", "--board", "ssh://a@pi", "--board", "ssh://b@pi", "--runtime", "onnxruntime"],
            "two boards of fleet 'rack' have the name 'pi': ssh://a@pi and ssh://b@pi. Give each a name of its own",
        ),
        (
            ["--fleet", "rack", "--board", "ssh://a", "--runtime", "onnxruntime", "--profile"],
            "fleet rack has several boards, whose times of operators differ: profile on one of them",
        ),
        (
            ["--fleet", "rack", "--board", "ssh://a", "--runtime", "onnxruntime", "--energy"],
            "energy is counted on this host only; measure",
        ),
        (
            ["--board", "ssh://pi", "--runtime", "onnxruntime", "--energy"],
            "energy is counted on this host only; measure",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(run: Run, arguments: list[str], message: str) -> None:
    _, err = run(*QUICK, *arguments, code=2)
    assert message in err
    assert not list(Path().iterdir())


@pytest.mark.parametrize("what", [["--blocks"], ["net.onnx"]], ids=["blocks", "own"])
def test_no_throughput(run: Run, what: list[str]) -> None:
    onnx = pytest.importorskip("onnx")
    value = [onnx.helper.make_tensor_value_info(name, 1, [1, 4]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "net", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), "net.onnx")
    _, err = run("measure", *what, "--throughput", "--runtime", "onnxruntime", code=2)
    assert "have no known number of images per execution: leave out --throughput." in err
