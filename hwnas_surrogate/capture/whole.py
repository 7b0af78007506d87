"""Functions of PyTorch that are one operator in this package, although PyTorch splits them into parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hwnas_surrogate.capture.aten import Call
from hwnas_surrogate.capture.terms import einsum_factors
from hwnas_surrogate.graphs import TensorSpec

__all__ = ["IN_EXPORTS", "whole_call"]


def _named(kind: str, *names: str) -> Callable[..., Call]:
    """Describe a function by its tensors, which may be given by place or by name."""

    def call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        return Call(kind, [given[name] for name in names if isinstance(given.get(name), Tensor)], [])

    return call


def _sum_of_products(args: tuple[Any, ...], _: Mapping[str, Any]) -> Call | None:
    equation, *tensors = args
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = [*tensors[0]]
    if not isinstance(equation, str) or not all(isinstance(tensor, Tensor) for tensor in tensors):
        return None
    factors = einsum_factors(equation, [TensorSpec.of(tuple(tensor.shape)) for tensor in tensors])
    if factors is None:
        return None
    return Call("matmul", tensors, [], detail=equation.replace(" ", ""), factors=tuple(of.shape for of in factors))


_CALLS: Mapping[Any, Callable[..., Call | None]] = MappingProxyType(
    {
        functional.linear: _named("matmul", "input", "weight", "bias"),
        functional.scaled_dot_product_attention: _named("attention", "query", "key", "value", "attn_mask"),
        functional.batch_norm: _named("batch_norm", "input", "running_mean", "running_var", "weight", "bias"),
        torch.matmul: _named("matmul", "input", "other"),
        torch.Tensor.matmul: _named("matmul", "input", "other"),
        torch.Tensor.__matmul__: _named("matmul", "input", "other"),
        torch.einsum: _sum_of_products,
    }
)


def whole_call(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    """Run one of these functions, and return the call in this package's terms; None of other functions."""
    describe = _CALLS.get(func)
    if describe is None or (func is functional.batch_norm and not _of_eval(*args, **kwargs)):
        return None
    call = describe(args, kwargs)
    if call is not None:
        # The shape of a batch norm's result is known: PyTorch takes ten milliseconds to find it.
        result = torch.empty_like(call.tensors[0]) if call.kind == "batch_norm" else func(*args, **kwargs)
        call.outputs.append(result)
    return call


def _of_eval(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False, *_: Any,
    **__: Any,
) -> bool:  # fmt: skip
    """Return whether a batch norm uses the statistics that it has stored."""
    return not training and running_mean is not None and running_var is not None


def _batch_norm(
    x: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, *_: Any
) -> Tensor:
    return functional.batch_norm(x, running_mean, running_var, weight, bias, training)


IN_EXPORTS: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    {
        torch.ops.aten.linear.default: functional.linear,
        torch.ops.aten.scaled_dot_product_attention.default: functional.scaled_dot_product_attention,
        torch.ops.aten.batch_norm.default: _batch_norm,
        torch.ops.aten.matmul.default: torch.matmul,
        torch.ops.aten.einsum.default: torch.einsum,
    }
)
"""The functions by the operators that an export calls instead."""
