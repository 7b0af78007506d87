"""The operators and memory of all 15,625 NAS-Bench-201 networks, found once by the passes and kept in ``cells.npz``.

Which operators of a cell are live, folded, merged, fused or run in int8 depends on all six of its edges, and on the
operators before and after it. So the operators of whole networks were counted, with one, two and three cells per stage;
``python -m benchmarks cells`` writes the file. Each further cell adds the same operators as the third one.

What is in memory at once was found in the same way, as numbers of tensors. Cells of a stage are equal, so two of them
have the same peak as more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.graphs import Op, TensorSpec, View
from hwnas_surrogate.spaces.config import NASBench201Config
from hwnas_surrogate.spaces.tables import OpTable

__all__ = ["COUNTED", "KEPT", "MERGED", "QUANTIZED", "cell_counts", "cell_peaks", "cell_table"]

KEPT = "cells.npz"
"""The file beside this module."""
COUNTED = NASBench201Config(C=7, num_classes=11, in_channels=5, height=52, width=68)
"""The config of the counted networks: all sizes differ, so that each can be identified."""
MERGED = ("relu", "pool", "zero", "add", "fused_add", "fused_relu", "fused_zero")
"""Counts of a cell after merging, in order.

Separate operators (``relu``, ``pool``, ``zero``, ``add``); additions and ReLUs fused into the convolution before them
(``fused_add``, ``fused_relu``); and multiplications by zero folded into the weights of such a convolution
(``fused_zero``).
"""
_KINDS = ("conv1x1", "conv3x3", "pool", "add", "zero")
QUANTIZED = (*(f"int8_{kind}" for kind in _KINDS), "int8_relu", "quantize", "dequantize")
"""Counts of a cell after static quantization, in order: int8 operators, remaining ReLUs, and conversions."""


@lru_cache(maxsize=1024)
def cell_table(config: NASBench201Config, view: View) -> OpTable:
    """Return the operators of the 15,625 networks under a config: one position, choices in lexicographic order."""
    sizes = dict(zip(_sizes(COUNTED), _sizes(config), strict=True))
    return _counted(config.N, view).of_others([_resized(op, sizes) for op in _kept()[view][0]])


@cache
def _counted(n: int, view: View) -> OpTable:
    """Return the table of the networks that were counted, with n cells a stage."""
    ops, counts = _kept()[view]
    times = counts[:, :, n - 1] if n <= 3 else counts[:, :, 2] + (n - 3) * (counts[:, :, 2] - counts[:, :, 1])
    return OpTable.of_counts(ops, np.zeros(len(ops), np.int64), times[None])


@cache
def cell_counts() -> npt.NDArray[np.int8]:
    """Return the operators of each kind in a cell between equal cells, (15625, 15): MERGED, then QUANTIZED."""
    merged, quantized = (_by_kind(*_kept()[view]) for view in ("fused", "quantized"))
    merged["relu"] = merged["relu"] + merged["fused_relu"]
    merged["add"] = merged["add"] + merged["fused_add"]
    quantized["int8_relu"] = quantized["fused_relu"]
    columns = [*(merged[name] for name in MERGED), *(quantized[name] for name in QUANTIZED)]
    return np.stack(columns, axis=1).astype(np.int8)


def cell_peaks(config: NASBench201Config, view: View) -> npt.NDArray[np.float64]:
    """Return the peak memory of activations of the 15,625 networks in bytes, in lexicographic order."""
    sizes = dict(zip(_sizes(COUNTED), _sizes(config), strict=True))
    tensors, moments, which = _kept_moments()[view]
    bytes_of_each = np.array([_resized_tensor(tensor, sizes).bytes for tensor in tensors], np.float64)
    peaks = np.array([(counts @ bytes_of_each).max() for counts in moments])
    return peaks[which[:, min(config.N, 2) - 1]]


def _by_kind(ops: Sequence[Op], counts: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[np.int32]]:
    """Count the operators of a cell by kind: a third of those added by one more cell in each of the three stages."""
    found = {name: np.zeros(len(counts), np.int32) for name in (*MERGED, *QUANTIZED)}
    for op, column in zip(ops, (counts[:, :, 2] - counts[:, :, 1]).T, strict=True):
        kind = f"conv{op.kernel[0]}x{op.kernel[0]}" if op.kind == "conv" else op.kind.removeprefix("avg_")
        in_int8 = op.dtype == "int8" and op.kind != "quantize"
        for name in (f"int8_{kind}" if in_int8 else kind, *(f"fused_{inner}" for inner in op.fused)):
            if name in found:
                found[name] = found[name] + column
    return {name: three // 3 for name, three in found.items()}


def _sizes(config: NASBench201Config) -> list[int]:
    """Return every size that occurs in the shapes of a network."""
    stages = range(3)
    channels = [config.C << stage for stage in stages]
    pixels = [size >> stage for size in (config.height, config.width) for stage in stages]
    return [config.in_channels, config.num_classes, *channels, *pixels]


def _resized(op: Op, sizes: Mapping[int, int]) -> Op:
    """Return an operator with its sizes replaced by those of another network."""
    tensors: dict[str, Any] = {}
    for field in fields(op):
        value = getattr(op, field.name)
        if isinstance(value, tuple) and value and isinstance(value[0], TensorSpec):
            tensors[field.name] = tuple(_resized_tensor(spec, sizes) for spec in value)
    return replace(op, **tensors)


def _resized_tensor(spec: TensorSpec, sizes: Mapping[int, int]) -> TensorSpec:
    return TensorSpec.of(tuple(sizes.get(size, size) for size in spec.shape), spec.dtype)


@cache
def _kept() -> Mapping[str, tuple[tuple[Op, ...], npt.NDArray[np.int32]]]:
    """Return the operators, L of them, and their counts, (15625, L, 3), by view."""
    with (resources.files(__package__) / KEPT).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {
            view: (
                tuple(map(Op.from_dict, ops)),
                arrays[f"{view}_counts"].astype(np.int32)[:, arrays[f"{view}_column"]],
            )
            for view, ops in json.loads(str(arrays["ops"])).items()
        }


@cache
def _kept_moments() -> Mapping[str, tuple[tuple[TensorSpec, ...], list[npt.NDArray[np.int64]], npt.NDArray[np.uint8]]]:
    """Return what is in memory where the peak may be, by view.

    For each view: T tensors; the distinct sets of moments, each (moments, T) numbers of tensors; and which set each
    network has with one, and with more cells a stage, (15625, 2).
    """
    with (resources.files(__package__) / KEPT).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {
            view: (
                tuple(map(TensorSpec.from_list, found["tensors"])),
                [np.array(counts) for counts in found["moments"]],
                arrays[f"{view}_moments"],
            )
            for view, found in json.loads(str(arrays["moments"])).items()
        }
