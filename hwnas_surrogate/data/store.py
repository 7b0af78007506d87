"""Cost tables as parquet files that include all metadata."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data.blocks import BlockTable
from hwnas_surrogate.data.parquet import check_size, entries, open_parquet
from hwnas_surrogate.data.table import REPEATS, Costs, CostTable
from hwnas_surrogate.data.target import Device, Target
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError
from hwnas_surrogate.files import check_output, replacing
from hwnas_surrogate.graphs import Graph, GraphBatch
from hwnas_surrogate.inputs import input_path, open_regular, read_json
from hwnas_surrogate.spaces import get_space

__all__ = ["TABLE_SUFFIXES", "AnyTable", "check_table", "is_table", "read_parquet", "write_parquet"]

AnyTable: TypeAlias = CostTable | BlockTable
"""What :func:`load_table` returns."""

TABLE_SUFFIXES = (".parquet",)
FORMAT_VERSION = 2
_OPERATORS = " operators"
_REPEATS = tuple(f" {part}" for part in REPEATS)
_GRAPHS = ("name", "digest", "graph")
"""The columns of graphs."""
_METADATA_KEY = b"hwnas_surrogate"
_DIGEST_KEY = b"hwnas_surrogate.sha256"  # of the metadata: parquet has checksums for the data only


def write_parquet(table: AnyTable, path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """Write a table; a file that stood there before is replaced at once or not at all.

    A cost table has one int8 column per position (``op_00``, ...), ``config`` (a number into the metadata's list)
    and one float64 column per target. One of graphs has ``name``, ``digest`` and ``graph`` (JSON) instead. Labels of
    networks are in columns ``group family``, ...; lists of operators' times in columns ``TARGET operators``. A block
    table has ``key`` and one float64 column per target.

    Parameters
    ----------
    table : CostTable or BlockTable
    path : path-like
        Ends in ``.parquet``, or in nothing.
    inputs : iterable of path-like, default=()
        Files that the table was read from, which are not to be replaced.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    InvalidInputError
        If the path ends in something else, or is one of the inputs.
    DataFileError
        If the file can't be written.
    """
    check_table("write_parquet", table)
    check_output(path, TABLE_SUFFIXES, inputs)
    header: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "kind": "costs" if isinstance(table, CostTable) else "blocks",
        "space": None if table.space is None else table.space.name,
        "targets": [
            {"device": target.device, "metric": target.metric, "unit": target.unit} for target in table.targets
        ],
        "devices": [device.to_dict() for device in table.devices.values()],
        "meta": table.meta,
    }
    columns: dict[str, Any]
    if isinstance(table, CostTable):
        configs = [config and str(config) for config in table.configs]
        header |= {"configs": configs, "reasons": list(table.reasons), "groups": list(table.groups)}
        columns = _cost_columns(table)
    else:
        header |= {"config": None if table.config is None else str(table.config)}
        columns = {"key": list(table.keys)}
        for target, costs in table.block_costs.items():
            columns[str(target)] = pa.array([costs.get(key) for key in table.keys], pa.float64())
    raw = json.dumps(header).encode()
    arrow = pa.table(columns).replace_schema_metadata({_METADATA_KEY: raw, _DIGEST_KEY: _digest(raw)})
    with replacing(path, inputs) as temporary:
        pq.write_table(arrow, temporary, compression="zstd", write_page_checksum=True)
    return Path(path)


def check_table(what: str, table: AnyTable) -> None:
    """Raise if something is no table."""
    if not isinstance(table, (CostTable, BlockTable)):
        raise InvalidInputError(f"{what} takes a CostTable or a BlockTable, got {type(table).__name__}.")


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).hexdigest().encode()


def _cost_columns(table: CostTable) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if isinstance(table.batch, GraphBatch):
        graphs = [graph.to_json() for graph in table.batch.graphs]
        columns |= {"name": list(table.names), "digest": list(table.batch.keys), "graph": graphs}
    else:
        columns |= {f"op_{position:02d}": ops for position, ops in enumerate(table.archs.T)}
        columns["config"] = table.config_number.astype(np.int32)
    columns |= {f"group {kind}": list(labels) for kind, labels in table.groups.items()}
    for number, target in enumerate(table.targets):
        columns[str(target)] = table.costs[:, number]
        if table.repeats is not None:
            for place, part in enumerate(REPEATS):
                columns[f"{target} {part}"] = table.repeats[:, number, place]
        codes = np.zeros(len(table), np.int32)
        for code, where in enumerate(table.reasons.values(), start=1):
            codes[where[:, number]] = code
        if codes.any():
            columns[f"{target} missing"] = codes
        if target in table.operators:
            columns[f"{target}{_OPERATORS}"] = pa.array(table.operators[target], pa.list_(pa.float32()))
    return columns


def is_table(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a table of this package; a damaged parquet file counts as one."""
    with open_regular(path) as file:
        if file.read(4) != b"PAR1":
            return False
        try:
            return _METADATA_KEY in (pq.read_schema(file).metadata or {})
        except (pa.ArrowException, OSError, ValueError):
            return True


def read_parquet(path: str | os.PathLike[str]) -> AnyTable:
    """Read a table that :func:`write_parquet` wrote.

    Raises
    ------
    DataFileError
        If the file is missing, damaged, or not a table of this package.
    """
    name = input_path(path)
    try:
        # pq.read_table would go through pyarrow.dataset, which imports pandas.
        with open_regular(name) as opened, open_parquet(opened) as file:
            check_size(opened, file)
            arrow = file.read()
    except FileNotFoundError as error:
        raise DataFileError(f"there is no file {name}.") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataFileError(
            f"{name} is no readable parquet file ({str(error).splitlines()[0][:200]}). It may be truncated or damaged: "
            "convert, download or measure it again."
        ) from error
    metadata = arrow.schema.metadata or {}
    raw = metadata.get(_METADATA_KEY)
    if raw is None:
        raise DataFileError(
            f"{name} is a parquet file without this package's metadata; its columns are "
            f"{', '.join(arrow.column_names[:8])}. Write tables with hwnas_surrogate.data.write_parquet."
        )
    if metadata.get(_DIGEST_KEY, _digest(raw)) != _digest(raw):
        raise DataFileError(f"{name} has damaged metadata: convert, download or measure it again.")
    try:
        header = read_json(raw)
        if header["version"] != FORMAT_VERSION:
            raise DataFileError(
                f"{name} has table format {header['version']}, this version reads {FORMAT_VERSION}. "
                "Use the package version that wrote it, or convert the data again."
            )
        return _from_arrow(arrow, header)
    except DataFileError:
        raise
    except (HWNASError, LookupError, TypeError, ValueError) as error:
        raise DataFileError(f"{name} holds no valid cost table: {error}") from error


def _from_arrow(arrow: pa.Table, header: dict[str, Any]) -> AnyTable:
    space = get_space(header["space"])
    targets = []
    for item in header["targets"]:
        target = Target(item["device"], item["metric"])
        if item["unit"] != target.unit:
            raise ValueError(f"{target} is in {item['unit']!r}, this version keeps {target.metric} in {target.unit!r}.")
        targets.append(target)
    _check_once("target", list(map(str, targets)))
    devices = [Device(**item) for item in header["devices"]]
    if header["kind"] == "blocks":
        return _block_table(arrow, header, targets, devices)
    # A damaged name must not be mistaken for a missing optional column.
    ops = _GRAPHS if space is None else (*(f"op_{position:02d}" for position in range(space.n_positions)), "config")
    groups = {kind: f"group {kind}" for kind in header.get("groups", [])}
    known = {f"{target}{part}" for target in targets for part in ("", " missing", _OPERATORS, *_REPEATS)} | {
        *ops,
        *groups.values(),
    }
    names = frozenset(arrow.column_names)
    if not names <= known:
        raise ValueError(f"unknown column {min(names - known)!r}.")
    networks = _graphs(arrow) if space is None else np.stack([_integers(arrow, name) for name in ops[:-1]], axis=1)
    configs = None
    if space is not None and len(networks):
        distinct = np.array([space.config(text) for text in header["configs"]], object)
        configs = distinct[_integers(arrow, "config", len(distinct))]
    costs = _stacked([_numbers(arrow, str(target)) for target in targets], len(networks))
    parts = [[f"{target}{part}" for part in _REPEATS] for target in targets]
    has_repeats = bool(targets) and names.issuperset(itertools.chain(*parts))
    repeats = (
        [_stacked([_numbers(arrow, name) for name in row], len(networks)) for row in parts] if has_repeats else None
    )
    return CostTable(
        space,
        networks,
        costs,
        targets,
        configs=configs,
        groups={kind: _texts(arrow, name) for kind, name in groups.items()},
        devices=devices,
        reasons=_reasons(arrow, header["reasons"], targets, costs),
        repeats=None if repeats is None else np.stack(repeats, axis=1),
        operators={
            target: _lists(arrow, f"{target}{_OPERATORS}") for target in targets if f"{target}{_OPERATORS}" in names
        },
        meta=header["meta"],
    )


def _graphs(arrow: pa.Table) -> GraphBatch:
    names, digests = _texts(arrow, "name"), _texts(arrow, "digest")
    _check_once("network", digests)
    graphs = []
    for text, name, digest in zip(_texts(arrow, "graph"), names, digests, strict=True):
        graphs.append(Graph.from_json(text))
        if graphs[-1].digest != digest:
            raise ValueError(f"the graph of {name!r} has another hash: it is damaged, or of another version.")
    return GraphBatch(graphs, names)


def _block_table(
    arrow: pa.Table, header: dict[str, Any], targets: Sequence[Target], devices: Sequence[Device]
) -> BlockTable:
    keys = _texts(arrow, "key")
    _check_once("block", keys)
    costs = {
        target: {
            key: cost for key, cost in zip(keys, _numbers(arrow, str(target)).tolist(), strict=True) if cost == cost
        }
        for target in targets
    }
    config = header["config"]
    return BlockTable(
        costs,
        devices=devices,
        meta=header["meta"],
        config=None if config is None else get_space(header["space"]).config(config),
    )


def _reasons(
    arrow: pa.Table, reasons: Sequence[str], targets: Sequence[Target], costs: Costs
) -> dict[str, npt.NDArray[np.bool_]]:
    _check_once("reason", reasons)
    codes, names = np.zeros(costs.shape, np.int64), frozenset(arrow.column_names)
    for number, target in enumerate(targets):
        name = f"{target} missing"
        if name in names:
            codes[:, number] = _integers(arrow, name, len(reasons) + 1)
    return {reason: codes == code for code, reason in enumerate(reasons, start=1)}


def _check_once(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"the {what} {name!r:.200} occurs more than once.")
        seen.add(name)


def _stacked(columns: Sequence[npt.NDArray[np.float64]], n: int) -> npt.NDArray[np.float64]:
    return np.stack(columns, axis=1) if columns else np.empty((n, 0))


def _numbers(arrow: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column of numbers, NaN where it has none; texts, times and booleans are refused."""
    column = arrow.column(name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise ValueError(f"column {name!r} must hold numbers, it holds {_type(column)}.")
    return np.asarray(column.to_numpy(), np.float64)


def _lists(arrow: pa.Table, name: str) -> list[npt.NDArray[np.float64] | None]:
    """Return a column of lists of numbers, None where it has none."""
    column = arrow.column(name)
    if not pa.types.is_list(column.type) or not pa.types.is_floating(column.type.value_type):
        raise ValueError(f"column {name!r} must hold lists of numbers, it holds {column.type}.")
    return [
        np.asarray(entry.values.to_numpy(zero_copy_only=False), np.float64) if entry.is_valid else None
        for entry in column
    ]


def _type(column: pa.ChunkedArray) -> pa.DataType:
    """Return the type of a column's values; those of texts are numbered."""
    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type


def _texts(arrow: pa.Table, name: str) -> list[str]:
    """Return a column of texts, none of which is missing."""
    texts = entries(arrow.column(name))
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"column {name!r} must hold texts, got {wrong[0]!r:.60}.")
    return texts


def _integers(arrow: pa.Table, name: str, end: int | None = None) -> npt.NDArray[np.int64]:
    """Return a column of integers, each at least 0 and below ``end``."""
    column = arrow.column(name)
    if not pa.types.is_integer(column.type) or column.null_count:
        raise ValueError(f"column {name!r} must hold integers, it holds {_type(column)}, {column.null_count} empty.")
    values = np.asarray(column.to_numpy(), np.int64)
    wrong = (values < 0) | (values >= (np.inf if end is None else end))
    if wrong.any():
        allowed = "of at least 0" if end is None else f"from 0 to {end - 1}"
        raise ValueError(f"column {name!r} must hold integers {allowed}, got {values[wrong][0]}.")
    return values
