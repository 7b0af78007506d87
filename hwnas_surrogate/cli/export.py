"""``hwnas export``: networks as files, to be measured elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.options import Archs, Dataset, Seed, Space, check_choice, choose_archs
from hwnas_surrogate.cli.output import echo, progress, say


def export(
    folder: Annotated[Path, typer.Option("--output", "-o", help="An empty folder, or one to make.")],
    archs: Archs = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Export this many random architectures.")] = None,
    space: Space = None,
    dataset: Dataset = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="onnx (default) or torch (torch.export). Repeatable."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write networks as ONNX or torch.export files, with a manifest and a form for the results.

    On your board, python run.py measures them and fills in results.csv; bring that back with hwnas import.
    """
    from hwnas_surrogate.measure import export_networks
    from hwnas_surrogate.spaces import get_space

    check_choice(archs, n)
    chosen = get_space(space or "nasbench201")
    batch = choose_archs(archs, n, chosen, seed)
    with progress("exporting") as update:
        manifest = export_networks(
            chosen, batch, folder, dataset, formats=formats or ["onnx"], random_state=seed, progress=update
        )
    echo(str(manifest))
    form = folder / "results.csv"
    if (folder / "run.py").exists():
        how = f"copy {folder} to the board and run there: python run.py --device NAME; it fills in {form.name}"
    else:
        how = f"fill in device, value and unit in {form}"
    say(f"{len(batch)} networks written; {how}, then: hwnas import {form}")
