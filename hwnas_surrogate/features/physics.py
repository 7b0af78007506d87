"""What a layer costs by its physics, summed over a network: the columns that few measurements can price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.spaces import Layer, NetworkConfig, SearchSpace, View
from hwnas_surrogate.spaces.layers import summable
from hwnas_surrogate.spaces.operators import SORTS

__all__ = ["LayerPhysics"]

Calls = tuple[tuple[Layer, int], ...]
PhysicsView = View | Literal["computed", "merged", "quantized"]

_FLOAT32_BYTES = 4
_KINDS = ("linear", "avg_pool", "global_pool", "batch_norm", "shuffle", "zero", "identity")
"""Every kind but ``conv``, which the others are told from."""
_APART = 4.0
"""Layers of different kinds are this far from one another."""
_REACH = 6.0
"""Length scale of the kernel over layers, in the units of :func:`_description`."""
_TYPICAL = np.array([8.0, 8.0, 5.0, 4.0, 1.0, 1.0, 0.25, 1.0])
"""Description of a typical convolution of the published networks, rounded: the corrections are centred there."""
_SMALLEST = 0.02
"""Even a layer that computes nothing may cost this part of what an average layer does."""

_QUANTITIES = (
    "macs", "macs_depthwise", "layers", "outputs", "params", "moved_bytes",
    "sqrt_macs", "sqrt_macs_depthwise", "sqrt_outputs", "sqrt_params",
)  # fmt: skip
_OPERATOR_QUANTITIES = (
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
_OPERATORS = ("merged", "quantized")
"""Views of operators that an inference engine runs."""
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

    The views ``merged`` and ``quantized`` are of operators that an inference engine runs (:class:`Operators`): their
    ``physics`` tells int8 from float32, and their ``correction`` is how many operators of each sort a cell has. Both
    are 0 in spaces without any.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space. The columns are the same in all spaces.
    views : sequence of {"all", "computed", "live", "compiled", "merged", "quantized"}, default=all but "live"
        Which layers to sum over; ``"computed"`` is all but those that only pass on or write zeros (accelerators don't
        run these, whatever depends on them).

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
        space: str | SearchSpace = "nasbench201",
        views: Sequence[PhysicsView] = ("all", "computed", "compiled", "merged", "quantized"),
    ) -> None:
        super().__init__(space)
        self.views = views

    def _names(self, space: SearchSpace) -> list[str]:
        return [
            f"{group}_{view}:{name}"
            for view in self.views
            for group, names in zip(("physics", "correction"), _columns(view), strict=True)
            for name in names
        ]

    def _encode(self, space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, out: Features) -> None:
        start = 0
        for view in self.views:
            physics, corrections = map(len, _columns(view))
            mine = out[:, start : start + physics + corrections]
            start += physics + corrections
            if view in _OPERATORS:
                operators = space.operators(archs, config, quantized=view == "quantized")
                if operators is not None:
                    fixed, per_sort, freedom = _prices(operators.fixed, operators.calls)
                    mine[:, :physics] = fixed + operators.counts.astype(np.float64) @ per_sort
                    mine[:, physics:] = operators.counts * freedom
                continue
            layers = space.layers(archs, config, cast(View, "all" if view == "computed" else view))
            values = _values(layers.distinct)
            if view == "computed":
                values = np.where([[layer.kind in ("zero", "identity")] for layer in layers.distinct], 0.0, values)
            mine[:] = layers.sums(values)


def _columns(view: PhysicsView) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a view's physics and of its corrections."""
    return (_OPERATOR_QUANTITIES, SORTS) if view in _OPERATORS else (_QUANTITIES, _CORRECTIONS)


@lru_cache(maxsize=256)
def _prices(fixed: Calls, calls: tuple[Calls, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Return the physics of the fixed operators, the physics of each sort, and a prior standard deviation.

    The standard deviation is that of an operator's cost, the same for every sort: a layer's, averaged over the
    operators of a network.
    """
    groups = [fixed, *calls]
    layers, times = zip(*(call for group in groups for call in group), strict=True)
    physics = summable(np.array([_operator(layer) for layer in layers], np.float64)) * np.array(times)[:, None]
    sums = np.add.reduceat(physics, np.cumsum([0, *map(len, groups[:-1])]))
    free = np.sqrt(_shares(np.array([_physics(layer) for layer in layers], np.float64))) * times
    return sums[0], sums[1:], float(free[len(fixed) :].sum()) / len(calls)


def _operator(layer: Layer) -> list[float]:
    dense = layer.kind in ("conv", "linear")
    macs = (0, layer.macs) if layer.int8 else (layer.macs, 0)
    made = layer.activation_bytes // layer.bytes_each - layer.c_in * layer.height * layer.width if dense else 0
    moved = 0 if dense else layer.activation_bytes
    return [
        *macs,
        layer.kind not in ("identity", "fused_add"),
        *((0, made) if layer.int8 else (made, 0)),
        layer.params,
        *((0, moved) if layer.kind == "convert" else (moved, 0)),
        *(math.sqrt(each) for each in macs),
    ]


@lru_cache(maxsize=256)
def _values(layers: tuple[Layer, ...]) -> npt.NDArray[np.float64]:
    """Return what each layer adds to the columns of a view, shape (L, columns)."""
    physics = np.array([_physics(layer) for layer in layers], np.float64)
    away = np.array([_description(layer) for layer in layers]) - np.append(_TYPICAL, np.zeros(len(_KINDS)))
    sizes = away[:, : len(_SIZES)] / _REACH
    pairs = [sizes[:, i] * sizes[:, j] / (math.sqrt(2) if i == j else 1.0) for i, j in _PAIRS]
    terms = np.column_stack([np.ones(len(layers)), away / _REACH, *pairs])
    near = np.exp(-0.5 * ((away / _REACH) ** 2).sum(axis=1))
    values = np.column_stack([physics, (np.sqrt(_shares(physics)) * near)[:, None] * terms])
    values.setflags(write=False)
    return values


def _shares(physics: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the square of how free each layer's price is, (L, quantities) -> (L,).

    Between the layer's share in a network, which leaves small layers no freedom, and the same freedom for all.
    """
    share: npt.NDArray[np.float64] = (physics / AVERAGE_NETWORK).mean(axis=1) + _SMALLEST / AVERAGE_LAYERS
    return share / AVERAGE_LAYERS


def _physics(layer: Layer) -> list[float]:
    dense = layer.kind in ("conv", "linear")
    depthwise = layer.kind == "conv" and layer.groups == layer.c_in > 1
    macs, narrow = (0, layer.macs) if depthwise else (layer.macs if dense else 0, 0)
    calls = layer.kind != "identity"
    outputs = max(layer.activation_bytes // _FLOAT32_BYTES - layer.c_in * layer.height * layer.width, 0) if calls else 0
    moved = 0 if dense or not calls else layer.activation_bytes
    roots = [math.sqrt(value) for value in (macs, narrow, outputs if dense else 0, layer.params if dense else 0)]
    return [macs, narrow, calls, outputs, layer.params, moved, *roots]


def _description(layer: Layer) -> list[float]:
    """Describe a layer by numbers (sizes two octaves to the unit, the height one), and its kind."""
    depthwise = layer.kind == "conv" and layer.groups == layer.c_in > 1
    sizes = (math.log2(max(size, 1)) for size in (layer.macs, layer.activation_bytes, layer.params))
    return [
        *(size / 2 for size in sizes),
        math.log2(layer.height),
        layer.kernel / 2,
        3.0 * depthwise,
        2.0 * (layer.groups > 1 and not depthwise),
        layer.stride,
        *(_APART * (layer.kind == kind) for kind in _KINDS),
    ]
