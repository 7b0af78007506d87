"""``hwnas data``: what a table holds; the official file: download, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.options import Csv, Dataset, Json, Space, open_table
from hwnas_surrogate.cli.output import check_format, columns_of, json_value, progress, say, show

data = typer.Typer(help="What a table holds; HW-NAS-Bench's official file: download, convert.", no_args_is_help=True)


@data.command()
def info(
    path: Annotated[str | None, typer.Argument(help="A table; the bundled measurements if left out.")] = None,
    space: Space = None,
    dataset: Dataset = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show a table's targets, devices and configs, how many costs it holds, and how it was made."""
    import json

    from hwnas_surrogate.data import describe

    check_format(as_json, as_csv)
    table = open_table(path, space, dataset)
    targets = describe(table)
    if as_json:
        targets = [{name: json_value(value) for name, value in record.items()} for record in targets]
        typer.echo(json.dumps({"space": table.space.name, "targets": targets, "meta": table.meta}, indent=1))
        return
    show(columns_of(targets), repr(table), as_csv=as_csv)
    if table.meta and not as_csv:
        typer.echo(json.dumps(table.meta, indent=2))


@data.command()
def convert(
    path: Annotated[Path, typer.Argument(help="HW-NAS-Bench-v1_0.pickle, or a part of it in the same layout.")],
    folder: Annotated[Path, typer.Argument(help="Where nasbench201.parquet and fbnet.parquet go.")],
) -> None:
    """Convert the official file to parquet, which opens in milliseconds. No code from the file is run."""
    from hwnas_surrogate.data import convert as convert_file

    for name, written in convert_file(path, folder).items():
        say(f"{name}: {written}")


@data.command()
def download(
    folder: Annotated[
        Path | None, typer.Option(help="Where to put it. Default: $HWNAS_DATA, or the user's data folder.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Another place that has the same file.")] = None,
) -> None:
    """Download HW-NAS-Bench's official file, check it, and convert it to parquet.

    An interrupted download goes on where it was. Afterwards --data hw-nas-bench finds it.
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
