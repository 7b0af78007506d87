"""``hwnas measure``: measure networks on this host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.options import (
    Archs,
    Csv,
    Dataset,
    InputShape,
    Json,
    Networks,
    Seed,
    Space,
    choose_archs,
    read_duration,
    read_networks,
)
from hwnas_surrogate.cli.output import check_format, progress, say, show
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

    from hwnas_surrogate.data import AnyTable


def measure(
    archs: Archs = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Measure this many random architectures.")] = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    blocks: Annotated[bool, typer.Option("--blocks", help="Measure each block of FBNet by itself instead.")] = False,
    space: Space = None,
    dataset: Dataset = None,
    runtime: Annotated[
        str,
        typer.Option(metavar="NAME", help="The runtime: torch, torch-cuda, onnxruntime, onnxruntime-int8 or openvino."),
    ] = "torch",
    threads: Annotated[str, typer.Option(metavar="N", help="Threads per execution, or all.")] = "1",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table to write. Default: measurements/SPACE-RUNTIME.parquet.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="The device's name in the table.")] = None,
    time_limit: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after this time: 90s, 30m, 2h. Run again to resume.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="A network that takes longer to load, or to run once, has failed.")
    ] = "60s",
    budget: Annotated[str | None, typer.Option(hidden=True)] = None,
    passes: Annotated[int, typer.Option(min=1, help="Passes over all networks; a noise floor needs 2.")] = 2,
    repeats: Annotated[int, typer.Option(min=2, help="Timed runs in each pass, at least.")] = 10,
    max_repeats: Annotated[int, typer.Option(min=2, help="Timed runs in each pass, at most.")] = 20,
    half_width: Annotated[
        float, typer.Option(min=1e-6, help="Run again until the median's 95 % interval is +- this fraction of it.")
    ] = 0.02,
    energy: Annotated[bool, typer.Option("--energy", help="Also count energy (RAPL; NVML on an NVIDIA GPU).")] = False,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Measure the costs of networks on this host, and write a table to train on.

    They are architectures of a search space, or networks of your own: model.onnx, or --networks FILE.py:NAME.
    If it is stopped or killed, run the same command again to resume.
    """
    from hwnas_surrogate.measure import Protocol, make_runtime, measure_blocks, measure_networks
    from hwnas_surrogate.measure import measure as measure_archs
    from hwnas_surrogate.spaces import get_space

    check_format(as_json, as_csv)
    if budget is not None:
        raise InvalidInputError("--budget is a cost, of hwnas predict; the time to measure for is --time-limit TIME.")
    if half_width >= 1:
        raise InvalidInputError(f"--half-width is a part of the median: 0.02 for 2 %; got {half_width:g}.")
    if bool(archs or networks) + (n is not None) + blocks != 1:
        raise InvalidInputError("give either architectures, or models and --networks, or -n N, or --blocks.")
    given = read_networks(archs, networks, input_shape)
    if given and (space or dataset):
        raise InvalidInputError(
            f"{'--space' if space else '--dataset'} belongs to architectures; {given[0].source} is measured as it is."
        )
    chosen = get_space(space or ("fbnet" if blocks else "nasbench201"))
    if blocks and chosen.name != "fbnet":
        raise InvalidInputError(f"--blocks measures the blocks of fbnet; {chosen.name} has none.")
    runner = make_runtime(runtime, _threads(threads))
    what = "networks" if given else f"{chosen.name}-blocks" if blocks else chosen.name
    path = Path("measurements") / f"{what}-{runtime}.parquet" if output is None else output
    longest = read_duration("--timeout", timeout)
    protocol = Protocol(passes, repeats, max(repeats, max_repeats), half_width, energy, seed, longest)
    seconds = None if time_limit is None else read_duration("--time-limit", time_limit)
    table: AnyTable
    with progress("measuring") as update:
        common: dict[str, Any] = {
            "runtime": runner, "device": device, "protocol": protocol, "time_limit": seconds, "progress": update
        }  # fmt: skip
        if blocks:
            table = measure_blocks(path, dataset, **common)
        elif given:
            table = measure_networks(given, path, **common)
        else:
            table = measure_archs(chosen, choose_archs(archs, n, chosen, seed), path, dataset, **common)
    fast, slow = table.meta["anchor"]["percentiles_5_95_ms"]
    say(f"drift, corrected: the anchor network ran in {fast:.4g} to {slow:.4g} ms (5th to 95th percentile over blocks)")
    if table.meta["disturbed"]:
        say(f"warning: {table.meta['disturbed']}")
    left = table.meta["protocol"].get("left", 0)
    if left:
        say(f"time limit reached, {left} networks are not measured yet; run the same command again to resume")
    say(f"written to {path}; {'look costs up' if blocks else 'train on it'} with: {_next(path, blocks)}")
    show(_summary(table), as_json=as_json, as_csv=as_csv)


def _threads(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or not int(text):
        raise InvalidInputError(f"--threads must be an integer of at least 1, or all; got {text!r}.")
    return int(text)


def _next(path: Path, blocks: bool) -> str:
    return f"hwnas query ARCH --data {path}" if blocks else f"hwnas train --data {path}"


def _summary(table: AnyTable) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    from hwnas_surrogate.data import CostTable

    rows = []
    for column, target in enumerate(table.targets):
        if isinstance(table, CostTable):
            costs, floor = table.costs[:, column], table.noise_floor().get(target, {})
        else:
            costs, floor = np.array(list(table.block_costs[target].values())), table.meta["noise_floor"]
        known = costs[~np.isnan(costs)]
        rows.append(
            {
                "target": str(target),
                "costs": len(known),
                "failed": len(costs) - len(known),
                f"minimum ({target.unit})": float(known.min()),
                f"median ({target.unit})": float(np.median(known)),
                f"maximum ({target.unit})": float(known.max()),
                "noise floor: kendall tau of two halves": floor.get("kendall_tau", float("nan")),
                "their median relative difference": floor.get("median_relative_difference", float("nan")),
            }
        )
    return pd.DataFrame(rows)
