"""What is in memory while each operator of many graphs runs."""

from __future__ import annotations

import numpy as np

from hwnas_surrogate.graphs.flat import Flat, resolved
from hwnas_surrogate.graphs.numbering import Ints
from hwnas_surrogate.graphs.op import TensorSpec

__all__ = ["in_memory", "peaks_of"]


def in_memory(flat: Flat, sizes: Ints) -> Ints:
    """Sum the sizes of the values in memory while each node runs.

    A value is in memory from the node that writes it to the last one that reads it; inputs from the first node, unless
    no node reads them; outputs to the last node. A ``view`` shares its input's memory; nothing is written in place.

    Parameters
    ----------
    flat : Flat
        The graphs.
    sizes : ndarray of int, shape (values,)

    Returns
    -------
    ndarray of int, shape (nodes,)

    Examples
    --------
    >>> from hwnas_surrogate.graphs import GraphBuilder
    >>> from hwnas_surrogate.graphs.flat import flattened
    >>> build = GraphBuilder()
    >>> x = build.relu(build.input((1, 4)))
    >>> flat = flattened([build.graph(build.add(x, build.relu(x)))])
    >>> in_memory(flat, np.ones(flat.n_values, int)).tolist()
    [2, 2, 3]
    """
    nodes = np.arange(len(flat))
    same = np.arange(flat.n_values)
    views = nodes[flat.is_of(frozenset({"view"})) & (flat.n_reads() > 0)]
    same[flat.first_written[views]] = flat.reads[flat.first_edge[views]]
    owner = resolved(same)  # the value whose memory each value uses
    first_node = np.searchsorted(flat.graph, np.arange(flat.n + 1))
    start, last = flat.writer.copy(), flat.writer.copy()
    start[: len(flat.inputs)] = first_node[flat.input_graph]
    np.maximum.at(last, owner[flat.reads], flat.reader)
    np.maximum.at(last, owner[flat.outputs], first_node[flat.output_graph + 1] - 1)
    counted = np.flatnonzero((owner == np.arange(flat.n_values)) & (last >= 0))
    change = np.zeros(len(flat) + 1, np.intp)
    np.add.at(change, start[counted], sizes[counted])
    np.subtract.at(change, last[counted] + 1, sizes[counted])
    return np.cumsum(change)[:-1]


def peaks_of(flat: Flat) -> Ints:
    """Return the largest number of bytes of activations in memory at once, as :attr:`Graph.peak_memory`, (graphs,)."""
    spec = flat.spec  # numbers the tensors
    sizes = flat.numbers.each_spec(_bytes)[spec]
    before = np.zeros(flat.n, np.intp)
    np.add.at(before, flat.input_graph, sizes[: len(flat.inputs)])
    first_node = np.searchsorted(flat.graph, np.arange(flat.n))
    return np.maximum(before, np.maximum.reduceat(in_memory(flat, sizes), first_node))


def _bytes(spec: TensorSpec) -> int:
    return spec.bytes
