"""Predict a folder of files, partition by partition: in several processes, resumable, each as a whole or not at all."""

from __future__ import annotations

import glob
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data import Target, TargetLike
from hwnas_surrogate.data.arch_files import columns_of_file
from hwnas_surrogate.errors import DataFileError, InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.files import check_folder, check_output
from hwnas_surrogate.inputs import as_path, input_path, open_regular
from hwnas_surrogate.jobs.parallel import Progress, in_parallel
from hwnas_surrogate.jobs.pieces import source_version
from hwnas_surrogate.prediction.streaming import Wanted, check_suffixes, write_predictions
from hwnas_surrogate.spaces import ConfigLike
from hwnas_surrogate.trainers.suite import SurrogateSuite

__all__ = ["is_pattern", "predict_partitions"]

_STAMP = "hwnas predicted"
"""The key of a Parquet file's metadata that says of what its predictions are."""


def predict_partitions(
    suite: SurrogateSuite,
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    config: ConfigLike = None,
    targets: TargetLike | Iterable[TargetLike] | None = None,
    *,
    coverage: float | None = None,
    budgets: Mapping[TargetLike, float] | None = None,
    extrapolate: bool = False,
    convention: str | None = None,
    progress: Progress | None = None,
    n_jobs: int | None = None,
) -> int:
    """Predict files of architectures, and write the predictions of each to a file of its name in a folder.

    Each is written beside and renamed, so that a file that is there is whole. A call that was killed is resumed by the
    same call: partitions that are finished are not predicted again, unless they, the surrogates or the arguments have
    changed since.

    Parameters
    ----------
    suite : SurrogateSuite
        Fitted surrogates.
    sources : path-like, or iterable of path-like
        The files, each as for :func:`predict_file`; or a pattern such as ``"part-*.parquet"``, which is sorted by name.
        All have the same columns.
    output : path-like
        The folder, for Parquet files of the names of the sources. On a cluster, every worker must see it, and the
        sources, under the same path.
    config, targets, coverage, budgets, extrapolate, convention
        As in :func:`predict_batches`.
    progress : callable, optional
        Called with (partitions done, partitions to do).
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`.

    Returns
    -------
    int
        Architectures predicted, those of finished partitions included.

    Raises
    ------
    DataFileError
        If a partition can't be read, is half-written or has other columns than the first, which is found before any is
        predicted; or a worker does not have it. Finished partitions are kept.
    InvalidInputError
        If there is no source, or two would have one output.
    InvalidArchitectureError, InvalidConfigError
        If an entry can't be read; the message names the partition.
    """
    paths, folder = _paths(sources), as_path(output)
    places = _places(paths, folder)
    _check_columns(paths)
    asked = targets if targets is None or isinstance(targets, (str, Target)) else list(targets)
    wanted = Wanted(coverage, budgets, extrapolate, convention)
    work = joblib.hash((source_version(), suite, config, asked, wanted))
    stamps = [_stamp(work, path) for path in paths]
    known = [_finished(place, stamp) for place, stamp in zip(places, stamps, strict=True)]
    tasks = [
        (str(path.resolve()), str(place.resolve()), stamp)
        for path, place, stamp, n in zip(paths, places, stamps, known, strict=True)
        if n is None
    ]
    done = len(paths) - len(tasks)

    def tell(more: int, _: int) -> None:
        if progress is not None:
            progress(done + more, len(paths))

    tell(0, len(paths))
    counted = in_parallel(_predict, tasks, shared=(suite, config, asked, wanted), n_jobs=n_jobs, progress=tell)
    return sum(counted) + sum(n for n in known if n is not None)


def is_pattern(text: str | os.PathLike[str]) -> bool:
    """Return whether a path is a pattern for several files, and not the name of one."""
    return glob.has_magic(os.fspath(text)) and not os.path.exists(text)


def _paths(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    if isinstance(sources, (str, os.PathLike)):
        if not is_pattern(sources):
            return [input_path(sources)]
        found = sorted(glob.glob(os.fspath(sources)))
        if not found:
            raise DataFileError(f"no file matches {os.fspath(sources)!r:.200}.")
        return [input_path(path) for path in found]
    paths = [input_path(path) for path in sources]
    if not paths:
        raise InvalidInputError("there is no partition to predict: name one file at least.")
    return paths


def _places(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return the file to write for each partition; raise, before any work, if one can't be written."""
    check_folder(folder, {path.parent for path in paths})
    places: dict[Path, Path] = {}
    for path in paths:
        place = folder / f"{path.stem}.parquet"
        check_suffixes(path, place)
        if place in places:
            raise InvalidInputError(
                f"{path} and {places[place]} would both be predicted into {place.name}: rename one of them."
            )
        check_output(place, inputs=paths)
        places[place] = path
    return list(places)


def _check_columns(paths: Sequence[Path]) -> None:
    """Raise if a partition can't be read, or has other columns than the first."""
    first = _columns(paths[0])
    for path in paths[1:]:
        if (found := _columns(path)) != first:
            raise DataFileError(
                f"{path} has the columns {_listed(found)}, and {paths[0].name} has {_listed(first)}: partitions have "
                "the same columns. Leave it out, or write it again."
            )


def _columns(path: Path) -> tuple[str, ...]:
    try:
        return columns_of_file(path)
    except DataFileError as error:
        if not path.exists():
            raise
        raise DataFileError(f"{error} Was it written to the end? Write it again, or leave it out.") from error


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(columns[:10]) or "none (it is a text file)"


def _stamp(work: str, path: Path) -> str:
    """Return what the predictions of a partition depend on, as a text."""
    found = path.stat()
    return f"{work} {path.name} {found.st_size} {found.st_mtime_ns}"


def _finished(place: Path, stamp: str) -> int | None:
    """Return the number of predictions of a finished partition; None if it is to be predicted."""
    try:
        with open_regular(place) as opened, pq.ParquetFile(opened) as file:
            same = (file.metadata.metadata or {}).get(_STAMP.encode()) == stamp.encode()
            return int(file.metadata.num_rows) if same else None
    except (OSError, pa.ArrowException):
        return None


def _predict(
    suite: SurrogateSuite, config: ConfigLike, targets: Any, wanted: Wanted, source: str, place: str, stamp: str
) -> int:
    """Predict one partition; return its number of architectures."""
    path = Path(source)
    if not path.is_file():
        raise DataFileError(
            f"there is no file {path} on {socket.gethostname()}: workers read the partitions themselves, and write the "
            "output. Give both a folder that all of them see under the same path."
        )
    try:
        return write_predictions(suite, path, Path(place), config, targets, wanted, metadata={_STAMP: stamp})
    except (InvalidArchitectureError, InvalidConfigError) as error:
        raise type(error)(f"{path.name}: {error}") from error
