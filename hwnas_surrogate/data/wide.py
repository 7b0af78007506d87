"""Wide tables of measurements: architectures, and one column of costs per device."""

from __future__ import annotations

import itertools
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from hwnas_surrogate.data.csv_lines import Batches, WrongLines, check_once, columns_of, costs_of
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.data.target import METRICS, Target
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, unknown
from hwnas_surrogate.spaces import SearchSpace, arch_from_text, get_space, space_names

__all__ = ["GIVE_UP", "KEYS", "Wide", "factor_of", "space_of"]

KEYS = ("arch_str", "op_index")
GIVE_UP = 1000
"""Distinct entries that can't be read after which no more are looked at."""

_NPZ_ERRORS = (
    ValueError, zipfile.BadZipFile, zlib.error, tokenize.TokenError, EOFError, MemoryError, RuntimeError,
)  # fmt: skip
"""What numpy and zipfile raise for damaged bytes."""


def factor_of(metric: str, unit: str) -> float:
    """Return how many of the metric's own unit a unit is; an empty text is the metric's own."""
    if metric not in METRICS:
        raise unknown(InvalidInputError, "metric", metric, METRICS)
    return METRICS[metric].factor(unit or METRICS[metric].unit)


def space_of(texts: Iterable[str]) -> SearchSpace:
    """Return the space of the first architecture that any space can read, the default one where none can."""
    for text in itertools.islice(texts, GIVE_UP):
        for name in space_names():
            try:
                get_space(name).as_array(arch_from_text(text))
            except (HWNASError, ValueError):
                continue
            return get_space(name)
    return get_space(space_names()[0])


class Wide:
    """A wide file's columns: architectures, and costs by device."""

    def __init__(self, path: Path, columns: dict[str, Any]) -> None:
        self.path = path
        self.key = wide_key(path, list(columns))
        self.archs = np.asarray(columns.pop(self.key))
        self.costs = columns

    @classmethod
    def from_parquet(cls, path: Path) -> Wide:
        """Read a parquet file."""
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        names = [name for name in table.column_names if not name.startswith("__index_level_")]  # pandas' row numbers
        check_once(path, names)
        return cls(path, {name: table.column(name).to_pandas() for name in names})

    @classmethod
    def from_csv(cls, path: Path, header: Sequence[str], batches: Batches) -> Wide:
        """Read the batches of a CSV file."""
        check_once(path, header)
        if "" in header:
            raise DataFileError(
                f"{path}: column number {header.index('') + 1} has no name; every column beside arch_str or op_index "
                "is a device's (pandas writes row numbers unless told to_csv(index=False))."
            )
        key = wide_key(path, header)
        wrong = WrongLines(path)
        parts: dict[str, list[Any]] = {name: [] for name in header}
        for lines, texts in columns_of(header, batches, wrong):
            for name, column in texts.items():
                numeric = name != key
                read = costs_of(column, name, lines, wrong, or_missing=True) if numeric else np.array(column, object)
                parts[name].append(read)
        wrong.check()
        if not parts[key]:
            raise DataFileError(f"{path} holds no measurement.")
        return cls(path, {name: np.concatenate(some) for name, some in parts.items()})

    @classmethod
    def from_npz(cls, path: Path) -> Wide:
        """Read an npz file of plain arrays."""
        try:
            # Opened here: np.load leaves a file open whose list of members is damaged.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                columns = {name: arrays[name] for name in arrays.files}
        except _NPZ_ERRORS as error:
            raise DataFileError(f"{path} is no npz file of plain arrays ({error}).") from error
        return cls(path, columns)

    def table(self, space: SearchSpace | None, defaults: dict[str, str]) -> CostTable:
        """Make the cost table."""
        chosen, archs = self._architectures(space)
        config = chosen.config(defaults["config"] or None)
        if not self.costs:
            raise DataFileError(f"{self.path} has no column of costs beside {self.key}.")
        targets = []
        values = np.empty((len(archs), len(self.costs)))
        for place, (name, column) in enumerate(self.costs.items()):
            try:
                target = Target.parse(name) if "/" in name else Target(name, defaults["metric"])
                factor = factor_of(target.metric, defaults["unit"])
            except InvalidInputError as error:
                raise DataFileError(f"{self.path}: column {name!r}: {error}") from error
            with np.errstate(over="ignore"):
                values[:, place] = self._costs(name, column, len(archs)) * factor
            targets.append(target)
        try:
            return CostTable(
                chosen, archs, values, targets, configs=config,
                meta={"imported": {"file": self.path.name, "unit": defaults["unit"] or "the metric's own"}},
            )  # fmt: skip
        except InvalidInputError as error:
            raise DataFileError(f"{self.path}: {error}") from error

    def _architectures(self, space: SearchSpace | None) -> tuple[SearchSpace, npt.NDArray[np.int8]]:
        if self.archs.ndim not in ((1,) if self.key == "arch_str" else (1, 2)):
            raise DataFileError(f"{self.path}: {self.key} must be one per row, got an array of {self.archs.shape}.")
        if not len(self.archs):
            raise DataFileError(f"{self.path} holds no measurement.")
        try:
            if self.key == "arch_str":
                texts = [str(text) for text in self.archs]
                chosen = space or space_of(texts[:1])
                return chosen, chosen.as_array(texts)
            rows = self.archs
            if rows.ndim == 1:
                rows = np.array([_ops(row) for row in rows])
            fitting = [name for name in space_names() if get_space(name).n_positions == rows.shape[1]]
            chosen = space or get_space((fitting or list(space_names()))[0])
            return chosen, chosen.as_array(rows)
        except (HWNASError, ValueError, TypeError) as error:
            raise DataFileError(f"{self.path}: {self.key}: {error}") from error

    def _costs(self, name: str, column: Any, n: int) -> npt.NDArray[np.float64]:
        values = np.asarray(column)
        if values.shape != (n,):
            raise DataFileError(f"{self.path}: {name} must hold {n} costs, one per architecture, got {values.shape}.")
        if values.dtype.kind not in "iuf" and not all(map(_is_missing, values)):
            raise DataFileError(
                f"{self.path}: column {name!r} is not numeric ({values.dtype}); every column beside {self.key} is a "
                "device's."
            )
        return values.astype(np.float64)


def _is_missing(value: Any) -> bool:
    return value is None or bool(value != value)  # NaN equals nothing


def wide_key(path: Path, names: Sequence[str]) -> str:
    keys = [key for key in KEYS if key in names]
    if len(keys) != 1:
        raise DataFileError(
            f"{path} must have one of the columns arch_str and op_index; it has {', '.join(names)[:200]}."
        )
    return keys[0]


def _ops(row: Any) -> list[Any]:
    """Return the ops of a row: a list, or numbers as text."""
    if isinstance(row, str):
        return [int(op) for op in row.replace(",", " ").split()]
    if np.ndim(row) != 1:
        raise ValueError(f"each row must be a list of ops, got {row!r:.60}")
    return list(row)
