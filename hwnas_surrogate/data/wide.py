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
import pyarrow as pa

from hwnas_surrogate.data.csv_lines import GIVE_UP, MISSING, CsvFile, WrongLines, check_once
from hwnas_surrogate.data.headers import Heading, Headings, factor_of
from hwnas_surrogate.data.model_column import MODEL, NamedGraphs, group_kind
from hwnas_surrogate.data.official import NOT_COMPILED
from hwnas_surrogate.data.parquet import check_size, entries, open_parquet
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.inputs import check_archive, open_regular
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace, arch_from_text, get_space, ops_of_text, space_names

__all__ = ["ARCHITECTURE", "CONFIGS", "FAILED", "KEYS", "Wide", "are_failed", "space_of"]

KEYS = ("arch_str", "op_index")
"""Names of the column of architectures, in upper or lower case."""
ARCHITECTURE = "architecture"
"""The key of `hwnas query --csv` and of one measurement a line; used if none of KEYS is there."""
FAILED = "failed"
"""The entry of a CSV file for a network that failed, and the reason in the table if none is given."""
CONFIGS = ("config", "dataset")
"""Names of the column of configs, in upper or lower case."""

_NOT_COMPILED = {"edgetpu_latency": -1.0}
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


def are_failed(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return a mask of the entries of a CSV file that mean a failure."""
    return np.array([text.strip().casefold() == FAILED for text in texts])


class Wide:
    """A wide file's columns: architectures, configs if it has them, and costs by the column's name.

    ``failed`` has a mask of the networks that failed for the columns that have such entries.
    """

    def __init__(
        self,
        path: Path,
        columns: dict[str, Any],
        headings: dict[str, Heading],
        failed: dict[str, npt.NDArray[np.bool_]] | None = None,
    ) -> None:
        self.path = path
        self.failed = failed or {}
        self.key, self.config = _keys(path, list(columns))
        self._is_op_index = _plain(self.key) == "op_index"
        self.groups = {kind: columns[name] for name in columns if (kind := self._group(name)) is not None}
        self.archs = np.asarray(columns[self.key])
        self.configs = None if self.config is None else np.asarray(columns[self.config])
        self.headings = headings
        self.costs = {name: columns[name] for name in headings}

    def _group(self, name: str) -> str | None:
        return group_kind(name) if _plain(self.key) == MODEL else None

    @classmethod
    def from_parquet(cls, path: Path, read_as: Headings) -> Wide:
        """Read a parquet file."""
        with open_regular(path) as opened, open_parquet(opened) as file:
            # Leave out the columns in which pandas stores row numbers.
            names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            check_once(path, names)
            about, headings = _columns(path, names, read_as)
            try:
                check_size(opened, file, [*about, *headings])
            except ValueError as error:
                raise DataFileError(f"{path} is not read: {error}.") from error
            table = file.read([*about, *headings])
        return cls(path, {name: _values(table.column(name)) for name in table.column_names}, headings)

    @classmethod
    def from_csv(cls, file: CsvFile, read_as: Headings) -> Wide:
        """Read a CSV file."""
        path, header = file.path, file.header
        check_once(path, header)
        if "" in header:
            raise DataFileError(
                f"{path}: column number {header.index('') + 1} has no name; every column beside the architecture and "
                "its config is a device's (pandas writes row numbers unless told to_csv(index=False))."
            )
        about, headings = _columns(path, header, read_as)
        keys = [name for name in about if group_kind(name) is None]
        wrong = WrongLines(path)
        parts: dict[str, list[Any]] = {name: [] for name in (*about, *headings)}
        failed: dict[str, list[Any]] = {name: [] for name in headings}
        seen: dict[tuple[str, ...], int] = {}
        for lines, texts in file.columns(wrong):
            _check_repeats(zip(*(texts[name] for name in keys), strict=True), lines, seen, wrong)
            for name in about:
                parts[name].append(np.array(texts[name], object))
            for name, heading in headings.items():
                costs, fails = _costs_and_failures(file, name, texts[name], heading.text, lines, wrong)
                parts[name].append(costs)
                failed[name].append(fails)
        wrong.check()
        if not parts[about[0]]:
            raise DataFileError(f"{path} holds no measurement.")
        columns = {name: np.concatenate(some) for name, some in parts.items()}
        return cls(path, columns, headings, {name: np.concatenate(some) for name, some in failed.items()})

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

    @property
    def of_graphs(self) -> bool:
        """Whether the key names graphs."""
        return _plain(self.key) == MODEL

    def table(self, source: SearchSpace | NamedGraphs | None, defaults: dict[str, str]) -> CostTable:
        """Make the cost table."""
        chosen: SearchSpace | None = None
        if isinstance(source, NamedGraphs):
            archs: Any = self._graphs(source)
            configs = None
        else:
            chosen, archs = self._architectures(source, defaults["ops"] or None)
            configs = self._configs(chosen, chosen.config(defaults["config"] or None), len(archs))
        if not self.costs:
            raise DataFileError(f"{self.path} has no column of costs beside {self.key}.")
        values = np.empty((len(archs), len(self.costs)))
        failed, not_compiled = np.zeros((2, *values.shape), bool)
        for place, (name, heading) in enumerate(self.headings.items()):
            costs = self._costs(name, len(archs))
            if heading.text in _NOT_COMPILED:
                not_compiled[:, place] = costs == _NOT_COMPILED[heading.text]
                costs[not_compiled[:, place]] = np.nan
            if name in self.failed:
                failed[:, place] = self.failed[name]
            with np.errstate(over="ignore"):
                values[:, place] = costs * factor_of(heading.target.metric, heading.unit)
        imported = {"file": self.path.name, "unit": defaults["unit"] or "the metric's own"}
        try:
            return CostTable(
                chosen, archs, values, [heading.target for heading in self.headings.values()], configs=configs,
                groups={kind: _labels(self.path, kind, labels) for kind, labels in self.groups.items()},
                reasons={FAILED: failed, NOT_COMPILED: not_compiled},
                meta={"imported": imported, "columns": {name: str(heading) for name, heading in self.headings.items()}},
            )  # fmt: skip
        except InvalidInputError as error:
            raise DataFileError(f"{self.path}: {error}") from error

    def _graphs(self, named: NamedGraphs) -> GraphBatch:
        """Return the graph of each row."""
        if self.archs.ndim != 1 or not len(self.archs):
            raise DataFileError(f"{self.path}: {self.key} must name one network per row, got {self.archs.shape}.")
        if self.configs is not None:
            raise DataFileError(f"{self.path}: graphs have no config, remove the column {self.config}.")
        try:
            found = [named.find(_text(entry)) for entry in self.archs]
        except (HWNASError, ValueError) as error:
            raise DataFileError(f"{self.path}: {self.key}: {error}") from error
        batch, which = named.batch(found)
        first: dict[int, int] = {}
        for row, number in enumerate(which.tolist()):
            if (before := first.setdefault(number, row)) != row:
                pair = f"{self.archs[before]!r} and {self.archs[row]!r}"
                raise DataFileError(
                    f"{self.path}: {pair} (rows {before} and {row}) are the same network: a wide table has one row for "
                    "each. Files with one measurement a line may have repeats."
                )
        return batch.take(which)

    def _architectures(
        self, space: SearchSpace | None, convention: str | None
    ) -> tuple[SearchSpace, npt.NDArray[np.int8]]:
        if self.archs.ndim not in ((1, 2) if self._is_op_index else (1,)):
            raise DataFileError(f"{self.path}: {self.key} must be one per row, got an array of {self.archs.shape}.")
        if not len(self.archs):
            raise DataFileError(f"{self.path} holds no measurement.")
        try:
            if not self._is_op_index:
                texts = [str(text) for text in self.archs]
                chosen = space or space_of(texts[:1])
                archs = list(map(arch_from_text, texts))
                if _plain(self.key) != ARCHITECTURE:  # arch_str has strings, or lists of ops, but no indices
                    archs = [text if isinstance(arch, int) else arch for arch, text in zip(archs, texts, strict=True)]
                return chosen, chosen.stack(archs, convention)
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
        texts = [_text(entry) for entry in self.configs.tolist()]
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


def _text(entry: object) -> str:
    """Return an entry as text; an empty one where there is none (None, NaN)."""
    return "" if entry is None or entry != entry else str(entry).strip()


def _values(column: pa.ChunkedArray) -> Any:
    """Return a column as pandas would; texts as objects, each different one once."""
    if not pa.types.is_dictionary(column.type):
        return column.to_pandas()
    values = np.empty(len(column), object)
    values[:] = entries(column)
    return values


def _labels(path: Path, kind: str, labels: Any) -> list[str]:
    if np.ndim(labels) != 1:
        raise DataFileError(f"{path}: the group {kind!r} must have one label per row, got {np.shape(labels)}.")
    return [_text(label) for label in labels]


def _plain(name: str) -> str:
    """Return a column's name without blanks around it and in lower case."""
    return name.strip().casefold()


def _keys(path: Path, names: Sequence[str]) -> tuple[str, str | None]:
    """Return the columns of the architectures and, where there is one, of their configs."""
    plain = list(map(_plain, names))
    keys, archs, configs = (
        [name for name, known in zip(names, plain, strict=True) if known in allowed]
        for allowed in (KEYS, (ARCHITECTURE,), CONFIGS)
    )
    keys = keys or archs or [name for name, known in zip(names, plain, strict=True) if known == MODEL]
    if len(keys) != 1:
        raise DataFileError(
            f"{path} must have one of the columns arch_str and op_index (or architecture, as `hwnas query --csv` "
            f"writes it; or model, for graphs); it has {', '.join(names)[:200]}."
        )
    if keys == archs and "value" in plain:
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
    if _plain(about[0]) == MODEL:
        labels = {name: kind for name in names if (kind := group_kind(name)) is not None}
        check_once(path, [f"group {kind}" for kind in labels.values()])
        about += labels
    return about, read_as.read(path, [name for name in names if name not in about])


def _check_repeats(
    keys: Iterable[tuple[str, ...]], lines: npt.NDArray[np.int64], seen: dict[tuple[str, ...], int], wrong: WrongLines
) -> None:
    """Record the lines of networks that had a line before."""
    for at, (key, line) in enumerate(zip(keys, lines.tolist(), strict=True)):
        before = seen.setdefault(key, line)
        if before != line:
            wrong.add(lines[[at]], f"this network occurs more than once, as in line {before}")


def _costs_and_failures(
    file: CsvFile, name: str, texts: Sequence[str], header: str, lines: npt.NDArray[np.int64], wrong: WrongLines
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Read a column: costs, NaN where there is none, and whether the network failed."""
    plain = [text.strip().casefold() for text in texts]
    failed = np.array([text == FAILED for text in plain])
    missing = np.array([text in MISSING for text in plain]) | failed
    if header in _NOT_COMPILED:
        missing |= file.numbers(texts, lines, wrong) == _NOT_COMPILED[header]
    allowed = "a number of at least 0, empty, or 'failed'"
    return file.costs(texts, name, lines, wrong, allowed, missing), failed


def _ops(row: Any) -> list[Any]:
    """Return the ops of a row: a list, or numbers as text."""
    if isinstance(row, str):
        return [int(op) for op in ops_of_text(row)]
    if np.ndim(row) != 1:
        raise ValueError(f"each row must be a list of ops, got {row!r:.60}")
    return list(row)
