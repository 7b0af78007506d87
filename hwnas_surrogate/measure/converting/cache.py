"""Converted networks on disk: a conversion takes seconds, and is needed for each measurement of a network."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.files import make_folder, replacing

__all__ = ["ConversionCache", "conversion_key"]

_NAME = re.compile(r"[0-9a-f]{64}-([0-9a-f]{64})")


def conversion_key(program: bytes, form: str, versions: Mapping[str, str]) -> str:
    """Return what identifies a conversion.

    Parameters
    ----------
    program : bytes
        The exported program, with its inputs.
    form : str
        The format.
    versions : mapping of str to str
        Those of the packages that convert.
    """
    digest = hashlib.sha256(repr((form, sorted(versions.items()))).encode())
    digest.update(program)
    return digest.hexdigest()


class ConversionCache:
    """A folder of converted networks, of limited size.

    Each file's name has the conversion's key and the hash of its content, which is checked when it is read. Files are
    written beside and renamed, so that processes can share the folder. When it grows too large, those that were used
    longest ago are removed.

    Parameters
    ----------
    folder : Path
        The folder, which is made if needed; it may be deleted at any time.
    most_bytes : int, default=20e9
        Its maximum size: some thousand networks.
    """

    def __init__(self, folder: Path, most_bytes: int = 20 * 10**9) -> None:
        self.folder, self.most_bytes = folder, most_bytes

    def fetch(self, key: str, path: Path) -> bool:
        """Copy a converted network to a path; return False if it is not there, or damaged."""
        for kept in self.folder.glob(f"{key}-*"):
            match = _NAME.fullmatch(kept.name)
            if match is None:
                continue
            try:
                shutil.copyfile(kept, path)
                with suppress(OSError):  # of another user: it counts as older than it is
                    os.utime(kept)
            except FileNotFoundError:  # another process has just removed it
                continue
            except OSError as error:
                raise DataFileError(f"can't copy {kept} to {path}: {error.strerror or error}.") from error
            if _hash(path) == match[1]:
                return True
            kept.unlink(missing_ok=True)
            path.unlink()
        return False

    def keep(self, key: str, path: Path) -> None:
        """Copy a file into the cache.

        Raises
        ------
        DataFileError
            If it can't be written.
        """
        make_folder(self.folder)
        with replacing(self.folder / f"{key}-{_hash(path)}") as temporary:
            shutil.copyfile(path, temporary)
        self._shrink()

    def clear(self) -> int:
        """Remove all files, and return their bytes."""
        files = self._files()
        for path in files:
            path.unlink(missing_ok=True)
        return sum(found.st_size for found in files.values())

    def _files(self) -> dict[Path, os.stat_result]:
        files = {}
        if self.folder.is_dir():
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if _NAME.fullmatch(entry.name):
                        with suppress(FileNotFoundError):
                            files[Path(entry.path)] = entry.stat()
        return files

    def _shrink(self) -> None:
        files = self._files()
        size = sum(found.st_size for found in files.values())
        for path in sorted(files, key=lambda path: files[path].st_mtime_ns):
            if size <= self.most_bytes:
                return
            size -= files[path].st_size
            path.unlink(missing_ok=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
