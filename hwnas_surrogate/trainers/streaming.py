"""Predictions for more architectures than fit into memory: from any iterable, or from file to file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
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
from hwnas_surrogate.errors import DataFileError, InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.files import replacing
from hwnas_surrogate.spaces import ConfigLike, SearchSpace, arch_from_text, get_space
from hwnas_surrogate.trainers.encoded import BATCH, Encoded
from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate

__all__ = ["predict_batches", "predict_file"]

COLUMNS = ("architecture", "arch_str", "op_index")
"""What the column of architectures may be called."""
SUFFIXES = (".parquet", ".csv", ".txt")


def predict_batches(
    suite: SurrogateSuite,
    archs: Iterable[Any],
    configs: Iterable[ConfigLike] | ConfigLike = None,
    targets: TargetLike | Iterable[TargetLike] | None = None,
    *,
    coverage: float | None = None,
    budgets: Mapping[TargetLike, float] | None = None,
    extrapolate: bool = False,
    convention: str | None = None,
) -> Iterator[pd.DataFrame]:
    """Predict architectures as they come, some thousands at a time: memory does not grow with their number.

    Parameters
    ----------
    suite : SurrogateSuite
        Fitted surrogates.
    archs : iterable
        Single architectures in any form that the space accepts; an array with a row for each is one as well. Each
        entry is one architecture: an integer is an index, also where six of them come (``space.stack``).
    configs : config or iterable of configs, optional
        One network config for all, or one for each; if None, the one trained on, as :meth:`Surrogate.predict` has it.
    targets : target or iterable of targets, optional
        All if None.
    coverage : float, optional
        Adds the bounds of intervals of this coverage.
    budgets : mapping of target to float, optional
        Adds the probability that the cost is at most so much, in the target's unit.
    extrapolate : bool, default=False
        Predict for other configs as well where fewer than three were trained on: see :meth:`Surrogate.predict`.
    convention : str, optional
        Whose op numbers they are, as in ``space.from_convention``; the space's own if None.

    Returns
    -------
    iterator of DataFrame
        One row per architecture: ``architecture``, ``connected`` (whether a path leads from its input to its output;
        what costs least often has none), and for each target its cost, named ``device/metric (unit)``; if
        asked for, ``... low`` and ``... high`` and ``P(device/metric <= 5 ms)``; and ``P(device/metric has a cost)``
        for targets that the device could not run every training network for.

    Raises
    ------
    InvalidArchitectureError
        If one can't be read; the message tells which.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> suite = SurrogateSuite().fit_table(load_table(space="nasbench201").select("epyc-torch-1t").rows(range(500)))
    >>> sum(len(frame) for frame in predict_batches(suite, iter(range(15_625))))
    15625
    """
    return _batches(suite, archs, configs, targets, _Wanted(coverage, budgets, extrapolate, convention), 0)


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
) -> int:
    """Predict a file of architectures into another one, in bounded memory.

    Parameters
    ----------
    suite : SurrogateSuite
        Fitted surrogates.
    source : path-like
        Parquet or CSV with a column ``architecture``, ``arch_str`` or ``op_index`` and, optionally, ``config``; or a
        text file, an architecture a line.
    output : path-like
        Parquet or CSV, by its suffix; written beside and renamed.
    config, targets, coverage, budgets, extrapolate, convention
        As :func:`predict_batches` takes them; a column ``config`` wins over ``config``.

    Returns
    -------
    int
        Architectures predicted.

    Raises
    ------
    DataFileError
        If a file can't be read or written; an ``output`` that stood there is untouched.
    InvalidArchitectureError, InvalidConfigError
        If an entry can't be read.
    """
    origin, target = Path(source), Path(output)
    for path, allowed in ((origin, SUFFIXES), (target, SUFFIXES[:2])):
        if path.suffix not in allowed:
            raise InvalidInputError(f"the file must end in {', '.join(allowed)}, got {path.name!r}.")
    n, wanted = 0, _Wanted(coverage, budgets, extrapolate, convention)
    with replacing(target) as temporary, _writer(temporary, target.suffix) as write:
        for archs, configs in _read(origin):
            under: Any = config if configs is None else configs
            for frame in _batches(suite, archs, under, targets, wanted, n):
                write(frame if configs is None else frame.assign(config=configs))
                n += len(frame)
        if not n:
            raise InvalidInputError(f"{origin} holds no architecture.")
    return n


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is predicted of each target beside its cost, of which networks, and how these are written."""

    coverage: float | None
    budgets: Mapping[TargetLike, float] | None
    extrapolate: bool
    convention: str | None


def _batches(
    suite: SurrogateSuite,
    archs: Iterable[Any],
    configs: Iterable[ConfigLike] | ConfigLike,
    targets: TargetLike | Iterable[TargetLike] | None,
    wanted: _Wanted,
    start: int,
) -> Iterator[pd.DataFrame]:
    """Predict in batches; the first architecture has the number ``start``."""
    space = get_space(suite.space)
    picked = tuple(pick_targets(targets, suite.targets_))
    limits = _limits(suite, wanted.budgets or {}, picked)
    single = configs is None or isinstance(configs, str) or not isinstance(configs, Iterable)
    waiting = None if single else iter(configs)  # type: ignore[arg-type]
    remaining = iter(archs)
    while chunk := list(islice(remaining, BATCH)):
        batch = _stacked(space, chunk, wanted.convention, start)
        under: Any = configs if waiting is None else list(islice(waiting, len(chunk)))
        frame = pd.DataFrame({"architecture": space.format_all(batch), "connected": space.connected(batch)})
        (asked,) = suite._queries(batch, under, picked, wanted.extrapolate)
        for target, query in asked.items():
            for name, values in _told(suite.surrogates_[target], target, query, wanted.coverage, limits.get(target)):
                frame[name] = values
        yield frame
        start += len(chunk)


def _told(
    surrogate: Surrogate, target: Target, query: Encoded, coverage: float | None, budget: float | None
) -> Iterator[tuple[str, Any]]:
    """Yield the columns of one target by name."""
    yield f"{target} ({target.unit})", surrogate._predict_encoded(query)
    if coverage is not None:
        low, high = surrogate._interval_encoded(query, coverage).T
        yield f"{target} ({target.unit}) low", low
        yield f"{target} ({target.unit}) high", high
    if budget is not None:
        within = surrogate._within_encoded(query, np.full(len(query), budget))
        yield f"P({target} <= {budget:g} {target.unit})", within
    if surrogate.classifier_ is not None:
        yield f"P({target} has a cost)", surrogate._has_cost_encoded(query)


def _limits(
    suite: SurrogateSuite, budgets: Mapping[TargetLike, float], picked: tuple[Target, ...]
) -> dict[Target, float]:
    limits = {}
    for asked, budget in budgets.items():
        for target in pick_targets(asked, suite.targets_):
            if target not in picked:
                raise InvalidInputError(f"there is a budget for {target}, which is not among the targets asked for.")
            if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not budget > 0:
                raise InvalidInputError(f"the budget of {target} must be a number above 0, got {budget!r}.")
            limits[target] = float(budget)
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


def _read(path: Path) -> Iterator[tuple[list[Any], list[str] | None]]:
    """Yield architectures, and their configs if the file has some, batch by batch."""
    try:
        if path.suffix == ".txt":
            with path.open(encoding="utf-8") as file:
                lines = (line.strip() for line in file)
                while batch := list(islice((_arch(line) for line in lines if line), BATCH)):
                    yield batch, None
        else:
            for frame in _frames(path):
                key = _key(path, list(map(str, frame)))
                archs = [_arch(arch) for arch in frame[key]]
                yield archs, frame["config"].astype(str).tolist() if "config" in frame else None
    except FileNotFoundError as error:
        raise DataFileError(f"there is no file {path}.") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, pa.ArrowException) as error:
        raise DataFileError(f"{path} can't be read: {error}.") from error


def _arch(entry: Any) -> Any:
    """Read texts as people type them; a space's own strings need no look."""
    return arch_from_text(entry) if isinstance(entry, str) and "|" not in entry else entry


def _frames(path: Path) -> Iterator[pd.DataFrame]:
    if path.suffix == ".csv":
        with pd.read_csv(path, dtype=str, chunksize=BATCH, keep_default_na=False) as reader:
            yield from reader
        return
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = [_key(path, names), *(["config"] if "config" in names else [])]
        for batch in file.iter_batches(BATCH, columns=wanted):
            yield batch.to_pandas()


def _key(path: Path, names: list[str]) -> str:
    for name in COLUMNS:
        if name in names:
            return name
    raise DataFileError(f"{path} has no column {', '.join(COLUMNS)}; it has {', '.join(map(str, names[:10]))}.")


@contextmanager
def _writer(path: Path, suffix: str) -> Iterator[Any]:
    """Give a function that appends a frame to a parquet or CSV file."""
    if suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            yield lambda frame: frame.to_csv(file, index=False, header=file.tell() == 0)
        return
    opened: list[pq.ParquetWriter] = []

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if not opened:
            opened.append(pq.ParquetWriter(path, table.schema))
        opened[0].write_table(table)

    try:
        yield write
    finally:
        for writer in opened:
            writer.close()
