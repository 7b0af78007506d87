"""``hwnas correlate``: correlations between targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hwnas_surrogate.cli.options import ROWS, Csv, Data, Dataset, Json, Rows, Seed, Space, Targets, open_cost_table
from hwnas_surrogate.cli.output import check_format, say, show

if TYPE_CHECKING:
    import pandas as pd


MOST = 100
"""Targets in a table for people: more take seconds to print, and nobody reads them."""
SLOW = 20_000
"""Pairs whose intervals take more than some seconds."""


def correlate(
    data: Data = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="kendall, spearman, pearson or pearson_log.")] = "kendall",
    intervals: Annotated[
        bool, typer.Option("--intervals", help="List every pair of targets, with a 95 % confidence interval.")
    ] = False,
    rows: Rows = ROWS,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Correlate the costs of a table's targets, pairwise over the architectures that have both."""
    from hwnas_surrogate.devices import correlation, correlation_interval

    check_format(as_json, as_csv)
    table = open_cost_table(data, space, dataset, target, rows, seed)
    if intervals:
        n_pairs = len(table.targets) * (len(table.targets) - 1) // 2
        if n_pairs > SLOW:
            say(f"intervals of {n_pairs:,} pairs take minutes; --target chooses some targets")
        frame = correlation_interval(table, method, random_state=seed)  # type: ignore[arg-type]
        show(frame, f"{method} correlation, 95 % intervals", as_json, as_csv)
        return
    frame = correlation(table, method)  # type: ignore[arg-type]
    title = f"{method} correlation, {len(table)} {'networks' if table.space is None else 'architectures'}"
    if not (as_json or as_csv):
        few = [f"the first {MOST} of {len(frame):,} targets; --json and --csv have all"] if len(frame) > MOST else []
        shown = _triangle(frame.iloc[:MOST, :MOST])
        show(shown, title, choose="--target; --intervals lists every pair", notes=few)
        return
    frame.insert(0, "target", frame.index)
    show(frame, title, as_json, as_csv)


def _triangle(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the part below the diagonal, with columns numbered like the rows."""
    import pandas as pd

    names, rows = list(frame), range(len(frame))
    columns = {"target": [f"{row + 1} {name}" for row, name in enumerate(names)]}
    for column in rows[:-1]:
        cells = [f"{value:.3f}" if value == value else "-" for value in frame.iloc[column + 1 :, column]]
        columns[str(column + 1)] = [""] * (column + 1) + cells
    return pd.DataFrame(columns)
