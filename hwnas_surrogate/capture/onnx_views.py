"""What ONNX's operators that move nothing show of the value that they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from hwnas_surrogate.capture.onnx_ops import OnnxNode
from hwnas_surrogate.graphs.layouts import Layout

__all__ = ["is_view", "shown"]


def shown(node: OnnxNode, layout: Layout) -> Sequence[Layout] | None:
    """Return the layouts of what a node writes, by the layout of what it reads; None if no steps can show it.

    Raises
    ------
    KeyError
        If the node is no view, or it depends on numbers that are not known.
    """
    return _RULES[node.kind](node, layout)


def is_view(node: OnnxNode) -> bool:
    """Return whether a node only shows what it reads."""
    if node.kind == "Gather":
        numbers = node.numbers_at(1)
        return numbers is not None and len(numbers) == 1
    return node.kind in _RULES and (node.kind != "Slice" or _parts(node) is not None)


def _same_numbers(node: OnnxNode, layout: Layout) -> Sequence[Layout] | None:
    made = layout.reshaped(node.spec(node.outputs[0]).shape)
    return None if made is None else [made]


def _transposed(node: OnnxNode, layout: Layout) -> Sequence[Layout]:
    rank = len(layout.shape)
    return [layout.permuted(node.attributes.get("perm", tuple(range(rank))[::-1]))]


def _expanded(node: OnnxNode, layout: Layout) -> Sequence[Layout]:
    return [layout.expanded(node.spec(node.outputs[0]).shape)]


def _split(node: OnnxNode, layout: Layout) -> Sequence[Layout]:
    dim, start, parts = node.attributes.get("axis", 0) % len(layout.shape), 0, []
    for name in filter(None, node.outputs):
        size = node.spec(name).shape[dim]
        parts.append(layout.sliced(dim, start, 1, size))
        start += size
    return parts


def _parts(node: OnnxNode) -> list[tuple[int, int, int]] | None:
    """Return the dimension, the first place and the step of a slice; None if not known, or in reverse order."""
    shape = node.spec(node.inputs[0]).shape
    starts, ends, axes, steps = (node.numbers_at(place) for place in range(1, 5))
    starts, ends = starts or node.attributes.get("starts"), ends or node.attributes.get("ends")
    if starts is None or ends is None:
        return None
    axes = axes or node.attributes.get("axes") or tuple(range(len(starts)))
    parts = []
    for axis, start, step in zip(axes, starts, steps or (1,) * len(starts), strict=True):
        size = shape[axis]
        if step <= 0:
            return None
        parts.append((axis % len(shape), min(max(start + size if start < 0 else start, 0), size), step))
    return parts


def _sliced(node: OnnxNode, layout: Layout) -> Sequence[Layout]:
    made = node.spec(node.outputs[0]).shape
    for dim, start, step in _parts(node) or ():
        layout = layout.sliced(dim, start, step, made[dim])
    return [layout]


def _one_place(node: OnnxNode, layout: Layout) -> Sequence[Layout]:
    (place,) = node.numbers_at(1) or (0,)
    dim = node.attributes.get("axis", 0) % len(layout.shape)
    part = layout.sliced(dim, place % layout.shape[dim], 1, 1)
    keeps = len(node.spec(node.outputs[0]).shape) == len(layout.shape)
    return [part if keeps else part.without([dim])]


_RULES: Mapping[str, Callable[[OnnxNode, Layout], Sequence[Layout] | None]] = MappingProxyType(
    {
        "Reshape": _same_numbers,
        "Flatten": _same_numbers,
        "Squeeze": _same_numbers,
        "Unsqueeze": _same_numbers,
        "Transpose": _transposed,
        "Expand": _expanded,
        "Split": _split,
        "Slice": _sliced,
        "Gather": _one_place,
    }
)
