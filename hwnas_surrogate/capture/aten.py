"""Translate PyTorch's operators (ATen) to this package's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from hwnas_surrogate.capture.terms import NEUTRAL, bounded, dimensions, number, scalars

__all__ = ["Call", "described", "is_copy", "is_view", "mutated"]


@dataclass(slots=True)
class Call:
    """A call of one operator.

    Parameters
    ----------
    kind : str
    tensors : list of Tensor
        The tensors that it reads; for matrix products, the two factors first.
    outputs : list of Tensor
    window : dict
        Kernel, stride, dilation, padding and groups, where it has them.
    in_place : bool
        Whether it writes into an existing tensor.
    detail : str
        Anything else that determines the result.
    factors : tuple of tuple of int
        The shapes of the factors of a product, if they are not those of the first tensors.
    """

    kind: str
    tensors: list[Tensor]
    outputs: list[Tensor]
    window: dict[str, Any] = field(default_factory=dict)
    in_place: bool = False
    detail: str = ""
    factors: tuple[tuple[int, ...], ...] = ()


_SET_APART = frozenset({"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"})
"""Keywords for how a result is stored; they are omitted, since its shape and number format are known."""
_VIEWS = frozenset({"_unsafe_view", "_reshape_alias", "lift_fresh", "detach", "alias"})
_KINDS = {
    "copy": "copy",
    "linalg_vector_norm": "norm",
    "_adaptive_avg_pool2d": "avg_pool",
    "_adaptive_avg_pool3d": "avg_pool",
    "adaptive_max_pool2d": "max_pool",
    "max_pool1d": "max_pool",
    **dict.fromkeys(
        (
            "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update", "cudnn_batch_norm", "miopen_batch_norm", "batch_norm",
        ),
        "batch_norm",
    ),
}  # fmt: skip
"""This package's names; an operator that is not listed keeps PyTorch's name."""


def is_view(func: Any) -> bool:
    """Return whether an operator only views its input with another shape."""
    if _name(func) in _VIEWS:
        return True
    returned = func._schema.returns
    return bool(returned) and all(one.alias_info is not None and not one.alias_info.is_write for one in returned)


def is_copy(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an operator returns the numbers of its input, perhaps in other memory or another order there."""
    name, given = _name(func), [*args, *kwargs.values()]
    if name == "as_strided_":  # how PyTorch orders the memory of a mean
        return tuple(given[0].shape) == tuple(given[1])
    neutral = NEUTRAL.get(name.removesuffix("_"))
    if neutral is not None:  # such as a sum that starts with 0
        return type(given[1]) in (int, float) and given[1] == neutral and len(given) == 2
    return name == "clone" or (name == "constant_pad_nd" and not any(given[1]))


def described(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: list[Tensor], place: int
) -> list[Call]:
    """Return a call in this package's terms: several for an operator that does the work of several.

    ``place`` is its number in the graph.
    """
    name = _name(func)
    in_place = func._schema.is_mutable
    base = name[:-1] if in_place and name.endswith("_") else name
    if base in _AND_SUM:
        return _operator_and_sum(base, args, kwargs, outputs, in_place)
    special = _attention if base.startswith("_scaled_dot_product") else _SPECIAL.get(base)
    if special is not None:
        call = special(args, outputs)
        if call.kind != "attention":
            call.detail = " ".join(filter(None, (call.detail, _said((), _unusual(func, kwargs)))))
    elif base.startswith("upsample_"):
        call = Call(base, [args[0]], outputs)
    else:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        call = Call(_KINDS.get(base, base) if tensors else "constant", tensors, outputs)
        call.detail = _said(args, kwargs)
        if call.kind == "batch_norm":
            call.detail = ""
    if torch.Tag.nondeterministic_seeded in func.tags and call.kind != "attention":  # which may drop out, in training
        call.kind = f"random_{call.kind}" if call.kind == "constant" else call.kind
        call.detail += f" draw {place}"  # no two of a graph are equal
    call.in_place = in_place
    return [call]


_AND_SUM = {"addcmul": "mul", "addcdiv": "div"}
"""Operators that add the result of another one."""


def _operator_and_sum(
    base: str, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: list[Tensor], in_place: bool
) -> list[Call]:
    """Describe x + y z and x + y / z as two operators, as files do."""
    x, y, z = args[:3]
    shape = np.broadcast_shapes(tuple(y.shape), tuple(z.shape))
    middle = torch.empty(shape, dtype=outputs[0].dtype, device=outputs[0].device)
    first = Call(_AND_SUM[base], [y, z], [middle], detail=_said((), kwargs))
    return [first, Call("add", [x, middle], outputs, in_place=in_place)]


def _unusual(func: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords that do not have their default."""
    usual = {argument.name: argument.default_value for argument in func._schema.arguments}
    return {name: value for name, value in kwargs.items() if usual.get(name) != value}


def _said(args: Any, kwargs: dict[str, Any]) -> str:
    """Return the scalars and dimensions of a call as text, including the positions of tensors."""

    def text(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [*map(text, value)]
        return "tensor" if isinstance(value, Tensor) else value

    named = {name: value for name, value in kwargs.items() if name not in _SET_APART}
    parts = [*map(text, args), *(f"{name}={text(value)}" for name, value in named.items())]
    while parts and parts[-1] == "tensor":
        parts.pop()  # trailing tensors add nothing to the inputs
    return " ".join(map(str, parts))


def mutated(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that an operator writes into."""
    written = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            written += [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
    return written


def _name(func: Any) -> str:
    """Return the name of one of PyTorch's own operators; others keep their namespace."""
    namespace, _, name = str(func._schema.name).rpartition("::")
    return name if namespace in ("aten", "prims") else f"{namespace}::{name}"


def _each(value: Any, n: int) -> tuple[int, ...]:
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return sizes * n if len(sizes) == 1 else sizes


def _convolution(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    n = weight.dim() - 2
    window = {
        "kernel": tuple(weight.shape[2:]),
        "stride": _each(stride, n),
        "padding": _each(padding, n),
        "dilation": _each(dilation, n),
        "groups": groups,
    }
    tensors = [tensor for tensor in (x, weight, bias) if tensor is not None]
    return Call("conv_transpose" if transposed else "conv", tensors, outputs, window)


def _pool(kind: str) -> Callable[[Sequence[Any], list[Tensor]], Call]:
    def call(args: Sequence[Any], outputs: list[Tensor]) -> Call:
        x, kernel, stride, padding = [*args, *[None] * 4][:4]
        n = len(kernel) if not isinstance(kernel, int) else x.dim() - 2
        kernel = _each(kernel, n)
        window = {"kernel": kernel, "stride": _each(stride or kernel, n), "padding": _each(padding or 0, n)}
        return Call(kind, [x], outputs, window)

    return call


def _product(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe a product of two tensors."""
    return Call("matmul", list(args[:2]), outputs)


def _product_and_sum(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe a product that is added to another tensor, which is PyTorch's first argument."""
    return Call("matmul", [args[1], args[2], args[0]], outputs)


def _mean(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    x = args[0]
    dims = args[1] if len(args) > 1 and args[1] is not None else range(x.dim())
    over = sorted(dim % x.dim() for dim in ([dims] if isinstance(dims, int) else dims))
    spatial = x.dim() > 2 and over == list(range(2, x.dim()))
    return (
        Call("global_pool", [x], outputs) if spatial else Call("mean", [x], outputs, detail=dimensions(over, x.dim()))
    )


def _elementwise(kind: str, commutes: bool = False) -> Callable[[Sequence[Any], list[Tensor]], Call]:
    """Describe an operator of two operands, of which one may be a scalar."""

    def call(args: Sequence[Any], outputs: list[Tensor]) -> Call:
        operands = dict(enumerate(args[:2]))
        if kind == "mul" and any(_is_zero(operand) for operand in operands.values()):
            kept = [operand for operand in operands.values() if isinstance(operand, Tensor)]
            return Call("zero", kept, outputs)  # the search spaces' op ``none``
        given = {place: value for place, value in operands.items() if not isinstance(value, Tensor)}
        tensors = [operand for operand in operands.values() if isinstance(operand, Tensor)]
        return Call(kind, tensors, outputs, detail=scalars(given, commutes))

    return call


def _is_zero(operand: Any) -> bool:
    return isinstance(operand, int | float) and not isinstance(operand, bool) and operand == 0


def _reversed_difference(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    return _elementwise("sub")([args[1], args[0]], outputs)


def _over(kind: str) -> Callable[[Sequence[Any], list[Tensor]], Call]:
    """Describe an operator along dimensions, all if none are given."""

    def call(args: Sequence[Any], outputs: list[Tensor]) -> Call:
        dims = None if len(args) < 2 or args[1] == [] else args[1]
        return Call(kind, [args[0]], outputs, detail=dimensions(dims, args[0].dim()))

    return call


def _joined(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    dim = args[1] if len(args) > 1 else 0
    return Call("concat", list(args[0]), outputs, detail=dimensions(dim, outputs[0].dim()))


def _only(kind: str, n_tensors: int = 1) -> Callable[[Sequence[Any], list[Tensor]], Call]:
    """Describe an operator whose shapes say everything that counts."""

    def call(args: Sequence[Any], outputs: list[Tensor]) -> Call:
        tensors = [arg for arg in args[:n_tensors] if isinstance(arg, Tensor)]
        return Call(kind, tensors, outputs)

    return call


def _with_slope(kind: str, usual: float) -> Callable[[Sequence[Any], list[Tensor]], Call]:
    def call(args: Sequence[Any], outputs: list[Tensor]) -> Call:
        return Call(kind, [args[0]], outputs, detail=number(args[1] if len(args) > 1 else usual))

    return call


def _clipped(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe a clip to bounds, each of which may be left out or be a tensor."""
    low, high = [*args[1:3], None, None][:2]
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return Call("clamp", [arg for arg in args if isinstance(arg, Tensor)], outputs, detail=_said(args, {}))
    kind, detail = bounded(low, high)
    return Call(kind, [args[0]], outputs, detail=detail)


def _clipped_above(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    return _clipped([args[0], None, args[1]], outputs)


def _hardtanh(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    return _clipped([args[0], *(args[1:3] or (-1.0, 1.0))], outputs)


def _layer_norm(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    x, shape, weight, bias, epsilon = args[:5]
    over = range(x.dim() - len(shape), x.dim())
    tensors = [tensor for tensor in (x, weight, bias) if tensor is not None]
    return Call("layer_norm", tensors, outputs, detail=f"{dimensions(over, x.dim())} {number(epsilon)}")


def _rms_norm(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    x, shape, weight, epsilon = args[:4]
    over = range(x.dim() - len(shape), x.dim())
    tensors = [tensor for tensor in (x, weight) if tensor is not None]
    epsilon = torch.finfo(x.dtype).eps if epsilon is None else epsilon
    return Call("rms_norm", tensors, outputs, detail=f"{dimensions(over, x.dim())} {number(epsilon)}")


def _group_norm(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    x, weight, bias, *_, groups, epsilon = args[:8]
    tensors = [tensor for tensor in (x, weight, bias) if tensor is not None]
    return Call("group_norm", tensors, outputs, detail=f"{groups} {number(epsilon)}")


def _rolled(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe a roll by steps forward and dimensions, both in order."""
    x, steps, dims = [*args, ()][:3]
    if not dims:
        return Call("roll", [x], outputs, detail=f"{list(steps)} []")
    by_dim = sorted((dim % x.dim(), step % max(x.shape[dim], 1)) for dim, step in zip(dims, steps, strict=True))
    detail = f"[{', '.join(str(step) for _, step in by_dim)}] [{', '.join(str(dim) for dim, _ in by_dim)}]"
    return Call("roll", [x], outputs, detail=detail)


def _padded(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe a padding as ONNX does: before each dimension, then after each."""
    x, pads = args[:2]
    pairs = [[0, 0] for _ in range(x.dim() - len(pads) // 2)]
    pairs += [[pads[place - 1], pads[place]] for place in range(len(pads) - 1, 0, -2)]
    before_and_after = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    return Call("pad", [x], outputs, detail=f"{before_and_after} {number(args[2] if len(args) > 2 else 0)}")


def _attention(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe one of the fused attentions: queries, keys, values, and possibly a mask."""
    return Call("attention", [arg for arg in args if isinstance(arg, Tensor)], outputs[:1])


def _copied(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe a copy into a tensor, whose old contents are not read."""
    return Call("copy", list(args[1:2]), outputs)


_SPECIAL: dict[str, Callable[[Sequence[Any], list[Tensor]], Call]] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    "avg_pool1d": _pool("avg_pool"),
    "avg_pool2d": _pool("avg_pool"),
    "avg_pool3d": _pool("avg_pool"),
    "max_pool2d_with_indices": _pool("max_pool"),
    "max_pool3d_with_indices": _pool("max_pool"),
    "mm": _product,
    "bmm": _product,
    "mv": _product,
    "dot": _product,
    "addmm": _product_and_sum,
    "baddbmm": _product_and_sum,
    "mean": _mean,
    "add": _elementwise("add", commutes=True),
    "mul": _elementwise("mul", commutes=True),
    "sub": _elementwise("sub"),
    "rsub": _reversed_difference,
    "div": _elementwise("div"),
    "pow": _elementwise("pow"),
    "_softmax": _over("softmax"),
    "_log_softmax": _over("log_softmax"),
    "sum": _over("sum"),
    "amax": _over("amax"),
    "amin": _over("amin"),
    "cat": _joined,
    "stack": _joined,
    "_to_copy": _only("convert"),
    "embedding": _only("embedding", 2),
    "hardsigmoid": _only("hardsigmoid"),
    "hardswish": _only("hardswish"),
    "leaky_relu": _with_slope("leaky_relu", 0.01),
    "elu": _with_slope("elu", 1.0),
    "clamp": _clipped,
    "clamp_min": _clipped,
    "clamp_max": _clipped_above,
    "hardtanh": _hardtanh,
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _rms_norm,
    "native_group_norm": _group_norm,
    "constant_pad_nd": _padded,
    "gelu": _only("gelu"),
    "roll": _rolled,
    "copy": _copied,
}
