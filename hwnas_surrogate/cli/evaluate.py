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
    rows: Rows = ROWS,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Score models on held-out architectures, mean over random splits."""
    import pandas as pd

    from hwnas_surrogate.evaluation import evaluate as score_held_out
    from hwnas_surrogate.evaluation import readable, summary
    from hwnas_surrogate.trainers import Surrogate

    check_format(as_json, as_csv)
    table = open_cost_table(data, space, dataset, target, rows, seed)
    frames = []
    for name in model or ["boosted"]:
        prototype = Surrogate(table.space.name, encoder, name)
        with progress(f"{name}: fitting") as update:
            results = score_held_out(
                table, prototype, n_train=n_train, n_test=n_test, seeds=range(seed, seed + seeds), progress=update
            )
        frame = summary(results)
        frame.insert(3, "model", name)
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    show(frame if as_json or as_csv else readable(frame), "Held-out scores", as_json, as_csv)
