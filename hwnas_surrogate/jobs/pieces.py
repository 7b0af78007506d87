"""Finished pieces of work in a file, so that a killed run continues where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import joblib

import hwnas_surrogate
from hwnas_surrogate.errors import DataFileError, InvalidInputError, MeasurementError
from hwnas_surrogate.files import make_folder
from hwnas_surrogate.runner.journal import Journal

__all__ = ["Pieces", "source_version"]

_FORMAT: Mapping[str, Any] = {"holds": "finished pieces of work", "version": 1}


class Pieces:
    """Finished pieces of some work, by their tasks, in a file of JSON lines.

    Each piece is written as soon as it is finished. It counts only for the same work and the same code of this package,
    so that one file may serve several pieces of work, and what changed is done again.

    Parameters
    ----------
    path : path-like
        The file; if it exists, it is continued.
    *work
        What the results depend on beside the task: tables, settings.

    Raises
    ------
    InvalidInputError
        If another process writes the file.
    DataFileError
        If it is no such file, is damaged, or can't be read or written; it is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "pieces.jsonl"
    >>> with Pieces(path, "squares") as pieces:
    ...     pieces.keep((3,), 9)
    >>> with Pieces(path, "squares") as pieces:
    ...     (3,) in pieces, (4,) in pieces, pieces[3,]
    (True, False, 9)
    >>> with Pieces(path, "cubes") as pieces:
    ...     (3,) in pieces
    False
    """

    def __init__(self, path: str | os.PathLike[str], *work: object) -> None:
        self._path = Path(path)
        self._work = joblib.hash((source_version(), work))
        # Work that fails before its first piece is finished leaves nothing.
        self._journal = self._opened() if os.path.lexists(path) else None
        self._found = {} if self._journal is None else {one["key"]: one["result"] for one in self._journal.entries}

    def _opened(self) -> Journal:
        make_folder(self._path.parent)
        try:
            return Journal(self._path, dict(_FORMAT), {})
        except MeasurementError as error:
            if error.__cause__ is None:
                message = f"{self._path} holds something else: choose another file, or move it away."
                raise DataFileError(message) from error
            message = f"another process works into {self._path}: wait for it, or choose another file."
            raise InvalidInputError(message) from error

    def __enter__(self) -> Self:
        """Return the pieces, open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._journal is not None:
            self._journal.__exit__()

    def __contains__(self, task: tuple[Any, ...]) -> bool:
        """Return whether a task's piece is finished."""
        return self._key(task) in self._found

    def __getitem__(self, task: tuple[Any, ...]) -> Any:
        """Return the result of a finished task."""
        return self._found[self._key(task)]

    def keep(self, task: tuple[Any, ...], result: Any) -> None:
        """Write the result of a task: texts, numbers, lists and dicts."""
        key = self._key(task)
        if self._journal is None:
            self._journal = self._opened()
        self._journal.append(key=key, result=result)
        self._found[key] = result

    def _key(self, task: tuple[Any, ...]) -> str:
        return f"{self._work} {json.dumps(task)}"


@cache
def source_version() -> str:
    """Return the package's version and a hash of its source code, ``0.1.0+1f6e3a6b2c9d``."""
    folder = Path(hwnas_surrogate.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    return f"{hwnas_surrogate.__version__}+{digest.hexdigest()[:12]}"
