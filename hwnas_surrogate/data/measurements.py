"""Measurements from elsewhere: CSV with one measurement a line, or wide tables with one column per device."""

from __future__ import annotations

import csv
import itertools
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.data.target import METRICS, Target
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, unknown
from hwnas_surrogate.spaces import SearchSpace, arch_from_text, get_space, space_names

__all__ = ["read_measurements"]

LINES_AT_ONCE = 500
"""Lines of a CSV file in memory as text: so few that Python's garbage collector, a third of the time, stays out."""
CONTRADICTION = 10.0
"""Repeats of one measurement that differ by more than this factor are no repeats: a unit slipped."""
LISTED = 10
"""Wrong lines that an error lists."""
GIVE_UP = 1000
"""Distinct wrong entries of a column after which no more are looked at."""

COLUMNS = ("architecture", "config", "device", "metric", "value", "unit")
_NEEDED = ("architecture", "device", "value")
_WIDE_KEYS = ("arch_str", "op_index")
_MISSING = frozenset(["", "nan", "na", "n/a", "null", "none"])
"""What stands in a wide CSV file where there is no cost."""

_NPZ_ERRORS = (
    ValueError, zipfile.BadZipFile, zlib.error, tokenize.TokenError, EOFError, MemoryError, RuntimeError,
)  # fmt: skip
"""What numpy and zipfile raise for damaged bytes."""

_Batches: TypeAlias = Iterator[tuple[npt.NDArray[np.int64], list[list[str]]]]


def read_measurements(
    path: str | os.PathLike[str],
    space: str | SearchSpace | None = None,
    dataset: str | None = None,
    metric: str = "latency",
    unit: str | None = None,
) -> CostTable:
    """Read measurements made elsewhere into a cost table.

    Long form (CSV): one measurement a line, with the columns ``architecture, config, device, metric, value, unit``.
    An architecture is a string, a NAS-Bench-201 index, or ops joined by commas. Every line is checked; units are
    converted; repeats of one measurement become their median, and the table keeps their quartiles and halves.

    Wide form (CSV, parquet without this package's metadata, npz): ``arch_str`` or ``op_index``, and one column of
    costs per device, named after it (or ``device/metric``); empty or NaN where there is none.

    Parameters
    ----------
    path : path-like
        The file.
    space : str or SearchSpace, optional
        The search space; recognised from the architectures if None.
    dataset : str, optional
        The config where a line or a wide file names none: a published name or a config string; the space's first
        published one if None.
    metric : str, default="latency"
        The metric where a line or a wide file names none.
    unit : str, optional
        The unit where a line or a wide file names none; the metric's own (ms, mJ) if None.

    Returns
    -------
    CostTable
        In the metrics' own units.

    Raises
    ------
    DataFileError
        If the file can't be read, has other columns, or holds wrong lines: the first ten are listed with what is
        wrong. Nothing is imported then.
    InvalidInputError, InvalidConfigError
        If the space, metric, unit or dataset asked for does not exist.
    """
    name = Path(path)
    _factor(metric, unit or "")
    defaults = {"config": dataset or "", "metric": metric, "unit": unit or ""}
    chosen = None if space is None else get_space(space)
    if not name.is_file():
        raise DataFileError(f"{name} is a folder, not a file." if name.is_dir() else f"there is no file {name}.")
    try:
        with name.open("rb") as file:
            magic = file.read(4)
        if magic == b"PAR1":
            columns = _Wide.from_parquet(name)
        elif magic in (b"PK\3\4", b"PK\5\6"):
            columns = _Wide.from_npz(name)
        else:
            batches = _batches(name)
            header = [column.strip() for _, rows in itertools.islice(batches, 1) for column in rows[0]]
            if set(_NEEDED) <= set(header) or not set(_WIDE_KEYS) & set(header):
                return _read_long(name, header, batches, chosen, defaults)
            columns = _Wide.from_csv(name, header, batches)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataFileError(f"can't read {name}: {(str(error) or repr(error)).splitlines()[0][:200]}.") from error
    return columns.table(chosen, defaults)


def _factor(metric: str, unit: str) -> float:
    if metric not in METRICS:
        raise unknown(InvalidInputError, "metric", metric, METRICS)
    return METRICS[metric].factor(unit or METRICS[metric].unit)


# -- lines --------------------------------------------------------------------------------------------------


class _Wrong:
    """Wrong lines, collected so that all are told at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: set[int] = set()
        self.why: dict[int, str] = {}
        self.gave_up = False

    def add(self, lines: npt.NDArray[np.int64], why: str | Callable[[int], str]) -> None:
        """Note wrong lines, in rising order; ``why`` may take a place in them. The first reason of a line counts."""
        numbers = lines.tolist()
        self.lines.update(numbers)
        for place, line in enumerate(numbers[:LISTED]):
            if line not in self.why:
                self.why[line] = why if isinstance(why, str) else why(place)

    def check(self) -> None:
        if not self.lines:
            return
        listed = sorted(self.why)[:LISTED]
        n = len(self.lines)
        told = [f"  line {line}: {self.why[line]}" for line in listed]
        if n > len(listed):
            told.append(f"  and {n - len(listed)} more")
        raise DataFileError(
            f"{self.path} has {'at least ' if self.gave_up else ''}{n} wrong line{'s' if n > 1 else ''}; "
            "nothing was imported.\n" + "\n".join(told)
        )


def _batches(path: Path) -> _Batches:
    """Yield rows that are not blank, each with the number of the line where it starts; the header comes alone."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        lines, rows, line, size = [], [], 1, 1
        try:
            for fields in reader:
                if any(map(str.strip, fields)):
                    lines.append(line)
                    rows.append(fields)
                    if len(rows) == size:
                        yield np.array(lines), rows
                        lines, rows, size = [], [], LINES_AT_ONCE
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataFileError(f"{path} is no readable CSV file from line {line} on: {error}.") from error
        if rows:
            yield np.array(lines), rows


def _columns(
    header: Sequence[str], batches: _Batches, wrong: _Wrong
) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, tuple[str, ...]]]]:
    """Yield line numbers and each column's texts; what a short line lacks is empty."""
    n = len(header)
    for lines, rows in batches:
        for number in np.flatnonzero(np.array(list(map(len, rows))) != n):
            fields = rows[number]
            if any(map(str.strip, fields[n:])):
                why = f"{len(fields)} fields where the header has {n} (quote what has commas inside)"
                wrong.add(lines[[number]], why)
            fields[n:] = [""] * (n - len(fields))
        yield lines, dict(zip(header, zip(*rows, strict=True), strict=True))


class _Numbered(dict[str, int]):
    """The number of each text as the file has it, given out in order of first appearance."""

    def __init__(self, default: str) -> None:
        self.default = default
        self.texts: dict[str, int] = {}

    def __missing__(self, raw: str) -> int:
        number = self[raw] = self.texts.setdefault(raw.strip() or self.default, len(self.texts))
        return number


def _numbers(
    texts: Sequence[str], name: str, lines: npt.NDArray[np.int64], wrong: _Wrong, or_missing: bool = False
) -> npt.NDArray[np.float64]:
    """Read costs; NaN where there is none."""

    def number(text: str) -> float:
        try:
            return float(text) if text.isascii() and "_" not in text else np.nan
        except ValueError:
            return np.nan

    values = np.array([number(text) for text in texts])
    bad = ~(np.isfinite(values) & (values >= 0))
    if or_missing:
        bad &= [text.strip().lower() not in _MISSING for text in texts]
    at = np.flatnonzero(bad)
    allowed = "a number of at least 0" + (", or empty," if or_missing else ",")
    wrong.add(lines[at], lambda place: f"{name} must be {allowed} got {texts[at[place]]!r:.60}")
    return values


# -- one measurement a line ---------------------------------------------------------------------------------


def _read_long(
    path: Path, header: Sequence[str], batches: _Batches, space: SearchSpace | None, defaults: dict[str, str]
) -> CostTable:
    missing = [column for column in _NEEDED if column not in header]
    if missing:
        raise DataFileError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
            f"{', '.join(header)[:200] or 'none'}. One measurement a line has {', '.join(COLUMNS)} (config, metric and "
            "unit may be left out); a wide table has arch_str or op_index and one column per device."
        )
    _check_once(path, [column for column in header if column in COLUMNS])
    wrong = _Wrong(path)
    numbered = {column: _Numbered(defaults.get(column, "")) for column in COLUMNS if column != "value"}
    parts: dict[str, list[npt.NDArray[Any]]] = {column: [] for column in (*COLUMNS, "line")}
    for lines, texts in _columns(header, batches, wrong):
        for column, number in numbered.items():
            numbers = np.array(list(map(number.__getitem__, texts.get(column, [""] * len(lines)))))
            if column in _NEEDED and "" in number.texts:
                wrong.add(lines[numbers == number.texts[""]], f"no {column}")
            parts[column].append(numbers)
        parts["value"].append(_numbers(texts["value"], "value", lines, wrong))
        parts["line"].append(lines)
    if not parts["line"]:
        raise DataFileError(f"{path} holds no measurement.")
    columns = {column: np.concatenate(parts.pop(column)) for column in list(parts)}
    return _assemble(
        columns, {column: list(number.texts) for column, number in numbered.items()}, wrong, space, defaults
    )


def _check_once(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataFileError(f"{path}: the column {name!r} stands {names.count(name)} times, it must stand once.")


def _resolved(
    numbers: npt.NDArray[Any], resolve: Callable[[int], Any], lines: npt.NDArray[Any], wrong: _Wrong
) -> dict[int, Any]:
    """Resolve each distinct number, and note the lines of those that can't be."""
    found, errors = {}, {}
    for number in np.unique(numbers).tolist():
        try:
            found[number] = resolve(number)
        except (HWNASError, ValueError) as error:  # int() has ValueErrors of its own
            errors[number] = str(error).removeprefix("architecture number 0: ")
            if len(errors) == GIVE_UP:
                wrong.gave_up = True
                break
    at = np.flatnonzero(np.isin(numbers, list(errors)))
    wrong.add(lines[at], lambda place: errors[numbers[at[place]]])
    return found


def _assemble(
    columns: dict[str, npt.NDArray[Any]],
    texts: dict[str, list[str]],
    wrong: _Wrong,
    space: SearchSpace | None,
    defaults: dict[str, str],
) -> CostTable:
    """Check the distinct texts, merge repeats, and put the costs where they belong."""
    lines, value, architectures = columns["line"], columns["value"], texts["architecture"]
    metrics, units, devices = texts["metric"], texts["unit"], texts["device"]
    chosen = space or _space_of(architectures)
    chosen.config(defaults["config"] or None)

    def resolved(numbers: npt.NDArray[Any], resolve: Callable[[int], Any]) -> dict[int, Any]:
        return _resolved(numbers, resolve, lines, wrong)

    archs = resolved(columns["architecture"], lambda n: chosen.as_array(arch_from_text(architectures[n]))[0])
    configs = resolved(columns["config"], lambda n: chosen.config(texts["config"][n] or None))
    of_unit = columns["metric"] * len(units) + columns["unit"]
    factors = resolved(of_unit, lambda n: _factor(metrics[n // len(units)], units[n % len(units)]))
    of_target = columns["device"] * len(metrics) + columns["metric"]
    targets = resolved(of_target, lambda n: Target(devices[n // len(metrics)], metrics[n % len(metrics)]))
    wrong.check()
    with np.errstate(over="ignore"):
        costs = value * np.array([factors.get(n, np.nan) for n in range(len(metrics) * len(units))])[of_unit]
    at = np.flatnonzero(np.isinf(costs))
    wrong.add(lines[at], lambda place: f"value {value[at[place]]:g} is too large for its unit")
    wrong.check()
    batch, same = _merged(chosen, np.array([archs[n] for n in range(len(archs))]))
    first: dict[Any, int] = {}
    of_config = np.array([first.setdefault(configs[n], len(first)) for n in range(len(configs))])
    row = same[columns["architecture"]] * len(first) + of_config[columns["config"]]
    return _table(chosen, (batch, list(first), targets), (row, of_target), costs, lines, wrong)


def _table(
    space: SearchSpace,
    names: tuple[npt.NDArray[np.int8], list[Any], dict[int, Target]],
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    costs: npt.NDArray[np.float64],
    lines: npt.NDArray[np.int64],
    wrong: _Wrong,
) -> CostTable:
    """Merge repeats, and put the costs where they belong."""
    archs, configs, targets = names
    (rows, row), (used, column) = (np.unique(place, return_inverse=True) for place in places)
    cells, cell = np.unique(row * len(used) + column, return_inverse=True)
    merged = _merge(cell, costs, lines, [targets[used[number]].unit for number in cells % len(used)], wrong)
    wrong.check()
    repeated = len(cells) < len(costs)
    kept = merged if repeated else merged[:, 1:2]
    dense = np.full((len(rows) * len(used), kept.shape[1]), np.nan)
    dense[cells] = kept
    placed = dense.reshape(len(rows), len(used), -1)
    return CostTable(
        space,
        archs[rows // len(configs)],
        placed[..., 1 if repeated else 0],
        [targets[number] for number in used],
        configs=[configs[number] for number in rows % len(configs)],
        repeats=placed if repeated else None,
        meta={"imported": {"file": wrong.path.name, "measurements": len(costs), "estimator": "median of the repeats"}},
    )


def _merged(space: SearchSpace, archs: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Number architectures that were written differently but are the same alike."""
    _, first, inverse = np.unique(space.codes(archs), return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return archs[np.sort(first)], order[inverse.ravel()].astype(np.int64)


def _merge(
    cell: npt.NDArray[np.intp],
    costs: npt.NDArray[np.float64],
    lines: npt.NDArray[Any],
    units: Sequence[str],
    wrong: _Wrong,
) -> npt.NDArray[np.float64]:
    """Return the quartiles, and the medians of every other repeat, of each cell: shape (cells, 5)."""
    n = len(units)
    low, *quartiles, high = _quantiles(cell, costs, n, (0, 0.25, 0.5, 0.75, 1)).T
    at = np.flatnonzero((high > CONTRADICTION * low)[cell] & (costs == low[cell]))

    def why(place: int) -> str:
        mine = cell[at[place]]
        other = lines[np.argmax((cell == mine) & (costs == high[mine]))]
        return (
            f"contradicts line {other}: the same measurement, {low[mine]:.6g} {units[mine]} here and {high[mine]:.6g} "
            f"there (repeats may differ by a factor of {CONTRADICTION:g}; is a unit wrong?)"
        )

    wrong.add(lines[at], why)
    order = np.argsort(cell, kind="stable")
    counts = np.bincount(cell, minlength=n)
    repeat = np.empty(len(cell), np.int64)
    repeat[order] = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    halves = [_quantiles(cell[mine], costs[mine], n, (0.5,))[:, 0] for mine in (repeat % 2 == 0, repeat % 2 == 1)]
    return np.stack([*quartiles, *halves], axis=1)


def _quantiles(
    cell: npt.NDArray[np.intp], costs: npt.NDArray[np.float64], n: int, shares: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Return quantiles of the costs in each of n cells, shape (n, shares); NaN in empty cells."""
    ordered = costs[np.lexsort((costs, cell))]
    counts = np.bincount(cell, minlength=n)
    filled = counts > 0
    place = np.outer(counts[filled] - 1, shares)
    start = (np.cumsum(counts) - counts)[filled, None]
    below = ordered[start + np.floor(place).astype(np.intp)]
    above = ordered[start + np.ceil(place).astype(np.intp)]
    result = np.full((n, len(shares)), np.nan)
    result[filled] = below + (above - below) * (place % 1)
    return result


def _space_of(texts: Iterable[str]) -> SearchSpace:
    """Return the space of the first architecture that any space can read, the default one where none can."""
    for text in itertools.islice(texts, GIVE_UP):
        for name in space_names():
            try:
                get_space(name).as_array(arch_from_text(text))
            except (HWNASError, ValueError):
                continue
            return get_space(name)
    return get_space(space_names()[0])


# -- one column per device ----------------------------------------------------------------------------------


class _Wide:
    """A wide file's columns: architectures, and costs by device."""

    def __init__(self, path: Path, columns: dict[str, Any]) -> None:
        self.path = path
        self.key = _wide_key(path, list(columns))
        self.archs = np.asarray(columns.pop(self.key))
        self.costs = columns

    @classmethod
    def from_parquet(cls, path: Path) -> _Wide:
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        names = [name for name in table.column_names if not name.startswith("__index_level_")]  # pandas' row numbers
        _check_once(path, names)
        return cls(path, {name: table.column(name).to_pandas() for name in names})

    @classmethod
    def from_csv(cls, path: Path, header: Sequence[str], batches: _Batches) -> _Wide:
        _check_once(path, header)
        if "" in header:
            raise DataFileError(
                f"{path}: column number {header.index('') + 1} has no name; every column beside arch_str or op_index "
                "is a device's (pandas writes row numbers unless told to_csv(index=False))."
            )
        key = _wide_key(path, header)
        wrong = _Wrong(path)
        parts: dict[str, list[Any]] = {name: [] for name in header}
        for lines, texts in _columns(header, batches, wrong):
            for name, column in texts.items():
                numeric = name != key
                read = _numbers(column, name, lines, wrong, or_missing=True) if numeric else np.array(column, object)
                parts[name].append(read)
        wrong.check()
        if not parts[key]:
            raise DataFileError(f"{path} holds no measurement.")
        return cls(path, {name: np.concatenate(some) for name, some in parts.items()})

    @classmethod
    def from_npz(cls, path: Path) -> _Wide:
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
                factor = _factor(target.metric, defaults["unit"])
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
                chosen = space or _space_of(texts[:1])
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
        if values.dtype.kind not in "iuf" and not pd.isna(values).all():
            raise DataFileError(
                f"{self.path}: column {name!r} is not numeric ({values.dtype}); every column beside {self.key} is a "
                "device's."
            )
        return values.astype(np.float64)


def _wide_key(path: Path, names: Sequence[str]) -> str:
    keys = [key for key in _WIDE_KEYS if key in names]
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
