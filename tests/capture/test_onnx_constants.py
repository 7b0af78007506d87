"""Constants computed here are those of ONNX's reference implementation."""

import numpy as np
import pytest

from hwnas_surrogate.capture.onnx_constants import LARGEST, computed

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
reference = pytest.importorskip("onnx.reference")

X = np.array([[3, -7, 2], [5, 4, -6]], np.int64)
N, F = np.array([2, 3, 0], np.int64), np.array([1.5, -2.5, 3.0], np.float32)


def of(*numbers):
    return np.array(numbers, np.int64)


CASES = [
    ("Add", [X, N + 1], {}), ("Sub", [X, N], {}), ("Mul", [X, N], {}), ("Div", [X, of(2, 2, 4)], {}),
    ("Div", [F, F + 1], {}), ("Mod", [X, of(4, 4, 4)], {}), ("Neg", [X], {}), ("Abs", [X], {}), ("Floor", [F], {}),
    ("Ceil", [F], {}), ("Sqrt", [np.abs(F)], {}), ("Min", [X, N], {}), ("Max", [X, N], {}),
    ("Clip", [X, np.int64(-3), np.int64(3)], {}), ("Pow", [X, of(2, 2, 2)], {}), ("Round", [F], {}),
    ("Equal", [X, X * 1], {}), ("Greater", [X, N], {}), ("Less", [X, N], {}), ("LessOrEqual", [X, N], {}),
    ("GreaterOrEqual", [X, N], {}), ("And", [X > 0, X > 3], {}), ("Or", [X > 0, X > 3], {}), ("Not", [X > 0], {}),
    ("Where", [X > 0, X, N], {}), ("Identity", [X], {}), ("Cast", [F], {"to": 7}), ("Concat", [X, X], {"axis": 1}),
    ("Gather", [X, of(1, 0)], {"axis": 0}), ("Gather", [X, np.int64(2)], {"axis": 1}),
    ("Slice", [X, of(1), of(3), of(1)], {}), ("Slice", [X, of(-1), of(-10), of(1), of(-1)], {}),
    ("Slice", [N, of(0), of(2)], {}), ("Expand", [N, of(2, 3)], {}),
    ("Range", [np.int64(2), np.int64(9), np.int64(3)], {}), ("Reshape", [X, of(0, 1, -1)], {}),
    ("Unsqueeze", [X, of(0, -1)], {}), ("Squeeze", [X[None], of(0)], {}), ("Squeeze", [X[None]], {}),
    ("Transpose", [X], {"perm": [1, 0]}), ("Transpose", [X], {}), ("ReduceProd", [X], {"keepdims": 0}),
    ("ReduceSum", [X, of(1)], {}), ("ReduceMin", [X], {"axes": [1]}), ("ReduceMax", [X], {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "inputs", "attributes"), CASES, ids=[f"{k} {n}" for n, (k, _, _) in enumerate(CASES)])
def test_they_are_those_of_the_reference(kind, inputs, attributes):
    names = [f"x{place}" for place in range(len(inputs))]
    node = onnx.helper.make_node(kind, names, ["y"], **attributes)
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in zip(names, inputs, strict=True)
    ]
    output = onnx.helper.make_tensor_value_info("y", infos[0].type.tensor_type.elem_type, None)
    graph = onnx.helper.make_graph([node], "one", infos, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    (expected,) = reference.ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))
    found = computed(kind, inputs, attributes)
    assert found.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_would_be_large_or_has_no_rule_is_not_computed():
    assert computed("Conv", [X, X], {}) is None
    assert computed("ConstantOfShape", [of(1 << 40, 1 << 40)], {"value": 1}) is None
    assert computed("Expand", [of(1), of(LARGEST, 2)], {}) is None
    assert computed("Range", [np.int64(0), np.int64(1 << 50), np.int64(1)], {}) is None
    assert computed("ConstantOfShape", [of(2, 2)], {"value": np.int64(3)}).tolist() == [[3, 3], [3, 3]]
    with pytest.raises(ValueError, match="division by zero"):
        computed("Div", [X, N], {})


@pytest.mark.parametrize(("kind", "n"), [("Min", 4), ("Where", 3), ("Clip", 3), ("Add", 2)])
def test_small_inputs_along_different_axes_are_not_broadcast(kind, n):
    inputs = [np.ones([LARGEST if axis == place else 1 for axis in range(n)], np.int8) for place in range(n)]
    assert computed(kind, inputs, {}) is None
