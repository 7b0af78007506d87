"""One form for operators that networks, exporters and file formats write in several ways.

:func:`canonical` is the last step of every capture, so that a module and the file that it was exported to give the same
operators.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

from hwnas_surrogate.graphs.attention_form import ATTENTION_RULES
from hwnas_surrogate.graphs.draft import Draft, Replacement, Rule, rewritten
from hwnas_surrogate.graphs.forms import FORM_RULES
from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.layouts import Layout
from hwnas_surrogate.graphs.op import Op, Shape, TensorSpec

__all__ = ["canonical"]

_ELEMENTWISE = frozenset({"add", "sub", "mul", "div"})
_ONE_DIMENSION = re.compile(r"\[(\d+)\]")


def canonical(graph: Graph) -> Graph:
    """Put operators together that compute one operator of this package, and store tensors in one shape.

    - Activations and normalisations are found by their formulas (:data:`.forms.FORMS`), with the stored vectors that
      scale and shift the result of a normalisation.
    - ``softmax(q k / scale + mask) v`` is one ``attention``.
    - A product with a stored matrix, and the stored vector that is added to it, are one ``matmul``; the matrix is
      stored as (outputs, inputs).
    - Parts of a value that are joined again in another order are one ``roll``.

    Nothing is put together if a value in between is read elsewhere.

    Examples
    --------
    >>> from hwnas_surrogate.graphs import GraphBuilder
    >>> build = GraphBuilder()
    >>> x = build.input((1, 8))
    >>> canonical(build.graph(build.elementwise("mul", x, build.elementwise("sigmoid", x)))).ops[0].kind
    'silu'
    """
    return rewritten(_stored_alike(graph), _RULES)


def _stored_alike(graph: Graph) -> Graph:
    """Store the matrices of products as (outputs, inputs), and operands of sums and products without sizes of 1.

    Stored tensors that other operators read too, or in another way, stay as they are.
    """
    wanted: dict[int, set[TensorSpec]] = {}
    for node in graph.nodes:
        for weight, spec in zip(node.weights, (*node.op.weights, *node.op.buffers), strict=True):
            wanted.setdefault(weight, set()).add(_as_stored(node, weight, spec))
    stored = list(graph.weights)
    for weight, specs in wanted.items():
        if len(specs) == 1:
            stored[weight] = next(iter(specs))
    nodes = [_with_stored(node, stored) for node in graph.nodes]
    return Graph(graph.inputs, nodes, graph.outputs, stored)


def _as_stored(node: Node, weight: int, spec: TensorSpec) -> TensorSpec:
    """Return how a node's stored tensor should be stored, if only this node counts."""
    if node.op.kind in _ELEMENTWISE:
        return TensorSpec.of(tuple(size for size in spec.shape if size != 1), spec.dtype)
    if weight == _second_factor(node) and spec.shape == _inner_and_outer(node.op):
        return TensorSpec.of(spec.shape[::-1], spec.dtype)
    return spec


def _second_factor(node: Node) -> int | None:
    """Return the stored matrix that a value is multiplied by, if there is one."""
    op = node.op
    alone = op.kind == "matmul" and len(node.reads) == 1 and node.weights and not op.detail
    if not alone or len((*op.weights, *op.buffers)[0].shape) != 2:
        return None
    first, second = op.multiplied()
    stored = (*op.weights, *op.buffers)[0].shape
    is_second = first == op.inputs[0] and second.shape in (stored, stored[::-1])
    return node.weights[0] if is_second else None


def _inner_and_outer(op: Op) -> tuple[int, int]:
    return op.inputs[0].shape[-1], op.outputs[0].shape[-1]


def _with_stored(node: Node, stored: Sequence[TensorSpec]) -> Node:
    """Return a node that reads stored tensors as they are now."""
    op, n = node.op, len(node.op.weights)
    specs = tuple(stored[weight] for weight in node.weights)
    if _second_factor(node) is not None and specs[0].shape == _inner_and_outer(op)[::-1]:
        return replace(node, op=replace(op, weights=specs[:n], buffers=specs[n:], factors=()))
    if specs == (*op.weights, *op.buffers):
        return node
    return replace(node, op=replace(op, weights=specs[:n], buffers=specs[n:]))


def _with_bias(draft: Draft, place: int) -> Replacement | None:
    """Put a product with a stored matrix together with the stored vector that is added to it."""
    node = draft.graph.nodes[place]
    stored = (*node.op.weights, *node.op.buffers)
    product = draft.node_of(node.reads[0]) if len(node.reads) == 1 and len(stored) == 1 else None
    if product is None or node.op.detail or product.op.outputs != node.op.outputs:
        return None
    instead_of = frozenset({place, draft.writer[node.reads[0]]})
    matrix, width = _second_factor(product), node.op.outputs[0].shape[-1:]
    fits = matrix is not None and len(product.weights) == 1 and stored[0].shape == width
    if not fits or not draft.stays_inside(place, instead_of):
        return None
    op = replace(
        product.op,
        weights=(*product.op.weights, *node.op.weights),
        buffers=(*product.op.buffers, *node.op.buffers),
    )
    order = (*product.weights, *node.weights) if op.weights[:1] == product.op.weights else None
    if order is None or (node.op.buffers and not product.op.weights):
        return None
    return Replacement(place, instead_of, (Node(op, product.reads, order),))


def _roll(draft: Draft, place: int) -> Replacement | None:
    """Put together the two parts of a value that are joined in the other order."""
    node = draft.graph.nodes[place]
    joined = _ONE_DIMENSION.fullmatch(node.op.detail)
    parts = [part for part in map(draft.node_of, node.reads) if part is not None and part.op.kind == "view"]
    instead_of = frozenset({place, *(draft.writer[value] for value in node.reads)})
    if joined is None or len(parts) != 2 or len(node.reads) != 2 or node.weights:
        return None
    dim, spec, reads = int(joined[1]), node.op.outputs[0], parts[0].reads
    layouts = [Layout.of_view(part.op) for part in parts]
    whole = None if layouts[0] is None or layouts[1] is None else _whole(layouts[0], layouts[1], spec.shape, dim)
    if whole is None or reads != parts[1].reads or not draft.stays_inside(place, instead_of):
        return None
    op = Op.of("roll", (spec,), (spec,), detail=f"[{parts[0].op.outputs[0].shape[dim]}] [{dim}]")
    root = draft.spec(reads[0])
    if whole.in_order and spec == root:
        return Replacement(place, instead_of, (Node(op, reads),))
    view = Node(Op.of("view", (root,), (spec,), detail=str(whole)), reads)
    return Replacement(place, instead_of, (view, Node(op, (-1,))))


def _whole(late: Layout, early: Layout, shape: Shape, dim: int) -> Layout | None:
    """Return the layout of which one is the last part along a dimension, and the other the first."""
    # Steps along a dimension of one place are arbitrary.
    each = list(zip(early.shape, early.strides, late.shape, late.strides, strict=True))
    strides = tuple(step if n > 1 else other for n, step, _, other in each)
    alike = all(step == other for n, step, n_other, other in each if n > 1 and n_other > 1)
    follows = late.offset - early.offset == early.shape[dim] * strides[dim]
    return Layout(shape, strides, early.offset) if alike and follows else None


def _joins(draft: Draft, place: int) -> Replacement | None:
    """Put a join of joins along the same dimension together."""
    node = draft.graph.nodes[place]
    reads, instead_of = list[int](), {place}
    for value in node.reads:
        inner = draft.node_of(value)
        same = inner is not None and inner.op.kind == "concat" and inner.op.detail == node.op.detail
        if inner is None or not same or inner.weights or draft.times_read(value) != 1:
            reads.append(value)
        else:
            reads += inner.reads
            instead_of.add(draft.writer[value])
    if len(instead_of) == 1 or len(node.reads) != len(node.op.inputs):
        return None
    op = replace(node.op, inputs=tuple(map(draft.spec, reads)))
    return Replacement(place, frozenset(instead_of), (Node(op, tuple(reads), node.weights),))


def _rolls(draft: Draft, place: int) -> Replacement | None:
    """Put rolls along several dimensions together."""
    node = draft.graph.nodes[place]
    before = draft.node_of(node.reads[0])
    if before is None or before.op.kind != "roll" or draft.times_read(node.reads[0]) != 1:
        return None
    by_dim: dict[str, str] = {}
    for roll in (before, node):
        steps, dims = (text.strip("[]").split(", ") for text in roll.op.detail.split("] "))
        if not dims[0] or not by_dim.keys().isdisjoint(dims):  # through all numbers in order, or twice
            return None
        by_dim |= dict(zip(dims, steps, strict=True))
    order = sorted(by_dim, key=int)
    detail = f"[{', '.join(by_dim[dim] for dim in order)}] [{', '.join(order)}]"
    op = replace(node.op, detail=detail)
    return Replacement(place, frozenset({place, draft.writer[node.reads[0]]}), (Node(op, before.reads),))


_OWN: Mapping[str, Sequence[Rule]] = {"add": (_with_bias,), "concat": (_roll, _joins), "roll": (_rolls,)}
_RULES: Mapping[str, Sequence[Rule]] = MappingProxyType(
    {
        kind: tuple(chain.from_iterable(of.get(kind, ()) for of in (_OWN, FORM_RULES, ATTENTION_RULES)))
        for kind in (*_OWN, *FORM_RULES, *ATTENTION_RULES)
    }
)
