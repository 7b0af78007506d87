"""Qualities of networks (their accuracies, for example): a Series, a CSV file, or a benchmark's accuracies."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PureWindowsPath
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, load_quality
from hwnas_surrogate.data.accuracy import is_accuracy_table
from hwnas_surrogate.data.csv_lines import MISSING, CsvFile, WrongLines, check_once
from hwnas_surrogate.data.model_column import MODEL
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, unknown
from hwnas_surrogate.inputs import input_path
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import SearchSpace, arch_from_text, get_space

__all__ = ["Accuracy", "quality_by_row", "read_quality"]

Vector = npt.NDArray[np.float64]
Accuracy = pd.Series | CostTable | str | os.PathLike[str]
_KEY = "architecture"
_TEST = "test/accuracy"


def quality_by_row(table: CostTable, quality: Accuracy, what: str = "quality") -> pd.Series[float]:
    """Return the quality of each row's network, NaN where it is unknown.

    Parameters
    ----------
    table : CostTable
        The table. An architecture has the same quality under all network configs.
    quality : Series, CostTable or path-like
        A Series by architecture, or by the name of a graph (or the path of its ONNX file); a CSV file as
        :func:`read_quality` reads it; or a benchmark's accuracies, as `load_quality` gives them or in a file that
        `convert_accuracy` wrote: of these, the test accuracy counts, under each network's own config. Networks that
        are not in the table are passed over.
    what : str, default="quality"
        Its name in messages.

    Returns
    -------
    Series
        One value per row; its name is that of the Series or of the file's column.

    Raises
    ------
    InvalidInputError
        If it is neither, holds something other than finite numbers or NaN, holds a network twice, or names graphs of
        which none is in the table.
    InvalidArchitectureError
        If an entry of a Series' index is not one architecture.
    DataFileError
        If the file is not readable.
    """
    if isinstance(quality, CostTable) or (isinstance(quality, (str, os.PathLike)) and _holds_accuracies(quality)):
        return _by_config(table, quality if isinstance(quality, CostTable) else load_quality(quality), what)
    keys: Any
    by = "name" if table.space is None else "architecture"
    if isinstance(quality, pd.Series):
        name = quality.name
        keys = _named_once(quality.index, what) if table.space is None else table.space.stack(quality.index)
        values = reals(quality, f"{what} must hold numbers")
        if np.isinf(values).any():
            raise InvalidInputError(f"{what} must be finite (NaN where unknown), got {values[np.isinf(values)][0]}.")
    elif isinstance(quality, (str, os.PathLike)):
        keys, values, name = _read_csv(quality, table.space)
    else:
        raise InvalidInputError(
            f"{what} must be a Series by {by} or the path of a CSV file, got {type(quality).__name__}."
        )
    space = table.space
    found = _by_name(table, keys, values, what) if space is None else _by_arch(space, table.archs, keys, values, what)
    found.name = name
    return found


def _holds_accuracies(path: str | os.PathLike[str]) -> bool:
    file = input_path(path)
    return file.is_file() and is_accuracy_table(file)


def _by_config(table: CostTable, quality: CostTable, what: str) -> pd.Series[float]:
    """Return the accuracy of each row's architecture under its config, NaN where there is none."""
    if table.space is None or quality.space is not table.space:
        raise InvalidInputError(
            f"{what} is of architectures of {quality.space_name}, the table holds networks of {table.space_name}."
        )
    names = list(map(str, quality.targets))
    if len(names) > 1 and _TEST not in names:
        raise InvalidInputError(
            f"{what} must be one column, got {', '.join(names)}: take one with select(targets=...)."
        )
    column = names.index(_TEST) if len(names) > 1 else 0
    found = np.full(len(table), np.nan)
    for config in set(table.configs) & set(quality.configs):
        mine = np.array([row == config for row in table.row_configs])
        other = np.array([row == config for row in quality.row_configs])
        by_code = pd.Series(quality.costs[other, column], index=pd.Index(table.space.codes(quality.archs[other])))
        found[mine] = by_code.reindex(table.space.codes(table.archs[mine])).to_numpy()
    return pd.Series(found, name=f"{quality.targets[column]} ({quality.targets[column].unit})")


def _by_arch(
    space: SearchSpace, archs: npt.NDArray[np.int8], keys: npt.NDArray[np.int8], values: Vector, what: str
) -> pd.Series[float]:
    by_code = pd.Series(values, index=pd.Index(space.codes(keys)))
    if by_code.index.has_duplicates:
        twice = int(np.argmax(by_code.index.duplicated()))
        raise InvalidInputError(f"{what} holds the architecture {space.format(keys[twice])!r} twice.")
    found: pd.Series[float] = by_code.reindex(space.codes(archs)).reset_index(drop=True)
    return found


def _by_name(table: CostTable, names: Sequence[str], values: Vector, what: str) -> pd.Series[float]:
    row = {name: number for number, name in enumerate(table.names)}
    found = np.full(len(table), np.nan)
    seen: dict[int, str] = {}
    for name, value in zip(names, values.tolist(), strict=True):
        number = row.get(name, row.get(_stem(name), -1))
        if number < 0:
            continue  # accuracies of networks that were not measured
        if (before := seen.setdefault(number, name)) != name:
            raise InvalidInputError(f"{what} holds the network {table.names[number]!r} twice: {before!r} and {name!r}.")
        found[number] = value
    if not seen and len(names) and len(table):
        raise unknown(InvalidInputError, f"network in {what},", names[0], table.names)
    return pd.Series(found)


def _stem(name: str) -> str:
    """Return what the network of an ONNX file is called; other names as they are."""
    return PureWindowsPath(name).stem if name.lower().endswith(".onnx") else name


def _named_once(index: Any, what: str) -> list[str]:
    names = list(index)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise InvalidInputError(f"{what} of graphs is a Series by their names, got {wrong[0]!r:.60} in its index.")
    if len(set(names)) < len(names):
        raise InvalidInputError(f"{what} holds the network {Counter(names).most_common(1)[0][0]!r:.200} twice.")
    return names


@overload
def read_quality(
    path: str | os.PathLike[str], space: str | SearchSpace = ...
) -> tuple[npt.NDArray[np.int8], Vector]: ...


@overload
def read_quality(path: str | os.PathLike[str], space: None) -> tuple[list[str], Vector]: ...


def read_quality(
    path: str | os.PathLike[str], space: str | SearchSpace | None = "nasbench201"
) -> tuple[npt.NDArray[np.int8] | list[str], Vector]:
    r"""Read the qualities of networks (their accuracies, for example) from a CSV file.

    Parameters
    ----------
    path : path-like
        Two columns, named in the first line: ``architecture`` (strings, indices of NAS-Bench-201, or ops joined by
        commas in quotes; of graphs ``model``: their names, or paths of ONNX files) and one of numbers, of any name.
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for graphs.

    Returns
    -------
    networks : ndarray of int8, shape (n, positions), or list of str
        The architectures, or the entries of the column ``model``.
    values : ndarray of float, shape (n,)
        NaN where the file has no value.

    Raises
    ------
    DataFileError
        If the file is missing or has another form, or a line is wrong: no network, a repeated one, or no number. The
        message names the lines.

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
    networks, values, _ = _read_csv(path, get_space(space))
    return networks, values


def _read_csv(path: str | os.PathLike[str], space: SearchSpace | None) -> tuple[Any, Vector, str]:
    """Return a file's architectures or names, their values, and the name of the values' column."""
    file = input_path(path)
    if not file.is_file():
        raise DataFileError(f"{file} is a folder, not a file." if file.is_dir() else f"there is no file {file}.")
    wrong = WrongLines(file)
    networks: list[Any] = []
    values: list[float] = []
    seen: dict[Any, int] = {}
    try:
        opened = CsvFile(file)
        key, column = _two_columns(opened, _KEY if space is not None else MODEL)
        for lines, texts in opened.columns(wrong):
            numbers = opened.numbers(texts[column], lines, wrong).tolist()
            for at, (text, number, value) in enumerate(zip(texts[key], texts[column], numbers, strict=True)):
                if not math.isfinite(value) and number.strip().lower() not in MISSING:
                    wrong.add(lines[[at]], f"{column} must be a number, or empty, got {number!r:.60}")
                elif why := _read_network(text.strip(), space, int(lines[at]), seen, networks):
                    wrong.add(lines[[at]], why)
                else:
                    values.append(value)
    except OSError as error:
        raise DataFileError(f"can't read {file}: {str(error).splitlines()[0][:200]}.") from error
    wrong.check()
    if not values:
        raise DataFileError(f"{file} holds no {_KEY if space is not None else MODEL} below its header.")
    return networks if space is None else np.concatenate(networks), np.array(values), column


def _two_columns(file: CsvFile, wanted: str) -> tuple[str, str]:
    check_once(file.path, [name.casefold() for name in file.header])
    keys, others = ([name for name in file.header if (name.casefold() == wanted) is is_key] for is_key in (True, False))
    if not keys or len(others) != 1:
        raise DataFileError(
            f"{file.path} must have a column {wanted!r} and one of numbers, as in '{wanted},accuracy', "
            f"got {', '.join(file.header) or 'nothing'}.{file.hint}"
        )
    return keys[0], others[0]


def _read_network(text: str, space: SearchSpace | None, line: int, seen: dict[Any, int], networks: list[Any]) -> str:
    """Append a line's architecture or name, or return what is wrong with it."""
    network: Any = text
    if space is not None:
        try:
            network = space.as_array(arch_from_text(text))
        except HWNASError as error:
            return str(error)
        if len(network) != 1:
            return f"{text!r:.60} is {len(network)} architectures, one is needed"
    elif not text:
        return "no model"
    if (before := seen.setdefault(text if space is None else network.tobytes(), line)) != line:
        return f"the {'network' if space is None else 'architecture'} {text!r:.60} stands in line {before} too"
    networks.append(network)
    return ""
