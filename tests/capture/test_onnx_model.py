"""ONNX models as graphs: against the capture of the module that wrote them, and what is refused."""

import time
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate import Graph
from hwnas_surrogate.capture import UncountedWarning
from hwnas_surrogate.errors import DataFileError, InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import VIEWS, fused
from hwnas_surrogate.networks import build_network, to_onnx
from hwnas_surrogate.spaces import get_space
from tests.capture.test_torch_module import ZOO, captured

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
helper, FLOAT, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64

# PyTorch's exporter fails on these.
EXPORTABLE = [name for name in ZOO if not name.startswith("transformer")]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish(), nn.MaxPool2d(2))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.deep(self.stem(x))
        x = x * self.gate(x)
        x = torch.cat([x + x.relu(), x * 0.5], 1).mean((2, 3))
        return self.head(torch.flatten(x, 1)).softmax(1)


def exported(module, inputs, path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), inputs, str(path), dynamo=False, do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE, **options,
        )  # fmt: skip
    return path


def value(name, *shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def stored(name, *shape):
    return onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)


def model_of(nodes, inputs, outputs, weights=(), **more):
    opset = more.pop("opset", 17)
    domains = more.pop("domains", ())
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(weights), **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(name, 1) for name in domains] + [
        helper.make_opsetid("", opset)
    ])  # fmt: skip


def relu(reads="x", writes="y"):
    return helper.make_node("Relu", [reads], [writes])


@pytest.mark.parametrize("name", EXPORTABLE)
def test_multiply_adds_and_parameters_are_those_of_the_module(name, tmp_path):
    module, *inputs = ZOO[name]
    of_module = Graph.from_torch(module.eval(), *inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncountedWarning)
        found = Graph.from_onnx(exported(module, tuple(inputs), tmp_path / "model.onnx"))
    assert (found.macs, found.params) == (of_module.macs, of_module.params)


def test_operators_have_the_names_of_a_capture(tmp_path):
    module, image = Small().eval(), torch.zeros(2, 3, 16, 16)
    of_module = Graph.from_torch(module, image)
    found = Graph.from_onnx(exported(module, (image,), tmp_path / "model.onnx"))
    assert (found.macs, found.params) == (of_module.macs, of_module.params)
    for made in (lambda graph: graph, fused):
        kinds = [Counter(op.kind for op in made(graph).ops if op.kind != "view") for graph in (found, of_module)]
        assert kinds[0] == kinds[1]
    windows = [
        [(op.kernel, op.stride, op.padding, op.groups) for op in graph.ops if op.kernel] for graph in (found, of_module)
    ]
    assert windows[0] == windows[1]
    assert fused(found).activation_bytes == fused(of_module).activation_bytes


class Padded(nn.Module):
    """Shapes that are computed from shapes, a table read at fixed places, and weights that are standardized."""

    def __init__(self):
        super().__init__()
        self.conv, self.start = nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.Parameter(torch.zeros(1, 1, 8))
        self.table = nn.Parameter(torch.arange(30.0).view(15, 2))
        self.register_buffer("places", torch.arange(64) % 15)

    def forward(self, x):
        height, width = x.shape[-2:]
        pads = [max((size + 1) // 2 * 2 + 1 - size, 0) for size in (width, height)]
        x = nn.functional.pad(x, [pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2])
        weight = nn.functional.batch_norm(
            self.conv.weight.reshape(1, 8, -1), None, None, training=True, momentum=0.0
        ).reshape_as(self.conv.weight)
        x = nn.functional.conv2d(x, weight, stride=2)
        x = nn.functional.interpolate(x, (7, 7), mode="bilinear").flatten(2).transpose(1, 2)
        x = torch.cat([self.start.expand(x.shape[0], -1, -1), x], 1)
        bias = self.table[self.places].view(1, 64, 2).permute(0, 2, 1)
        return bias @ nn.functional.pad(x, (0, 0, 0, 64 - x.shape[1]))


def test_shapes_that_are_computed_are_known(tmp_path):
    module, image = Padded().eval(), torch.zeros(2, 3, 15, 15)
    of_module = Graph.from_torch(module, image)
    found = Graph.from_onnx(exported(module, (image,), tmp_path / "model.onnx"))
    assert (found.macs, found.params) == (of_module.macs, of_module.params)
    assert found.values[found.outputs[0]] == of_module.values[of_module.outputs[0]]


@pytest.mark.parametrize(("space", "archs"), [("nasbench201", [11111, 4]), ("fbnet", [[3] * 22])])
def test_a_built_networks_file_counts_as_its_space_lists(space, archs):
    for arch in archs:
        config = get_space(space).config(None)
        model = to_onnx(build_network(arch, config, space, random_state=0), config.input_shape)
        found, listed = Graph.from_onnx(model), get_space(space).graph(arch)
        assert (found.macs, found.params) == (listed.macs, listed.params)
        for view in VIEWS:
            assert VIEWS[view](found).macs == VIEWS[view](listed).macs


def test_shapes_of_symbolic_dimensions_are_those_of_the_call(tmp_path):
    module = Small().eval()
    path = exported(
        module, (torch.zeros(2, 3, 16, 16),), tmp_path / "model.onnx",
        input_names=["image"], dynamic_axes={"image": {0: "batch", 2: "height", 3: "width"}},
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match=r"'image' has the shape \(batch, 3, height, width\): give it sizes"):
        Graph.from_onnx(path)
    for shape in ((1, 3, 16, 16), (4, 3, 32, 24)):
        of_module = Graph.from_torch(module, torch.zeros(shape))
        for given in (shape, list(shape), {"image": shape}):
            found = Graph.from_onnx(path, given)
            assert (found.macs, found.params) == (of_module.macs, of_module.params)
            assert found.inputs[0].shape == shape


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((1, 3, 8), r"has the shape \(1, 3, 8, 8\), got \(1, 3, 8\)"),
        ((1, 3, 9, 9), "can't be changed"),
        ((1, 3, 8, -8), "whole numbers of at least 1"),
        ((1, 3, 8, "n"), "whole numbers of at least 1"),
        ("x", "whole numbers of at least 1"),
        ({"y": (1, 3, 8, 8)}, "has no input 'y'; it has x"),
    ],
)
def test_shapes_that_are_not_the_inputs_are_refused(given, said):
    model = model_of([relu()], [value("x", 1, 3, 8, 8)], [value("y", 1, 3, 8, 8)])
    with pytest.raises(InvalidInputError, match=said):
        Graph.from_onnx(model, given)


def test_several_inputs_need_names():
    add = helper.make_node("Add", ["a", "b"], ["y"])
    model = model_of([add], [value("a", "n", 4), value("b", "n", 4)], [value("y", "n", 4)])
    with pytest.raises(InvalidInputError, match=r"has 2 inputs \(a, b\): give input_shapes as a mapping"):
        Graph.from_onnx(model, (2, 4))
    found = Graph.from_onnx(model, {"a": (2, 4), "b": (2, 4)})
    assert [spec.shape for spec in found.inputs] == [(2, 4), (2, 4)]


def test_weights_in_another_file_may_be_absent(tmp_path):
    module, image = Small().eval(), torch.zeros(1, 3, 16, 16)
    path = exported(module, (image,), tmp_path / "model.onnx")
    whole = Graph.from_onnx(path)
    onnx.save(
        onnx.load(path), tmp_path / "thin.onnx", save_as_external_data=True, location="thin.data", size_threshold=64
    )
    (tmp_path / "thin.data").unlink()
    assert Graph.from_onnx(tmp_path / "thin.onnx") == whole


def test_a_model_in_memory_is_not_changed(tmp_path):
    model = onnx.load(exported(Small(), (torch.zeros(1, 3, 16, 16),), tmp_path / "model.onnx"))
    before = model.SerializeToString()
    assert Graph.from_onnx(model) == Graph.from_onnx(tmp_path / "model.onnx")
    assert model.SerializeToString() == before


def test_tied_weights_count_once():
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["embedded"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["embedded", "turned"], ["y"]),
    ]
    tokens = value("tokens", 1, 5, dtype=INT64)
    found = Graph.from_onnx(model_of(nodes, [tokens], [value("y", 1, 5, 100)], [stored("table", 100, 8)]))
    assert found.params == 800
    assert found.macs == 5 * 8 * 100
    assert [op.kind for op in found.ops] == ["embedding", "matmul"]


def test_local_functions_are_inlined():
    body = helper.make_function(
        "own", "Twice", ["a"], ["c"], [relu("a", "b"), relu("b", "c")], [helper.make_opsetid("", 17)]
    )
    call = helper.make_node("Twice", ["x"], ["y"], domain="own")
    model = model_of([call], [value("x", 1, 4)], [value("y", 1, 4)], domains=["own"])
    model.functions.append(body)
    assert [op.kind for op in Graph.from_onnx(model).ops] == ["relu", "relu"]


def calling(depth, calls=2):
    """A model whose functions each call the one before several times; the first calls itself if there is no other."""
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    functions = [helper.make_function("own", "f0", ["v0"], ["v1"], [relu("v0", "v1")], imports)]
    for level in range(1, depth):
        nodes = [
            helper.make_node(f"f{level - 1}", [f"v{place}"], [f"v{place + 1}"], domain="own") for place in range(calls)
        ]
        functions.append(helper.make_function("own", f"f{level}", ["v0"], [f"v{calls}"], nodes, imports))
    call = helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="own")
    model = model_of([call], [value("x", 1, 4)], [value("y", 1, 4)], domains=["own"])
    model.functions.extend(functions)
    return model


def test_local_functions_that_call_themselves_or_grow_without_bounds_are_refused():
    assert len(Graph.from_onnx(calling(4)).ops) == 8
    with pytest.raises(InvalidGraphError, match="nodes once its local functions are inlined"):
        Graph.from_onnx(calling(40))
    hidden = calling(40)
    body = helper.make_graph(list(hidden.graph.node), "body", [], [value("y", 1, 4)])
    hidden.graph.node[0].CopyFrom(helper.make_node("If", ["flag"], ["z"], then_branch=body, else_branch=body))
    with pytest.raises(InvalidGraphError, match="nodes once its local functions are inlined"):
        Graph.from_onnx(hidden)
    model = calling(1)
    model.functions[0].node[0].op_type, model.functions[0].node[0].domain = "f0", "own"
    with pytest.raises(InvalidGraphError, match="'f0' calls itself"):
        Graph.from_onnx(model)


def test_attention_counts_the_past_of_its_cache():
    node = helper.make_node("Attention", ["q", "k", "v", "", "pk", "pv"], ["y", "nk", "nv"])
    inputs = [value(name, 1, 8, 1, 16) for name in "qkv"] + [value(name, 1, 8, 99, 16) for name in ("pk", "pv")]
    outputs = [value("y", 1, 8, 1, 16), *(value(name, 1, 8, 100, 16) for name in ("nk", "nv"))]
    found = Graph.from_onnx(model_of([node], inputs, outputs, opset=23))
    assert found.macs == 2 * 8 * 100 * 16
    assert found.ops[0].bytes_read == 4 * 8 * 16 * (3 + 2 * 99)


@pytest.mark.parametrize("size", [6, 60])
def test_stated_shapes_that_the_inputs_contradict_do_not_count(size):
    nodes = [helper.make_node("Conv", ["x", "w"], ["m"]), relu("m")]
    stated = [value("m", 1, 4, size, size)]
    model = model_of(nodes, [value("x", 8, 3, 8, 8)], [value("y", 1, 4, size, size)], [stored("w", 4, 3, 3, 3)])
    model.graph.value_info.extend(stated)
    assert Graph.from_onnx(model).macs == 8 * 36 * 4 * 27


def test_stated_shapes_count_where_no_others_are_known():
    nodes = [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Cast", ["n"], ["y"], to=FLOAT)]
    model = model_of(nodes, X, [value("y", 2, 5)], value_info=[value("n", 2, 5, dtype=INT64)])
    assert Graph.from_onnx(model).ops[-1].bytes_written == 40


def test_views_and_copies_are_those_of_pytorch():
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["turned", "shape"], ["flat"]),
        helper.make_node("Split", ["flat"], ["a", "b"], axis=1),
        helper.make_node("Slice", ["a", "from", "to", "dim", "step"], ["part"]),
        helper.make_node("Add", ["part", "nothing"], ["same"]),
        relu("same", "y"),
        relu("b", "z"),
    ]
    numbers = {"shape": [2, 12], "from": [1], "to": [2**62], "dim": [-1], "step": [2]}
    weights = [onnx.numpy_helper.from_array(np.array(given, np.int64), name) for name, given in numbers.items()]
    weights.append(onnx.numpy_helper.from_array(np.float32(0), "nothing"))
    model = model_of(nodes, [value("x", 2, 3, 4)], [value("y", 2, 3), value("z", 2, 6)], weights)
    found = Graph.from_onnx(model)
    of_module = captured(
        lambda _, x: [part.relu() for part in (lambda y: (y[:, 1:6:2], y[:, 6:]))(x.mT.reshape(2, 12))],
        torch.zeros(2, 3, 4),
    )
    assert found == of_module
    assert [op.kind for op in found.ops if op.kind != "view"] == ["copy", "relu", "relu"]


def test_peepholes_are_parameters():
    node = helper.make_node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], ["y"], hidden_size=6)
    weights = [stored("w", 1, 24, 5), stored("r", 1, 24, 6), stored("b", 1, 48), stored("p", 1, 18)]
    found = Graph.from_onnx(model_of([node], [value("x", 7, 2, 5)], [value("y", 7, 1, 2, 6)], weights))
    assert found.params == 24 * (5 + 6 + 2) + 18


def test_operators_without_a_rule_are_named_once_and_count_with_their_bytes():
    nodes = [
        helper.make_node("Swirl", ["x"], ["a"], domain="own", turns=2),
        helper.make_node("Swirl", ["a"], ["b"], domain="own", turns=2),
        relu("b"),
    ]
    known = [value("a", 1, 4), value("b", 1, 4)]
    model = model_of(nodes, [value("x", 1, 4)], [value("y", 1, 4)], value_info=known, domains=["own"])
    with pytest.warns(UncountedWarning, match="no rule knows how much own::Swirl computes") as told:
        found = Graph.from_onnx(model)
    assert len(told) == 1
    assert [op.kind for op in found.ops] == ["own::Swirl", "own::Swirl", "relu"]
    assert found.activation_bytes == 6 * 16
    unknown = model_of(nodes, [value("x", 1, 4)], [value("y", 1, 4)], domains=["own"])
    with pytest.raises(InvalidGraphError, match=r"node 0 \(Swirl\): the shape of 'a' is not known"):
        Graph.from_onnx(unknown)


def quantize():
    scale = onnx.numpy_helper.from_array(np.float32(0.1), "scale")
    zero = onnx.numpy_helper.from_array(np.int8(0), "zero")
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])
    return model_of([node], [value("x", 1, 4)], [value("y", 1, 4, dtype=onnx.TensorProto.INT8)], [scale, zero])


def branch():
    bodies = [
        helper.make_graph([helper.make_node(kind, ["x"], [kind])], kind, [], [value(kind, 1, 4)])
        for kind in ("Relu", "Sigmoid")
    ]
    node = helper.make_node("If", ["flag"], ["y"], then_branch=bodies[0], else_branch=bodies[1])
    inputs = [value("x", 1, 4), value("flag", dtype=onnx.TensorProto.BOOL)]
    return model_of([node], inputs, [value("y", 1, 4)])


def in_training():
    node = helper.make_node("BatchNormalization", ["x", "a", "b", "c", "d"], ["y", "m", "v"], training_mode=1)
    weights = [stored(name, 4) for name in "abcd"]
    return model_of([node], [value("x", 1, 4, 2, 2)], [value("y", 1, 4, 2, 2)], weights)


X, Y = [value("x", 1, 4)], [value("y", 1, 4)]
MATMUL = helper.make_node("MatMul", ["x", "w"], ["y"])
REFUSED = {
    "quantized": (quantize(), "belongs to a quantized model"),
    "control flow": (branch(), r"node 0 \(If\) is control flow"),
    "training": (in_training(), "is in training mode"),
    "no operators": (model_of([], X, X), "has no operators"),
    "cycle": (model_of([relu("z", "y"), relu("y", "z")], X, Y), "reads 'z', which is no input"),
    "missing weight": (model_of([MATMUL], X, Y), "reads 'w', which is no input"),
    "written twice": (model_of([relu(), relu()], X, Y), "'y' is written twice"),
    "negative": (model_of([relu()], [value("x", 1, -4)], Y), "shape"),
    "unfit": (model_of([MATMUL], X, Y, [stored("w", 5, 4)]), "rows of 4 is multiplied by one with columns of 5"),
    "unfit kernel": (
        model_of([helper.make_node("Conv", ["x", "w"], ["y"])], [value("x", 1, 3, 8, 8)],
                 [value("y", 1, 2, 6, 6)], [stored("w", 2, 4, 3, 3)]), "fit",
    ),
    "no such operator": (model_of([helper.make_node("Swirl", ["x"], ["z"]), relu("z")], X, Y), "has no such operator"),
    "another kernel": (
        model_of([helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[5, 5])], [value("x", 1, 3, 8, 8)],
                 [value("y", 1, 2, 4, 4)], [stored("w", 2, 3, 3, 3)]), "kernel_shape",
    ),
    "new opset": (model_of([relu()], X, Y, opset=999), "uses opset 999"),
    "only constants": (
        model_of([helper.make_node("Shape", ["x"], ["y"])], X, [value("y", 2, dtype=INT64)]), "returns nothing that it",
    ),
    "depends on numbers": (
        model_of([helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Cast", ["n"], ["y"], to=FLOAT)],
                 X, [value("y", 2, "n")]), "depends on numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_graph_is_refused(name):
    model, said = REFUSED[name]
    with pytest.raises((InvalidGraphError, InvalidInputError), match=said):
        Graph.from_onnx(model)


def test_files_that_are_none_are_refused(tmp_path):
    whole = exported(Small(), (torch.zeros(1, 3, 16, 16),), tmp_path / "model.onnx").read_bytes()
    for number, content in enumerate([b"", b"no model", whole[: len(whole) // 2], whole[:-3]]):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(content)
        with pytest.raises(InvalidGraphError, match=rf"{number}.onnx"):
            Graph.from_onnx(path)
    with pytest.raises(DataFileError, match=r"can't read .*nowhere.onnx"):
        Graph.from_onnx(tmp_path / "nowhere.onnx")
    with pytest.raises(DataFileError, match="can't read"):
        Graph.from_onnx(tmp_path)
    with pytest.raises(InvalidInputError, match=r"takes a path or an onnx\.ModelProto, got int"):
        Graph.from_onnx(3)


def test_random_damage_is_refused_or_read(tmp_path):
    """Nothing else than an error of this package, whatever byte is changed."""
    whole = bytearray(exported(Small(), (torch.zeros(1, 3, 16, 16),), tmp_path / "model.onnx").read_bytes())
    rng, path, refused = np.random.default_rng(0), tmp_path / "damaged.onnx", 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UncountedWarning)
            try:
                Graph.from_onnx(path)
            except (InvalidGraphError, InvalidInputError):
                refused += 1
    assert refused > 20


def test_a_hundred_megabytes_take_under_three_seconds(tmp_path):
    wide = [helper.make_node("MatMul", [f"v{k}", f"w{k}"], [f"v{k + 1}"]) for k in range(25)]
    weights = [stored(f"w{k}", 1024, 1024) for k in range(25)]
    model = model_of(wide, [value("v0", 1, 1024)], [value("v25", 1, 1024)], weights)
    onnx.save(model, tmp_path / "large.onnx")
    assert (tmp_path / "large.onnx").stat().st_size > 100e6
    begin = time.process_time()
    assert Graph.from_onnx(tmp_path / "large.onnx").params == 25 * 1024**2
    assert time.process_time() - begin < 3


def test_numbers_that_a_file_claims_are_not_written_out() -> None:
    """ONNX's own propagation of numbers would fill the memory."""
    x, y = [value("x", 1, dtype=INT64)], [value("y", "n", dtype=INT64)]
    ends = [helper.make_tensor(name, INT64, [], [end]) for name, end in (("a", 0), ("b", 2**40), ("c", 1))]
    nodes = [helper.make_node("Range", ["a", "b", "c"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    assert Graph.from_onnx(model_of(nodes, x, y, ends)).values[-1].shape == (2**40,)
    doubled = [helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(40)]
    nodes = [helper.make_node("Shape", ["x"], ["c0"]), *doubled, helper.make_node("Add", ["x", "c40"], ["y"])]
    assert Graph.from_onnx(model_of(nodes, x, y)).values[-1].shape == (2**40,)
