"""``hwnas suggest``: which architectures to measure on a new device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.adapt import adapted, per_cent, transferred
from hwnas_surrogate.cli.costs import CONNECTED
from hwnas_surrogate.cli.options import (
    Cluster,
    Csv,
    Dataset,
    InputShape,
    Jobs,
    Json,
    Networks,
    Seed,
    Sources,
    Space,
    open_networks,
    open_samples,
    open_sources,
    share_work,
)
from hwnas_surrogate.cli.output import check_format, draw, progress, say, show
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from hwnas_surrogate.data import CostTable
    from hwnas_surrogate.graphs import GraphBatch
    from hwnas_surrogate.search import Suggestion
    from hwnas_surrogate.spaces import SearchSpace
    from hwnas_surrogate.trainers import SurrogateSuite

CURVE = 6
"""Minimum number of measurements of a target for a curve of its error."""
_SAID = 5
"""Number of equal networks that are printed."""


def suggest(
    context: typer.Context,
    n: Annotated[int, typer.Option("--n", "-n", min=1, max=1000, help="Number of networks.")] = 10,
    space: Space = None,
    dataset: Dataset = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    sources: Sources = None,
    given: Annotated[
        str | None,
        typer.Option(metavar="SAMPLES", help="Measurements so far: print their errors, and how much more would help."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write the networks here, as ONNX files with a form (hwnas export)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The form to fill in, a CSV file. Default: samples.csv; with --given SAMPLES-more.csv, which also "
            "holds the measurements so far; with --export only its results.csv.",
        ),
    ] = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Choose the networks to measure on a new device: those most informative about all others.

    They are architectures of a space, or some of your own networks. Measure them, fill in the form, and run hwnas
    adapt. With --given, the median error over the number of measurements is also drawn (.png) and written (.csv),
    beside the form.
    """
    import pandas as pd

    from hwnas_surrogate.data import write_parquet
    from hwnas_surrogate.data.table import config_name
    from hwnas_surrogate.search import suggest as suggest_networks

    check_format(as_json, as_csv)
    share_work(context, jobs, cluster)
    if networks and (space or dataset or export):
        raise InvalidInputError(
            "--space, --dataset and --export belong to architectures: they do not go with --networks."
        )
    form = _form(output, export, given, bool(networks))
    curve = _curve(form, export, given)
    graphs = open_networks(None, networks, input_shape)
    table = None if given is None else _given(given, space, dataset, graphs)
    candidates, chosen = _candidates(graphs, space, table)
    manifest = None if graphs is None else _manifest_table(_each_once(graphs), table)
    known = open_sources(sources, chosen, seed)
    measured, config = (None, dataset) if table is None else (table.batch, table.configs[0])
    suggestion = suggest_networks(candidates, n, config, sources=known, given=measured, random_state=seed)
    names = list(suggestion.names)
    frame = pd.DataFrame({"number": range(1, len(names) + 1), "architecture" if chosen else "model": names})
    notes: list[str] = []
    if as_json or as_csv:
        frame = frame.assign(connected=suggestion.connected, **({"config": str(suggestion.config)} if chosen else {}))
    elif not suggestion.connected.all():
        frame["connected"] = ["yes" if connected else "no" for connected in suggestion.connected]
        notes = [CONNECTED]
    if export is not None and chosen is not None:
        _export(chosen, suggestion, export, sources, seed)
        if given is not None and form is None:
            say(f"{export / 'results.csv'} lacks the former measurements; -o FILE writes a form that holds them too")
    under = f", under {config_name(chosen, suggestion.config)}" if chosen else ""
    show(frame, f"To measure{under}", as_json, as_csv, notes=notes)
    if table is not None:
        _tell(table, known, suggestion, seed)
        _draw(table, known, curve, seed)
    if form is not None:  # last: once it is there, the command refuses to run again
        if manifest is not None:
            write_parquet(manifest, _manifest(form))
        _write(form, table, suggestion, sources)


def _candidates(
    graphs: GraphBatch | None, space: str | None, table: CostTable | None
) -> tuple[SearchSpace | GraphBatch, SearchSpace | None]:
    """Return what to choose among, and its space; raise if the measurements are of something else."""
    from hwnas_surrogate.spaces import get_space

    if table is not None and (table.space is None) != (graphs is not None):
        raise InvalidInputError(
            "the measurements are of graphs: --networks names those to choose among."
            if graphs is None
            else "the measurements are of architectures, --networks names graphs: leave it out."
        )
    if graphs is not None:
        return graphs, None
    chosen = get_space(space or "nasbench201") if table is None else table.space
    assert chosen is not None
    return chosen, chosen


def _form(output: Path | None, export: Path | None, given: str | None, of_graphs: bool) -> Path | None:
    """Return the form's path; raise if it or its manifest may hold measurements, before any work is done."""
    if output is None and export is not None:
        return None
    from hwnas_surrogate.files import check_output

    path = output or Path("samples.csv" if given is None else f"{Path(given).stem}-more.csv")
    check_output(path, (".csv",), [] if given is None else [given])
    for written in (path, _manifest(path)) if of_graphs else (path,):
        check_output(written, inputs=[] if given is None else [given])
        if written.is_file() and written.stat().st_size:
            raise InvalidInputError(
                f"{written} is there already and may hold measurements; name another file with -o, or move it away."
            )
    return path


def _curve(form: Path | None, export: Path | None, given: str | None) -> Path:
    """Return the picture's path, beside the form; raise if something can't be written, before any work is done."""
    from hwnas_surrogate.files import check_output
    from hwnas_surrogate.measure.form import RESULTS

    if export is not None:
        from hwnas_surrogate.measure.export import check_empty

        check_empty(export)
    stem = (form or Path(export or ".") / RESULTS).with_suffix("")
    picture = stem.with_name(f"{stem.name}-curve.png")
    if given is not None:
        for path in (picture, picture.with_suffix(".csv")):
            check_output(path, inputs=[given])
    return picture


def _manifest(form: Path) -> Path:
    """Return where the networks that a form names are kept."""
    return form.with_suffix(".parquet")


def _given(path: str, space: str | None, dataset: str | None, graphs: GraphBatch | None) -> CostTable:
    table = open_samples(path, space, dataset, networks=graphs)
    if len(table.configs) != 1:
        raise InvalidInputError(
            f"{path} holds measurements under {len(table.configs)} configs; choose one with --dataset: "
            f"{', '.join(map(str, table.configs))}."
        )
    return table


def _adapt(form: Path, sources: list[str] | None) -> str:
    """Return the command that adapts to a form."""
    return " ".join(["hwnas adapt", str(form), *(f"--sources {source}" for source in sources or [])])


def _export(space: SearchSpace, suggestion: Suggestion, folder: Path, sources: list[str] | None, seed: int) -> None:
    from hwnas_surrogate.measure import export_networks

    with progress("exporting") as update:
        export_networks(space, suggestion.archs, folder, suggestion.config, random_state=seed, progress=update)
    form = folder / "results.csv"
    how = f"copy {folder} to the board and run there: python run.py --device NAME; it fills in {form.name}"
    say(f"{len(suggestion)} networks written; {how}, then: {_adapt(form, sources)}")


def _each_once(graphs: GraphBatch) -> GraphBatch:
    """Leave out networks that equal an earlier one, and print them."""
    import numpy as np

    first, of_network = np.unique(graphs.repeats, return_index=True, return_inverse=True)[1:]
    same = [
        f"{graphs.names[number]} equals {graphs.names[first[of]]}"
        for number, of in enumerate(of_network)
        if first[of] != number
    ]
    if same:
        more = f", and {len(same) - _SAID} more" if len(same) > _SAID else ""
        say(f"equal networks cost the same, and are measured once: {', '.join(same[:_SAID])}{more}")
    return graphs.take(first)


def _manifest_table(graphs: GraphBatch, table: CostTable | None) -> CostTable:
    """Return the networks that a form names: the candidates, and those that were measured."""
    import numpy as np

    from hwnas_surrogate.data import CostTable, merge

    named = CostTable(None, graphs, np.empty((len(graphs), 0)), [])
    measured = [] if table is None else [table.select([])]
    return merge([*measured, named])


def _write(form: Path, table: CostTable | None, suggestion: Suggestion, sources: list[str] | None) -> None:
    """Write the form: the measurements so far, and lines to fill in."""
    from hwnas_surrogate.measure.form import form_lines, write_form

    blank: list[dict[str, Any]] = [{}]
    if table is not None:
        blank = [{"device": t.device, "metric": t.metric, "unit": t.unit} for t in table.targets]
    key: dict[str, Any] = {} if suggestion.config is None else {"config": str(suggestion.config)}
    name_as = "architecture" if key else "model"
    empty = [{name_as: name, **key, **target} for name in suggestion.names for target in blank]
    write_form(form, [*(() if table is None else form_lines(table)), *empty])
    what = "device, value and unit" if table is None else f"the last {len(empty)} values"
    say(f"fill in {what} in {form}, then: {_adapt(form, sources)}")


def _tell(table: CostTable, sources: list[SurrogateSuite], suggestion: Suggestion, seed: int) -> None:
    """Print how good the surrogates from these measurements are, and how much more measurements would help."""
    before, after = suggestion.uncertainty[[0, -1]]
    more = "this one" if len(suggestion) == 1 else f"these {len(suggestion)}"
    part = f"{100 - 100 * after / before:.0f} %"
    gain = f"with {more} measured as well, the prior expects the uncertainty to shrink by {part}"
    for target in map(str, table.targets):
        try:
            (surrogate,) = transferred(adapted(table, sources, seed, target)).values()
        except InvalidInputError as error:
            say(f"no left-out error yet: {error}")
            continue
        error_now = per_cent(surrogate.loo_error_)
        say(f"{target}: left-out error now {error_now} (median of {len(surrogate.left_out_)}); {gain}")


def _draw(table: CostTable, sources: list[SurrogateSuite], picture: Path, seed: int) -> None:
    """Draw the error over the number of measurements, beside the form."""
    import numpy as np

    from hwnas_surrogate.evaluation import adaptation_curve
    from hwnas_surrogate.report import plot_adaptation_curve

    counts = dict(zip(table.targets, (~np.isnan(table.costs)).sum(axis=0).tolist(), strict=True))
    for target, count in counts.items():
        if count < CURVE:
            say(f"{target}: no curve of errors yet: it takes {CURVE} measurements, there are {count}")
    enough = [target for target, count in counts.items() if count >= CURVE]
    if not enough:
        return
    with progress("learning curve: fitting") as update:
        curve = adaptation_curve(table.select(enough), sources, random_state=seed, progress=update)
    draw(curve, plot_adaptation_curve, picture, "the error over the number of measurements")
