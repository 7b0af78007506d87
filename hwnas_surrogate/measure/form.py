"""The form for measurements that are made elsewhere; it needs no network, and so no PyTorch."""

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
    """Write a form for measurements, which :func:`~hwnas_surrogate.data.read_measurements` takes once it is filled in.

    Parameters
    ----------
    path : path-like
        The CSV file; what stood there is replaced.
    lines : iterable of mapping
        ``architecture, config`` and, where known, ``file, device, metric, value, unit``; other keys are left out. What
        is not known is empty, but for the metric and its unit: latency in ms.

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
