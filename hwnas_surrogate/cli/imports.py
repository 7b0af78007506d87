"""``hwnas import``: convert measurements made elsewhere to a cost table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from hwnas_surrogate.data import CostTable
    from hwnas_surrogate.graphs import GraphBatch

_FOLDER = Path("measurements")


def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="CSV with one measurement a line, or a wide CSV, parquet or npz file; or result files of a tool "
            "(trtexec, benchmark_app, benchmark_model, onnxruntime_perf_test, profiles of ONNX Runtime and PyTorch), "
            "and folders of them."
        ),
    ],
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
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the device that a tool measured. Needed for its files.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Which networks the models of a tool are: manifest.json of hwnas export, or a CSV with the columns "
            "file and architecture (and config), or file and model. Default: manifest.json beside the results.",
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

    Or what a tool printed or wrote for each network (hwnas import a.log b.log --device NAME): the model that a file
    states, or that it is called like, is looked up in the manifest of hwnas export, or in --networks.
    """
    from hwnas_surrogate.data import read_measurements, write_parquet
    from hwnas_surrogate.data.store import TABLE_SUFFIXES
    from hwnas_surrogate.files import check_output

    check_format(as_json, as_csv)
    of_tool = _are_of_tool(paths, device, manifest)
    target = output or _FOLDER / f"{device if of_tool else paths[0].stem}.parquet"
    check_output(target, TABLE_SUFFIXES, paths)
    graphs = open_networks(None, networks, input_shape)
    if of_tool:
        only_csv = {"--metric": metric, "--unit": unit, "--columns": columns, "--ops": ops, "--dataset": dataset}
        table = _read_tools(paths, device, manifest, space, graphs, [name for name, value in only_csv.items() if value])
    else:
        table = read_measurements(paths[0], space, dataset, metric, unit, ops, read_columns(columns), graphs)
        say_columns(table)
    written = write_parquet(table, target, paths)
    say(f"{len(table)} rows written to {written}; train on them with: hwnas train --data {written}")
    show_contents(table, as_json, as_csv)


def _are_of_tool(paths: list[Path], device: str | None, manifest: Path | None) -> bool:
    """Return whether the files are a tool's, or are to be read as such."""
    from hwnas_surrogate.data.tool_files import is_tool_file

    return len(paths) > 1 or bool(device or manifest) or paths[0].is_dir() or is_tool_file(paths[0])


def _read_tools(
    paths: list[Path],
    device: str | None,
    manifest: Path | None,
    space: str | None,
    graphs: GraphBatch | None,
    not_for_tools: list[str],
) -> CostTable:
    from hwnas_surrogate.data import read_tool_files

    if not_for_tools:
        raise InvalidInputError(
            f"{', '.join(not_for_tools)} are for tables of measurements; the files of tools state their units, and "
            "their manifest the configs: leave them out."
        )
    if device is None:
        raise InvalidInputError(
            f"{paths[0]} is to be read as a tool's result, which does not name the device: add --device NAME."
            if len(paths) == 1
            else "several files are results of a tool, which do not name the device: add --device NAME. Tables of "
            "measurements (CSV) are imported one after the other."
        )
    table = read_tool_files(paths, device, manifest=manifest, space=space, networks=graphs)
    imported = table.meta["imported"]
    (target,) = table.targets
    how = imported["estimator"] or "all failed"
    if target.metric == "throughput":
        how += ": several requests ran at once, so there are no latencies"
    say(f"{imported['measurements']} result(s) of {', '.join(imported['tools'])}; {how}")
    return table
