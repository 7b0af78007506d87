"""Merge cost tables, to compare devices that were measured separately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.table import REPEATS, CostTable, checked_table
from hwnas_surrogate.data.target import Device, Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.spaces import Networks

__all__ = ["merge"]


def merge(tables: Sequence[CostTable]) -> CostTable:
    """Merge tables: targets become columns side by side, and rows of a common target are appended.

    Parameters
    ----------
    tables : sequence of CostTable
        Tables of one search space, or of graphs. Their rows and targets may differ or overlap. A cost that is in two
        tables must be the same in both; what else is known of it comes from the first table that knows it.

    Returns
    -------
    CostTable
        Every row of any table, in order of first appearance; a cost that no table has is missing as "not measured". A
        graph has the name that the first table gives it.
        ``meta["tables"]`` holds the ``meta`` of each table.

    Raises
    ------
    InvalidInputError
        If there is no table, the spaces differ, tables describe a device or a network's group differently, two tables
        hold different costs of a target for the same network, or two different graphs have one name.

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
    for table in tables:
        if table.space is not tables[0].space:
            names = f"{tables[0].space_name!r} and {table.space_name!r}"
            raise InvalidInputError(f"tables over {names} can't be merged; batch.graphs() makes graphs.")
    devices = _devices(tables)
    column_of: dict[Target, int] = {}
    for table in tables:
        for target in table.targets:
            column_of.setdefault(target, len(column_of))
    row_of: dict[Any, int] = {}
    rows = [[row_of.setdefault(key, len(row_of)) for key in _keys(table)] for table in tables]
    costs = np.full((len(row_of), len(column_of)), np.nan)
    repeats = np.full((*costs.shape, len(REPEATS)), np.nan)
    taken = np.zeros(costs.shape, bool)
    reasons: dict[str, npt.NDArray[np.bool_]] = {}
    for table, table_rows in zip(tables, rows, strict=True):
        holds = ~np.isnan(table.costs)
        for where in table.reasons.values():
            holds |= where
        for column, target in enumerate(table.targets):
            filled = np.flatnonzero(holds[:, column])
            cells = np.asarray(table_rows, np.intp)[filled], column_of[target]
            if table.repeats is not None:
                known = repeats[cells]
                repeats[cells] = np.where(np.isnan(known).all(axis=1)[:, None], table.repeats[filled, column], known)
            before = taken[cells]
            if before.any():
                there = filled[before], (cells[0][before], cells[1])
                _check_equal(table, column, *there, costs, reasons)
                filled, cells = filled[~before], (cells[0][~before], cells[1])
            taken[cells] = True
            costs[cells] = table.costs[filled, column]
            for reason, where in table.reasons.items():
                reasons.setdefault(reason, np.zeros(costs.shape, bool))[cells] = where[filled, column]
    networks, configs = _networks(tables, rows, len(row_of))
    return CostTable(
        tables[0].space,
        networks,
        costs,
        list(column_of),
        configs=configs,
        groups=_groups(tables, rows, len(row_of)),
        devices=devices,
        reasons=reasons,
        operators=_operators(tables, rows, len(row_of)),
        repeats=None if all(table.repeats is None for table in tables) else repeats,
        meta={"tables": [{"targets": list(map(str, table.targets)), **table.meta} for table in tables]},
    )


def _operators(
    tables: Sequence[CostTable], rows: Sequence[Sequence[int]], n: int
) -> dict[Target, list[npt.NDArray[np.float64] | None]]:
    """Return the times of operators of the n networks."""
    operators: dict[Target, list[npt.NDArray[np.float64] | None]] = {}
    for table, table_rows in zip(tables, rows, strict=True):
        for target, times in table.operators.items():
            merged = operators.setdefault(target, [None] * n)
            for row, own in zip(table_rows, times, strict=True):
                merged[row] = own if merged[row] is None else merged[row]
    return operators


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


def _check_equal(
    table: CostTable,
    column: int,
    rows: npt.NDArray[np.intp],
    cells: tuple[npt.NDArray[np.intp], int],
    costs: npt.NDArray[np.float64],
    reasons: Mapping[str, npt.NDArray[np.bool_]],
) -> None:
    """Raise if costs of a table, or the reasons why there are none, differ from those that other tables gave."""
    own, other = table.costs[rows, column], costs[cells]
    differs = ~((own == other) | (np.isnan(own) & np.isnan(other)))
    for reason in {*table.reasons, *reasons}:
        none = np.zeros(len(rows), bool)
        of_table, of_others = table.reasons.get(reason), reasons.get(reason)
        differs |= (none if of_table is None else of_table[rows, column]) != (
            none if of_others is None else of_others[cells]
        )
    if differs.any():
        first = int(np.argmax(differs))
        row, cell = int(rows[first]), (int(cells[0][first]), cells[1])
        told = [
            _told(float(other[first]), table.targets[column], reasons, cell),
            _told(float(own[first]), table.targets[column], table.reasons, (row, column)),
        ]
        raise InvalidInputError(
            f"the cost {table.targets[column]} of {_named(table, row)} is in more than one table, with "
            f"different values: {told[0]} and {told[1]} ({int(differs.sum())} such costs in all). select() the targets "
            "or rows() to merge."
        )


def _told(cost: float, target: Target, reasons: Mapping[str, npt.NDArray[np.bool_]], cell: tuple[int, int]) -> str:
    """Return a cost with its unit, or why there is none."""
    if not np.isnan(cost):
        return f"{str(cost).removesuffix('.0')} {target.unit}"  # all digits: the other value may differ in the last
    return f"none ({'; '.join(reason for reason, where in reasons.items() if where[cell])})"


def _named(table: CostTable, row: int) -> str:
    (name,) = table.batch.take([row]).names
    return name if table.space is None else f"{name} under {table.row_configs[row]}"


def _keys(table: CostTable) -> list[Any]:
    """Return what identifies each row in any table."""
    if isinstance(table.batch, GraphBatch):
        return list(table.batch.keys)
    texts = [str(config) for config in table.configs]
    return [(arch.tobytes(), texts[number]) for arch, number in zip(table.archs, table.config_number, strict=True)]


def _networks(tables: Sequence[CostTable], rows: Sequence[Sequence[int]], n: int) -> tuple[Networks, Any]:
    """Return the n networks of all tables, and their configs."""
    space = tables[0].space
    if space is None:
        graphs: list[Any] = [None] * n
        names = [""] * n
        for table, table_rows in zip(tables, rows, strict=True):
            assert isinstance(table.batch, GraphBatch)
            for row, graph, name in zip(table_rows, table.batch.graphs, table.names, strict=True):
                graphs[row], names[row] = graphs[row] or graph, names[row] or name
        if len(set(names)) < n:
            ((name, _),) = Counter(names).most_common(1)
            raise InvalidInputError(f"tables call two different networks {name!r:.200}: rename one.")
        return GraphBatch(graphs, names), None
    archs, configs = np.empty((n, space.n_positions), np.int8), np.empty(n, object)
    for table, table_rows in zip(tables, rows, strict=True):
        archs[table_rows], configs[table_rows] = table.archs, table.row_configs
    return archs, configs if n else None


def _groups(tables: Sequence[CostTable], rows: Sequence[Sequence[int]], n: int) -> dict[str, list[str]]:
    """Return the labels of the n networks; empty where a table has no such kind of group."""
    groups: dict[str, list[str]] = {}
    for table, table_rows in zip(tables, rows, strict=True):
        for kind, labels in table.groups.items():
            merged = groups.setdefault(kind, [""] * n)
            for row, label, name in zip(table_rows, labels, table.names, strict=True):
                if merged[row] not in ("", label):
                    raise InvalidInputError(f"tables give {name!r} two labels as {kind}: {merged[row]!r}, {label!r}.")
                merged[row] = label
    return groups
