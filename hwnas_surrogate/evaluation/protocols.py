"""Protocols of the literature, with the figures that were published under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.holdout import evaluate, summary
from hwnas_surrogate.trainers import Surrogate

__all__ = ["laube2022"]

HELD_OUT = 625
SIZES = (124, 900, 14_000)

PUBLISHED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "published linear, n=124": {
            "raspi4/latency": 0.787, "pixel3/latency": 0.780, "eyeriss/latency": 0.959, "fpga/latency": 0.987,
            "edgegpu/latency": 0.790, "edgegpu/energy": 0.792, "eyeriss/energy": 0.985,
            "eyeriss/arithmetic_intensity": 0.811,
        },
        "published linear, n=15k": {
            "raspi4/latency": 0.813, "pixel3/latency": 0.812, "eyeriss/latency": 0.960, "fpga/latency": 0.987,
            "edgegpu/latency": 0.829, "edgegpu/energy": 0.831, "eyeriss/energy": 0.985,
            "eyeriss/arithmetic_intensity": 0.854,
        },
        "published XGBoost, n=15k": {
            "raspi4/latency": 0.890, "pixel3/latency": 0.878, "eyeriss/latency": 0.958, "fpga/latency": 0.986,
            "edgegpu/latency": 0.926, "edgegpu/energy": 0.922, "eyeriss/energy": 0.975,
            "eyeriss/arithmetic_intensity": 0.969,
        },
        "published layer-wise table": {
            "raspi4/latency": 0.462, "pixel3/latency": 0.475, "eyeriss/latency": 0.995, "fpga/latency": 0.999,
        },
    }
)  # fmt: skip
"""Kendall's tau on 625 held-out architectures, 50 seeds, cifar10 (table 3 of [1]_); 15k is all the others."""


def laube2022(
    table: CostTable,
    surrogate: Surrogate | None = None,
    *,
    seeds: Sequence[int] = range(20),
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Score a surrogate as Laube, Mutschler and Zell did theirs [1]_.

    625 architectures of NAS-Bench-201 are held out at random, and 124, 900 or 14,000 others trained on (sizes that the
    table is too small for are left out).

    Parameters
    ----------
    table : CostTable
        Costs of NAS-Bench-201 under one config.
    surrogate : Surrogate, optional
        What to evaluate; the default surrogate if None.
    seeds : sequence of int, default=range(20)
        Seeds of the splits.
    progress : callable, optional
        Called with (fits done, fits to do) for each size.

    Returns
    -------
    DataFrame
        As :func:`summary`, one row per target and size, and the published taus of the target (NaN where there are
        none).

    Raises
    ------
    InvalidInputError
        If the table is over another space or several configs, or too small for the smallest size.

    References
    ----------
    .. [1] Laube, Mutschler and Zell, "What to expect of hardware metric predictors in neural architecture search",
       2022, table 3.
    """
    if table.space.name != "nasbench201" or len(table.configs) != 1:
        raise InvalidInputError(
            f"laube2022 is over nasbench201 under one config, got {table.space.name} under {len(table.configs)}; "
            "choose one with dataset."
        )
    frames = []
    for column, target in enumerate(table.targets):
        n = int((~np.isnan(table.costs[:, column])).sum())
        sizes = [size for size in SIZES if size + HELD_OUT <= n]
        if not sizes:
            raise InvalidInputError(f"{target}: laube2022 needs {SIZES[0] + HELD_OUT} costs, the table has {n}.")
        part = table.select(target)
        for size in sizes:
            results = evaluate(part, surrogate, n_train=size, n_test=HELD_OUT, seeds=seeds, progress=progress)
            frames.append(summary(results))
    frame = pd.concat(frames, ignore_index=True)
    names = frame["device"] + "/" + frame["metric"]
    for name, taus in PUBLISHED.items():
        frame[name] = names.map(dict(taus))
    return frame
