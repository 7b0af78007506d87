"""Correlation of devices' costs over the same architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

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
"""Up to this many rows, rank correlations come from the signs of all pairs of rows, for all targets at once."""
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
    elif len(table) > _FEW_ROWS:
        matrix = _pair_by_pair(values, stats.kendalltau if method == "kendall" else stats.spearmanr)
    else:
        matrix = _kendall(values) if method == "kendall" else _spearman(values)
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

    A target's ranks differ from pair to pair, since they count the rows that both have. About their mean, they are
    half the sum of the signs of the differences to those rows: a matrix product for many pairs at once.
    """
    n_targets, n = values.shape
    ranks, known = values.astype(np.float32), (~np.isnan(values)).astype(np.float32)
    size = max(1, min(n_targets, _AT_ONCE // (n * n), int((_AT_ONCE / n) ** 0.5)))
    blocks = [slice(start, start + size) for start in range(0, n_targets, size)]
    matrix = np.empty((n_targets, n_targets))
    for number, some in enumerate(blocks):
        signs = np.nan_to_num(np.sign(ranks[some, :, None] - ranks[some, None, :]))
        for others in blocks[: number + 1]:
            other_signs = np.nan_to_num(np.sign(ranks[others, :, None] - ranks[others, None, :]))
            # Shape (some, others, n): ranks of a target about their mean among the rows that each other one has too.
            both = known[some, None] * known[None, others]
            first = both * (known[others] @ signs.transpose(0, 2, 1))
            second = both * (known[some] @ other_signs.transpose(0, 2, 1)).transpose(1, 0, 2)
            lengths = np.sqrt(_dots(first, first) * _dots(second, second))
            lengths[lengths == 0] = np.nan
            matrix[some, others] = _dots(first, second) / lengths
            matrix[others, some] = matrix[some, others].T
    return np.clip(matrix, -1.0, 1.0)


def _dots(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> Vector:
    """Return sums of products over the last axis of whole numbers, exact, shape (i, j, n)."""
    return np.asarray((first * second).sum(axis=2, dtype=np.float64))


def _pair_by_pair(values: Vector, of: Callable[[Vector, Vector], Any]) -> Vector:
    """Return scipy's correlation of each pair of targets, from ranks of shape (targets, n); NaN where missing."""
    matrix = np.full((len(values), len(values)), np.nan)
    for row, first in enumerate(values):
        for column, second in enumerate(values[: row + 1]):
            both = ~np.isnan(first + second)
            pair = first[both], second[both]
            # scipy warns of constants and of too few rows, and returns NaN.
            if both.sum() > 1 and all(np.ptp(part) > 0 for part in pair):
                matrix[row, column] = matrix[column, row] = of(*pair).statistic
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
