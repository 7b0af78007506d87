"""``hwnas evaluate``: score models on held-out architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from hwnas_surrogate.data import CostTable


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
    from hwnas_surrogate.evaluation import readable, summary
    from hwnas_surrogate.trainers import Surrogate

    check_format(as_json, as_csv)
    table = open_cost_table(data, space, dataset, target, rows, seed)
    if protocol == LAUBE2022:
        _laube2022(table, model or ["boosted"], encoder, range(seed, seed + seeds), as_json, as_csv)
        return
    frames = []
    for name in model or ["boosted"]:
        prototype = Surrogate(table.space.name, encoder, name)
        with progress(f"{name}: fitting") as update:
            results = score_held_out(
                table, prototype, n_train=n_train, n_test=n_test, seeds=range(seed, seed + seeds), split=protocol,
                progress=update,
            )  # fmt: skip
        frame = summary(results)
        frame.insert(3, "model", name)
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    show(frame if as_json or as_csv else readable(frame), "Held-out scores", as_json, as_csv)


def _laube2022(
    table: CostTable, models: list[str], encoder: str | None, seeds: range, as_json: bool, as_csv: bool
) -> None:
    """Print the protocol's table, and the published one beside it."""
    import pandas as pd

    from hwnas_surrogate.evaluation import laube2022, readable
    from hwnas_surrogate.trainers import Surrogate

    frames = []
    for name in models:
        with progress(f"{name}: fitting") as update:
            frame = laube2022(table, Surrogate(table.space.name, encoder, name), seeds=seeds, progress=update)
        frame.insert(3, "model", name)
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    published = [name for name in frame if str(name).startswith("published")]
    text = pd.concat([readable(frame), frame[published]], axis=1)
    show(frame if as_json or as_csv else text, "Laube, Mutschler and Zell 2022, table 3", as_json, as_csv)
