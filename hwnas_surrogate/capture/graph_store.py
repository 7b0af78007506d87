"""Captured graphs on disk: one file of a space, to which every process appends lines.

A line holds the checksum of its rest, the network's key, and the graph. Lines that were changed or cut short are
noticed by their checksum, and their networks are captured again. Processes append one at a time, and nothing is ever
changed in place, so that several of them can fill one file.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import warnings
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import platformdirs

from hwnas_surrogate.errors import DataFileError, InvalidGraphError
from hwnas_surrogate.files import file_stem, locked, make_folder, replacing
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.inputs import open_regular

__all__ = ["GraphCacheWarning", "GraphStore", "cache_dir", "decoded", "encoded"]

_LINE = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{32}) ([A-Za-z0-9+/=]+)\n")
_LONGEST = 1 << 24
"""Maximum bytes of a line; that of a network of two hundred operators has some thousands."""
_LARGEST = 1 << 24
"""Maximum bytes of a graph's JSON; that of two hundred operators has 20,000."""
_KEPT = 4
"""Files of a space: those of earlier sources, of other branches say, are kept up to this number."""
_SUFFIX = ".graphs"


class GraphCacheWarning(UserWarning):
    """Cached graphs are damaged or out of date, or can't be kept: networks are captured again."""


def cache_dir() -> Path:
    """Return the folder for captured graphs: ``$HWNAS_CACHE``, or the user's cache folder of this system.

    Returns
    -------
    pathlib.Path
        The folder; it need not exist, and may be deleted at any time.
    """
    named = os.environ.get("HWNAS_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("hwnas-surrogate")


def encoded(graph: Graph) -> bytes:
    """Return a graph as a line holds it."""
    return base64.b64encode(zlib.compress(graph.to_json().encode()))


def decoded(content: bytes) -> Graph:
    """Return the graph of :func:`encoded` bytes.

    Raises
    ------
    InvalidGraphError
        If they hold something else.
    """
    try:
        text = zlib.decompressobj().decompress(base64.b64decode(content, validate=True), _LARGEST)
        return Graph.from_json(text.decode())
    except (binascii.Error, zlib.error, UnicodeDecodeError) as error:
        raise InvalidGraphError(f"this is no stored graph: {error}") from error


class GraphStore:
    """The captured graphs of a space whose code has one hash.

    Parameters
    ----------
    folder : path-like
        The folder of such files, which is made if needed.
    space : str
        The name of its class.
    source : str
        The hash of its code (:func:`~hwnas_surrogate.capture.source.source_hash`).

    Raises
    ------
    DataFileError
        By every method, if the file can't be read or written.
    """

    def __init__(self, folder: str | os.PathLike[str], space: str, source: str) -> None:
        self.folder = Path(folder)
        self.path = self.folder / f"{file_stem(space)}-{source[:16]}{_SUFFIX}"
        self._names = re.compile(rf"{re.escape(file_stem(space))}-[0-9a-f]{{16}}{re.escape(_SUFFIX)}")
        self._place: dict[str, tuple[int, int]] = {}
        self._read = 0
        self._file_id: tuple[int, int] | None = None

    def get(self, keys: Iterable[str]) -> dict[str, Graph]:
        """Return the graphs that are stored under some keys.

        Damaged lines are removed, with a :class:`GraphCacheWarning`.
        """
        try:
            n_damaged = self._refresh()
            if n_damaged:
                self._repair(n_damaged)
            return self._graphs([key for key in keys if key in self._place])
        except OSError as error:
            raise self._failed("read", error) from error

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Append :func:`encoded` graphs under their keys."""
        try:
            make_folder(self.folder)
            with locked(self.folder):
                is_new = not self.path.exists()
                with self.path.open("ab") as file:
                    if file.tell() and not self._ends_well():  # a kill cut the last line short
                        file.write(b"\n")
                    file.write(b"".join(_line(key.encode() + b" " + content) for key, content in contents.items()))
                if is_new:
                    self._remove_old()
        except OSError as error:
            raise self._failed("write", error) from error

    def clear(self) -> None:
        """Remove all graphs."""
        try:
            with locked(self.folder):
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed("write", error) from error

    def _failed(self, what: str, error: OSError) -> DataFileError:
        return DataFileError(
            f"can't {what} {self.path}, which keeps captured graphs: {error.strerror or error}. $HWNAS_CACHE names "
            "another folder."
        )

    def _refresh(self) -> int:
        """Read what was appended since the last time; return the number of damaged lines among it."""
        n_damaged = 0
        try:
            file = open_regular(self.path)
        except FileNotFoundError:
            self._place, self._read, self._file_id = {}, 0, None
            return 0
        with file:
            found = os.fstat(file.fileno())
            if self._file_id != (found.st_dev, found.st_ino) or found.st_size < self._read:
                self._place, self._read, self._file_id = {}, 0, (found.st_dev, found.st_ino)
            file.seek(self._read)
            while (line := file.readline(_LONGEST)) and (line.endswith(b"\n") or len(line) == _LONGEST):
                key = _key(line)
                if key is None:
                    n_damaged += 1
                else:
                    self._place[key] = self._read, len(line)
                self._read += len(line)
        return n_damaged

    def _graphs(self, keys: list[str]) -> dict[str, Graph]:
        graphs: dict[str, Graph] = {}
        if keys:
            with open_regular(self.path) as file:
                for key in sorted(keys, key=self._place.__getitem__):
                    start, length = self._place[key]
                    file.seek(start)
                    line = file.read(length)
                    # Another process may just have replaced the file, and a graph may be too large to be read.
                    with suppress(InvalidGraphError):
                        if _key(line) == key:
                            graphs[key] = decoded(line.split()[2])
        return graphs

    def _repair(self, n_damaged: int) -> None:
        """Write the file without its damaged lines."""
        with locked(self.folder):
            with open_regular(self.path) as file:
                lines = [line for line in iter(lambda: file.readline(_LONGEST), b"") if _key(line) is not None]
            with replacing(self.path) as temporary:
                temporary.write_bytes(b"".join(lines))
        warnings.warn(
            f"{n_damaged} line(s) of {self.path}, which keeps captured graphs, were damaged and are removed; their "
            "networks are captured again.",
            GraphCacheWarning,
            stacklevel=2,
        )
        self._refresh()

    def _ends_well(self) -> bool:
        with open_regular(self.path) as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"

    def _remove_old(self) -> None:
        """Remove the files of this space that were written to longest ago."""
        files = [path for path in self.folder.iterdir() if self._names.fullmatch(path.name) and path != self.path]
        for path in sorted(files, key=lambda path: path.stat().st_mtime)[: max(0, len(files) + 1 - _KEPT)]:
            path.unlink(missing_ok=True)


def _line(rest: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(rest), rest)


def _key(line: bytes) -> str | None:
    """Return the key of a line; None if it is damaged."""
    match = _LINE.fullmatch(line)
    if match is None or zlib.crc32(line[9:-1]) != int(match[1], 16):
        return None
    return match[2].decode()
