"""``hwnas adapt``: a new device from a few measurements of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas_surrogate.cli.options import (
    Csv,
    Dataset,
    InputShape,
    Json,
    Networks,
    Seed,
    Sources,
    Space,
    Targets,
    open_networks,
    open_samples,
    open_sources,
)
from hwnas_surrogate.cli.output import check_format, say, show

if TYPE_CHECKING:
    import pandas as pd

    from hwnas_surrogate.data import CostTable
    from hwnas_surrogate.trainers import SurrogateSuite, TransferSurrogate


def adapt(
    samples: Annotated[
        str,
        typer.Argument(metavar="SAMPLES", help="The measurements: the form of `hwnas suggest`, filled in; or a table."),
    ],
    sources: Sources = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where to save. Default: surrogates/SAMPLES."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Fit surrogates of a new device to ten measurements or more, and save them.

    Errors are estimated by predicting each measurement from the others. Sources are weighted by how well they agree
    with the measurements.
    """
    from hwnas_surrogate.trainers.folders import check_save

    check_format(as_json, as_csv)
    folder = output or Path("surrogates") / Path(samples).stem
    check_save(folder, [samples, *(sources or [])])
    graphs = open_networks(None, networks, input_shape)
    table = open_samples(samples, space, dataset, target, graphs)
    suite = adapted(table, open_sources(sources, table.space, seed), seed)
    suite.save(folder)
    frame = _left_out(suite)
    show(
        frame if as_json or as_csv else _readable(frame), "Each measurement predicted from the others", as_json, as_csv
    )
    asked = "MODEL.onnx" if table.space is None else "--sample 5"
    say(f"{len(suite.targets_)} surrogate(s) saved to {folder}; predict with: hwnas predict {asked} -s {folder}")


def adapted(table: CostTable, sources: list[SurrogateSuite], seed: int, target: str | None = None) -> SurrogateSuite:
    """Adapt, and print notes about the measurements."""
    import warnings

    from hwnas_surrogate.trainers import AdaptWarning
    from hwnas_surrogate.trainers import adapt as adapt_to

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AdaptWarning)
        suite = adapt_to(table, sources, target, random_state=seed)
    for name, surrogate in transferred(suite).items():
        for note in surrogate.notes_:
            say(f"{name}: {note}")
    return suite


def transferred(suite: SurrogateSuite) -> dict[str, TransferSurrogate]:
    """Return the surrogates of an adapted suite, by their target's name."""
    from hwnas_surrogate.trainers import TransferSurrogate

    named = {str(target): surrogate for target, surrogate in suite.surrogates_.items()}
    return {name: surrogate for name, surrogate in named.items() if isinstance(surrogate, TransferSurrogate)}


def _left_out(suite: SurrogateSuite) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for target, surrogate in zip(suite.targets_, transferred(suite).values(), strict=True):
        fields = {"device": target.device, "metric": target.metric, "unit": target.unit}
        rows.append(
            {
                **fields,
                "n_shots": len(surrogate.left_out_),
                "mdape": surrogate.loo_error_,
                "spearman_rho": surrogate.loo_spearman_,
                "source_weight": surrogate.source_weight_,
                "general_weight": surrogate.general_weight_,
            }
        )
    return pd.DataFrame(rows)


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    columns = {
        "target": frame["device"] + "/" + frame["metric"],
        "measurements": frame["n_shots"],
        "median error": [per_cent(part) for part in frame["mdape"]],
        "spearman rho": frame["spearman_rho"],
        "sources' weight": [f"{part:.2f}" for part in frame["source_weight"]],
        "general model's weight": [f"{part:.2f}" for part in frame["general_weight"]],
    }
    return pd.DataFrame(columns)


def per_cent(part: float) -> str:
    """Return a fraction as per cent, as text."""
    return "-" if part != part else f"{100 * part:.1f} %"
