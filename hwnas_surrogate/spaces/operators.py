"""NAS-Bench-201's networks as an inference engine runs them: equal operators merged, and some of them in int8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.spaces.layers import Layer, LayerKind, LayerPlan
from hwnas_surrogate.spaces.merged import MERGED
from hwnas_surrogate.spaces.quantized import QUANTIZED

__all__ = ["SORTS", "Operators", "cell_operators"]

_FLOAT32_SORTS = ("conv1x1", "conv3x3", "pool", "zero", "add")
SORTS = (*_FLOAT32_SORTS, *(f"int8_{sort}" for sort in _FLOAT32_SORTS), "relu", "fused_add", "convert")
"""Sorts of operators: in float32, in int8, and those that are neither.

``fused_add`` is a sum that the convolution before it takes on, which reads one more value; ``convert`` turns a value to
int8 or back.
"""
_NONE, _CONV1, _CONV3, _POOL = 0, 2, 3, 4
_BYTES: Mapping[LayerKind, int] = MappingProxyType({"add": 12, "relu": 8, "fused_add": 4, "convert": 5})
"""Read and written for each number that is made; other operators are layers of the network too."""

Calls = tuple[tuple[Layer, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Operators:
    """The operators that an inference engine runs of n architectures under one config.

    Parameters
    ----------
    counts : ndarray of int64, shape (n, K)
        How many operators of each of :data:`SORTS` a cell has.
    calls : tuple of K tuples of (Layer, int)
        What one such operator of a cell is in the network: a layer per stage, and how often it runs.
    fixed : tuple of (Layer, int)
        What every architecture runs, and how often.
    """

    counts: npt.NDArray[np.int64]
    calls: tuple[Calls, ...]
    fixed: Calls

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.counts)


def cell_operators(
    plan: LayerPlan, archs: npt.NDArray[np.int8], told: npt.NDArray[np.integer], *, quantized: bool
) -> Operators:
    """Return the operators of cells.

    Parameters
    ----------
    plan : LayerPlan
        The layers of the network under its config.
    archs : ndarray of int8, shape (n, 6)
    told : ndarray of int, shape (n, 15)
        Their counts after merging, and of what runs in int8 (:data:`MERGED`, :data:`QUANTIZED`).
    quantized : bool
        Whether the network is quantized to int8.
    """
    of = dict(zip(MERGED + QUANTIZED, told.astype(np.int64).T, strict=True))
    total = {"conv1x1": (archs == _CONV1).sum(axis=1), "conv3x3": (archs == _CONV3).sum(axis=1)}
    total |= {sort: of[sort] for sort in ("pool", "zero", "add")}
    counts = {sort: np.zeros(len(archs), np.int64) for sort in SORTS}
    if quantized:
        for sort in _FLOAT32_SORTS:
            counts[f"int8_{sort}"] = of[f"int8_{sort}"]
            counts[sort] = total[sort] - of[f"int8_{sort}"]
        counts["relu"], counts["convert"] = of["int8_relu"], of["quantize"] + of["dequantize"]
    else:
        counts |= total
        counts["add"], counts["fused_add"] = of["add"] - of["fused_add"], of["fused_add"]
        counts["relu"] = of["relu"] - of["fused_relu"]
    calls, fixed = _calls(plan, quantized)
    return Operators(np.stack([counts[sort] for sort in SORTS], axis=1), calls, fixed)


def _calls(plan: LayerPlan, quantized: bool) -> tuple[tuple[Calls, ...], Calls]:
    """Return what an operator of each sort is in the network, and what every architecture runs."""

    def called(times: npt.NDArray[np.int64]) -> list[tuple[Layer, int]]:
        return [(layer, int(count)) for layer, count in zip(plan.distinct, times, strict=True) if count]

    ops = plan.per_op[0]  # every position of a cell is alike
    layers = {"conv1x1": called(ops[_CONV1]), "conv3x3": called(ops[_CONV3])}
    layers |= {"pool": called(ops[_POOL]), "zero": called(ops[_NONE])}
    for kind, each in _BYTES.items():  # of the size of the stage's values, as the zeros are
        layers[kind] = [
            (replace(zero, kind=kind, activation_bytes=each * zero.c_in * zero.height * zero.width), n)
            for zero, n in layers["zero"]
        ]
    for sort in _FLOAT32_SORTS:
        layers[f"int8_{sort}"] = [(_in_int8(layer), n) for layer, n in layers[sort]]
    fixed = called(plan.fixed)
    if quantized:
        fixed = [(_in_int8(layer), n) for layer, n in fixed]
    return tuple(tuple(layers[sort]) for sort in SORTS), tuple(fixed)


def _in_int8(layer: Layer) -> Layer:
    return replace(layer, int8=True, activation_bytes=layer.activation_bytes // layer.bytes_each)
