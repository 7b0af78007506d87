"""The journal of a measurement, beside the table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hwnas_surrogate.data.store import TABLE_SUFFIXES
from hwnas_surrogate.files import check_output, make_folder
from hwnas_surrogate.runner.journal import Journal

__all__ = ["journal_path", "open_journal"]


def journal_path(output: str | os.PathLike[str]) -> Path:
    """Return the journal's place, beside the table to write; symbolic links of the table are followed.

    Raises
    ------
    InvalidInputError
        If the table can't be written there, or could not be resumed: a device or a pipe.
    DataFileError
        If the folder can't be read.
    """
    check_output(output, TABLE_SUFFIXES, stream=False)
    return Path(f"{os.path.realpath(output)}.journal")


def open_journal(path: Path, settings: dict[str, Any], environment: dict[str, Any]) -> Journal:
    """Open a journal, and record the environment in a new one; its folder is made.

    Raises
    ------
    DataFileError
        If the folder can't be made, or as :class:`~hwnas_surrogate.runner.journal.Journal`.
    MeasurementError
        As :class:`~hwnas_surrogate.runner.journal.Journal`.
    """
    make_folder(path.parent)
    return Journal(path, settings, {"environment": environment})
