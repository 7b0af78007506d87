"""Published figures, to compare with ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["HELP", "LAUBE", "NASFLAT", "HelpTask", "NasflatTask"]

LAUBE: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "published linear, n=124": {
            "raspi4/latency": 0.787, "pixel3/latency": 0.780, "eyeriss/latency": 0.959, "fpga/latency": 0.987,
            "edgegpu/latency": 0.790, "edgegpu/energy": 0.792, "eyeriss/energy": 0.985,
            "eyeriss/arithmetic_intensity": 0.811,
        },
        "published linear, n=15k": {
            "raspi4/latency": 0.813, "pixel3/latency": 0.812, "eyeriss/latency": 0.960, "fpga/latency": 0.987,
            "edgegpu/latency": 0.829, "edgegpu/energy": 0.831, "eyeriss/energy": 0.985,
            "eyeriss/arithmetic_intensity": 0.854,
        },
        "published XGBoost, n=15k": {
            "raspi4/latency": 0.890, "pixel3/latency": 0.878, "eyeriss/latency": 0.958, "fpga/latency": 0.986,
            "edgegpu/latency": 0.926, "edgegpu/energy": 0.922, "eyeriss/energy": 0.975,
            "eyeriss/arithmetic_intensity": 0.969,
        },
        "published layer-wise table": {
            "raspi4/latency": 0.462, "pixel3/latency": 0.475, "eyeriss/latency": 0.995, "fpga/latency": 0.999,
        },
    }
)  # fmt: skip
"""Kendall's tau on 625 held-out architectures, 50 seeds, cifar10 (Laube, Mutschler and Zell 2022, table 3); 15k is all
the others."""


@dataclass(frozen=True, slots=True)
class HelpTask:
    """HELP's split of one space: source and target devices, and rows.

    Parameters
    ----------
    sources, targets : tuple of str
        Devices.
    pool : range
        Rows of the table on which the sources were measured; the trimmed setting samples from them.
    query : range
        Rows on which the trimmed setting is scored.
    published : mapping
        Name of a row of figures to Spearman's rank correlation by target.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    pool: range
    query: range
    published: Mapping[str, Mapping[str, float]]


_SOURCES = (
    "1080ti_1", "1080ti_32", "1080ti_256", "silver_4114", "silver_4210r", "samsung_a50", "pixel3", "essential_ph_1",
    "samsung_s7",
)  # fmt: skip
_TARGETS = ("titan_rtx_256", "gold_6226", "pixel2", "raspi4", "eyeriss", "fpga")


def _row(*values: float) -> dict[str, float]:
    return dict(zip(_TARGETS, values, strict=True))


HELP: Mapping[str, HelpTask] = MappingProxyType(
    {
        "nasbench201": HelpTask(
            sources=_SOURCES,
            targets=_TARGETS,
            pool=range(900),
            query=range(900, 1900),
            published=MappingProxyType(
                {
                    "FLOPs, trimmed, 0": _row(0.950, 0.826, 0.765, 0.846, 0.437, 0.900),
                    "BRP-NAS, trimmed, 900": _row(0.814, 0.796, 0.666, 0.847, 0.811, 0.801),
                    "BRP-NAS, trimmed, 3200": _row(0.822, 0.805, 0.693, 0.853, 0.830, 0.828),
                    "HELP, trimmed, 20": _row(0.987, 0.989, 0.802, 0.890, 0.940, 0.985),
                    "HELP re-run, full, 20": _row(0.993, 0.984, 0.887, 0.900, 0.953, 0.993),
                    "HELP re-run, full, 10": _row(0.995, 0.981, 0.885, 0.898, 0.924, 0.982),
                }
            ),
        ),
        "fbnet": HelpTask(
            sources=tuple(device.replace("1080ti_256", "1080ti_64") for device in _SOURCES),
            targets=("fpga", "raspi4", "eyeriss"),
            pool=range(4000),
            query=range(4000, 5000),
            published=MappingProxyType(
                {
                    "HELP re-run, trimmed, 20": {"fpga": 0.893, "raspi4": 0.898, "eyeriss": 0.942},
                    "HELP re-run, full, 20": {"fpga": 0.945, "raspi4": 0.954, "eyeriss": 0.976},
                }
            ),
        ),
    }
)
"""Spearman's rank correlation (Lee et al., "Hardware-adaptive efficient latency prediction for NAS via meta-learning",
NeurIPS 2021, tables 3 and 5), by range scored on and target measurements. HELP's "10 samples" are 10 fixed reference
architectures and 10 random ones, 20 measurements in all; "re-run" is its published checkpoint evaluated anew on the
same data, with all 20 or with the reference architectures alone."""


@dataclass(frozen=True, slots=True)
class NasflatTask:
    """One of NASFLAT's device splits.

    Parameters
    ----------
    space : str
    sources, targets : tuple of str
        Devices.
    published : mapping
        Method to mean Spearman's rank correlation over the targets.
    """

    space: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    published: Mapping[str, float]


def _task(space: str, sources: str, targets: str, *figures: float) -> NasflatTask:
    published = dict(zip(("HELP", "MultiPredict", "NASFLAT", "NASFLAT, best of any setting"), figures, strict=True))
    return NasflatTask(space, tuple(sources.split()), tuple(targets.split()), MappingProxyType(published))


NASFLAT: Mapping[str, NasflatTask] = MappingProxyType(
    {
        "F0": _task(
            "fbnet",
            "1080ti_1 1080ti_32 1080ti_64 silver_4114 silver_4210r samsung_a50 pixel3 essential_ph_1 samsung_s7",
            "fpga raspi4 eyeriss",
            0.910, 0.960, 0.961, 0.961,
        ),
        "F1": _task(
            "fbnet",
            "2080ti_1 essential_ph_1 silver_4114 titan_rtx_1 titan_rtx_32",
            "eyeriss fpga raspi4 samsung_a50 samsung_s7",
            0.793, 0.756, 0.809, 0.809,
        ),
        "F2": _task(
            "fbnet",
            "essential_ph_1 gold_6226 gold_6240 pixel3 raspi4",
            "1080ti_1 1080ti_32 2080ti_32 titan_rtx_1 titanxp_1",
            0.543, 0.567, 0.871, 0.871,
        ),
        "F3": _task(
            "fbnet",
            "essential_ph_1 pixel2 pixel3 raspi4 samsung_s7",
            "1080ti_1 1080ti_32 2080ti_1 titan_rtx_1 titan_rtx_32",
            0.413, 0.434, 0.814, 0.814,
        ),
        "F4": _task(
            "fbnet",
            "1080ti_64 2080ti_1 eyeriss gold_6226 gold_6240 raspi4 samsung_s7 silver_4210r titan_rtx_1 titan_rtx_32",
            "1080ti_1 pixel2 essential_ph_1",
            0.799, 0.763, 0.734, 0.832,
        ),
        "F5": _task(
            "fbnet",
            "1080ti_1 1080ti_32 1080ti_64 2080ti_1 2080ti_32 2080ti_64 titan_rtx_1 titan_rtx_32 titan_rtx_64 titanx_1 "
            "titanx_32 titanx_64 titanxp_1 titanxp_32 titanxp_64",
            "gold_6226 essential_ph_1 samsung_s7 pixel2",
            0.370, 0.450, 0.577, 0.628,
        ),
        "N0": _task("nasbench201", " ".join(_SOURCES), " ".join(_TARGETS), 0.948, 0.930, 0.959, 0.959),
    }
)  # fmt: skip
"""Mean Spearman's rank correlation over the targets, 20 measurements of each (Akhauri and Abdelfattah, "On latency
predictors for neural architecture search", MLSys 2024; the best of any setting from its result files). The published
code scores on 128 architectures only, the adaptation samples among them, and goes on fine-tuning one set of weights
from target to target."""
