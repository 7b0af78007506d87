"""``hwnas measure``: measure networks on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.options import Archs, Csv, Dataset, Json, Seed, Space, read_archs
from hwnas_surrogate.cli.output import check_format, progress, say, show
from hwnas_surrogate.errors import InvalidInputError


def measure(
    archs: Archs = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Measure this many random architectures.")] = None,
    space: Space = None,
    dataset: Dataset = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table to write. Default: measurements/SPACE.parquet.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="The device's name in the table.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="torch threads.")] = 1,
    passes: Annotated[int, typer.Option(min=1, help="Passes over all architectures.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs in each pass.")] = 6,
    warmup: Annotated[int, typer.Option(min=0, help="Untimed runs in each pass.")] = 1,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Measure the latency of networks on this host with torch, into a table to train on.

    Stopped or killed, it goes on where it was when the same command is run again.
    """
    import pandas as pd

    from hwnas_surrogate.measure import TorchEager
    from hwnas_surrogate.measure import measure as measure_networks
    from hwnas_surrogate.spaces import get_space

    check_format(as_json, as_csv)
    if bool(archs) == (n is not None):
        raise InvalidInputError("give either architectures or -n N.")
    chosen = get_space(space or "nasbench201")
    batch = read_archs(archs, chosen) if n is None else chosen.sample(n, seed)
    path = Path("measurements") / f"{chosen.name}.parquet" if output is None else output
    with progress("measuring") as update:
        table = measure_networks(
            chosen,
            batch,
            path,
            dataset,
            device=device,
            runtime=TorchEager(threads),
            passes=passes,
            repeats=repeats,
            warmup=warmup,
            random_state=seed,
            progress=update,
        )
    costs = table.costs[:, 0]
    repeatability = table.meta["repeatability"]
    row = {
        "target": str(table.targets[0]),
        "architectures": len(table),
        "minimum (ms)": float(costs.min()),
        "median (ms)": float(pd.Series(costs).median()),
        "maximum (ms)": float(costs.max()),
        "kendall tau of two passes": repeatability.get("kendall_tau", float("nan")),
        "their median relative difference": repeatability.get("median_relative_difference", float("nan")),
    }
    say(f"{len(table)} architectures measured and written to {path}; train on them with: hwnas train --data {path}")
    show(pd.DataFrame([row]), as_json=as_json, as_csv=as_csv)
