"""Confidence intervals of correlations, for every pair of targets."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from numbers import Real
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.devices.correlation import METHODS, Method, comparable
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.reals import huge_unit

__all__ = ["correlation_interval", "kendall_interval"]

Vector = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Ranked: TypeAlias = tuple[Integers, Integers, Integers]

_FEWEST = 4
"""Fewer rows have no interval: their variance can't be estimated."""


def correlation_interval(
    table: CostTable,
    method: Method = "kendall",
    targets: TargetLike | Iterable[TargetLike] | None = None,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 200,
    random_state: RandomState = 0,
) -> pd.DataFrame:
    """Correlate the targets of a table pair by pair, with confidence intervals.

    The architectures are treated as a random sample. Intervals of Kendall's tau-b come from its asymptotic variance
    with ties [1]_ (without ties that of [2]_, section 8.3, up to terms that vanish with n), by exact counting in O(n
    log n). They are too narrow below about 30 rows, and have width 0 if all pairs are concordant. The other
    correlations have percentile intervals from a bootstrap over the rows [3]_.

    Parameters
    ----------
    table : CostTable
        The costs; for FBNet's block table, ``table.tabulate(archs)``.
    method : {"kendall", "spearman", "pearson", "pearson_log"}, default="kendall"
        As in :func:`correlation`.
    targets : target or sequence of targets, optional
        All if None.
    confidence : float, default=0.95
        Coverage, between 0 and 1.
    n_bootstrap : int, default=200
        Resamples, at least 20; Kendall's tau needs none.
    random_state : int or Generator, default=0
        Seed of the resamples.

    Returns
    -------
    DataFrame
        One row per pair of targets: ``first, second`` (``device/metric``), ``n`` (rows where both have a cost),
        ``value`` (as from :func:`correlation`), ``low, high``. Bounds are NaN where the value is, and below 4 rows.

    Raises
    ------
    InvalidInputError
        If the method is unknown, an argument is outside what is allowed, or the table is no cost table.
    NotInTableError
        If a target is not in the table.

    References
    ----------
    .. [1] Brown and Benedetti, "Sampling behavior of tests for correlation in two-way contingency tables", Journal of
       the American Statistical Association 72, 1977.
    .. [2] Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods", 3rd edition, 2014.
    .. [3] Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Examples
    --------
    >>> costs = [[n, n + 3 * (n % 4)] for n in range(40)]
    >>> table = CostTable("nasbench201", list(range(40)), costs, ["cpu/latency", "gpu/latency"])
    >>> correlation_interval(table)[["n", "value", "low", "high"]].round(2).to_dict("records")
    [{'n': 40, 'value': 0.87, 'low': 0.83, 'high': 0.91}]
    """
    if method not in METHODS:
        raise unknown(InvalidInputError, "correlation", method, METHODS)
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0 < float(confidence) < 1:
        raise InvalidInputError(f"confidence must be between 0 and 1, got {confidence!r}; 0.95 is 95 %.")
    if isinstance(n_bootstrap, bool) or not isinstance(n_bootstrap, (int, np.integer)) or n_bootstrap < 20:
        raise InvalidInputError(f"n_bootstrap must be an integer of at least 20, got {n_bootstrap!r}.")
    rng = as_generator(random_state)
    picked = pick_targets(targets, checked_table("correlation_interval", table).targets)
    values = np.array([comparable(costs, method) for costs in table.select(picked).costs.T]).reshape(len(picked), -1)
    pairs = list(combinations(range(len(picked)), 2))
    results: dict[tuple[int, int], tuple[float, ...]] = {}
    for common, group in _by_common_rows(~np.isnan(values), pairs).items():
        rows = np.flatnonzero(np.frombuffer(common, bool))
        if method == "kendall":
            ranked = {column: _ranked(values[column, rows]) for column in {column for pair in group for column in pair}}
            results |= {(first, second): _kendall(ranked[first], ranked[second], confidence) for first, second in group}
        else:
            by_rank = method == "spearman"
            results |= _bootstrapped(values[:, rows], group, by_rank, confidence, int(n_bootstrap), rng)
    names = list(map(str, picked))
    rows_of_pairs = [(names[first], names[second], *results[first, second]) for first, second in pairs]
    frame = pd.DataFrame(rows_of_pairs, columns=["first", "second", "n", "value", "low", "high"])
    return frame.astype({"n": int, "value": float, "low": float, "high": float})


def _by_common_rows(known: npt.NDArray[np.bool_], pairs: list[tuple[int, int]]) -> dict[bytes, list[tuple[int, int]]]:
    """Group pairs of targets by their common rows, (t, n) -> {bytes of the mask: pairs}."""
    groups: dict[bytes, list[tuple[int, int]]] = {}
    for first, second in pairs:
        groups.setdefault((known[first] & known[second]).tobytes(), []).append((first, second))
    return groups


# -- Kendall's tau ----------------------------------------------------------------------------------------


def kendall_interval(first: Vector, second: Vector, confidence: float = 0.95) -> tuple[int, float, float, float]:
    """Return n, Kendall's tau-b and its bounds for two vectors without NaN, shape (n,), whose equal values are ties."""
    return _kendall(_ranked(first), _ranked(second), confidence)


def _kendall(first: Ranked, second: Ranked, confidence: float) -> tuple[int, float, float, float]:
    ties_first, ties_second = first[1], second[1]
    n, nan = len(ties_first), float("nan")
    # Numbers of untied pairs, each counted twice.
    untied_first, untied_second = float(n * n - ties_first.sum()), float(n * n - ties_second.sum())
    if n < 2 or not untied_first or not untied_second:
        return n, nan, nan, nan
    signs = _agreement(first, second)
    pairs = np.sqrt(untied_first * untied_second)
    tau = float(np.clip(signs.sum() / pairs, -1, 1))
    if n < _FEWEST:
        return n, tau, nan, nan
    # Brown and Benedetti's formula with one cell per row, as a sum of squared deviations.
    influence = 2 * pairs * signs + tau * (ties_first * untied_second + ties_second * untied_first)
    error = float(np.sqrt(((influence - influence.mean()) ** 2).sum())) / pairs**2
    reach = float(ndtri((1 + confidence) / 2)) * error
    return n, tau, max(float(tau - reach), -1.0), min(float(tau + reach), 1.0)


def _agreement(first: Ranked, second: Ranked) -> Integers:
    """Return for each row the number of concordant minus discordant rows, shape (n,).

    It is the sum over j of sign(a_i - a_j) sign(b_i - b_j), in O(n log n) instead of O(n^2). With sign(x) = [x > 0] +
    [x >= 0] - 1, the product expands into counts of rows that are below in both, below in one and tied in the other,
    and tied in both.

    >>> a, b = np.array([1, 2, 3]), np.array([1, 3, 2])  # rows 2 and 3 are discordant
    >>> _agreement(_ranked(a), _ranked(b)).tolist()
    [2, 0, 0]
    """
    (a, ties_a, below_a), (b, ties_b, below_b) = first, second
    n = len(a)
    # Sorted by a, ties by descending b: a row that precedes another with the same a is never below it in b.
    order = np.argsort(a * n - b)
    both_below = np.empty(n, np.int64)
    both_below[order] = _smaller_before(b[order])
    signs: Integers = 4 * both_below - (2 * below_a + ties_a) - (2 * below_b + ties_b) + n
    tied_a, tied_b = (ties_a > 1).any(), (ties_b > 1).any()
    if not (tied_a or tied_b):
        return signs + 1  # each row ties with itself in both
    _, ties, below = _ranked(a * n + b)
    signs += ties
    if tied_a:
        signs += 2 * (below - below_a)
    if tied_b:
        signs += 2 * (_ranked(b * n + a)[2] - below_b)
    return signs


def _ranked(values: npt.NDArray[np.generic]) -> Ranked:
    """Return dense ranks, the number of values equal to each (including itself), and of smaller ones, (n,) each."""
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(values)])
    counts = np.diff(starts, append=len(values))
    result = np.empty((3, len(values)), np.int64)
    result[:, order] = np.repeat([np.arange(len(starts)), counts, starts], counts, axis=1)
    return result[0], result[1], result[2]


def _smaller_before(values: Integers) -> Integers:
    """Count for each entry the smaller ones before it, shape (n,).

    It is a vectorised merge sort in reverse. Positions are sorted by value, in blocks of neighbouring positions: first
    one block, then its halves, and so on. Within a block, an entry of the later half exceeds the entries of the earlier
    half that precede it in this order. A slow reference is ``[(values[:i] < values[i]).sum() for i in range(n)]``.

    >>> _smaller_before(np.array([2, 1, 3, 2])).tolist()
    [0, 0, 2, 1]
    """
    n = len(values)
    width = 1 << max(n - 1, 0).bit_length()
    # Among equal values the later comes first, so that it does not count as larger.
    order = np.concatenate([np.argsort(values * n - np.arange(n)), np.arange(n, width)])
    smaller = np.zeros(width, np.int64)
    while width > 1:
        half = width // 2
        is_later = (order & half) != 0
        at = np.flatnonzero(is_later).reshape(-1, half)
        later = order[at]
        # The k-th entry of the later half, at place p of its block, follows p - k entries of the earlier half.
        smaller[later] += (at & (width - 1)) - np.arange(half)
        order = np.concatenate([order[~is_later].reshape(-1, half), later], axis=1).ravel()
        width = half
    return smaller[:n]


# -- the bootstrap ----------------------------------------------------------------------------------------


def _bootstrapped(
    values: Vector,
    pairs: list[tuple[int, int]],
    by_rank: bool,
    confidence: float,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[tuple[int, int], tuple[float, ...]]:
    """Return n, correlation and bounds of pairs with the same common rows: values (t, n), NaN for other targets."""
    used = sorted({column for pair in pairs for column in pair})
    part, n = values[used], values.shape[1]
    where = tuple(np.searchsorted(used, np.array(pairs)).T)
    nan = float("nan")
    if n < 2:
        return dict.fromkeys(pairs, (n, nan, nan, nan))
    groups = [_ranked(row) for row in part] if by_rank else []
    if not by_rank:
        # Pearson's r does not depend on location and scale. It is undefined for constants, whose spread is rounding.
        part = part / huge_unit(part)
        spread = np.ptp(part, axis=1, keepdims=True)
        part = (part - part.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.nan)
    with threadpool_limits(1):  # narrow matrices: more BLAS threads only wait for one another
        value = _weighted(part, groups, np.ones(n))[where]
        if n < _FEWEST:
            low = high = np.full(len(pairs), nan)
        else:
            draws = np.empty((n_bootstrap, len(pairs)))
            for draw in draws:
                weights = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
                draw[:] = _weighted(part, groups, weights)[where]
            low, high = _quantiles(draws, confidence)
    low, high = (np.where(np.isnan(value), nan, bound) for bound in (low, high))
    results = zip(value.tolist(), low.tolist(), high.tolist(), strict=True)
    return {pair: (n, *numbers) for pair, numbers in zip(pairs, results, strict=True)}


def _weighted(values: Vector, groups: list[Ranked], weights: Vector) -> Vector:
    """Correlate rows (t, n) under weights (n,), of weighted ranks if groups are given; NaN for constants."""
    if groups:
        values = np.empty_like(values)
        for row, (ranks, _, _) in zip(values, groups, strict=True):
            weight = np.bincount(ranks, weights)
            row[:] = (np.cumsum(weight) - weight / 2)[ranks]
    centred = values - (values @ weights / weights.sum())[:, None]
    products = (centred * weights) @ centred.T
    drawn = values[:, weights > 0]
    spread = np.sqrt(np.where(np.ptp(drawn, axis=1) > 0, np.diag(products), np.nan))
    result: Vector = np.clip(products / spread[:, None] / spread, -1, 1)
    return result


def _quantiles(draws: Vector, confidence: float) -> tuple[Vector, Vector]:
    """Return the bounds of each column, ignoring resamples in which a target is constant."""
    bounds = np.full((2, draws.shape[1]), np.nan)
    defined = ~np.isnan(draws).all(axis=0)
    bounds[:, defined] = np.nanquantile(draws[:, defined], [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return bounds[0], bounds[1]
