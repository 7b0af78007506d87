"""The user's qualities of architectures (their accuracies, for example), as a Series or a CSV file."""

from __future__ import annotations

import math
import os

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.data.csv_lines import MISSING, CsvFile, WrongLines, check_once
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError
from hwnas_surrogate.inputs import input_path
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import SearchSpace, arch_from_text, get_space

__all__ = ["Accuracy", "quality_by_row", "read_quality"]

Vector = npt.NDArray[np.float64]
Accuracy = pd.Series | str | os.PathLike[str]
_KEY = "architecture"


def quality_by_row(table: CostTable, quality: Accuracy, what: str = "quality") -> pd.Series[float]:
    """Return the quality of each row's architecture, NaN where it is unknown.

    Parameters
    ----------
    table : CostTable
        The table. An architecture has the same quality under all network configs.
    quality : Series or path-like
        By architecture, or a CSV file as :func:`read_quality` reads it.
    what : str, default="quality"
        Its name in messages.

    Returns
    -------
    Series
        One value per row; its name is that of the Series or of the file's column.

    Raises
    ------
    InvalidInputError
        If it is neither, holds something other than finite numbers or NaN, or holds an architecture twice.
    InvalidArchitectureError
        If an entry of a Series' index is not one architecture.
    DataFileError
        If the file is not readable.
    """
    space = table.space_for("accuracy by architecture")
    if isinstance(quality, pd.Series):
        name = quality.name
        batch = space.stack(quality.index)
        values = reals(quality, f"{what} must hold numbers")
        if np.isinf(values).any():
            raise InvalidInputError(f"{what} must be finite (NaN where unknown), got {values[np.isinf(values)][0]}.")
    elif isinstance(quality, (str, os.PathLike)):
        batch, values, name = _read_csv(quality, space)
    else:
        raise InvalidInputError(
            f"{what} must be a Series by architecture or the path of a CSV file, got {type(quality).__name__}."
        )
    codes = space.codes(batch)
    by_code = pd.Series(values, index=pd.Index(codes), name=name)
    if by_code.index.has_duplicates:
        twice = int(np.argmax(by_code.index.duplicated()))
        raise InvalidInputError(f"{what} holds the architecture {space.format(batch[twice])!r} twice.")
    found: pd.Series[float] = by_code.reindex(space.codes(table.archs)).reset_index(drop=True)
    return found


def read_quality(
    path: str | os.PathLike[str], space: str | SearchSpace = "nasbench201"
) -> tuple[npt.NDArray[np.int8], Vector]:
    r"""Read the qualities of architectures (their accuracies, for example) from a CSV file.

    Parameters
    ----------
    path : path-like
        Two columns, named in the first line: ``architecture`` (strings, indices of NAS-Bench-201, or ops joined by
        commas in quotes) and one of numbers, of any name.
    space : str or SearchSpace, default="nasbench201"
        The search space.

    Returns
    -------
    archs : ndarray of int8, shape (n, positions)
    values : ndarray of float, shape (n,)
        NaN where the file has no value.

    Raises
    ------
    DataFileError
        If the file is missing or has another form, or a line is wrong: no architecture of the space, a repeated one, or
        no number. The message names the lines.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "accuracy.csv"
    ...     _ = path.write_text("architecture,test accuracy (%)\n0,93.1\n17,91.4\n")
    ...     read_quality(path)[1].tolist()
    [93.1, 91.4]
    """
    archs, values, _ = _read_csv(path, get_space(space))
    return archs, values


def _read_csv(path: str | os.PathLike[str], space: SearchSpace) -> tuple[npt.NDArray[np.int8], Vector, str]:
    """Return a file's architectures, their values, and the name of the values' column."""
    file = input_path(path)
    if not file.is_file():
        raise DataFileError(f"{file} is a folder, not a file." if file.is_dir() else f"there is no file {file}.")
    wrong = WrongLines(file)
    archs: list[npt.NDArray[np.int8]] = []
    values: list[float] = []
    seen: dict[bytes, int] = {}
    try:
        opened = CsvFile(file)
        key, column = _two_columns(opened)
        for lines, texts in opened.columns(wrong):
            numbers = opened.numbers(texts[column], lines, wrong).tolist()
            for at, (text, number, value) in enumerate(zip(texts[key], texts[column], numbers, strict=True)):
                if not math.isfinite(value) and number.strip().lower() not in MISSING:
                    wrong.add(lines[[at]], f"{column} must be a number, or empty, got {number!r:.60}")
                elif why := _read_arch(text, space, int(lines[at]), seen, archs):
                    wrong.add(lines[[at]], why)
                else:
                    values.append(value)
    except OSError as error:
        raise DataFileError(f"can't read {file}: {str(error).splitlines()[0][:200]}.") from error
    wrong.check()
    if not values:
        raise DataFileError(f"{file} holds no architecture below its header.")
    return np.concatenate(archs), np.array(values), column


def _two_columns(file: CsvFile) -> tuple[str, str]:
    check_once(file.path, [name.casefold() for name in file.header])
    keys, others = ([name for name in file.header if (name.casefold() == _KEY) is is_key] for is_key in (True, False))
    if not keys or len(others) != 1:
        raise DataFileError(
            f"{file.path} must have a column {_KEY!r} and one of numbers, as in '{_KEY},accuracy', "
            f"got {', '.join(file.header) or 'nothing'}.{file.hint}"
        )
    return keys[0], others[0]


def _read_arch(
    text: str, space: SearchSpace, line: int, seen: dict[bytes, int], archs: list[npt.NDArray[np.int8]]
) -> str:
    """Append a line's architecture, or return what is wrong with it."""
    try:
        arch = space.as_array(arch_from_text(text.strip()))
    except HWNASError as error:
        return str(error)
    if len(arch) != 1:
        return f"{text!r:.60} is {len(arch)} architectures, one is needed"
    if (before := seen.setdefault(arch.tobytes(), line)) != line:
        return f"the architecture {text!r:.60} stands in line {before} too"
    archs.append(arch)
    return ""
