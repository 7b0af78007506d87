"""Writing files so that a killed process or a full disk leaves either the old file or the new one."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from hwnas_surrogate.errors import DataFileError, InvalidInputError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["as_path", "check_output", "file_stem", "input_path", "locked", "replacing"]

_PART = ".part"

_LONGEST = 120
"""Maximum bytes of a stem: with a hash, a part, a suffix and a temporary ending, a name has 255 at most."""


def as_path(path: object, hint: str = "") -> Path:
    """Return a path as such; raise `InvalidInputError`, with a hint, if it is none."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InvalidInputError(f"a path must be a text or a pathlib.Path, got {type(path).__name__}.{hint}")
    return Path(path)


def input_path(path: object, hint: str = "") -> Path:
    """Return a path to read, which may not exist; raise `DataFileError` if the system can't look it up."""
    found = as_path(path, hint)
    try:
        found.exists()
    except OSError as error:
        raise DataFileError(f"can't read {str(path)[:200]}: {error.strerror or error}.") from error
    return found


def file_stem(name: str) -> str:
    """Return a file name for a text that is valid on every system.

    Parameters
    ----------
    name : str
        Any text, such as a device and its metric.

    Returns
    -------
    str
        The text itself, if it is short and has only letters, digits, ``.``, ``_`` and ``-``. Otherwise its valid
        characters and a hash of the whole text, so that different texts give different files.

    Examples
    --------
    >>> file_stem("raspi4-latency"), file_stem("my board-latency")
    ('raspi4-latency', 'my_board-latency-1d954a9013341307')
    """
    plain = re.sub(r"[^\w.-]", "_", name)
    data = plain.encode()
    if plain == name and len(data) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{data[: _LONGEST - 17].decode(errors='ignore')}-{digest}"


def check_output(
    path: str | os.PathLike[str],
    suffixes: Sequence[str] = (),
    inputs: Iterable[str | os.PathLike[str]] = (),
    *,
    stream: bool = True,
) -> None:
    """Refuse, before hours of work, a file that :func:`replacing` would refuse to write at their end.

    Parameters
    ----------
    path : path-like
    suffixes : sequence of str, default=()
        What the name may end in, ``.parquet`` say; a name without a suffix passes. Any if empty.
    inputs : iterable of path-like, default=()
        Files that are read to make this one.
    stream : bool, default=True
        Whether a pipe or a character device may be written; False for what is resumed from a journal beside the file.

    Raises
    ------
    InvalidInputError
        If the name ends in something else, or the path is an input or nothing that a file may replace.
    DataFileError
        If the folder can't be read.
    """
    suffix = as_path(path).suffix
    if suffixes and suffix and suffix not in suffixes:
        raise InvalidInputError(
            f"the file to write must end in {' or '.join(suffixes)}, which is how it is written, got "
            f"{Path(path).name!r}."
        )
    try:
        _, kind = _destination(Path(path), inputs)
    except OSError as error:
        raise DataFileError(f"can't write {os.fspath(path)}: {error.strerror or error}.") from error
    if kind == "stream" and not stream:
        raise InvalidInputError(
            f"{os.fspath(path)} is a pipe or a device, beside which no journal can be kept to resume: choose a file."
        )


@contextmanager
def replacing(path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> Iterator[Path]:
    """Give a temporary path to write; when the block ends well, its content is what ``path`` holds.

    A file is written beside ``path``, synced and renamed, so that readers see the old content or the new one. It keeps
    the permissions of the file that it replaces. What a killed process left of an earlier attempt is removed. A
    symbolic link stays, and the file that it points to is replaced. A pipe or a character device, such as
    ``/dev/null``, stays and gets the content.

    Parameters
    ----------
    path : path-like
        The final name; its folder is made if needed.
    inputs : iterable of path-like, default=()
        Files that are read to make this one.

    Yields
    ------
    Path
        The temporary file to write.

    Raises
    ------
    InvalidInputError
        If ``path`` is one of the inputs, or something that must not be replaced: a folder, a disk, a socket, or a file
        with several names (hard links).
    DataFileError
        If the file can't be written; an existing file at ``path`` is unchanged.
    """
    try:
        final, kind = _destination(as_path(path), inputs)
        with _streamed(final) if kind == "stream" else _renamed(final) as temporary:
            yield temporary
    except OSError as error:
        raise DataFileError(
            f"can't write {os.fspath(path)}: {error.strerror or error}. What was there before is untouched; "
            "check the disk's free space and the folder's permissions."
        ) from error


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder for oneself, or together with others that only read it; wait while somebody else holds it.

    The lock ends with the process, and leaves nothing behind. Where there are no such locks (Windows, some network file
    systems), it does nothing.
    """
    handle = None
    if fcntl is not None:
        with suppress(OSError):  # who can't read the folder gets the error of what is done in it
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _destination(path: Path, inputs: Iterable[str | os.PathLike[str]]) -> tuple[Path, Literal["file", "stream"]]:
    """Return where to write, links followed, and whether that is a file to replace or a stream to write into."""
    final = Path(os.path.realpath(path))
    try:
        found = final.stat()
    except FileNotFoundError:
        return final, "file"
    for source in inputs:
        if os.path.exists(source) and os.path.samefile(source, final):
            raise InvalidInputError(f"{path} is the input as well: choose another file to write.")
    if stat.S_ISCHR(found.st_mode) or stat.S_ISFIFO(found.st_mode):
        return final, "stream"
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "neither a file nor a pipe"
        raise InvalidInputError(f"{path} is {what}, and can't be replaced by a file: choose another name.")
    if found.st_nlink > 1:
        raise InvalidInputError(
            f"{path} is one of {found.st_nlink} names of the same file (hard links), and the others would keep the old "
            "content: choose another file, or remove this name first."
        )
    return final, "file"


@contextmanager
def _streamed(final: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, final.name)
        temporary.touch()
        yield temporary
        with temporary.open("rb") as source, final.open("wb", buffering=0) as stream:
            shutil.copyfileobj(source, stream)


@contextmanager
def _renamed(final: Path) -> Iterator[Path]:
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(final)
    temporary, handle = _part_of(final)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        _take_permissions(temporary, final)
        temporary.replace(final)
        _sync_folder(final.parent)
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def _part_of(final: Path) -> tuple[Path, int]:
    """Make a temporary file beside a file, locked while it is written: a part without a lock was left by a kill."""
    while True:
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.", suffix=_PART)
        if fcntl is None:
            return Path(name), handle
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink:  # nobody took it for a stale one before it was locked
            return Path(name), handle
        os.close(handle)


def _remove_stale(final: Path) -> None:
    """Remove what killed processes left of this file."""
    if fcntl is None:
        return
    for part in final.parent.glob(f".{glob.escape(final.name)}.*{_PART}"):
        with suppress(OSError):
            handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _take_permissions(temporary: Path, final: Path) -> None:
    """Give a new file the permissions of the one that it replaces, or those of an ordinary file."""
    if final.exists():
        before = final.stat()
        with suppress(PermissionError):  # only an administrator may give a file away
            if (before.st_uid, before.st_gid) != (temporary.stat().st_uid, temporary.stat().st_gid):
                os.chown(temporary, before.st_uid, before.st_gid)
        temporary.chmod(stat.S_IMODE(before.st_mode))
    else:
        # mkstemp makes files that only their owner reads.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)


def _sync_folder(folder: Path) -> None:
    """Make a rename last: the folder is what holds it."""
    if fcntl is not None:
        with suppress(OSError):  # the file is there already; a folder that can't be read can't be synced
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
