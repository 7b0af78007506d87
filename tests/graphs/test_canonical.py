"""One form of operators: the formulas are those of PyTorch, and nothing is put together that others read."""

import math
from itertools import product

import pytest
import torch
from torch.nn import functional

from hwnas_surrogate.graphs import GraphBuilder, Op, TensorSpec
from hwnas_surrogate.graphs.algebra import formula
from hwnas_surrogate.graphs.canonical import canonical
from hwnas_surrogate.graphs.forms import FORMS

SHAPE = (2, 5, 8)
OF_TORCH = {
    "silu": functional.silu,
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
    "mish": functional.mish,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu": functional.gelu,
    "gelu approximate=tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "layer_norm": lambda x: functional.layer_norm(x, x.shape[-1:]),
    "pow 1:[2]": torch.square,
    "rms_norm": lambda x: functional.rms_norm(x, x.shape[-1:], eps=1e-5),
}


@pytest.mark.parametrize("name", FORMS)
def test_formulas_are_those_of_pytorch(name):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)) * 3
    known = {name: getattr(torch, name) for name in ("sigmoid", "erf", "tanh", "sqrt")}
    known |= {name: getattr(functional, name) for name in ("relu6", "softplus", "hardsigmoid")}
    known |= {"mean": lambda x: x.mean(-1, keepdim=True), "x": x, "epsilon": 1e-5}
    for text in FORMS[name]:
        assert torch.allclose(eval(text, known), OF_TORCH[name](x), atol=1e-4)


class Network:
    """Builds small graphs."""

    def __init__(self):
        self.build = GraphBuilder()
        self.x = self.build.input(SHAPE)

    def scalar(self, kind, x, number, place=1):
        spec = self.build.spec(x)
        return self.build.add_op(Op(kind, (spec,), (spec,), detail=f"{place}:[{number:.6g}]"), [x])

    def apply(self, kind, *values):
        return self.build.elementwise(kind, *values)

    def with_stored(self, kind, x, shape):
        spec, stored = self.build.spec(x), TensorSpec(shape)
        return self.build.add_op(Op(kind, (spec,), (spec,), (stored,)), [x], [self.build.weight(shape)])

    def kinds(self, *outputs):
        graph = canonical(self.build.graph(*outputs))
        return [op.kind for op in graph.ops if op.kind != "view"]


ORDERS = list(product((False, True), (False, True), (False, True)))


@pytest.mark.parametrize(("half_first", "divides", "swapped"), ORDERS)
def test_the_order_of_sums_and_products_does_not_count(half_first, divides, swapped):
    net = Network()
    scaled = net.scalar("div", net.x, math.sqrt(2)) if divides else net.scalar("mul", net.x, math.sqrt(0.5))
    other = net.scalar("add", net.apply("erf", scaled), 1)
    x = net.scalar("mul", net.x, 0.5) if half_first else net.x
    result = net.apply("mul", other, x) if swapped else net.apply("mul", x, other)
    assert net.kinds(result if half_first else net.scalar("div", result, 2)) == ["gelu"]


def test_another_number_is_another_formula():
    net = Network()
    other = net.scalar("add", net.apply("erf", net.scalar("div", net.x, 1.5)), 1)
    assert "gelu" not in net.kinds(net.scalar("mul", net.apply("mul", net.x, other), 0.5))


@pytest.mark.parametrize(
    ("reader", "left"),
    [(None, ["silu"]), ("output", ["sigmoid", "mul"]), ("relu", ["sigmoid", "mul", "relu"])],
)
def test_what_others_read_stays(reader, left):
    net = Network()
    gate = net.apply("sigmoid", net.x)
    outputs = [net.apply("mul", net.x, gate)]
    if reader is not None:
        outputs.append(gate if reader == "output" else net.apply(reader, gate))
    assert net.kinds(*outputs) == left


def test_another_value_is_no_activation():
    net = Network()
    assert net.kinds(net.apply("mul", net.apply("relu", net.x), net.apply("sigmoid", net.x))) == [
        "relu", "sigmoid", "mul",
    ]  # fmt: skip


def test_a_bias_belongs_to_the_product_that_alone_it_is_added_to():
    for shape, length in (((6,), 1), ((5, 6), 2)):
        net = Network()
        assert len(net.kinds(net.with_stored("add", net.build.linear(net.x, 6, bias=False), shape))) == length
    net = Network()
    product = net.build.linear(net.x, 6, bias=False)
    assert net.kinds(net.with_stored("add", product, (6,)), product) == ["matmul", "add"]


def product_with(shape, width, reads=None):
    """A product with a stored matrix of (inputs, outputs)."""
    build = GraphBuilder()
    x, weight = build.input((2, shape[0])), build.weight(shape)
    spec, matrix = build.spec(x), TensorSpec(shape)
    op = Op("matmul", (spec,), (TensorSpec((2, width)),), (matrix,), factors=(spec, matrix))
    made = [build.add_op(op, [x], [weight])]
    if reads:
        made.append(build.add_op(Op(reads, (spec,), (spec,), (matrix,)), [x], [weight]))
    return canonical(build.graph(*made))


def test_matrices_are_stored_by_outputs_unless_others_read_them():
    one = product_with((3, 4), 4)
    assert one.weights == (TensorSpec((4, 3)),)
    assert one.ops[0].factors == ()
    assert one.macs == 24
    shared = product_with((3, 4), 4, "gather")
    assert shared.weights == (TensorSpec((3, 4)),)
    assert shared.macs == 24


def attention(returned=False, rank=2, scale=True):
    build = GraphBuilder()
    query, key, value = (build.input((1, 4, size, 8)) for size in (5, 7, 7))
    net = Network()
    net.build = build
    turned = build.view(key, (1, 4, 8, 7), (224, 56, 1, 8))
    scores = build.matmul(net.scalar("mul", query, 0.3) if scale else query, turned)
    scores = net.with_stored("add", scores, (4, 5, 7))
    spec = build.spec(scores)
    weights = build.add_op(Op("softmax", (spec,), (spec,), detail=f"[{rank + 1}]"), [scores])
    made = [build.matmul(weights, value), *([weights] if returned else [])]
    return canonical(build.graph(*made))


def test_attention_by_hand_is_one_operator():
    whole = attention()
    assert [op.kind for op in whole.ops] == ["attention"]
    assert [spec.shape for spec in whole.ops[0].inputs] == [(1, 4, 5, 8), (1, 4, 7, 8), (1, 4, 7, 8)]
    assert (whole.macs, whole.params) == (2 * 4 * 5 * 7 * 8, 4 * 5 * 7)
    assert attention(scale=False) == whole


@pytest.mark.parametrize("different", [{"returned": True}, {"rank": 1}])
def test_attention_whose_weights_are_read_or_along_another_dimension_stays(different):
    graph = attention(**different)
    assert [op.kind for op in graph.ops].count("matmul") == 2
    assert graph.macs == attention().macs


@pytest.mark.parametrize("also_read", [False, True])
def test_joins_of_joins_are_one_join(also_read):
    build = GraphBuilder()
    x, y = build.input((1, 4, 8, 8)), build.input((1, 2, 8, 8))

    def joined(*values):
        spec = TensorSpec((1, sum(build.spec(value).shape[1] for value in values), 8, 8))
        return build.add_op(Op("concat", tuple(map(build.spec, values)), (spec,), detail="[1]"), values)

    inner = joined(x, y)
    graph = canonical(build.graph(joined(inner, x, joined(y, y)), *([inner] if also_read else [])))
    read = [4, 2, 4, 2, 2] if not also_read else [6, 4, 2, 2]
    assert [spec.shape[1] for spec in graph.ops[-1].inputs] == read
    assert len(graph) == 1 + also_read


def test_a_formula_is_an_expression_of_variables_and_operators():
    with pytest.raises(ValueError, match="a formula has no"):
        formula("x if x else y")
