"""Translate ONNX's operators to this package's, in the terms that a capture of the same PyTorch module uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hwnas_surrogate.capture.terms import bounded, dimensions, einsum_factors, number, scalars
from hwnas_surrogate.graphs import TensorSpec

__all__ = [
    "CONTROL_FLOW",
    "KEEPS_NUMBERS",
    "QUANTIZED",
    "RECURRENT",
    "SHAPE_ONLY",
    "OnnxNode",
    "Translation",
    "translated",
]

CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators that run a part of the model or not, depending on numbers."""
QUANTIZED = frozenset(
    {
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
        "MatMulInteger", "QLinearAdd", "QLinearMul", "QLinearConcat", "QGemm", "MatMulNBits",
    }
)  # fmt: skip
"""Operators of quantized models."""
SHAPE_ONLY = frozenset({"Transpose", "Reshape", "Identity", "Cast", "Unsqueeze", "Squeeze", "Flatten"})
"""Operators that leave a stored tensor's numbers as they are."""
RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Recurrent layers, and their number of gates."""
KEEPS_NUMBERS = SHAPE_ONLY | {"Concat", "Expand", "Slice", "Split", "Gather"}
"""Operators that put stored tensors together, or take parts of them: what is trained stays trained."""
_UNCOUNTED = frozenset({"DeformConv", "DFT", "STFT", "LinearAttention", "CausalConvWithState"})
"""ONNX's own operators that multiply, but have no rule here."""
_KINDS = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSwish": "hardswish", "PRelu": "prelu",
    "Mish": "mish", "Swish": "silu", "Erf": "erf", "Softplus": "softplus", "Sqrt": "sqrt",
    "Exp": "exp", "Log": "log", "Neg": "neg", "Reciprocal": "reciprocal", "Abs": "abs", "Where": "where",
    "GlobalAveragePool": "global_pool", "GlobalMaxPool": "max_pool", "ArgMax": "argmax", "CumSum": "cumsum",
    "TopK": "topk", "DepthToSpace": "pixel_shuffle", "SpaceToDepth": "pixel_unshuffle",
}  # fmt: skip
"""This package's names; an operator that is not listed keeps ONNX's name."""


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """A node of a model, with what is known of the tensors that it reads.

    Parameters
    ----------
    kind : str
        ONNX's name; operators of other domains keep theirs: ``domain::Name``.
    inputs, outputs : tuple of str
        Names of tensors; an input that is left out is empty.
    attributes : dict
        Plain values by name.
    spec : callable
        The shape and number format of a tensor.
    numbers : callable
        The numbers of a small constant, or None.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    spec: Callable[[str], TensorSpec]
    numbers: Callable[[str], tuple[Any, ...] | None]

    def input(self, place: int) -> str:
        """Return the name of an input; empty if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def numbers_at(self, place: int) -> tuple[Any, ...] | None:
        """Return the numbers of a small constant input, or None."""
        name = self.input(place)
        return self.numbers(name) if name else None


@dataclass(slots=True)
class Translation:
    """A node in this package's terms.

    Parameters
    ----------
    kind : str
    tensors : list of str
        The tensors that it reads; for products, the factors first.
    window : dict
        Kernel, stride, dilation, padding and groups, where it has them.
    factors : tuple of TensorSpec
        The factors of a product, if they are stored with another shape.
    detail : str
        Anything else that determines the result.
    statistics : frozenset of str
        Stored tensors that are not trained.
    counted : bool
        Whether a rule knows its multiply-adds, or it has none.
    """

    kind: str
    tensors: list[str]
    window: dict[str, Any] = field(default_factory=dict)
    factors: tuple[TensorSpec, ...] = ()
    detail: str = ""
    statistics: frozenset[str] = frozenset()
    counted: bool = True


def translated(node: OnnxNode) -> Translation:
    """Return a node in this package's terms."""
    special = _SPECIAL.get(node.kind)
    if special is not None:
        return special(node)
    tensors, detail = _read_and_said(node)
    kind = _KINDS.get(node.kind, node.kind)
    counted = "::" not in kind and node.kind not in _UNCOUNTED
    return Translation(kind, tensors, detail=detail, counted=counted)


def _read_and_said(node: OnnxNode) -> tuple[list[str], str]:
    """Return the tensors that a node reads, and its attributes and small constants as text."""
    tensors, said = [], [f"{name}={value}" for name, value in sorted(node.attributes.items())]
    for place, name in enumerate(node.inputs):
        numbers = node.numbers(name) if name else None
        if numbers is not None and (len(numbers) <= 1 or not isinstance(numbers[0], float)):
            said.append(f"{place}:{list(numbers)}")
        elif name:
            tensors.append(name)
    return tensors, " ".join(said)


def _each(value: Sequence[int] | None, n: int, default: int) -> tuple[int, ...]:
    return tuple(value) if value else (default,) * n


def _padding(node: OnnxNode, size: Sequence[int], window: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the padding at the beginning of each spatial dimension."""
    n, automatic = len(size), node.attributes.get("auto_pad", "NOTSET")
    if automatic not in ("SAME_UPPER", "SAME_LOWER"):
        return _each(node.attributes.get("pads"), 2 * n, 0)[:n]
    padding = []
    for x, k, s, d in zip(size, window["kernel"], window["stride"], window["dilation"], strict=True):
        both = max((-(-x // s) - 1) * s + d * (k - 1) + 1 - x, 0)
        padding.append((both + (automatic == "SAME_LOWER")) // 2)
    return tuple(padding)


def _convolution(kind: str) -> Callable[[OnnxNode], Translation]:
    def call(node: OnnxNode) -> Translation:
        size, kernel = node.spec(node.inputs[0]).shape[2:], node.spec(node.inputs[1]).shape[2:]
        n = len(kernel)
        if tuple(node.attributes.get("kernel_shape", kernel)) != kernel:
            raise ValueError(f"kernel_shape is {node.attributes['kernel_shape']}, but the weights are {kernel}")
        window: dict[str, Any] = {
            "kernel": kernel,
            "stride": _each(node.attributes.get("strides"), n, 1),
            "dilation": _each(node.attributes.get("dilations"), n, 1),
        }
        window["padding"] = _padding(node, size, window)
        window["groups"] = node.attributes.get("group", 1)
        return Translation(kind, [name for name in node.inputs if name], window)

    return call


def _pool(kind: str) -> Callable[[OnnxNode], Translation]:
    def call(node: OnnxNode) -> Translation:
        size = node.spec(node.inputs[0]).shape[2:]
        n = len(size)
        window = {
            "kernel": _each(node.attributes.get("kernel_shape"), n, 1),
            "stride": _each(node.attributes.get("strides"), n, 1),
            "dilation": _each(node.attributes.get("dilations"), n, 1),
        }
        window["padding"] = _padding(node, size, window)
        del window["dilation"]
        return Translation(kind, [node.inputs[0]], window)

    return call


def _batch_norm(node: OnnxNode) -> Translation:
    x, scale, bias, mean, variance = node.inputs[:5]
    return Translation("batch_norm", [x, scale, bias, mean, variance], statistics=frozenset({mean, variance}))


def _matmul(node: OnnxNode) -> Translation:
    first, second = map(node.spec, node.inputs[:2])
    _check_product(first, second.shape[-2:][0])
    return Translation("matmul", list(node.inputs[:2]), factors=(first, second))


def _check_product(first: TensorSpec, length: int) -> None:
    if first.shape[-1] != length:
        raise ValueError(f"a matrix with rows of {first.shape[-1]} is multiplied by one with columns of {length}")


def _gemm(node: OnnxNode) -> Translation:
    first, second = map(node.spec, node.inputs[:2])
    if node.attributes.get("transA"):
        first = TensorSpec.of(first.shape[::-1], first.dtype)
    _check_product(first, second.shape[1 if node.attributes.get("transB") else 0])
    return Translation("matmul", [name for name in node.inputs if name], factors=(first, second))


def _einsum(node: OnnxNode) -> Translation:
    """Describe a sum of products of two tensors as a matrix product with as many multiply-adds."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    tensors, detail = _read_and_said(node)
    factors = einsum_factors(equation, [node.spec(name) for name in tensors])
    if factors is None:
        return Translation("Einsum", tensors, detail=detail, counted=False)
    return Translation("matmul", tensors, factors=factors, detail=equation)


def _mean(node: OnnxNode) -> Translation:
    rank = len(node.spec(node.inputs[0]).shape)
    axes = node.attributes.get("axes") or node.numbers_at(1) or range(rank)
    over = sorted(int(axis) % rank for axis in axes) if rank else []
    spatial = rank > 2 and over == list(range(2, rank))
    if spatial:
        return Translation("global_pool", [node.inputs[0]])
    return Translation("mean", [node.inputs[0]], detail=dimensions(over, rank))


def _clip(node: OnnxNode) -> Translation:
    def bound(name: str, place: int) -> Any:
        numbers = node.numbers_at(place)
        return node.attributes.get(name) if numbers is None else numbers[0]

    low, high = bound("min", 1), bound("max", 2)
    kind, detail = bounded(low, high)
    return Translation(kind, [node.inputs[0]], detail=detail)


def _elementwise(kind: str, commutes: bool = False) -> Callable[[OnnxNode], Translation]:
    """Describe an operator of two operands, of which one may be a scalar."""

    def call(node: OnnxNode) -> Translation:
        given = {place: node.numbers_at(place) for place in range(len(node.inputs))}
        single = {place: numbers[0] for place, numbers in given.items() if numbers is not None and len(numbers) == 1}
        if len(single) == len(node.inputs):
            single = {}
        tensors = [name for place, name in enumerate(node.inputs) if place not in single]
        if kind == "mul" and 0 in single.values():
            return Translation("zero", tensors)
        return Translation(kind, tensors, detail=scalars(single, commutes))

    return call


def _over(kind: str) -> Callable[[OnnxNode], Translation]:
    """Describe an operator along dimensions, all if none are given."""

    def call(node: OnnxNode) -> Translation:
        rank, numbers = len(node.spec(node.inputs[0]).shape), node.numbers_at(1)
        axes = node.attributes.get("axes", node.attributes.get("axis")) if numbers is None else numbers
        return Translation(kind, [node.inputs[0]], detail=dimensions(axes, rank))

    return call


def _softmax(kind: str) -> Callable[[OnnxNode], Translation]:
    def call(node: OnnxNode) -> Translation:
        rank = len(node.spec(node.inputs[0]).shape)
        return Translation(kind, [node.inputs[0]], detail=dimensions(node.attributes.get("axis", -1), rank))

    return call


def _joined(node: OnnxNode) -> Translation:
    rank = len(node.spec(node.inputs[0]).shape)
    return Translation("concat", list(node.inputs), detail=dimensions(node.attributes["axis"], rank))


def _only(kind: str, n_tensors: int = 1) -> Callable[[OnnxNode], Translation]:
    """Describe an operator whose shapes say everything that counts."""
    return lambda node: Translation(kind, list(node.inputs[:n_tensors]))


def _with_slope(kind: str, usual: float) -> Callable[[OnnxNode], Translation]:
    return lambda node: Translation(kind, [node.inputs[0]], detail=number(node.attributes.get("alpha", usual)))


def _gelu(node: OnnxNode) -> Translation:
    approximate = str(node.attributes.get("approximate", "none"))
    return Translation("gelu", [node.inputs[0]], detail="" if approximate == "none" else f"approximate={approximate}")


def _layer_norm(kind: str) -> Callable[[OnnxNode], Translation]:
    def call(node: OnnxNode) -> Translation:
        rank, axis = len(node.spec(node.inputs[0]).shape), node.attributes.get("axis", -1)
        detail = f"{dimensions(range(axis % rank, rank), rank)} {number(node.attributes.get('epsilon', 1e-5))}"
        return Translation(kind, [name for name in node.inputs if name], detail=detail)

    return call


def _instance_norm(node: OnnxNode) -> Translation:
    """Describe a normalisation of each channel; of a view with the groups as channels, it is a group norm."""
    tensors, _ = _read_and_said(node)
    return Translation("instance_norm", tensors, detail=number(node.attributes.get("epsilon", 1e-5)))


def _group_norm(node: OnnxNode) -> Translation:
    detail = f"{node.attributes['num_groups']} {number(node.attributes.get('epsilon', 1e-5))}"
    return Translation("group_norm", [name for name in node.inputs if name], detail=detail)


def _padded(node: OnnxNode) -> Translation:
    pads = node.attributes.get("pads") or node.numbers_at(1)
    filled = node.attributes.get("value", (node.numbers_at(2) or (0,))[0])
    mode = str(node.attributes.get("mode", "constant"))
    detail = f"{list(pads or ())} {number(filled) if mode == 'constant' else mode}"
    return Translation("pad", [node.inputs[0]], detail=detail)


def _gather(node: OnnxNode) -> Translation:
    """Describe a lookup of several places."""
    if len(node.spec(node.inputs[0]).shape) == 2 and not node.attributes.get("axis"):
        return Translation("embedding", list(node.inputs[:2]))
    tensors, detail = _read_and_said(node)
    return Translation("index", tensors, detail=detail)


def _resize(node: OnnxNode) -> Translation:
    rank = len(node.spec(node.inputs[0]).shape)
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(str(node.attributes.get("mode", "nearest")), "nearest")
    return Translation(f"upsample_{mode}{max(rank - 2, 1)}d", [node.inputs[0]])


def _attention(node: OnnxNode) -> Translation:
    """Describe attention by heads; past keys and values, which a cache holds, stand before those of the call."""
    names = [name for name in node.inputs[:6] if name]
    query, key, value = (node.spec(name) for name in node.inputs[:3])
    if not len(query.shape) == len(key.shape) == len(value.shape) == 4:
        return Translation("Attention", names, counted=False)
    past = node.spec(node.input(4)).shape[2] if node.input(4) else 0
    key, value = (
        TensorSpec.of((*spec.shape[:2], past + spec.shape[2], spec.shape[3]), spec.dtype) for spec in (key, value)
    )
    return Translation("attention", names, factors=(query, key, value))


_SPECIAL: dict[str, Callable[[OnnxNode], Translation]] = {
    "Conv": _convolution("conv"),
    "ConvTranspose": _convolution("conv_transpose"),
    "AveragePool": _pool("avg_pool"),
    "MaxPool": _pool("max_pool"),
    "BatchNormalization": _batch_norm,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "ReduceMean": _mean,
    "Clip": _clip,
    "Add": _elementwise("add", commutes=True),
    "Mul": _elementwise("mul", commutes=True),
    "Sub": _elementwise("sub"),
    "Div": _elementwise("div"),
    "Pow": _elementwise("pow"),
    "ReduceSum": _over("sum"),
    "ReduceMax": _over("amax"),
    "ReduceMin": _over("amin"),
    "ReduceL2": _only("norm"),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Concat": _joined,
    "Cast": _only("convert"),
    "HardSigmoid": _only("hardsigmoid"),
    "LeakyRelu": _with_slope("leaky_relu", 0.01),
    "Elu": _with_slope("elu", 1.0),
    "Gelu": _gelu,
    "LayerNormalization": _layer_norm("layer_norm"),
    "RMSNormalization": _layer_norm("rms_norm"),
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "Pad": _padded,
    "Gather": _gather,
    "Resize": _resize,
    "Upsample": _resize,
    "Attention": _attention,
}
