"""Physical quantities of layers, summed over a network: columns whose coefficients few measurements determine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.features.layer_sums import is_layer, root
from hwnas_surrogate.graphs import NetworkBatch, Op, View
from hwnas_surrogate.graphs.op import FREE
from hwnas_surrogate.graphs.passes import ACTIVATIONS
from hwnas_surrogate.spaces import SearchSpace

__all__ = ["LayerPhysics", "PhysicsView", "counts_in", "operator_values", "view_columns"]

PhysicsView = View | Literal["computed"]

_DENSE = frozenset({"conv", "conv_transpose", "matmul", "attention"})
"""Kinds with multiply-adds."""
_KINDS = ("matmul", "pool", "global_pool", "norm", "copy", "zero", "attention", "other")
"""Kinds of layers other than convolutions, which are the reference."""
_KIND_OF: Mapping[str, str] = MappingProxyType(
    {
        "conv": "", "conv_transpose": "", "avg_pool": "pool", "max_pool": "pool",
        "batch_norm": "norm", "layer_norm": "norm", "group_norm": "norm",
        **{kind: kind for kind in ("matmul", "global_pool", "copy", "zero", "attention")},
    }
)  # fmt: skip
_APART = 4.0
"""Distance between layers of different kinds."""
_REACH = 6.0
"""Length scale of the kernel over layers, in the units of :func:`_description`."""
_TYPICAL = np.array([8.0, 8.0, 5.0, 4.0, 1.0, 1.0, 0.25, 1.0])
"""Description of a typical convolution of the published networks, rounded: the centre of the corrections."""
_FINE = 2.0**40
"""Corrections are rounded to multiples of 1 over this, so that their sums are the same in any batch."""
_SMALLEST = 0.02
"""Smallest prior share of a layer, relative to an average layer: layers without computation cost time too."""

_QUANTITIES = (
    "macs", "macs_depthwise", "layers", "outputs", "params", "moved_bytes",
    "sqrt_macs", "sqrt_macs_depthwise", "sqrt_outputs", "sqrt_params",
)  # fmt: skip
_ENGINE_QUANTITIES = (
    "macs", "macs_int8", "layers", "outputs", "outputs_int8", "params", "moved_bytes", "converted_bytes",
    "sqrt_macs", "sqrt_macs_int8",
)  # fmt: skip
AVERAGE_NETWORK = np.array(
    [
        56123761.777777776, 3962737.7777777775, 76.11111111111111, 1020423.0000000001, 1129756.3333333335,
        1709688.888888889, 43058.027922162306, 5194.769546864137, 5770.124457273913, 5122.505259138023,
    ]
)  # fmt: skip
"""The quantities of an average network: the mean of NAS-Bench-201's and FBNet's, under their first published configs.

They are constants: columns must not change if spaces are added.
"""
AVERAGE_LAYERS = 86.0
"""The number of layers of such a network, including identities."""
_CONVERSIONS = ("quantize", "dequantize")
_ENGINES = ("fused", "quantized")
"""Views of operators as an inference engine runs them."""
_FLOAT_OP_KINDS = ("pointwise", "conv", "depthwise", "matmul", "pool", "zero", "add", "other")
_OP_KINDS = (*_FLOAT_OP_KINDS, *(f"int8_{kind}" for kind in _FLOAT_OP_KINDS), "activation", "fused_add", "convert")
"""Kinds of operators in an inference engine: in float, in int8, and others.

``fused_add`` is an addition that is fused into the convolution before it, which reads one more value; ``convert``
quantizes a value to int8 or dequantizes it.
"""
_SIZES = ("macs", "bytes", "params", "height", "kernel", "depthwise", "grouped", "stride")
_PAIRS = [(first, second) for first in range(len(_SIZES)) for second in range(first, len(_SIZES))]
_CORRECTIONS = (
    "all",
    *_SIZES,
    *_KINDS,
    *(f"{_SIZES[first]}*{_SIZES[second]}" for first, second in _PAIRS),
)


class LayerPhysics(Encoder):
    """Sums of physical quantities over a network's layers, the same in any space and config.

    There are two groups per view:

    - ``physics``: quantities that take time on any device. They are multiply-adds (dense, depthwise), calls, outputs
      written, parameters read, bytes that are only moved, and square roots of the per-layer quantities (small layers
      are less efficient).
    - ``correction``: the square root of each layer's share in those, times a quadratic function of its logarithmic
      sizes and its kind. Their coefficients are small: the deviations of a device's layers from physics. The columns
      are the terms up to second order of a Gaussian kernel over layers. A Gaussian prior on their coefficients is
      therefore a Gaussian process over layers (additive over the network, as in [1]_).

    The views ``fused`` and ``quantized`` describe the operators of an inference engine. Their ``physics`` separates
    int8 from float, and their ``correction`` counts the operators of each kind.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for networks of any kind. The columns are the same.
    views : sequence of {"all", "computed", "live", "folded", "fused", "quantized"}, default=all but "live"
        Which layers to sum over; ``"computed"`` is all layers except those that only write zeros, which accelerators
        don't run.

    References
    ----------
    .. [1] Duvenaud, Nickisch and Rasmussen, "Additive Gaussian processes", NIPS 2011.

    Examples
    --------
    >>> LayerPhysics().frame([0])["physics_all:layers"].tolist()
    [57.0]
    """

    def __init__(
        self,
        space: str | SearchSpace | None = "nasbench201",
        views: Sequence[PhysicsView] = ("all", "computed", "folded", "fused", "quantized"),
    ) -> None:
        super().__init__(space)
        self.views = views

    def _columns(self) -> Iterator[Column]:
        for view in self.views:
            yield from view_columns(view)

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        start = 0
        done: dict[tuple[View, bool], Features] = {}
        for view in self.views:
            of = batch.same_view("all" if view == "computed" else view)
            ops = batch.distinct(of)
            left_out = view == "computed" and any(op.kind == "zero" for op in ops)
            values = operator_values(ops, view)
            group = out[:, start : start + values.shape[1]]
            group[:] = done[of, left_out] if (of, left_out) in done else batch.sums(values, of)
            done[of, left_out] = group
            start += values.shape[1]


def view_columns(view: PhysicsView) -> tuple[Column, ...]:
    """Return the columns of a view: physics, then corrections."""
    quantities, terms = (_ENGINE_QUANTITIES, _OP_KINDS) if view in _ENGINES else (_QUANTITIES, _CORRECTIONS)
    return (
        *(Column.physics(view, quantity) for quantity in quantities),
        *(Column.correction(view, term) for term in terms),
    )


def operator_values(ops: tuple[Op, ...], view: PhysicsView) -> npt.NDArray[np.float64]:
    """Return what each of L operators adds to the columns of a view, shape (L, columns).

    The operators are those that the network runs in this view (``computed``: those of ``all``). A network's columns are
    the sums over its operators.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> ops = get_space("nasbench201").batch([0]).distinct("fused")
    >>> operator_values(ops, "fused").shape == (len(ops), len(view_columns("fused")))
    True
    """
    values = _engine_values(ops) if view in _ENGINES else _layer_values(ops)
    if view != "computed" or not any(op.kind == "zero" for op in ops):
        return values
    return np.where(np.array([counts_in(op, view) for op in ops], bool)[:, None], values, 0.0)


def counts_in(op: Op, view: PhysicsView) -> bool:
    """Return whether an operator adds anything to the columns of a view.

    In views of layers, activations and additions are part of the layer before them. In views of an inference engine,
    they count unless they are fused.
    """
    if view in _ENGINES:
        return op.kind not in FREE and op.kind != "constant"
    return is_layer(op) and not (view == "computed" and op.kind == "zero")


@lru_cache(maxsize=256)
def _layer_values(ops: tuple[Op, ...]) -> npt.NDArray[np.float64]:
    """Return each operator's addends to the columns of a view of layers, shape (L, columns)."""
    physics = np.array([_physics(op) for op in ops], np.float64).reshape(-1, len(_QUANTITIES))
    described = np.array([_description(op) for op in ops]).reshape(-1, len(_SIZES) + len(_KINDS))
    away = described - np.append(_TYPICAL, np.zeros(len(_KINDS)))
    sizes = away[:, : len(_SIZES)] / _REACH
    pairs = [sizes[:, i] * sizes[:, j] / (math.sqrt(2) if i == j else 1.0) for i, j in _PAIRS]
    terms = np.column_stack([np.ones(len(ops)), away / _REACH, *pairs])
    near = np.exp(-0.5 * ((away / _REACH) ** 2).sum(axis=1))
    corrections = (np.sqrt(_shares(physics)) * near)[:, None] * terms
    values = np.column_stack([physics, np.round(corrections * _FINE) / _FINE])
    values[[not counts_in(op, "all") for op in ops]] = 0.0
    values.setflags(write=False)
    return values


@lru_cache(maxsize=256)
def _engine_values(ops: tuple[Op, ...]) -> npt.NDArray[np.float64]:
    """Return each operator's addends to the columns of an inference engine's view, shape (L, columns)."""
    physics = np.array([_engine_physics(op) for op in ops], np.float64).reshape(-1, len(_ENGINE_QUANTITIES))
    kinds = np.array([[kind in _op_kinds(op) for kind in _OP_KINDS] for op in ops], np.float64).reshape(
        -1, len(_OP_KINDS)
    )
    values = np.column_stack([physics, kinds])
    values[[not counts_in(op, "fused") for op in ops]] = 0.0
    values.setflags(write=False)
    return values


@lru_cache(maxsize=65536)
def _engine_physics(op: Op) -> tuple[float, ...]:
    dense, in_int8, converts = op.kind in _DENSE, _in_int8(op), op.kind in _CONVERSIONS
    macs = (0, op.macs) if in_int8 else (op.macs, 0)
    made = _numbers_written(op) if dense else 0
    moved = 0 if dense or converts else op.activation_bytes
    if dense and "add" in op.fused:  # the addend is read too
        moved = sum(spec.bytes for spec in op.inputs[len(op.multiplied()) - bool(op.weights) :])
    elif converts and op.fused:  # an activation between conversions reads and writes every number
        moved = 2 * op.inputs[0].bytes
    return (
        *macs,
        1 + (converts and len(op.fused)),
        *((0, made) if in_int8 else (made, 0)),
        op.params,
        moved,
        op.activation_bytes if converts else 0,
        *(root(each) for each in macs),
    )


def _in_int8(op: Op) -> bool:
    return op.dtype in ("int8", "uint8") and op.kind != "quantize"


@lru_cache(maxsize=65536)
def _op_kinds(op: Op) -> frozenset[str]:
    """Return the kinds of an operator: its own, and those of operators fused into it."""
    if op.kind in _CONVERSIONS:
        return frozenset({"convert", *(["activation"] if op.fused else [])})
    if op.kind in ACTIVATIONS:
        return frozenset({"activation"})
    if op.kind in ("conv", "conv_transpose"):
        kind = "depthwise" if op.depthwise else "pointwise" if math.prod(op.kernel) == 1 else "conv"
    else:
        kind = {"attention": "matmul", "global_pool": "pool"}.get(op.kind, _KIND_OF.get(op.kind, op.kind))
        kind = kind if kind in _FLOAT_OP_KINDS else "other"
    return frozenset({f"int8_{kind}" if _in_int8(op) else kind, *(["fused_add"] if "add" in op.fused else [])})


def _shares(physics: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the prior variance of each operator's deviation from physics, (L, quantities) -> (L,).

    It is proportional to the operator's share in an average network plus a constant, so that small operators may
    deviate too.
    """
    share: npt.NDArray[np.float64] = (physics / AVERAGE_NETWORK).mean(axis=1) + _SMALLEST / AVERAGE_LAYERS
    return share / AVERAGE_LAYERS


def _numbers_written(op: Op) -> int:
    return sum(spec.numel for spec in op.outputs)


@lru_cache(maxsize=65536)
def _physics(op: Op) -> tuple[float, ...]:
    dense, runs = op.kind in _DENSE, op.kind not in FREE and op.kind != "constant"
    macs, narrow = (0, op.macs) if op.depthwise else (op.macs, 0)
    outputs = _numbers_written(op) if runs else 0
    moved = 0 if dense else op.activation_bytes
    roots = (root(value) for value in (macs, narrow, outputs if dense else 0, op.params if dense else 0))
    return macs, narrow, runs, outputs, op.params, moved, *roots


@lru_cache(maxsize=65536)
def _description(op: Op) -> tuple[float, ...]:
    """Describe a layer: half the log2 of its sizes, log2 of its height, kernel, stride, and indicators of its kind."""
    sizes = (math.log2(max(size, 1)) for size in (op.macs, op.activation_bytes, op.params))
    pixels, n_dimensions = _positions(op)
    height = math.log2(max(pixels, 1)) / n_dimensions
    kernel, stride = (2**height, 2**height) if op.kind == "global_pool" else (_mean(op.kernel), _mean(op.stride))
    kind = _KIND_OF.get(op.kind, "other")
    return (
        *(size / 2 for size in sizes),
        height,
        kernel / 2,
        3.0 * op.depthwise,
        2.0 * (op.kind == "conv" and op.groups > 1 and not op.depthwise),
        stride,
        *(_APART * (kind == other) for other in _KINDS),
    )


def _positions(op: Op) -> tuple[int, int]:
    """Return the number of positions that an operator reads, and their number of dimensions.

    Operators with a window read (batch, channels, ...). Images are the last two of four dimensions or more. Sequences
    have their channels last. They count as two dimensions, so that an image and the sequence of its patches are alike.
    For example, an input of shape (1, 16, 32, 32) of a convolution has 1024 positions in 2 dimensions.
    """
    shape = op.inputs[0].shape if op.inputs else ()
    if op.kernel or op.kind in ("global_pool", "batch_norm"):
        return math.prod(shape[2:]), max(len(shape) - 2, 1)
    if len(shape) > 3 and op.kind not in ("matmul", "attention"):
        return math.prod(shape[-2:]), 2
    return math.prod(shape[1:-1]), 2


def _mean(sizes: tuple[int, ...]) -> float:
    """Return the geometric mean of a window's sizes; 1 without a window."""
    return math.prod(sizes) ** (1 / len(sizes)) if sizes else 1.0
