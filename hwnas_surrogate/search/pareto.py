"""Exact Pareto fronts of costs, and of costs and the user's accuracies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.ranks import tied_ranks
from hwnas_surrogate.reals import reals
from hwnas_surrogate.search.quality import Accuracy, quality_by_row

__all__ = ["ACCURACY", "nondominated", "pareto_front"]

Vector = npt.NDArray[np.float64]

ACCURACY = "accuracy"
"""The name of the objective of the user's accuracies."""
CONNECTED = "connected"
"""The column of whether the network has a path from input to output."""


def pareto_front(
    table_or_frame: CostTable | pd.DataFrame,
    objectives: TargetLike | Iterable[TargetLike],
    maximise: str | Iterable[TargetLike] = (),
    *,
    accuracy: Accuracy | None = None,
) -> pd.DataFrame:
    """Return the networks that no other dominates: none is as good in every objective and better in one.

    The front is exact (Kung, Luccio and Preparata's algorithm [1]_, by moocore). Values closer than 1e-9 (relative) are
    ties; networks that tie in every objective are all on the front or all off it.

    Networks of a cost table without a path from input to output are left out. Their output does not depend on their
    input, and on devices that skip unused layers they cost almost nothing, so that they would dominate all others. Such
    rows of a DataFrame are left out if it has a boolean column ``connected``, as that of
    :func:`~hwnas_surrogate.prediction.predict_batches`.

    Parameters
    ----------
    table_or_frame : CostTable or DataFrame
        Costs; or any frame with the objectives as columns, predicted costs for example.
    objectives : sequence of targets or column names
        Two or more (one, with ``accuracy``).
    maximise : sequence of targets or column names
        The objectives of which more is better. A cost table's targets of such metrics (throughput, accuracy) are
        maximised anyway.
    accuracy : Series, CostTable or path-like, optional
        Accuracies of the networks of a cost table: by architecture, or by the name of a graph, or a CSV file as for
        :func:`read_quality`, under every network config; or a benchmark's accuracies, as `load_quality` gives them or
        in a file that `convert_accuracy` wrote. They are one more objective, ``"accuracy"``, which is maximised.

    Returns
    -------
    DataFrame
        The front in rising order of the first objective. Of a cost table: ``architecture, config`` (of graphs
        ``model``) and a column per objective; of a frame: its own columns and index. ``attrs`` holds the numbers of
        rows compared (``n``), without a value (``left_out``) and without a path (``cut_off``), the ``objectives`` and
        those to ``maximise``.

    Raises
    ------
    InvalidInputError
        If there are fewer than two objectives, one is repeated, is no column of numbers or infinite, or a name in
        ``maximise`` is no objective.
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
        connected = table_or_frame.batch.connected
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
    best = nondominated(values[rows], [name in larger for name in names])
    chosen = rows[best]
    front = frame.iloc[chosen[np.argsort(values[chosen, 0], kind="stable")]].copy()
    left_out = len(frame) - len(rows)
    front.attrs |= {"n": len(rows), "left_out": left_out, "cut_off": cut_off, "objectives": names, "maximise": larger}
    return front


def _connected_rows(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows with a path, or of unknown connection, and the number of the others."""
    if CONNECTED not in frame or not pd.api.types.is_bool_dtype(frame[CONNECTED]):
        return frame, 0
    connected = frame[CONNECTED].to_numpy(bool, na_value=True)
    return frame[connected], int(np.count_nonzero(~connected))


def _names(given: Any) -> list[str]:
    single = isinstance(given, str) or not isinstance(given, Iterable)
    return [str(item) for item in ([given] if single else given)]


def nondominated(values: Vector, larger: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """Return which rows no other dominates, shape (n,).

    Parameters
    ----------
    values : ndarray of float, shape (n, k)
        Values closer than 1e-9 (relative) are ties.
    larger : sequence of k bool
        Whether larger is better.
    """
    from moocore import is_nondominated  # its C library is slow to load

    if not len(values):
        return np.empty(0, bool)
    # Only the order matters, and ranks have the package's ties.
    ranks = np.column_stack([tied_ranks(column) for column in values.T]).astype(np.float64)
    if values.shape[1] == 1:
        return np.asarray(ranks[:, 0] == (ranks.max() if larger[0] else ranks.min()))
    best: npt.NDArray[np.bool_] = is_nondominated(ranks, maximise=list(larger), keep_weakly=True)
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
    columns: dict[str, Any] = {"model": table.names}
    if table.space is not None:
        columns = {"architecture": table.names, "config": list(map(str, table.row_configs))}
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
