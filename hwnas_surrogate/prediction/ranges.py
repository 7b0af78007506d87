"""The best architectures of a range of a space's random sequence, too many to hold or to write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import TargetLike, pick_targets
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.jobs.parallel import Progress, in_parallel
from hwnas_surrogate.jobs.pieces import Pieces
from hwnas_surrogate.prediction.selecting import Columns, Selection
from hwnas_surrogate.spaces import ConfigLike, NetworkConfig, SearchSpace, get_space
from hwnas_surrogate.spaces.reading import is_integer
from hwnas_surrogate.trainers.suite import SurrogateSuite

__all__ = ["best_of_range"]

PIECE = 1_000_000
"""Architectures of one piece of work: some seconds."""
_BATCH = 65_536
"""Architectures that are drawn, predicted and selected among at once: some tens of megabytes."""


def best_of_range(
    suite: SurrogateSuite,
    start: int,
    stop: int,
    config: ConfigLike = None,
    targets: TargetLike | Iterable[TargetLike] | None = None,
    *,
    top: int = 0,
    front: bool = False,
    seed: int = 0,
    extrapolate: bool = False,
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> dict[str, pd.DataFrame]:
    """Predict architectures of a space by number, as many as you like, and return the best.

    Parameters
    ----------
    suite : SurrogateSuite
        Fitted surrogates of a search space.
    start, stop : int
        The first number, and the one after the last: architectures of :meth:`SearchSpace.draw`.
    config : config, optional
        The network config; if None, the one trained on, as in :meth:`Surrogate.predict`.
    targets : target or iterable of targets, optional
        All if None.
    top : int, default=0
        How many of the best of each target are returned.
    front : bool, default=False
        Whether the Pareto front of all targets is returned.
    seed : int, default=0
        Seed of the sequence.
    extrapolate : bool, default=False
        As in :meth:`Surrogate.predict`.
    progress : callable, optional
        Called with (architectures done, architectures to do).
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`. The result is the same for any number.
    journal : path-like, optional
        A file that the best of each million are written to as they come; what it holds of the same surrogates and
        arguments is not predicted again.

    Returns
    -------
    dict of str to DataFrame
        The best of each target under its name, and the front under ``"front"``: ``number``, ``architecture`` and a
        column ``device/metric (unit)`` for each target, the best first, the front in order of the first target.
        Networks without a path from input to output are left out: they cost little, and compute nothing.

    Raises
    ------
    InvalidInputError
        If the numbers are no range, nothing is asked for, or the surrogates are of graphs.
    InvalidConfigError
        If the surrogates can't predict for the config.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> table = load_table(space="fbnet").rows(range(200))
    >>> suite = SurrogateSuite("fbnet", model="ridge").fit_table(table)
    >>> best = best_of_range(suite, 0, 20_000, top=3)
    >>> list(best), len(best["epyc-torch-1t/latency"])
    (['epyc-torch-1t/latency', 'epyc-onnxruntime-1t/latency'], 3)
    """
    space = get_space(suite.space)
    if space is None:
        raise InvalidInputError("a range is of architectures; the surrogates are of graphs.")
    if not (is_integer(start) and is_integer(stop) and 0 <= start < stop):
        raise InvalidInputError(f"a range is from a number of at least 0 to a larger one, got {start!r}:{stop!r}.")
    picked = tuple(pick_targets(targets, suite.targets_))
    selection = Selection(picked, top, front)
    under = space.config(suite.default_config(picked) if config is None else config)
    tasks = [(first, min(first + PIECE, stop), seed) for first in range(start, stop, PIECE)]
    shared = suite, under, selection, extrapolate
    work = "best of range", suite, str(under), list(map(str, picked)), top, front, extrapolate

    def tell(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * PIECE, stop - start), stop - start)

    with nullcontext() if journal is None else Pieces(journal, *work) as kept:
        parts = in_parallel(_best, tasks, shared=shared, n_jobs=n_jobs, progress=tell, kept=kept)
    best = selection.merged([{name: _arrays(rows) for name, rows in part.items()} for part in parts])
    return {name: _frame(space, rows, seed) for name, rows in best.items()}


def _best(
    suite: SurrogateSuite,
    config: NetworkConfig,
    selection: Selection,
    extrapolate: bool,
    start: int,
    stop: int,
    seed: int,
) -> dict[str, dict[str, list[Any]]]:
    """Return the best of a piece, as lists."""
    best: dict[str, Columns] = {}
    for rows in _predicted(suite, config, selection, extrapolate, start, stop, seed):
        best = selection.merged([best, selection.of(rows)])
    return {name: {key: values.tolist() for key, values in rows.items()} for name, rows in best.items()}


def _predicted(
    suite: SurrogateSuite,
    config: NetworkConfig,
    selection: Selection,
    extrapolate: bool,
    start: int,
    stop: int,
    seed: int,
) -> Iterator[Columns]:
    """Yield the numbers and predictions of the architectures of a range, batch by batch."""
    space = get_space(suite.space)
    assert space is not None
    for first in range(start, stop, _BATCH):
        archs = space.draw(first, min(first + _BATCH, stop), seed)
        connected = np.flatnonzero(space.connected(archs))
        costs = suite.predict(space.batch(archs[connected], config), None, selection.targets, extrapolate=extrapolate)
        columns = (costs.iloc[:, place].to_numpy() for place in range(len(selection.targets)))
        names = (f"{target} ({target.unit})" for target in selection.targets)
        yield {"number": first + connected, **dict(zip(names, columns, strict=True))}


def _arrays(rows: dict[str, list[Any]]) -> Columns:
    return {name: np.array(values, np.int64 if name == "number" else np.float64) for name, values in rows.items()}


def _frame(space: SearchSpace, rows: Columns, seed: int) -> pd.DataFrame:
    """Return the selected rows with their architectures."""
    frame = pd.DataFrame(rows)
    archs: list[npt.NDArray[np.int8]] = [space.draw(n, n + 1, seed) for n in rows["number"].tolist()]
    texts = space.format_all(np.concatenate(archs)) if archs else []
    frame.insert(1, "architecture", texts)
    return frame
