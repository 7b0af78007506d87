"""Measurements from elsewhere: CSV with one measurement a line, or wide tables with one column per device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hwnas_surrogate.data.csv_lines import GIVE_UP, MISSING, CsvFile, Numbered, WrongLines, check_once
from hwnas_surrogate.data.headers import Headings, factor_of
from hwnas_surrogate.data.model_column import MODEL, NamedGraphs, group_kind, labels_of_rows
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.data.target import Target
from hwnas_surrogate.data.wide import ARCHITECTURE, CONFIGS, FAILED, KEYS, Wide, are_failed, space_of
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.inputs import input_path, open_regular
from hwnas_surrogate.spaces import NetworkConfig, Networks, SearchSpace, arch_from_text, get_space

__all__ = ["COLUMNS", "FAILED", "FRAMES", "read_measurements"]

CONTRADICTION = 10.0
"""Repeats of one measurement may differ by this factor; if they differ by more, a unit is probably wrong."""
COLUMNS = ("architecture", "config", "device", "metric", "value", "unit", "note")
_NEEDED = ("architecture", "device", "value")
_NOT_READ = ("file", "number", "comment")
"""Further columns that a form may have."""
_MOST = 2**28
"""Maximum number of costs of a table, missing ones included: 2 GiB."""
FRAMES = (
    " A DataFrame is written to a file first, frame.to_csv(path, index=False), or its columns make a table: "
    "CostTable(space, archs, costs, targets)."
)
"""What to do with measurements that are not in a file."""
_GROUP = "group:"
"""The canonical name of a column of labels begins with this."""
_MARK = -1.0
"""A number that means a failure, since no metric is negative."""


def read_measurements(
    path: str | os.PathLike[str],
    space: str | SearchSpace | None = None,
    dataset: str | None = None,
    metric: str | None = None,
    unit: str | None = None,
    convention: str | None = None,
    columns: Iterable[str] | Mapping[str, str] | None = None,
    networks: Networks | None = None,
) -> CostTable:
    r"""Read measurements made elsewhere into a cost table.

    Long form (CSV): one measurement a line, with the columns ``architecture, config, device, metric, value, unit,
    note``, in upper or lower case; ``dataset`` is a synonym of ``config``. ``file``, ``number`` and ``comment`` are
    ignored, and any other column is refused. An architecture is a string, a NAS-Bench-201 index, or ops joined by
    commas, as a tuple, a list or an array is printed too. Every line is checked, and units are converted. Repeats of
    one measurement become their median; the table keeps their quartiles and the medians of two halves. A network that
    failed has the value ``failed`` or -1, or no value, and the reason in ``note``; without a note, ``failed`` is the
    reason. The notes of other lines are ignored.

    Wide form (CSV, parquet without this package's metadata, npz): a key column ``arch_str``, ``op_index`` or
    ``architecture`` (as ``hwnas query --csv`` writes it); a column ``config`` (or ``dataset``), if rows differ in it;
    and one column of costs for each device and metric, empty or NaN for missing costs, or in CSV ``failed`` where the
    network failed. A header reads ``device``,
    ``device_metric`` (HW-NAS-Bench's keys), ``device_metric_unit``, ``device_unit``, ``device (unit)``,
    ``device/metric`` or ``device/metric (unit)``. If a header names no metric, the metric follows from the unit. If it
    names no device, the device is named after the file. Columns that are not costs (``accuracy``, ``nano_fps``,
    ``flops``, ``latency_std``, ``seed``) are refused: select and rename columns with ``columns``.
    ``table.meta["columns"]`` records how each column was interpreted. Under HW-NAS-Bench's key ``edgetpu_latency``, -1
    means that the network did not compile.

    Networks of any kind have a column ``model`` in place of ``architecture``, in either form: the path of an ONNX file,
    relative to the CSV file's folder, or a name of ``networks`` or of the table of graphs that has the CSV file's name
    and ends in ``.parquet`` (as ``hwnas suggest --networks`` writes it). Columns ``family``, ``group`` and ``group
    NAME`` hold labels of networks (:class:`CostTable`).

    CSV files are separated by commas, semicolons or tabs, or as a first line ``sep=;`` says, in UTF-8 or UTF-16. Files
    separated by semicolons may have decimal commas.

    Parameters
    ----------
    path : path-like
        The file.
    space : str or SearchSpace, optional
        The search space; recognised from the architectures if None.
    dataset : str, optional
        The default config of lines and wide files without one: a published name or a config string; the space's first
        published config if None.
    metric : str, optional
        The default metric of lines and headers; if None, the unit's metric, or latency.
    unit : str, optional
        The default unit of lines and headers; the metric's own (ms, mJ) if None. A header that contradicts
        ``metric`` or ``unit`` is refused.
    convention : str, optional
        The convention of the file's op numbers, as in ``space.from_convention`` (``"naslib"``); the space's own if
        None.
    columns : sequence of str, or mapping of str to str, optional
        The columns to read from a wide file. A mapping gives the header to interpret each column by:
        ``{"t1": "raspi4/latency (us)"}``. All if None.

    Returns
    -------
    CostTable
        In the metrics' own units.

    Raises
    ------
    DataFileError
        If the file can't be read, has other columns, or holds wrong lines. The message lists the first ten and what is
        wrong with each; nothing is imported.
    InvalidInputError, InvalidConfigError
        If the given space, metric, unit, dataset or convention does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "wide.csv"
    ...     _ = path.write_text("op_index,raspi4_latency_us,fpga_energy\n0 1 2 3 4 0,1500,2\n")
    ...     table = read_measurements(path)
    >>> table.meta["columns"]
    {'raspi4_latency_us': 'raspi4/latency (us)', 'fpga_energy': 'fpga/energy (mJ)'}
    """
    name = input_path(path, FRAMES)
    read_as = Headings.of(metric, unit, columns)
    defaults = {
        "config": dataset or "",
        "metric": read_as.default_metric,
        "unit": read_as.unit,
        "ops": convention or "",
    }
    chosen = None if space is None else get_space(space)
    try:
        with open_regular(name) as opened:
            magic = opened.read(4) or b""
        if magic == b"PAR1":
            wide = Wide.from_parquet(name, read_as)
        elif magic in (b"PK\3\4", b"PK\5\6"):
            wide = Wide.from_npz(name, read_as)
        else:
            file = CsvFile(name)
            if _is_long(file.header):
                if columns is not None:
                    raise DataFileError(
                        f"{name} has one measurement a line, in the columns {', '.join(file.header)[:200]}: columns "
                        "are chosen from a wide table only, which has arch_str or op_index and one column per device."
                    )
                return _read_long(file, _source(name, _names_graphs(file.header), chosen, networks), defaults)
            wide = Wide.from_csv(file, read_as)
    except FileNotFoundError as error:
        raise DataFileError(f"there is no file {name}.") from error
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        raise DataFileError(f"can't read {name}: {reason.splitlines()[0][:200]}.") from error
    return wide.table(_source(name, wide.of_graphs, chosen, networks), defaults)


def _names_graphs(header: Sequence[str]) -> bool:
    names = [name.casefold() for name in header]
    return MODEL in names and ARCHITECTURE not in names


def _source(
    path: Path, of_graphs: bool, space: SearchSpace | None, networks: Networks | None
) -> SearchSpace | NamedGraphs | None:
    """Return what a file's networks are of: a space, None if it is to be found out, or named graphs."""
    if not of_graphs:
        if networks is not None:
            raise InvalidInputError(f"networks name the graphs of a column {MODEL!r}; {path} has none.")
        return space
    if space is not None:
        raise InvalidInputError(f"{path} names graphs, in its column {MODEL!r}: leave the space out.")
    return NamedGraphs(path, networks)


def _is_long(header: Sequence[str]) -> bool:
    """Return whether a CSV file has one measurement a line; otherwise it is a wide table."""
    names = {name.casefold() for name in header}
    if {"device", "value"} <= names:
        return True
    return not names & set(KEYS) and (not names & {ARCHITECTURE, MODEL} or bool(names & {"device", "value"}))


def _known(file: CsvFile) -> list[str]:
    """Return the canonical column names; raise if a required column is missing or another one is there."""
    path, header = file.path, file.header
    names = [name.casefold() for name in header]
    if _names_graphs(header):
        names = [ARCHITECTURE if name == MODEL else name for name in names]
        kinds = map(group_kind, header)
        names = [name if kind is None else f"{_GROUP}{kind}" for name, kind in zip(names, kinds, strict=True)]
    both = [name for name in header if name.casefold() in CONFIGS]
    if {name.casefold() for name in both} == set(CONFIGS):
        raise DataFileError(f"{path} has the columns {' and '.join(both)}, which mean the same: leave one.")
    names = ["config" if name in CONFIGS else name for name in names]
    form = f"One measurement a line has {', '.join(COLUMNS)} (config, metric, unit and note may be left out)"
    if missing := [column for column in _NEEDED if column not in names]:
        key = next((name for name in header if name.casefold() in KEYS), "")
        rename = f"; name the key architecture, not {key}" if key and "architecture" in missing else ""
        raise DataFileError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
            f"{', '.join(header)[:200] or 'none'}.{file.hint} {form}{rename}; a wide table has arch_str or op_index "
            "and one column per device."
        )
    check_once(path, [name for name in names if name in COLUMNS or name.startswith(_GROUP)])
    allowed = (*COLUMNS, *_NOT_READ)
    others = [
        header[at] or "(no name)"
        for at, name in enumerate(names)
        if name not in allowed and not name.startswith(_GROUP)
    ]
    if others:
        index = " Row numbers of pandas have no name: to_csv(index=False)." if "" in names else ""
        raise DataFileError(
            f"{path} has columns that one measurement a line does not have: {', '.join(others)[:200]}. They may change "
            f"what the costs mean, so none is passed over. {form}, and {', '.join(_NOT_READ)}, which are not read. "
            f"Rename or delete the others; put their information into device (runtime, batch), config or unit.{index}"
        )
    return names


def _read_long(file: CsvFile, source: SearchSpace | NamedGraphs | None, defaults: dict[str, str]) -> CostTable:
    names = _known(file)
    wrong = WrongLines(file.path)
    every = (*COLUMNS, *(name for name in names if name.startswith(_GROUP)))
    numbered = {column: Numbered(defaults.get(column, "")) for column in every if column not in ("value", "note")}
    reason = Numbered(FAILED)
    parts: dict[str, list[npt.NDArray[Any]]] = {column: [] for column in (*every, "line")}
    for lines, texts in file.columns(wrong, names):
        blanks = ("",) * len(lines)
        for column, number in numbered.items():
            numbers = np.array(list(map(number.__getitem__, texts.get(column, blanks))))
            if column in _NEEDED and "" in number.texts:
                wrong.add(lines[numbers == number.texts[""]], f"no {column}")
            parts[column].append(numbers)
        values, notes = texts["value"], texts.get("note", blanks)
        explained = [
            bool(note.strip()) and value.strip().casefold() in MISSING
            for value, note in zip(values, notes, strict=True)
        ]
        failed = are_failed(values) | (file.numbers(values, lines, wrong) == _MARK) | explained
        costs = file.costs(values, "value", lines, wrong, "a number of at least 0, or 'failed'", failed)
        parts["value"].append(costs)
        parts["note"].append(np.array([reason[note] if fail else -1 for note, fail in zip(notes, failed, strict=True)]))
        parts["line"].append(lines)
    if not parts["line"]:
        raise DataFileError(f"{file.path} holds no measurement.")
    columns = {column: np.concatenate(parts.pop(column)) for column in list(parts)}
    held = {column: list(number.texts) for column, number in (numbered | {"note": reason}).items()}
    return _assemble(columns, held, wrong, source, defaults)


def _resolved(
    numbers: npt.NDArray[Any], resolve: Callable[[int], Any], lines: npt.NDArray[Any], wrong: WrongLines
) -> dict[int, Any]:
    """Resolve each distinct number, and record the lines of those that can't be resolved."""
    found, errors = {}, {}
    for number in np.unique(numbers).tolist():
        try:
            found[number] = resolve(number)
        except (HWNASError, ValueError) as error:  # int() raises ValueError
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
    wrong: WrongLines,
    source: SearchSpace | NamedGraphs | None,
    defaults: dict[str, str],
) -> CostTable:
    """Check the distinct texts, merge repeats, and put the costs into a table."""
    lines, architectures = columns["line"], texts["architecture"]
    value = np.where(columns["note"] < 0, columns["value"], np.nan)
    metrics, units, devices = texts["metric"], texts["unit"], texts["device"]
    chosen = None if isinstance(source, NamedGraphs) else source or space_of(architectures)
    if chosen is not None:
        chosen.config(defaults["config"] or None)
        chosen.convention(defaults["ops"] or None)  # raises here, not for every line

    def resolved(numbers: npt.NDArray[Any], resolve: Callable[[int], Any]) -> dict[int, Any]:
        return _resolved(numbers, resolve, lines, wrong)

    def network(n: int) -> Any:
        if isinstance(source, NamedGraphs):
            return source.find(architectures[n])
        assert chosen is not None
        return chosen.stack([arch_from_text(architectures[n])], defaults["ops"] or None)[0]

    found = resolved(columns["architecture"], network)
    configs = resolved(columns["config"], lambda n: _config(chosen, texts["config"][n]))
    of_unit = columns["metric"] * len(units) + columns["unit"]
    factors = resolved(of_unit, lambda n: factor_of(metrics[n // len(units)], units[n % len(units)]))
    of_target = columns["device"] * len(metrics) + columns["metric"]
    targets = resolved(of_target, lambda n: Target(devices[n // len(metrics)], metrics[n % len(metrics)]))
    wrong.check()
    with np.errstate(over="ignore"):
        costs = value * np.array([factors.get(n, np.nan) for n in range(len(metrics) * len(units))])[of_unit]
    at = np.flatnonzero(np.isinf(costs))
    wrong.add(lines[at], lambda place: f"value {value[at[place]]:g} is too large for its unit")
    wrong.check()
    every = [found[n] for n in range(len(found))]
    batch, same = source.batch(every) if isinstance(source, NamedGraphs) else _merged(chosen, np.array(every))
    first: dict[Any, int] = {}
    of_config = np.array([first.setdefault(configs[n], len(first)) for n in range(len(configs))])
    row = same[columns["architecture"]] * len(first) + of_config[columns["config"]]
    places = {"row": row, "target": of_target, "cost": costs, "reason": columns["note"], "line": lines}
    labels = {
        column.removeprefix(_GROUP): np.array(texts[column], object)[numbers]
        for column, numbers in columns.items()
        if column.startswith(_GROUP)
    }
    return _table(chosen, (batch, list(first), targets, texts["note"]), places, labels, wrong)


def _config(space: SearchSpace | None, text: str) -> NetworkConfig | None:
    if space is not None:
        return space.config(text or None)
    if text:
        raise InvalidInputError(f"a graph has no config, got {text!r:.60}")
    return None


def _table(
    space: SearchSpace | None,
    names: tuple[npt.NDArray[np.int8] | GraphBatch, list[Any], dict[int, Target], list[str]],
    places: dict[str, npt.NDArray[Any]],
    labels: dict[str, npt.NDArray[np.object_]],
    wrong: WrongLines,
) -> CostTable:
    """Merge repeats, and put the costs into a table."""
    networks, configs, targets, reasons = names
    (rows, row), (used, column) = (np.unique(places[axis], return_inverse=True) for axis in ("row", "target"))
    shape = (len(rows), len(used))
    place, measured = row * len(used) + column, places["reason"] < 0
    lines, costs = places["line"][measured], places["cost"][measured]
    cells, cell = np.unique(place[measured], return_inverse=True)
    repeated = len(cells) < len(costs)
    _check_size(wrong.path, shape, repeated)
    merged = _merge(cell, costs, lines, [targets[used[number]].unit for number in cells % len(used)], wrong)
    _check_failures(place, measured, places["line"], wrong)
    groups = labels_of_rows(labels, row, len(rows), places["line"], wrong)
    wrong.check()
    kept = merged if repeated else merged[:, 1:2]
    dense = np.full((len(rows) * len(used), kept.shape[1]), np.nan)
    dense[cells] = kept
    placed = dense.reshape(*shape, -1)
    of_row = rows // len(configs)
    return CostTable(
        space,
        networks.take(of_row) if isinstance(networks, GraphBatch) else networks[of_row],
        placed[..., 1 if repeated else 0],
        [targets[number] for number in used],
        configs=None if space is None else [configs[number] for number in rows % len(configs)],
        groups=groups,
        repeats=placed if repeated else None,
        reasons=_reasons(place, places["reason"], reasons, shape),
        meta={"imported": {"file": wrong.path.name, "measurements": len(row), "estimator": "median of the repeats"}},
    )


def _check_size(path: Path, shape: tuple[int, int], repeated: bool) -> None:
    """Raise, before memory is used up, if nearly all costs of a huge table are missing."""
    n, t = shape
    if n * t * (5 if repeated else 1) > _MOST:
        raise DataFileError(
            f"{path} has {n:,} networks and {t:,} targets: a table of all of them, most costs missing, is too large. "
            "Import the devices in several files."
        )


def _check_failures(
    place: npt.NDArray[np.intp], measured: npt.NDArray[np.bool_], lines: npt.NDArray[np.int64], wrong: WrongLines
) -> None:
    """Record the failures of networks that have a cost in another line."""
    at = np.flatnonzero(~measured & np.isin(place, place[measured]))

    def why(number: int) -> str:
        other = lines[np.argmax(measured & (place == place[at[number]]))]
        return f"contradicts line {other}: the same network failed here and has a cost there; keep one"

    wrong.add(lines[at], why)


def _reasons(
    place: npt.NDArray[np.intp], reason: npt.NDArray[np.int64], texts: Sequence[str], shape: tuple[int, int]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which costs are missing for each reason; of several reasons for one, the first counts."""
    at = np.flatnonzero(reason >= 0)
    cells, first = np.unique(place[at], return_index=True)
    of_cell = reason[at][first]
    masks = {}
    for number, text in enumerate(texts):
        mask = np.zeros(shape, bool)
        mask.flat[cells[of_cell == number]] = True
        masks[text] = mask
    return masks


def _merged(
    space: SearchSpace | None, archs: npt.NDArray[np.int8]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Give equal architectures the same number, however they were written."""
    assert space is not None
    _, first, inverse = np.unique(space.codes(archs), return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return archs[np.sort(first)], order[inverse.ravel()].astype(np.int64)


def _merge(
    cell: npt.NDArray[np.intp],
    costs: npt.NDArray[np.float64],
    lines: npt.NDArray[Any],
    units: Sequence[str],
    wrong: WrongLines,
) -> npt.NDArray[np.float64]:
    """Return the quartiles of each cell, and the medians of its even and odd repeats: shape (cells, 5)."""
    n = len(units)
    low, *quartiles, high = _quantiles(cell, costs, n, (0, 0.25, 0.5, 0.75, 1)).T
    at = np.flatnonzero((high > CONTRADICTION * low)[cell] & (costs == low[cell]))

    def why(place: int) -> str:
        this = cell[at[place]]
        other = lines[np.argmax((cell == this) & (costs == high[this]))]
        return (
            f"contradicts line {other}: the same measurement, {low[this]:.6g} {units[this]} here and {high[this]:.6g} "
            f"there (repeats may differ by a factor of {CONTRADICTION:g}; is a unit wrong?)"
        )

    wrong.add(lines[at], why)
    order = np.argsort(cell, kind="stable")
    counts = np.bincount(cell, minlength=n)
    repeat = np.empty(len(cell), np.int64)
    repeat[order] = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    halves = [_quantiles(cell[half], costs[half], n, (0.5,))[:, 0] for half in (repeat % 2 == 0, repeat % 2 == 1)]
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
