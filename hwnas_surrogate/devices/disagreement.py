"""Where two devices disagree: architectures cheap on one and expensive on the other, and ops that explain it."""

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

    A rank is the percentage of architectures that cost less (ties share the mean rank). The difference is the rank on
    the second target minus that on the first.

    Parameters
    ----------
    first, second : str
        The targets, ``device/metric``.
    n : int
        Number of architectures with both costs.
    cheap_on_first, cheap_on_second : DataFrame
        Architectures with a lower rank on one than on the other, the largest differences first: ``architecture, config,
        connected`` (whether there is a path from input to output; without one, costs are 0 on some devices), the two
        costs in columns ``device/metric (unit)``, ``rank_first``, ``rank_second``, ``difference``.
    effects : DataFrame
        ``op, effect``: the change of the difference if one more such op replaces an average one, in per cent of rank;
        the largest effects first. If it is positive, the op is relatively more expensive on the second target. NaN for
        an op that no architecture has.
    effects_by_position : DataFrame
        ``position, op, effect``: the same for an op at one position; empty of graphs. Where positions have different
        choices, ``effects`` holds these too, with ``position=op`` as the op.
    r2, r2_by_position : float
        Fraction of the variance of the difference that the effects explain; NaN if the variance is 0, or of graphs.
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
        """Return the targets, n and r2, without the frames."""
        return f"Disagreement({self.first} and {self.second}: n={self.n:,}, r2={self.r2:.4g})"


def disagreement(table: CostTable, first: TargetLike, second: TargetLike, n: int = 10) -> Disagreement:
    """Find the architectures that are cheap on one device and expensive on another, and the ops that explain it.

    The effects are coefficients of a least squares fit of the rank difference on op counts, or on ops at positions.
    Since op counts sum to a constant, the solution with the smallest norm is used: its effects sum to 0. With several
    network configs, differences and counts are centred within each config. In a table of graphs, the ops are kinds of
    operators.

    Parameters
    ----------
    table : CostTable
        The costs.
    first, second : target
        Two different targets; a device's name alone if it has one metric.
    n : int, default=10
        Number of architectures of either kind to list.

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
    Only pooling costs more on the GPU than on the CPU:

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
        configs = [str(table.configs[number] or "") for number in table.config_number[chosen]]
        networks = table.batch.take(chosen)
        columns: dict[str, Any] = {"architecture": networks.names, "config": configs}
        columns["connected"] = networks.connected
        columns |= {f"{target} ({target.unit})": costs[chosen, side] for side, target in enumerate(pair)}
        columns |= {"rank_first": ranks[order, 0], "rank_second": ranks[order, 1], "difference": difference[order]}
        return pd.DataFrame(columns)

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
    """Return the percentage of costs below each, counting half of its ties."""
    ranks: Vector = 100 * (rankdata(tied_ranks(costs)) - 0.5) / len(costs)
    return ranks


def _effects(
    table: CostTable, rows: npt.NDArray[np.intp], difference: Vector
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[float, float]]:
    from hwnas_surrogate.features import OneHot, OpCounts

    group, space = table.config_number[rows], table.space
    if space is None:
        kinds = table.batch.take(rows).count_kinds("folded")
        effect, r2 = _least_squares(np.column_stack(list(kinds.values())), difference, group)
        nowhere = pd.DataFrame({"position": [], "op": [], "effect": []})
        return _falling(pd.DataFrame({"op": list(kinds)}), effect), nowhere, (r2, float("nan"))
    archs = table.archs[rows]
    placed, placed_r2 = _least_squares(OneHot(space).transform(archs), difference, group)
    names = pd.DataFrame(
        [(position, op) for position, ops in zip(space.position_names, space.ops_at, strict=True) for op in ops],
        columns=["position", "op"],
    )
    by_position = _falling(names, placed)
    if not space.ops:  # the choices of a position occur at no other
        return (
            _falling(pd.DataFrame({"op": names["position"] + "=" + names["op"]}), placed),
            by_position,
            (placed_r2,) * 2,
        )
    counts = OpCounts(space, ["all"]).transform(archs)[:, : len(space.ops)]
    effect, r2 = _least_squares(counts, difference, group)
    return _falling(pd.DataFrame({"op": space.ops}), effect), by_position, (r2, placed_r2)


def _least_squares(columns: Vector, difference: Vector, group: npt.NDArray[np.intp]) -> tuple[Vector, float]:
    """Return the least squares coefficients of smallest norm and r2, after centring within groups."""
    x, y = columns.copy(), difference.copy()
    for number in np.unique(group):
        rows = group == number
        x[rows] -= x[rows].mean(axis=0)
        y[rows] -= y[rows].mean()
    effects = lstsq(x, y, cond=1e-10, lapack_driver="gelsy")[0]
    total = float((y**2).sum())
    r2 = 1.0 - float(((y - x @ effects) ** 2).sum()) / total if total > 1e-18 * len(y) else float("nan")
    return np.where((columns != 0).any(axis=0), effects, np.nan), r2


def _falling(frame: pd.DataFrame, effect: Vector) -> pd.DataFrame:
    order = np.argsort(-np.abs(effect).round(9), kind="stable")
    return frame.assign(effect=effect).iloc[order].reset_index(drop=True)
