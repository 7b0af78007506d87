"""``hwnas train``: train a surrogate for every target of a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.options import (
    ROWS,
    Cluster,
    Csv,
    Data,
    Dataset,
    EncoderName,
    Jobs,
    Json,
    Model,
    Rows,
    Seed,
    Space,
    Targets,
    open_cost_table,
    read_duration,
    share_work,
)
from hwnas_surrogate.cli.output import SCORED, check_format, progress, say, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from hwnas_surrogate.data import CostTable, Target
    from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, Tuned


_UNFINISHED = "unfinished"
"""The part of the output folder that holds finished fits, until the command ends."""
_GRAPHS = "graphs"
"""The bundled networks as graphs: the folder of their surrogates, and a space's name here."""


def train(
    context: typer.Context,
    data: Data = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    model: Model = None,
    encoder: EncoderName = None,
    n_train: Annotated[int | None, typer.Option(min=2, help="Architectures to train on when scoring.")] = None,
    n_test: Annotated[int | None, typer.Option(min=1, help="Architectures held out. Default: a fifth.")] = None,
    rows: Rows = ROWS,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Search for better settings of the models, 30s, 5m or 2h in all. They are kept only if "
            "cross-validation prefers them; the same command resumes where it stopped.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to save to. Default: surrogates/SPACE.")
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Train a surrogate for every target of a table, print held-out scores, and save them.

    Without arguments: on all bundled measurements, of two search spaces, under every network config that a device was
    measured with; and on 300 of these networks as graphs, for rough predictions of networks of any kind. Scores come
    from architectures that were held out; the saved surrogates are then trained on all. Finished fits are kept in the
    output's folder until the end: the same command resumes.
    """
    import pandas as pd

    from hwnas_surrogate.data import BUNDLED_SPACES
    from hwnas_surrogate.evaluation import readable
    from hwnas_surrogate.files import check_folder
    from hwnas_surrogate.trainers.folders import check_save

    check_format(as_json, as_csv)
    share_work(context, jobs, cluster)
    seconds = None if tune is None else read_duration("--tune", tune)
    everything = not data and space is None and dataset is None and not target
    spaces = [*BUNDLED_SPACES, _GRAPHS] if everything else [space]
    results = []
    tables = {table.space_name: table for table in (_table(data, name, dataset, target, rows, seed) for name in spaces)}
    folders = {
        name: Path("surrogates") / name if output is None else output / name if len(tables) > 1 else output
        for name in tables
    }
    for folder in folders.values():
        check_save(folder, data or [])
        check_folder(folder / _UNFINISHED)
    for (found, table), folder in zip(tables.items(), folders.values(), strict=True):
        frame = _train(table, folder, model, encoder, n_train, n_test, seed, seconds and seconds / len(spaces))
        frame.insert(0, "space", found)
        results.append(frame)
    if as_json or as_csv:
        show(pd.concat(results, ignore_index=True), "", as_json, as_csv)
        return
    for number, frame in enumerate(results):
        title = f"Held-out scores of {tables[frame['space'].iloc[0]].title}"
        show(readable(frame.drop(columns="space")), "\n" * (number > 0) + title, keys=SCORED)


def _table(
    data: list[str] | None,
    space: str | None,
    dataset: str | None,
    targets: list[str] | None,
    rows: int,
    seed: int,
) -> CostTable:
    from hwnas_surrogate.data import load_bundled

    if data or dataset is not None:
        return open_cost_table(data, space, dataset, targets, rows, seed)
    table = load_bundled(None if space == _GRAPHS else space or "nasbench201")
    return table.select(targets) if targets else table


def _train(
    table: CostTable,
    folder: Path,
    model: str | None,
    encoder: str | None,
    n_train: int | None,
    n_test: int | None,
    seed: int,
    seconds: float | None,
) -> pd.DataFrame:
    import pandas as pd

    from hwnas_surrogate.jobs import Pieces, in_parallel
    from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
    from hwnas_surrogate.trainers.unfinished import SCORES, unfinished_in

    prototype = Surrogate(table.space, encoder, model)
    tuned: dict[Target, Surrogate] = {}
    with unfinished_in(folder / _UNFINISHED) as unfinished:
        if seconds is not None:
            tuned = _tune(table, prototype, folder / "tuning", n_train, n_test, seed, seconds)
        fits = len(table.targets)
        models = {target: surrogate.model for target, surrogate in tuned.items()} if tuned else model
        with progress(f"{table.space_name}: fitting, scoring") as update:
            update(0, 2 * fits)
            # Fitted first: this counts the operators of graphs once, for the processes that score too.
            suite = SurrogateSuite(table.space, encoder, models, random_state=seed)
            suite.fit_table(table, progress=lambda done, _: update(done, 2 * fits), journal=unfinished)
            surrogates = {str(target): tuned.get(target, prototype) for target in table.targets}
            shared = table, surrogates, {"n_train": n_train, "n_test": n_test, "seeds": [seed]}
            work = table.fingerprint, {str(target): times for target, times in table.operators.items()}, *shared[1:]
            tasks = [(name,) for name in surrogates]
            with Pieces(unfinished / SCORES, "train", *work) as kept:
                parts = in_parallel(
                    _scored, tasks, shared=shared, progress=lambda done, _: update(fits + done, 2 * fits), kept=kept
                )
        scores = pd.DataFrame([row for part in parts for row in part])
        suite.info_["scores"] = scores.to_dict(orient="records")
        suite.save(folder)
    _tell_outliers(table, suite)
    trained = sorted({surrogate.n_train_ for surrogate in suite.surrogates_.values()})
    numbers = f"{trained[0]:,}" + (f" to {trained[-1]:,}" if len(trained) > 1 else "")
    say(f"{len(suite.targets_)} surrogate(s) trained on {numbers} costs and saved to {folder}")
    return scores


def _tune(
    table: CostTable,
    prototype: Surrogate,
    folder: Path,
    n_train: int | None,
    n_test: int | None,
    seed: int,
    seconds: float,
) -> dict[Target, Surrogate]:
    """Tune each target on the architectures used to train its scores."""
    from joblib import effective_n_jobs

    from hwnas_surrogate.jobs import in_parallel

    tasks, jobs = [(column, target) for column, target in enumerate(table.targets)], effective_n_jobs(None)
    few = len(tasks) < jobs  # processes are shared by the folds of each target then
    rounds = len(tasks) if few else math.ceil(len(tasks) / jobs)
    shared = table, prototype, folder, (n_train, n_test, seed), seconds / rounds
    tuned = {}
    results = [_tuned(*shared, *task) for task in tasks] if few else in_parallel(_tuned, tasks, shared=shared)
    for target, found in zip(table.targets, results, strict=True):
        what = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in found.settings.items()
        )
        say(
            f"{target}: {found.trials} settings tried, {'kept ' + what if found.kept else 'the default kept'}; error "
            f"{found.error:.4f}, default {found.default_error:.4f} (of the mean deviation, in cross-validation)"
        )
        tuned[target] = found.surrogate
    return tuned


def _tuned(
    table: CostTable,
    prototype: Surrogate,
    folder: Path,
    split: tuple[int | None, int | None, int],
    seconds: float,
    column: int,
    target: Target,
) -> Tuned:
    """Tune one target."""
    from sklearn.base import clone

    from hwnas_surrogate.evaluation import held_out
    from hwnas_surrogate.files import file_stem
    from hwnas_surrogate.trainers import tune

    n_train, n_test, seed = split
    rows, _ = held_out(table, column, "random", n_train, n_test, seed)
    study = folder / f"{file_stem(f'{target.device}-{target.metric}')}.jsonl"
    fresh = clone(prototype).set_params(random_state=seed)
    return tune(fresh, table.batch.take(rows), table.costs[rows, column], seconds=seconds, study=study)


def _scored(
    table: CostTable, surrogates: Mapping[str, Surrogate], how: Mapping[str, Any], target: str
) -> list[dict[str, Any]]:
    """Score one target's surrogate on held-out networks."""
    from hwnas_surrogate.evaluation import evaluate

    scores = evaluate(table.select(target), surrogates[target], **how).scores
    return [{str(name): value for name, value in row.items()} for row in scores.to_dict(orient="records")]


def _tell_outliers(table: CostTable, suite: SurrogateSuite) -> None:
    for target, surrogate in suite.surrogates_.items():
        rows = surrogate.outliers_
        if len(rows):
            named = ", ".join(table.batch.take(rows[:3]).names)
            say(
                f"{target}: {len(rows)} of {surrogate.n_train_} costs lie far from what the others say ({named}"
                f"{', ...' if len(rows) > 3 else ''}). They were kept; check them for slips."
            )
