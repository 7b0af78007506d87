"""Other configs on the command line: who answers, who is left out, and what training knows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate import SurrogateSuite
from hwnas_surrogate.spaces import get_space
from tests.cli.conftest import Run

SPACE = get_space("nasbench201")
CONFIGS = ["C16-N5-k10-3x32x32", "C8-N2-k10-3x32x32", "C24-N3-k10-3x24x24"]
OTHER = "C16-N3-k10-3x32x32"
SEVERAL, SINGLE = "several/latency", "single/energy"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archs = SPACE.sample(90, 0)
    under = [CONFIGS[row % 3] for row in range(90)]
    costs = np.array([SPACE.batch(arch, config).macs[0] for arch, config in zip(archs, under, strict=True)]) / 1e6
    home = np.where([config == CONFIGS[0] for config in under], costs, np.nan)
    suite = SurrogateSuite(model="ridge").fit(archs, {SEVERAL: costs, SINGLE: home}, under)
    return suite.save(tmp_path_factory.mktemp("suite"))


def test_those_that_know_several_configs_answer_and_the_others_are_named(run: Run, folder: Path) -> None:
    out, err = run("predict", "0", "1", "-s", folder, "--dataset", OTHER, "--json")
    columns = set(json.loads(out)[0])
    assert columns == {"architecture", "connected", f"{SEVERAL} (ms)"}
    assert f"left out, as they were trained under other configs only: {SINGLE}" in err
    assert "--extrapolate" in err


def test_one_that_is_asked_for_refuses_and_says_what_to_do(run: Run, folder: Path) -> None:
    out, err = run("predict", "0", "-s", folder, "--dataset", OTHER, "--target", SINGLE, code=2)
    assert out == ""
    for told in (SINGLE, CONFIGS[0], OTHER, "Train on measurements under 3 configs", "hwnas adapt", "--extrapolate"):
        assert told in err


def test_extrapolating_answers_for_all(run: Run, folder: Path) -> None:
    asked = ("predict", "0", "1", "-s", folder, "--dataset", OTHER, "--extrapolate", "--interval", "90", "--json")
    out, err = run(*asked)
    assert err == ""
    for row in json.loads(out):
        assert row[f"{SINGLE} (mJ) low"] < row[f"{SINGLE} (mJ)"] < row[f"{SINGLE} (mJ) high"]
        assert row[f"{SINGLE} (mJ) high"] > 1.5 * row[f"{SINGLE} (mJ) low"]


def test_a_file_is_predicted_by_those_that_answer(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "archs.txt").write_text("0\n1\n2\n")
    asked = ("predict", "-s", folder, "--dataset", OTHER, "--input", "archs.txt", "--output")
    run(*asked, "costs.csv")
    assert list(pd.read_csv(tmp_path / "costs.csv")) == ["architecture", "connected", f"{SEVERAL} (ms)"]
    run(*asked, "costs.csv", "--target", SINGLE, code=2)
    assert f"{SEVERAL} (ms)" in pd.read_csv(tmp_path / "costs.csv"), "what was there before is untouched"
    run(*asked, "all.csv", "--extrapolate")
    assert f"{SINGLE} (mJ)" in pd.read_csv(tmp_path / "all.csv")


@pytest.mark.filterwarnings("default::hwnas_surrogate.trainers.ExtrapolationWarning")
def test_much_larger_networks_are_warned_of_once(run: Run, folder: Path) -> None:
    asked = ("predict", "0", "1", "2", "-s", folder, "--dataset", "C64-N5-k10-3x64x64", "--target", SEVERAL)
    _, err = run(*asked, "--interval", "90")
    assert err.count("more than twice as many") == 1
    assert "warning: " in err


def test_the_config_that_is_meant_is_said(run: Run, folder: Path) -> None:
    assert "Predicted costs under cifar10" in run("predict", "0", "-s", folder)[0]
    assert f"Predicted costs under {OTHER}" in run("predict", "0", "-s", folder, "--dataset", OTHER)[0]


def test_networks_without_a_path_are_told(run: Run, folder: Path) -> None:
    """Index 10 has no path from its input to its output."""
    out = run("predict", "0", "10", "-s", folder)[0]
    assert "connected: whether a path leads from the input to the output" in out
    assert "connected" not in run("predict", "0", "1", "-s", folder)[0]
    records = json.loads(run("predict", "0", "10", "-s", folder, "--json")[0])
    assert [record["connected"] for record in records] == [True, False]


@pytest.mark.parametrize("asked", [("0", "10"), ("--all",), ("--all", "--data", "modified")])
def test_measured_networks_without_a_path_are_told(run: Run, asked: tuple[str, ...]) -> None:
    asked = (*asked, "--target", "epyc-torch-1t") if "modified" not in asked else asked
    records = json.loads(run("query", *asked, "--json")[0])
    assert list(records[0])[:2] == ["architecture", "connected"]
    archs = [record["architecture"] for record in records]
    assert [record["connected"] for record in records] == SPACE.connected(archs).tolist()
    frame = pd.read_csv(io.StringIO(run("query", *asked, "--csv")[0]))
    assert "connected" not in frame, "it would be a column of costs where the file is imported again"
    assert "connected: whether a path leads from the input to the output" in run("query", *asked)[0]
    assert "connected" not in run("query", "0", "1")[0]


@pytest.mark.slow
def test_training_on_what_is_bundled_takes_every_config(run: Run) -> None:
    asked = ("--target", "epyc-onnxruntime-1t", "--target", "epyc-onnxruntime-int8-1t")
    run("train", *asked, "--model", "ridge", "--n-train", "100", "--n-test", "50")
    suite = SurrogateSuite.load("surrogates/nasbench201")
    assert [len(suite[target].configs_) for target in suite] == [26, 1]
    assert [suite[target].n_train_ for target in suite] == [4500, 500]
    run("train", *asked, "--dataset", "cifar10", "--model", "ridge", "--n-train", "100", "-o", "home")
    assert [len(one.configs_) for one in SurrogateSuite.load("home").surrogates_.values()] == [1, 1]


def test_suggestions_without_a_path_are_told(run: Run) -> None:
    records = json.loads(run("suggest", "-n", "10", "--json")[0])
    archs = [record["architecture"] for record in records]
    assert [record["connected"] for record in records] == SPACE.connected(archs).tolist()
    assert not all(record["connected"] for record in records)
    assert "connected: whether" in run("suggest", "-n", "10", "-o", "again.csv")[0]
