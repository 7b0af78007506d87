"""``hwnas evaluate``: score models on held-out architectures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.few_shot import FEW_SHOT, evaluate_few_shot, journal_of
from hwnas_surrogate.cli.options import (
    ROWS,
    Cluster,
    Csv,
    Data,
    Dataset,
    EncoderName,
    Jobs,
    Json,
    Rows,
    Seed,
    Space,
    Targets,
    open_cost_table,
    share_work,
)
from hwnas_surrogate.cli.output import SCORED, check_format, draw, progress, say, show
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from hwnas_surrogate.data import CostTable
    from hwnas_surrogate.evaluation import Evaluation
    from hwnas_surrogate.trainers import Surrogate

LAUBE2022, LEARNING_CURVE = "laube2022", "learning-curve"


def evaluate(
    context: typer.Context,
    data: Data = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="default, boosted, ridge, additive, linear, forest, xgboost, mlp. Repeatable.",
        ),
    ] = None,
    encoder: EncoderName = None,
    n_train: Annotated[int | None, typer.Option(min=2, help="Architectures to train on. Default: the rest.")] = None,
    n_test: Annotated[int | None, typer.Option(min=1, help="Architectures held out. Default: a fifth.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of random splits. Default: 5; 10 for few measurements.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What is held out: random, isomorphism (no equivalent architecture), op, cost (the most expensive), "
            "config; laube2022: 625 architectures, with 124, 900 and 14,000 trained on, beside the published figures; "
            "learning-curve: a fifth, with growing numbers of training architectures, also drawn. For few "
            "measurements of a new device: help, nasflat (HELP's and NASFLAT's devices, beside the published figures) "
            "or devices (each in turn, with all others as sources).",
        ),
    ] = "random",
    by: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP",
            help="Hold out each group of networks in turn: a family, group or other label of the table; or resolution.",
        ),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Sizes for the learning curve. Default: 10, 20, 50, ...")
    ] = None,
    intervals: Annotated[
        bool, typer.Option(help="Also calibrate and score intervals; models without their own take six times as long.")
    ] = True,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for scores and predictions, as JSON.")
    ] = Path("evaluations"),
    rows: Rows = ROWS,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Score models on held-out architectures, mean over random splits.

    Scores and every prediction are written to FOLDER/SPACE-PROTOCOL.json. A learning curve is also drawn (.png), and
    its data written (.csv). Finished fits are kept beside that file until it is written: the same command resumes.
    """
    from hwnas_surrogate.evaluation import Evaluation, beside_published, readable, summary
    from hwnas_surrogate.files import file_stem
    from hwnas_surrogate.report import plot_learning_curve
    from hwnas_surrogate.trainers import Surrogate

    check_format(as_json, as_csv)
    share_work(context, jobs, cluster)
    steps = _sizes(sizes, protocol)
    if by is not None and protocol != "random":
        raise InvalidInputError(f"--by and --protocol {protocol} hold out different networks: leave one of them out.")
    if protocol in FEW_SHOT:
        if model or encoder or n_train is not None or n_test is not None:
            raise InvalidInputError(
                f"--model, --encoder, --n-train and --n-test are set by the protocol {protocol}: leave them out."
            )
        table = open_cost_table(data, space, dataset, target, rows, seed)
        file = output / f"{table.space_name}-{protocol}.json"
        _check_files(file, protocol, data)
        return evaluate_few_shot(table, protocol, range(seed, seed + (seeds or 10)), file, as_json, as_csv)
    table = open_cost_table(data, space, dataset, target, rows, seed)
    file = output / f"{table.space_name}-{protocol if by is None else file_stem(f'by-{by}')}.json"
    _check_files(file, protocol, data)
    parts = []
    for name in model or ["default"]:
        prototype = Surrogate(table.space, encoder, name, calibrate=intervals)
        with progress(f"{name}: fitting") as update:
            splits = range(seed, seed + (seeds or 5))
            how = {"seeds": splits, "progress": update, "journal": journal_of(file)}
            parts.append(_evaluate(table, prototype, protocol, by, n_train, n_test, steps, how))
    evaluation = Evaluation.joined(parts)
    evaluation.write(file)
    journal_of(file).unlink(missing_ok=True)
    frame = beside_published(evaluation) if protocol == LAUBE2022 else summary(evaluation.scores)
    if as_json or as_csv:
        show(frame, "", as_json, as_csv)
    else:
        _show(readable(frame))
    if len(table.configs) > 1 and not (as_json or as_csv):
        title = "\nBy log2 distance of the config from those trained on (1 is a factor of two)"
        show(_readable_distances(evaluation.by_distance()), title, keys=(*SCORED, "log2 distance"))
    say(f"scores and predictions are in {file}")
    if protocol == LEARNING_CURVE:
        draw(evaluation.scores, plot_learning_curve, file.with_suffix(".png"), "the learning curve")


def _check_files(file: Path, protocol: str, data: list[str] | None) -> None:
    """Refuse, before the work, files that can't be written or are the input."""
    from hwnas_surrogate.files import check_output

    for suffix in (".json", ".csv", ".png") if protocol == LEARNING_CURVE else (".json",):
        check_output(file.with_suffix(suffix), inputs=data or [])


def _show(frame: pd.DataFrame) -> None:
    """Print the scores, followed by the published ones."""
    published = [name for name in frame.columns if name.startswith("published ")]
    show(frame.drop(columns=published), "Held-out scores", keys=SCORED)
    if published:
        published_scores = frame[["target", *published]].drop_duplicates("target")
        published_scores = published_scores.rename(
            columns={name: name.removeprefix("published ") for name in published}
        )
        show(published_scores, "\nPublished kendall tau, 625 held out: Laube, Mutschler and Zell 2022, table 3")


def _sizes(text: str | None, protocol: str) -> list[int] | None:
    if text is None:
        return None
    if protocol != LEARNING_CURVE:
        raise InvalidInputError(f"--sizes belongs to --protocol {LEARNING_CURVE}; --n-train sets one size.")
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInputError(f"--sizes reads 20,100,500, got {text!r}.") from None


def _evaluate(
    table: CostTable,
    prototype: Surrogate,
    protocol: str,
    by: str | None,
    n_train: int | None,
    n_test: int | None,
    sizes: list[int] | None,
    how: Mapping[str, Any],
) -> Evaluation:
    from hwnas_surrogate.evaluation import evaluate, laube2022, learning_curve

    if protocol in (LAUBE2022, LEARNING_CURVE) and n_train is not None:
        raise InvalidInputError(f"--n-train is set by the protocol {protocol}.")
    if protocol == LAUBE2022:
        if n_test is not None:
            raise InvalidInputError(f"--n-test is set by the protocol {protocol}.")
        return laube2022(table, prototype, **how)
    if protocol == LEARNING_CURVE:
        return learning_curve(table, prototype, sizes=sizes, n_test=n_test, **how)
    return evaluate(table, prototype, n_train=n_train, n_test=n_test, split=protocol, by=by, **how)


def _readable_distances(frame: pd.DataFrame) -> pd.DataFrame:
    shown = {
        "target": frame["device"] + "/" + frame["metric"],
        "model": frame["model"],
        "log2 distance": frame["log2_distance"],
    }
    parts = {
        "median error": "mdape",
        "within 10 %": "within_10pct",
        "within 20 %": "within_20pct",
        "in 90 % interval": "coverage_90",
    }
    shown["held out"] = frame["n"]
    shown |= {name: frame[column].map("{:.1%}".format) for name, column in parts.items()}
    return frame.assign(**shown)[list(shown)]
