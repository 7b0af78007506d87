"""Passes, ``Graph -> Graph``: which operators count, and how a runtime runs them.

:func:`live`, :func:`folded`: without what does not change the output, without what a converter removes.
:func:`merged`, :func:`fused`: equal operators once, neighbours as one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.op import WEIGHTED, Op
from hwnas_surrogate.graphs.rewriting import constants_without_input, rewritten, without_dead

__all__ = ["ACTIVATIONS", "batch_norms_folded", "fused", "live", "merged", "plain_sum", "zeros_in_weights"]

ACTIVATIONS = frozenset(
    {"relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "elu", "leaky_relu", "hardswish", "hardsigmoid", "mish"}
)
_ZERO_TO_ZERO = frozenset(
    {
        "avg_pool", "max_pool", "global_pool", "batch_norm", "copy", "view", "zero", "mul",
        "relu", "relu6", "tanh", "silu", "gelu", "elu", "leaky_relu", "hardswish",
    }
)  # fmt: skip
"""Kinds that make zeros of zeros; a batch norm does before training."""


def live(graph: Graph) -> Graph:
    """Leave out the operators that change no output of the untrained network.

    Those that no output depends on, and those that only make zeros (a multiplication by 0, and what makes zeros of
    these). Sums of something and zeros are that something. A batch norm makes zeros of zeros before it is trained;
    afterwards it adds a constant, which is left out as well. What depends on no input becomes one constant.
    """
    zeros = set[int]()
    same: dict[int, int] = {}
    new: dict[int, Node | None] = {}
    for place, (node, writes) in enumerate(graph.with_writes()):
        reads = [same.get(value, value) for value in node.reads]
        left = [value for value in reads if value not in zeros]
        if node.op.kind == "zero" or (reads and not left and _keeps_zeros(node.op)):
            zeros.update(writes)
            new[place] = Node(Op("constant", (), node.op.outputs), ())
        elif plain_sum(node.op) and len(reads) == 2 and len(left) == 1 and _alike(graph, left[0], writes[0]):
            same[writes[0]] = left[0]
            new[place] = None
    return constants_without_input(without_dead(rewritten(graph, new, same)))


def _keeps_zeros(op: Op) -> bool:
    """Return whether an operator makes zeros of zeros."""
    has_bias = any(len(spec.shape) == 1 for spec in op.weights)
    return op.kind in _ZERO_TO_ZERO or plain_sum(op) or (op.kind in WEIGHTED and not has_bias)


def plain_sum(op: Op) -> bool:
    """Return whether an operator adds the values that it reads, and nothing else."""
    return op.kind == "add" and not (op.weights or op.buffers or op.detail)


def _alike(graph: Graph, first: int, second: int) -> bool:
    return graph.values[first] == graph.values[second]


def merged(graph: Graph) -> Graph:
    """Run equal operators on equal values once (common subexpression elimination).

    Two convolutions that read the same value have weights of their own and stay two; the ReLUs before them are one. The
    order of what an ``add`` or ``mul`` reads does not matter. Operators that draw random numbers are never equal.
    """
    first: dict[tuple[Op, tuple[int, ...], tuple[int, ...]], range] = {}
    same: dict[int, int] = {}
    new: dict[int, Node | None] = {}
    for place, (node, writes) in enumerate(graph.with_writes()):
        reads = tuple(same.get(value, value) for value in node.reads)
        key = (node.op, tuple(sorted(reads)) if plain_sum(node.op) or node.op.kind == "mul" else reads, node.weights)
        if key in first and node.op.kind not in ("dropout", "constant"):
            same |= dict(zip(writes, first[key], strict=True))
            new[place] = None
        else:
            first[key] = writes
    return rewritten(graph, new, same)


def fused(graph: Graph) -> Graph:
    """Run neighbours as one operator where nothing else reads what is between them.

    Into a convolution or a matrix product go, in this order: the batch norm after it; then one of the multiplication by
    zero, the activation or the addition that reads it, of which the last reads one more value. Other normalisations
    take on the activation after them. ONNX Runtime does all of this but for the last.
    """
    graph = _absorbed(batch_norms_folded(graph), WEIGHTED, ACTIVATIONS | {"add", "zero"})
    return _absorbed(graph, ("batch_norm", "layer_norm", "group_norm"), ACTIVATIONS)


def batch_norms_folded(graph: Graph) -> Graph:
    """Fold batch norms into the weights of the convolutions and matrix products that only they read."""
    return _absorbed(graph, WEIGHTED, frozenset({"batch_norm"}))


def zeros_in_weights(graph: Graph) -> Graph:
    """Fold multiplications by zero into the weights of the convolutions and matrix products that only they read."""
    return _absorbed(graph, WEIGHTED, frozenset({"zero"}))


def _absorbed(graph: Graph, into: Collection[str], what: frozenset[str]) -> Graph:
    """Let operators of some kinds take on the one operator that reads them, if it is of certain kinds.

    The operator moves to where the one that it takes on was: that may read values which come later.
    """
    writer: dict[int, int] = {}
    new: dict[int, Node | None] = {}
    taken: set[int] = set()
    for place, (node, writes) in enumerate(graph.with_writes()):
        writer[writes[0]] = place
        if node.op.kind not in what:
            continue
        for value in node.reads:
            before = writer.get(value)
            if before is None or before in taken or graph.times_read[value] != 1:
                continue
            base = graph.nodes[before]
            if base.op.kind not in into or len(base.op.outputs) > 1 or not _fits(base, node):
                continue
            new[before], new[place] = None, _one(base, node, value)
            taken |= {before, place}
            break
    return rewritten(graph, new)


def _fits(base: Node, node: Node) -> bool:
    """Return whether an operator may be computed on the fly: it writes a number for each of what it reads."""
    spec = base.op.outputs[0]
    return node.op.outputs == (spec,) and all(read == spec for read in node.op.inputs)


def _one(base: Node, node: Node, value: int) -> Node:
    """Return two nodes as one: of the second's reads those that the first does not write."""
    others = [(read, spec) for read, spec in zip(node.reads, node.op.inputs, strict=True) if read != value]
    n_weights = len(base.op.weights), len(node.op.weights)
    op = replace(
        base.op,
        inputs=(*base.op.inputs, *(spec for _, spec in others)),
        outputs=node.op.outputs,
        weights=(*base.op.weights, *node.op.weights),
        buffers=(*base.op.buffers, *node.op.buffers),
        fused=(*base.op.fused, node.op.kind, *node.op.fused),
        factors=base.op.multiplied(),
        detail=" ".join(filter(None, (base.op.detail, node.op.detail))),
    )
    weights = (
        *base.weights[: n_weights[0]], *node.weights[: n_weights[1]],
        *base.weights[n_weights[0] :], *node.weights[n_weights[1] :],
    )  # fmt: skip
    return Node(op, (*base.reads, *(read for read, _ in others)), weights)
