"""The learning curve of a new device, estimated from its measurements alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.data.profiles import Profiles
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.scores import score
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.jobs.parallel import Progress, in_parallel
from hwnas_surrogate.jobs.pieces import Pieces
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.spaces.reading import is_integer
from hwnas_surrogate.trainers import AdaptWarning, Surrogate, TransferSurrogate
from hwnas_surrogate.trainers.encoded import Encoded
from hwnas_surrogate.trainers.sources import Sources, fitted_sources

__all__ = ["adaptation_curve"]

_OfTarget: TypeAlias = tuple[Surrogate, Encoder, Encoded, npt.NDArray[np.float64], Profiles | None]
"""A surrogate to adapt, the measured networks as it sees them, their costs and profiles."""


def adaptation_curve(
    table: CostTable,
    sources: Sources = None,
    *,
    sizes: Sequence[int] | None = None,
    draws: int = 5,
    random_state: RandomState = 0,
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Estimate how the error falls with the number of measurements, from the measurements alone.

    Of each target's measurements, n are drawn at random, and the others are predicted from them.

    Parameters
    ----------
    table : CostTable
        The measurements of the new device (``load_table("samples.csv")``).
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        Costs or surrogates of other devices.
    sizes : sequence of int, optional
        Numbers of measurements; if None, up to six steps from 3 to two less than there are.
    draws : int, default=5
        Random draws of each size.
    random_state : int, numpy generator or None, default=0
        Seed.
    progress : callable, optional
        Called with (done, total) after the draws of each size.
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`.
    journal : path-like, optional
        A file that the scores of each size are written to as they come. What it holds of the same measurements,
        sources, settings and code is not computed again.

    Returns
    -------
    DataFrame
        One row per target, size and draw: ``device, metric, unit, n_shots, draw, mdape`` and ``spearman_rho`` of
        the held-out measurements (the latter NaN for fewer than three).
        :func:`~hwnas_surrogate.report.plot_adaptation_curve` draws it.

    Raises
    ------
    InvalidInputError
        If a target has fewer than six measurements, a size leaves none to predict, or there are no draws.
    """
    if not is_integer(draws) or draws < 1:
        raise InvalidInputError(f"draws must be an integer of at least 1, got {draws!r:.40}.")
    seed = as_seed(random_state) or 0
    fitted = fitted_sources(sources, table.space, seed)
    targets, tasks = [], []
    for column, target in enumerate(table.targets):
        rows = np.flatnonzero(~np.isnan(table.costs[:, column]))
        steps = _steps(target, sizes, len(rows))
        prototype: Surrogate = TransferSurrogate(table.space, fitted, seed, calibrate=False, metric=target.metric)
        encoder, everything = prototype.encode(table.batch.take(rows))
        targets.append((prototype, encoder, everything, table.costs[rows, column], table.profiles(target, rows)))
        tasks += [(column, int(n), int(draws), seed) for n in steps]
    work = table.fingerprint, {str(target): times for target, times in table.operators.items()}, fitted
    with nullcontext() if journal is None else Pieces(journal, "adaptation curve", *work) as kept:
        parts = in_parallel(_draws, tasks, shared=(targets,), n_jobs=n_jobs, progress=progress, kept=kept)
    return pd.DataFrame(
        [
            {"device": target.device, "metric": target.metric, "unit": target.unit, **scores}
            for (column, *_), part in zip(tasks, parts, strict=True)
            for target in [table.targets[column]]
            for scores in part
        ]
    )


def _steps(target: Target, sizes: Sequence[int] | None, most: int) -> list[int]:
    """Return the numbers of measurements to adapt to, out of all of a target."""
    if most < 6:
        raise InvalidInputError(f"{target}: a curve takes 6 measurements or more, got {most}.")
    if sizes is None:
        return sorted(set(np.linspace(3, most - 2, 6).round().astype(int)))
    steps = list(sizes) if isinstance(sizes, Iterable) else []
    if not steps or not all(map(is_integer, steps)) or min(steps) < 2 or max(steps) >= most:
        raise InvalidInputError(f"{target}: sizes must be from 2 to {most - 1}, got {sizes!r:.80}.")
    return steps


def _draws(targets: Sequence[_OfTarget], column: int, n: int, draws: int, seed: int) -> list[dict[str, float]]:
    """Fit to n measurements of a target, drawn at random several times, and score the predictions of the others."""
    prototype, encoder, everything, measured, profiles = targets[column]
    rows = []
    for draw in range(draws):
        order = np.random.default_rng((seed, n, draw)).permutation(len(measured))
        shots, rest = order[:n], order[n:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AdaptWarning)
            operators = profiles and [profiles[shot] for shot in shots.tolist()]
            costs = prototype.kind.to_cost(measured[shots])
            prototype.fit_encoded(encoder, everything.rows(shots), costs, operators)
        predicted = prototype.predict_encoded(everything.rows(rest).only(prototype.columns_))
        scores = score(measured[rest], predicted)
        rho = scores.spearman_rho if len(rest) > 2 else float("nan")
        rows.append({"n_shots": n, "draw": draw, "mdape": scores.mdape, "spearman_rho": rho})
    return rows
