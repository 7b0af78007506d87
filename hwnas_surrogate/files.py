"""Writing files so that a killed process or a full disk leaves either the old file or the new one.

This is the one place that decides what may be written where.
"""

from __future__ import annotations

import errno
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
from hwnas_surrogate.inputs import as_path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "check_folder",
    "check_output",
    "file_stem",
    "locked",
    "make_folder",
    "remove_stale",
    "replacing",
    "replacing_in",
    "settle",
    "standing",
]

_PART = ".hwnas.part"
"""An ending that no other program gives to its temporary files."""

_TOGETHER = "together"
_READY = f".{_TOGETHER}.ready"
"""The folder of files that were written together and are still to be moved to their places."""

_LONGEST = 120
"""Maximum bytes of a stem: with a hash, a part, a suffix and a temporary ending, a name has 255 at most."""


def file_stem(name: str) -> str:
    """Return a file name for a text that is valid on every system.

    Parameters
    ----------
    name : str
        Any text, such as a device and its metric.

    Returns
    -------
    str
        The text itself, if it is short and has only ASCII letters, digits, ``.``, ``_`` and ``-``. Otherwise its valid
        characters and a hash of the whole text, so that different texts give different files.

    Examples
    --------
    >>> file_stem("raspi4-latency"), file_stem("my board-latency")
    ('raspi4-latency', 'my_board-latency-1d954a9013341307')
    """
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    if plain == name and len(plain) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{plain[: _LONGEST - 17]}-{digest}"


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
        If its folder can't be read or written to.
    """
    suffix = as_path(path).suffix
    if suffixes and suffix and suffix not in suffixes:
        raise InvalidInputError(
            f"the file to write must end in {' or '.join(suffixes)}, which is how it is written, got "
            f"{Path(path).name!r}."
        )
    with _explained(path):
        final, kind = _destination(Path(path), inputs)
        if kind == "file":
            _check_writable(final.parent)
        elif not stream:
            raise InvalidInputError(
                f"{os.fspath(path)} is a pipe or a device, beside which no journal can be kept to resume: choose a "
                "file."
            )


def check_folder(folder: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Refuse, before hours of work, a folder that no file can be written to.

    Parameters
    ----------
    folder : path-like
        It need not exist.
    inputs : iterable of path-like, default=()
        Folders that are read to make the files; none of them may be this one.

    Raises
    ------
    InvalidInputError
        If the path is an input, or no folder.
    DataFileError
        If the folder can't be written to.
    """
    with _explained(folder):
        final = Path(os.path.realpath(folder))
        _check_input(folder, final, inputs)
        _check_writable(final)


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
    with _explained(path):
        final, kind = _destination(as_path(path), inputs)
        with _streamed(final) if kind == "stream" else _renamed(final) as temporary:
            yield temporary


@contextmanager
def replacing_in(folder: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> Iterator[Path]:
    """Give a temporary folder to write files to; when the block ends well, ``folder`` holds them: all, or none.

    Several files can't be renamed in one step, but the temporary folder can: once it is whole and synced, it is renamed
    to a name that tells that its files count. Only then are they moved to their places. A process that is killed before
    the renaming leaves all old files; one that is killed later leaves all new ones, some of them still to be moved.
    :func:`standing` finds those, and the next call moves them.

    Parameters
    ----------
    folder : path-like
        The folder, which is made if needed. Its other files stay.
    inputs : iterable of path-like, default=()
        Files that are read to make these.

    Yields
    ------
    Path
        The temporary folder.

    Raises
    ------
    InvalidInputError
        If a file would replace an input, a symbolic link, or something that :func:`replacing` would not replace.
    DataFileError
        If a file can't be written; earlier files are unchanged.
    """
    with _explained(folder):
        final = Path(os.path.realpath(folder))
        make_folder(final)
        settle(final)
        temporary, handle = _part_of(final / _TOGETHER, is_folder=True)
        try:
            yield temporary
            for part in sorted(temporary.iterdir()):
                place = final / part.name
                if place.is_symlink() or _destination(place, inputs)[1] != "file":
                    raise InvalidInputError(f"{place} is no ordinary file, and is not replaced: choose another folder.")
                _finish(part, place)
            temporary.chmod(stat.S_IMODE(final.stat().st_mode))
            _sync_folder(temporary)
            with locked(final):
                _move_ready(final)
                temporary.rename(final / _READY)
                _sync_folder(final)
                try:
                    _move_ready(final)
                except OSError as error:
                    raise DataFileError(
                        f"the new files of {folder} are whole and count, but some are still in {_READY}: "
                        f"{error.strerror or error}. Run the same again to move them to their places."
                    ) from error
        finally:
            if handle is not None:
                os.close(handle)
            shutil.rmtree(temporary, ignore_errors=True)


def remove_stale(folder: Path, names: str) -> None:
    """Remove what killed calls of :func:`replacing` left in a folder, of files whose stems match an expression."""
    expression = rf"\.(?:{names})\.\w{{8}}{re.escape(_PART)}"
    _remove_unlocked([part for part in folder.iterdir() if re.fullmatch(expression, part.name)])


@contextmanager
def standing(folder: Path, name: str) -> Iterator[Path]:
    """Give the path of a file that :func:`replacing_in` wrote to a folder, and keep it there while the block reads."""
    with locked(folder, shared=True):
        ready = folder / _READY / name
        yield ready if ready.exists() else folder / name


def settle(folder: Path) -> None:
    """Finish a :func:`replacing_in` that was killed: move the files that count, and remove those that don't."""
    if folder.is_dir():
        with _explained(folder), locked(folder):
            _move_ready(folder)
        _remove_stale(folder / _TOGETHER)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, and sync them: a file lasts no longer than the folder that it is in.

    Raises
    ------
    DataFileError
        If it can't be made.
    """
    final = Path(os.path.realpath(folder))
    if not final.is_dir():
        make_folder(final.parent)
        with _explained(folder):
            final.mkdir(exist_ok=True)
            _sync_folder(final.parent)


@contextmanager
def locked(folder: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a folder, or a file that is never replaced: alone, or together with others that only read it.

    Whoever comes second waits, or gets an :class:`InvalidInputError`.

    The lock ends with the process, and leaves nothing behind. Where there are no such locks (Windows, some network file
    systems), it does nothing.
    """
    handle = None
    if fcntl is not None:
        with suppress(OSError):  # who can't read the folder gets the error of what is done in it
            handle = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                os.close(handle)
                message = f"another process works into {folder}: wait for it, or choose another folder."
                raise InvalidInputError(message) from error
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else f"its name is not {error.encoding}"
        raise DataFileError(
            f"can't write {os.fspath(path)}: {reason}. What was there before is untouched; "
            "check the disk's free space and the folder's permissions."
        ) from error


def _check_writable(folder: Path) -> None:
    """Raise if a folder, or the nearest one above it that exists, can't be written to."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file, and can't be a folder: choose another name.")
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number))


def _check_input(path: str | os.PathLike[str], final: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    for source in inputs:
        if os.path.exists(source) and final.exists() and os.path.samefile(source, final):
            raise InvalidInputError(f"{os.fspath(path)} is the input as well: choose another one to write.")


def _destination(path: Path, inputs: Iterable[str | os.PathLike[str]]) -> tuple[Path, Literal["file", "stream"]]:
    """Return where to write, links followed, and whether that is a file to replace or a stream to write into."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Path(os.path.realpath(path)), "file"
    if stat.S_ISCHR(found.st_mode) or stat.S_ISFIFO(found.st_mode):
        return path, "stream"  # links such as /dev/stdout lead to pipes that have no other path
    final = Path(os.path.realpath(path))
    _check_input(path, final, inputs)
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "neither a file nor a pipe"
        raise InvalidInputError(f"{path} is {what}, and can't be replaced by a file: choose another name.")
    if _is_redirected_to(found):
        raise InvalidInputError(
            f"{path} is the file that stdout or stderr is redirected to, which would be replaced as a whole: name "
            "another file, or leave out the redirection."
        )
    if found.st_nlink > 1:
        raise InvalidInputError(
            f"{path} is one of {found.st_nlink} names of the same file (hard links), and the others would keep the old "
            "content: choose another file, or remove this name first."
        )
    return final, "file"


def _is_redirected_to(found: os.stat_result) -> bool:
    for number in (1, 2):
        with suppress(OSError):  # it is closed
            if os.path.samestat(found, os.fstat(number)):
                return True
    return False


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
    make_folder(final.parent)
    _remove_stale(final)
    temporary, handle = _part_of(final)
    try:
        yield temporary
        _finish(temporary, final)
        temporary.replace(final)
        _sync_folder(final.parent)
    finally:
        if handle is not None:
            os.close(handle)
        temporary.unlink(missing_ok=True)


def _finish(temporary: Path, final: Path) -> None:
    """Make a temporary file what the final one is to be."""
    with temporary.open("rb+") as written:
        _take_permissions(temporary, final)
        os.fsync(written.fileno())


def _part_of(final: Path, *, is_folder: bool = False) -> tuple[Path, int | None]:
    """Make a temporary file or folder beside a file, locked while it is written: a kill leaves a part without a lock.

    Of long or odd names, the part's name has a hash, so that every name that a file may have has a part.
    """
    prefix = f".{file_stem(final.name)}."
    while True:
        handle = None
        if is_folder:
            name = tempfile.mkdtemp(_PART, prefix, final.parent)
        else:
            handle, name = tempfile.mkstemp(_PART, prefix, final.parent)
        if fcntl is None:
            return Path(name), handle
        with suppress(OSError):  # somebody took it for a stale one before it was locked
            handle = os.open(name, os.O_RDONLY) if handle is None else handle
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(name)):
                return Path(name), handle
        if handle is not None:
            os.close(handle)


def _remove_stale(final: Path) -> None:
    """Remove what killed processes left of this file."""
    pattern = re.compile(rf"\.{re.escape(file_stem(final.name))}\.\w{{8}}{re.escape(_PART)}")  # of tempfile
    _remove_unlocked([part for part in final.parent.iterdir() if pattern.fullmatch(part.name)])


def _remove_unlocked(parts: Iterable[Path]) -> None:
    """Remove parts that nobody is writing."""
    if fcntl is None:
        return
    for part in parts:
        with suppress(OSError):
            handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if part.is_dir():
                    shutil.rmtree(part)
                else:
                    part.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _move_ready(folder: Path) -> None:
    """Move files that were written together to their places."""
    ready = folder / _READY
    if ready.is_dir() and not ready.is_symlink():  # the files of a folder elsewhere stay there
        for part in sorted(ready.iterdir()):
            part.replace(folder / part.name)
        _sync_folder(folder)
        ready.rmdir()


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
