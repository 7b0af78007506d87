"""Attention that networks compute from matrix products and a softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hwnas_surrogate.graphs.algebra import scalars_of
from hwnas_surrogate.graphs.draft import Draft, Replacement, Rule
from hwnas_surrogate.graphs.graph import Node
from hwnas_surrogate.graphs.layouts import Layout
from hwnas_surrogate.graphs.op import Op, TensorSpec

__all__ = ["ATTENTION_RULES"]


@dataclass(frozen=True, slots=True)
class _Scores:
    """A product of queries and keys, with what is added to it: values, and stored tensors."""

    product: int
    nodes: frozenset[int]
    masks: tuple[int, ...] = ()
    weights: tuple[tuple[int, TensorSpec], ...] = ()
    buffers: tuple[tuple[int, TensorSpec], ...] = ()


def _attention(draft: Draft, place: int) -> Replacement | None:
    """Put together softmax(queries keys / scale + mask) values; nothing else may read the weights of the sum."""
    last = draft.graph.nodes[place]
    softmax = draft.node_of(last.reads[0]) if _of_two_values(last) else None
    if softmax is None or softmax.op.kind != "softmax":
        return None
    rank = len(softmax.op.outputs[0].shape)
    scores = _scores(draft, softmax.reads[0]) if softmax.op.detail == f"[{rank - 1}]" else None
    if scores is None:
        return None
    product = draft.graph.nodes[scores.product]
    nodes = scores.nodes | {place, draft.writer[last.reads[0]]}
    (query, scaled), (keys, also) = (_unscaled(draft, value) for value in product.reads)
    nodes |= scaled | also
    if not draft.stays_inside(place, nodes) or len(draft.spec(keys).shape) < 2:
        return None
    key, made = _transposed(draft, keys)
    view = draft.node_of(keys)
    if view is not None and view.op.kind == "view" and draft.times_read(keys) == 1:
        nodes |= {draft.writer[keys]}
    return _replacement(draft, place, nodes, (query, key, last.reads[1]), made, scores)


def _replacement(
    draft: Draft, place: int, nodes: frozenset[int], reads: tuple[int, int, int], made: tuple[Node, ...],
    scores: _Scores,
) -> Replacement | None:  # fmt: skip
    specs = [made[0].op.outputs[0] if value < 0 else draft.spec(value) for value in reads]
    masks = tuple(map(draft.spec, scores.masks))
    outputs = draft.graph.nodes[place].op.outputs
    weights, buffers = (tuple(spec for _, spec in of) for of in (scores.weights, scores.buffers))
    stored = tuple(number for number, _ in (*scores.weights, *scores.buffers))
    if specs[0].shape[-1] != specs[1].shape[-1] or specs[1].shape[-2] != specs[2].shape[-2]:
        return None
    op = Op.of("attention", (*specs, *masks), outputs, weights, buffers)
    product = draft.graph.nodes[scores.product].op.macs + draft.graph.nodes[place].op.macs
    if op.macs != product:  # products of other batches
        return None
    return Replacement(place, nodes, (*made, Node(op, (*reads, *scores.masks), stored)))


def _of_two_values(node: Node) -> bool:
    return node.op.kind == "matmul" and len(node.reads) == 2 and not node.weights and not node.op.detail


def _scores(draft: Draft, value: int) -> _Scores | None:
    """Follow scales and masks to the product of queries and keys that they change."""
    node = draft.node_of(value)
    if node is None:
        return None
    here = frozenset({draft.writer[value]})
    if _of_two_values(node):
        return _Scores(draft.writer[value], here)
    for place, inner in enumerate(node.reads):
        others = (*node.reads[:place], *node.reads[place + 1 :])
        if not (_only_scales(node) or (node.op.kind == "add" and not node.op.detail)):
            return None
        if draft.spec(inner).shape != draft.spec(value).shape:
            continue
        found = _scores(draft, inner)
        if found is not None:
            n = len(node.op.weights)
            weights = tuple(zip(node.weights[:n], node.op.weights, strict=True))
            buffers = tuple(zip(node.weights[n:], node.op.buffers, strict=True))
            return _Scores(
                found.product, found.nodes | here, (*found.masks, *others), (*found.weights, *weights),
                (*found.buffers, *buffers),
            )  # fmt: skip
    return None


def _only_scales(node: Node) -> bool:
    scalars = scalars_of(node)
    return node.op.kind in ("mul", "div") and len(node.reads) == 1 and scalars is not None and set(scalars) == {1}


def _unscaled(draft: Draft, value: int) -> tuple[int, frozenset[int]]:
    """Return the value that is multiplied by a number, and the node that does it."""
    node = draft.node_of(value)
    if node is None or not _only_scales(node) or draft.times_read(value) != 1:
        return value, frozenset()
    return node.reads[0], frozenset({draft.writer[value]})


def _transposed(draft: Draft, value: int) -> tuple[int, tuple[Node, ...]]:
    """Return a value with its last dimensions exchanged, and the view that shows it: -1, unless there is one."""
    node, root = draft.node_of(value), value
    layout: Layout | None = None
    if node is not None and node.op.kind == "view" and len(node.reads) == 1:
        layout, root = Layout.of_view(node.op), node.reads[0]
    if layout is None:
        layout, root = Layout.contiguous(draft.spec(value).shape), value
    rank = len(layout.shape)
    turned = layout.permuted((*range(rank - 2), rank - 1, rank - 2))
    spec, of = TensorSpec.of(turned.shape, draft.spec(root).dtype), draft.spec(root)
    if turned.in_order and spec == of:
        return root, ()
    return -1, (Node(Op.of("view", (of,), (spec,), detail=str(turned)), (root,)),)


ATTENTION_RULES: Mapping[str, Sequence[Rule]] = MappingProxyType({"matmul": (_attention,)})
"""Rules by the kind of the node that computes the result."""
