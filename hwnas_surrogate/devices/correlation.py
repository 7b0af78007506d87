"""Correlation of devices' costs over the same architectures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, Target, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.ranks import tied_ranks

__all__ = ["METHODS", "Method", "comparable", "correlation"]

Method = Literal["kendall", "spearman", "pearson", "pearson_log"]
METHODS: tuple[Method, ...] = ("kendall", "spearman", "pearson", "pearson_log")


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
    columns = {str(target): pd.Series(comparable(table, target, method)) for target in picked}
    result = pd.DataFrame(columns).corr(method="pearson" if method == "pearson_log" else method)
    # pandas returns a Kendall tau of 1 for a constant column and itself.
    constant = [name for name, values in columns.items() if values.nunique() < 2]
    result.loc[constant, constant] = float("nan")
    return result


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
