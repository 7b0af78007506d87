"""What of NAS-Bench-201's cell runs in int8 after static quantization.

A network quantized to int8 activations (quantize-dequantize pairs around every operator) does not run in int8
throughout. On x86, ONNX Runtime has kernels for uint8 activations, and turns a value into uint8 where exactly one
operator reads it. Then:

- a convolution runs in int8 where both what it reads and what it makes were turned;
- a pool or a sum does where all that it reads and makes is alike, turned or not;
- a multiplication by zero does where neither was turned, since its constant never is.

Everything else runs in float32 between a DequantizeLinear for each value that it reads and a QuantizeLinear for the
one that it makes. A ReLU is part of the quantization of the value before it where nothing else reads that; the others
stay as a pair of their own. So the same convolution costs several times more where two operators read its result.

The rule is that of ONNX Runtime 1.32's optimised graphs: a test compares the counts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.spaces.merged import Edges, Ids, Mask, Operator, cell_graph, convs_read_once, reads_of, relu_of

__all__ = ["QUANTIZED", "quantized_operators"]

_KINDS = ("conv1x1", "conv3x3", "pool", "add", "zero")
QUANTIZED = (*(f"int8_{kind}" for kind in _KINDS), "int8_relu", "quantize", "dequantize")
"""The counts, in order.

Operators of a cell that run in int8 (``int8_conv1x1``, ``int8_conv3x3``, ``int8_pool``, ``int8_add``, ``int8_zero``),
ReLUs that stay (``int8_relu``), and conversions to and from int8 (``quantize``, ``dequantize``).
"""


def quantized_operators(archs: npt.NDArray[np.int8], edges: Edges) -> npt.NDArray[np.int64]:
    """Count what runs in int8, and the conversions, in a cell whose neighbours are equal cells, shape (n, 8).

    In the order of :data:`QUANTIZED`.

    Parameters
    ----------
    archs : ndarray of int8, shape (n, 6)
    edges : tuple of (target, source)
        The nodes of each edge.
    """
    graph, output = cell_graph(archs, edges)
    _zeros_into_weights(graph, output)
    relus = [operator for operator in graph if operator.kind == "relu"]
    next_cell = reads_of(graph, np.zeros_like(output))  # whatever reads its input reads this cell's output

    def read_once(value: Ids) -> Mask:
        count = np.where(value == output, next_cell, reads_of(graph, value))
        return np.asarray(count == 1)

    def kept(relu: Operator) -> Mask:
        return relu.there & ~read_once(relu.reads[0])

    def turned(operator: Operator) -> Mask:
        """Tell where what an operator makes becomes uint8: a ReLU that does not stay makes it in its place."""
        made = np.where(operator.makes == output, np.uint64(0), operator.makes)
        by_relu = np.logical_or.reduce([relu.there & (relu.reads[0] == made) for relu in relus])
        once = read_once(made)
        return np.where(once & by_relu, read_once(relu_of(made)), once)

    counts = {name: np.zeros(len(archs), np.int64) for name in QUANTIZED}
    counts["int8_relu"] += np.sum([kept(relu) for relu in relus], axis=0)
    conversions = {"quantize": counts["int8_relu"].copy(), "dequantize": counts["int8_relu"].copy()}
    for operator in graph:
        if operator.kind == "relu":
            continue
        values = np.stack([*(read_once(read) for read in operator.reads), turned(operator)])
        every, none = values.all(axis=0), ~values.any(axis=0)
        runs = {"pool": every | none, "add": every | none, "zero": none}.get(operator.kind, every)
        counts[f"int8_{operator.kind}"] += operator.there & runs
        conversions["quantize"] += operator.there & ~runs
        conversions["dequantize"] += len(operator.reads) * (operator.there & ~runs)
    counts |= conversions
    return np.stack([counts[name] for name in QUANTIZED], axis=1)


def _zeros_into_weights(graph: list[Operator], output: Ids) -> None:
    """Let convolutions make what a multiplication by zero makes of them, where nothing else reads them."""
    for conv, single in convs_read_once(graph, output):
        for zero in graph:
            if zero.kind == "zero":
                inside = zero.there & single & (zero.reads[0] == conv.makes)
                zero.there = zero.there & ~inside
                conv.makes = np.where(inside, zero.makes, conv.makes)
