"""NAS-Bench-201's cell after a graph compiler has merged equal operators.

Inference engines compute an operator once where it stands twice on the same value: convolutions that read one node
share its ReLU; two pools of one node are one pool; where a skip makes two nodes the same value, so are their pools.
That is common subexpression elimination. A multiplication by zero of a convolution that nothing else reads goes into
its weights. ONNX Runtime does both at its basic level: its optimised graphs have exactly these counts. Dead branches
stay, other than in the compiled view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "MERGED",
    "Edges",
    "Ids",
    "Mask",
    "Operator",
    "cell_graph",
    "convs_read_once",
    "merged_operators",
    "reads_of",
    "relu_of",
]

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

Edges = tuple[tuple[int, int], ...]
"""The nodes of each edge: (target, source)."""
Ids = npt.NDArray[np.uint64]
"""Which value: equal numbers, equal values. The cell's input is 0."""
Mask = npt.NDArray[np.bool_]


@dataclass
class Operator:
    """An operator of many cells at once.

    Attributes
    ----------
    kind : {"relu", "conv1x1", "conv3x3", "pool", "zero", "add"}
    there : ndarray of bool, shape (n,)
        The cells that have it; of equal ones only the first is there.
    reads : tuple of ndarray of uint64, shape (n,)
    makes : ndarray of uint64, shape (n,)
    """

    kind: str
    there: Mask
    reads: tuple[Ids, ...]
    makes: Ids


def _mix(value: Ids, salt: np.uint64) -> Ids:
    """Give the value that an operator makes of another an identity of its own (splitmix64's finaliser)."""
    mixed = value ^ salt
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def relu_of(value: Ids) -> Ids:
    """Return which value a ReLU makes of another."""
    return _mix(value, _RELU_ID)


def cell_graph(archs: npt.NDArray[np.int8], edges: Edges) -> tuple[list[Operator], Ids]:
    """Return the operators of a cell, equal ones merged, and the cell's output, shape (n,).

    Every operator stands after those that make what it reads. Multiplications by zero that go into the weights of a
    convolution are still there.
    """
    n = len(archs)
    node: dict[int, Ids] = {0: np.zeros(n, np.uint64)}
    graph: list[Operator] = []
    for place, (target, source) in enumerate(edges):
        op, x = archs[:, place], node[source]
        relu, pool, zero = relu_of(x), _mix(x, _POOL_ID), _mix(x, _ZERO_ID)
        conv = np.full(n, place + 1, np.uint64)  # every convolution has weights of its own
        graph += [
            Operator("relu", (op == _CONV1) | (op == _CONV3), (x,), relu),
            Operator("conv1x1", op == _CONV1, (relu,), conv),
            Operator("conv3x3", op == _CONV3, (relu,), conv),
            Operator("pool", op == _POOL, (x,), pool),
            Operator("zero", op == _NONE, (x,), zero),
        ]
        value = np.select([op == _NONE, op == _SKIP, op == _POOL], [zero, x, pool], conv)
        if target in node:
            low, high = np.minimum(node[target], value), np.maximum(node[target], value)
            total = _mix(_mix(low, _ADD_ID) + high, _ADD_ID)
            graph.append(Operator("add", np.ones(n, bool), (node[target], value), total))
            node[target] = total
        else:
            node[target] = value
    for place, operator in enumerate(graph):
        for earlier in graph[:place]:
            if earlier.kind == operator.kind:
                operator.there = operator.there & ~(earlier.there & (earlier.makes == operator.makes))
    return graph, node[max(node)]


def reads_of(graph: list[Operator], value: Ids) -> npt.NDArray[np.int64]:
    """Count how often operators of the cell read a value, shape (n,)."""
    count = np.zeros(len(value), np.int64)
    for operator in graph:
        for read in operator.reads:
            count += operator.there & (read == value)
    return count


def convs_read_once(graph: list[Operator], output: Ids) -> list[tuple[Operator, Mask]]:
    """Return the convolutions, and the cells in which exactly one operator, or the next cell, reads them."""
    convs = [operator for operator in graph if operator.kind.startswith("conv")]
    return [(conv, conv.there & (reads_of(graph, conv.makes) + (output == conv.makes) == 1)) for conv in convs]


def merged_operators(archs: npt.NDArray[np.int8], edges: Edges) -> npt.NDArray[np.int64]:
    """Count the operators of a cell that are left after merging, shape (n, 7), in the order of :data:`MERGED`.

    Parameters
    ----------
    archs : ndarray of int8, shape (n, 6)
    edges : tuple of (target, source)
        The nodes of each edge.
    """
    graph, output = cell_graph(archs, edges)
    convs = convs_read_once(graph, output)

    def fused(operator: Operator) -> Mask:
        """Tell where an operator reads a convolution that nothing else reads."""
        found = [(read == conv.makes) & single for conv, single in convs for read in operator.reads]
        return np.asarray(operator.there & np.logical_or.reduce(found))

    def count(masks: list[Mask]) -> npt.NDArray[np.int64]:
        return np.asarray(np.sum(masks, axis=0, dtype=np.int64))

    kinds = {kind: [op for op in graph if op.kind == kind] for kind in ("relu", "pool", "zero", "add")}
    counts = {kind: count([op.there for op in ops]) for kind, ops in kinds.items()}
    counts |= {f"fused_{kind}": count([fused(op) for op in kinds[kind]]) for kind in ("add", "relu", "zero")}
    counts["zero"] = counts["zero"] - counts["fused_zero"]
    return np.stack([counts[name] for name in MERGED], axis=1)
