"""``hwnas correlate``: correlations between targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hwnas_surrogate.cli.options import ROWS, Csv, Data, Dataset, Json, Rows, Seed, Space, Targets, open_cost_table
from hwnas_surrogate.cli.output import check_format, show

if TYPE_CHECKING:
    import pandas as pd


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
        frame = correlation_interval(table, method, random_state=seed)  # type: ignore[arg-type]
        show(frame, f"{method} correlation, 95 % intervals", as_json, as_csv)
        return
    frame = correlation(table, method)  # type: ignore[arg-type]
    title = f"{method} correlation, {len(table)} architectures"
    if not (as_json or as_csv):
        show(_triangle(frame), title, choose="--target; --intervals lists every pair")
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
