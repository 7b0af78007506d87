"""Reading files that anybody may have made: regular files only, and no more than fits into memory."""

from __future__ import annotations

import errno
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from hwnas_surrogate.errors import DataFileError, InvalidInputError

__all__ = ["as_path", "check_archive", "input_path", "open_regular", "read_bytes", "read_json"]

_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_MOST_VALUES = 2_000_000
"""Values of a JSON text: each takes a hundred bytes of memory or so."""


def as_path(path: object, hint: str = "") -> Path:
    """Return a path as such; raise `InvalidInputError`, with a hint, if it is none."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InvalidInputError(f"a path must be a text or a pathlib.Path, got {type(path).__name__}.{hint}")
    if "\0" in os.fspath(path):
        raise InvalidInputError(f"a path has no NUL character, got {os.fspath(path)!r:.100}.")
    return Path(path)


def input_path(path: object, hint: str = "") -> Path:
    """Return a path to read, which may not exist; raise `DataFileError` if the system can't look it up."""
    found = as_path(path, hint)
    try:
        found.exists()
    except OSError as error:
        raise DataFileError(f"can't read {str(path)[:200]}: {error.strerror or error}.") from error
    return found


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or a link to one, to read its bytes; every reader of the package does.

    A pipe would block for ever, and a device such as ``/dev/zero`` has no end.

    Raises
    ------
    OSError
        If it can't be opened, or is a pipe, a device, a socket or a folder; ``strerror`` says which.
    """
    try:
        handle = os.open(path, _OPEN)
    except ValueError as error:  # a name that no file can have
        raise OSError(errno.EINVAL, str(error), repr(path)) from error
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", os.fspath(path))
        if not stat.S_ISREG(mode):
            kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
            reason = f"it is {kind}, not a file: write its content to a file first"
            raise OSError(errno.EINVAL, reason, os.fspath(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: str | os.PathLike[str], largest: int) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises
    ------
    OSError
        As of :func:`open_regular`; also if there are more bytes, before they are read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > largest else file.read(largest + 1) or b""  # None if the system has nothing yet
    if max(size, len(data)) > largest:
        reason = f"it has {max(size, len(data)):,} bytes, and {largest:,} are the most that is read"
        raise OSError(errno.EFBIG, reason, os.fspath(path))
    return data


def check_archive(archive: zipfile.ZipFile, largest: int = 2**30) -> None:
    """Check the sizes that a zip file claims, before any of its members is read; no member yields more than it claims.

    Raises
    ------
    ValueError
        If its members have more than so many bytes together, or are compressed in an unusual way.
    """
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > largest:
        raise ValueError(f"its members would unpack to {size:,} bytes, and {largest:,} are the most that is read")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("its members must be deflated or stored as they are")


def read_json(data: bytes, most_values: int = _MOST_VALUES) -> Any:
    """Parse a JSON text of at most so many values.

    Raises
    ------
    ValueError
        If it is no JSON, holds more values, or is nested too deep.
    """
    # Every value but the first follows one of these; those in strings count as well.
    n_values = 1 + sum(map(data.count, (b",", b"[", b"{")))
    if n_values > most_values:
        raise ValueError(f"it holds {n_values:,} values, and {most_values:,} are the most that is read")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
