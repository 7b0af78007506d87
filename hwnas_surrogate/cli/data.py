"""``hwnas data``: show what a table holds; download and convert the official file; convert accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.command import Command
from hwnas_surrogate.cli.contents import show_contents
from hwnas_surrogate.cli.options import Csv, Dataset, Json, Space, open_table
from hwnas_surrogate.cli.output import check_format, echo_json, progress, say

data = typer.Typer(
    help="What a table holds; HW-NAS-Bench's official file: download, convert; accuracies: convert.",
    no_args_is_help=True,
)


@data.command(cls=Command)
def info(
    path: Annotated[str | None, typer.Argument(help="A table; the bundled measurements if left out.")] = None,
    space: Space = None,
    dataset: Dataset = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Also print how it was made, and every config; JSON has both."),
    ] = False,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show a table's targets, devices and configs, the number of costs, and, if requested, how it was made."""
    from hwnas_surrogate.data import describe

    check_format(as_json, as_csv)
    table = open_table(path, space, dataset)
    if as_json:
        echo_json({"space": table.space_name, "targets": describe(table), "meta": table.meta}, indent=1)
        return
    show_contents(table, as_csv=as_csv, verbose=verbose)
    if not table.meta or as_csv:
        return
    if verbose:
        echo_json(table.meta, indent=2)
    else:
        say("how the table was made: --verbose")


@data.command(cls=Command)
def convert(
    path: Annotated[Path, typer.Argument(help="HW-NAS-Bench-v1_0.pickle, or a part of it in the same layout.")],
    folder: Annotated[Path, typer.Argument(help="The folder for nasbench201.parquet and fbnet.parquet.")],
) -> None:
    """Convert the official file to parquet, which opens in milliseconds. No code from the file is run."""
    from hwnas_surrogate.data import convert as convert_file

    for name, written in convert_file(path, folder).items():
        say(f"{name}: {written}")


@data.command("convert-accuracy", cls=Command)
def convert_accuracy(
    path: Annotated[
        Path,
        typer.Argument(help="NAS-Bench-201-v1_1-096897.pth, NATS-Bench's .pickle.pbz2, or an archive's folder."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The parquet file to write.")],
) -> None:
    """Convert NAS-Bench-201's or NATS-Bench's accuracies to parquet, once. No code from the file is run.

    This takes minutes and a part of the memory that the file has bytes. NASBench201API, load_quality and --quality open
    the result in milliseconds; weights are left out.
    """
    from hwnas_surrogate.data import AccuracyTable
    from hwnas_surrogate.data import convert_accuracy as convert_file

    with progress("converting (architectures)") as update:
        written = convert_file(path, output, update)
    table = AccuracyTable(written)
    say(f"{len(table.evaluated)} of {len(table)} architectures, hp {', '.join(table.hps)}: {written}")


@data.command(cls=Command)
def download(
    folder: Annotated[
        Path | None, typer.Option(help="The folder for the file. Default: $HWNAS_DATA, or the user's data folder.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Another address of the same file.")] = None,
) -> None:
    """Download HW-NAS-Bench's official file, check it, and convert it to parquet.

    An interrupted download resumes. Afterwards, --data hw-nas-bench loads it.
    """
    from hwnas_surrogate.data import BENCHMARK, data_dir
    from hwnas_surrogate.data import convert as convert_file
    from hwnas_surrogate.data.download import OFFICIAL_BLOB_ID, OFFICIAL_NAME, OFFICIAL_URL
    from hwnas_surrogate.data.download import download as fetch

    target = folder or data_dir()
    with progress("downloading (bytes)") as update:
        path = fetch(url or OFFICIAL_URL, target / OFFICIAL_NAME, OFFICIAL_BLOB_ID, progress=update)
    say(f"{path}: right (git blob {OFFICIAL_BLOB_ID})")
    for name, written in convert_file(path, target / BENCHMARK).items():
        say(f"{name}: {written}")
