"""The networks of a table of architectures as graphs, to learn from them beside networks of other kinds."""

from __future__ import annotations

import numpy as np

from hwnas_surrogate.data.table import CostTable, checked_table
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.spaces import ArchBatch

__all__ = ["as_graphs"]


def as_graphs(table: CostTable) -> CostTable:
    """Return the costs of a table with its networks as graphs; a table of graphs is returned unchanged.

    Parameters
    ----------
    table : CostTable
        Building a graph takes a few milliseconds.

    Returns
    -------
    CostTable
        A network is called by its space, architecture and config; the group ``family`` is the space. Architectures with
        the same graph (isomorphic cells) become one network, with the median of their costs. Statistics of repeated
        runs are left out.

    Examples
    --------
    >>> table = CostTable("nasbench201", [0, 1], [[4.0], [9.0]], ["my-board/latency"])
    >>> as_graphs(table).names[1]
    'nasbench201/|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|/C16-N5-k10-3x32x32'
    """
    batch = checked_table("as_graphs", table).batch
    if not isinstance(batch, ArchBatch):
        return table
    graphs, names = batch.graphs(), batch.keys
    number, (_, first) = graphs.repeats, np.unique(graphs.repeats, return_index=True)
    costs, reasons = np.array(table.costs[first]), {name: where[first] for name, where in table.reasons.items()}
    for row in np.flatnonzero(np.bincount(number) > 1):
        same = table.costs[number == row]
        known = ~np.isnan(same).all(axis=0)
        costs[row, known] = np.nanmedian(same[:, known], axis=0)
    groups = {kind: [labels[row] for row in first] for kind, labels in table.groups.items()}
    return CostTable(
        None,
        GraphBatch([graphs.graphs[row] for row in first], [names[row] for row in first]),
        costs,
        table.targets,
        groups=groups | {"family": [table.space_name] * len(first)},
        devices=table.devices.values(),
        operators={target: [times[row] for row in first] for target, times in table.operators.items()},
        reasons={name: where & np.isnan(costs) for name, where in reasons.items()},
        meta=table.meta,
    )
