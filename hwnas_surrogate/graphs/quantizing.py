"""What of a network runs in int8 after static quantization."""

from __future__ import annotations

from dataclasses import replace

from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.op import FREE, Op, TensorSpec
from hwnas_surrogate.graphs.passes import batch_norms_folded, merged, zeros_in_weights

__all__ = ["quantized"]

_WEIGHTED = frozenset({"conv", "matmul"})
"""Run in int8 where all that they read and write is."""
_UNWEIGHTED = frozenset({"avg_pool", "max_pool", "global_pool", "add", "mul", "concat"})
"""Run in int8 where all that they read and write is alike: int8 or not."""
_PART_OF_QUANTIZATION = frozenset({"relu", "relu6"})
"""A range of numbers is all that these do, and a quantization has a range."""


def quantized(graph: Graph) -> Graph:
    """Quantize to int8, statically, and run what a runtime has int8 kernels for.

    ``quantize`` and ``dequantize`` stand where values change their format. Between operators every value is int8, but
    an operator may run in float32 between conversions of its own. ONNX Runtime 1.32 on x86 keeps a value in int8 only
    where exactly one operator reads it. Then:

    - a convolution or a matrix product runs in int8 where what it reads and what it writes is kept;
    - a pool, a sum, a product or a concatenation does where all of that is kept, or none of it;
    - a multiplication by zero does where none of it is kept, since its constant never is;
    - every other operator runs in float32.

    A ReLU is part of the quantization of the value before it where nothing else reads that; else it is a pair of
    conversions of its own. Equal operators are merged before, batch norms and multiplications by zero folded into
    weights.
    """
    return _Quantizing(zeros_in_weights(batch_norms_folded(merged(graph)))).graph()


class _Quantizing:
    """Writes the quantized graph node by node."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node] = []
        self._weights: list[TensorSpec] = []
        self._weight_number: dict[tuple[int, str], int] = {}
        self._values: list[TensorSpec] = list(graph.inputs)
        self._new: dict[int, int] = {}
        self._quantized: set[int] = set()

    def graph(self) -> Graph:
        for value, spec in enumerate(self._graph.inputs):
            self._new[value] = self._convert("quantize", value) if spec.dtype == "float32" else value
        for node, writes in self._graph.with_writes():
            self._add(node, writes)
        outputs = [self._in_float(self._new[value]) for value in self._graph.outputs]
        return Graph(self._graph.inputs, self._nodes, outputs, self._weights)

    def _add(self, node: Node, writes: range) -> None:
        kind, made = node.op.kind, writes[0]
        if node.op.dtype != "float32" or any(self._graph.values[value].dtype != "float32" for value in node.reads):
            self._copy(node, writes)
        elif kind in _PART_OF_QUANTIZATION and len(node.reads) == 1:
            (read,) = node.reads
            self._new[made] = self._new[read] if self._graph.times_read[read] == 1 else self._again(node, read)
        elif kind in FREE or self._runs_in_int8(node, made):
            self._copy(node, writes, "int8")
        else:
            self._copy(node, writes)

    def _again(self, node: Node, read: int) -> int:
        """Convert a value to float32 and back, in the range of a ReLU."""
        return self._convert("quantize", self._convert("dequantize", self._new[read]), fused=(node.op.kind,))

    def _runs_in_int8(self, node: Node, made: int) -> bool:
        kept = [self._graph.times_read[value] == 1 for value in node.reads] + [self._is_kept(made)]
        if node.op.kind == "zero":
            return not any(kept)
        if node.op.kind in _UNWEIGHTED:
            return all(kept) or not any(kept)
        return node.op.kind in _WEIGHTED and all(kept)

    def _is_kept(self, value: int) -> bool:
        """Return whether one operator reads a value that is made: of a ReLU that is part of it, what that makes."""
        if self._graph.times_read[value] != 1 or not self._graph.readers[value]:
            return self._graph.times_read[value] == 1
        place = self._graph.readers[value][0]
        if self._graph.nodes[place].op.kind not in _PART_OF_QUANTIZATION:
            return True
        return self._graph.times_read[self._graph.writes[place][0]] == 1

    def _copy(self, node: Node, writes: range, dtype: str | None = None) -> None:
        """Add an operator in int8, or in its own format between conversions."""
        reads = [self._new[value] for value in node.reads]
        if dtype is None:
            wanted = [self._graph.values[value].dtype for value in node.reads]
            reads = [self._in_float(new) if of == "float32" else new for new, of in zip(reads, wanted, strict=True)]
        stored = [self._weight(weight, dtype) for weight in node.weights]
        n = len(node.op.weights)
        op = replace(
            node.op,
            inputs=tuple(self._values[value] for value in reads),
            outputs=tuple(spec if dtype is None else replace(spec, dtype=dtype) for spec in node.op.outputs),
            factors=node.op.multiplied(),
            weights=tuple(self._weights[number] for number in stored[:n]),
            buffers=tuple(self._weights[number] for number in stored[n:]),
        )
        first = self._append(op, reads, stored)
        if dtype is not None:
            self._quantized.update(range(first, first + len(writes)))
        for place, value in enumerate(writes):
            new = first + place
            back = dtype is None and op.outputs[place].dtype == "float32"
            self._new[value] = self._convert("quantize", new) if back else new

    def _weight(self, weight: int, dtype: str | None) -> int:
        spec = self._graph.weights[weight]
        # Biases stay as they are: runtimes add them before they scale.
        wanted = dtype if dtype and spec.dtype == "float32" and len(spec.shape) > 1 else spec.dtype
        if (weight, wanted) not in self._weight_number:
            self._weight_number[weight, wanted] = len(self._weights)
            self._weights.append(replace(spec, dtype=wanted))
        return self._weight_number[weight, wanted]

    def _in_float(self, value: int) -> int:
        return self._convert("dequantize", value) if value in self._quantized else value

    def _convert(self, kind: str, value: int, fused: tuple[str, ...] = ()) -> int:
        spec = self._values[value]
        made = replace(spec, dtype="int8" if kind == "quantize" else "float32")
        new = self._append(Op(kind, (spec,), (made,), fused=fused), [value], [])
        if kind == "quantize":
            self._quantized.add(new)
        return new

    def _append(self, op: Op, reads: list[int], weights: list[int]) -> int:
        self._nodes.append(Node(op, tuple(reads), tuple(weights)))
        self._values += op.outputs
        return len(self._values) - len(op.outputs)
