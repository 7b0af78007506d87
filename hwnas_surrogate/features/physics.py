"""What a layer costs by its physics, summed over a network: the columns that few measurements can price."""

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

__all__ = ["LayerPhysics"]

PhysicsView = View | Literal["computed"]

_DENSE = frozenset({"conv", "conv_transpose", "matmul", "attention"})
"""Kinds that multiply."""
_KINDS = ("matmul", "pool", "global_pool", "norm", "copy", "zero", "attention", "other")
"""Kinds of layers beside convolutions, which they are compared with."""
_KIND_OF: Mapping[str, str] = MappingProxyType(
    {
        "conv": "", "conv_transpose": "", "avg_pool": "pool", "max_pool": "pool",
        "batch_norm": "norm", "layer_norm": "norm", "group_norm": "norm",
        **{kind: kind for kind in ("matmul", "global_pool", "copy", "zero", "attention")},
    }
)  # fmt: skip
_APART = 4.0
"""Layers of different kinds are this far from one another."""
_REACH = 6.0
"""Length scale of the kernel over layers, in the units of :func:`_description`."""
_TYPICAL = np.array([8.0, 8.0, 5.0, 4.0, 1.0, 1.0, 0.25, 1.0])
"""Description of a typical convolution of the published networks, rounded: the corrections are centred there."""
_FINE = 2.0**40
"""Corrections are multiples of one part of this many, so that their sums are the same in any batch."""
_SMALLEST = 0.02
"""Even a layer that computes nothing may cost this part of what an average layer does."""

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

They are numbers, not computed: columns must not change with what other spaces there are.
"""
AVERAGE_LAYERS = 86.0
"""The layers of such a network, identities too."""
_CONVERSIONS = ("quantize", "dequantize")
_ENGINES = ("fused", "quantized")
"""Views of operators as an inference engine runs them."""
_FLOAT_OP_KINDS = ("pointwise", "conv", "depthwise", "matmul", "pool", "zero", "add", "other")
_OP_KINDS = (*_FLOAT_OP_KINDS, *(f"int8_{sort}" for sort in _FLOAT_OP_KINDS), "activation", "fused_add", "convert")
"""Sorts of operators: in float, in int8, and those that are neither.

``fused_add`` is an addition that the convolution before it takes on, which reads one more value; ``convert`` turns a
value to int8 or back.
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
    """Sums over a network's layers that a handful of measurements can put a price to, in any space and config.

    Per view two groups. ``physics``: what takes time whatever the device is: multiply-adds (dense, depthwise), calls,
    outputs written, parameters read, bytes that are only moved, and square roots of the per-layer quantities (small
    layers are less efficient). ``correction``: for each layer its share in those, times a quadratic function of its
    logarithmic sizes and its kind: the columns whose small coefficients say by how much layers of one sort are dearer
    on a device than their physics tells. They are the terms up to the second order of a Gaussian kernel over layers, so
    that a Gaussian prior on their coefficients is a Gaussian process over layers (additive over the network, as in
    [1]_).

    The views ``fused`` and ``quantized`` are of operators as an inference engine runs them: their ``physics`` keeps
    int8 and float apart, and their ``correction`` is how many operators of each sort there are.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for networks of any kind. The columns are the same.
    views : sequence of {"all", "computed", "live", "folded", "fused", "quantized"}, default=all but "live"
        Which layers to sum over; ``"computed"`` is all but those that only write zeros (accelerators don't run these,
        whatever depends on them).

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
            quantities, terms = (_ENGINE_QUANTITIES, _OP_KINDS) if view in _ENGINES else (_QUANTITIES, _CORRECTIONS)
            yield from (Column.physics(view, quantity) for quantity in quantities)
            yield from (Column.correction(view, term) for term in terms)

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        start = 0
        done: dict[tuple[View, bool], Features] = {}
        for view in self.views:
            of = batch.same_view("all" if view == "computed" else view)
            ops = batch.distinct(of)
            left_out = view == "computed" and any(op.kind == "zero" for op in ops)
            values = _engine_values(ops) if view in _ENGINES else _layer_values(ops)
            if left_out:
                values = np.where(np.array([op.kind == "zero" for op in ops], bool)[:, None], 0.0, values)
            mine = out[:, start : start + values.shape[1]]
            mine[:] = done[of, left_out] if (of, left_out) in done else batch.sums(values, of)
            done[of, left_out] = mine
            start += values.shape[1]


@lru_cache(maxsize=256)
def _layer_values(ops: tuple[Op, ...]) -> npt.NDArray[np.float64]:
    """Return what each operator adds to the columns of a view of layers, shape (L, columns)."""
    physics = np.array([_physics(op) for op in ops], np.float64).reshape(-1, len(_QUANTITIES))
    described = np.array([_description(op) for op in ops]).reshape(-1, len(_SIZES) + len(_KINDS))
    away = described - np.append(_TYPICAL, np.zeros(len(_KINDS)))
    sizes = away[:, : len(_SIZES)] / _REACH
    pairs = [sizes[:, i] * sizes[:, j] / (math.sqrt(2) if i == j else 1.0) for i, j in _PAIRS]
    terms = np.column_stack([np.ones(len(ops)), away / _REACH, *pairs])
    near = np.exp(-0.5 * ((away / _REACH) ** 2).sum(axis=1))
    corrections = (np.sqrt(_shares(physics)) * near)[:, None] * terms
    values = np.column_stack([physics, np.round(corrections * _FINE) / _FINE])
    values[[not is_layer(op) for op in ops]] = 0.0
    values.setflags(write=False)
    return values


@lru_cache(maxsize=256)
def _engine_values(ops: tuple[Op, ...]) -> npt.NDArray[np.float64]:
    """Return what each operator adds to the columns of an inference engine's view, shape (L, columns)."""
    physics = np.array([_engine_physics(op) for op in ops], np.float64).reshape(-1, len(_ENGINE_QUANTITIES))
    sorts = np.array([[sort in _op_kinds(op) for sort in _OP_KINDS] for op in ops], np.float64).reshape(
        -1, len(_OP_KINDS)
    )
    values = np.column_stack([physics, sorts])
    values[[op.kind in FREE or op.kind == "constant" for op in ops]] = 0.0
    values.setflags(write=False)
    return values


@lru_cache(maxsize=65536)
def _engine_physics(op: Op) -> tuple[float, ...]:
    dense, in_int8, converts = op.kind in _DENSE, _in_int8(op), op.kind in _CONVERSIONS
    macs = (0, op.macs) if in_int8 else (op.macs, 0)
    made = _numbers_written(op) if dense else 0
    moved = 0 if dense or converts else op.activation_bytes
    if dense and "add" in op.fused:  # what is added is read as well
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
    """Return the sorts of an operator: what it is, and what it takes on."""
    if op.kind in _CONVERSIONS:
        return frozenset({"convert", *(["activation"] if op.fused else [])})
    if op.kind in ACTIVATIONS:
        return frozenset({"activation"})
    if op.kind in ("conv", "conv_transpose"):
        sort = "depthwise" if op.depthwise else "pointwise" if math.prod(op.kernel) == 1 else "conv"
    else:
        sort = {"attention": "matmul", "global_pool": "pool"}.get(op.kind, _KIND_OF.get(op.kind, op.kind))
        sort = sort if sort in _FLOAT_OP_KINDS else "other"
    return frozenset({f"int8_{sort}" if _in_int8(op) else sort, *(["fused_add"] if "add" in op.fused else [])})


def _shares(physics: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the prior variance of what each operator costs beyond its physics, (L, quantities) -> (L,).

    Between the operator's share in a network, which leaves small ones no freedom, and the same variance for all.
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
    """Describe a layer by numbers (sizes two octaves to the unit, the height one), and its kind."""
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
    """Return at how many positions an operator reads, and in how many dimensions these lie.

    What has a window reads (batch, channels, ...). Images are the last two of four dimensions or more. Sequences have
    their channels last, and count as two dimensions, so that an image and its patches in a row are alike.
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
