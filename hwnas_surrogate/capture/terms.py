"""Terms that both entrances share: how scalars, dimensions and products are described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

from hwnas_surrogate.graphs import TensorSpec

__all__ = ["NEUTRAL", "bounded", "dimensions", "einsum_factors", "number", "scalars"]

NEUTRAL: Mapping[str, float] = MappingProxyType({"add": 0, "sub": 0, "mul": 1, "div": 1, "pow": 1})
"""Scalars that change nothing as second operands."""


def number(value: Any) -> str:
    """Return a number as text, with the digits that float32 holds: files store scalars in it."""
    return f"{float(value):.6g}"


def scalars(given: Mapping[int, Any], commutes: bool = False) -> str:
    """Return the scalars of an elementwise operator by their place.

    Examples
    --------
    >>> scalars({0: 2}), scalars({0: 2}, commutes=True)
    ('0:[2]', '1:[2]')
    """
    return " ".join(f"{1 if commutes else place}:[{number(value)}]" for place, value in sorted(given.items()))


def dimensions(dims: int | Iterable[int] | None, rank: int) -> str:
    """Return dimensions, all if None, counted from the first, as text."""
    dims = range(rank) if dims is None else [dims] if isinstance(dims, int) else dims
    return str(sorted(int(dim) % max(rank, 1) for dim in dims))


def bounded(low: Any, high: Any) -> tuple[str, str]:
    """Return the kind and the description of an operator that clips numbers to bounds, of which one may be None."""
    if low == 0 and high in (6, None):
        return ("relu" if high is None else "relu6"), ""
    return "clamp", " ".join("none" if bound is None else number(bound) for bound in (low, high))


def einsum_factors(equation: str, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, TensorSpec] | None:
    """Return the factors of a matrix product with the multiply-adds of a sum of products of two tensors.

    None of any other sum, which has no such product.
    """
    terms, arrow, result = equation.replace(" ", "").partition("->")
    of_inputs = terms.split(",")
    if len(of_inputs) != 2 or len(specs) != 2 or not arrow or "." in equation:
        return None
    sizes: dict[str, int] = {}
    for letters, spec in zip(of_inputs, specs, strict=True):
        sizes |= dict(zip(letters, spec.shape, strict=False))
    summed = prod(size for letter, size in sizes.items() if letter not in result)
    first, second = specs
    return (
        TensorSpec.of((first.numel // max(summed, 1), summed), first.dtype),
        TensorSpec.of((summed, second.numel // max(summed, 1)), second.dtype),
    )
