"""Ranks of values with ties: costs that differ only by floating-point noise share a rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.reals import reals

__all__ = ["TIE", "tied_ranks"]

TIE = 1e-9
"""Costs closer than this, relative to the larger one, are ties."""


def tied_ranks(values: npt.ArrayLike, relative: float = TIE) -> npt.NDArray[np.int64]:
    """Rank values so that those closer than ``relative`` (of the larger) share a rank.

    Sorted neighbours are compared, so a chain of close values is one rank.

    Parameters
    ----------
    values : array-like of float, shape (n,)
    relative : float, default=1e-9

    Returns
    -------
    ndarray of int, shape (n,)
        0 for the smallest.

    Examples
    --------
    >>> tied_ranks([3.0, 1.0, 3.0 + 1e-12]).tolist()
    [1, 0, 1]
    """
    array = reals(values, "values must be numbers")
    order = np.argsort(array, kind="stable")
    ordered = array[order]
    larger = np.maximum(np.abs(ordered[1:]), np.abs(ordered[:-1]))
    steps = np.diff(ordered) > relative * larger
    ranks = np.empty(len(array), np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(steps)])[: len(array)]
    return ranks
