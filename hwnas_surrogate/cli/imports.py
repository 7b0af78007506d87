"""``hwnas import``: measurements made elsewhere into a cost table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.options import Csv, Dataset, Json, Space
from hwnas_surrogate.cli.output import check_format, columns_of, say, show


def import_(
    path: Annotated[Path, typer.Argument(help="CSV with one measurement a line, or a wide CSV, parquet or npz file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table to write. Default: measurements/NAME.parquet.")
    ] = None,
    space: Space = None,
    dataset: Dataset = None,
    metric: Annotated[str, typer.Option(help="The metric where the file names none.")] = "latency",
    unit: Annotated[
        str | None, typer.Option(help="The unit where the file names none: s, ms, us, ns, J, mJ, uJ, nJ.")
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Bring measurements back into a cost table.

    One measurement a line: architecture, config, device, metric, value, unit. Or wide: arch_str or op_index, and one
    column per device. Every line is checked; units are converted; repeats become their median.
    """
    from hwnas_surrogate.data import describe, read_measurements, write_parquet

    check_format(as_json, as_csv)
    table = read_measurements(path, space, dataset, metric, unit)
    written = write_parquet(table, output or Path("measurements") / f"{path.stem}.parquet")
    say(f"{len(table)} rows written to {written}; train on them with: hwnas train --data {written}")
    show(columns_of(describe(table)), repr(table), as_json, as_csv)
