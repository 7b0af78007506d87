"""CSV files in the forms that programs and people write; one error reports all wrong lines."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.text_lines import lines_of_file
from hwnas_surrogate.errors import DataFileError

__all__ = ["GIVE_UP", "MISSING", "CsvFile", "Numbered", "WrongLines", "check_once"]

LINES_AT_ONCE = 500
"""Number of lines held as text: small enough to avoid garbage collection, which took a third of the time."""
_FIELDS_AT_ONCE = 500_000
"""Maximum number of fields held as text, unless one line has more."""
LISTED = 10
"""Number of wrong lines that an error lists."""
GIVE_UP = 1000
"""Number of wrong lines, or of distinct unreadable entries, after which reading stops."""
MISSING = frozenset(["", "nan", "na", "n/a", "null", "none"])
"""Entries of a wide CSV file that mean a missing cost."""

_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
"""The first line in which Excel is told the separator."""
_DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]*,[0-9]+(e[+-]?[0-9]+)?\s*", re.IGNORECASE)


class WrongLines:
    """Wrong lines, collected so that one error reports all of them."""

    def __init__(self, path: Path, done: str = "imported") -> None:
        self.path = path
        self.done = done
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
            f"nothing was {self.done}.\n" + "\n".join(messages)
        )


class CsvFile:
    """A CSV file, read once, from its header to its last line.

    Fields are separated by commas, semicolons or tabs: by the one that makes most fields of the header, or the one in a
    first line ``sep=;``. In a file separated by semicolons, numbers have decimal points or decimal commas. Encodings
    and line ends are those of :func:`~hwnas_surrogate.data.text_lines.lines_of`.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    header : list of str
        The first line that is not blank, without the blanks around names and empty names at its end; empty if there is
        none.

    Raises
    ------
    DataFileError
        If the file is no text, or a quote is left open; the same for the methods that read on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decimals: dict[str, int] = {}
        self._lines = lines_of_file(path)
        numbered = enumerate(self._lines, start=1)
        lines = itertools.dropwhile(lambda line: not line[1].strip(" ,;\t\r\n"), numbered)
        number, first = next(lines, (1, ""))
        if match := _SEPARATOR_LINE.fullmatch(first):
            self._separator = match[1]
            number, first = next(lines, (number, ""))
        else:
            self._separator = max(_SEPARATORS, key=lambda separator: _n_fields(first, separator))
        self._records = self._read(number, itertools.chain([first], (line for _, line in lines)))
        _, header = next(self._records, (number, []))
        self.header = [name.strip() for name in header]
        while self.header and not self.header[-1]:  # spreadsheets add empty fields to lines
            self.header.pop()

    @property
    def hint(self) -> str:
        """The likely cause of a header that names nothing known, as a sentence; empty if there is none."""
        if len(self.header) == 1 and (found := re.search(r"[|:^]|\s+", self.header[0])):
            return f" Its columns seem to be separated by {found[0]!r}: separate them by commas, semicolons or tabs."
        return ""

    def _read(self, start: int, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the fields of each line that is not blank, and the number of its first line."""
        reader = csv.reader(lines, strict=True, skipinitialspace=True, delimiter=self._separator)
        line = start
        try:
            for fields in reader:
                if any(map(str.strip, fields)):
                    yield line, fields
                line = start + reader.line_num
        except csv.Error as error:
            raise DataFileError(
                f"{self.path} is no readable CSV file from line {line} on: {_cause(str(error))}"
            ) from error
        finally:
            self._lines.close()

    def rows(self, wrong: WrongLines) -> Iterator[tuple[npt.NDArray[np.int64], list[list[str]]]]:
        """Yield some lines' numbers and fields, as many as the header has; those missing from a line are empty.

        After 1000 wrong lines, the rest is not read.
        """
        n = len(self.header)
        at_once = min(LINES_AT_ONCE, _FIELDS_AT_ONCE // max(n, 1) + 1)
        while batch := list(itertools.islice(self._records, at_once)):
            lines, rows = np.array([line for line, _ in batch]), [fields for _, fields in batch]
            for number in np.flatnonzero(np.array(list(map(len, rows))) != n):
                fields = rows[number]
                if any(map(str.strip, fields[n:])):
                    names = {",": "commas", ";": "semicolons", "\t": "tabs"}
                    inside = names.get(self._separator, self._separator)
                    why = f"{len(fields)} fields where the header has {n} (quote what has {inside} inside)"
                    wrong.add(lines[[number]], why)
                fields[n:] = [""] * (n - len(fields))
            yield lines, rows
            if len(wrong.lines) >= GIVE_UP:
                wrong.gave_up = True
                return

    def columns(
        self, wrong: WrongLines, names: Sequence[str] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, tuple[str, ...]]]]:
        """Yield some lines' numbers, and the texts in each column, by the header's names or others."""
        for lines, rows in self.rows(wrong):
            yield lines, dict(zip(names or self.header, zip(*rows, strict=True), strict=True))

    def numbers(self, texts: Sequence[str], lines: npt.NDArray[np.int64], wrong: WrongLines) -> npt.NDArray[np.float64]:
        """Read numbers; NaN where a text is none."""
        if self._separator != ";":
            return np.array([_number(text) for text in texts])
        commas = np.array(["," in text for text in texts])
        values = np.array([_number(text.replace(",", ".")) if "," in text else _number(text) for text in texts])
        for sign, written in (("comma", commas), ("point", ["." in text for text in texts] & ~commas)):
            at = np.flatnonzero(written & np.isfinite(values))
            if len(at):
                self._decimals.setdefault(sign, int(lines[at[0]]))
        if len(self._decimals) == 2:
            (_, before), (sign, line) = sorted(self._decimals.items(), key=lambda item: item[1])
            why = f"a decimal {sign}, where line {before} has the other decimal sign: a file has one"
            wrong.add(np.array([line]), why)
        return values

    def costs(
        self,
        texts: Sequence[str],
        name: str,
        lines: npt.NDArray[np.int64],
        wrong: WrongLines,
        allowed: str,
        unchecked: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float64]:
        """Read costs; ``unchecked`` marks the texts that may be no cost, and ``allowed`` says what costs are."""
        values = self.numbers(texts, lines, wrong)
        at = np.flatnonzero(~(np.isfinite(values) & (values >= 0)) & ~unchecked)

        def why(place: int) -> str:
            text = texts[at[place]]
            comma = _DECIMAL_COMMA.fullmatch(text) and self._separator != ";"
            hint = " (decimal commas are read in files separated by semicolons)" if comma else ""
            return f"{name} must be {allowed}, got {text!r:.60}{hint}"

        wrong.add(lines[at], why)
        return values


def _n_fields(line: str, separator: str) -> int:
    """Return how many fields a line has; quotes that are not closed don't matter."""
    try:
        return len(next(csv.reader([line], delimiter=separator, skipinitialspace=True), []))
    except csv.Error:
        return 0


def _cause(error: str) -> str:
    """Return what a message of Python's CSV reader means."""
    if error == "unexpected end of data":
        return "a quote is opened there and never closed."
    if error.startswith("field larger than"):
        return f"one field has more than {csv.field_size_limit():,} characters; is a quote opened and never closed?"
    return f"{error}."


class Numbered(dict[str, int]):
    """Numbers for distinct texts of the file, assigned in order of first appearance."""

    def __init__(self, default: str) -> None:
        self.default = default
        self.texts: dict[str, int] = {}

    def __missing__(self, raw: str) -> int:
        number = self[raw] = self.texts.setdefault(raw.strip() or self.default, len(self.texts))
        return number


def _number(text: str) -> float:
    """Read a number in CSV notation; NaN for notations that only Python accepts (9_3, digits of other scripts)."""
    try:
        return float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        return np.nan


def check_once(path: Path, names: Sequence[str]) -> None:
    """Raise if a column occurs twice."""
    name, n = next(iter(Counter(names).most_common(1)), ("", 0))
    if n > 1:
        raise DataFileError(f"{path}: the column {name!r} occurs {n} times, it must occur once.")
