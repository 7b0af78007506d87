"""Static quantization: which operators of a network run in int8."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from hwnas_surrogate.graphs.flat import Flat, applied, resolved
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.merging import flat_merged
from hwnas_surrogate.graphs.numbering import Bools, Ints, Numbers, distinct_rows, n_outputs, spans
from hwnas_surrogate.graphs.op import FREE, Op, TensorSpec
from hwnas_surrogate.graphs.passes import batch_norms_folded, zeros_in_weights

__all__ = ["flat_quantized", "quantized"]

_WEIGHTED = frozenset({"conv", "matmul"})
"""Kinds that run in int8 if all values that they read and write are int8."""
_UNWEIGHTED = frozenset({"avg_pool", "max_pool", "global_pool", "add", "mul", "concat"})
"""Kinds that run in int8 if the values that they read and write are all int8, or all not."""
_PART_OF_QUANTIZATION = frozenset({"relu", "relu6"})
"""Kinds that only clip to a range, which a quantization does too."""


def quantized(graph: Graph) -> Graph:
    """Quantize to int8, statically; operators run in int8 if the runtime has a kernel for them.

    ``quantize`` and ``dequantize`` operators convert values. Between operators every value is int8, but an operator may
    run in float32 between its own conversions. ONNX Runtime 1.32 on x86 keeps a value in int8 only if exactly one
    operator reads it. Then:

    - a convolution or a matrix product runs in int8 if the values that it reads and writes are kept;
    - a pool, a sum, a product or a concatenation does if all of these values are kept, or none;
    - a multiplication by zero does if none is kept, since its constant never is;
    - every other operator runs in float32.

    A ReLU is part of the quantization of the value before it if nothing else reads that value; otherwise it is a
    separate pair of conversions. Before quantization, equal operators are merged, and batch norms and multiplications
    by zero are folded into weights.
    """
    return applied(lambda flat: flat_quantized(flat_merged(flat)), graph)


def flat_quantized(flat: Flat) -> Flat:
    """Apply :func:`quantized` to many merged graphs."""
    return _Quantizing(zeros_in_weights(batch_norms_folded(flat))).flat()


class _Modes:
    """How each node of many graphs runs after quantization, and which values are int8."""

    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        spec = flat.spec
        self.is_float: Bools = flat.numbers.each_spec(_is_float).astype(bool)[spec]
        """Whether each value is float32 before quantization."""
        all_float = self.is_float[flat.first_written] & (flat.n_reads(~self.is_float[flat.reads]) == 0)
        self.ranges = all_float & flat.is_of(_PART_OF_QUANTIZATION) & (flat.n_reads() == 1)
        """Whether each node only clips to a range."""
        self.int8 = all_float & ~self.ranges & self._has_kernel()
        """Whether each node runs in int8."""
        self.float32 = ~self.ranges & ~self.int8
        """Whether each node runs in float32 between conversions."""
        read = flat.reads[flat.first_edge[:-1][self.ranges]]
        self.vanishes = self.ranges.copy()
        self.vanishes[self.ranges] = flat.times_read[read] == 1
        """Whether each node becomes part of the quantization before it."""
        self.again = self.ranges & ~self.vanishes
        """Whether each node becomes a pair of conversions."""
        self.is_int8 = self.is_float | np.append(self.int8, False)[flat.writer]  # inputs have the writer -1, the last
        """Whether each value is int8 between operators."""

    def _has_kernel(self) -> Bools:
        flat = self._flat
        n_kept = flat.n_reads((flat.times_read == 1)[flat.reads]) + self._kept_after()
        all_kept, none_kept = n_kept == flat.n_reads() + 1, n_kept == 0
        runs: Bools = (
            flat.is_of(FREE)
            | (flat.is_of(frozenset({"zero"})) & none_kept)
            | (flat.is_of(_UNWEIGHTED) & (all_kept | none_kept))
            | (flat.is_of(_WEIGHTED) & all_kept)
        )
        return runs

    def _kept_after(self) -> Bools:
        """Return whether exactly one operator reads each node's result, after a ReLU that is part of it."""
        flat = self._flat
        once = flat.times_read == 1
        kept: Bools = once.copy()
        edge = np.flatnonzero(once[flat.reads] & flat.is_of(_PART_OF_QUANTIZATION)[flat.reader])
        kept[flat.reads[edge]] = once[flat.first_written[flat.reader[edge]]]
        return kept[flat.first_written]

    def same(self, which: Bools) -> Ints:
        """Return for each value the one that it equals without some of the ranges."""
        same = np.arange(self._flat.n_values)
        same[self._flat.first_written[which]] = self._flat.reads[self._flat.first_edge[:-1][which]]
        return resolved(same)


class _Quantizing:
    """Writes the quantized graphs.

    Values are numbered as before. Each has its format between operators, int8 if possible. The conversions are:

    ========  ==================================================================================
    ``head``  a ``quantize`` for each input, before the first node of its graph
    ``into``  a ``dequantize`` for each edge to a node in float32, before the node
    ``back``  a ``quantize`` for each value that a node writes in float32, after the node
    ``tail``  a ``dequantize`` for each output, after the last node of its graph
    ========  ==================================================================================

    For example, relu(sigmoid(x)), with one reader each, becomes quantize, dequantize, sigmoid, quantize, dequantize.
    """

    def __init__(self, old: Flat) -> None:
        modes = _Modes(old)
        self._old, self._numbers, self._modes = old, old.numbers, modes
        n_inputs, values = len(old.inputs), np.arange(old.n_values)
        self._nodes = np.flatnonzero(~modes.ranges)
        self._head = np.flatnonzero(modes.is_float[:n_inputs])
        self._in_float = modes.float32[old.reader] & modes.is_float[old.reads]
        self._into = np.flatnonzero(self._in_float | modes.again[old.reader])
        written = modes.float32[old.writer[n_inputs:]] & modes.is_float[n_inputs:]
        written[old.first_written[modes.again] - n_inputs] = True
        self._back = values[n_inputs:][written]
        self._tail = np.flatnonzero(modes.is_int8[old.outputs])
        self._int8_of = self._numbers.made(_as_int8, np.arange(len(self._numbers.specs)))
        # A range keeps the shape of its input.
        spec = old.spec[modes.same(modes.ranges)]
        self._spec = np.where(modes.is_int8, self._int8_of[spec], spec)
        self._float_of = self._numbers.made(_as_float, np.arange(len(self._numbers.specs)))

    def flat(self) -> Flat:
        """Return the quantized graphs."""
        old, n_inputs = self._old, len(self._old.inputs)
        op, graph, (head, into, nodes, back, tail) = self._in_order()
        first = n_inputs + np.cumsum(written := self._numbers.each(n_outputs)[op]) - written
        made = np.full(old.n_values, -1)  # written by the nodes themselves
        made[spans(old.first_written[self._nodes], old.n_written[self._nodes])] = spans(first[nodes], written[nodes])
        new = made.copy()
        new[:n_inputs] = np.arange(n_inputs)
        new[self._head], new[self._back] = first[head], first[back]
        new = new[self._modes.same(self._modes.vanishes)]
        converted = new[old.reads]  # the value that each edge reads now
        converted[self._into] = first[into]
        outputs = new[old.outputs]
        outputs[self._tail] = first[tail]
        made[old.first_written[self._modes.again]] = converted[old.first_edge[:-1][self._modes.again]]
        mine, place = ~self._modes.ranges[old.reader], np.full(len(old), -1)
        place[self._nodes] = nodes
        reader = np.concatenate([head, into, place[old.reader[mine]], back, tail])
        reads = np.concatenate(
            [self._head, new[old.reads[self._into]], converted[mine], made[self._back], new[old.outputs[self._tail]]]
        )
        order = np.argsort(reader, kind="stable")
        user, weights, stored = self._stored(place)
        serves = np.empty(len(op), np.intp)
        for numbers, of in zip((head, into, nodes, back, tail), self._served(), strict=True):
            serves[numbers] = of
        trace = None if old.trace is None else old.trace.placed(serves, self._part_of())
        return replace(
            old, op=op, graph=graph, reader=reader[order], reads=reads[order], outputs=outputs,
            user=user, weights=weights, stored=stored, trace=trace,
        )  # fmt: skip

    def _served(self) -> tuple[Ints, ...]:
        """Return the old node that each conversion serves, and that each node is: head, into, nodes, back, tail.

        A conversion of an input serves its first reader, that of an output its writer.
        """
        old = self._old
        first = np.searchsorted(old.graph, np.arange(old.n))
        order, begins = old.by_value
        readers, start = np.append(old.reader[order], 0), begins[self._head]
        unread = begins[self._head + 1] == start
        head = np.where(unread, first[old.input_graph[self._head]], readers[start])
        written = old.writer[old.outputs[self._tail]]
        tail = np.where(written < 0, first[old.output_graph[self._tail]], written)
        return head, old.reader[self._into], self._nodes, old.writer[self._back], tail

    def _part_of(self) -> Ints:
        """Return the old node that each old node is a part of: a ReLU in a quantization, of that before it."""
        old, vanishes = self._old, self._modes.vanishes
        writer = old.writer[self._modes.same(vanishes)[old.first_written]]
        return np.where(vanishes & (writer >= 0), writer, np.arange(len(old)))

    def _in_order(self) -> tuple[Ints, Ints, list[Ints]]:
        """Return all operators in order, the graph of each, and the positions of conversions and nodes among them."""
        old = self._old
        first, end = (np.searchsorted(old.graph, np.arange(old.n), side) for side in ("left", "right"))
        writer = old.writer[self._back]
        ranged = np.where(self._modes.again[writer], old.op[writer], -1)
        parts = [
            (3 * first[old.input_graph[self._head]], self._quantize(old.inputs[self._head])),
            (3 * old.reader[self._into], self._dequantize(old.reads[self._into])),
            (3 * self._nodes + 1, self._ops()),
            (3 * writer + 2, self._quantize(self._float_of[self._spec[self._back]], ranged)),
            (3 * end[old.output_graph[self._tail]] - 1, self._dequantize(old.outputs[self._tail])),
        ]
        where = np.concatenate([place for place, _ in parts])
        order = np.argsort(where, kind="stable")
        rank = np.empty(len(order), np.intp)
        rank[order] = np.arange(len(order))
        ends = np.cumsum([len(place) for place, _ in parts])[:-1]
        op = np.concatenate([op for _, op in parts])
        return op[order], old.graph[where[order] // 3], np.split(rank, ends)

    def _quantize(self, specs: Ints, ranges: Ints | None = None) -> Ints:
        """Return conversions to int8; for those of a range, ``ranges`` is its operator, else -1."""
        ranges = np.full(len(specs), -1) if ranges is None else ranges
        return self._numbers.made(_quantize, specs, ranges + 1)

    def _dequantize(self, values: Ints) -> Ints:
        return self._numbers.made(_dequantize, self._spec[values])

    def _ops(self) -> Ints:
        """Return the operators of nodes that run."""
        old, modes = self._old, self._modes
        op = np.full(len(old), -1)
        op[self._nodes] = self._numbers.made(_as_run, old.op[self._nodes], modes.int8[self._nodes].astype(np.intp))
        # A range may have changed a shape, or an int8 pool the format of its further outputs.
        spec, specs = old.spec[old.reads], self._spec[old.reads]
        specs = np.where(self._in_float, self._float_of[specs], specs)
        usual = np.where(modes.int8[old.reader], self._int8_of[spec], spec)
        odd = np.flatnonzero((specs != usual) & ~modes.ranges[old.reader])
        for node in dict.fromkeys(old.reader[odd].tolist()):
            read = specs[old.first_edge[node] : old.first_edge[node + 1]].tolist()
            as_run = self._numbers.ops[op[node]]
            op[node] = self._numbers.of_op(replace(as_run, inputs=tuple(self._numbers.specs[one] for one in read)))
        return op[self._nodes]

    def _stored(self, place: Ints) -> tuple[Ints, Ints, list[TensorSpec]]:
        """Return the nodes' uses of stored tensors, and these tensors, in int8 or unchanged, in order of first use."""
        old = self._old
        mine = place[old.user] >= 0
        user, weight = old.user[mine], old.weights[mine]
        wide = np.array(list(map(_is_wide_float, old.stored)), bool)
        in_int8 = self._modes.int8[user] & wide[weight]
        first, which = distinct_rows(weight, in_int8.astype(np.intp))
        order = np.argsort(first)
        number = np.empty(len(first), np.intp)
        number[order] = np.arange(len(first))
        kept = zip(weight[first[order]].tolist(), in_int8[first[order]].tolist(), strict=True)
        stored = [_int8(old.stored[tensor]) if becomes else old.stored[tensor] for tensor, becomes in kept]
        return place[user], number[which], stored


def _is_float(spec: TensorSpec) -> bool:
    return spec.dtype == "float32"


def _is_wide_float(spec: TensorSpec) -> bool:
    """Return whether a stored tensor becomes int8; biases do not, since runtimes add them before scaling."""
    return _is_float(spec) and len(spec.shape) > 1


def _int8(spec: TensorSpec) -> TensorSpec:
    return TensorSpec.of(spec.shape, "int8")


def _as_int8(numbers: Numbers, spec: int) -> int:
    return numbers.of_spec(_int8(numbers.specs[spec]))


def _as_float(numbers: Numbers, spec: int) -> int:
    return numbers.of_spec(TensorSpec.of(numbers.specs[spec].shape, "float32"))


def _quantize(numbers: Numbers, spec: int, ranged: int) -> int:
    read = numbers.specs[spec]
    fused = (numbers.ops[ranged - 1].kind,) if ranged else ()
    return numbers.of_op(Op.of("quantize", (read,), (_int8(read),), fused=fused))


def _dequantize(numbers: Numbers, spec: int) -> int:
    read = numbers.specs[spec]
    return numbers.of_op(Op.of("dequantize", (read,), (TensorSpec.of(read.shape, "float32"),)))


def _as_run(numbers: Numbers, op: int, int8: int) -> int:
    return numbers.of_op(_run(numbers.ops[op], bool(int8)))


@lru_cache(maxsize=65536)
def _run(op: Op, int8: bool) -> Op:
    """Return an operator in int8, or unchanged between conversions."""
    factors = op.multiplied()
    if not int8:
        return replace(op, factors=factors)
    inputs, outputs = (tuple(map(_int8, of)) for of in (op.inputs, op.outputs))
    weights, buffers = (
        tuple(_int8(spec) if _is_wide_float(spec) else spec for spec in of) for of in (op.weights, op.buffers)
    )
    return replace(op, inputs=inputs, outputs=outputs, factors=factors, weights=weights, buffers=buffers)
