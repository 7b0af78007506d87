"""Print results: a table that fits the terminal, or JSON or CSV.

In a table that is too wide, values that are equal in every row are printed once below, long texts are wrapped, and the
remaining columns follow in a second table. If an option selects columns, the remaining ones are hidden and counted
instead. Numbers are never split.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.table import Table

from hwnas_surrogate.cli.terminal import Progress, Terminal, echo, progress, say, visible_line
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["SCORED", "Progress", "as_json_text", "check_format", "draw", "echo", "echo_json", "progress", "say", "show"]

SCORED = ("target", "model", "left out", "trained on")
"""Columns that identify a line of scores."""

_GAP = 2
_FOLDED = 16
"""Minimum width of a wrapped column; numbers are shorter."""
_HEADING = 8
"""Headings are wrapped to the width of their column, but not to less than this."""


def check_format(as_json: bool, as_csv: bool) -> None:
    """Refuse two output formats at once, before any work is done."""
    if as_json and as_csv:
        raise InvalidInputError("--json and --csv exclude each other; choose one.")


def show(
    frame: pd.DataFrame,
    title: str = "",
    as_json: bool = False,
    as_csv: bool = False,
    *,
    keys: Sequence[str] = (),
    choose: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Print a frame; a column's name includes its unit.

    In tables, ``keys`` are the columns that identify a row (the first if None); they stay at the left. ``choose`` tells
    the user how to select among the other columns; if given, those that do not fit are hidden and counted. ``notes``
    are printed below.
    """
    if as_json:
        echo_json(frame.to_dict(orient="records"), indent=1)
    elif as_csv:
        echo(frame.to_csv(index=False, lineterminator="\n").removesuffix("\n"))
    else:
        _print(frame, title, keys, choose, notes)


def as_json_text(value: Any, indent: int) -> str:
    """Return a value as JSON; numbers that are not finite are null, and everything unprintable is escaped."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def echo_json(value: Any, indent: int) -> None:
    """Print a value as JSON."""
    echo(as_json_text(value, indent))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def draw(frame: pd.DataFrame, plot: Callable[[pd.DataFrame], Axes], picture: Path, what: str) -> None:
    """Write a frame as CSV, draw it as PNG if matplotlib is installed, and print where both files are."""
    from hwnas_surrogate.errors import MissingExtraError
    from hwnas_surrogate.files import replacing

    data = picture.with_suffix(".csv")
    with replacing(data) as temporary:
        frame.to_csv(temporary, index=False)
    try:
        figure = plot(frame).get_figure(root=True)
    except MissingExtraError as error:
        say(f"no picture: {error}")
        return
    assert figure is not None
    with replacing(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=160)
    say(f"{what} is drawn in {picture}, its data in {data}")


class _Column(NamedTuple):
    """A column as it is printed."""

    name: str
    cells: list[str]

    def width(self, *, folded: bool) -> int:
        """Return the column's width, with its heading on one line or wrapped at its words."""
        cells = max(map(cell_len, self.cells), default=0)
        if not folded:
            return max(cells, cell_len(self.name))
        least = max(cells, _HEADING, *map(cell_len, _words(self.name)))
        return max(cells, *map(cell_len, _fold(self.name, least).split("\n")))


def _print(frame: pd.DataFrame, title: str, keys: Sequence[str], choose: str, notes: Sequence[str]) -> None:
    console = Terminal(sys.stdout)
    names = [str(name) for name in frame.columns]
    cells = [[_cell(value) for value in frame.iloc[:, column]] for column in range(len(names))]
    columns = [_Column(visible_line(name), texts) for name, texts in zip(names, cells, strict=True)]
    kept, below = list(range(len(names))), list(notes)

    def too_wide() -> bool:
        return _total([columns[i].width(folded=False) for i in kept]) > console.width

    if too_wide():
        alike = [i for i in kept[1:] if len(frame) > 1 and len(set(columns[i].cells)) == 1]
        kept = [i for i in kept if i not in alike]
        if alike:
            below.insert(0, ", ".join(f"{columns[i].name} {columns[i].cells[0]}" for i in alike) + " in every row")
    fixed = [i for i in kept if names[i] in keys] if keys else kept[:1]
    folded = too_wide()  # what is left may fit with its headings on one line
    groups = _groups({i: columns[i].width(folded=folded) for i in kept}, fixed, console.width)
    if choose and len(groups) > 1:
        hidden = len(kept) - len(groups[0])
        below.insert(0, f"{hidden} column{'s' * (hidden > 1)} hidden, use {choose}")
        groups = groups[:1]
    if title:
        console.print(title, style="italic")
    for number, widths in enumerate(groups):
        if number:
            console.print()
        wide = Terminal(sys.stdout)
        wide.width = max(console.width, _total(widths.values()))  # numbers are never split
        wide.print(_table([columns[i] for i in widths], list(widths.values())))
    for note in below:
        console.print(note, style="italic")


def _table(columns: Sequence[_Column], widths: Sequence[int]) -> Table:
    look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    table = Table(header_style="bold", **look)
    headings = [_fold(column.name, width) for column, width in zip(columns, widths, strict=True)]
    lines = max((heading.count("\n") for heading in headings), default=0)
    for heading, width in zip(headings, widths, strict=True):
        table.add_column("\n" * (lines - heading.count("\n")) + heading, no_wrap=True, min_width=width)
    folded = [[_fold(text, width) for text in column.cells] for column, width in zip(columns, widths, strict=True)]
    for row in zip(*folded, strict=True):
        table.add_row(*row)
    return table


def _groups(widths: dict[int, int], keys: Sequence[int], room: int) -> list[dict[int, int]]:
    """Split columns into tables that fit, each with the keys: indices of columns to their widths."""
    if _total([min(width, _FOLDED) for width in widths.values()]) <= room:
        return [_folded(widths, room)]
    fixed = _folded({key: widths[key] for key in keys}, 3 * room // 5)
    groups = [dict(fixed)]
    for column, width in widths.items():
        if column in fixed:
            continue
        narrow = min(width, max(_FOLDED, room - _total(fixed.values()) - _GAP))
        if len(groups[-1]) > len(fixed) and _total(groups[-1].values()) + _GAP + narrow > room:
            groups.append(dict(fixed))
        groups[-1][column] = narrow
    return groups


def _folded(widths: dict[int, int], room: int) -> dict[int, int]:
    """Make the widest columns narrower until all fit, as far as texts may be wrapped."""
    widths = dict(widths)
    while _total(widths.values()) > room:
        widest = max(widths, key=widths.__getitem__)
        if widths[widest] <= _FOLDED:
            break
        widths[widest] -= 1
    return widths


def _total(widths: Collection[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _words(text: str) -> list[str]:
    """Split a text where a line may end: after a space or a mark, as in names of devices and architectures."""
    return re.findall(r"[^\s/|+,=-]*[\s/|+,=-]|[^\s/|+,=-]+", text) or [""]


def _fold(text: str, width: int) -> str:
    """Wrap a text to lines of a width, between words if they are short enough."""
    if cell_len(text) <= width:
        return text
    lines = [""]
    for word in _words(text):
        if cell_len((lines[-1] + word).rstrip()) > width and lines[-1]:
            lines.append("")
        for char in word:
            if cell_len((lines[-1] + char).rstrip()) > width:
                lines.append("")
            lines[-1] += char
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return visible_line(str(value))
