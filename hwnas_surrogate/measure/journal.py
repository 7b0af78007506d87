"""The journal of a measurement: JSON lines, appended at once, so that a kill loses only the work in progress."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hwnas_surrogate.errors import DataFileError, MeasurementError
from hwnas_surrogate.files import make_folder

__all__ = ["Journal"]


class Journal:
    """Append-only lines after a header that describes the measurement.

    Parameters
    ----------
    path : path-like
        The file. If it exists, it is continued.
    settings : dict
        The settings that determine the results. Other settings raise, since they would mix two measurements.
    info : dict
        Further information to record (the environment).

    Raises
    ------
    MeasurementError
        If the file belongs to a measurement with other settings, or another process is writing it.
    DataFileError
        If it is no journal, or can't be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any], info: dict[str, Any]) -> None:
        self.path = Path(path)
        self.entries: list[dict[str, Any]] = []
        try:
            make_folder(self.path.parent)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise DataFileError(f"can't write {self.path}: {error.strerror or error}.") from error
        try:
            self._lock()
            if self.path.stat().st_size:
                self._resume(settings)
            else:
                self.info = info
                self._write({"settings": settings, "info": info})
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        """Return the journal, open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file and release its lock."""
        self._file.close()

    def append(self, **entry: Any) -> None:
        """Append an entry and flush it to the operating system."""
        self._write(entry)
        self.entries.append(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        try:
            left = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise DataFileError(
                f"can't write {self.path}: {error.strerror or error}. What was measured before is kept in it; "
                "free some space and start again to continue."
            ) from error

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows has no such locks: there, the user must avoid two measurements of one output
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MeasurementError(
                f"another process is measuring into {self.path}; wait for it, or choose another output."
            ) from error
        except OSError:  # a file system without locks: as on Windows
            return

    def _resume(self, settings: dict[str, Any]) -> None:
        try:
            raw = self.path.read_bytes()
        except OSError as error:
            raise DataFileError(f"can't read {self.path}: {error.strerror or error}.") from error
        whole = raw[: raw.rfind(b"\n") + 1]
        try:
            header, *entries = [json.loads(line) for line in whole.splitlines()]
            before, self.info = dict(header["settings"]), header["info"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataFileError(
                f"{self.path} is not the journal of a measurement. Move it away or choose another output."
            ) from error
        if before != json.loads(json.dumps(settings)):
            changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
            raise MeasurementError(
                f"{self.path} belongs to a measurement with other settings (different: {', '.join(sorted(changed))}). "
                "Use the same settings to continue it, or choose another output."
            )
        if len(whole) < len(raw):
            # A kill cut the last line short; its network is measured again.
            self._file.truncate(len(whole))
        self.entries = entries
