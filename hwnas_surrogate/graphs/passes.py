"""Passes, ``Graph -> Graph``: remove operators that do not count, and fuse operators as a runtime does.

:func:`live`: without operators that do not change the output. :func:`fused`: with neighbours fused.

Each works on many graphs at once (:class:`Flat`); one graph is a batch of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from hwnas_surrogate.graphs.flat import Flat, applied
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.moving import moved
from hwnas_surrogate.graphs.numbering import Bools, Ints, Numbers, n_weights
from hwnas_surrogate.graphs.op import WEIGHTED, Op
from hwnas_surrogate.graphs.rewriting import constants_without_input, spread, with_constants, without_dead

__all__ = [
    "ACTIVATIONS",
    "batch_norms_folded",
    "flat_fused",
    "flat_live",
    "fused",
    "live",
    "plain_sum",
    "zeros_in_weights",
]

ACTIVATIONS = frozenset(
    {"relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "elu", "leaky_relu", "hardswish", "hardsigmoid", "mish"}
)
_OF_PRODUCTS = frozenset({"relu", "relu6", "sigmoid", "tanh", "elu", "leaky_relu", "hardsigmoid", "zero"})
"""Operators that are fused into a matrix product; ONNX Runtime runs smooth activations such as GELU by themselves."""
_ZERO_TO_ZERO = frozenset(
    {
        "avg_pool", "max_pool", "global_pool", "batch_norm", "copy", "view", "zero", "mul",
        "relu", "relu6", "tanh", "silu", "gelu", "elu", "leaky_relu", "hardswish",
    }
)  # fmt: skip
"""Kinds whose output is zero if all inputs are zero; for a batch norm, before training."""
_NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "rms_norm"})
_CONVOLUTIONS = frozenset({"conv", "conv_transpose"})


def live(graph: Graph) -> Graph:
    """Remove the operators that do not change an output of the untrained network.

    These are operators that no output depends on, and operators whose result is always zero (a multiplication by 0, and
    operators that map these zeros to zeros). A sum with zeros is replaced by its other term. A batch norm maps zeros to
    zeros before training; after training it adds a constant, which is ignored. Operators that depend on no input become
    one constant.
    """
    return applied(flat_live, graph)


def fused(graph: Graph) -> Graph:
    """Fuse neighbouring operators as inference engines do, if nothing else reads the value between them.

    - Operators that depend on no input are computed once, before: they become constants.
    - A view that shows numbers in another order, or a part of them, is a ``copy``, unless only a copy reads it: engines
      move numbers where PyTorch steps over them. The parts of one value are one operator. Products of two values
      exchange the last two dimensions by themselves.
    - Into a convolution or a matrix product go, in this order: the batch norm after it; the multiplications by numbers
      or stored tensors after it, but stored vectors only into a convolution; then one of a multiplication by zero or an
      activation, but into a matrix product no smooth one such as GELU. Into a convolution, an addition may go instead
      (it reads one more value).
    - A layer norm goes into the addition before it, and an activation into the normalisation before it.

    ONNX Runtime and OpenVINO do all of this, with exceptions: no engine fuses activations into other normalisations
    than batch norms; ONNX Runtime fuses no smooth activation into a convolution, and OpenVINO also into a matrix
    product; OpenVINO runs the addition before a layer norm by itself. Both also fuse a ReLU after an addition that a
    convolution includes, which this view keeps.
    """
    return applied(flat_fused, graph)


def flat_live(flat: Flat) -> Flat:
    """Apply :func:`live` to many graphs."""
    zero = spread(flat, flat.is_of(frozenset({"zero"})), flat.each(_keeps_zeros))
    if zero.any():
        same = _sums_with_zeros(flat, zero)
        only_same = (same != np.arange(flat.n_values))[flat.first_written]
        flat = with_constants(flat, zero, ~only_same, same)
    return constants_without_input(without_dead(flat))


def _sums_with_zeros(flat: Flat, zero: Bools) -> Ints:
    """Return for each value the one that it equals: a sum with zeros equals its other term if shapes agree."""
    of_zeros = np.append(zero, False)[flat.writer[flat.reads]]  # inputs have the writer -1, the last
    sums = flat.each(plain_sum) & (flat.n_reads() == 2) & (flat.n_reads(of_zeros) == 1)
    alike = flat.spec[flat.reads] == flat.spec[flat.first_written[flat.reader]]
    left = np.flatnonzero(sums[flat.reader] & ~of_zeros & alike)
    same = np.arange(flat.n_values)
    same[flat.first_written[flat.reader[left]]] = flat.reads[left]
    return same


def _keeps_zeros(op: Op) -> bool:
    """Return whether an operator maps zeros to zeros."""
    has_bias = any(len(spec.shape) == 1 for spec in op.weights)
    return op.kind in _ZERO_TO_ZERO or plain_sum(op) or (op.kind in WEIGHTED and not has_bias)


def plain_sum(op: Op) -> bool:
    """Return whether an operator adds the values that it reads, and nothing else."""
    return op.kind == "add" and not (op.weights or op.buffers or op.detail)


def flat_fused(flat: Flat) -> Flat:
    """Apply :func:`fused` to many graphs."""
    flat = batch_norms_folded(moved(constants_without_input(flat)))
    flat = _absorbed(flat, _CONVOLUTIONS, _scales)
    flat = _absorbed(flat, WEIGHTED - _CONVOLUTIONS, _scales_by_number)
    flat = _absorbed(flat, _CONVOLUTIONS, ACTIVATIONS | {"add", "zero"})
    flat = _absorbed(flat, WEIGHTED - _CONVOLUTIONS, _OF_PRODUCTS)
    flat = _absorbed(flat, frozenset({"add"}), frozenset({"layer_norm", "rms_norm"}))
    return _absorbed(flat, _NORMS, ACTIVATIONS)


def _scales(op: Op) -> bool:
    """Return whether an operator multiplies by a number or stored tensors, which can be folded into weights."""
    return op.kind in ("mul", "div") and len(op.inputs) == 1


def _scales_by_number(op: Op) -> bool:
    return _scales(op) and not (op.weights or op.buffers)


def batch_norms_folded(flat: Flat) -> Flat:
    """Fold batch norms into the weights of the convolutions and matrix products that only they read."""
    return _absorbed(flat, WEIGHTED, frozenset({"batch_norm"}))


def zeros_in_weights(flat: Flat) -> Flat:
    """Fold multiplications by zero into the weights of the convolutions and matrix products that only they read."""
    return _absorbed(flat, WEIGHTED, frozenset({"zero"}))


def _absorbed(flat: Flat, into: frozenset[str], what: frozenset[str] | Callable[[Op], bool]) -> Flat:
    """Fuse operators of some kinds with their only reader, if it is of certain kinds or has a property.

    The fused operator takes the reader's place in the order, since the reader may read later values. A reader that
    could be fused into several operators is fused into the first that it reads.
    """
    fusible = flat.is_of(what) if isinstance(what, frozenset) else flat.each(what)
    edge = np.flatnonzero((flat.times_read[flat.reads] == 1) & fusible[flat.reader])
    takes = np.append(flat.is_of(into) & (flat.n_written == 1), False)  # inputs have the writer -1, the last
    edge = edge[takes[flat.writer[flat.reads[edge]]]]
    base, node = flat.writer[flat.reads[edge]], flat.reader[edge]
    made = flat.numbers.made(_one, flat.op[base], flat.op[node], edge - flat.first_edge[node])
    fits = np.flatnonzero(made >= 0)
    fits = fits[np.append(True, node[fits][1:] != node[fits][:-1])[: len(fits)]]
    return _joined(flat, base[fits], node[fits], edge[fits], made[fits]) if len(fits) else flat


def _joined(flat: Flat, base: Ints, node: Ints, edge: Ints, made: Ints) -> Flat:
    """Replace pairs of nodes that are connected by an edge by fused operators."""
    op, keep, left, place = (
        flat.op.copy(),
        np.ones(len(flat), bool),
        np.ones(len(flat.reads), bool),
        np.arange(len(flat)),
    )
    op[node], keep[base], left[edge], place[base] = made, False, False, node
    reader, user = place[flat.reader[left]], place[flat.user]
    order = np.argsort(reader, kind="stable")
    buffer = flat.which_use >= flat.numbers.each(n_weights)[flat.op[flat.user]]
    stored = np.lexsort((buffer, user))  # the weights of both, then their buffers
    edges, uses = (reader[order], flat.reads[left][order]), (user[stored], flat.weights[stored])
    return flat.rewritten(keep, op, edges, uses, into=place)


def _one(numbers: Numbers, first: int, second: int, place: int) -> int:
    """Return the fused operator of two; -1 if they can't be fused."""
    one = _with(numbers.ops[first], numbers.ops[second], place)
    return -1 if one is None else numbers.of_op(one)


@lru_cache(maxsize=65536)
def _with(base: Op, op: Op, place: int) -> Op | None:
    """Return an operator fused with the reader of its result; None if the reader is not elementwise."""
    if op.outputs != base.outputs or any(spec != base.outputs[0] for spec in op.inputs):
        return None
    return replace(
        base,
        inputs=(*base.inputs, *op.inputs[:place], *op.inputs[place + 1 :]),
        weights=(*base.weights, *op.weights),
        buffers=(*base.buffers, *op.buffers),
        fused=(*base.fused, op.kind, *op.fused),
        factors=base.multiplied(),
        detail=" ".join(filter(None, (base.detail, op.detail))),
    )
