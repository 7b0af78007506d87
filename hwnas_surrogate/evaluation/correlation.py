"""How devices relate: rank correlation of their costs over the same architectures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pandas as pd

from hwnas_surrogate.data import CostTable, Target, TargetLike, pick_targets
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.evaluation.scores import tied_ranks

__all__ = ["METHODS", "Method", "correlation"]

Method = Literal["kendall", "spearman", "pearson"]
METHODS: tuple[Method, ...] = ("kendall", "spearman", "pearson")


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
    method : {"kendall", "spearman", "pearson"}, default="kendall"
        Kendall's tau-b or Spearman's rho, where costs closer than 1e-9 (relative) are ties, or Pearson's r.
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
    if not isinstance(table, CostTable):
        raise InvalidInputError(
            f"correlation needs a cost table, got {type(table).__name__}. "
            "For FBNet's block table: correlation(table.tabulate(table.space.sample(2000, random_state=0)))."
        )
    picked = pick_targets(targets, table.targets)
    columns = {str(target): _values(table, target, method) for target in picked}
    result = pd.DataFrame(columns).corr(method=method)
    # pandas takes any column's Kendall tau with itself for 1.
    constant = [name for name, values in columns.items() if values.nunique() < 2]
    result.loc[constant, constant] = float("nan")
    return result


def _values(table: CostTable, target: Target, method: Method) -> pd.Series[float]:
    costs = table.costs[:, table.targets.index(target)]
    values = pd.Series(costs, dtype=float)
    known = values.notna()
    if method != "pearson" and known.any():
        values[known] = tied_ranks(costs[known]).astype(float)
    return values
