"""``hwnas import``: convert measurements made elsewhere to a cost table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.contents import show_contents
from hwnas_surrogate.cli.options import (
    Csv,
    Dataset,
    InputShape,
    Json,
    Networks,
    Ops,
    Space,
    open_networks,
    read_columns,
    say_columns,
)
from hwnas_surrogate.cli.output import check_format, say


def import_(
    path: Annotated[Path, typer.Argument(help="CSV with one measurement a line, or a wide CSV, parquet or npz file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table to write. Default: measurements/NAME.parquet.")
    ] = None,
    space: Space = None,
    ops: Ops = None,
    dataset: Dataset = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric, if the file names none. Default: that of the unit, or latency.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit, if the file names none: s, ms, us, ns, J, mJ, uJ, nJ.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=HEADER],...",
            help="The columns to read from a wide file; t1=raspi4_latency_us reads the column t1 as if its header were "
            "raspi4_latency_us; put a name that has a comma in quotes. Repeatable. Default: all.",
        ),
    ] = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Convert measurements to a cost table.

    One measurement a line: architecture, config, device, metric, value, unit, note. A network that failed has the value
    failed, and the reason as its note. Or wide: arch_str or op_index, config if it differs, and a column of costs for
    each device and metric, headed DEVICE, DEVICE_METRIC, DEVICE_METRIC_UNIT or "DEVICE/METRIC (UNIT)"; how each was
    interpreted is printed. Every line is checked; units are converted; repeats become their median. Networks of any
    kind have a column model instead: the path of an .onnx file, or a name of --networks.
    """
    from hwnas_surrogate.data import read_measurements, write_parquet
    from hwnas_surrogate.data.store import TABLE_SUFFIXES
    from hwnas_surrogate.files import check_output

    check_format(as_json, as_csv)
    target = output or Path("measurements") / f"{path.stem}.parquet"
    check_output(target, TABLE_SUFFIXES, [path])
    graphs = open_networks(None, networks, input_shape)
    table = read_measurements(path, space, dataset, metric, unit, ops, read_columns(columns), graphs)
    say_columns(table)
    written = write_parquet(table, target, [path])
    say(f"{len(table)} rows written to {written}; train on them with: hwnas train --data {written}")
    show_contents(table, as_json, as_csv)
