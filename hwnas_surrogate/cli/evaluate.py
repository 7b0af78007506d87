"""``hwnas evaluate``: score models on held-out architectures."""

from __future__ import annotations

from typing import Annotated

import typer

from hwnas_surrogate.cli.options import (
    ROWS,
    Csv,
    Data,
    Dataset,
    EncoderName,
    Json,
    Rows,
    Seed,
    Space,
    Targets,
    open_cost_table,
)
from hwnas_surrogate.cli.output import check_format, progress, show

LAUBE2022 = "laube2022"


def evaluate(
    data: Data = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="boosted (default), ridge, additive, linear, forest, xgboost, mlp. Repeatable.",
        ),
    ] = None,
    encoder: EncoderName = None,
    n_train: Annotated[int | None, typer.Option(min=2, help="Architectures to train on. Default: the rest.")] = None,
    n_test: Annotated[int | None, typer.Option(min=1, help="Architectures held out. Default: a fifth.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many random splits.")] = 5,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What is held out: random, isomorphism (no equivalent architecture), op, cost (the dearest), config; "
            "or laube2022: 625 architectures, 124, 900 and 14,000 trained on, beside the published figures.",
        ),
    ] = "random",
    rows: Rows = ROWS,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Score models on held-out architectures, mean over random splits."""
    import pandas as pd

    from hwnas_surrogate.evaluation import evaluate as score_held_out
    from hwnas_surrogate.evaluation import laube2022, readable, summary
    from hwnas_surrogate.trainers import Surrogate

    check_format(as_json, as_csv)
    table = open_cost_table(data, space, dataset, target, rows, seed)
    frames = []
    for name in model or ["boosted"]:
        prototype = Surrogate(table.space.name, encoder, name)
        splits = range(seed, seed + seeds)
        with progress(f"{name}: fitting") as update:
            if protocol == LAUBE2022:
                frame = laube2022(table, prototype, seeds=splits, progress=update)
            else:
                frame = summary(
                    score_held_out(
                        table, prototype, n_train=n_train, n_test=n_test, seeds=splits, split=protocol, progress=update
                    )
                )
        frame.insert(3, "model", name)
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    title = "Held-out scores"
    if protocol == LAUBE2022:
        title += ", beside Laube, Mutschler and Zell 2022, table 3"
    show(frame if as_json or as_csv else readable(frame), title, as_json, as_csv)
