"""Correlation of devices' costs over the same architectures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hwnas_surrogate.data import CostTable, TargetLike
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.ranks import tied_ranks

__all__ = ["METHODS", "Method", "comparable", "correlation"]

Method = Literal["kendall", "spearman", "pearson", "pearson_log"]
Vector: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.intp]
METHODS: tuple[Method, ...] = ("kendall", "spearman", "pearson", "pearson_log")

_FEW_ROWS = 2000
"""Up to this many rows that two targets have in common, Kendall's tau comes from the signs of pairs of rows, for all
targets at once."""
_AT_ONCE = 1 << 20
"""Pairs of targets and common rows that are compared at once."""


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
    chosen = checked_table("correlation", table).select(targets)
    names = list(map(str, chosen.targets))
    values = np.array([comparable(costs, method) for costs in chosen.costs.T]).reshape(len(names), len(table))
    complete = not np.isnan(values).any()
    if method == "spearman" and complete:
        matrix = _pearson(stats.rankdata(values, axis=1))
    elif method == "kendall":
        matrix = _kendall(values)
    else:
        matrix = _pearson(values) if complete else _over_common_rows(values, ranked=method == "spearman")
    return pd.DataFrame(matrix, index=names, columns=names)


def comparable(costs: Vector, method: Method) -> Vector:
    """Return a target's costs as ranks or logarithms, depending on the method, shape (n,); NaN where missing."""
    values: Vector = costs.copy()
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
    having = (~np.isnan(values)).sum(axis=0).astype(np.float64)
    common = float((having**2).sum()) / max(n_targets, 1) ** 2
    return _by_pairs_of_rows(values) if common * n <= _FEW_ROWS**2 else _pair_by_pair(values)


def _by_pairs_of_rows(values: Vector) -> Vector:
    """Return Kendall's tau-b of all targets at once, from the ranks of each, shape (targets, n); NaN where missing.

    Each pair of rows has a sign for each target: which of the two costs more, 0 if they tie or one is missing. Two
    targets' concordant less discordant pairs are the product of their signs. The work grows with rows^2 and, for each
    row, with the square of the number of targets that have it, but all of it is matrix products.
    """
    n_targets, n = values.shape
    known = ~np.isnan(values)
    ranks = np.where(known, values, 0.0).astype(np.float32)
    common = known.astype(np.float32) @ known.T.astype(np.float32)
    common = common.astype(np.float64)
    concordance, untied = np.zeros((n_targets, n_targets)), common * (common - 1) / 2
    for row in range(n - 1):
        having = np.flatnonzero(known[:, row])
        both = known[having, row + 1 :]
        later = np.flatnonzero(both.any(axis=0))
        both = both[:, later]
        signs = np.sign(ranks[np.ix_(having, row + 1 + later)] - ranks[having, row, None]) * both
        pairs = np.ix_(having, having)
        concordance[pairs] += signs @ signs.T
        ties = both & (signs == 0)
        tying = np.flatnonzero(ties.any(axis=1))
        if len(tying):
            untied[np.ix_(having[tying], having)] -= ties[tying].astype(np.float32) @ both.T.astype(np.float32)
    untied[untied == 0] = np.nan
    return np.asarray(np.clip(concordance / np.sqrt(untied * untied.T), -1.0, 1.0))


def _over_common_rows(values: Vector, ranked: bool) -> Vector:
    """Return Pearson's r of all targets over the rows that both have, from values of shape (targets, n); NaN: missing.

    If ``ranked``, it is that of the ranks among those rows: Spearman's rho. The work grows with the number of rows that
    two targets have in common, over all pairs of targets.
    """
    n_targets, n = values.shape
    matrix = np.full((n_targets, n_targets), np.nan)
    known = ~np.isnan(values)
    size = max(1, _AT_ONCE // max(n, 1))
    correlated = _rank_correlations if ranked else _correlations
    for target in range(n_targets):
        rows = np.flatnonzero(known[target])
        rows = rows[np.argsort(values[target, rows], kind="stable")]
        for start in range(target, n_targets, size):
            others, at = np.nonzero(known[start : start + size, rows])
            if not len(others):
                continue
            starts = np.flatnonzero(np.diff(others, prepend=-1))
            group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(others)))
            first, second = values[target, rows[at]], values[start + others, rows[at]]
            found = np.clip(correlated(group, starts, first, second), -1.0, 1.0)
            matrix[target, start + others[starts]] = matrix[start + others[starts], target] = found
    return matrix


def _correlations(group: Rows, starts: Rows, first: Vector, second: Vector) -> Vector:
    """Return Pearson's r in each of g groups: (m,) numbers of groups in ascending order -> (g,)."""
    products = _standardized_in(group, starts, first) * _standardized_in(group, starts, second)
    return np.asarray(np.add.reduceat(products, starts))


def _rank_correlations(group: Rows, starts: Rows, first: Vector, second: Vector) -> Vector:
    """Return Spearman's rho in each of g groups, of ranks that rise within each group in ``first``."""
    n = np.diff(starts, append=len(group))
    order = np.argsort(group * (1 + second.max()) + second)
    middle = (n + 1) / 2
    by_first = _ranks_in(group, starts, first) - middle[group]
    by_second = np.empty(len(group))
    by_second[order] = _ranks_in(group, starts, second[order]) - middle[group]
    # Sums of multiples of a quarter are exact.
    squares = np.add.reduceat(by_first**2, starts) * np.add.reduceat(by_second**2, starts)
    squares[squares == 0] = np.nan
    return np.asarray(np.add.reduceat(by_first * by_second, starts) / np.sqrt(squares))


def _ranks_in(group: Rows, starts: Rows, ordered: Vector) -> Vector:
    """Return the ranks within groups of values that rise in each, ties averaged, (m,)."""
    runs = np.flatnonzero((np.diff(ordered, prepend=-1) != 0) | (np.diff(group, prepend=-1) != 0))
    lengths = np.diff(runs, append=len(ordered))
    return np.repeat(runs - starts[group[runs]] + (lengths + 1) / 2, lengths)


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
