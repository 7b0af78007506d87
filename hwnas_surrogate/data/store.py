"""Cost tables as parquet files, with everything about them inside."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data.blocks import BlockTable
from hwnas_surrogate.data.table import REPEATS, CostTable
from hwnas_surrogate.data.target import Device, Target
from hwnas_surrogate.errors import DataFileError, HWNASError
from hwnas_surrogate.files import replacing
from hwnas_surrogate.spaces import get_space

__all__ = ["AnyTable", "is_table", "read_parquet", "write_parquet"]

AnyTable: TypeAlias = CostTable | BlockTable
"""What :func:`load_table` returns."""

FORMAT_VERSION = 2
_REPEATS = tuple(f" {part}" for part in REPEATS)
_METADATA_KEY = b"hwnas_surrogate"
_DIGEST_KEY = b"hwnas_surrogate.sha256"  # of the metadata: parquet has checksums for the data only


def write_parquet(table: AnyTable, path: str | os.PathLike[str]) -> Path:
    """Write a table; a file that stood there before is replaced at once or not at all.

    A cost table has one int8 column per position (``op_00``, ...), ``config`` (a number into the metadata's list)
    and one float64 column per target. A block table has ``key`` and one float64 column per target.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    DataFileError
        If the file can't be written.
    """
    header: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "kind": "costs" if isinstance(table, CostTable) else "blocks",
        "space": table.space.name,
        "targets": [
            {"device": target.device, "metric": target.metric, "unit": target.unit} for target in table.targets
        ],
        "devices": [device.to_dict() for device in table.devices.values()],
        "meta": table.meta,
    }
    columns: dict[str, Any]
    if isinstance(table, CostTable):
        header |= {"configs": [str(config) for config in table.configs], "reasons": list(table.reasons)}
        columns = _cost_columns(table)
    else:
        header |= {"config": None if table.config is None else str(table.config)}
        columns = {"key": list(table.keys)}
        for target, costs in table.block_costs.items():
            columns[str(target)] = pa.array([costs.get(key) for key in table.keys], pa.float64())
    raw = json.dumps(header).encode()
    arrow = pa.table(columns).replace_schema_metadata({_METADATA_KEY: raw, _DIGEST_KEY: _digest(raw)})
    with replacing(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd", write_page_checksum=True)
    return Path(path)


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).hexdigest().encode()


def _cost_columns(table: CostTable) -> dict[str, Any]:
    columns: dict[str, Any] = {
        f"op_{position:02d}": table.archs[:, position] for position in range(table.space.n_positions)
    }
    columns["config"] = table.config_number.astype(np.int32)
    for number, target in enumerate(table.targets):
        columns[str(target)] = table.costs[:, number]
        if table.repeats is not None:
            for place, part in enumerate(REPEATS):
                columns[f"{target} {part}"] = table.repeats[:, number, place]
        codes = np.zeros(len(table), np.int8)
        for code, where in enumerate(table.reasons.values(), start=1):
            codes[where[:, number]] = code
        if codes.any():
            columns[f"{target} missing"] = codes
    return columns


def is_table(path: str | os.PathLike[str]) -> bool:
    """Tell whether a parquet file is a table of ours; a damaged one counts as one."""
    try:
        return _METADATA_KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError, ValueError):
        return True


def read_parquet(path: str | os.PathLike[str]) -> AnyTable:
    """Read a table that :func:`write_parquet` wrote.

    Raises
    ------
    DataFileError
        If the file is not there, damaged, or no table of ours.
    """
    name = Path(path)
    if not name.is_file():
        raise DataFileError(f"there is no file {name}.")
    try:
        # pq.read_table does the same by way of pyarrow.dataset, which imports pandas.
        with pq.ParquetFile(name, page_checksum_verification=True) as file:
            arrow = file.read()
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
        header = json.loads(raw)
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
    devices = [Device(**item) for item in header["devices"]]
    if header["kind"] == "blocks":
        keys = arrow.column("key").to_pylist()
        costs = {
            target: {
                key: cost
                for key, cost in zip(keys, arrow.column(str(target)).to_pylist(), strict=True)
                if cost is not None
            }
            for target in targets
        }
        config = header["config"]
        return BlockTable(
            costs, devices=devices, meta=header["meta"], config=None if config is None else space.config(config)
        )
    positions = range(space.n_positions)
    values = {name: _numbers(arrow, name) for name in arrow.column_names}
    # Damage to a name must not pass for a table without that optional column.
    known = {f"{target}{part}" for target in targets for part in ("", " missing", *_REPEATS)} | {"config"}
    known |= {f"op_{position:02d}" for position in positions}
    if not known.issuperset(values):
        raise ValueError(f"unknown column {min(values.keys() - known)!r}.")
    archs = np.stack([values[f"op_{position:02d}"] for position in positions], axis=1)
    numbers = values["config"]
    configs = [space.config(text) for text in header["configs"]]
    reasons: dict[str, npt.NDArray[np.bool_]] = {}
    for code, reason in enumerate(header["reasons"], start=1):
        reasons[reason] = np.stack(
            [values.get(f"{target} missing", np.zeros(len(archs), np.int8)) == code for target in targets], axis=1
        )
    parts = [[values.get(f"{target}{part}") for part in _REPEATS] for target in targets]
    has_repeats = bool(targets) and not any(part is None for row in parts for part in row)
    return CostTable(
        space,
        archs,
        np.stack([values[str(target)] for target in targets], axis=1) if targets else np.empty((len(archs), 0)),
        targets,
        configs=np.array(configs, object)[numbers] if len(archs) else None,
        devices=devices,
        reasons=reasons,
        repeats=np.moveaxis(np.array(parts), 2, 0) if has_repeats else None,
        meta=header["meta"],
    )


def _numbers(arrow: pa.Table, name: str) -> npt.NDArray[Any]:
    """Return a column, NaN where there is no cost; pyarrow's own to_numpy would import pandas."""
    column = arrow.column(name)
    if column.null_count and pa.types.is_floating(column.type):
        column = column.fill_null(np.nan)
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(f"column {name!r} must hold numbers, got {column.type} with {column.null_count} nulls.")
    array: npt.NDArray[Any] = np.from_dlpack(column.combine_chunks())
    return array
