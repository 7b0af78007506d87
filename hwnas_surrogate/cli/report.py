"""``hwnas report``: one page for a hardware team."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.options import (
    ROWS,
    Cluster,
    Data,
    Dataset,
    Jobs,
    Rows,
    Seed,
    Space,
    Targets,
    open_cost_table,
    share_work,
)
from hwnas_surrogate.cli.output import say


def report(
    context: typer.Context,
    data: Data = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    rows: Rows = ROWS,
    quality: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV of a quality of networks, larger is better: columns architecture (or model) and, say, accuracy; "
            "or what hwnas data convert-accuracy wrote.",
        ),
    ] = None,
    surrogates: Annotated[
        Path | None,
        typer.Option(
            "--surrogates",
            "-s",
            help="Folder saved by `hwnas train`: they predict the networks that were not measured. If omitted, "
            "surrogates are fitted to the table.",
        ),
    ] = None,
    search: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What `hwnas search --save FILE` wrote: its picks are shown, each beside its alternative, and "
            "marked among the other networks.",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The page's heading.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    jobs: Jobs = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
) -> None:
    """Write one HTML page for a hardware team: devices, correlations, predictions, errors, the best networks.

    It needs no network. Devices and metrics are chosen on the page.
    """
    from hwnas_surrogate.files import check_output
    from hwnas_surrogate.report import write_report
    from hwnas_surrogate.trainers import SurrogateSuite

    check_output(output, (".html", ".htm"), [*(data or []), *(name for name in (quality, search) if name is not None)])
    share_work(context, jobs, cluster)
    table = open_cost_table(data, space, dataset, target, rows, seed)
    suite = None if surrogates is None else SurrogateSuite.load(surrogates)
    written = write_report(
        table, output, quality=quality, surrogates=suite, search=search, title=title, random_state=seed
    )
    say(f"the report is in {written} ({written.stat().st_size / 1e6:.1f} MB)")
