"""``hwnas train``: train a surrogate for every target of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas_surrogate.cli.options import (
    ROWS,
    Csv,
    Data,
    Dataset,
    EncoderName,
    Json,
    Model,
    Rows,
    Seed,
    Space,
    Targets,
    open_cost_table,
)
from hwnas_surrogate.cli.output import check_format, progress, say, show

if TYPE_CHECKING:
    import pandas as pd

    from hwnas_surrogate.data import CostTable


def train(
    data: Data = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    model: Model = None,
    encoder: EncoderName = None,
    n_train: Annotated[int | None, typer.Option(min=2, help="Architectures to train on when scoring.")] = None,
    n_test: Annotated[int | None, typer.Option(min=1, help="Architectures held out. Default: a fifth.")] = None,
    rows: Rows = ROWS,
    seed: Seed = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to save to. Default: surrogates/SPACE.")
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Train a surrogate for every target of a table, print held-out scores, and save them.

    Without arguments: on the bundled measurements of both search spaces. Scores come from architectures that were held
    out; the saved surrogates are then trained on all of them.
    """
    import pandas as pd

    from hwnas_surrogate.evaluation import readable
    from hwnas_surrogate.spaces import space_names

    check_format(as_json, as_csv)
    spaces = list(space_names()) if data is None and space is None and dataset is None and not target else [space]
    results = []
    for name in spaces:
        table = open_cost_table(data, name, dataset, target, rows, seed)
        found = table.space.name
        folder = Path("surrogates") / found if output is None else output / found if len(spaces) > 1 else output
        frame = _train(table, folder, model, encoder, n_train, n_test, seed)
        frame.insert(0, "space", found)
        results.append(frame)
    frame = pd.concat(results, ignore_index=True)
    show(frame if as_json or as_csv else readable(frame), "Held-out scores", as_json, as_csv)


def _train(
    table: CostTable,
    folder: Path,
    model: str | None,
    encoder: str | None,
    n_train: int | None,
    n_test: int | None,
    seed: int,
) -> pd.DataFrame:
    from hwnas_surrogate.evaluation import evaluate
    from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

    prototype = Surrogate(table.space.name, encoder, model)
    with progress(f"{table.space.name}: scoring") as update:
        results = evaluate(table, prototype, n_train=n_train, n_test=n_test, seeds=[seed], progress=update).scores
    suite = SurrogateSuite(table.space.name, encoder, model, random_state=seed).fit_table(table)
    suite.info_["scores"] = results.to_dict(orient="records")
    suite.save(folder)
    say(f"{len(suite.targets_)} surrogate(s) trained on {len(table)} architectures and saved to {folder}")
    return results
