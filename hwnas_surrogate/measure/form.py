"""The form for measurements that are made elsewhere; writing it needs no network and no PyTorch."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping

from hwnas_surrogate.data.measurements import COLUMNS
from hwnas_surrogate.files import replacing

__all__ = ["RESULTS", "write_form"]

RESULTS = "results.csv"
"""The form beside exported networks."""


def write_form(path: str | os.PathLike[str], lines: Iterable[Mapping[str, object]]) -> None:
    """Write a form for measurements. Once filled in, :func:`~hwnas_surrogate.data.read_measurements` reads it.

    Parameters
    ----------
    path : path-like
        The CSV file; an existing file is replaced.
    lines : iterable of mapping
        ``architecture, config`` and, where known, ``file, device, metric, value, unit``; other keys are ignored.
        Unknown fields stay empty; the default metric is latency in ms.

    Raises
    ------
    DataFileError
        If the file can't be written.
    """
    entries = [{"metric": "latency", "unit": "ms", **line} for line in lines]
    names = ["file", *COLUMNS] if any("file" in entry for entry in entries) else COLUMNS
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(entries)
