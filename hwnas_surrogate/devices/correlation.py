"""Correlation of devices' costs over the same architectures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.sparse import csr_array

from hwnas_surrogate.data import CostTable, Target, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.ranks import tied_ranks

__all__ = ["METHODS", "Method", "comparable", "correlation"]

Method = Literal["kendall", "spearman", "pearson", "pearson_log"]
Vector: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.intp]
METHODS: tuple[Method, ...] = ("kendall", "spearman", "pearson", "pearson_log")

_FEW_ROWS = 2000
"""Up to this many rows, Kendall's tau comes from the signs of all pairs of rows, for all targets at once."""
_SPARSE = 0.02
"""Below this fraction of pairs of rows in common, sparse products are faster than dense ones."""
_FEW_PAIRS = 20_000
"""Of more rows, sparse products are faster than pair by pair up to so many pairs of rows in common."""
_AT_ONCE = 1 << 23
"""Signs or ranks held at once: 32 MB."""


def correlation(
    table: CostTable,
    method: Method = "kendall",
    targets: TargetLike | Iterable[TargetLike] | None = None,
) -> pd.DataFrame:
    """Correlate the targets of a table, pairwise over the rows where both have a cost.

    Parameters
    ----------
    table : CostTable
        The costs; for FBNet's block table, ``table.tabulate(archs)``.
    method : {"kendall", "spearman", "pearson", "pearson_log"}, default="kendall"
        Kendall's tau-b or Spearman's rho, where costs closer than 1e-9 (relative) are ties, or Pearson's r of the costs
        or of their logarithms (costs of 0 are left out then).
    targets : target or sequence of targets, optional
        All if None.

    Returns
    -------
    DataFrame
        Symmetric, indexed both ways by ``device/metric``; NaN where two targets have fewer than two rows in common or
        one is constant there.

    Raises
    ------
    InvalidInputError
        If the method is unknown or the table is no cost table.
    NotInTableError
        If a target is not in the table.
    """
    if method not in METHODS:
        raise unknown(InvalidInputError, "correlation", method, METHODS)
    picked = pick_targets(targets, checked_table("correlation", table).targets)
    names = list(map(str, picked))
    values = np.array([comparable(table, target, method) for target in picked]).reshape(len(picked), len(table))
    complete = not np.isnan(values).any()
    if method == "spearman" and complete:
        matrix = _pearson(stats.rankdata(values, axis=1))
    elif method == "kendall":
        matrix = _kendall(values)
    else:
        matrix = _pearson(values) if complete else _over_common_rows(values, ranked=method == "spearman")
    return pd.DataFrame(matrix, index=names, columns=names)


def comparable(table: CostTable, target: Target, method: Method) -> npt.NDArray[np.float64]:
    """Return a target's costs as ranks or logarithms, depending on the method, shape (n,); NaN where missing."""
    values: npt.NDArray[np.float64] = table.costs[:, table.targets.index(target)].copy()
    known = ~np.isnan(values)
    if method in ("kendall", "spearman"):
        values[known] = tied_ranks(values[known])
    elif method == "pearson_log":
        values[values == 0] = np.nan
        values = np.log(values)
    return values


def _kendall(values: Vector) -> Vector:
    """Return Kendall's tau-b of all targets, from the ranks of each, shape (targets, n); NaN where missing."""
    n_targets, n = values.shape
    known = (~np.isnan(values)).astype(np.float32)
    common = (known @ known.T).astype(np.float64)
    # Pairs of rows that two targets have in common, on average over the pairs of targets.
    pairs = float((common * (common - 1)).sum()) / 2 / max(n_targets, 1) ** 2
    if pairs < (_SPARSE * n * (n - 1) / 2 if n <= _FEW_ROWS else _FEW_PAIRS):
        return _few_in_common(values)
    return _all_pairs_of_rows(values) if n <= _FEW_ROWS else _pair_by_pair(values)


def _few_in_common(values: Vector) -> Vector:
    """Return Kendall's tau-b as :func:`_all_pairs_of_rows` does, by products of sparse matrices.

    The work grows with the number of pairs of rows that two targets have in common, over all pairs of targets.
    """
    n_targets, n = values.shape
    concordance, untied = np.zeros((n_targets, n_targets)), np.zeros((n_targets, n_targets))
    known = ~np.isnan(values)
    signs = list[npt.NDArray[np.float32]]()
    places = list[npt.NDArray[np.int64]]()
    waiting, first = 0, 0
    for row in range(n):
        having = np.flatnonzero(known[:, row])
        which, later = np.nonzero(known[having, row + 1 :])
        target = having[which]
        signs.append(np.sign(values[target, row + 1 + later] - values[target, row]).astype(np.float32))
        places.append(np.stack([target, (row - first) * n + later]))
        waiting += len(target)
        if waiting > _AT_ONCE or (row + 1 - first) * n > _AT_ONCE or row == n - 1:
            ordered, (targets, columns) = np.concatenate(signs), np.concatenate(places, axis=1)
            sparse = csr_array((ordered, (targets, columns)), (n_targets, (row + 1 - first) * n))
            both = csr_array((np.ones_like(sparse.data), sparse.indices, sparse.indptr), sparse.shape)
            concordance += (sparse @ sparse.T).toarray()
            untied += (abs(sparse) @ both.T).toarray()
            signs, places, waiting, first = [], [], 0, row + 1
    return _tau(concordance, untied)


def _tau(concordance: Vector, untied: Vector) -> Vector:
    """Return tau-b from concordant less discordant pairs, and from the pairs of rows that do not tie in the first."""
    untied[untied == 0] = np.nan
    return np.clip(concordance / np.sqrt(untied * untied.T), -1.0, 1.0)


def _all_pairs_of_rows(values: Vector) -> Vector:
    """Return Kendall's tau-b of all targets at once, from the ranks of each, shape (targets, n); NaN where missing.

    Each pair of rows has a sign for each target: which of the two costs more, 0 if they tie or one is missing. Two
    targets' concordant less discordant pairs are the product of their signs. The work grows with targets^2 n^2, but
    all of it is matrix products.
    """
    n_targets, n = values.shape
    concordance, untied = np.zeros((n_targets, n_targets)), np.zeros((n_targets, n_targets))
    ranks, known = values.astype(np.float32), ~np.isnan(values)
    complete = bool(known.all())
    lag = 1
    while lag < n:
        lags: list[int] = []
        width = 0
        while lag < n and (not lags or width * n_targets < _AT_ONCE):
            lags.append(lag)
            width += n - lag
            lag += 1
        signs = np.concatenate([np.sign(ranks[:, by:] - ranks[:, :-by]) for by in lags], axis=1)
        if complete:
            untied += np.abs(signs).sum(axis=1, dtype=np.float64)[:, None]
        else:
            both = np.concatenate([known[:, by:] & known[:, :-by] for by in lags], axis=1).astype(np.float32)
            signs[both == 0] = 0.0
            untied += np.abs(signs) @ both.T
        concordance += signs @ signs.T
    return _tau(concordance, untied)


def _over_common_rows(values: Vector, ranked: bool) -> Vector:
    """Return Pearson's r of all targets over the rows that both have, from values of shape (targets, n); NaN: missing.

    If ``ranked``, it is that of the ranks among those rows: Spearman's rho. The work grows with the number of rows that
    two targets have in common, over all pairs of targets.
    """
    n_targets, n = values.shape
    matrix = np.full((n_targets, n_targets), np.nan)
    known = ~np.isnan(values)
    size = max(1, _AT_ONCE // max(n, 1) // 8)
    for target in range(n_targets):
        rows = np.flatnonzero(known[target])
        for start in range(target, n_targets, size):
            others, at = np.nonzero(known[start : start + size, rows])
            if not len(others):
                continue
            starts = np.flatnonzero(np.diff(others, prepend=-1))
            group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(others)))
            first, second = values[target, rows[at]], values[start + others, rows[at]]
            if ranked:
                first, second = _ranks_in(group, starts, first), _ranks_in(group, starts, second)
            products = _standardized_in(group, starts, first) * _standardized_in(group, starts, second)
            found = np.clip(np.add.reduceat(products, starts), -1.0, 1.0)
            matrix[target, start + others[starts]] = matrix[start + others[starts], target] = found
    return matrix


def _ranks_in(group: Rows, starts: Rows, values: Vector) -> Vector:
    """Return the ranks of values within their group, ties averaged: (m,) numbers of groups in ascending order."""
    order = np.lexsort((values, group))
    ordered, of = values[order], group[order]
    is_new = np.concatenate([[True], (np.diff(ordered) != 0) | (np.diff(of) != 0)])
    runs = np.flatnonzero(is_new)
    lengths = np.diff(runs, append=len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(runs - starts[of[runs]] + (lengths + 1) / 2, lengths)
    return ranks


def _standardized_in(group: Rows, starts: Rows, values: Vector) -> Vector:
    """Return deviations from the mean of each group, of length 1; NaN where a group's values are all equal."""
    least = np.minimum.reduceat(values, starts)
    spread = np.maximum.reduceat(values, starts) - least
    spread[spread == 0] = np.nan
    # From 0 to 1, so that squares of large costs stay finite.
    scaled = (values - least[group]) / spread[group]
    scaled -= (np.add.reduceat(scaled, starts) / np.diff(starts, append=len(values)))[group]
    return np.asarray(scaled / np.sqrt(np.add.reduceat(scaled**2, starts))[group])


def _pair_by_pair(values: Vector) -> Vector:
    """Return Kendall's tau-b of each pair of targets, from ranks of shape (targets, n); NaN where missing."""
    matrix = np.full((len(values), len(values)), np.nan)
    for row, first in enumerate(values):
        for column, second in enumerate(values[: row + 1]):
            both = ~np.isnan(first + second)
            pair = first[both], second[both]
            # scipy warns of constants and of too few rows, and returns NaN.
            if both.sum() > 1 and all(np.ptp(part) > 0 for part in pair):
                matrix[row, column] = matrix[column, row] = stats.kendalltau(*pair).statistic
    return matrix


def _pearson(values: Vector) -> Vector:
    """Return Pearson's r of all targets, from values of shape (targets, n) without NaN."""
    if not values.size:
        return np.full((len(values),) * 2, np.nan)
    least = values.min(axis=1, keepdims=True)
    spread = values.max(axis=1, keepdims=True) - least
    # From 0 to 1, so that squares of large costs stay finite.
    scaled = (values - least) / np.where(spread > 0, spread, np.nan)
    deviations = scaled - scaled.mean(axis=1, keepdims=True)
    deviations /= np.sqrt((deviations**2).sum(axis=1, keepdims=True))
    return np.asarray(np.clip(deviations @ deviations.T, -1.0, 1.0))
