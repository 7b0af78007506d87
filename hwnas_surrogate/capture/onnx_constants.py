"""Compute the constants of a model that determine shapes, with the rules of ONNX's operators for whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LARGEST", "computed"]

Array = npt.NDArray[Any]
Attributes = Mapping[str, Any]

LARGEST = 1024
"""Constants with more numbers are not computed: shapes, dimensions and bounds are small."""


def computed(kind: str, inputs: Sequence[Array | None], attributes: Attributes) -> Array | None:
    """Compute a node from its small constant inputs.

    Parameters
    ----------
    kind : str
        ONNX's name of the operator.
    inputs : sequence of ndarray or None
        None for an input that is left out.
    attributes : mapping
        Plain values by name.

    Returns
    -------
    ndarray or None
        The first output; None if there is no rule, or it would be large.

    Raises
    ------
    IndexError, TypeError, ValueError, KeyError
        If the inputs don't fit the operator.
    """
    rule = _RULES.get(kind)
    return None if rule is None else rule(attributes, *inputs)


def _axes(attributes: Attributes, given: Array | None, rank: int) -> list[int]:
    axes = given if given is not None else attributes.get("axes")
    return [int(axis) % max(rank, 1) for axis in np.ravel(range(rank) if axes is None else axes)]


def _reduced(of: Callable[..., Any]) -> Callable[..., Array]:
    def rule(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
        return np.asarray(
            of(x, axis=tuple(_axes(attributes, axes, x.ndim)), keepdims=bool(attributes.get("keepdims", 1)))
        )

    return rule


def _elementwise(of: Callable[..., Any]) -> Callable[..., Array | None]:
    return lambda _, *inputs: np.asarray(of(*inputs)) if _is_small(*inputs) else None


def _is_small(*inputs: Array | None) -> bool:
    """Return whether the result of broadcasting is: inputs of few numbers along different axes may give terabytes."""
    return prod(np.broadcast_shapes(*(x.shape for x in inputs if x is not None))) <= LARGEST


def _divided(_: Attributes, x: Array, by: Array) -> Array:
    if not np.issubdtype(x.dtype, np.integer):
        return np.asarray(x / by)
    if not np.all(by):
        raise ValueError("division by zero")
    return np.asarray(np.sign(x) * np.sign(by) * (np.abs(x) // np.abs(by)))  # towards zero


def _clipped(attributes: Attributes, x: Array, low: Array | None = None, high: Array | None = None) -> Array | None:
    if not _is_small(x, low, high):
        return None
    low, high = attributes.get("min") if low is None else low, attributes.get("max") if high is None else high
    return x if low is None and high is None else np.clip(x, low, high)


def _cast(attributes: Attributes, x: Array) -> Array:
    from onnx import helper

    return x.astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _sliced(attributes: Attributes, x: Array, *given: Array | None) -> Array:
    starts, ends, axes, steps = (*given, *[None] * 4)[:4]
    starts = np.asarray(attributes["starts"] if starts is None else starts)
    ends = np.asarray(attributes["ends"] if ends is None else ends)
    axes = attributes.get("axes", range(len(starts))) if axes is None else axes
    steps = np.ones(len(starts), int) if steps is None else steps
    where = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        stop = None if step < 0 and end < -x.shape[axis] else int(end)
        where[int(axis)] = slice(int(start), stop, int(step))
    return x[tuple(where)]


def _filled(attributes: Attributes, shape: Array) -> Array | None:
    size = int(np.prod(shape.astype(float)))
    return np.full(tuple(shape), attributes.get("value", 0.0)) if size <= LARGEST else None


def _expanded(_: Attributes, x: Array, shape: Array) -> Array | None:
    wanted = np.broadcast_shapes(x.shape, tuple(map(int, shape)))
    return np.broadcast_to(x, wanted) if int(np.prod(np.array(wanted, float))) <= LARGEST else None


def _ranged(_: Attributes, start: Array, stop: Array, step: Array) -> Array | None:
    first, end, by = start.item(), stop.item(), step.item()
    return np.arange(first, end, by, dtype=start.dtype) if (end - first) / by <= LARGEST else None


def _reshaped(_: Attributes, x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[place] if size == 0 else int(size) for place, size in enumerate(shape)])


def _unsqueezed(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
    given = np.ravel(attributes["axes"] if axes is None else axes)
    return np.expand_dims(x, tuple(int(axis) % (x.ndim + len(given)) for axis in given))


def _squeezed(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
    axes = attributes.get("axes") if axes is None else axes
    return np.squeeze(x, None if axes is None else tuple(int(axis) for axis in np.ravel(axes)))


_RULES: Mapping[str, Callable[..., Array | None]] = {
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _divided,
    "Mod": _elementwise(np.mod),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Floor": _elementwise(np.floor),
    "Ceil": _elementwise(np.ceil),
    "Sqrt": _elementwise(np.sqrt),
    "Min": _elementwise(lambda *inputs: np.minimum.reduce(np.broadcast_arrays(*inputs))),
    "Max": _elementwise(lambda *inputs: np.maximum.reduce(np.broadcast_arrays(*inputs))),
    "Clip": _clipped,
    "Pow": _elementwise(np.power),
    "Round": _elementwise(np.round),
    "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or),
    "LessOrEqual": _elementwise(np.less_equal),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Equal": _elementwise(np.equal),
    "Greater": _elementwise(np.greater),
    "Less": _elementwise(np.less),
    "Not": _elementwise(np.logical_not),
    "Where": _elementwise(np.where),
    "Identity": _elementwise(np.asarray),
    "Cast": _cast,
    "Concat": lambda attributes, *inputs: np.concatenate(inputs, axis=attributes["axis"]),
    "Gather": lambda attributes, x, at: np.take(x, at, axis=attributes.get("axis", 0)),
    "Slice": _sliced,
    "ConstantOfShape": _filled,
    "Expand": _expanded,
    "Range": _ranged,
    "Reshape": _reshaped,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Transpose": lambda attributes, x: np.transpose(x, attributes.get("perm")),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceMin": _reduced(np.min),
    "ReduceMax": _reduced(np.max),
}
