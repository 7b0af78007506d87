"""How the targets of a report's table relate, and which of many the page shows at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import Clusters, cluster_devices, correlation

__all__ = ["Relations", "relations"]

MOST_SHOWN = 30
"""With more targets than this, as many are evaluated and shown at first."""
_FEW_TARGETS = 50
"""Up to this many targets, all rows are compared."""
_WORK = 500_000
"""Of more targets, at most about so many costs are compared: missing ones take no time."""
_MOST_ROWS = 2000
"""Of more targets, at most so many rows are compared: up to here, all are at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Relations:
    """Rank correlations of a table's targets.

    Parameters
    ----------
    matrices : dict of str to DataFrame
        By method, as :func:`correlation` returns them.
    clusters : dict of str to Clusters
        By method.
    n_rows : int
        The number of rows that were compared.
    shown : tuple of int
        The targets to evaluate, and to show at first: all, or some that are evenly spaced where similar ones are side
        by side.
    """

    matrices: dict[str, pd.DataFrame]
    clusters: dict[str, Clusters]
    n_rows: int
    shown: tuple[int, ...]


def relations(table: CostTable, seed: int) -> Relations:
    """Correlate a table's targets; those of more than 50 over a random sample of the rows, which takes seconds."""
    n_targets = len(table.targets)
    compared = table
    in_row = np.count_nonzero(~np.isnan(table.costs)) / max(len(table), 1)
    most = min(_MOST_ROWS, max(int(_WORK / max(in_row, 1.0)), 100))
    if n_targets > _FEW_TARGETS and len(table) > most:
        rows = np.random.default_rng(seed).choice(len(table), most, replace=False)
        compared = table.rows(np.sort(rows))
    matrices = {"kendall": correlation(compared, "kendall"), "spearman": correlation(compared, "spearman")}
    clusters = {method: cluster_devices(matrix) for method, matrix in matrices.items()}
    number = {str(target): at for at, target in enumerate(table.targets)}
    order = [number[name] for name in clusters["kendall"].order]
    places = np.unique(np.linspace(0, n_targets - 1, min(n_targets, MOST_SHOWN)).round().astype(int))
    return Relations(matrices, clusters, len(compared), tuple(sorted(order[place] for place in places)))
