"""The lines of a CSV file, checked one by one; one error reports all wrong lines."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import DataFileError

__all__ = [
    "LISTED",
    "MISSING",
    "Batches",
    "Numbered",
    "WrongLines",
    "batches_of",
    "check_once",
    "columns_of",
    "costs_of",
    "number_of",
]

LINES_AT_ONCE = 500
"""Number of lines held as text: small enough to avoid garbage collection, which took a third of the time."""
LISTED = 10
"""Number of wrong lines that an error lists."""
MISSING = frozenset(["", "nan", "na", "n/a", "null", "none"])
"""Entries of a wide CSV file that mean a missing cost."""

Batches: TypeAlias = Iterator[tuple[npt.NDArray[np.int64], list[list[str]]]]


class WrongLines:
    """Wrong lines, collected so that one error reports all of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: set[int] = set()
        self.why: dict[int, str] = {}
        self.gave_up = False

    def add(self, lines: npt.NDArray[np.int64], why: str | Callable[[int], str]) -> None:
        """Record wrong lines, in ascending order; ``why`` may be a function of the position. First reasons count."""
        numbers = lines.tolist()
        self.lines.update(numbers)
        for place, line in enumerate(numbers[:LISTED]):
            if line not in self.why:
                self.why[line] = why if isinstance(why, str) else why(place)

    def check(self) -> None:
        """Raise if a line was wrong, listing the first."""
        if not self.lines:
            return
        listed = sorted(self.why)[:LISTED]
        n = len(self.lines)
        messages = [f"  line {line}: {self.why[line]}" for line in listed]
        if n > len(listed):
            messages.append(f"  and {n - len(listed)} more")
        raise DataFileError(
            f"{self.path} has {'at least ' if self.gave_up else ''}{n} wrong line{'s' if n > 1 else ''}; "
            "nothing was imported.\n" + "\n".join(messages)
        )


def batches_of(path: Path) -> Batches:
    """Yield batches of non-blank rows with the line number where each starts; the header is a batch of its own."""
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


def columns_of(
    header: Sequence[str], batches: Batches, wrong: WrongLines
) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, tuple[str, ...]]]]:
    """Yield line numbers and each column's texts; fields missing from a short line are empty."""
    n = len(header)
    for lines, rows in batches:
        for number in np.flatnonzero(np.array(list(map(len, rows))) != n):
            fields = rows[number]
            if any(map(str.strip, fields[n:])):
                why = f"{len(fields)} fields where the header has {n} (quote what has commas inside)"
                wrong.add(lines[[number]], why)
            fields[n:] = [""] * (n - len(fields))
        yield lines, dict(zip(header, zip(*rows, strict=True), strict=True))


class Numbered(dict[str, int]):
    """Numbers for distinct texts of the file, assigned in order of first appearance."""

    def __init__(self, default: str) -> None:
        self.default = default
        self.texts: dict[str, int] = {}

    def __missing__(self, raw: str) -> int:
        number = self[raw] = self.texts.setdefault(raw.strip() or self.default, len(self.texts))
        return number


def number_of(text: str) -> float:
    """Read a number in CSV notation; NaN for notations that only Python accepts (9_3, digits of other scripts)."""
    try:
        return float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        return np.nan


def costs_of(
    texts: Sequence[str],
    name: str,
    lines: npt.NDArray[np.int64],
    wrong: WrongLines,
    or_missing: bool = False,
    or_failed: float | None = None,
) -> npt.NDArray[np.float64]:
    """Read costs; missing ones are NaN. ``or_failed`` is the entry for a network that failed."""
    values = np.array([number_of(text) for text in texts])
    bad = ~(np.isfinite(values) & (values >= 0))
    if or_failed is not None:
        bad &= values != or_failed
    if or_missing:
        bad &= [text.strip().lower() not in MISSING for text in texts]
    at = np.flatnonzero(bad)
    allowed = "a number of at least 0" + (", or empty," if or_missing else ",")
    wrong.add(lines[at], lambda place: f"{name} must be {allowed} got {texts[at[place]]!r:.60}")
    return values


def check_once(path: Path, names: Sequence[str]) -> None:
    """Raise if a column occurs twice."""
    for name in names:
        if names.count(name) > 1:
            raise DataFileError(f"{path}: the column {name!r} occurs {names.count(name)} times, it must occur once.")
