"""The journal of a measurement, beside the table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hwnas_surrogate.data.store import TABLE_SUFFIXES
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.files import check_output, make_folder
from hwnas_surrogate.runner.journal import Journal

__all__ = ["check_ours", "journal_path", "open_journal"]


def journal_path(output: str | os.PathLike[str], suffix: str = ".journal") -> Path:
    """Return the journal's place, beside the table to write; symbolic links of the table are followed.

    Several boards of a fleet have a journal each, in the folder of the suffix ``.journals``.

    Raises
    ------
    InvalidInputError
        If the table can't be written there, could not be resumed (a device or a pipe), or is another command's.
    DataFileError
        If the folder can't be read.
    """
    check_output(output, TABLE_SUFFIXES, stream=False)
    path = Path(f"{os.path.realpath(output)}{suffix}")
    check_ours(output, path)
    return path


def check_ours(output: str | os.PathLike[str], record: Path) -> None:
    """Check that no other command wrote the table, which a measurement would replace.

    Parameters
    ----------
    output : path-like
        The table to write.
    record : Path
        What every measurement leaves beside its table: the journal, or the folder of its parts.

    Raises
    ------
    InvalidInputError
        If there is a table without this record.
    """
    if os.path.exists(output) and not record.exists():
        raise InvalidInputError(
            f"{os.fspath(output)} exists, but {record.name} does not, so that it holds other costs: choose another "
            "output, or delete it."
        )


def open_journal(path: Path, settings: dict[str, Any], info: dict[str, Any]) -> Journal:
    """Open a journal, and record what is known, such as the environment, in a new one; its folder is made.

    Raises
    ------
    DataFileError
        If the folder can't be made, or as :class:`~hwnas_surrogate.runner.journal.Journal`.
    MeasurementError
        As :class:`~hwnas_surrogate.runner.journal.Journal`.
    """
    make_folder(path.parent)
    return Journal(path, settings, info)
