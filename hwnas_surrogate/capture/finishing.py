"""The last steps of every capture: what nothing reads is removed, and operators without a rule are named."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.graphs.canonical import canonical
from hwnas_surrogate.graphs.flat import flattened

__all__ = ["UncountedWarning", "finished"]


class UncountedWarning(UserWarning):
    """Operators that no rule knows: they have bytes, but no multiply-adds."""


def finished(graph: Graph, uncounted: Iterable[str] = ()) -> Graph:
    """Remove views, constants and trailing outputs that nothing reads, and put operators in their canonical form.

    Parameters
    ----------
    graph : Graph
    uncounted : iterable of str, optional
        Operators that may multiply, but have no rule: one warning names them all.
    """
    kinds = sorted(set(uncounted))
    if kinds:
        warnings.warn(
            f"no rule knows how much {', '.join(kinds)} compute{'s' if len(kinds) == 1 else ''}: counted with the "
            "bytes that are read and written, without multiply-adds.",
            UncountedWarning,
            stacklevel=5,
        )
    return _read(canonical(_read(graph)))


def _read(graph: Graph) -> Graph:
    """Remove views, constants and trailing outputs that nothing reads."""
    flat, read = flattened([graph]), set(graph.outputs)
    keep, op = np.ones(len(graph), bool), flat.op.copy()
    for number in range(len(graph) - 1, -1, -1):
        node, writes = graph.nodes[number], graph.writes[number]
        written = max((place for place, value in enumerate(writes, 1) if value in read), default=0)
        if not written and node.op.kind in ("view", "constant"):
            keep[number] = False
            continue
        read.update(node.reads)
        if max(written, 1) < len(node.op.outputs):
            op[number] = flat.numbers.of_op(replace(node.op, outputs=node.op.outputs[: max(written, 1)]))
    return flat.rewritten(keep, op).graphs()[0]
