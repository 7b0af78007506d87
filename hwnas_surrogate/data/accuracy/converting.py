"""Converting published accuracies to parquet, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwnas_surrogate.data.accuracy.containers import OnArch, read_benchmark
from hwnas_surrogate.data.accuracy.writing import AccuracyWriter
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.files import check_output, replacing

__all__ = ["convert_accuracy"]


def convert_accuracy(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Convert the published results of NAS-Bench-201 or NATS-Bench to parquet, which opens in milliseconds.

    No code from the file is run, and its architectures are read one after the other, so that this takes far less memory
    than the file has bytes. Weights are left out.

    Parameters
    ----------
    source : path-like
        ``NAS-Bench-201-v1_1-096897.pth`` (or v1.0), ``NATS-tss-v1_0-3ffb9.pickle.pbz2``, or the folder of one of
        NATS-Bench's archives (``meta.pickle.pbz2`` and one file per architecture).
    output : path-like
        The file to write, which ends in ``.parquet``.
    progress : callable, optional
        Called after each architecture with the number that were read, and None: how many there are stands at the end.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InvalidInputError
        If the output's name ends in something else, or it is the source.
    DataFileError
        If the source is missing, damaged, cut off, hostile or of another layout, or the output can't be written; an
        earlier output is unchanged.

    Notes
    -----
    The file has one row per schedule (``hp``), dataset, set, architecture and seed: accuracies (%), losses and seconds
    by epoch as lists, and those of the last epoch; rows of the set ``train`` have the parameters and multiply-adds (in
    millions) and the latencies (s), too.
    """
    check_output(output, (".parquet",), [source])
    with replacing(output, [source]) as temporary:
        writers: list[AccuracyWriter] = []
        n_read = 0

        def begin() -> OnArch:
            nonlocal n_read
            n_read = 0
            while writers:  # architectures share values, and all come again
                writers.pop().abandon()
            with _writing(output):
                writers.append(AccuracyWriter(temporary))
            return add

        def add(index: int, states: Mapping[str, Any]) -> None:
            with _writing(output):
                writers[-1].add(index, states)
            nonlocal n_read
            n_read += 1
            if progress is not None:
                progress(n_read, None)

        try:
            heading = read_benchmark(source, begin)
            with _writing(output):
                writers.pop().close(heading, Path(source).name)
        finally:
            for writer in writers:
                writer.abandon()
    return Path(output)


@contextmanager
def _writing(output: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataFileError(f"can't write {os.fspath(output)}: {error.strerror or error}.") from error
