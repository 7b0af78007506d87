"""``hwnas search``: the best networks under budgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.measure import read_settings
from hwnas_surrogate.cli.options import (
    Archs,
    Boards,
    Cluster,
    Csv,
    Dataset,
    DeviceName,
    InputShape,
    Jobs,
    Json,
    Networks,
    Ops,
    Seed,
    Sources,
    Space,
    Threads,
    open_networks,
    open_table,
    read_archs,
    read_budgets,
    read_duration,
    read_networks,
    share_work,
)
from hwnas_surrogate.cli.output import as_json_text, check_format, echo_json, progress, say, show
from hwnas_surrogate.cli.search_loop import check_loop, measured_search
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from hwnas_surrogate.search import SearchResult
    from hwnas_surrogate.spaces import SearchSpace

_ALTERNATIVE = "or"
"""The label of the network that could be taken instead of the pick above it."""


def search(
    context: typer.Context,
    archs: Archs = None,
    space: Space = None,
    surrogates: Annotated[
        list[str] | None,
        typer.Option(
            "--surrogates",
            "-s",
            metavar="PATH",
            help="Costs: a folder saved by `hwnas train` or `hwnas adapt`, or what --data of other commands accepts, "
            "if it holds every candidate. Repeatable.",
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What to optimise: quality (default), DEVICE/METRIC, params, macs or peak_memory. Repeatable.",
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LIMIT",
            help="The largest value allowed (the smallest, for quality, throughput and accuracy), in the unit of the "
            "metric: DEVICE/METRIC=COST, params, macs, peak_memory or quality. Repeatable.",
        ),
    ] = None,
    certainty: Annotated[
        float | None,
        typer.Option(metavar="P", help="The least probability that each budget of a target is kept: .9 for 90 %."),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="A quality of networks, larger is better: CSV with columns architecture (or model) and, say, "
            "accuracy; what hwnas data convert-accuracy wrote; a folder of surrogates of accuracies; or FILE.py:NAME, "
            "a function from a list of networks to numbers. The Python file is run.",
        ),
    ] = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    ops: Ops = None,
    dataset: Dataset = None,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Number of networks to pick.")] = 5,
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of networks to evaluate at most. Default: all of a space of up to a million, else 50000; "
            "of one whose networks are counted one by one, all of up to 10000, else 2000.",
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the values of a quality function here; the same command resumes."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time that a call of the quality function may take: 90s, 30m, 2h."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Measure the networks that promise most, adapt, and search again. The runtime, or several: hwnas "
            "doctor lists them. Run the same command again to resume.",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The same for any board: write the networks of each round here, as ONNX files with a form (hwnas "
            "export). Run the same command again when it is filled in.",
        ),
    ] = None,
    first: Annotated[
        int, typer.Option(min=2, help="Number of informative networks to measure before the first search.")
    ] = 10,
    most: Annotated[int, typer.Option(min=2, help="Number of networks to measure altogether.")] = 30,
    sources: Sources = None,
    threads: Threads = "1",
    board: Boards = None,
    device: DeviceName = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table to write. Default: measurements/search-SPACE-RUNTIME.parquet."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write what --json prints to this file, for hwnas report --search."),
    ] = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Find the best networks under budgets: of a space, or among your own.

    A space of up to a million architectures is evaluated as a whole, with its exact front; a larger one by NSGA-II.
    Beside each network is printed the most different one that is about as good: predictions err most for the best.
    """
    from hwnas_surrogate.files import check_output
    from hwnas_surrogate.search import search as search_networks

    check_format(as_json, as_csv)
    if save is not None:
        check_output(save, (".json",), [name for name in (quality, journal, *(surrogates or [])) if name is not None])
    if networks and (space or dataset or ops):
        raise InvalidInputError("--space, --dataset and --ops belong to architectures: they do not go with --networks.")
    if certainty is not None and not 0 < certainty < 1:
        raise InvalidInputError(f"--certainty is a probability: .9 for 90 %; got {certainty:g}.")
    own = {"--threads": threads != "1", "--board": board, "--device": device, "--output": output}
    check_loop(measure, export, own, {"--sources": sources, "--first": first != 10, "--most": most != 30})
    if certainty is not None and (measure or export):
        raise InvalidInputError(
            "--certainty is of predicted costs, and here the costs of the picks are measured: leave it out."
        )
    costs = open_costs(surrogates, space, dataset)
    candidates = open_candidates(archs, networks, input_shape, space, ops, dataset, costs)
    wanted: dict[str, Any] = {
        "objectives": objective or ["quality"],
        "surrogates": costs,
        "quality": open_quality(quality),
        "budgets": read_budgets(budget),
        "n": n,
        "config": None if archs else dataset,
        "evaluations": evaluations,
        "timeout": None if timeout is None else read_duration("--timeout", timeout),
        "journal": journal,
        "random_state": seed,
    }
    share_work(context, jobs, cluster)
    result: SearchResult | None
    if measure is None and export is None:
        with progress("searching") as update:
            result = search_networks(
                candidates,
                certainty=certainty,
                progress=lambda done, total, volume: update(done, total, f" (hypervolume {volume:.4f})"),
                **wanted,
            )
    else:
        result = measured_search(
            candidates,
            {**wanted, "first": first, "most": most},
            sources,
            export=export,
            settings=[] if measure is None else read_settings(measure, threads, "1", False, board or [], device),
            device=device,
            output=output or Path("measurements") / f"search-{_name(candidates)}-{measure}.parquet".replace(",", "-"),
            own=None if not (archs or networks) else lambda: read_networks(archs, networks, input_shape),
        )
    if result is None:
        return
    try:
        if save is not None:
            _save(result, save)
    finally:  # a result of hours is printed where it can't be written
        show_result(result, as_json, as_csv)


def open_costs(paths: list[str] | None, space: str | None, dataset: str | None) -> list[Any]:
    """Load saved surrogates, and tables that hold the costs of all candidates."""
    from hwnas_surrogate.trainers import SurrogateSuite

    return [
        SurrogateSuite.load(path) if (Path(path) / "manifest.json").is_file() else open_table(path, space, dataset)
        for path in paths or []
    ]


def open_candidates(
    archs: list[str] | None,
    networks: list[str] | None,
    input_shape: str | None,
    space: str | None,
    ops: str | None,
    dataset: str | None,
    sources: list[Any],
) -> Any:
    """Return the candidates: given networks or architectures, or a space: that of the surrogates if none is named."""
    from hwnas_surrogate.search.cost_sources import Costs
    from hwnas_surrogate.spaces import get_space

    graphs = open_networks(archs, networks, input_shape)
    if graphs is not None:
        return graphs
    costs = Costs(sources)
    found = costs.space if space is None else get_space(space)
    if found is None and sources:
        raise InvalidInputError("the surrogates are of graphs: --networks names those to choose among.")
    of: SearchSpace = get_space("nasbench201") if found is None else found
    return of.batch(read_archs(archs, of, ops), costs.config(of, dataset)) if archs else of


def _name(candidates: Any) -> str:
    """Return what the candidates are called in the names of files."""
    return str(getattr(candidates, "name", "networks"))


def open_quality(source: str | None) -> Any:
    """Return a quality: of a file, a saved surrogate, or a function."""
    from hwnas_surrogate.capture.user_file import UserFunction, split_source
    from hwnas_surrogate.trainers import SurrogateSuite

    if source is None:
        return None
    if split_source(source) is not None:
        return UserFunction(source)
    if source.endswith(".py"):
        raise InvalidInputError(f"{source} is a Python file: name its function, as in {source}:NAME.")
    return SurrogateSuite.load(source) if (Path(source) / "manifest.json").is_file() else source


def _save(result: SearchResult, path: Path) -> None:
    """Write a result as JSON."""
    from hwnas_surrogate.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(as_json_text(result.to_dict(), indent=1), encoding="utf-8")
    say(f"the result is in {path}, for hwnas report --search {path}")


def show_result(result: SearchResult, as_json: bool, as_csv: bool) -> None:
    """Print a result: the picks as CSV, all of it as JSON, or tables that fit the terminal."""
    if as_csv:
        show(result.frame, as_csv=True)
    elif as_json:
        echo_json(result.to_dict(), indent=1)
    else:
        _show_tables(result)


def _show_tables(result: SearchResult) -> None:
    import pandas as pd

    rows, written = [], []
    for number, (own, other) in enumerate(
        zip(result.frame.to_dict("records"), result.alternatives.to_dict("records"), strict=True), start=1
    ):
        for label, row in ((str(number), own), (_ALTERNATIVE, other)):
            name = row[result.frame.columns[0]]
            if isinstance(name, str):
                rows.append({"pick": label, **_cells(result, row)})
                written.append({"pick": label, result.frame.columns[0]: name})
    has_other = len(rows) > len(result.frame)
    how = f"all {len(result.evaluated):,}" if result.exact else f"{len(result.evaluated):,} evaluated"
    objectives = ", ".join(quantity.name for quantity in result.goals.objectives)
    under = "".join(f", {budget}" for budget in result.goals.budgets)
    show(
        pd.DataFrame(rows),
        f"Best by {objectives}{under}, of {how}",
        notes=[
            *(["or: the most different network that is about as good as the pick above"] if has_other else []),
            f"networks on the front: {len(result.front):,}",
            *result.notes,
        ],
    )
    show(pd.DataFrame(written), "\nNetworks")


def _cells(result: SearchResult, row: dict[Any, Any]) -> dict[str, Any]:
    """Return a network's cells: each quantity, its interval, and the probability that its budget is kept."""
    cells: dict[str, Any] = {}
    for quantity in result.goals.quantities:
        cells[quantity.title] = row[quantity.title]
        if quantity.target is not None:
            low, high = (row[f"{quantity.title} {bound}"] for bound in ("low", "high"))
            cells[f"{quantity.name} 90 %"] = f"{low:.4g} .. {high:.4g}" if low == low else "-"
        for name, value in row.items():
            if str(name).startswith((f"P({quantity.name} <= ", f"P({quantity.name} >= ")):
                cells[f"P({quantity.name} kept)"] = f"{value:.3f}"
    return cells
