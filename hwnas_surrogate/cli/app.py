"""The command and its sub-commands."""

from __future__ import annotations

from typing import Annotated

import typer

import hwnas_surrogate
from hwnas_surrogate.cli.adapt import adapt
from hwnas_surrogate.cli.correlate import correlate
from hwnas_surrogate.cli.data import data
from hwnas_surrogate.cli.evaluate import evaluate
from hwnas_surrogate.cli.export import export
from hwnas_surrogate.cli.imports import import_
from hwnas_surrogate.cli.measure import measure
from hwnas_surrogate.cli.predict import predict
from hwnas_surrogate.cli.query import query
from hwnas_surrogate.cli.report import report
from hwnas_surrogate.cli.simulate import simulate
from hwnas_surrogate.cli.suggest import suggest
from hwnas_surrogate.cli.train import train

__all__ = ["app"]

app = typer.Typer(
    help="What will this network cost on that device? Look up, train, predict, compare, measure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (query, train, predict, evaluate, correlate, report, suggest, adapt, measure, simulate, export):
    app.command()(command)
app.command("import")(import_)
app.add_typer(data, name="data")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(hwnas_surrogate.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
