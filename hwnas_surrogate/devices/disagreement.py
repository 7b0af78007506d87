"""Where two devices disagree: the architectures cheap on one and dear on the other, and the ops behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import lstsq
from scipy.stats import rankdata

from hwnas_surrogate.data import CostTable, Target, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.ranks import tied_ranks

__all__ = ["Disagreement", "disagreement"]

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """Where two targets rank architectures differently.

    A rank is the part of the architectures that cost less, in per cent (ties share the middle); the difference is the
    rank on the second minus that on the first.

    Parameters
    ----------
    first, second : str
        The targets, ``device/metric``.
    n : int
        Architectures with both costs.
    cheap_on_first, cheap_on_second : DataFrame
        Those cheaper by rank on one than on the other, the largest differences first: ``architecture, config,
        connected`` (whether a path leads from the input to the output; some devices charge nothing without one), the
        two costs in columns ``device/metric (unit)``, ``rank_first``, ``rank_second``, ``difference``.
    effects : DataFrame
        ``op, effect``: by how much the difference grows with one more such op in place of an average one, in per cent
        of rank; the largest effects first. Positive: the op is dearer on the second, among its peers. NaN for an op
        that no architecture has.
    effects_by_position : DataFrame
        ``position, op, effect``: the same of an op at one position.
    r2, r2_by_position : float
        The part of the variance of the difference that the effects explain; NaN where there is none.
    """

    first: str
    second: str
    n: int
    cheap_on_first: pd.DataFrame
    cheap_on_second: pd.DataFrame
    effects: pd.DataFrame
    effects_by_position: pd.DataFrame
    r2: float
    r2_by_position: float

    def __repr__(self) -> str:
        """Return what was compared, without the frames."""
        return f"Disagreement({self.first} and {self.second}: n={self.n:,}, r2={self.r2:.4g})"


def disagreement(table: CostTable, first: TargetLike, second: TargetLike, n: int = 10) -> Disagreement:
    """Find the architectures that are cheap on one device and dear on another, and which ops explain it.

    The effects are least squares of the rank difference on op counts, and on ops at positions. Counts of all ops sum
    to a constant: of the solutions the one of smallest norm is taken, whose effects sum to 0. Under several network
    configs, differences and counts are taken within each.

    Parameters
    ----------
    table : CostTable
        The costs.
    first, second : target
        Two different targets; a device's name alone if it has one metric.
    n : int, default=10
        Architectures of either kind to list.

    Returns
    -------
    Disagreement

    Raises
    ------
    InvalidInputError
        If the targets are not two different ones, n is no integer of at least 1, the targets share fewer than two
        rows, or the table is no cost table.
    NotInTableError
        If a target is not in the table.

    Examples
    --------
    The GPU takes time for pooling alone, on top of what the CPU takes:

    >>> from hwnas_surrogate.features import OpCounts
    >>> archs = list(range(200))
    >>> counts = OpCounts(views=["all"]).transform(archs)[:, :5]
    >>> costs = counts @ np.array([[0, 0], [1, 1], [3, 3], [9, 9], [1, 6]])
    >>> found = disagreement(CostTable("nasbench201", archs, costs, ["cpu/latency", "gpu/latency"]), "cpu", "gpu")
    >>> found.effects["op"][0]
    'avg_pool_3x3'
    """
    checked_table("disagreement", table)
    pair = _one(table, "first", first), _one(table, "second", second)
    if pair[0] == pair[1]:
        raise InvalidInputError(f"first and second must be different targets, got {pair[0]} twice.")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InvalidInputError(f"n must be an integer of at least 1, got {n!r}.")
    costs = table.costs[:, [table.targets.index(target) for target in pair]]
    rows = np.flatnonzero(~np.isnan(costs).any(axis=1))
    if len(rows) < 2:
        raise InvalidInputError(
            f"{pair[0]} and {pair[1]} must have at least 2 rows in common, got {len(rows)} of {len(table)}."
        )
    ranks = np.column_stack([_percentiles(column) for column in costs[rows].T])
    difference = ranks[:, 1] - ranks[:, 0]
    counts, by_position, r2 = _effects(table, rows, difference)

    def listed(order: npt.NDArray[np.intp]) -> pd.DataFrame:
        chosen = rows[order]
        configs = [str(table.configs[number]) for number in table.config_number[chosen]]
        archs = table.archs[chosen]
        told: dict[str, Any] = {"architecture": table.space.format_all(archs), "config": configs}
        told["connected"] = table.space.connected(archs)
        told |= {f"{target} ({target.unit})": costs[chosen, side] for side, target in enumerate(pair)}
        told |= {"rank_first": ranks[order, 0], "rank_second": ranks[order, 1], "difference": difference[order]}
        return pd.DataFrame(told)

    rising = np.argsort(difference, kind="stable")
    falling = np.argsort(-difference, kind="stable")
    cheap_on_first = listed(falling[: min(n, np.count_nonzero(difference > 0))])
    cheap_on_second = listed(rising[: min(n, np.count_nonzero(difference < 0))])
    names = str(pair[0]), str(pair[1])
    return Disagreement(*names, len(rows), cheap_on_first, cheap_on_second, counts, by_position, *r2)


def _one(table: CostTable, name: str, asked: TargetLike) -> Target:
    found = pick_targets(asked, table.targets)
    if len(found) != 1:
        raise InvalidInputError(f"{name} must be one target, got {asked!r}: name one of {list(map(str, found))}.")
    return found[0]


def _percentiles(costs: Vector) -> Vector:
    """Return the part of the costs below each, half of its ties counted, in per cent."""
    ranks: Vector = 100 * (rankdata(tied_ranks(costs)) - 0.5) / len(costs)
    return ranks


def _effects(
    table: CostTable, rows: npt.NDArray[np.intp], difference: Vector
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[float, float]]:
    from hwnas_surrogate.features import OneHot, OpCounts

    space, archs, group = table.space, table.archs[rows], table.config_number[rows]
    ops = list(space.ops)
    counts = OpCounts(space, ["all"]).transform(archs)[:, : len(ops)]
    effect, r2 = _least_squares(counts, difference, group)
    names = {"op": ops}
    placed, placed_r2 = _least_squares(OneHot(space).transform(archs), difference, group)
    positions = list(space.position_names)
    placed_names = {"position": np.repeat(positions, len(ops)), "op": ops * len(positions)}
    frames = [_falling(pd.DataFrame(names), effect), _falling(pd.DataFrame(placed_names), placed)]
    return frames[0], frames[1], (r2, placed_r2)


def _least_squares(columns: Vector, difference: Vector, group: npt.NDArray[np.intp]) -> tuple[Vector, float]:
    """Return the coefficients of smallest norm and the explained part, all centred within groups."""
    x, y = columns.copy(), difference.copy()
    for number in np.unique(group):
        mine = group == number
        x[mine] -= x[mine].mean(axis=0)
        y[mine] -= y[mine].mean()
    effects = lstsq(x, y, cond=1e-10, lapack_driver="gelsy")[0]
    total = float((y**2).sum())
    r2 = 1.0 - float(((y - x @ effects) ** 2).sum()) / total if total > 1e-18 * len(y) else float("nan")
    return np.where((columns != 0).any(axis=0), effects, np.nan), r2


def _falling(frame: pd.DataFrame, effect: Vector) -> pd.DataFrame:
    order = np.argsort(-np.abs(effect).round(9), kind="stable")
    return frame.assign(effect=effect).iloc[order].reset_index(drop=True)
