"""Networks of one's own on the command line: models, --networks and --input-shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas_surrogate.cli.options import open_networks, read_networks
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError
from tests.cli.conftest import Run

MODELS = """
import torch
from torch import nn
from sizes import WIDTHS

print("a file that prints")

def networks():
    return {f"wide {n}": (nn.Linear(8, n).eval(), torch.zeros(1, 8)) for n in WIDTHS}

wrong = {"table": (nn.Embedding(4, 4).eval(), torch.tensor([[9]]))}
"""
QUICK = ("--passes", 1, "--repeats", 2, "--max-repeats", 2)


@pytest.fixture
def files(run: Run) -> Run:
    """Write the user's files into the folder that the command runs in."""
    Path("nets").mkdir()
    Path("nets/models.py").write_text(MODELS)
    Path("nets/sizes.py").write_text("WIDTHS = (4, 5, 6)")
    return run


def exported(path: Path, size: int = 8) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    value, helper = onnx.helper.make_tensor_value_info, onnx.helper
    path.parent.mkdir(exist_ok=True)
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [value("x", 1, ("n", size))], [value("y", 1, ("n", size))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_measure_modules_of_a_file(files: Run) -> None:
    """One process measures: it finds the file, and what the file imports, by the path on the command line."""
    arguments = ("measure", "--networks", "nets/models.py:networks", "--networks", "nets/models.py:wrong", *QUICK)
    out, err = files(*arguments, "--device", "mine", "--json")
    (line,) = json.loads(out)
    assert (line["target"], line["costs"], line["failed"]) == ("mine/latency", 3, 1)
    assert "a file that prints" in err
    assert "train on it with: hwnas train --data measurements/networks-torch.parquet" in err
    table = load_table("measurements/networks-torch.parquet")
    assert isinstance(table, CostTable)
    assert table.names == ("wide 4", "wide 5", "wide 6", "table")
    assert table.why_missing(["table"]).iloc[0, 0] == "IndexError: index out of range in self"


def test_models_and_folders_are_positional(files: Run) -> None:
    exported(Path("a.onnx"))
    exported(Path("nets/b.onnx"), 9)
    given = read_networks(["nets", "a.onnx"], ["nets/models.py:networks"], "2x8")
    assert given is not None
    assert [network.name for network in given] == ["b", "a", "wide 4", "wide 5", "wide 6"]
    batch = open_networks(["a.onnx"], ["nets/models.py:networks"], "x=2x8")
    assert batch is not None
    assert batch.names == ("a", "wide 4", "wide 5", "wide 6")
    assert batch.graphs[0].inputs[0].shape == (2, 8)


@pytest.mark.parametrize("texts", [None, [], ["0", "|none~0|"], ["-"], ["nets"]])
def test_architectures_are_left_to_the_spaces(files: Run, texts: list[str] | None) -> None:
    assert open_networks(texts, None, None) is None


@pytest.mark.parametrize(
    ("paths", "networks", "shape", "message"),
    [
        (["a.onnx", "0"], None, None, r"'a\.onnx' is a model, '0' an architecture"),
        (["0"], ["a.onnx"], None, "can't be taken together"),
        (["nets/models.py:networks"], None, None, r"would be run: pass it as --networks nets/models\.py:networks"),
        (["nets/models.py"], None, None, "pass it as --networks"),
        (None, None, "1x3", r"an input shape is for \.onnx files, of which there are none"),
    ],
)
def test_what_cannot_be_taken_together(
    files: Run, paths: list[str] | None, networks: list[str] | None, shape: str | None, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_networks(paths, networks, shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.onnx"], "runtime torch runs PyTorch modules only, and a.onnx is an ONNX file"),
        (["missing.onnx"], "can't read missing.onnx: No such file or directory"),
        (["a.onnx", "--runtime", "onnxruntime"], "a.onnx: the input 'x' has the shape (n, 8): give it sizes"),
        (["a.onnx", "--space", "fbnet"], "--space belongs to architectures; a.onnx is measured as it is"),
        (["a.onnx", "--dataset", "cifar10"], "--dataset belongs to architectures"),
        (
            ["a.onnx", "-n", "3"],
            "give either architectures, or models and --networks, or --input, or -n N, or --blocks",
        ),
        (["a.onnx", "--blocks"], "give either"),
        (["-n", "3", "--input-shape", "1x8"], "an input shape is for .onnx files"),
        (["--networks", "nets/models.py:netwroks"], "Did you mean 'networks'?"),
        (["--networks", "nets/models.py"], "name what in it holds the networks"),
    ],
)
def test_measure_refuses_before_the_work(files: Run, arguments: list[str], message: str) -> None:
    exported(Path("a.onnx"))
    _, err = files("measure", *arguments, code=1 if "can't read" in message else 2)
    assert err.count("error: ") == 1
    assert message in err
    assert not Path("measurements").exists()
