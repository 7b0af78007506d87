"""The form for measurements that are made elsewhere; writing it needs no network and no PyTorch."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.data.csv_lines import CsvFile, WrongLines
from hwnas_surrogate.data.measurements import COLUMNS, FAILED
from hwnas_surrogate.data.model_column import MODEL
from hwnas_surrogate.data.table import NOT_MEASURED
from hwnas_surrogate.files import replacing

__all__ = ["RESULTS", "count_open", "form_lines", "write_form"]

RESULTS = "results.csv"
"""The form beside exported networks."""


def write_form(path: str | os.PathLike[str], lines: Iterable[Mapping[str, object]]) -> None:
    """Write a form for measurements. Once filled in, :func:`~hwnas_surrogate.data.read_measurements` reads it.

    Parameters
    ----------
    path : path-like
        The CSV file; an existing file is replaced.
    lines : iterable of mapping
        ``architecture, config``, or ``model`` of graphs, and, where known, ``file, device, metric, value, unit, note``;
        other keys are ignored. Unknown fields stay empty; the default metric is latency in ms.

    Raises
    ------
    DataFileError
        If the file can't be written.
    """
    entries = [{"metric": "latency", "unit": "ms", **line} for line in lines]
    names = [MODEL, *COLUMNS[2:]] if any(MODEL in entry for entry in entries) else COLUMNS
    names = ["file", *names] if any("file" in entry for entry in entries) else names
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(entries)


def count_open(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return how many lines of a form wait for a measurement, and how many lines there are.

    A line is filled in when it has a device, and a value or a note that says why there is none.

    Raises
    ------
    DataFileError
        If the file is no readable CSV file.
    """
    file = CsvFile(Path(path))
    wrong = WrongLines(file.path)
    n_open = n_lines = 0
    for lines, texts in file.columns(wrong, [name.casefold() for name in file.header]):
        blank = [""] * len(lines)
        columns = (texts.get(name, blank) for name in ("device", "value", "note"))
        for device, value, note in zip(*columns, strict=True):
            n_open += not (device.strip() and (value.strip() or note.strip()))
        n_lines += len(lines)
    wrong.check()
    return n_open, n_lines


def form_lines(table: CostTable) -> Iterator[dict[str, object]]:
    """Yield the lines of a filled-in form: each cost of a table, and each failure with its reason as the note.

    Costs that were not measured have no line. Reading the form gives the table's costs and reasons again, exactly;
    a table of graphs beside it, or ``networks``, says what its models are.
    """
    of_graphs = table.space is None
    texts = table.names
    reasons = table.why_missing().to_numpy()
    for row, (text, config) in enumerate(zip(texts, table.row_configs, strict=True)):
        for target, cost, reason in zip(table.targets, table.costs[row].tolist(), reasons[row], strict=True):
            if reason != NOT_MEASURED:
                value: dict[str, object] = {"value": FAILED, "note": reason} if reason else {"value": cost}
                named = {"device": target.device, "metric": target.metric, "unit": target.unit}
                network = {MODEL: text} if of_graphs else {"architecture": text, "config": str(config)}
                yield {**network, **named, **value}
