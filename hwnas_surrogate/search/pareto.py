"""Which architectures nothing beats: exact Pareto fronts of costs, and of costs and accuracies that the user brings."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.data.csv_lines import MISSING, WrongLines, batches_of, check_once, columns_of, number_of
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, unknown
from hwnas_surrogate.evaluation.scores import tied_ranks
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import SearchSpace, arch_from_text, get_space

__all__ = ["ACCURACY", "Accuracy", "pareto_front", "quality_by_row", "read_quality"]

Vector = npt.NDArray[np.float64]
Accuracy = pd.Series | str | os.PathLike[str]

ACCURACY = "accuracy"
"""The objective that a user's accuracies are."""
CONNECTED = "connected"
"""The column that tells whether a path leads from the network's input to its output."""


def pareto_front(
    table_or_frame: CostTable | pd.DataFrame,
    objectives: TargetLike | Iterable[TargetLike],
    maximise: str | Iterable[TargetLike] = (),
    *,
    accuracy: Accuracy | None = None,
) -> pd.DataFrame:
    """Return the architectures that no other beats: none is as good in every objective and better in one.

    The front is exact (Kung, Luccio and Preparata's algorithm [1]_, by moocore). Values closer than 1e-9 (relative) are
    ties; architectures that tie in every objective stand or fall together.

    Networks of a cost table without a path from input to output are left out: their output does not depend on their
    input, and on devices that skip what is of no use they cost next to nothing and would beat all others. A DataFrame
    has no such rows left out unless a column of booleans, ``connected``, tells which they are, as that of
    :func:`~hwnas_surrogate.trainers.predict_batches` does.

    Parameters
    ----------
    table_or_frame : CostTable or DataFrame
        Costs; or any table with the objectives as columns, predicted costs say.
    objectives : sequence of targets or column names
        Two or more (one, with ``accuracy``).
    maximise : sequence of targets or column names
        Those of the objectives of which more is better; of a cost table's targets, those whose metric says so
        (throughput, accuracy) are among them anyway.
    accuracy : Series or path-like, optional
        What the architectures of a cost table are worth: by architecture, or a CSV file as :func:`read_quality` reads
        it. It is one more objective, ``"accuracy"``, to be maximised, under every network config.

    Returns
    -------
    DataFrame
        The front in rising order of the first objective. Of a cost table: ``architecture, config`` and a column per
        objective; of a frame: its own columns and index. ``attrs`` tells ``n`` rows looked at, ``left_out``: how many
        more lack a value, ``cut_off``: how many have no path, and the ``objectives`` and those to ``maximise``.

    Raises
    ------
    InvalidInputError
        If there are fewer than two objectives, one stands twice, is no column of numbers or infinite, or what is to be
        maximised is no objective.
    NotInTableError
        If a target is not in the table.
    DataFileError
        If the file of accuracies is not readable.

    References
    ----------
    .. [1] Kung, Luccio and Preparata, "On finding the maxima of a set of vectors", Journal of the ACM 22, 1975.

    Examples
    --------
    >>> frame = pd.DataFrame({"latency": [1.0, 2.0, 3.0, 2.0], "accuracy": [60.0, 70.0, 65.0, 70.0]})
    >>> pareto_front(frame, ["latency", "accuracy"], maximise=["accuracy"]).index.to_list()
    [0, 1, 3]
    """
    names, larger = _names(objectives), _names(maximise)
    if isinstance(table_or_frame, CostTable):
        frame, names, larger = _of_table(table_or_frame, names, larger, accuracy)
        connected = table_or_frame.space.connected(table_or_frame.archs)
        frame, cut_off = frame[connected], int(np.count_nonzero(~connected))
    elif isinstance(table_or_frame, pd.DataFrame):
        if accuracy is not None:
            raise InvalidInputError("accuracy goes with a cost table; a DataFrame has it as a column, to be maximised.")
        frame, cut_off = _connected_rows(table_or_frame)
    else:
        raise InvalidInputError(f"a front is of a cost table or a DataFrame, got {type(table_or_frame).__name__}.")
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidInputError(f"a front needs two or more different objectives, got {names}.")
    for name in larger:
        if name not in names:
            raise unknown(InvalidInputError, "objective to maximise", name, names)
    values = np.column_stack([_column(frame, name) for name in names])
    rows = np.flatnonzero(~np.isnan(values).any(axis=1))
    best = _nondominated(values[rows], [name in larger for name in names])
    chosen = rows[best]
    front = frame.iloc[chosen[np.argsort(values[chosen, 0], kind="stable")]].copy()
    left_out = len(frame) - len(rows)
    front.attrs |= {"n": len(rows), "left_out": left_out, "cut_off": cut_off, "objectives": names, "maximise": larger}
    return front


def _connected_rows(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows that have a path, or do not tell, and how many others there are."""
    if CONNECTED not in frame or not pd.api.types.is_bool_dtype(frame[CONNECTED]):
        return frame, 0
    connected = frame[CONNECTED].to_numpy(bool, na_value=True)
    return frame[connected], int(np.count_nonzero(~connected))


def _names(given: Any) -> list[str]:
    single = isinstance(given, str) or not isinstance(given, Iterable)
    return [str(item) for item in ([given] if single else given)]


def _nondominated(values: Vector, larger: list[bool]) -> npt.NDArray[np.bool_]:
    from moocore import is_nondominated  # its C library takes a moment to load

    if not len(values):
        return np.empty(0, bool)
    # Only order counts, and ranks have the ties that the package means.
    ranks = np.column_stack([tied_ranks(column) for column in values.T]).astype(np.float64)
    best: npt.NDArray[np.bool_] = is_nondominated(ranks, maximise=larger, keep_weakly=True)
    return best


def _column(frame: pd.DataFrame, name: str) -> Vector:
    if name not in frame:
        raise unknown(InvalidInputError, "objective", name, map(str, frame.columns))
    values = reals(frame[name], f"{name} must be a column of numbers")
    if np.isinf(values).any():
        raise InvalidInputError(f"{name} must be finite (NaN where missing), got {values[np.isinf(values)][0]}.")
    return values


def _of_table(
    table: CostTable, names: list[str], larger: list[str], accuracy: Accuracy | None
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return a cost table's objectives as a frame, and their full names."""
    costs = [name for name in names if name != ACCURACY or accuracy is None]
    columns: dict[str, Any] = {"architecture": table.space.format_all(table.archs)}
    columns["config"] = [str(config) for config in table.row_configs]
    full: dict[str, str] = {ACCURACY: ACCURACY}
    for name in costs:
        found = pick_targets(name, table.targets)
        if len(found) > 1:
            raise InvalidInputError(f"an objective is one target, got {name!r}: name one of {list(map(str, found))}.")
        full[name] = str(found[0])
        if found[0].kind.larger_is_better and not {name, full[name]} & set(larger):
            larger = [*larger, name]
        columns[full[name]] = table.costs[:, table.targets.index(found[0])]
    if accuracy is not None:
        columns[ACCURACY] = quality_by_row(table, accuracy, "accuracy").to_numpy()
        names = names if ACCURACY in names else [*names, ACCURACY]
        larger = larger if ACCURACY in larger else [*larger, ACCURACY]
    return pd.DataFrame(columns), [full[name] for name in names], [full.get(name, name) for name in larger]


def quality_by_row(table: CostTable, quality: Accuracy, what: str = "quality") -> pd.Series[float]:
    """Return what each row's architecture is worth, NaN where that is not told.

    Parameters
    ----------
    table : CostTable
        Whose rows are asked for; an architecture counts under all its network configs.
    quality : Series or path-like
        By architecture, or a CSV file as :func:`read_quality` reads it.
    what : str, default="quality"
        What messages call it.

    Returns
    -------
    Series
        One value per row; its name is that of the Series or of the file's column.

    Raises
    ------
    InvalidInputError
        If it is neither, holds something else than numbers, an infinite one, or an architecture twice.
    InvalidArchitectureError
        If an entry of a Series' index is not one architecture.
    DataFileError
        If the file is not readable.
    """
    if isinstance(quality, pd.Series):
        name = quality.name
        batch = table.space.stack(quality.index)
        values = reals(quality, f"{what} must hold numbers")
        if np.isinf(values).any():
            raise InvalidInputError(f"{what} must be finite (NaN where unknown), got {values[np.isinf(values)][0]}.")
    elif isinstance(quality, (str, os.PathLike)):
        batch, values, name = _read_csv(quality, table.space)
    else:
        raise InvalidInputError(
            f"{what} must be a Series by architecture or the path of a CSV file, got {type(quality).__name__}."
        )
    codes = table.space.codes(batch)
    by_code = pd.Series(values, index=pd.Index(codes), name=name)
    if by_code.index.has_duplicates:
        twice = int(np.argmax(by_code.index.duplicated()))
        raise InvalidInputError(f"{what} tells the architecture {table.space.format(batch[twice])!r} twice.")
    found: pd.Series[float] = by_code.reindex(table.space.codes(table.archs)).reset_index(drop=True)
    return found


def read_quality(
    path: str | os.PathLike[str], space: str | SearchSpace = "nasbench201"
) -> tuple[npt.NDArray[np.int8], Vector]:
    r"""Read what architectures are worth (their accuracies, say) from a CSV file.

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
        NaN where the file has none.

    Raises
    ------
    DataFileError
        If the file is absent or of another form, or a line is wrong: no architecture of the space, one that stands
        twice, no number. The lines are named.

    Examples
    --------
    >>> import tempfile
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
    file = Path(path)
    if not file.is_file():
        raise DataFileError(f"{file} is a folder, not a file." if file.is_dir() else f"there is no file {file}.")
    wrong = WrongLines(file)
    archs: list[npt.NDArray[np.int8]] = []
    values: list[float] = []
    seen: dict[bytes, int] = {}
    try:
        batches = batches_of(file)
        header = [name.strip() for _, rows in itertools.islice(batches, 1) for name in rows[0]]
        key, column = _two_columns(file, header)
        for lines, texts in columns_of(header, batches, wrong):
            for at, (text, number) in enumerate(zip(texts[key], texts[column], strict=True)):
                if why := _read_line(text, number, column, space, int(lines[at]), seen, archs, values):
                    wrong.add(lines[[at]], why)
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(f"can't read {file}: {str(error).splitlines()[0][:200]}.") from error
    wrong.check()
    if not values:
        raise DataFileError(f"{file} holds no architecture below its header.")
    return np.concatenate(archs), np.array(values), column


def _two_columns(path: Path, header: list[str]) -> tuple[str, str]:
    check_once(path, header)
    others = [name for name in header if name != "architecture"]
    if "architecture" not in header or len(others) != 1:
        raise DataFileError(
            f"{path} must have a column 'architecture' and one of numbers, as in 'architecture,accuracy', "
            f"got {', '.join(header) or 'nothing'}."
        )
    return "architecture", others[0]


def _read_line(
    text: str,
    number: str,
    column: str,
    space: SearchSpace,
    line: int,
    seen: dict[bytes, int],
    archs: list[npt.NDArray[np.int8]],
    values: list[float],
) -> str:
    """Append what a line says, or return what is wrong with it."""
    try:
        arch = space.as_array(arch_from_text(text.strip()))
    except HWNASError as error:
        return str(error)
    if len(arch) != 1:
        return f"{text!r:.60} is {len(arch)} architectures, one is needed"
    if (before := seen.setdefault(arch.tobytes(), line)) != line:
        return f"the architecture {text!r:.60} stands in line {before} too"
    value = number_of(number)
    if not math.isfinite(value) and number.strip().lower() not in MISSING:
        return f"{column} must be a number, or empty, got {number!r:.60}"
    archs.append(arch)
    values.append(value)
    return ""
