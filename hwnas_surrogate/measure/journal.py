"""The journal of a measurement: one JSON line per result, flushed, so that a kill loses what is in hand only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hwnas_surrogate.errors import DataFileError, MeasurementError

__all__ = ["Journal"]


class Journal:
    """Append-only lines behind a header that says what is being measured.

    Parameters
    ----------
    path : path-like
        The file. If it exists, it is continued.
    settings : dict
        What decides the results: continuing under other settings would mix two measurements.
    info : dict
        What is recorded beside (the environment).

    Raises
    ------
    MeasurementError
        If the file belongs to a measurement with other settings.
    DataFileError
        If it is no journal, or can't be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any], info: dict[str, Any]) -> None:
        self.path = Path(path)
        self.entries: list[dict[str, Any]] = []
        if self.path.exists() and self.path.stat().st_size:
            self._resume(settings)
        else:
            self.info = info
            self.append({"settings": settings, "info": info})

    def append(self, *entries: dict[str, Any]) -> None:
        """Write entries and push them to the disk."""
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataFileError(
                f"can't write {self.path}: {error.strerror or error}. What was measured before is kept in it; "
                "free some space and start again to continue."
            ) from error
        self.entries += [entry for entry in entries if "settings" not in entry]

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
            # A kill cut the last line short; it is measured again.
            with self.path.open("rb+") as file:
                file.truncate(len(whole))
        self.entries = entries
