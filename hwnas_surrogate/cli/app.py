"""The command and its sub-commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import hwnas_surrogate
from hwnas_surrogate.cli.adapt import adapt
from hwnas_surrogate.cli.atlas import atlas
from hwnas_surrogate.cli.command import Command
from hwnas_surrogate.cli.convert import convert
from hwnas_surrogate.cli.correlate import correlate
from hwnas_surrogate.cli.data import data
from hwnas_surrogate.cli.doctor import doctor
from hwnas_surrogate.cli.evaluate import evaluate
from hwnas_surrogate.cli.export import export
from hwnas_surrogate.cli.imports import import_
from hwnas_surrogate.cli.layers import layers
from hwnas_surrogate.cli.measure import measure
from hwnas_surrogate.cli.predict import predict
from hwnas_surrogate.cli.query import query
from hwnas_surrogate.cli.report import report
from hwnas_surrogate.cli.search import search
from hwnas_surrogate.cli.simulate import simulate
from hwnas_surrogate.cli.suggest import suggest
from hwnas_surrogate.cli.terminal import echo, say
from hwnas_surrogate.cli.train import train

__all__ = ["app"]

_INTERRUPTED = "interrupted. Each output is the former one or the new one, as a whole; nothing else is left."
_KEPT = {
    "train": "Finished fits, and settings that --tune has tried, are kept in the folder, and the same command resumes.",
    "evaluate": "Finished fits are kept beside the output, and the same command resumes.",
    "predict": "Finished parts of several files, or of a range, are kept, and the same command resumes.",
    "measure": "Every finished run is kept in the journal beside the output, and the same command resumes.",
    "simulate": "Every simulated layer is kept in the journal beside the output, and the same command resumes.",
    "convert": "Networks that are converted are kept, and the same command resumes.",
    "search": "Qualities that a function returned are kept in --journal FILE, finished runs of --measure in the "
    "journal beside the output, and the same command resumes.",
    "data": "What was downloaded is kept, and the same command resumes.",
}
"""What an interrupted command keeps beside its outputs."""


class _Commands(TyperGroup):
    """The sub-commands; Ctrl-C says what was kept."""

    def invoke(self, ctx: Any) -> Any:
        """Run a sub-command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say(" ".join(filter(None, [_INTERRUPTED, _KEPT.get(ctx.invoked_subcommand or "")])))
            raise


app = typer.Typer(
    cls=_Commands,
    help="What will this network cost on that device? Look up, train, predict, compare, measure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(query, train, predict, search, layers, evaluate, correlate, atlas, report, suggest, adapt),
    *(measure, doctor, simulate, convert, export),
):
    app.command(cls=Command)(command)
app.command("import", cls=Command)(import_)
app.add_typer(data, name="data")


def _version(asked: bool) -> None:
    if asked:
        echo(hwnas_surrogate.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
