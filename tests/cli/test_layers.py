"""``hwnas layers``: counts of any network, costs where surrogates answer, and what it refuses."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite
from tests.cli.conftest import Run

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(20, 0)
BATCH = SPACE.batch(ARCHS)
COSTS = (BATCH.macs / 2e7 + 2) * np.random.default_rng(0).normal(1, 0.01, len(ARCHS))
TARGET = "raspi4/latency"
MODULES = """
import torch

def one(channels):
    return torch.nn.Sequential(torch.nn.Conv2d(3, channels, 3), torch.nn.ReLU()).eval(), (torch.zeros(1, 3, 32, 32),)

networks = {"wide": one(64), "narrow": one(8)}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with surrogates: of architectures (two targets), and of graphs."""
    folder = tmp_path_factory.mktemp("saved")
    costs = {TARGET: COSTS, "raspi4/energy": 3 * COSTS, "raspi4/peak_memory": COSTS}
    SurrogateSuite(random_state=0, calibrate=False).fit(ARCHS, costs).save(folder / "archs")
    SurrogateSuite(None, random_state=0).fit(BATCH.graphs(), {TARGET: COSTS}).save(folder / "graphs")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an ONNX file and a Python file."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    folder = tmp_path_factory.mktemp("models")
    weight = helper.make_tensor("w", TensorProto.FLOAT, (4, 3, 3, 3), np.zeros(108))
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", TensorProto.FLOAT, ("n", 3, "h", "w"))],
        [value("z", TensorProto.FLOAT, None)],
        [weight],
    )
    onnx.save(helper.make_model(graph), os.fspath(folder / "net.onnx"))
    (folder / "nets.py").write_text(MODULES)
    return folder


def test_costs_add_up_to_what_predict_prints(run: Run, folders: Path) -> None:
    saved = ("--surrogates", folders / "archs", "--target", TARGET)
    listed = pd.read_csv(io.StringIO(run("layers", 8000, *saved, "--csv")[0]))
    predicted = json.loads(run("predict", 8000, *saved, "--json")[0])[0][f"{TARGET} (ms)"]
    assert listed["cost"].sum() == pytest.approx(predicted)
    assert listed["share"].sum() == pytest.approx(100)
    assert set(listed["target"]) == {TARGET}
    assert not {"low", "high"} & set(listed)


def test_a_graph_and_its_architecture_have_the_same_operators(run: Run, folders: Path) -> None:
    saved = ("--surrogates", folders / "graphs", "--json", "--interval", 90)
    (suite,) = SurrogateSuite.load(folders / "graphs").surrogates_.values()
    expected = suite.explain(SPACE.graph(8000)).frame
    listed = pd.DataFrame(json.loads(run("layers", 8000, *saved)[0]))
    pd.testing.assert_frame_equal(listed[list(expected)], expected, check_dtype=False)


def test_the_largest_are_listed_with_the_total_of_all(run: Run, folders: Path) -> None:
    saved = ("--surrogates", folders / "archs", "--target", TARGET)
    every = json.loads(run("layers", 8000, *saved, "--json")[0])
    top = json.loads(run("layers", 8000, *saved, "--json", "--top", 3)[0])
    assert [row["node"] for row in top] == [row["node"] for row in sorted(every, key=lambda row: -row["cost"])[:3]]
    out, _ = run("layers", 8000, *saved, "--top", 3, "--interval", 90)
    assert f"the 3 largest of {len(every)} operators" in out
    total = next(line for line in out.splitlines() if line.split()[:1] == ["total"])
    assert f"{sum(row['cost'] for row in every):.4g}" in total
    assert "100" in total
    assert "latency" in out
    assert "90% interval" in out


def test_without_surrogates_the_counts_are_listed(run: Run, models: Path) -> None:
    out, err = run("layers", models / "net.onnx", "--input-shape", "1x3x8x8")
    assert ("conv 3x3+relu" in out, "latency" in out, err) == (True, False, "")
    (row,) = json.loads(run("layers", models / "net.onnx", "--input-shape", "1x3x8x8", "--json")[0])
    assert row["macs"] == 4 * 6 * 6 * 27
    assert "cost" not in row


@pytest.mark.filterwarnings("ignore::hwnas_surrogate.trainers.ExtrapolationWarning")  # the model is large
def test_surrogates_of_architectures_do_not_answer_for_models(run: Run, folders: Path, models: Path) -> None:
    model = (models / "net.onnx", "--input-shape", "1x3x512x512")
    out, err = run("layers", *model, "--surrogates", folders / "archs", "--output", "bars.png")
    assert "conv 3x3" in out
    assert "no costs: the surrogates were trained on architectures of nasbench201" in err
    assert "no picture" in err
    out, err = run("layers", *model, "--surrogates", folders / "graphs")
    assert ("latency" in out, err) == (True, "")


def test_one_of_several_modules_is_named(run: Run, models: Path) -> None:
    pytest.importorskip("torch")
    source = f"{models / 'nets.py'}:networks"
    assert "1x64x30x30" in run("layers", "wide", "--networks", source)[0]
    assert "got 2: name one of wide, narrow" in run("layers", "--networks", source, code=2)[1]
    assert "Did you mean 'wide'" in run("layers", "wid", "--networks", source, code=2)[1]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_drawn(suffix: str, run: Run, folders: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / f"bars.{suffix}"
    _, err = run("layers", 8000, "-s", folders / "graphs", "--top", 3, "--output", picture)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert picture.read_bytes().startswith(start)
    assert f"drawn in {picture}" in err.replace("\n", "")


def test_a_metric_that_is_no_sum_has_no_costs_of_operators(run: Run, folders: Path) -> None:
    saved = ("--surrogates", folders / "archs")
    assert "no sum" in run("layers", 8000, *saved, "--target", "raspi4/peak_memory", code=2)[1]
    assert "raspi4/latency, raspi4/energy" in run("layers", 8000, *saved, code=2)[1]


def test_several_targets_are_listed_one_after_the_other(run: Run, folders: Path) -> None:
    saved = ("--surrogates", folders / "archs", "--target", TARGET, "--target", "raspi4/energy")
    listed = pd.read_csv(io.StringIO(run("layers", 8000, *saved, "--csv")[0]))
    assert listed.groupby("target", sort=False)["share"].sum().round(6).to_dict() == {TARGET: 100, "raspi4/energy": 100}
    out, _ = run("layers", 8000, *saved)
    assert out.index("latency") < out.index("energy")
    _, err = run("layers", 8000, *saved, "--output", "bars.png", code=2)
    assert "a picture shows the costs of one target, got 2" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name one network"),
        (["8000", "--output", "bars.png"], "surrogates are needed"),
        (["8000", "-s", "archs", "--target", TARGET, "--output", "bars.gif"], "ends in .png or .svg or .pdf"),
        (["8000", "-s", "archs", "--target", "raspi4", "--output", "bars.png"], "no sum"),
        (["8000", "-s", "archs", "--target", TARGET, "--interval", "0.9"], "reads per cent"),
        (["8000", "--json", "--csv"], "exclude each other"),
        (["99999"], "0..15624"),
        (["nets.py:networks"], "--networks nets.py:networks"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value) or "nothing",
)
def test_bad_input_is_refused(arguments: list[str], expected: str, run: Run, folders: Path) -> None:
    given = [str(folders / "archs") if argument == "archs" else argument for argument in arguments]
    assert expected in " ".join(run("layers", *given, code=2)[1].split())


def test_a_file_that_is_missing_is_named(run: Run) -> None:
    assert "can't read missing.onnx" in run("layers", "missing.onnx", code=1)[1]


def test_a_graph_has_no_config(run: Run, models: Path) -> None:
    _, err = run("layers", models / "net.onnx", "--input-shape", "1x3x8x8", "--dataset", "cifar10", code=2)
    assert "belong to architectures" in err


def test_costs_of_a_batch_are_those_of_its_graph(folders: Path) -> None:
    (suite,) = SurrogateSuite.load(folders / "graphs").surrogates_.values()
    graph = GraphBatch({"mine": SPACE.graph(0)})
    assert suite.explain(graph).total == pytest.approx(suite.predict(SPACE.graph(0))[0])
