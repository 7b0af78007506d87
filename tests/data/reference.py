"""What the tests hold the package against: the benchmark's specification, written down a second time and slowly."""

from __future__ import annotations

import hashlib
import itertools
import random
from functools import cache

import numpy as np

METRICS = (
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "eyeriss_arithmetic_intensity",
    "fpga_latency",
    "fpga_energy",
)
AVERAGED = tuple(metric for metric in METRICS if metric != "eyeriss_arithmetic_intensity")
FBNET_METRICS = tuple(metric for metric in AVERAGED if metric != "edgetpu_latency")
CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
SIZE = 5**6

BLOCKS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
EXPANSION_KERNEL_GROUPS = ((1, 3, 1), (1, 3, 2), (3, 3, 1), (6, 3, 1), (1, 5, 1), (1, 5, 2), (3, 5, 1), (6, 5, 1))
STAGES = ((1, 16), (4, 24), (4, 32), (4, 64), (4, 112), (4, 184), (1, 352))
# Input size, stem stride, stage strides, header channels, classes.
FBNET = {
    "cifar100": (32, 1, (1, 1, 2, 2, 1, 2, 1), 1504, 100),
    "ImageNet": (224, 2, (1, 2, 2, 2, 1, 2, 1), 1984, 1000),
}


@cache
def published_strings() -> tuple[str, ...]:
    """Return the 15,625 architecture strings of NAS-Bench-201 in the benchmark's order."""
    ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    cells = list(itertools.product(ops, repeat=6))
    random.Random(88).shuffle(cells)
    return tuple(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|" for a, b, c, d, e, f in cells)


def keys_of(dataset: str, ops: list[int]) -> list[str]:
    """Return the 26 keys whose costs add up to an FBNet architecture's, in their order."""
    size, stem_stride, strides, header, classes = FBNET[dataset]
    keys = [f"ConvNorm_H{size}_W{size}_Cin3_Cout16_kernel3_stride{stem_stride}_group1"]
    size, c_in, chosen = size // stem_stride, 16, iter(ops)
    for (n_layers, c_out), stage_stride in zip(STAGES, strides, strict=True):
        for layer in range(n_layers):
            stride = stage_stride if layer == 0 else 1
            op = next(chosen)
            if op == 8:
                keys.append(f"Skip_H{size}_W{size}_Cin{c_in}_Cout{c_out}_stride{stride}")
            else:
                exp, kernel, groups = EXPANSION_KERNEL_GROUPS[op]
                keys.append(
                    f"ConvBlock_H{size}_W{size}_Cin{c_in}_Cout{c_out}"
                    f"_exp{exp}_kernel{kernel}_stride{stride}_group{groups}"
                )
            size, c_in = size // stride, c_out
    keys.append(f"ConvNorm_H{size}_W{size}_Cin{c_in}_Cout{header}_kernel1_stride1_group1")
    keys.append(f"AvgP_H{size}_W{size}_Cin{header}_Cout{header}_kernel{size}_stride1")
    keys.append(f"FC_Cin{header}_Cout{classes}")
    return keys


def all_keys(dataset: str) -> list[str]:
    """Return every key of one dataset, each once."""
    return list(dict.fromkeys(key for op in range(9) for key in keys_of(dataset, [op] * 22)))


def block_sum(costs: dict[str, float], dataset: str, ops: list[int]) -> float:
    """Add 26 costs, one after the other, from 0.0."""
    total = 0.0
    for key in keys_of(dataset, ops):
        total += costs[key]
    return total


def product(values: list[float]) -> float:
    """Multiply from left to right."""
    result = values[0]
    for value in values[1:]:
        result = result * value
    return result


def synthetic_value(*parts: object) -> float:
    """Return the value that full-structure-old-numpy.pickle holds (its README gives the formula)."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
    return int(digest[:12], 16) / 2**48 + 0.01


def same_bits(found: object, expected: object) -> bool:
    """Tell whether two arrays of float64 agree in shape and in every bit (a NaN equals a NaN)."""
    a, b = np.asarray(found), np.asarray(expected)
    assert a.dtype == b.dtype == np.float64
    return a.shape == b.shape and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
