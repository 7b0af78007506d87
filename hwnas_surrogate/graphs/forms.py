"""Operators that networks also compute from several others: activations and normalisations by their formulas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from types import MappingProxyType

from hwnas_surrogate.graphs.algebra import formula, places
from hwnas_surrogate.graphs.draft import Draft, Replacement, Rule
from hwnas_surrogate.graphs.graph import Node
from hwnas_surrogate.graphs.layouts import Layout
from hwnas_surrogate.graphs.op import Op, TensorSpec

__all__ = ["FORMS", "FORM_RULES"]

FORMS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "silu": ("x * sigmoid(x)",),
        "hardsigmoid": ("relu6(x + 3) / 6",),
        "hardswish": ("x * hardsigmoid(x)", "x * relu6(x + 3) / 6"),
        "mish": ("x * tanh(softplus(x))",),
        "quick_gelu": ("x * sigmoid(1.702 * x)",),
        "gelu": ("0.5 * x * (1 + erf(x / 1.41421356))",),
        "gelu approximate=tanh": ("0.5 * x * (1 + tanh(0.79788456 * (x + 0.044715 * x**3)))",),
        "layer_norm": ("(x - mean(x)) / sqrt(mean((x - mean(x))**2) + epsilon)",),
        "pow 1:[2]": ("x**2",),
        "rms_norm": ("x / sqrt(mean(x**2) + epsilon)",),
    }
)
"""The formulas of operators, in the order in which they are looked for; the text after a kind is its description."""
_AFFINE = frozenset({"layer_norm", "rms_norm", "group_norm"})
"""Normalisations whose result is multiplied by a stored vector, to which another may be added."""
_DIMENSIONS = re.compile(r"\[([\d, ]*)\]")


def _form(name: str, text: str) -> Rule:
    """Return a rule that puts together the operators that compute a formula."""
    kind, _, detail = name.partition(" ")
    term = formula(text)

    def rule(draft: Draft, place: int) -> Replacement | None:
        found = places(draft, term, place)
        if found is None:
            return None
        x, made = found.values["x"], draft.graph.nodes[place].op.outputs
        if made != (draft.spec(x),):
            return None
        said = detail
        if found.epsilon:
            said = f"{found.details['mean']} {found.epsilon:.6g}"
        op = Op.of(kind, made, made, detail=said)
        return Replacement(place, found.nodes, (Node(op, (x,)),))

    return rule


def _scaled_norm(draft: Draft, place: int) -> Replacement | None:
    """Put a normalisation together with the stored vector that it is multiplied by, or that is added."""
    node = draft.graph.nodes[place]
    stored = (*node.op.weights, *node.op.buffers)
    if len(node.reads) != 1 or len(stored) != 1 or node.op.detail:
        return None
    norm = draft.node_of(node.reads[0])
    if norm is None or norm.op.kind not in _AFFINE or norm.op.outputs != node.op.outputs:
        return None
    instead_of = frozenset({place, draft.writer[node.reads[0]]})
    n_stored, channels = len(norm.weights), _channels(norm.op)
    fits = n_stored == (node.op.kind == "add") and stored[0].numel == prod(channels)
    if not fits or not draft.stays_inside(place, instead_of):
        return None
    spec, again = stored[0], None
    if spec.shape != channels and draft.only_use(node.weights[0]):
        spec = TensorSpec.of(channels, spec.dtype)
        again = {node.weights[0]: spec}
    weights, buffers = ((spec,), ()) if node.op.weights else ((), (spec,))
    op = replace(norm.op, weights=(*norm.op.weights, *weights), buffers=(*norm.op.buffers, *buffers))
    kept = len(norm.op.weights)
    order = (*norm.weights[:kept], *node.weights, *norm.weights[kept:])
    return Replacement(place, instead_of, (Node(op, norm.reads, order),), again)


def _channels(norm: Op) -> tuple[int, ...]:
    """Return the shape of a normalisation's stored vectors."""
    shape = norm.outputs[0].shape
    if norm.kind == "group_norm":
        return shape[1:2]
    found = _DIMENSIONS.match(norm.detail)
    return tuple(shape[int(dim)] for dim in found[1].split(",")) if found else ()


def _group_norm(draft: Draft, place: int) -> Replacement | None:
    """Put together a normalisation of each channel of a view that has the groups as channels."""
    back = draft.graph.nodes[place]
    norm = draft.node_of(back.reads[0]) if len(back.reads) == 1 else None
    into = draft.node_of(norm.reads[0]) if norm is not None and norm.op.kind == "instance_norm" else None
    if norm is None or into is None or into.op.kind != "view" or len(into.reads) != 1:
        return None
    root, shape, made = into.reads[0], into.op.outputs[0].shape, back.op.outputs
    instead_of = frozenset({place, draft.writer[back.reads[0]], draft.writer[norm.reads[0]]})
    layout = Layout.of_view(into.op)
    whole = None if layout is None or len(shape) != 3 else layout.reshaped(made[0].shape)
    of_groups = whole is not None and _in_order(back.op) and made[0].shape[:1] == shape[:1]
    if whole is None or not of_groups or not draft.stays_inside(place, instead_of):
        return None
    group_norm = Op.of("group_norm", made, made, detail=f"{shape[1]} {norm.op.detail}")
    if (draft.spec(root),) == made and whole.in_order:
        return Replacement(place, instead_of, (Node(group_norm, (root,)),))
    view = Node(Op.of("view", (draft.spec(root),), made, detail=str(whole)), (root,))
    return Replacement(place, instead_of, (view, Node(group_norm, (-1,))))


def _in_order(op: Op) -> bool:
    layout = Layout.of_view(op)
    return layout is not None and layout.in_order


_BY_FORM = [_form(name, text) for name, texts in FORMS.items() for text in texts]
FORM_RULES: Mapping[str, Sequence[Rule]] = MappingProxyType(
    {
        "mul": (*_BY_FORM, _scaled_norm),
        "div": tuple(_BY_FORM),
        "add": (_scaled_norm,),
        "view": (_group_norm,),
    }
)
"""Rules by the kind of the node that computes the result."""
