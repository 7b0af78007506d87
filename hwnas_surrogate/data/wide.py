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
from hwnas_surrogate.data.headers import Heading, Headings, factor_of
from hwnas_surrogate.data.official import NOT_COMPILED
from hwnas_surrogate.data.store import MOST_CELLS
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError
from hwnas_surrogate.inputs import check_archive, open_regular
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace, arch_from_text, get_space, space_names

__all__ = ["ARCHITECTURE", "CONFIGS", "GIVE_UP", "KEYS", "Wide", "space_of"]

KEYS = ("arch_str", "op_index")
ARCHITECTURE = "architecture"
"""The key of `hwnas query --csv` and of one measurement a line; used if none of KEYS is there."""
CONFIGS = ("config", "dataset")
"""Names of the column of configs, in upper or lower case."""
GIVE_UP = 1000
"""Number of distinct unreadable entries after which reading stops."""

_FAILED = {"edgetpu_latency": -1.0}
"""HW-NAS-Bench's entry, under its own key, for a network that did not compile."""

_NPZ_ERRORS = (
    ValueError, zipfile.BadZipFile, zlib.error, tokenize.TokenError, EOFError, MemoryError, RuntimeError,
)  # fmt: skip
"""Exceptions that numpy and zipfile raise for damaged bytes."""


def space_of(texts: Iterable[str]) -> SearchSpace:
    """Return the space of the first architecture that any space can read; the default space if there is none."""
    for text in itertools.islice(texts, GIVE_UP):
        for name in space_names():
            try:
                get_space(name).as_array(arch_from_text(text))
            except (HWNASError, ValueError):
                continue
            return get_space(name)
    return get_space(space_names()[0])


class Wide:
    """A wide file's columns: architectures, configs if it has them, and costs by the column's name."""

    def __init__(self, path: Path, columns: dict[str, Any], headings: dict[str, Heading]) -> None:
        self.path = path
        self.key, self.config = _keys(path, list(columns))
        self.archs = np.asarray(columns[self.key])
        self.configs = None if self.config is None else np.asarray(columns[self.config])
        self.headings = headings
        self.costs = {name: columns[name] for name in headings}

    @classmethod
    def from_parquet(cls, path: Path, read_as: Headings) -> Wide:
        """Read a parquet file."""
        with open_regular(path) as opened, pq.ParquetFile(opened, page_checksum_verification=True) as file:
            # Leave out the columns in which pandas stores row numbers.
            names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            check_once(path, names)
            about, headings = _columns(path, names, read_as)
            n_cells = file.metadata.num_rows * (len(about) + len(headings))
            if n_cells > MOST_CELLS:
                raise DataFileError(f"{path} claims {n_cells:,} cells, and {MOST_CELLS:,} are the most that is read.")
            table = file.read([*about, *headings])
        return cls(path, {name: table.column(name).to_pandas() for name in table.column_names}, headings)

    @classmethod
    def from_csv(cls, path: Path, header: Sequence[str], batches: Batches, read_as: Headings) -> Wide:
        """Read the batches of a CSV file."""
        check_once(path, header)
        if "" in header:
            raise DataFileError(
                f"{path}: column number {header.index('') + 1} has no name; every column beside the architecture and "
                "its config is a device's (pandas writes row numbers unless told to_csv(index=False))."
            )
        about, headings = _columns(path, header, read_as)
        wrong = WrongLines(path)
        parts: dict[str, list[Any]] = {name: [] for name in (*about, *headings)}
        for lines, texts in columns_of(header, batches, wrong):
            for name in about:
                parts[name].append(np.array(texts[name], object))
            for name, heading in headings.items():
                failed = _FAILED.get(heading.text)
                parts[name].append(costs_of(texts[name], name, lines, wrong, or_missing=True, or_failed=failed))
        wrong.check()
        if not parts[about[0]]:
            raise DataFileError(f"{path} holds no measurement.")
        return cls(path, {name: np.concatenate(some) for name, some in parts.items()}, headings)

    @classmethod
    def from_npz(cls, path: Path, read_as: Headings) -> Wide:
        """Read an npz file of plain arrays."""
        try:
            # Opened here, since np.load does not close a file whose list of members is damaged.
            with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
                check_archive(arrays.zip)
                about, headings = _columns(path, arrays.files, read_as)
                columns = {name: arrays[name] for name in (*about, *headings)}
        except DataFileError:
            raise
        except _NPZ_ERRORS as error:
            raise DataFileError(f"{path} is no npz file of plain arrays ({error}).") from error
        return cls(path, columns, headings)

    def table(self, space: SearchSpace | None, defaults: dict[str, str]) -> CostTable:
        """Make the cost table."""
        chosen, archs = self._architectures(space, defaults["ops"] or None)
        configs = self._configs(chosen, chosen.config(defaults["config"] or None), len(archs))
        if not self.costs:
            raise DataFileError(f"{self.path} has no column of costs beside {self.key}.")
        values = np.empty((len(archs), len(self.costs)))
        failed = np.zeros(values.shape, bool)
        for place, (name, heading) in enumerate(self.headings.items()):
            costs = self._costs(name, len(archs))
            if heading.text in _FAILED:
                failed[:, place] = costs == _FAILED[heading.text]
                costs[failed[:, place]] = np.nan
            with np.errstate(over="ignore"):
                values[:, place] = costs * factor_of(heading.target.metric, heading.unit)
        imported = {"file": self.path.name, "unit": defaults["unit"] or "the metric's own"}
        try:
            return CostTable(
                chosen, archs, values, [heading.target for heading in self.headings.values()], configs=configs,
                reasons={NOT_COMPILED: failed},
                meta={"imported": imported, "columns": {name: str(heading) for name, heading in self.headings.items()}},
            )  # fmt: skip
        except InvalidInputError as error:
            raise DataFileError(f"{self.path}: {error}") from error

    def _architectures(
        self, space: SearchSpace | None, convention: str | None
    ) -> tuple[SearchSpace, npt.NDArray[np.int8]]:
        if self.archs.ndim not in ((1, 2) if self.key == "op_index" else (1,)):
            raise DataFileError(f"{self.path}: {self.key} must be one per row, got an array of {self.archs.shape}.")
        if not len(self.archs):
            raise DataFileError(f"{self.path} holds no measurement.")
        try:
            if self.key != "op_index":
                texts = [str(text) for text in self.archs]
                chosen = space or space_of(texts[:1])
                read = arch_from_text if self.key == ARCHITECTURE else str
                return chosen, chosen.stack([read(text) for text in texts], convention)
            rows = self.archs
            if rows.ndim == 1:
                rows = np.array([_ops(row) for row in rows])
            fitting = [name for name in space_names() if get_space(name).n_positions == rows.shape[1]]
            chosen = space or get_space((fitting or list(space_names()))[0])
            return chosen, chosen.stack(rows, convention)
        except InvalidInputError:  # there is no such convention
            raise
        except (HWNASError, ValueError, TypeError) as error:
            raise DataFileError(f"{self.path}: {self.key}: {error}") from error

    def _configs(self, space: SearchSpace, default: NetworkConfig, n: int) -> NetworkConfig | list[NetworkConfig]:
        """Return the config of each row; the default if the file names none."""
        if self.configs is None:
            return default
        if self.configs.shape != (n,):
            raise DataFileError(
                f"{self.path}: {self.config} must hold {n} configs, one per architecture, got {self.configs.shape}."
            )
        texts = [
            "" if text is None or (isinstance(text, float) and text != text) else str(text).strip()
            for text in self.configs.tolist()
        ]
        read = {"": default}
        for row, text in enumerate(texts):
            if text not in read:
                try:
                    read[text] = space.config(text)
                except (HWNASError, ValueError) as error:  # int() has ValueErrors of its own
                    raise DataFileError(f"{self.path}: {self.config}: row {row}: {error}") from error
        return [read[text] for text in texts]

    def _costs(self, name: str, n: int) -> npt.NDArray[np.float64]:
        column = self.costs[name]
        if np.shape(column) != (n,):
            raise DataFileError(
                f"{self.path}: {name} must hold {n} costs, one per architecture, got {np.shape(column)}."
            )
        try:
            return reals(column, f"column {name!r} is not numeric")
        except InvalidInputError as error:
            raise DataFileError(
                f"{self.path}: {error} Name the columns that hold costs: hwnas import --columns, or "
                "read_measurements(path, columns=...)."
            ) from error


def _keys(path: Path, names: Sequence[str]) -> tuple[str, str | None]:
    """Return the columns of the architectures and, where there is one, of their configs."""
    keys = [key for key in KEYS if key in names] or [name for name in names if name == ARCHITECTURE]
    configs = [name for name in names if name.strip().casefold() in CONFIGS]
    if len(keys) != 1:
        raise DataFileError(
            f"{path} must have one of the columns arch_str and op_index (or architecture, as `hwnas query --csv` "
            f"writes it); it has {', '.join(names)[:200]}."
        )
    if keys == [ARCHITECTURE] and "value" in names:
        raise DataFileError(
            f"{path} has the columns architecture and value, of one measurement a line: that is read from CSV files "
            "only. Write it as one (to_csv(index=False)), or make it a wide table: a column of costs per device."
        )
    if len(configs) > 1:
        raise DataFileError(f"{path} must name each row's config once, it has the columns {' and '.join(configs)}.")
    return keys[0], configs[0] if configs else None


def _columns(path: Path, names: Sequence[str], read_as: Headings) -> tuple[list[str], dict[str, Heading]]:
    """Return the columns of architectures and configs, and the interpretation of the others."""
    about = [name for name in _keys(path, names) if name is not None]
    return about, read_as.read(path, [name for name in names if name not in about])


def _ops(row: Any) -> list[Any]:
    """Return the ops of a row: a list, or numbers as text."""
    if isinstance(row, str):
        return [int(op) for op in row.strip("()[] ").replace(",", " ").split()]
    if np.ndim(row) != 1:
        raise ValueError(f"each row must be a list of ops, got {row!r:.60}")
    return list(row)
