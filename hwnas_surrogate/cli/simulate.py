"""``hwnas simulate``: estimate networks on a simulated accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.options import Archs, Csv, Dataset, Json, Seed, Space, check_choice, choose_archs
from hwnas_surrogate.cli.output import check_format, columns_of, progress, say, show


def simulate(
    archs: Archs = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="This many random architectures.")] = None,
    space: Space = None,
    dataset: Dataset = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table to write. Default: measurements/SPACE-simulated."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Estimate latency and energy on an Eyeriss-like array with the simulator ZigZag.

    Each distinct layer is simulated once, in some ten seconds; a second run takes it from beside the output.
    """
    from hwnas_surrogate.data import describe
    from hwnas_surrogate.measure import simulate as simulate_networks
    from hwnas_surrogate.spaces import get_space

    check_format(as_json, as_csv)
    check_choice(archs, n)
    chosen = get_space(space or "nasbench201")
    batch = choose_archs(archs, n, chosen, seed)
    path = Path("measurements") / f"{chosen.name}-simulated.parquet" if output is None else output
    with progress("simulating layers") as update:
        table = simulate_networks(chosen, batch, path, dataset, progress=update)
    say(f"written to {path}; train on it with: hwnas train --data {path}")
    show(columns_of(describe(table)), repr(table), as_json, as_csv)
