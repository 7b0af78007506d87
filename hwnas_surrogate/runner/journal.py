"""The journal of a measurement: JSON lines, appended at once, so that a kill loses only the work in progress.

Each line ends in a checksum of all bytes up to it, so that a line that was changed, lost or repeated is noticed: times
would otherwise count for another network. Only lines lost at the end are not noticed; they are measured again.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

from hwnas_surrogate.errors import DataFileError, MeasurementError

__all__ = ["Journal"]

JOURNAL_LINE = re.compile(rb'(.+),"check":"([0-9a-f]{8})"\}\n', re.DOTALL)
"""A line: the JSON of an entry, whose last value is the checksum."""
LONGEST_LINE = 1 << 24
"""Maximum bytes of a line; those of a measurement have some thousands."""


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
        self._check = 0
        header = {"settings": settings, "info": info}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
                raise DataFileError(f"can't write {self.path}: it is a device or a pipe. Choose another output.")
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise DataFileError(f"can't write {self.path}: {error.strerror or error}.") from error
        try:
            self._lock()
            if self._is_new(header):
                self.info = info
                self._write(header)
            else:
                self._resume(settings)
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

    def _line(self, entry: dict[str, Any]) -> tuple[bytes, int]:
        """Return an entry's line, and the checksum of the bytes up to it."""
        text = json.dumps(entry, separators=(",", ":")).encode()[:-1]
        check = zlib.crc32(text, self._check)
        return text + b',"check":"%08x"}\n' % check, check

    def _write(self, entry: dict[str, Any]) -> None:
        left, check = self._line(entry)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise DataFileError(
                f"can't write {self.path}: {error.strerror or error}. What was measured before is kept in it; "
                "free some space and start again to continue."
            ) from error
        self._check = check

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

    def _is_new(self, header: dict[str, Any]) -> bool:
        """Return whether nothing is there yet; a cut header, as a full disk leaves it, is removed."""
        try:
            with self.path.open("rb") as file:
                first = file.readline(LONGEST_LINE)
            line, _ = self._line(header)
            if not line.startswith(first) or first == line:
                return False
            self._file.truncate(0)
        except OSError as error:
            raise DataFileError(f"can't read {self.path}: {error.strerror or error}.") from error
        return True

    def _resume(self, settings: dict[str, Any]) -> None:
        try:
            with self.path.open("rb") as file:
                self._read_header(file.readline(LONGEST_LINE), settings)
                whole = file.tell()
                while (line := file.readline(LONGEST_LINE)).endswith(b"\n") or len(line) == LONGEST_LINE:
                    entry = self._read(line)
                    if entry is None:
                        raise DataFileError(
                            f"line {len(self.entries) + 2} of {self.path} is not as it was written: it was changed, or "
                            "lines before it were lost or repeated. Delete this line and all after it to continue with "
                            "what was measured before, or choose another output."
                        )
                    self.entries.append(entry)
                    whole = file.tell()
            if line:
                # A kill cut the last line short; its network is measured again.
                self._file.truncate(whole)
        except OSError as error:
            raise DataFileError(f"can't read {self.path}: {error.strerror or error}.") from error

    def _read(self, line: bytes) -> dict[str, Any] | None:
        """Return a line's entry; None if it does not follow the line before."""
        match = JOURNAL_LINE.fullmatch(line)
        if match is None or zlib.crc32(match[1], self._check) != int(match[2], 16):
            return None
        try:
            entry: dict[str, Any] = json.loads(match[1] + b"}")
        except (ValueError, RecursionError):
            return None
        self._check = int(match[2], 16)
        return entry

    def _read_header(self, line: bytes, settings: dict[str, Any]) -> None:
        header = self._read(line)
        if header is None or header.keys() != {"settings", "info"}:
            raise DataFileError(
                f"line 1 of {self.path} is not the header of a journal of this version. Move the file away, or choose "
                "another output."
            )
        before, self.info = header["settings"], header["info"]
        if before != json.loads(json.dumps(settings)):
            changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
            raise MeasurementError(
                f"{self.path} belongs to a measurement with other settings (different: {', '.join(sorted(changed))})"
                f"{_other_runtime(before, settings)}. Use the same settings to continue it, or choose another output."
            )


def _other_runtime(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return which version of the runtime was used before and is now, if it was updated since."""
    devices = before.get("device"), now.get("device")
    was, is_now = (device.get("runtime") if isinstance(device, dict) else None for device in devices)
    return f": the runtime was {was!r}, and is {is_now!r} now" if was != is_now else ""
