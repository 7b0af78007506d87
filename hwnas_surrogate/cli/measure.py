"""``hwnas measure``: measure networks on this host."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.options import (
    Archs,
    Boards,
    Csv,
    Dataset,
    DeviceName,
    InputShape,
    Json,
    Networks,
    Seed,
    Space,
    Threads,
    choose_archs,
    read_duration,
    read_networks,
)
from hwnas_surrogate.cli.output import check_format, progress, say, show
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from hwnas_surrogate.data import AnyTable
    from hwnas_surrogate.measure import Setting
    from hwnas_surrogate.measure.boards import Board
    from hwnas_surrogate.spaces import SearchSpace


def measure(
    context: typer.Context,
    archs: Archs = None,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1, help="Measure this many random architectures.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input", metavar="FILE", help="Measure the architectures of a CSV file, as hwnas suggest writes."
        ),
    ] = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    blocks: Annotated[bool, typer.Option("--blocks", help="Measure each block of FBNet by itself instead.")] = False,
    space: Space = None,
    dataset: Dataset = None,
    runtime: Annotated[
        str, typer.Option(metavar="NAME,...", help="The runtime, or several: hwnas doctor lists them.")
    ] = "torch",
    threads: Threads = "1",
    batch: Annotated[str, typer.Option(metavar="N,...", help="Images per execution, of architectures.")] = "1",
    cold: Annotated[bool, typer.Option("--cold", help="Each timed run opens the network, then runs it.")] = False,
    throughput: Annotated[bool, typer.Option("--throughput", help="Also keep images per second.")] = False,
    board: Boards = None,
    fleet: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The boards are of one kind: they share the networks, as one device."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The boards of the fleet are the workers of a dask cluster that own a device: tcp://HOST:8786.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table to write. Default: measurements/SPACE-RUNTIME.parquet.")
    ] = None,
    device: DeviceName = None,
    time_limit: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after this time: 90s, 30m, 2h. Run again to resume.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="A network that takes longer to load, or to run once, has failed. Default: 60s; 10m if compiled.",
        ),
    ] = None,
    budget: Annotated[str | None, typer.Option(hidden=True)] = None,
    passes: Annotated[int, typer.Option(min=1, help="Passes over all networks; a noise floor needs 2.")] = 2,
    repeats: Annotated[int, typer.Option(min=2, help="Timed runs in each pass, at least.")] = 10,
    max_repeats: Annotated[int, typer.Option(min=2, help="Timed runs in each pass, at most.")] = 20,
    half_width: Annotated[
        float, typer.Option(min=1e-6, help="Run again until the median's 95 % interval is +- this fraction of it.")
    ] = 0.02,
    energy: Annotated[bool, typer.Option("--energy", help="Also count energy (RAPL; NVML on an NVIDIA GPU).")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also time the operators of each network, for surrogates to learn from.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Measure the costs of networks on this host or on boards, and write a table to train on.

    They are architectures of a search space, or networks of your own: model.onnx, or --networks FILE.py:NAME.
    Several runtimes, threads, batches and boards are a device each; boards of a --fleet share the networks. If it is
    stopped or killed, or a board is lost, run the same command again to resume.
    """
    from hwnas_surrogate.data import CostTable, write_parquet
    from hwnas_surrogate.measure import Protocol, measure_blocks, measure_networks, measure_several, with_throughput
    from hwnas_surrogate.measure import measure as measure_archs
    from hwnas_surrogate.measure.boards import device_workers
    from hwnas_surrogate.measure.profiling import check_reporting
    from hwnas_surrogate.spaces import get_space

    check_format(as_json, as_csv)
    if budget is not None:
        raise InvalidInputError("--budget is a cost, of hwnas predict; the time to measure for is --time-limit TIME.")
    if half_width >= 1:
        raise InvalidInputError(f"--half-width is a part of the median: 0.02 for 2 %; got {half_width:g}.")
    if bool(archs or networks) + (n is not None) + (source is not None) + blocks != 1:
        raise InvalidInputError(
            "give either architectures, or models and --networks, or --input, or -n N, or --blocks."
        )
    given = read_networks(archs, networks, input_shape)
    if given and (space or dataset):
        raise InvalidInputError(
            f"{'--space' if space else '--dataset'} belongs to architectures; {given[0].source} is measured as it is."
        )
    chosen = get_space(space or ("fbnet" if blocks else "nasbench201"))
    if blocks and chosen.name != "fbnet":
        raise InvalidInputError(f"--blocks measures the blocks of fbnet; {chosen.name} has none.")
    if cluster is not None and (board or fleet is None):
        raise InvalidInputError(
            "--cluster measures on its workers that own a device, as one fleet: give --fleet NAME, and no --board."
        )
    workers = context.with_resource(device_workers(cluster))
    settings = read_settings(runtime, threads, batch, cold, [*(board or []), *workers], device, fleet)
    if profile:  # before another setting is measured
        for of in settings:
            check_reporting(of.runtime, of.board)
    if len(settings) > 1 and blocks:
        raise InvalidInputError("--blocks measures in one setting: one runtime, one number of threads, one board.")
    if throughput and (blocks or given):
        what = "blocks" if blocks else "networks of your own"
        raise InvalidInputError(f"{what} have no known number of images per execution: leave out --throughput.")
    what = "networks" if given else f"{chosen.name}-blocks" if blocks else chosen.name
    path = Path("measurements") / f"{what}-{runtime.replace(',', '-')}.parquet" if output is None else output
    longest = read_duration("--timeout", timeout) if timeout else max(of.runtime.patience for of in settings)
    protocol = Protocol(
        passes, repeats, max(repeats, max_repeats), half_width, energy, seed, longest, _PROFILED * profile
    )
    seconds = None if time_limit is None else read_duration("--time-limit", time_limit)
    common: dict[str, Any] = {"protocol": protocol, "time_limit": seconds}
    one: Any
    if blocks:
        one = partial(measure_blocks, config=dataset, **common)
    elif given:
        one = partial(measure_networks, given, **common)
    else:
        if source is None:
            batch_of, configs = choose_archs(archs, n, chosen, seed), dataset
        else:
            batch_of, configs = _read(source, chosen, dataset)
        one = partial(measure_archs, chosen, batch_of, configs=configs, **common)
    with progress("measuring") as update:
        if len(settings) > 1:
            table: AnyTable = measure_several(one, settings, path, update)
        else:
            [only] = settings
            table = one(path, runtime=only.runtime, board=only.board, device=device, progress=update)
    if throughput and isinstance(table, CostTable):
        table = with_throughput(table)
        write_parquet(table, path)
    for part in table.meta.get("tables", [table.meta]):
        _tell(part, f"{part['targets'][0].partition('/')[0]}: " if len(settings) > 1 else "")
    say(f"written to {path}; {'look costs up' if blocks else 'train on it'} with: {_next(path, blocks)}")
    show(_summary(table), as_json=as_json, as_csv=as_csv)


_PROFILED = 20
"""Executions of each network whose operators are timed."""


def _read(path: Path, space: SearchSpace, dataset: str | None) -> tuple[Any, Any]:
    """Return the architectures of a file, each once, and their configs."""
    from hwnas_surrogate.data.arch_files import read_arch_file
    from hwnas_surrogate.inputs import input_path

    found: dict[Any, None] = {}
    for archs, configs in read_arch_file(input_path(path), 8192):
        batch = space.as_array(archs)
        of_row = [space.config(dataset)] * len(archs) if configs is None else list(map(space.config, configs))
        found.update(dict.fromkeys(zip(space.format_all(batch), of_row, strict=True)))
    return [arch for arch, _ in found], [config for _, config in found]


def read_settings(
    runtimes: str,
    threads: str,
    batches: str,
    cold: bool,
    boards: Sequence[str | Board],
    device: str | None,
    fleet: str | None = None,
) -> list[Setting]:
    """Return every combination of what was given, each once; the boards of a fleet are one place."""
    from hwnas_surrogate.measure import make_runtime
    from hwnas_surrogate.measure.boards import Fleet, parse_board
    from hwnas_surrogate.measure.several import Setting

    if fleet is not None and not boards:
        raise InvalidInputError(
            f"--fleet {fleet} has no boards: give each with --board ssh://USER@HOST, or all with --cluster ADDRESS."
        )
    if fleet is not None and device is not None:
        raise InvalidInputError("--fleet names the device already: leave out --device.")
    if fleet is None and device is not None and len(boards) > 1:
        raise InvalidInputError("--device names one machine; give boards names of their own: ssh://HOST?name=NAME.")
    names = _listed(runtimes)
    counts = [None if text == "all" else _count("--threads", text, ", or all") for text in _listed(threads)]
    sizes = [_count("--batch", text) for text in _listed(batches)]
    made = [make_runtime(name, count, size, cold) for name in names for count in counts for size in sizes]
    addresses = list(dict.fromkeys(boards))
    places: list[Board | Fleet | None] = (
        [Fleet(fleet, addresses)]
        if fleet is not None
        else [parse_board(each) if isinstance(each, str) else each for each in addresses] or [None]
    )
    return [Setting(runtime, board, device) for board in places for runtime in made]


def _listed(text: str) -> list[str]:
    """Return the items of a list, each once."""
    return list(dict.fromkeys(item.strip() for item in text.split(",")))


def _count(option: str, text: str, more: str = "") -> int:
    if not text.isdecimal() or not int(text):
        raise InvalidInputError(f"{option} must be an integer of at least 1{more}; got {text!r}.")
    return int(text)


def _tell(meta: dict[str, Any], device: str) -> None:
    """Print what happened while a device was measured."""
    fast, slow = meta["anchor"]["percentiles_5_95_ms"]
    say(
        f"{device}drift, corrected: the anchor network ran in {fast:.4g} to {slow:.4g} ms (5th to 95th percentile over "
        "blocks)"
    )
    if meta["disturbed"]:
        say(f"{device}warning: {meta['disturbed']}")
    if "fleet" in meta:
        _tell_fleet(meta["fleet"], device)
    if "profile" in meta:
        failed = meta["profile"]["failed"]
        say(f"{device}operators timed of {meta['profile']['networks']} networks, not of {len(failed)}")
        for name, why in list(failed.items())[:_SAID]:
            say(f"  {name}: {why}")
        if left := meta["profile"].get("left", 0):
            say(f"{device}time limit reached, operators of {left} networks are not timed yet; run it again to resume")
    left = meta["protocol"].get("left", 0)
    if left:
        say(f"{device}time limit reached, {left} networks are not measured yet; run the same command again to resume")


def _tell_fleet(fleet: dict[str, Any], device: str) -> None:
    """Print which board measured how much, and how the boards differ."""
    for name, board in fleet["boards"].items():
        scale, error = board["scale"], board["scale_error"]
        if scale is None:
            say(f"{device}board {name}: no networks")
        else:
            of = "the anchor" if error is None else f"{board['compared']} networks"
            width = "" if error is None else f" +- {error:.4f}"
            say(f"{device}board {name}: {board['networks']} networks; times divided by {scale:.4f}{width}, from {of}")
            if abs(scale - 1) > _APART:
                say(
                    f"{device}warning: board {name} is {'slower' if scale > 1 else 'faster'} than the fleet by "
                    f"{abs(scale - 1):.0%}: check its cooling, power and clock (hwnas doctor --board URL)"
                )
        if board["disturbed"]:
            say(f"{device}warning: board {name}: {board['disturbed']}")
        if board["dropped"]:
            say(f"{device}warning: board {name} dropped out, the others took its share: {board['dropped']}")
    parts = (("between_boards", "two boards"), ("within_board", "two passes on one board"))
    told = [f"{fleet[key]:.2%} of {what}" for key, what in parts if fleet[key] is not None]
    if told:
        say(f"{device}median difference about a network, scales taken out: {', '.join(told)}")


_APART = 0.1
"""Relative difference of a board from its fleet that is a reason for a warning."""

_SAID = 5
"""Number of networks without a profile that are printed."""


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
                "minimum": float(known.min()),
                "median": float(np.median(known)),
                "maximum": float(known.max()),
                "unit": target.unit,
                "noise floor: tau": floor.get("kendall_tau", float("nan")),
                "noise floor: difference": floor.get("median_relative_difference", float("nan")),
            }
        )
    return pd.DataFrame(rows)
