"""One form of operators: a module, its exported program and its ONNX file give the same graph."""

import warnings
from collections import Counter

import pytest
import torch

from hwnas_surrogate import Graph
from hwnas_surrogate.capture import UncountedWarning
from hwnas_surrogate.graphs import VIEWS, fused
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
NOT_IN_OPSET_13 = ("transformer", "mixer")  # PyTorch's exporter knows one of their operators from opset 14 on


def kinds(graph):
    return Counter(op.kind for op in graph.ops if op.kind != "view")


def captured(name):
    module, example = NETWORKS[name]
    return Graph.from_torch(filled(module), example)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a function that exports a network, each only once."""
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    folder, made = tmp_path_factory.mktemp("models"), {}

    def export(name, opset=17, **options):
        key = (name, opset, *options)
        if key not in made:
            module, example = NETWORKS[name]
            made[key] = folder / f"{len(made)}.onnx"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    filled(module), (example,), str(made[key]), dynamo=False, opset_version=opset, **options
                )
        return made[key]

    return export


@pytest.mark.parametrize("name", NETWORKS)
def test_operators_are_those_that_the_network_is_made_of(name):
    assert kinds(captured(name)) == KINDS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_program_is_the_module(name):
    module, example = NETWORKS[name]
    assert Graph.from_exported(torch.export.export(filled(module), (example,))) == captured(name)


@pytest.mark.parametrize(("opset", "folding"), [(13, False), (20, True)], ids=["13, as written", "20, folded"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_is_the_module(exported, name, opset, folding):
    opset += name in NOT_IN_OPSET_13 and opset == 13
    preserved = torch.onnx.TrainingMode.PRESERVE  # otherwise the exporter folds batch norms
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedWarning)
        found = Graph.from_onnx(exported(name, opset, training=preserved, do_constant_folding=folding))
    of_module = captured(name)
    assert kinds(found) == kinds(of_module)
    assert (found.macs, found.params) == (of_module.macs, of_module.params)
    assert found == of_module


@pytest.mark.parametrize("name", NETWORKS)
def test_an_inference_file_has_the_operators_of_every_view(exported, name):
    found, of_module = Graph.from_onnx(exported(name)), captured(name)
    for view in ("all", "fused"):
        run = VIEWS[view]
        assert kinds(run(found)) == kinds(run(of_module))
        assert run(found).activation_bytes == run(of_module).activation_bytes
    assert found.macs == of_module.macs


FREE = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Input", "Output", "Const", "Reorder", "Convert"}
"""Operators of engines that only show or convert what they read."""


def run_by_onnx_runtime(path):
    """Return how often ONNX Runtime runs each operator of a file."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    options.log_severity_level = 3
    runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(path.with_suffix(".optimized")).graph.node
    return Counter(node.op_type for node in nodes if node.op_type not in FREE)


def run_by_openvino(path):
    """Return how often OpenVINO runs each operator of a file."""
    openvino = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": 1})
    ops = core.compile_model(str(path), "CPU").get_runtime_model().get_ops()
    return Counter(kind for op in ops if (kind := op.get_rt_info()["layerType"].astype(str)) not in FREE)


def by_themselves(graph):
    """Return how many operators ONNX Runtime runs by themselves that the view ``fused`` counts with others."""
    own = ("silu", "gelu", "add")
    return sum(2 * (op.kind == "attention") + sum(kind in own for kind in op.fused) for op in graph.ops)


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_runs_the_operators_of_the_fused_view(exported, name):
    ran, counted = run_by_onnx_runtime(exported(name)), fused(captured(name))
    found = kinds(counted)
    assert ran["Conv"] + ran["FusedConv"] == found["conv"]
    products = ran["Gemm"] + ran["FusedGemm"] + ran["MatMul"] + ran["FusedMatMul"]
    assert products == found["matmul"] + 2 * found["attention"]
    if name in ("mbconv", "convnext", "swiglu"):
        assert ran.total() == found.total() + by_themselves(counted)
    if name.startswith("transformer"):  # it splits what it has transposed, and may add the mask by itself
        assert ran.total() == pytest.approx(found.total() + by_themselves(counted), abs=2)


@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_runs_the_products_of_the_fused_view(exported, name):
    ran, found = run_by_openvino(exported(name)), kinds(fused(captured(name)))
    assert (ran["Convolution"], ran["FullyConnected"]) == (found["conv"], found["matmul"])
    if name == "mbconv":
        assert ran.total() == found.total()
