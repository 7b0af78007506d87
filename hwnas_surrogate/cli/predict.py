"""``hwnas predict``: predict costs with saved surrogates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.costs import show_costs
from hwnas_surrogate.cli.options import (
    Archs,
    Cluster,
    Csv,
    Dataset,
    InputShape,
    Jobs,
    Json,
    Networks,
    Ops,
    Seed,
    Space,
    Targets,
    capture_ahead,
    check_choice,
    choose_archs,
    open_networks,
    read_budgets,
    share_work,
)
from hwnas_surrogate.cli.output import check_format, progress, say
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from hwnas_surrogate.data import Target
    from hwnas_surrogate.trainers import SurrogateSuite


_OF_ARCHS, _OF_GRAPHS = Path("surrogates/nasbench201"), Path("surrogates/graphs")
"""Where `hwnas train` saves by default."""


def predict(
    context: typer.Context,
    archs: Archs = None,
    space: Space = None,
    surrogates: Annotated[
        Path | None,
        typer.Option(
            "--surrogates",
            "-s",
            help=f"Folder saved by `hwnas train`. Default: {_OF_ARCHS}; of .onnx files and --networks {_OF_GRAPHS}.",
        ),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Predict this many random architectures.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Predict a file of any size: .parquet or .csv with a column architecture (and config), or .txt lines. "
            "Or several, 'part-*.parquet': the same command resumes.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Output of --input: .parquet or .csv; a folder for several files, and for --range.",
        ),
    ] = None,
    numbers: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="FIRST:END",
            help="Predict these architectures of the endless random sequence of --seed, and write the best ones.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="--range: write this many of the best of each target.")] = 0,
    front: Annotated[bool, typer.Option("--front", help="--range: write the Pareto front of the targets.")] = False,
    networks: Networks = None,
    input_shape: InputShape = None,
    ops: Ops = None,
    dataset: Dataset = None,
    target: Targets = None,
    interval: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Add intervals that contain this share of measured costs, 90 for 90 %."),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE/METRIC=COST",
            help="Add the probability that the cost is at most this value (at least, for throughput and accuracy), in "
            "the target's unit. Repeatable.",
        ),
    ] = None,
    extrapolate: Annotated[
        bool,
        typer.Option(
            "--extrapolate",
            help="Also use surrogates that were trained under only one or two other configs: rough predictions.",
        ),
    ] = False,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Predict the cost of networks that were never measured: architectures, .onnx files, modules.

    Surrogates trained on graphs predict any network; those trained on architectures predict those of their space.
    """
    import pandas as pd

    from hwnas_surrogate.data import pick_targets
    from hwnas_surrogate.prediction import predict_batches, predict_file, predict_partitions
    from hwnas_surrogate.prediction.partitions import is_pattern
    from hwnas_surrogate.spaces import get_space
    from hwnas_surrogate.trainers import SurrogateSuite

    check_format(as_json, as_csv)
    share_work(context, jobs, cluster)
    if (source is None and numbers is None) != (output is None):
        raise InvalidInputError("--input and --output belong together, and so do --range and --output.")
    if (top or front) and numbers is None:
        raise InvalidInputError("--top and --front select among the architectures of --range: give one.")
    if interval is not None and not 1 <= interval < 100:
        raise InvalidInputError(
            f"--interval reads per cent: 90 for 90 %; it must be at least 1 and below 100, got {interval:g}."
        )
    coverage = None if interval is None else interval / 100
    budgets = read_budgets(budget)
    if output is not None:
        if archs or sample is not None or (source is not None and numbers is not None):
            raise InvalidInputError("--input and --range replace architectures and --sample: give one of them.")
        suite = _load(surrogates or _OF_ARCHS, space)
        asked = target if extrapolate or target else _answering(suite, dataset)
        if source is None:
            if interval is not None or budgets or ops is not None:
                raise InvalidInputError("--interval, --budget and --ops do not go with --range.")
            _best_of_range(suite, str(numbers), dataset, asked, top, front, seed, extrapolate, output)
            return
        wanted: dict[str, Any] = {
            "coverage": coverage,
            "budgets": budgets,
            "extrapolate": extrapolate,
            "convention": ops,
        }
        if is_pattern(source):
            with progress("predicting files") as update:
                n = predict_partitions(suite, source, output, dataset, asked, **wanted, progress=update)
        else:
            told = f"columns of {source} that are not read: "
            n = predict_file(
                suite, source, output, dataset, asked, **wanted, ignored=lambda names: say(told + ", ".join(names))
            )
        say(f"{n} architectures predicted into {output}")
        return
    graphs = open_networks(archs, networks, input_shape)
    if graphs is not None:
        if sample is not None or dataset is not None or ops is not None:
            raise InvalidInputError("--sample, --dataset and --ops belong to architectures; graphs need none of them.")
        suite = SurrogateSuite.load(surrogates or _OF_GRAPHS)
        frames = predict_batches(
            suite, graphs, None, target, coverage=coverage, budgets=budgets, extrapolate=extrapolate
        )
        show_costs(
            pd.concat(frames), pick_targets(target, suite.targets_), None, as_json, as_csv, title="Predicted costs"
        )
        return
    check_choice(archs, sample, "--sample N, --networks SOURCE, or --input FILE")
    if sample is not None and ops is not None:
        raise InvalidInputError("--ops is the convention of op numbers in given architectures; --sample needs none.")
    suite = _load(surrogates or _OF_ARCHS, space)
    of = get_space(suite.space)
    if of is None:
        raise InvalidInputError(
            f"the surrogates of {surrogates} are of graphs: give .onnx files, or --networks FILE.py:NAME."
        )
    batch = choose_archs(archs, sample, of, seed, ops)
    asked = target if extrapolate or target else _answering(suite, dataset)
    config = of.config(suite.default_config(asked) if dataset is None else dataset)
    capture_ahead(of, batch, config)
    frames = predict_batches(suite, batch, dataset, asked, coverage=coverage, budgets=budgets, extrapolate=extrapolate)
    title = f"Predicted costs under {of.dataset_name(config) or config}"
    show_costs(pd.concat(frames), pick_targets(asked, suite.targets_), of, as_json, as_csv, title=title)


def _best_of_range(
    suite: SurrogateSuite,
    numbers: str,
    dataset: str | None,
    targets: Any,
    top: int,
    front: bool,
    seed: int,
    extrapolate: bool,
    folder: Path,
) -> None:
    """Write the best architectures of a range, one file for each target and one for the front."""
    from hwnas_surrogate.files import check_folder, file_stem, replacing
    from hwnas_surrogate.prediction import best_of_range

    if not (top or front):
        raise InvalidInputError("--range predicts more than anyone reads: give --top N, --front, or both.")
    first, _, end = numbers.partition(":")
    if not (first.isdecimal() and end.isdecimal()):
        raise InvalidInputError(f"--range reads FIRST:END, 0:1000000 say, got {numbers!r:.80}.")
    check_folder(folder)
    journal = folder / "best.journal"
    with progress("predicting architectures") as update:
        best = best_of_range(
            suite, int(first), int(end), dataset, targets, top=top, front=front, seed=seed, extrapolate=extrapolate,
            progress=update, journal=journal,
        )  # fmt: skip
    for name, frame in best.items():
        place = folder / f"{file_stem(name.replace('/', '-'))}.csv"
        with replacing(place) as temporary:
            frame.to_csv(temporary, index=False)
        say(f"{len(frame):,} of {int(end) - int(first):,} architectures: {place}")
    journal.unlink(missing_ok=True)


def _load(folder: Path, space: str | None) -> SurrogateSuite:
    """Load surrogates, and check that they are of a given space."""
    from hwnas_surrogate.spaces import get_space
    from hwnas_surrogate.trainers import SurrogateSuite

    suite = SurrogateSuite.load(folder)
    of = get_space(suite.space)
    if space is not None and (of is None or of.name != get_space(space).name):
        raise InvalidInputError(f"the surrogates of {folder} are of {of.name if of else 'graphs'}, not of {space}.")
    return suite


def _answering(suite: SurrogateSuite, dataset: str | None) -> list[Target] | None:
    """Return the targets that can be predicted under a config, and print which can't; None (all) if none can."""
    answering = list(suite.targets_for(dataset))
    silent = [str(target) for target in suite.targets_ if target not in answering]
    if not answering or not silent:
        return None
    say(
        f"left out, as they were trained under other configs only: {', '.join(silent)}; "
        "--extrapolate predicts them roughly"
    )
    return answering
