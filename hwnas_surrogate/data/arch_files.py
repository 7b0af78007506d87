"""Files of architectures: text, CSV and parquet, read in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data.csv_lines import CsvFile, WrongLines
from hwnas_surrogate.data.text_lines import lines_of_file
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.inputs import open_regular
from hwnas_surrogate.spaces import arch_from_text

__all__ = ["columns_of_file", "read_arch_file"]

_Batches: TypeAlias = Iterator[tuple[list[Any], list[str] | None]]

CONFIGS = ("config", "dataset")
"""Accepted names of the column of configs."""
ARCHITECTURES = ("architecture", "arch_str", "op_index")
"""Accepted names of the column of architectures."""


def read_arch_file(
    path: Path, batch: int, ignored: Callable[[Sequence[str]], None] | None = None, done: str = "read"
) -> _Batches:
    """Yield the architectures of a file, and their configs if it has some, batch by batch.

    Parameters
    ----------
    path : Path
        Text with an architecture a line, or CSV or parquet with a column ``architecture``, ``arch_str`` or
        ``op_index``, and one of configs if they differ.
    batch : int
        Architectures of one batch, at most.
    ignored : callable, optional
        Called with the names of the columns that are not read.
    done : str, default="read"
        What is done with them, for messages.

    Raises
    ------
    DataFileError
        If the file can't be read, or is none of these.
    """
    with _explained(path):
        if path.suffix == ".txt":
            lines = (line.strip() for line in lines_of_file(path))
            while found := list(islice((_arch(line) for line in lines if line), batch)):
                yield found, None
        else:
            tell = ignored or (lambda _: None)
            yield from _read_csv(path, batch, tell, done) if path.suffix == ".csv" else _read_parquet(path, batch, tell)


def columns_of_file(path: Path) -> tuple[str, ...]:
    """Return the names of the columns of a file for :func:`read_arch_file`; none of a text file.

    Raises
    ------
    DataFileError
        If the file can't be read, or is cut short.
    """
    with _explained(path):
        if path.suffix == ".csv":
            return tuple(CsvFile(path).header)
        if path.suffix == ".parquet":
            with open_regular(path) as opened, pq.ParquetFile(opened) as file:
                return tuple(map(str, file.schema_arrow.names))
        with open_regular(path):
            return ()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataFileError(f"there is no file {path}.") from error
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise DataFileError(f"{path} can't be read: {reason}.") from error


def _arch(entry: Any) -> Any:
    """Parse texts as users type them; a space's own strings (with |) are returned as they are."""
    return arch_from_text(entry) if isinstance(entry, str) and "|" not in entry else entry


def _key_and_config(
    path: Path, names: Sequence[str], ignored: Callable[[Sequence[str]], None], hint: str = ""
) -> list[int]:
    """Return the places of the architectures and of the configs (if any) among a file's columns."""
    plain = [name.strip().casefold() for name in names]
    keys, configs = ([place for place, name in enumerate(plain) if name in known] for known in (ARCHITECTURES, CONFIGS))
    if not keys:
        got = ", ".join(names[:10]) or "none"
        raise DataFileError(f"{path} has no column {', '.join(ARCHITECTURES)}; it has {got}.{hint}")
    for what, places in (("architectures", keys), ("configs", configs)):
        if len(places) > 1:
            got = " and ".join(repr(names[place]) for place in places)
            raise DataFileError(f"{path} must have one column of {what}, got {got}: leave all but one out.")
    if others := tuple(name for place, name in enumerate(names) if place not in (keys + configs)):
        ignored(others)
    return keys + configs


def _read_csv(path: Path, size: int, ignored: Callable[[Sequence[str]], None], done: str) -> _Batches:
    file = CsvFile(path)
    key, *config = _key_and_config(path, file.header, ignored, file.hint)
    wrong = WrongLines(path, done)
    wrong.gave_up = True  # at the first batch with a wrong line
    entries = (fields for _, rows in file.rows(wrong) for fields in rows)
    while batch := list(islice(entries, size)):
        wrong.check()
        configs = [fields[config[0]].strip() for fields in batch] if config else None
        yield [_arch(fields[key].strip()) for fields in batch], configs


def _read_parquet(path: Path, size: int, ignored: Callable[[Sequence[str]], None]) -> _Batches:
    with open_regular(path) as opened, pq.ParquetFile(opened) as file:
        names = list(map(str, file.schema_arrow.names))
        wanted = [names[place] for place in _key_and_config(path, names, ignored)]
        for batch in file.iter_batches(size, columns=wanted):
            frame = batch.to_pandas(ignore_metadata=True)[wanted]
            configs = frame.iloc[:, 1].astype(str).str.strip().tolist() if len(wanted) > 1 else None
            yield [_arch(arch) for arch in frame.iloc[:, 0]], configs
