"""How results are shown: a table on a terminal, JSON or CSV for machines."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

_WIDE = 200

Progress = Callable[[int, int | None], None]


def check_format(as_json: bool, as_csv: bool) -> None:
    """Refuse two output formats at once, before any work is done."""
    if as_json and as_csv:
        raise InvalidInputError("--json and --csv exclude each other; choose one.")


def columns_of(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return records as the columns that :func:`show` prints."""
    return {name: [record[name] for record in records] for name in (records[0] if records else ())}


def show(
    table: pd.DataFrame | Mapping[str, Iterable[Any]], title: str = "", as_json: bool = False, as_csv: bool = False
) -> None:
    """Print named columns of one length: every name holds its unit."""
    columns = {str(name): list(map(_plain, values)) for name, values in table.items()}
    rows = list(zip(*columns.values(), strict=True))
    if as_json:
        records = [dict(zip(columns, map(json_value, row), strict=True)) for row in rows]
        typer.echo(json.dumps(records, indent=1))
    elif as_csv:
        typer.echo(_csv([list(columns), *rows]), nl=False)
    else:
        console = _console(sys.stdout)
        cells = {name: list(map(_cell, values)) for name, values in columns.items()}
        drawn = _table(cells, title)
        if _width(drawn) > console.width:
            alike = {name: told[0] for name, told in list(cells.items())[1:] if len(told) > 1 and len(set(told)) == 1}
            told = ", ".join(f"{name} {cell}" for name, cell in alike.items())
            cells = {name: cells[name] for name in cells if name not in alike}
            drawn = _table(cells, title, f"{told} in every row" if alike else "", narrow=True)
            console.width = max(console.width, _width(drawn))  # a number is never cut in two
        console.print(drawn)


def _csv(rows: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(["" if _is_nan(cell) else cell for cell in row] for row in rows)
    return text.getvalue()


def _table(cells: dict[str, list[str]], title: str, caption: str = "", *, narrow: bool = False) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        caption=caption or None,
        caption_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD if narrow else box.HEAVY_HEAD,
        pad_edge=not narrow,
    )
    for name in cells:
        table.add_column(name.replace(" ", "\n") if narrow else name, no_wrap=True, vertical="bottom")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


def _width(table: Table) -> int:
    """Return how many characters the longest line has, the title aside."""
    endless = Console(width=10_000)
    return Measurement.get(endless, endless.options, table).maximum


def say(text: str) -> None:
    """Print a line for people, to stderr: stdout is for results."""
    _console(sys.stderr).print(text, highlight=False, markup=False, soft_wrap=True)


def draw(frame: pd.DataFrame, plot: Callable[[pd.DataFrame], Axes], picture: Path, what: str) -> None:
    """Write a frame as CSV, draw it beside that as PNG where matplotlib is installed, and say where both are."""
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


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a progress bar on stderr while the block runs; the yielded function takes (done, total)."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not sys.stderr.isatty()
    with Bar(*columns, console=_console(sys.stderr), transient=True, disable=hidden) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _console(file: Any) -> Console:
    return Console(file=file, width=None if file.isatty() else _WIDE)


def _plain(value: Any) -> Any:
    """Return a number of numpy's as Python's own."""
    return value.item() if hasattr(value, "item") else value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _cell(value: object) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)


def json_value(value: Any) -> Any:
    """Return a value as JSON can hold it: null where a number is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
