"""Translate PyTorch's operators (ATen) to this package's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

__all__ = ["Call", "described", "is_view", "mutated"]


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
    """

    kind: str
    tensors: list[Tensor]
    outputs: list[Tensor]
    window: dict[str, Any] = field(default_factory=dict)
    in_place: bool = False
    detail: str = ""


_SET_APART = frozenset({"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"})
"""Keywords for how a result is stored; they are omitted, since its shape and number format are known."""
_VIEWS = frozenset({"_unsafe_view", "_reshape_alias", "lift_fresh", "detach", "alias"})
_KINDS = {
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "cat": "concat",
    "clone": "copy",
    "copy": "copy",
    "_to_copy": "convert",
    "constant_pad_nd": "pad",
    "hardtanh": "relu6",
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


def described(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: list[Tensor], place: int) -> Call:
    """Return a call in this package's terms; ``place`` is its number in the graph."""
    name = _name(func)
    in_place = func._schema.is_mutable
    base = name[:-1] if in_place and name.endswith("_") else name
    special = _attention if base.startswith("_scaled_dot_product") else _SPECIAL.get(base)
    if special is not None:
        call = special(args, outputs)
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
    return call


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
    return Call("global_pool", [x], outputs) if spatial else Call("mean", [x], outputs, detail=str(over))


def _multiplied(args: Sequence[Any], outputs: list[Tensor]) -> Call:
    """Describe an elementwise product; a multiplication by the constant 0 is the search spaces' op ``none``."""
    factors = list(args[:2])
    zero = any(isinstance(factor, int | float) and not isinstance(factor, bool) and factor == 0 for factor in factors)
    tensors = [factor for factor in factors if isinstance(factor, Tensor)]
    return Call("zero", tensors, outputs) if zero else Call("mul", tensors, outputs, detail=_said(factors, {}))


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
    "mul": _multiplied,
    "copy": _copied,
}
