"""Predictions for more architectures than fit into memory: from any iterable, or from file to file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data import Target, TargetLike, pick_targets
from hwnas_surrogate.data.arch_files import read_arch_file
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.files import check_output, replacing
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.inputs import as_path, input_path
from hwnas_surrogate.spaces import (
    ArchBatch,
    ConfigLike,
    NetworkConfig,
    SearchSpace,
    as_batch,
    get_space,
)
from hwnas_surrogate.spaces.batch import are_graphs
from hwnas_surrogate.trainers.costs import checked_coverage, one_number
from hwnas_surrogate.trainers.encoded import BATCH, Encoded, in_batches
from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate

__all__ = ["SUFFIXES", "Wanted", "check_suffixes", "predict_batches", "predict_file", "write_predictions"]

SUFFIXES = (".parquet", ".csv", ".txt")


def predict_batches(
    suite: SurrogateSuite,
    archs: Iterable[Any] | GraphBatch,
    configs: Iterable[ConfigLike] | ConfigLike = None,
    targets: TargetLike | Iterable[TargetLike] | None = None,
    *,
    coverage: float | None = None,
    budgets: Mapping[TargetLike, float] | None = None,
    extrapolate: bool = False,
    convention: str | None = None,
) -> Iterator[pd.DataFrame]:
    """Predict a stream of architectures, some thousands at a time, in bounded memory.

    Parameters
    ----------
    suite : SurrogateSuite
        Fitted surrogates.
    archs : iterable
        Architectures in any form that the space accepts, or an array with one per row. Each entry is one architecture:
        an integer is an index, even if there are six of them (``space.stack``). Or a :class:`GraphBatch`.
    configs : config or iterable of configs, optional
        One network config for all, or exactly one for each; if None, the one trained on, as in
        :meth:`Surrogate.predict`.
    targets : target or iterable of targets, optional
        All if None.
    coverage : float, optional
        If given, add the bounds of intervals of this coverage.
    budgets : mapping of target to float, optional
        If given, add the probability that the cost is at most the budget, in the target's unit. A device's name is
        enough if it has one target.
    extrapolate : bool, default=False
        Predict for other configs even if fewer than three were trained on: see :meth:`Surrogate.predict`.
    convention : str, optional
        The convention of op numbers, as in ``space.from_convention``; the space's own if None.

    Returns
    -------
    iterator of DataFrame
        One row per network: ``architecture`` (of graphs ``model``, the name), ``connected`` (whether it has a path from
        input to output; the cheapest often have none), and for each target its cost, named ``device/metric (unit)``.
        Optionally ``... low``, ``... high`` and ``P(device/metric <= 5 ms)``. For targets with training networks that
        the device could not run, ``P(device/metric has a cost)``.

    Raises
    ------
    InvalidArchitectureError
        If an architecture can't be read; the message has its number.
    InvalidConfigError
        If a config can't be read or predicted for, or their number is not that of the architectures.
    InvalidInputError
        If a budget or the coverage is invalid, or a budget is for a device with several metrics.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> suite = SurrogateSuite().fit_table(load_table(space="nasbench201").select("epyc-torch-1t").rows(range(500)))
    >>> sum(len(frame) for frame in predict_batches(suite, iter(range(15_625))))
    15625
    """
    return _batches(suite, archs, configs, targets, Wanted(coverage, budgets, extrapolate, convention), 0)


def predict_file(
    suite: SurrogateSuite,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: ConfigLike = None,
    targets: TargetLike | Iterable[TargetLike] | None = None,
    *,
    coverage: float | None = None,
    budgets: Mapping[TargetLike, float] | None = None,
    extrapolate: bool = False,
    convention: str | None = None,
    ignored: Callable[[Sequence[str]], None] | None = None,
) -> int:
    """Predict a file of architectures and write the predictions to another file, in bounded memory.

    Parameters
    ----------
    suite : SurrogateSuite
        Fitted surrogates.
    source : path-like
        Parquet or CSV with one of the columns ``architecture``, ``arch_str`` and ``op_index`` and, optionally,
        ``config`` (or ``dataset``), in upper or lower case; or a text file with an architecture per line. CSV files
        are read as :func:`~hwnas_surrogate.data.read_measurements` reads them.
    output : path-like
        Parquet or CSV, by its suffix; replaced atomically.
    config, targets, coverage, budgets, extrapolate, convention
        As in :func:`predict_batches`; a column ``config`` has precedence over the argument.
    ignored : callable, optional
        Called once with the names of the file's other columns, if there are any: they are ignored.

    Returns
    -------
    int
        Architectures predicted.

    Raises
    ------
    DataFileError
        If a file can't be read or written, or has two columns of architectures or of configs; an existing ``output`` is
        unchanged.
    InvalidArchitectureError, InvalidConfigError
        If an entry can't be read.
    """
    origin, target = input_path(source), as_path(output)
    check_suffixes(origin, target)
    check_output(target, inputs=[origin])
    wanted = Wanted(coverage, budgets, extrapolate, convention)
    return write_predictions(suite, origin, target, config, targets, wanted, ignored)


def check_suffixes(origin: Path, target: Path) -> None:
    """Raise :class:`InvalidInputError` if files can't hold architectures and their predictions, by their suffixes."""
    for path, allowed in ((origin, SUFFIXES), (target, SUFFIXES[:2])):
        if path.suffix not in allowed:
            raise InvalidInputError(f"the file must end in {', '.join(allowed)}, got {path.name!r}.")


def write_predictions(
    suite: SurrogateSuite,
    origin: Path,
    target: Path,
    config: ConfigLike,
    targets: TargetLike | Iterable[TargetLike] | None,
    wanted: Wanted,
    ignored: Callable[[Sequence[str]], None] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Predict one file into another, as :func:`predict_file` does, and write metadata of a Parquet file."""
    if suite.space is None:
        raise InvalidInputError("a file holds architectures; the surrogates are of graphs: predict_batches takes them.")
    n = 0
    with replacing(target, [origin]) as temporary, _writer(temporary, target.suffix, metadata) as write:
        for archs, configs in read_arch_file(origin, BATCH, ignored, "predicted"):
            under: Any = config if configs is None else configs
            for frame in _batches(suite, archs, under, targets, wanted, n):
                write(frame if configs is None else frame.assign(config=configs))
                n += len(frame)
        if not n:
            raise InvalidInputError(f"{origin} holds no architecture.")
    return n


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of predictions."""

    coverage: float | None
    budgets: Mapping[TargetLike, float] | None
    extrapolate: bool
    convention: str | None


def _batches(
    suite: SurrogateSuite,
    archs: Iterable[Any] | GraphBatch,
    configs: Iterable[ConfigLike] | ConfigLike,
    targets: TargetLike | Iterable[TargetLike] | None,
    wanted: Wanted,
    start: int,
) -> Iterator[pd.DataFrame]:
    """Predict in batches; architectures are numbered from ``start`` in messages."""
    space = get_space(suite.space)
    picked = tuple(pick_targets(targets, suite.targets_))
    limits = _limits(suite, wanted.budgets or {}, picked)
    coverage = None if wanted.coverage is None else checked_coverage(wanted.coverage)
    for frame, networks, under in _parts(space, archs, configs, wanted.convention, start):
        (queries,) = suite.queries(networks, under, picked, wanted.extrapolate)
        for target, query in queries.items():
            for name, values in _columns_of(suite.surrogates_[target], target, query, coverage, limits.get(target)):
                frame[name] = values
        yield frame


def _parts(
    space: SearchSpace | None,
    archs: Iterable[Any] | GraphBatch,
    configs: Iterable[ConfigLike] | ConfigLike,
    convention: str | None,
    start: int,
) -> Iterator[tuple[pd.DataFrame, Any, Any]]:
    """Yield a frame that names the networks, the networks and their configs, batch by batch."""
    if space is None or isinstance(archs, GraphBatch) or are_graphs(archs):
        for part in in_batches(as_batch(space, archs, configs)):
            key = "architecture" if isinstance(part, ArchBatch) else "model"
            yield pd.DataFrame({key: part.names, "connected": part.connected}), part, None
        return
    for chunk, under in _chunks(archs, configs):
        batch = _stacked(space, chunk, convention, start)
        start += len(chunk)
        yield pd.DataFrame({"architecture": space.format_all(batch), "connected": space.connected(batch)}), batch, under


def _chunks(archs: Iterable[Any], configs: Iterable[ConfigLike] | ConfigLike) -> Iterator[tuple[list[Any], Any]]:
    """Yield architectures and their configs, batch by batch; raise if an iterable of configs has another length."""
    single = isinstance(configs, (str, NetworkConfig, Mapping)) or not isinstance(configs, Iterable)
    waiting = None if single else iter(configs)  # type: ignore[arg-type]
    remaining, n = iter(archs), 0
    while True:
        chunk = list(islice(remaining, BATCH))
        under = configs if waiting is None else list(islice(waiting, len(chunk)))
        n += len(chunk)
        if waiting is not None and len(chunk) < BATCH and list(islice(waiting, 1)):
            raise InvalidConfigError(f"configs must be one config or one per architecture: got more than {n} for {n}.")
        if not chunk:
            return
        yield chunk, under


def _columns_of(
    surrogate: Surrogate, target: Target, query: Encoded, coverage: float | None, budget: float | None
) -> Iterator[tuple[str, Any]]:
    """Yield the columns of one target by name."""
    yield f"{target} ({target.unit})", surrogate.predict_encoded(query)
    if coverage is not None:
        low, high = surrogate.interval_encoded(query, coverage).T
        yield f"{target} ({target.unit}) low", low
        yield f"{target} ({target.unit}) high", high
    if budget is not None:
        within = surrogate.within_encoded(query, np.full(len(query), budget))
        yield f"P({target} {'>=' if target.kind.larger_is_better else '<='} {budget:g} {target.unit})", within
    if surrogate.classifier_ is not None:
        yield f"P({target} has a cost)", surrogate.has_cost_encoded(query)


def _limits(
    suite: SurrogateSuite, budgets: Mapping[TargetLike, float], picked: tuple[Target, ...]
) -> dict[Target, float]:
    limits = {}
    for asked, budget in budgets.items():
        target, *others = pick_targets(asked, suite.targets_)
        if others:  # their units may differ
            names = ", ".join(map(str, (target, *others)))
            raise InvalidInputError(f"a budget is of one target, got {asked!r}, which stands for {names}: name one.")
        if target not in picked:
            raise InvalidInputError(f"there is a budget for {target}, which is not among the targets asked for.")
        if target in limits:
            raise InvalidInputError(f"a target has one budget, got two for {target}.")
        limits[target] = one_number(budget)
        if not limits[target] > 0:
            raise InvalidInputError(f"the budget of {target} must be a number above 0, got {budget!r}.")
    return limits


def _stacked(space: SearchSpace, chunk: list[Any], convention: str | None, start: int) -> npt.NDArray[np.int8]:
    try:
        return space.stack(chunk, convention)
    except InvalidArchitectureError:
        for number, arch in enumerate(chunk):  # find the one that is wrong
            try:
                space.stack([arch], convention)
            except InvalidArchitectureError as error:
                message = str(error).removeprefix("architecture number 0: ")
                raise InvalidArchitectureError(f"architecture {start + number} of the stream: {message}") from error
        raise


@contextmanager
def _writer(path: Path, suffix: str, metadata: Mapping[str, str] | None) -> Iterator[Any]:
    """Yield a function that appends a frame to a Parquet or CSV file."""
    if suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            yield lambda frame: frame.to_csv(file, index=False, header=file.tell() == 0)
        return
    opened: list[pq.ParquetWriter] = []

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if metadata:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
        if not opened:
            opened.append(pq.ParquetWriter(path, table.schema))
        opened[0].write_table(table)

    try:
        yield write
    finally:
        for writer in opened:
            writer.close()
