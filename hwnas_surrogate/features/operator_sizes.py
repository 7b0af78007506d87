"""What is known of one operator: its sizes and kind for trees, its physical quantities for a first estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.features.operator_counts import KINDS, kind_of
from hwnas_surrogate.graphs import Op, TensorSpec
from hwnas_surrogate.graphs.op import FREE

__all__ = [
    "N_QUANTITIES",
    "N_SIZES",
    "N_TERMS",
    "REFINES",
    "UNIT_COSTS",
    "operator_quantities",
    "operator_sizes",
    "operator_terms",
]

Features = npt.NDArray[np.float64]

_DENSE = ("pointwise", "conv", "depthwise", "grouped", "matmul", "attention")
"""Kinds with multiply-adds: their time follows from these, from what they write, from weights, and from the call."""
_OTHERS = tuple(kind for kind in KINDS if kind not in _DENSE)
"""Kinds whose time follows from the bytes that they move, and from the call."""
_FUNCTIONS = ("relu", "relu6", "silu", "hard_swish", "gelu", "sigmoid", "hard_sigmoid", "tanh")
"""Activations that have a column each, alone or fused: some take a maximum, others an exponential."""
_BLOCKS = (4, 8, 16)
"""Runtimes compute channels in blocks of so many, the width of vector registers."""
_CHANNELS_SECOND = ("conv", "conv_transpose", "global_pool", "batch_norm")
_NARROW = 64
"""Numbers of channels up to this have a column without the logarithm: kernels are chosen by them."""


def operator_sizes(ops: Sequence[Op]) -> Features:
    """Return the sizes and kinds of L operators, for models that split by thresholds: shape (L, k).

    Binary logarithms of multiply-adds, bytes, parameters, positions and channels; the window; how channels fit into the
    blocks that runtimes compute; the kind, and what is fused; whether int8 is read and written.
    """
    return np.array([_sizes(op) for op in ops], np.float64).reshape(len(ops), N_SIZES)


def operator_quantities(ops: Sequence[Op]) -> Features:
    """Return the physical quantities of L operators, of all kinds and apart for each, (L, q): none is negative.

    :data:`REFINES` says which column each of the others is a part of. With a non-negative cost per unit, they give a
    first estimate of an operator's time. Operators that do nothing, such as views, have none.
    """
    return np.array([_quantities(op) for op in ops], np.float64).reshape(len(ops), N_QUANTITIES)


@lru_cache(maxsize=65536)
def _quantities(op: Op) -> tuple[float, ...]:
    kind, written = kind_of(op), sum(spec.numel for spec in op.outputs)
    if op.kind in FREE or op.kind == "constant":
        kind = ""
    dense, runs = kind in _DENSE, bool(kind)
    row: list[float] = [op.macs, dense * written, dense * op.params, (runs and not dense) * op.activation_bytes, runs]
    for each in _DENSE:
        row += (op.macs, written, op.params, 1) if kind == each else (0, 0, 0, 0)
    for each in _OTHERS:
        row += (op.activation_bytes, 1) if kind == each else (0, 0)
    return tuple(map(float, row))


@lru_cache(maxsize=65536)
def _sizes(op: Op) -> tuple[float, ...]:
    read, written, positions_read, positions, width = _channels(op)
    kernel, stride, dilation = op.kernel or (1,), op.stride or (1,), op.dilation or (1,)
    each = read // op.groups
    return (
        *map(_log2, (op.macs, op.bytes_read, op.bytes_written, op.params, positions_read, positions, width)),
        *map(_log2, (read, written, each, op.groups, math.prod(kernel), math.prod(stride))),
        _log2(op.macs) - _log2(op.activation_bytes + 4 * op.params),
        kernel[0], kernel[-1], dilation[0], len(op.inputs), len(op.outputs), len(op.outputs[0].shape),
        *(size % block == 0 for size in (read, written) for block in _BLOCKS),
        *(-(-size // 16) * 16 / max(size, 1) for size in (read, written)),
        min(written, _NARROW), min(each, _NARROW), width % 8 == 0,
        *(kind_of(op) == kind for kind in KINDS),
        *(name == op.kind or name in op.fused for name in _FUNCTIONS),
        "add" in op.fused, "mul" in op.fused, len(op.fused),
        *(op.kind == kind for kind in ("conv_transpose", "layer_norm", "max_pool", "concat")),
        *(bool(specs) and specs[0].dtype == "int8" for specs in (op.inputs, op.outputs)),
        *(op.kind == kind for kind in ("quantize", "dequantize")),
    )  # fmt: skip


def _channels(op: Op) -> tuple[int, int, int, int, int]:
    """Return channels read and written, positions read and written, and the width of the result."""
    read, written = (op.inputs[0].shape if op.inputs else ()), op.outputs[0].shape
    if op.kind == "matmul":
        columns, numel = (written[-1] if written else 1), op.outputs[0].numel
        rows = numel // max(columns, 1)
        return op.macs // max(numel, 1), columns, rows, rows, rows
    of_image = op.kernel or op.kind in _CHANNELS_SECOND or len(written) == 4
    if of_image and min(len(read), len(written)) > 1:
        last = written[-1] if len(written) > 2 else 1
        return read[1], written[1], math.prod(read[2:]), math.prod(written[2:]), last
    columns = written[-1] if written else 1
    rows = op.outputs[0].numel // max(columns, 1)
    return (read[-1] if read else 1), columns, rows, rows, rows


def _log2(size: float) -> float:
    return math.log2(max(size, 1))


_ANY = Op("relu", (TensorSpec((1,)),), (TensorSpec((1,)),))
N_SIZES, N_QUANTITIES = len(_sizes(_ANY)), len(_quantities(_ANY))
"""The numbers of columns."""
REFINES = (-1,) * 5 + (0, 1, 2, 4) * len(_DENSE) + (3, 4) * len(_OTHERS)
"""For each physical quantity, the one of all kinds that it is a part of; -1 for these themselves."""
_UNITS = (1.0, 10.0, 4.0, 2.5, 1e5)
"""Times of a value written, a parameter read, a byte moved and a call of an operator, in multiply-adds: the orders of
magnitude of a processor core that does 25 a nanosecond and reads 10 bytes a nanosecond from memory."""
UNIT_COSTS = np.array([_UNITS[of if of >= 0 else number] for number, of in enumerate(REFINES)])
"""A rough cost of a unit of each physical quantity, in multiply-adds."""
_N_LOGS = 14
"""The first sizes are logarithms; those that follow count something, or are flags."""
_CENTRES = np.array([20, 16, 16, 10, 10, 10, 4, 6, 6, 5, 0, 1.5, 0, 4, 2, 2, 1, 1.5, 1, 4], np.float64)
_SPREADS = np.array([4, 3, 3, 4, 4, 4, 2, 2, 2, 2, 2, 2, 1, 3, 2, 2, 1, 1, 1, 1], np.float64)
"""Middle and spread of the first sizes of operators in common networks, rounded."""
_RATIOS, _RATIO_CENTRE, _RATIO_SPREAD = slice(26, 28), 1.2, 0.5
_NARROWS, _NARROW_CENTRE, _NARROW_SPREAD = slice(28, 30), 40.0, 25.0
_WITHIN = 3.0
"""Standardised sizes are clipped to this."""
_BY_KIND = (0, 2, 6, 7, 8)
"""Sizes whose effect differs by kind: multiply-adds, bytes written, width, channels read and written."""
_FIRST_KIND, _INT8 = 31, slice(-4, None)
_LINEAR_SD, _PRODUCT_SD, _KIND_SD, _FLAG_SD, _INT8_SD = 0.15, 0.05, 0.3, 0.15, 0.5
"""Prior standard deviations of the terms' coefficients; halving and doubling one changes the error by .7 points
at most."""


def operator_terms(sizes: Features) -> Features:
    """Return the terms of the logarithm of operators' costs: (L, k) sizes of :func:`operator_sizes` -> (L, t).

    Standardised sizes, products of the logarithmic ones, effects of some within each kind, flags, and what reading int8
    changes for kinds and sizes, each times the prior standard deviation of its coefficient.
    """
    values = sizes.copy()
    first = slice(0, len(_CENTRES))
    values[:, first] = (values[:, first] - _CENTRES) / _SPREADS
    values[:, _RATIOS] = (values[:, _RATIOS] - _RATIO_CENTRE) / _RATIO_SPREAD
    values[:, _NARROWS] = (values[:, _NARROWS] - _NARROW_CENTRE) / _NARROW_SPREAD
    values = np.clip(values, -_WITHIN, _WITHIN)
    one, other = np.triu_indices(_N_LOGS)
    products = values[:, one] * values[:, other] * np.where(one == other, math.sqrt(0.5), 1.0)
    kinds = values[:, _FIRST_KIND : _FIRST_KIND + len(KINDS)]
    by_kind = (kinds[:, :, None] * values[:, None, _BY_KIND]).reshape(len(values), len(KINDS) * len(_BY_KIND))
    int8 = values[:, _INT8]
    logs, flags, reads_int8 = values[:, :_N_LOGS], values[:, _N_LOGS : _INT8.start], int8[:, :1]
    of_int8 = [_INT8_SD * int8, _KIND_SD * reads_int8 * kinds, _LINEAR_SD * reads_int8 * logs]
    return np.column_stack([_LINEAR_SD * logs, _PRODUCT_SD * products, _KIND_SD * by_kind, _FLAG_SD * flags, *of_int8])


N_TERMS = operator_terms(np.zeros((1, N_SIZES))).shape[1]
"""The number of terms."""
