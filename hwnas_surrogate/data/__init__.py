"""Measured costs, exactly: cost tables, the official file, bundled measurements, the drop-in API."""

from __future__ import annotations

import math
import os
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from hwnas_surrogate.data.accuracy import AccuracyTable, convert_accuracy, is_accuracy_table, load_quality
from hwnas_surrogate.data.api import HWNASBenchAPI
from hwnas_surrogate.data.as_graphs import as_graphs
from hwnas_surrogate.data.blocks import BlockTable
from hwnas_surrogate.data.download import data_dir
from hwnas_surrogate.data.measurements import FRAMES, read_measurements
from hwnas_surrogate.data.merge import merge
from hwnas_surrogate.data.official import convert, read_official
from hwnas_surrogate.data.store import AnyTable, check_table, is_table, read_parquet, write_parquet
from hwnas_surrogate.data.table import CostTable, config_name, noise_floor
from hwnas_surrogate.data.target import METRICS, Device, Metric, Target, TargetLike, pick_targets, register_metric
from hwnas_surrogate.data.text_lines import looks_like_text
from hwnas_surrogate.data.tool_files import read_tool_files
from hwnas_surrogate.errors import DataFileError, NotInTableError, unknown
from hwnas_surrogate.files import standing
from hwnas_surrogate.inputs import input_path, open_regular
from hwnas_surrogate.spaces import Networks, SearchSpace, get_space

__all__ = [
    "BENCHMARK",
    "BUNDLED_SPACES",
    "DESCRIBED",
    "METRICS",
    "AccuracyTable",
    "AnyTable",
    "BlockTable",
    "CostTable",
    "Device",
    "HWNASBenchAPI",
    "Metric",
    "Target",
    "TargetLike",
    "as_graphs",
    "convert",
    "convert_accuracy",
    "data_dir",
    "describe",
    "load_bundled",
    "load_quality",
    "load_table",
    "merge",
    "pick_targets",
    "read_measurements",
    "read_official",
    "read_parquet",
    "read_tool_files",
    "register_metric",
    "write_parquet",
]

BENCHMARK = "hw-nas-bench"
"""The name of the downloaded and converted benchmark in :func:`load_table`."""

BUNDLED = {"bundled": "{space}", "modified": "nasbench201-modified", "blocks": "fbnet-blocks", "zoo": "zoo"}
"""The names of the bundled tables in :func:`load_table`, and their files."""

_WHOLE_NETWORKS = {"nasbench201": ("bundled", "modified"), "fbnet": ("bundled",)}
"""The bundled tables of whole networks, by space."""
_OF_EACH = 100
"""Number of networks of each bundled table among the graphs."""
BUNDLED_SPACES = tuple(_WHOLE_NETWORKS)
"""The search spaces with bundled measurements of whole networks."""


def load_table(
    path: str | os.PathLike[str] | None = None,
    space: str | SearchSpace | None = None,
    dataset: str | None = None,
    networks: Networks | None = None,
) -> AnyTable:
    """Load a cost table.

    Parameters
    ----------
    path : path-like, optional
        A table (parquet), measurements from elsewhere (CSV, npz, parquet; :func:`read_measurements` gives the forms and
        how the headers of a wide file are read), a folder of converted tables, HW-NAS-Bench's official file,
        ``"hw-nas-bench"`` for the benchmark that ``hwnas data download`` fetched, accuracies that
        :func:`convert_accuracy` wrote (as :func:`load_quality` loads them), or a bundled table: ``"bundled"`` (as
        None), ``"modified"`` (NAS-Bench-201 networks under other configs), ``"blocks"`` (FBNet's blocks, measured
        individually) or ``"zoo"`` (networks of many kinds, as graphs, with their profiles).
    space : {"nasbench201", "fbnet"}, optional
        The search space. If None: the space recorded in a parquet file, otherwise ``nasbench201``.
    dataset : str, optional
        Keep the costs under this published config (``"cifar10"``, ...) or config string; all if None. It is also the
        default config of measurements without one.
    networks : graphs, optional
        The networks that measurements name in a column ``model``: a batch, or a mapping of names to graphs.

    Returns
    -------
    CostTable or BlockTable
        A block table where costs are sums over FBNet's blocks.

    Raises
    ------
    DataFileError
        If the file is absent, damaged or of another format.
    NotInTableError
        If the table does not hold the search space or the dataset; the message lists what it holds.

    Examples
    --------
    >>> load_table(space="nasbench201").space.name
    'nasbench201'
    """
    wanted = None if space is None else get_space(space).name
    table = _read("bundled" if path is None else path, wanted, dataset, networks)
    if wanted is not None and (table.space is None or table.space.name != wanted):
        held = "graphs" if table.space is None else table.space.name
        raise NotInTableError(f"{path} holds costs of {held}, not of {wanted}.")
    if dataset is None:
        return table
    if table.space is None:
        raise NotInTableError(f"{path} holds costs of graphs, which have no config {dataset!r}: leave dataset out.")
    if dataset in table.space.configs and table.space.configs[dataset] not in table.configs:
        names = [table.space.dataset_name(config) or str(config) for config in table.configs]
        raise unknown(NotInTableError, f"dataset in the {table.space.name} table", dataset, names)
    config = table.space.config(dataset)
    return table.with_config(config) if isinstance(table, BlockTable) else table.select(configs=config)


def load_bundled(space: str | SearchSpace | None = "nasbench201") -> CostTable:
    """Load every bundled cost of whole networks of a space: every device, under every config that it was measured with.

    Parameters
    ----------
    space : {"nasbench201", "fbnet", None}, default="nasbench201"
        None: graphs: the zoo, and 300 networks of both spaces (a random hundred of NAS-Bench-201's, of those under
        other configs, and of FBNet's) on the devices on which all three were measured.

    Returns
    -------
    CostTable
        The default training data of ``hwnas train``.

    Examples
    --------
    >>> len(load_bundled().configs)  # cifar10's, and 75 others of two devices
    76
    """
    if space is None:
        return _bundled_graphs()
    name = get_space(space).name
    if name not in _WHOLE_NETWORKS:
        raise unknown(NotInTableError, "search space with bundled measurements", name, _WHOLE_NETWORKS)
    return merge(_whole_networks(name))


def _whole_networks(name: str) -> list[CostTable]:
    tables = [load_table(part, name) for part in _WHOLE_NETWORKS[name]]
    return [table for table in tables if isinstance(table, CostTable)]


def _bundled_graphs() -> CostTable:
    zoo = _bundled(BUNDLED["zoo"])
    assert isinstance(zoo, CostTable)
    tables = [table for name in BUNDLED_SPACES for table in _whole_networks(name)]
    shared = [target for target in tables[0].targets if all(target in table.targets for table in tables)]
    parts = []
    for table in tables:
        part = table.select(shared)
        measured = np.flatnonzero(~np.isnan(part.costs).any(axis=1))
        drawn = np.random.default_rng(0).permutation(measured)[:_OF_EACH]
        parts.append(as_graphs(part.rows(np.sort(drawn))))
    return merge([zoo, *parts])


DESCRIBED = (
    "target", "unit", "config", "costs", "missing", "noise_floor", "hardware", "runtime", "batch", "source",
)  # fmt: skip
"""The fields of a record of :func:`describe`."""


def describe(table: AnyTable) -> list[dict[str, Any]]:
    """Describe what a table holds: one record per target and config.

    Returns
    -------
    list of dict
        ``target, unit, config, costs, missing, noise_floor, hardware, runtime, batch, source``; the noise floor is
        the kendall tau between two halves of the repeated runs, NaN without repeats; the batch is None if unknown.
    """
    records: list[dict[str, Any]] = []
    check_table("describe", table)
    under = (
        [table.config_number == number for number in range(len(table.configs))] if isinstance(table, CostTable) else []
    )
    for column, target in enumerate(table.targets):
        device = table.devices[target.device]
        for number, config in enumerate(table.configs):
            if isinstance(table, CostTable):
                missing = np.isnan(table.costs[under[number], column])
                n_missing, n_costs = int(missing.sum()), int((~missing).sum())
                floor = {} if table.repeats is None else noise_floor(table.repeats[under[number], column, 3:])
            else:
                n_costs, n_missing, floor = len(table.block_costs[target]), 0, table.meta.get("noise_floor", {})
            records.append(
                {
                    "target": str(target),
                    "unit": target.unit,
                    "config": config_name(table.space, config),
                    "costs": n_costs,
                    "missing": n_missing,
                    "noise_floor": floor.get("kendall_tau", math.nan),
                    "hardware": device.hardware,
                    "runtime": device.runtime,
                    "batch": device.batch,
                    "source": device.source,
                }
            )
    return records


def _bundled(name: str) -> AnyTable:
    with resources.as_file(resources.files(__package__) / "bundled" / f"{name}.parquet") as path:
        return read_parquet(path)


def _read(path: str | os.PathLike[str], space: str | None, dataset: str | None, networks: Networks | None) -> AnyTable:
    name = input_path(path, FRAMES)
    if str(path) in BUNDLED and not name.exists():
        return _bundled(BUNDLED[str(path)].format(space=space or "nasbench201"))
    if str(path) == BENCHMARK and not name.exists():
        name = data_dir() / BENCHMARK
        if not name.is_dir():
            raise DataFileError(f"the benchmark is not in {name}; `hwnas data download` fetches and converts it.")
    if name.is_dir():
        return _read_folder(name, space or "nasbench201")
    if not name.exists():
        official = name.suffix == ".pickle"
        remedy = "`hwnas data download` fetches HW-NAS-Bench's official one." if official else "Check the path."
        raise DataFileError(f"there is no file {name}. {remedy}")
    try:
        with open_regular(name) as file:
            magic = file.read(4) or b""  # some files of the system give None
    except OSError as error:
        raise DataFileError(f"can't read {name}: {error.strerror or error}.") from error
    if not magic:
        raise DataFileError(f"{name} is empty: it was not written, or copied, to its end.")
    if magic == b"PAR1" and is_table(name):
        return read_parquet(name)
    if magic == b"PAR1" and is_accuracy_table(name):
        return load_quality(name)
    if magic[:1] == b"\x80":
        tables = read_official(name)
        asked = space or "nasbench201"
        if asked not in tables:
            raise unknown(NotInTableError, f"search space in {name}", asked, tables)
        return tables[asked]
    if magic in (b"PAR1", b"PK\x03\x04") or looks_like_text(name):
        return read_measurements(name, space, dataset, networks=networks)
    raise DataFileError(
        f"{name} is neither a table nor measurements (it starts with {magic!r}). Allowed: a parquet table written by "
        "this package, CSV, npz or parquet measurements, HW-NAS-Bench's pickle, or a folder of converted tables."
    )


def _read_folder(folder: Path, space: str) -> AnyTable:
    with standing(folder, f"{space}.parquet") as path:
        if path.is_file():
            return read_parquet(path)
    there = sorted(item.stem for item in folder.glob("*.parquet"))
    if there:
        raise unknown(NotInTableError, f"table in {folder}", space, there)
    inside = [folder, *sorted(folder.glob("*"))]
    saved = [str(path) for path in inside if (path / "manifest.json").is_file() and path.suffix != ".parquet"]
    remedy = f" Saved surrogates are in {', '.join(saved)}: they are sources, but no costs." if saved else ""
    raise DataFileError(f"the folder {folder} holds no cost table ({space}.parquet).{remedy}")
