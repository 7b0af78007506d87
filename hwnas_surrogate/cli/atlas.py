"""``hwnas atlas``: the few numbers that describe each device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hwnas_surrogate.cli.options import Cluster, Csv, Jobs, Json, Seed, Sources, open_sources, share_work
from hwnas_surrogate.cli.output import check_format, show
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

MOST = 100
"""Lines in a table for people."""


def atlas(
    context: typer.Context,
    sources: Sources = None,
    near: Annotated[
        str | None,
        typer.Option(metavar="DEVICE/METRIC", help="Sort by the distance from this target: the nearest devices first."),
    ] = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Describe devices by what they take for multiply-adds, calls and memory, comparable across search spaces."""
    from hwnas_surrogate.devices import device_atlas, nearest_devices

    check_format(as_json, as_csv)
    if not sources:
        raise InvalidInputError(
            "an atlas needs the costs or surrogates of at least one device, got none: name them with --sources."
        )
    share_work(context, jobs, cluster)
    frame = device_atlas(open_sources(sources, None, seed), random_state=seed)
    if near is not None:
        frame = nearest_devices(frame, near)
    if as_json or as_csv:
        show(frame, "", as_json, as_csv)
        return
    few = [f"the first {MOST} of {len(frame):,} targets; --json and --csv have all"] if len(frame) > MOST else []
    show(_readable(frame.head(MOST)), f"{len(frame)} target(s)", keys=("target",), notes=few)


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "per_gmac": "per GMAC",
        "per_gmac_depthwise": "depthwise",
        "per_call": "per call",
        "per_mb": "per MB",
        "distance": "distance",
    }
    shown = frame.rename(columns=columns)
    for name in columns.values():
        if name in shown:
            shown[name] = [f"{value:.3g}" for value in shown[name]]
    return shown
