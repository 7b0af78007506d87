"""NAS-Bench-201's cell after a graph compiler has merged equal operators.

Inference engines compute an operator once where it stands twice on the same value: convolutions that read one node
share its ReLU; two pools of one node are one pool; where a skip makes two nodes the same value, so are their pools.
That is common subexpression elimination. A multiplication by zero of a convolution that nothing else reads goes into
its weights. ONNX Runtime does both at its basic level: its optimised graphs have exactly these counts. Dead branches
stay, other than in the compiled view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MERGED", "merged_operators"]

MERGED = ("relu", "pool", "zero", "add", "fused_add", "fused_relu", "fused_zero")
"""The counts, in order.

Operators of a cell that are left (``relu``, ``pool``, ``zero``, ``add``); of the sums and the ReLUs, those that the
convolution before them can take on because nothing else reads it (``fused_add``, ``fused_relu``); and multiplications
by zero that went into such a convolution's weights (``fused_zero``).
"""

_NONE, _SKIP, _CONV1, _CONV3, _POOL = range(5)
_RELU_ID, _POOL_ID, _ZERO_ID, _ADD_ID = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)
)

Ids = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


def _mix(value: Ids, salt: np.uint64) -> Ids:
    """Give the value that an operator makes of another an identity of its own (splitmix64's finaliser)."""
    mixed = value ^ salt
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def merged_operators(archs: npt.NDArray[np.int8], edges: tuple[tuple[int, int], ...]) -> npt.NDArray[np.int64]:
    """Count the operators of a cell that are left after merging, shape (n, 7), in the order of :data:`MERGED`.

    Parameters
    ----------
    archs : ndarray of int8, shape (n, 6)
    edges : tuple of (target, source)
        The nodes of each edge.
    """
    n = len(archs)
    conv_ids = np.arange(1, len(edges) + 1, dtype=np.uint64)  # every convolution has weights of its own
    node: dict[int, Ids] = {0: np.zeros(n, np.uint64)}
    made: dict[str, list[tuple[Ids, Ids, Mask]]] = {"relu": [], "pool": [], "zero": []}  # (id, operand, is there)
    adds: list[tuple[Ids, Ids, Ids]] = []
    for place, (target, source) in enumerate(edges):
        op, x = archs[:, place], node[source]
        is_conv = (op == _CONV1) | (op == _CONV3)
        relu, pool, zero = _mix(x, _RELU_ID), _mix(x, _POOL_ID), _mix(x, _ZERO_ID)
        for name, ids, there in (("relu", relu, is_conv), ("pool", pool, op == _POOL), ("zero", zero, op == _NONE)):
            made[name].append((ids, x, there))
        value = np.select([op == _NONE, op == _SKIP, op == _POOL], [zero, x, pool], conv_ids[place])
        if target in node:
            low, high = np.minimum(node[target], value), np.maximum(node[target], value)
            total = _mix(_mix(low, _ADD_ID) + high, _ADD_ID)
            adds.append((total, node[target], value))
            node[target] = total
        else:
            node[target] = value
    output = node[max(node)]
    everywhere = np.ones(n, bool)
    once = {name: _first(items) for name, items in made.items()}
    add_once = _first([(ids, a, everywhere) for ids, a, _ in adds])
    # Who reads the value of each convolution: operators, sums, and the next cell.
    readers = np.zeros((len(edges), n), np.int64)
    for number, conv in enumerate(conv_ids):
        for name, items in made.items():
            for (_, operand, _), first in zip(items, once[name], strict=True):
                readers[number] += first & (operand == conv)
        for (_, a, b), first in zip(adds, add_once, strict=True):
            readers[number] += first & ((a == conv) | (b == conv))
        readers[number] += output == conv
    alone = readers == 1

    def is_conv_of(operand: Ids, which: Mask) -> Mask:
        matches = [(operand == conv) & which[number] for number, conv in enumerate(conv_ids)]
        found: Mask = np.logical_or.reduce(matches)
        return found

    counts: dict[str, Any] = {name: sum(first.astype(np.int64) for first in firsts) for name, firsts in once.items()}
    counts["add"] = sum(first.astype(np.int64) for first in add_once)
    counts["fused_add"] = sum(
        (first & (is_conv_of(a, alone) | is_conv_of(b, alone))).astype(np.int64)
        for (_, a, b), first in zip(adds, add_once, strict=True)
    )
    counts["fused_relu"] = sum(
        (first & is_conv_of(operand, alone)).astype(np.int64)
        for (_, operand, _), first in zip(made["relu"], once["relu"], strict=True)
    )
    counts["fused_zero"] = sum(
        (first & is_conv_of(operand, alone)).astype(np.int64)
        for (_, operand, _), first in zip(made["zero"], once["zero"], strict=True)
    )
    counts["zero"] = counts["zero"] - counts["fused_zero"]
    return np.stack([counts[name] for name in MERGED], axis=1)


def _first(items: list[tuple[Ids, Ids, Mask]]) -> list[Mask]:
    """Tell of each operator whether it is there and no earlier one is the same."""
    firsts: list[Mask] = []
    for place, (ids, _, there) in enumerate(items):
        earlier = [there_before & (ids_before == ids) for ids_before, _, there_before in items[:place]]
        firsts.append(there & ~np.logical_or.reduce([np.zeros_like(there), *earlier]))
    return firsts
