"""HW-NAS-Bench's official file: its layout, and its conversion to cost tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.blocks import BlockTable
from hwnas_surrogate.data.store import AnyTable, write_parquet
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.data.target import Device, Target
from hwnas_surrogate.data.unpickle import read_pickle
from hwnas_surrogate.errors import DataFileError, unknown
from hwnas_surrogate.files import check_folder, replacing_in
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import NASBench201, get_space, space_names

__all__ = ["METRIC_KEYS", "NOT_COMPILED", "convert", "official_tables", "read_official"]

METRIC_KEYS: Mapping[str, Target] = MappingProxyType(
    {
        f"{device}_{metric}": Target(device, metric)
        for device, metric in (
            ("edgegpu", "latency"),
            ("edgegpu", "energy"),
            ("raspi4", "latency"),
            ("edgetpu", "latency"),
            ("pixel3", "latency"),
            ("eyeriss", "latency"),
            ("eyeriss", "energy"),
            ("eyeriss", "arithmetic_intensity"),
            ("fpga", "latency"),
            ("fpga", "energy"),
        )
    }
)
"""The file's metric names, in the published order."""

DEVICES = (
    Device("edgegpu", "NVIDIA Jetson TX2", "TensorRT", 1),
    Device("raspi4", "Raspberry Pi 4", "TensorFlow Lite", 1),
    Device("edgetpu", "Google Edge TPU dev board", "TensorFlow Lite", 1),
    Device("pixel3", "Google Pixel 3", "TensorFlow Lite", 1),
    Device("eyeriss", "Eyeriss ASIC", "accelerator model", 1, "estimated"),
    Device("fpga", "Xilinx ZC706 FPGA", "accelerator model", 1, "estimated"),
)

NOT_COMPILED = "did not compile for the Edge TPU"
_META = MappingProxyType(
    {
        "source": "HW-NAS-Bench v1.0 (Li et al., ICLR 2021), github.com/GATECH-EIC/HW-NAS-Bench",
        "licence": "MIT",
    }
)


def read_official(path: str | os.PathLike[str]) -> dict[str, AnyTable]:
    """Read the official file through the allow-list unpickler.

    Parameters
    ----------
    path : path-like
        ``HW-NAS-Bench-v1_0.pickle``, or a file of the same layout that holds a part of it.

    Returns
    -------
    dict of str to CostTable or BlockTable
        The tables that the file holds, by search space.

    Raises
    ------
    DataFileError
        If the file is damaged, refused, or of another layout.
    """
    return official_tables(read_pickle(path), str(path))


def official_tables(content: object, name: str = "the benchmark's content") -> dict[str, AnyTable]:
    """Turn the official file's content (nested dicts) into cost tables, by search space."""
    if not isinstance(content, Mapping) or not set(content) & set(space_names()):
        keys = ", ".join(map(repr, list(content)[:6])) if isinstance(content, Mapping) else type(content).__name__
        raise DataFileError(f"{name} is not HW-NAS-Bench: expected keys 'nasbench201' and 'fbnet', got {keys}.")
    tables: dict[str, AnyTable] = {}
    try:
        if "nasbench201" in content:
            tables["nasbench201"] = _nasbench201_table(content["nasbench201"])
        if "fbnet" in content:
            tables["fbnet"] = _fbnet_table(content["fbnet"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(f"{name} does not have HW-NAS-Bench's layout: {error}") from error
    return tables


def _nasbench201_table(datasets: Mapping[str, Mapping[str, Any]]) -> CostTable:
    space = get_space("nasbench201")
    assert isinstance(space, NASBench201)
    size = len(space)
    for dataset in datasets:
        if dataset not in space.configs:
            raise unknown(DataFileError, "NAS-Bench-201 dataset in the file", dataset, space.configs)
    present = [key for key in METRIC_KEYS if any(key in metrics for metrics in datasets.values())]
    ordered = [name for name in space.configs if name in datasets]
    costs = np.full((size * len(ordered), len(present)), np.nan)
    for block, dataset in enumerate(ordered):
        metrics = datasets[dataset]
        for key in metrics:
            if key not in METRIC_KEYS and key != "config":
                raise unknown(DataFileError, f"metric in the file's {dataset}", key, METRIC_KEYS)
        if "config" in metrics:
            _check_order(metrics["config"], space, dataset)
        for column, key in enumerate(present):
            if key in metrics:
                costs[block * size : (block + 1) * size, column] = _column(metrics[key], size, f"{dataset} {key}")
    return _table_of(space, ordered, present, costs)


def _table_of(space: NASBench201, datasets: list[str], keys: list[str], costs: npt.NDArray[np.float64]) -> CostTable:
    uncompiled = (costs == -1.0) & np.array([key == "edgetpu_latency" for key in keys], bool)
    costs[uncompiled] = np.nan
    configs = [space.configs[dataset] for dataset in datasets]
    return CostTable(
        space,
        np.tile(space.enumerate(), (len(datasets), 1)),
        costs,
        [METRIC_KEYS[key] for key in keys],
        configs=np.repeat(np.array(configs, object), len(space)),
        devices=DEVICES,
        reasons={NOT_COMPILED: uncompiled},
        meta=_META,
    )


def _column(values: Any, size: int, name: str) -> npt.NDArray[np.float64]:
    column = reals(values, f"{name} must hold numbers")
    if column.shape != (size,):
        raise DataFileError(f"{name} must hold {size} values, one per architecture, got shape {column.shape}.")
    return column


def _check_order(configs: Any, space: NASBench201, dataset: str) -> None:
    strings = [config["arch_str"] for config in configs]
    expected = space.format_all(space.enumerate())
    if strings != expected:
        at = next((i for i, (a, b) in enumerate(zip(strings, expected, strict=False)) if a != b), len(strings))
        raise DataFileError(
            f"the file's {dataset} architectures are not in the published index order: they differ at index {at}."
        )


def _fbnet_table(metrics: Mapping[str, Mapping[str, Any]]) -> BlockTable:
    for key in metrics:
        if key not in METRIC_KEYS:
            raise unknown(DataFileError, "FBNet metric in the file", key, METRIC_KEYS)
    return BlockTable(
        {
            target: {str(block): cost for block, cost in metrics[key].items()}
            for key, target in METRIC_KEYS.items()
            if key in metrics
        },
        devices=DEVICES,
        meta=_META,
    )


def convert(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Convert the official file once to parquet, which opens in milliseconds.

    The files of a folder come from one conversion, whenever it is interrupted.

    Parameters
    ----------
    path : path-like
        The official file.
    folder : path-like
        The folder to write ``nasbench201.parquet`` and ``fbnet.parquet`` to.

    Returns
    -------
    dict of str to Path
        The file written for each search space.

    Raises
    ------
    InvalidInputError
        If ``folder`` is a file, or a file in it is the official one.
    DataFileError
        If the official file is another one or damaged, or a file can't be written; earlier files are unchanged.
    """
    check_folder(folder)
    tables = read_official(path)
    with replacing_in(folder, [path]) as temporary:
        for name, table in tables.items():
            write_parquet(table, temporary / f"{name}.parquet")
    return {name: Path(folder) / f"{name}.parquet" for name in tables}
