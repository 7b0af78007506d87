"""Merge cost tables, to compare devices that were measured separately."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.table import REPEATS, CostTable, checked_table
from hwnas_surrogate.data.target import Device, Target
from hwnas_surrogate.errors import InvalidInputError

__all__ = ["merge"]


def merge(tables: Sequence[CostTable]) -> CostTable:
    """Merge tables: targets become columns side by side, and rows of a common target are appended.

    Parameters
    ----------
    tables : sequence of CostTable
        Tables of one search space. Their rows and targets may differ or overlap, but no cost may be in two tables.

    Returns
    -------
    CostTable
        Every row of any table, in order of first appearance; a cost that no table has is missing as "not measured".
        ``meta["tables"]`` holds the ``meta`` of each table.

    Raises
    ------
    InvalidInputError
        If there is no table, the spaces differ, tables describe a device differently, or two tables hold a target's
        cost of the same architecture under the same config.

    Examples
    --------
    >>> one = CostTable("nasbench201", [0, 1], [[1.0], [2.0]], ["a/latency"])
    >>> two = CostTable("nasbench201", [1, 2], [[3.0], [4.0]], ["b/latency"])
    >>> merge([one, two]).lookup([0, 1]).iloc[:, 1].tolist()
    [nan, 3.0]
    >>> other = CostTable("nasbench201", [0], [[5.0]], ["a/latency"], configs="cifar100")
    >>> len(merge([one, other]).configs)
    2
    """
    items: list[CostTable] = list(tables) if isinstance(tables, Iterable) else [tables]
    tables = [checked_table("merge", table) for table in items]
    if not tables:
        raise InvalidInputError("merge needs at least one table, got none.")
    space = tables[0].space
    for table in tables:
        if table.space is not space:
            raise InvalidInputError(f"tables over {space.name!r} and {table.space.name!r} can't be merged.")
    devices = _devices(tables)
    column_of: dict[Target, int] = {}
    for table in tables:
        for target in table.targets:
            column_of.setdefault(target, len(column_of))
    row_of: dict[tuple[bytes, str], int] = {}
    rows = [[row_of.setdefault(key, len(row_of)) for key in _keys(table)] for table in tables]
    costs = np.full((len(row_of), len(column_of)), np.nan)
    repeats = np.full((*costs.shape, len(REPEATS)), np.nan)
    taken = np.zeros(costs.shape, bool)
    reasons: dict[str, npt.NDArray[np.bool_]] = {}
    archs = np.empty((len(row_of), space.n_positions), np.int8)
    configs = np.empty(len(row_of), object)
    for table, table_rows in zip(tables, rows, strict=True):
        archs[table_rows] = table.archs
        configs[table_rows] = table.row_configs
        holds = ~np.isnan(table.costs)
        for where in table.reasons.values():
            holds |= where
        for column, target in enumerate(table.targets):
            filled = np.flatnonzero(holds[:, column])
            cells = np.asarray(table_rows, np.intp)[filled], column_of[target]
            _check_free(table, taken[cells], filled, target)
            taken[cells] = True
            costs[cells] = table.costs[filled, column]
            if table.repeats is not None:
                repeats[cells] = table.repeats[filled, column]
            for reason, where in table.reasons.items():
                reasons.setdefault(reason, np.zeros(costs.shape, bool))[cells] = where[filled, column]
    return CostTable(
        space,
        archs,
        costs,
        list(column_of),
        configs=configs if len(configs) else None,
        devices=devices,
        reasons=reasons,
        repeats=None if all(table.repeats is None for table in tables) else repeats,
        meta={"tables": [{"targets": list(map(str, table.targets)), **table.meta} for table in tables]},
    )


def _devices(tables: Sequence[CostTable]) -> list[Device]:
    devices: dict[str, Device] = {}
    for table in tables:
        for name, device in table.devices.items():
            if devices.get(name, Device(name)) == Device(name):  # only its name was known
                devices[name] = device
            elif device not in (devices[name], Device(name)):
                raise InvalidInputError(
                    f"tables describe the device {name!r} differently: {devices[name]} and {device}. Are they two "
                    "devices? Then give them two names."
                )
    return list(devices.values())


def _check_free(table: CostTable, taken: npt.NDArray[np.bool_], rows: npt.NDArray[np.intp], target: Target) -> None:
    if taken.any():
        row = rows[np.argmax(taken)]
        raise InvalidInputError(
            f"the cost {target} of {table.space.format(table.archs[row])} under {table.row_configs[row]} is in "
            f"more than one table ({int(taken.sum())} such costs in all). select() the targets, or rows(), to merge."
        )


def _keys(table: CostTable) -> list[tuple[bytes, str]]:
    texts = [str(config) for config in table.configs]
    return [(arch.tobytes(), texts[number]) for arch, number in zip(table.archs, table.config_number, strict=True)]
