"""Rank correlation of the size of networks and their costs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.devices.intervals import kendall_interval
from hwnas_surrogate.features.layer_sums import is_layer
from hwnas_surrogate.ranks import tied_ranks

__all__ = ["PROXIES", "proxies"]

PROXIES = ("macs", "params", "layers", "activation_bytes")
"""The sizes that costs are compared with; ``layers`` counts layers that compute something."""


def proxies(table: CostTable, targets: TargetLike | Iterable[TargetLike] | None = None) -> pd.DataFrame:
    """Correlate costs with the size of networks: multiply-adds, parameters, layers, activation bytes.

    All layers count, even without a path from input to output: they take time on devices that execute them.

    Parameters
    ----------
    table : CostTable
        The costs. Each row's network is the one under its config.
    targets : target or sequence of targets, optional
        All if None.

    Returns
    -------
    DataFrame
        Four rows per target: ``target, proxy`` (``macs``, ``params``, ``layers``: those that compute something, or
        ``activation_bytes``), ``n``, ``kendall_tau``, ``low``, ``high`` (95 %, as :func:`correlation_interval`). NaN
        where the costs or the proxy are constant.

    Raises
    ------
    InvalidInputError
        If the table is no cost table.
    NotInTableError
        If a target is not in the table.

    Examples
    --------
    >>> space_archs = list(range(50))
    >>> macs = CostTable("nasbench201", space_archs, [[0.0]] * 50, ["cpu/latency"]).batch.macs
    >>> table = CostTable("nasbench201", space_archs, macs[:, None], ["cpu/latency"])
    >>> proxies(table).set_index("proxy")["kendall_tau"]["macs"]
    np.float64(1.0)
    """
    picked = pick_targets(targets, checked_table("proxies", table).targets)
    batch = table.batch
    busy = [float(is_layer(op) and op.kind != "zero") for op in batch.distinct()]
    sizes = (batch.macs, batch.params, batch.sums(busy), batch.activation_bytes)
    rows = []
    for target in picked:
        costs = table.costs[:, table.targets.index(target)]
        known = ~np.isnan(costs)
        ranks = tied_ranks(costs[known]).astype(np.float64)
        for name, size in zip(PROXIES, sizes, strict=True):
            rows.append((str(target), name, *kendall_interval(ranks, size[known])))
    return pd.DataFrame(rows, columns=["target", "proxy", "n", "kendall_tau", "low", "high"])
