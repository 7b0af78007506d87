"""``hwnas predict``: predict costs with saved surrogates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas_surrogate.cli.options import Archs, Csv, Dataset, Json, Seed, Targets, check_choice, choose_archs
from hwnas_surrogate.cli.output import check_format, flat, show


def predict(
    archs: Archs = None,
    surrogates: Annotated[Path, typer.Option("--surrogates", "-s", help="Folder that `hwnas train` saved to.")] = Path(
        "surrogates/nasbench201"
    ),
    sample: Annotated[int | None, typer.Option(min=1, help="Predict this many random architectures.")] = None,
    dataset: Dataset = None,
    target: Targets = None,
    seed: Seed = 0,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Predict the cost of architectures that were never measured."""
    from hwnas_surrogate.spaces import get_space
    from hwnas_surrogate.trainers import SurrogateSuite

    check_format(as_json, as_csv)
    check_choice(archs, sample, "--sample N")
    suite = SurrogateSuite.load(surrogates)
    space = get_space(suite.space)
    batch = choose_archs(archs, sample, space, seed)
    frame = flat(suite.predict(batch, dataset, target))
    frame.insert(0, "architecture", space.format_all(batch))
    show(frame, as_json=as_json, as_csv=as_csv)
