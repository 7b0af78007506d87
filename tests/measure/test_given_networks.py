"""Measuring networks that a user names: the table, resuming after a change, and what is refused before the work."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate.capture import given_networks
from hwnas_surrogate.data import CostTable, load_table, read_measurements
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.measure import Protocol, Runnable, Torch, make_runtime, measure_networks
from hwnas_surrogate.measure.form import form_lines, write_form
from tests.measure.in_process import InProcess

QUICK = Protocol(passes=2, repeats=2, max_repeats=2, half_width=9.0)
ONCE = replace(QUICK, passes=1)
MODELS = """
import torch
from torch import nn

WIDTH = 4

def networks():
    image = torch.zeros(2, 3, 8, 8)
    found = {
        "conv": (nn.Conv2d(3, WIDTH, 3).eval(), image),
        "linear": (nn.Linear(8, 4).eval(), torch.zeros(1, 8)),
        "out of range": (nn.Embedding(4, 4).eval(), torch.tensor([[9]])),
    }
    return found
"""
SAME = """
import torch
from torch import nn

both = {name: (nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, 8, 8)) for name in ("first", "second")}
"""
ALONE = """
import torch
from torch import nn

x = torch.zeros(1, 8)
meta = {"far": (nn.Linear(8, 4, device="meta").eval(), x)}
training = {"learning": (nn.Linear(8, 4), x)}
"""


@dataclass(frozen=True)
class Recording(Torch):
    """PyTorch that records what it loads."""

    name: ClassVar[str] = "recording"
    loaded: ClassVar[list[str]] = []

    def load(self, network: Runnable) -> Any:
        self.loaded.append(type(network.module()[0]).__name__)
        return super().load(network)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hwnas_surrogate.measure.session.Worker", InProcess)
    monkeypatch.setattr(Recording, "loaded", [])
    Path("models.py").write_text(MODELS)
    return tmp_path


def measured(*sources: str, shape: str | None = None, **options: Any) -> CostTable:
    options = {"runtime": Recording(), "protocol": QUICK, "device": "mine"} | options
    return measure_networks(given_networks(sources, shape), "mine.parquet", **options)


def journal() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("mine.parquet.journal").read_text().splitlines()]


def exported(path: Path, channels: int = 4) -> None:
    """Write an ONNX file whose batch is symbolic."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    value, helper = onnx.helper.make_tensor_value_info, onnx.helper
    weight = onnx.numpy_helper.from_array(np.zeros((channels, 3, 3, 3), np.float32), "weight")
    nodes = [helper.make_node("Conv", ["x", "weight"], ["y"])]
    inputs, outputs = [value("x", 1, ("n", 3, 8, 8))], [value("y", 1, ("n", channels, 6, 6))]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_modules_of_a_file(here: Path) -> None:
    table = measured("models.py:networks")
    assert table.space is None
    assert table.names == ("conv", "linear", "out of range")
    assert [str(target) for target in table.targets] == ["mine/latency"]
    assert (table.costs[:2, 0] > 0).all()
    assert table.why_missing().iloc[2, 0] == "IndexError: index out of range in self"
    graphs = [network.graph() for network in given_networks(["models.py:networks"])]
    assert list(table.batch.graphs) == graphs  # type: ignore[attr-defined]
    assert table.devices["mine"].batch is None  # that of one network is 2
    assert table.meta["networks"]["conv"] == {"source": "models.py:networks", "hash": graphs[0].digest}
    assert table.meta["anchor"]["architecture"].startswith("|")
    read = load_table("mine.parquet")
    assert isinstance(read, CostTable)
    assert (read.names, read.meta) == (table.names, table.meta)
    np.testing.assert_array_equal(read.costs, table.costs)
    header, *lines = journal()
    assert header["settings"]["space"] == "graphs"
    assert ["conv", graphs[0].digest, ""] in lines[0]["subjects"]

    write_form("form.csv", form_lines(table))
    assert Path("form.csv").read_text().splitlines()[0] == "model,device,metric,value,unit,note"
    again = read_measurements("form.csv", networks=table.batch)
    np.testing.assert_array_equal(again.costs[again.find(table.batch)], table.costs)
    assert again.why_missing(["out of range"]).iloc[0, 0] == "IndexError: index out of range in self"


def test_resuming_measures_only_what_is_new_or_changed(here: Path) -> None:
    before = measured("models.py:networks", protocol=ONCE)
    anchor, *loaded = Recording.loaded
    assert sorted(loaded) == ["Conv2d", "Embedding", "Linear"]
    Recording.loaded.clear()
    again = measured("models.py:networks", protocol=ONCE)
    assert Recording.loaded == []
    np.testing.assert_array_equal(again.costs, before.costs)
    Path("models.py").write_text(MODELS.replace("WIDTH = 4", "WIDTH = 5"))
    after = measured("models.py:networks", protocol=ONCE)
    assert Recording.loaded == [anchor, "Conv2d"]
    assert after.costs[1, 0] > 0
    assert after.batch.keys[0] != before.batch.keys[0]
    assert after.batch.keys[1:] == before.batch.keys[1:]


def test_what_changes_while_it_is_measured_has_no_cost(here: Path) -> None:
    text = MODELS.replace("    return found", "    width = torch.seed() % 10**6 + 1\n")
    Path("models.py").write_text(
        text + "    return found | {'drawn': (nn.Linear(2, width).eval(), torch.zeros(1, 2))}\n"
    )
    table = measured("models.py:networks", protocol=ONCE)
    assert np.isnan(table.costs[:, 0]).tolist() == [False, False, True, True]
    why = table.why_missing(["drawn"]).iloc[0, 0]
    assert "models.py:networks gives another network called 'drawn' than when the measurement began" in why


def test_files_and_modules_in_one_table(here: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    exported(here / "file.onnx", 6)
    table = measured(
        "file.onnx", "models.py:networks", shape="x=1x3x8x8", runtime=make_runtime("onnxruntime"), protocol=ONCE
    )
    assert table.names == ("file", "conv", "linear", "out of range")
    assert (table.costs[:3, 0] > 0).all()
    assert "IndexError" in table.why_missing(["out of range"]).iloc[0, 0]
    key = table.meta["networks"]["file"]["hash"]
    assert re.fullmatch(r"[0-9a-f]{64} x=1x3x8x8", key)
    assert key in {key for line in journal() for _, key, _ in line.get("subjects", ())}


@pytest.mark.parametrize("runtime", ["torch", "recording"])
def test_pytorch_runs_no_onnx_files(here: Path, runtime: str) -> None:
    exported(here / "file.onnx")
    chosen = Torch() if runtime == "torch" else Recording()
    message = f"runtime {runtime} runs PyTorch modules only, and file.onnx is an ONNX file; runtimes for ONNX files: "
    with pytest.raises(InvalidInputError, match=f"^{re.escape(message)}onnxruntime, onnxruntime-int8, "):
        measured("file.onnx", shape="1x3x8x8", runtime=chosen)
    assert list(here.glob("mine*")) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("same.py:both", "'first' and 'second' are the same network: the same operators"),
        ("alone.py:meta", r"alone\.py:meta\['far'\] is on the meta device, where it has no weights"),
        ("alone.py:training", r"alone\.py:training\['learning'\]: Linear is in training mode"),
    ],
)
def test_networks_that_cannot_be_measured(here: Path, source: str, message: str) -> None:
    Path("same.py").write_text(SAME)
    Path("alone.py").write_text(ALONE)
    with pytest.raises((InvalidInputError, InvalidGraphError), match=message):
        measured("models.py:networks", source)
    assert Recording.loaded == []
    assert list(here.glob("mine*")) == []


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([], "there is nothing to measure: no networks were given"),
        ({"a": (nn.Linear(2, 2), torch.zeros(1, 2))}, r"got dict\. Write modules into a Python file: given_networks"),
        ([nn.Linear(2, 2)], "takes networks from capture.given_networks"),
    ],
    ids=["none", "mapping", "module"],
)
def test_what_is_no_list_of_given_networks(here: Path, networks: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        measure_networks(networks, "mine.parquet", protocol=QUICK)
