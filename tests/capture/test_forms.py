"""One form of operators: a module, its exported program and its ONNX file give the same graph."""

import warnings
from collections import Counter

import pytest
import torch

from hwnas_surrogate import Graph
from hwnas_surrogate.capture import UncountedWarning
from hwnas_surrogate.graphs import VIEWS
from tests.capture.networks import NETWORKS, filled

KINDS = {
    "transformer": {"attention": 1, "gelu": 1, "layer_norm": 2, "matmul": 4, "add": 3, "concat": 1, "copy": 1},
    "transformer by hand": {"attention": 1, "gelu": 1, "layer_norm": 2, "matmul": 4, "add": 3, "concat": 1, "copy": 1},
    "mbconv": {"conv": 5, "batch_norm": 3, "silu": 3, "sigmoid": 1, "global_pool": 1, "mul": 1, "add": 1},
    "convnext": {"conv": 1, "layer_norm": 1, "matmul": 2, "gelu": 1, "mul": 1, "add": 1},
    "mixer": {"layer_norm": 2, "matmul": 4, "gelu": 1, "hardswish": 1, "add": 2, "mean": 1},
    "swiglu": {"rms_norm": 1, "matmul": 3, "silu": 1, "mul": 1, "add": 1},
    "by hand": {"conv": 2, "hardswish": 1, "layer_norm": 1, "group_norm": 1, "gelu": 1, "mish": 1, "roll": 1},
}
OPSETS = (13, 17, 20)


def kinds(graph):
    return Counter(op.kind for op in graph.ops if op.kind != "view")


def captured(name):
    module, example = NETWORKS[name]
    return Graph.from_torch(filled(module), example)


def file_of(name, tmp_path, opset=17, **options):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    assert onnx
    module, example = NETWORKS[name]
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(filled(module), (example,), str(path), dynamo=False, opset_version=opset, **options)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_operators_are_those_that_the_network_is_made_of(name):
    assert kinds(captured(name)) == KINDS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_program_is_the_module(name):
    module, example = NETWORKS[name]
    assert Graph.from_exported(torch.export.export(filled(module), (example,))) == captured(name)


@pytest.mark.parametrize("folding", [True, False], ids=["folded", "as written"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_is_the_module(name, folding, tmp_path):
    options = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": folding}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedWarning)
        found = Graph.from_onnx(file_of(name, tmp_path, **options))
    of_module = captured(name)
    assert kinds(found) == kinds(of_module)
    assert found.counts == of_module.counts
    assert found == of_module


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_files_of_every_opset_have_the_same_operators(name, opset, tmp_path):
    if (name, opset) in (("transformer", 13), ("mixer", 13)):
        pytest.skip("the exporter has no such operator in this opset")
    found, of_module = Graph.from_onnx(file_of(name, tmp_path, opset)), captured(name)
    # By default the exporter folds batch norms: in every view they are part of the convolution.
    found, of_module = VIEWS["all"](found), VIEWS["all"](of_module)
    assert kinds(found) == kinds(of_module)
    assert (found.macs, found.activation_bytes) == (of_module.macs, of_module.activation_bytes)
    assert kinds(VIEWS["fused"](found)) == kinds(VIEWS["fused"](of_module))
