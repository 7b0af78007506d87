"""Correlation of devices' costs over the same architectures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hwnas_surrogate.data import CostTable, Target, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.ranks import tied_ranks

__all__ = ["METHODS", "Method", "comparable", "correlation"]

Method = Literal["kendall", "spearman", "pearson", "pearson_log"]
Vector: TypeAlias = npt.NDArray[np.float64]
METHODS: tuple[Method, ...] = ("kendall", "spearman", "pearson", "pearson_log")

_FEW_ROWS = 2000
"""Up to this many rows, Kendall's tau comes from the signs of all pairs of rows, for all targets at once."""
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
    elif method in ("pearson", "pearson_log"):
        matrix = _pearson(values)
    elif method == "spearman":
        matrix = _spearman(values)
    else:
        matrix = _kendall(values) if len(table) <= _FEW_ROWS else _pair_by_pair(values)
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
    untied[untied == 0] = np.nan
    return np.clip(concordance / np.sqrt(untied * untied.T), -1.0, 1.0)


def _spearman(values: Vector) -> Vector:
    """Return Spearman's rho of all targets, from the ranks of each, shape (targets, n); NaN where missing.

    A target's ranks differ from pair to pair, since they count the rows that both have.
    """
    n_targets, n = values.shape
    known = ~np.isnan(values)
    size = max(1, int((_AT_ONCE / max(n, 1)) ** 0.5))
    blocks = [slice(start, start + size) for start in range(0, n_targets, size)]
    matrix = np.empty((n_targets, n_targets))
    for number, some in enumerate(blocks):
        for others in blocks[: number + 1]:
            first = _ranks_among(values[some], known[others])
            second = _ranks_among(values[others], known[some]).transpose(1, 0, 2)
            lengths = np.sqrt(_dots(first, first) * _dots(second, second))
            lengths[lengths == 0] = np.nan
            matrix[some, others] = _dots(first, second) / lengths
            matrix[others, some] = matrix[some, others].T
    return np.clip(matrix, -1.0, 1.0)


def _ranks_among(values: Vector, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return twice the ranks of each target about their mean, among the rows that each other target has too.

    Shape (targets, others, n); 0 where one is missing. Each target is sorted once: the rank of a row is the number of
    common rows before it, less those after it.
    """
    ranks = np.zeros((len(values), *known.shape), np.float32)
    for target, of_target in zip(values, ranks, strict=True):
        order = np.argsort(target, kind="stable")[: np.count_nonzero(~np.isnan(target))]
        if not len(order):
            continue
        is_new = np.concatenate([[True], np.diff(target[order]) > 0])
        both = known[:, order]
        inside = np.add.reduceat(both, np.flatnonzero(is_new), axis=1, dtype=np.int32)  # rows of each distinct value
        until = np.cumsum(inside, axis=1, dtype=np.int32)
        of_value = (2 * until - inside - until[:, -1:]).astype(np.float32)
        of_target[:, order] = of_value[:, np.cumsum(is_new) - 1] * both
    return ranks


def _dots(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> Vector:
    """Return sums of products over the last axis of whole numbers, exact, shape (i, j, n)."""
    return np.asarray((first * second).sum(axis=2, dtype=np.float64))


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
    """Return Pearson's r of all targets over the rows that both have, from values of shape (targets, n)."""
    known = ~np.isnan(values)
    if known.all():
        deviations = _standardized(values, known)
        return np.clip(deviations @ deviations.T, -1.0, 1.0) if values.size else np.full((len(values),) * 2, np.nan)
    matrix = np.empty((len(values), len(values)))
    for row in range(len(values)):
        both = known[row] & known[row:]
        first, second = _standardized(np.broadcast_to(values[row], both.shape), both), _standardized(values[row:], both)
        matrix[row, row:] = matrix[row:, row] = np.clip((first * second).sum(axis=1), -1.0, 1.0)
    return matrix


def _standardized(values: Vector, chosen: npt.NDArray[np.bool_]) -> Vector:
    """Return deviations from the mean of the chosen values of each row, of length 1; NaN where they are all equal."""
    least = np.min(values, axis=1, where=chosen, initial=np.inf)[:, None]
    most = np.max(values, axis=1, where=chosen, initial=-np.inf)[:, None]
    spread = np.where(most > least, most - least, np.nan)
    # From 0 to 1, so that squares of large costs stay finite.
    scaled = np.where(chosen, (values - least) / spread, 0.0)
    means = scaled.sum(axis=1, keepdims=True) / np.maximum(chosen.sum(axis=1, keepdims=True), 1)
    deviations = np.where(chosen, scaled - means, 0.0)
    lengths = np.sqrt((deviations**2).sum(axis=1, keepdims=True))
    return np.asarray(deviations / np.where(lengths > 0, lengths, np.nan))
