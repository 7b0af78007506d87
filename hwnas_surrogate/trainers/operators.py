"""The operators of one network as a device runs them: shapes, multiply-adds, parameters, bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.features.physics import PhysicsView, counts_in
from hwnas_surrogate.graphs import Graph, Op, Traced, View, traced
from hwnas_surrogate.graphs.op import FREE

__all__ = ["Operators", "graph_view", "operators_of"]

Nodes = npt.NDArray[np.intp]

_CONVERSIONS = ("quantize", "dequantize")


@dataclass(frozen=True, slots=True, eq=False)
class Operators:
    """The operators of one network, in the order of its graph.

    Parameters
    ----------
    row : ndarray of int, shape (n,)
        The row of each of the graph's n nodes.
    frame : DataFrame
        One row per operator: ``node`` (its first node in the graph), ``operator``, ``fused`` (the kinds of operators
        that are part of it), ``output`` (its shape), ``macs``, ``params``, ``activation_bytes`` (read and written) and
        ``weight_bytes``.
    """

    row: Nodes
    frame: pd.DataFrame


def graph_view(view: PhysicsView) -> View:
    """Return the view of graphs that a view of physics sums over: ``computed`` sums over some operators of ``all``."""
    return "all" if view == "computed" else view


def operators_of(graph: Graph, view: PhysicsView = "all") -> Operators:
    """Return the operators of a network as a view describes them.

    Nodes that the view fuses are one operator. In views of layers, activations, additions and reshapes are part
    of the layer before them, as in :class:`~hwnas_surrogate.features.LayerPhysics`. Layers that the view removes have
    rows too. Conversions of a quantized network are part of the operator that they convert for.

    Parameters
    ----------
    graph : Graph
        One network.
    view : {"all", "computed", "live", "folded", "fused", "quantized"}, default="all"
        Which operators run.

    Returns
    -------
    Operators

    Raises
    ------
    InvalidInputError
        If there is no such view.
    InvalidGraphError
        If the network can't run in this view.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> operators = operators_of(get_space("nasbench201").graph(0)).frame
    >>> operators[["operator", "fused", "output"]].iloc[0].tolist()
    ['conv 3x3', 'batch_norm, relu', '1x16x32x32']
    """
    every = traced(graph, "all")
    as_run = every if graph_view(view) == "all" else traced(graph, graph_view(view))
    plain, parts = _parts(every, "all"), _parts(as_run, view)
    # Nodes that the view removes stay in the rows that they have without it.
    parts = np.where(parts >= 0, parts, np.where(parts[plain] >= 0, parts[plain], plain))
    owners, row = np.unique(parts, return_inverse=True)
    run = {**_ops(every), **_ops(as_run)}
    members: list[list[str]] = [[] for _ in owners]
    for number, node in zip(row.tolist(), graph.nodes, strict=True):
        members[number].append(node.op.kind)
    rows = []
    for owner, kinds in zip(owners.tolist(), members, strict=True):
        own = graph.nodes[owner].op
        others = dict.fromkeys(kind for kind in kinds if kind != own.kind and kind not in FREE)
        rows.append((owner, _described(own), ", ".join(others), *_figures(run.get(owner, own))))
    return Operators(row.astype(np.intp), pd.DataFrame(rows, columns=["node", "operator", "fused", *_FIGURES]))


_FIGURES = ("output", "macs", "params", "activation_bytes", "weight_bytes")


def _figures(op: Op) -> tuple[str, int, int, int, int]:
    shape = "x".join(map(str, op.outputs[0].shape)) or "scalar"
    return shape, op.macs, op.params, op.activation_bytes, sum(spec.bytes for spec in (*op.weights, *op.buffers))


def _parts(of: Traced, view: PhysicsView) -> Nodes:
    """Return for each node the first node of the operator that it is a part of; -1 if it is removed."""
    parts = np.append(of.became, -1)
    for op, node, before in zip(of.ops, of.serves.tolist(), of.follows.tolist(), strict=True):
        if op.kind == "constant":
            parts[parts == node] = -1
        elif op.kind not in _CONVERSIONS and op.kind != "zero" and not counts_in(op, view) and parts[before] >= 0:
            parts[parts == node] = parts[before]
    return parts[:-1]


def _ops(of: Traced) -> dict[int, Op]:
    """Return the operator of each node that is one, without conversions."""
    pairs = zip(of.serves.tolist(), of.ops, strict=True)
    return {node: op for node, op in pairs if op.kind not in (*_CONVERSIONS, "constant")}


def _described(op: Op) -> str:
    """Return an operator in words: its kind, its window, and how it moves.

    >>> from hwnas_surrogate.spaces import get_space
    >>> ops = get_space("fbnet").graph([0] * 22, "ImageNet").ops
    >>> _described(ops[0])
    'conv 3x3 /2'
    """
    words = [op.kind]
    if op.kernel:
        words.append("x".join(map(str, op.kernel)))
    if any(step != 1 for step in op.stride):
        words.append("/" + "x".join(map(str, op.stride if len(set(op.stride)) > 1 else op.stride[:1])))
    if op.depthwise:
        words.append("depthwise")
    elif op.groups > 1:
        words.append(f"in {op.groups} groups")
    return " ".join(words)
