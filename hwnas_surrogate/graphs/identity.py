"""Hashes of graphs: equal for graphs that differ only in the order of independent nodes.

Each node gets a colour: a hash of its operator, of the colours of the values that it reads, in order, and of the
colours of the nodes that read its values. This is colour refinement (Weisfeiler and Leman; Shervashidze et al.,
"Weisfeiler-Lehman graph kernels", JMLR 2011). It runs once from the inputs to the outputs and back, and a second time
with the stored tensors that several nodes read, so that tied weights differ from separate ones of the same shape.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwnas_surrogate.graphs.graph import Graph
    from hwnas_surrogate.graphs.op import Op, TensorSpec

__all__ = ["digest"]

_ROUNDS = 2
Colours = list[bytes]


def digest(graph: Graph) -> str:
    """Return a hash of a graph's content, 32 hexadecimal digits."""
    colours = [_of_op(node.op) for node in graph.nodes]
    inputs = [_hash(_numbered(b"input", place), _of_spec(spec)) for place, spec in enumerate(graph.inputs)]
    tied: dict[int, bytes] = {}
    for _ in range(_ROUNDS):
        colours = _upwards(graph, _downwards(graph, colours, inputs, tied))
        tied = _tied_weights(graph, colours)
    values = _values(graph, colours, inputs)
    return _hash(*inputs, b"nodes", *sorted(colours), b"outputs", *map(values.__getitem__, graph.outputs)).hex()


def _hash(*parts: bytes) -> bytes:
    return blake2b(b"".join(parts), digest_size=16).digest()


def _numbered(colour: bytes, place: int) -> bytes:
    """Distinguish the positions of one operator's values."""
    return colour + place.to_bytes(4, "big") if place else colour


@lru_cache(maxsize=65536)
def _of_op(op: Op) -> bytes:
    fields = (
        op.kind, op.inputs, op.outputs, op.weights, op.buffers, op.kernel, op.stride, op.dilation, op.padding,
        op.groups, op.fused, op.factors, op.detail,
    )  # fmt: skip
    return _hash(repr(fields).encode())


@lru_cache(maxsize=65536)
def _of_spec(spec: TensorSpec) -> bytes:
    return _hash(repr((spec.shape, spec.dtype)).encode())


def _values(graph: Graph, colours: Colours, inputs: Colours) -> Colours:
    """Return a colour for each value: that of its writer, combined with the output's position."""
    values = list(inputs)
    for node, colour in zip(graph.nodes, colours, strict=True):
        values += [_numbered(colour, place) for place in range(len(node.op.outputs))]
    return values


def _downwards(graph: Graph, colours: Colours, inputs: Colours, tied: dict[int, bytes]) -> Colours:
    """Hash each node with the values that it reads, from the inputs on."""
    values, result = list(inputs), []
    for node, colour in zip(graph.nodes, colours, strict=True):
        shared = [_numbered(tied[weight], place) for place, weight in enumerate(node.weights) if weight in tied]
        mixed = _hash(colour, *map(values.__getitem__, node.reads), b"weights", *shared)
        result.append(mixed)
        values += [_numbered(mixed, place) for place in range(len(node.op.outputs))]
    return result


def _upwards(graph: Graph, colours: Colours) -> Colours:
    """Hash each node with the readers of its values, from the outputs back."""
    seen: list[Colours] = [[] for _ in graph.values]
    for place, value in enumerate(graph.outputs):
        seen[value].append(b"output" + place.to_bytes(4, "big"))
    result = list(colours)
    for number in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[number]
        readers = [part for value in graph.writes[number] for part in (b"|", *sorted(seen[value]))]
        result[number] = _hash(colours[number], *readers)
        for place, value in enumerate(node.reads):
            seen[value].append(_numbered(result[number], place))
    return result


def _tied_weights(graph: Graph, colours: Colours) -> dict[int, bytes]:
    """Return a colour for each stored tensor that several nodes read."""
    seen: dict[int, Colours] = {}
    for node, colour in zip(graph.nodes, colours, strict=True):
        for place, weight in enumerate(node.weights):
            seen.setdefault(weight, []).append(_numbered(colour, place))
    return {weight: _hash(*sorted(readers)) for weight, readers in seen.items() if len(readers) > 1}
