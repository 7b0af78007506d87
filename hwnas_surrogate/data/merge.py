"""Several cost tables as one, to compare devices that were measured apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.table import REPEATS, CostTable
from hwnas_surrogate.errors import InvalidInputError

__all__ = ["merge"]


def merge(tables: Sequence[CostTable]) -> CostTable:
    """Put the targets of several tables side by side.

    Parameters
    ----------
    tables : sequence of CostTable
        Over one search space, with different targets. Their rows may differ.

    Returns
    -------
    CostTable
        Every row of any table, in order of first appearance; a cost that a table does not have is missing as "not
        measured". ``meta`` holds each table's under ``"tables"``.

    Raises
    ------
    InvalidInputError
        If there is no table, the spaces differ, or a target stands in two of them.

    Examples
    --------
    >>> one = CostTable("nasbench201", [0, 1], [[1.0], [2.0]], ["a/latency"])
    >>> two = CostTable("nasbench201", [1, 2], [[3.0], [4.0]], ["b/latency"])
    >>> merge([one, two]).lookup([0, 1]).iloc[:, 1].tolist()
    [nan, 3.0]
    """
    if not tables:
        raise InvalidInputError("merge needs at least one table, got none.")
    space = tables[0].space
    targets = [target for table in tables for target in table.targets]
    for table in tables:
        if table.space is not space:
            raise InvalidInputError(f"tables over {space.name!r} and {table.space.name!r} can't be merged.")
    repeated = next((target for target in targets if targets.count(target) > 1), None)
    if repeated is not None:
        raise InvalidInputError(f"{repeated} stands in more than one table; select() the targets to merge first.")
    row_of: dict[tuple[bytes, str], int] = {}
    rows = [[row_of.setdefault(key, len(row_of)) for key in _keys(table)] for table in tables]
    costs = np.full((len(row_of), len(targets)), np.nan)
    repeats = np.full((*costs.shape, len(REPEATS)), np.nan)
    reasons: dict[str, npt.NDArray[np.bool_]] = {}
    archs = np.empty((len(row_of), space.n_positions), np.int8)
    configs = np.empty(len(row_of), object)
    start = 0
    for table, mine in zip(tables, rows, strict=True):
        columns = slice(start, start := start + len(table.targets))
        archs[mine] = table.archs
        configs[mine] = table.row_configs
        costs[mine, columns] = table.costs
        if table.repeats is not None:
            repeats[mine, columns] = table.repeats
        for reason, where in table.reasons.items():
            reasons.setdefault(reason, np.zeros(costs.shape, bool))[mine, columns] = where
    return CostTable(
        space,
        archs,
        costs,
        targets,
        configs=configs if len(configs) else None,
        devices=[device for table in tables for device in table.devices.values()],
        reasons=reasons,
        repeats=None if all(table.repeats is None for table in tables) else repeats,
        meta={"tables": [{"targets": list(map(str, table.targets)), **table.meta} for table in tables]},
    )


def _keys(table: CostTable) -> list[tuple[bytes, str]]:
    texts = [str(config) for config in table.configs]
    return [(arch.tobytes(), texts[number]) for arch, number in zip(table.archs, table.config_number, strict=True)]
