"""Whether the cost of a network on a device is a sum over its ops."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import lstsq

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import OneHot, OpCounts
from hwnas_surrogate.models import AdditiveExact
from hwnas_surrogate.reals import huge_unit

__all__ = ["additivity"]

Vector = npt.NDArray[np.float64]

_VIEWS = ("all", "live", "folded")


def additivity(table: CostTable, targets: TargetLike | Iterable[TargetLike] | None = None) -> pd.DataFrame:
    """Estimate how well costs are explained by a sum over ops, and which ops count.

    The coefficients of determination are those of least squares on the same rows. The difference to 1 is the part of
    the variance that no sum explains.

    Parameters
    ----------
    table : CostTable
        The costs, under one network config.
    targets : target or sequence of targets, optional
        All if None.

    Returns
    -------
    DataFrame
        One row per target: ``target, n``; ``r2_all, r2_live, r2_folded``: on the counts of all ops, of ops on a path
        from input to output, and of ops that a converter leaves; ``r2_onehot``: on one number for each op at each
        position; ``exact``: whether the costs are exactly such a sum (:class:`AdditiveExact`); ``best_view``: the view
        with the largest r2, the first of ties, ``all`` for an exact sum, missing if no r2 is defined. NaN where the
        costs are constant, or there are no more rows than coefficients.

    Raises
    ------
    InvalidInputError
        If the table is no cost table, or has several configs.
    NotInTableError
        If a target is not in the table.

    Examples
    --------
    >>> archs = list(range(60))
    >>> counts = OpCounts(views=["all"]).transform(archs)
    >>> table = CostTable("nasbench201", archs, counts @ [[0], [1], [4], [9], [2], [3]], ["fpga/latency"])
    >>> additivity(table).round(3)[["r2_all", "r2_folded", "exact", "best_view"]].to_dict("records")
    [{'r2_all': 1.0, 'r2_folded': 0.884, 'exact': True, 'best_view': 'all'}]
    """
    picked = pick_targets(targets, checked_table("additivity", table).targets)
    if len(table.configs) > 1:
        raise InvalidInputError(
            f"additivity needs a table under one network config, got {len(table.configs)}: "
            "table.select(configs=...) keeps one."
        )
    space, config = table.space_for("additivity"), table.configs[0] if table.configs else None
    counts = {view: OpCounts(space, [view]).transform(table.archs, config) for view in _VIEWS}
    onehot = OneHot(space).frame(table.archs, config)
    rows_of_targets = []
    for target in picked:
        costs = table.costs[:, table.targets.index(target)]
        rows = np.flatnonzero(~np.isnan(costs))
        y = costs[rows] / huge_unit(costs[rows])  # what is returned does not depend on the unit
        r2 = {view: _r2(columns[rows], y) for view, columns in counts.items()}
        row: dict[str, Any] = {"target": str(target), "n": len(rows)} | {f"r2_{view}": r2[view] for view in _VIEWS}
        row["r2_onehot"] = _r2(onehot.to_numpy()[rows], y)
        row["exact"] = len(rows) > 1 and bool(AdditiveExact().fit(onehot.iloc[rows], y).exact_)
        defined = {view: round(value, 9) for view, value in r2.items() if not math.isnan(value)}
        best = max(defined, key=defined.__getitem__, default=None)
        rows_of_targets.append(row | {"best_view": "all" if row["exact"] and defined else best})
    columns = ["target", "n", *(f"r2_{view}" for view in _VIEWS), "r2_onehot", "exact", "best_view"]
    return pd.DataFrame(rows_of_targets, columns=columns)


def _r2(columns: Vector, costs: Vector) -> float:
    """Return the coefficient of determination of least squares with an intercept, NaN where it is undefined."""
    if len(costs) < 2 or (costs == costs[0]).all():
        return math.nan
    centred, y = columns - columns.mean(axis=0), costs - costs.mean()
    smallest = max(centred.shape) * np.finfo(float).eps
    solution, _, rank, _ = lstsq(centred, y, cond=smallest, lapack_driver="gelsy")
    if rank + 1 >= len(costs):
        return math.nan
    return max(0.0, 1.0 - float(((y - centred @ solution) ** 2).sum()) / float((y**2).sum()))
