"""The drop-in for HW-NAS-Bench's own Python API: same names, keys, order and values."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from hwnas_surrogate.data.blocks import BlockTable, block_keys
from hwnas_surrogate.data.official import METRIC_KEYS, NOT_COMPILED, official_tables
from hwnas_surrogate.data.store import AnyTable
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.errors import (
    DataFileError,
    InvalidArchitectureError,
    InvalidInputError,
    NotInTableError,
    unknown,
)
from hwnas_surrogate.spaces import FBNet, FBNetConfig, NASBench201, NetworkConfig
from hwnas_surrogate.spaces.reading import contents, is_integer

__all__ = ["HWNASBenchAPI"]

_KEYS = {target: key for key, target in METRIC_KEYS.items()}
_SPACES = ("nasbench201", "fbnet")
_NOT_AVERAGED = "eyeriss_arithmetic_intensity"
# The original API's metrics for FBNet: neither the Edge TPU nor arithmetic intensity.
_FBNET_KEYS = tuple(key for key in METRIC_KEYS if key not in ("edgetpu_latency", _NOT_AVERAGED))


class HWNASBenchAPI:
    """HW-NAS-Bench's API [1]_, reading the official file without unpickling code from it.

    Parameters
    ----------
    file_path_or_dict : path-like or mapping
        The official file, a converted table, or the official file's content.
    search_space : {"nasbench201", "fbnet"}, default="nasbench201"
        The search space.

    Raises
    ------
    InvalidInputError
        If there is no such search space.
    DataFileError
        If the file can't be read.
    NotInTableError
        If the file does not hold the search space.

    Notes
    -----
    Latency is in ms, energy in mJ, for one image (batch 1); arithmetic intensity is a ratio. Where an architecture
    did not compile for the Edge TPU, its latency is -1.0 as in the original, also in the product;
    :class:`CostTable` has NaN there. If the file holds only part of the benchmark, ``query_by_index`` returns the
    available keys, omits ``average_hw_metric`` (a product of all) and warns once.

    References
    ----------
    .. [1] Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark", ICLR 2021.
    """

    def __init__(
        self, file_path_or_dict: str | os.PathLike[str] | Mapping[str, Any], search_space: str = "nasbench201"
    ) -> None:
        if search_space not in _SPACES:
            raise unknown(InvalidInputError, "search space of HW-NAS-Bench", search_space, _SPACES)
        self.search_space = search_space
        table = _open(file_path_or_dict, search_space)
        self._warned = False
        self._tables: dict[str, _NASBench201Rows | _FBNetBlocks] = {}
        self._space = table.space_for("HWNASBenchAPI") if isinstance(table, CostTable) else table.space
        for dataset, config in self._space.configs.items():
            if config in table.configs:
                part = _NASBench201Rows(table, config) if isinstance(table, CostTable) else _FBNetBlocks(table, config)
                self._tables[dataset] = part
        self._table = table

    def query_by_index(self, arch_index: int | Sequence[int], dataname: str) -> dict[str, float]:
        """Look up every metric of one architecture.

        Parameters
        ----------
        arch_index : int, or list of 22 int
            NAS-Bench-201: the index, 0..15624. FBNet: the op of each layer, 0..8.
        dataname : str
            ``cifar10``, ``cifar100`` or ``ImageNet16-120``; FBNet: ``cifar100`` or ``ImageNet``.

        Returns
        -------
        dict of str to float
            Latency in ms, energy in mJ, and ``average_hw_metric``: the product of all metrics but arithmetic
            intensity.

        Raises
        ------
        InvalidArchitectureError
            If the index or an op is out of range.
        NotInTableError
            If the file does not hold the dataset.
        """
        part = self._part(dataname)
        result = dict(zip(part.keys, part.row(arch_index), strict=True))
        if part.complete:
            result["average_hw_metric"] = math.prod([result[key] for key in part.averaged])
        elif not self._warned:
            self._warned = True
            warnings.warn(
                f"the file holds only {', '.join(part.keys)} for {dataname}: the other metrics and average_hw_metric "
                "(a product of all) are left out",
                UserWarning,
                stacklevel=2,
            )
        return result

    def get_net_config(self, arch_index: int | Sequence[int], dataname: str) -> dict[str, Any]:
        """Return the published config dict of one architecture.

        Parameters
        ----------
        arch_index : int, or list of 22 int
        dataname : str
            As in :meth:`query_by_index`.

        Returns
        -------
        dict
            NAS-Bench-201: ``name, C, N, arch_str, num_classes``; FBNet: ``dataset, num_classes, op_idx_list,
            arch_str`` (a list of block names). ``build_network`` takes it.
        """
        return self._part(dataname).net_config(arch_index, dataname)

    def get_op_lookup_tables(self) -> dict[str, dict[str, float]]:
        """Return FBNet's tables: metric to (block key to cost in ms or mJ)."""
        if not isinstance(self._table, BlockTable):
            raise InvalidInputError(
                f"op lookup tables are FBNet's, the search space is {self.search_space!r}; "
                "use HWNASBenchAPI(..., search_space='fbnet')."
            )
        return {_KEYS[target]: dict(costs) for target, costs in self._table.block_costs.items()}

    def _part(self, dataname: str) -> _NASBench201Rows | _FBNetBlocks:
        try:
            return self._tables[dataname]
        except (KeyError, TypeError):
            published = list(self._space.configs)  # a list: the requested name need not be hashable
            hint = "The file holds a part of the benchmark only." if dataname in published else ""
            raise unknown(NotInTableError, "dataset", dataname, self._tables, hint) from None


class _NASBench201Rows:
    """One dataset's metrics as plain floats, one tuple an index."""

    def __init__(self, table: CostTable, config: NetworkConfig) -> None:
        assert isinstance(table.space, NASBench201)
        part = table.select(configs=config)
        kept = [number for number in range(len(part.targets)) if not _is_absent(part, number)]
        rows = part.find(table.space.enumerate())
        values = np.array(part.costs[rows][:, kept])
        if NOT_COMPILED in part.reasons:
            values[part.reasons[NOT_COMPILED][rows][:, kept]] = -1.0
        self.keys = tuple(_KEYS[part.targets[number]] for number in kept)
        self.complete = self.keys == tuple(METRIC_KEYS)
        self.averaged = [key for key in self.keys if key != _NOT_AVERAGED]
        self._rows = list(zip(*(column.tolist() for column in values.T), strict=True))
        self._space = table.space
        self._config = config

    def row(self, arch_index: int | Sequence[int]) -> tuple[float, ...]:
        return self._rows[self._index(arch_index)]

    def net_config(self, arch_index: int | Sequence[int], dataname: str) -> dict[str, Any]:
        index = self._index(arch_index)
        config: Any = self._config
        return {
            "name": "infer.tiny",
            "C": config.C,
            "N": config.N,
            "arch_str": self._space.format(index),
            "num_classes": config.num_classes,
        }

    def _index(self, arch_index: int | Sequence[int]) -> int:
        if not is_integer(arch_index) or not 0 <= arch_index < len(self._rows):  # type: ignore[operator]
            raise InvalidArchitectureError(
                f"arch_index must be an integer 0..{len(self._rows) - 1} for NAS-Bench-201, got {arch_index!r}."
            )
        return int(arch_index)  # type: ignore[arg-type]


class _FBNetBlocks:
    """One dataset's block costs as plain floats, one tuple of metrics a block."""

    def __init__(self, table: BlockTable, config: NetworkConfig) -> None:
        assert isinstance(config, FBNetConfig)
        stem, blocks, head = block_keys(config)
        targets = [target for target in table.targets if {stem, *head} <= table.block_costs[target].keys()]

        def costs(key: str) -> tuple[float | None, ...]:
            return tuple(table.block_costs[target].get(key) for target in targets)

        self.keys = tuple(_KEYS[target] for target in targets)
        self.complete = self.keys == _FBNET_KEYS
        self.averaged = list(self.keys)
        self._stem = costs(stem)
        self._blocks = [[costs(key) for key in row] for row in blocks]
        self._head = [costs(key) for key in head]
        self._block_keys = blocks
        self._config = config

    def row(self, arch_index: int | Sequence[int]) -> list[float]:
        ops = self._ops(arch_index)
        parts = [self._stem, *(row[op] for row, op in zip(self._blocks, ops, strict=True)), *self._head]
        try:
            # One addition after the other from 0.0: the benchmark's order, which the builtin sum need not keep.
            return [reduce(add, column, 0.0) for column in zip(*parts, strict=True)]
        except TypeError:
            absent = [
                row[op] for costs, row, op in zip(self._blocks, self._block_keys, ops, strict=True) if None in costs[op]
            ]
            raise NotInTableError(f"the file has no cost for {', '.join(absent)}.") from None

    def net_config(self, arch_index: int | Sequence[int], dataname: str) -> dict[str, Any]:
        ops = self._ops(arch_index)
        return {
            "dataset": dataname,
            "num_classes": self._config.num_classes,
            "op_idx_list": ops,
            "arch_str": [FBNet.ops[op] for op in ops],
        }

    def _ops(self, arch_index: int | Sequence[int]) -> list[int]:
        n_layers, n_ops = len(self._blocks), len(FBNet.ops)
        ops = contents(arch_index)
        if not isinstance(ops, np.ndarray) or ops.shape != (n_layers,) or not ((ops >= 0) & (ops < n_ops)).all():
            raise InvalidArchitectureError(
                f"arch_index must be a list of {n_layers} integers 0..{n_ops - 1} for FBNet, got {arch_index!r:.150}."
            )
        numbers: list[int] = ops.tolist()
        return numbers


def _is_absent(table: CostTable, column: int) -> bool:
    return bool(np.isnan(table.costs[:, column]).all()) and not any(
        where[:, column].any() for where in table.reasons.values()
    )


def _open(source: str | os.PathLike[str] | Mapping[str, Any], search_space: str) -> AnyTable:
    from hwnas_surrogate.data import load_table

    if isinstance(source, Mapping):
        tables = official_tables(source)
        if search_space not in tables:
            raise unknown(NotInTableError, "search space in the benchmark's content", search_space, tables)
        return tables[search_space]
    table = load_table(source, space=search_space)
    unnamed = [target for target in table.targets if target not in _KEYS]
    if unnamed:
        raise DataFileError(
            f"{source} is no HW-NAS-Bench data: it has the target {unnamed[0]}. Use load_table for other tables."
        )
    if search_space == "fbnet" and not isinstance(table, BlockTable):
        raise DataFileError(f"{source} holds measured FBNet networks, not HW-NAS-Bench's block costs; use load_table.")
    return table
