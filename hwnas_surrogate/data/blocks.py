"""FBNet's block table: the cost of an architecture is the sum of its blocks' costs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.rows import Configs
from hwnas_surrogate.data.table import Costs, CostTable, target_columns
from hwnas_surrogate.data.target import Device, Target, TargetLike, devices_of, pick_targets
from hwnas_surrogate.errors import InvalidInputError, NotInTableError
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import Archs, ConfigLike, FBNet, FBNetConfig, NetworkConfig, get_space
from hwnas_surrogate.spaces.fbnet import BLOCKS, Slot

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BlockTable", "block_keys"]


def _slot_key(op: str, slot: Slot) -> str:
    size = f"H{slot.height}_W{slot.width}_Cin{slot.c_in}_Cout{slot.c_out}"
    if op not in BLOCKS:
        return f"Skip_{size}_stride{slot.stride}"
    block = BLOCKS[op]
    return f"ConvBlock_{size}_exp{block.expansion}_kernel{block.kernel}_stride{slot.stride}_group{block.groups}"


def block_keys(config: FBNetConfig) -> tuple[str, list[list[str]], tuple[str, str, str]]:
    """Return the published keys of one config.

    Returns
    -------
    stem : str
    blocks : list of 22 lists of 9 str
        The key of each op at each layer.
    head : tuple of 3 str
        Header, average pool and fully connected layer.
    """
    slots = get_fbnet().slots(config)
    last = slots[-1]
    height, width = -(-last.height // last.stride), -(-last.width // last.stride)
    stem = (
        f"ConvNorm_H{config.height}_W{config.width}_Cin{config.in_channels}_Cout{config.stem_channels}"
        f"_kernel3_stride{config.stem_stride}_group1"
    )
    header = config.header_channels
    head = (
        f"ConvNorm_H{height}_W{width}_Cin{last.c_out}_Cout{header}_kernel1_stride1_group1",
        f"AvgP_H{height}_W{width}_Cin{header}_Cout{header}_kernel{height}_stride1",
        f"FC_Cin{header}_Cout{config.num_classes}",
    )
    return stem, [[_slot_key(op, slot) for op in FBNet.ops] for slot in slots], head


def get_fbnet() -> FBNet:
    """Return the FBNet space."""
    space = get_space("fbnet")
    assert isinstance(space, FBNet)
    return space


def _checked_costs(target: TargetLike, table: Mapping[str, float]) -> dict[str, float]:
    costs = reals(list(table.values()), f"block costs of {target} must be numbers").tolist()
    for key, cost in zip(table, costs, strict=True):
        if not (np.isfinite(cost) and cost >= 0):
            raise InvalidInputError(f"block costs must be finite and not negative: {target} has {key}: {cost}.")
    return dict(zip(table, costs, strict=True))


class BlockTable:
    """Costs of FBNet's blocks; the cost of any of the 10^21 architectures is their sum.

    Stem, 22 blocks, header, average pool and fully connected layer are added in that order from 0.0 in float64,
    which makes the published sums bit for bit.

    Parameters
    ----------
    costs : mapping of Target or str to (mapping of key to float)
        The cost of each block by its published key.
    devices : iterable of Device, optional
        Descriptions of the devices.
    meta : mapping, optional
        How the table was made.
    config : config, optional
        The default config of lookups; if None, the only published config that the table covers.

    Raises
    ------
    InvalidInputError
        If a cost is negative, not finite or no number.
    """

    def __init__(
        self,
        costs: Mapping[TargetLike, Mapping[str, float]] | Mapping[Target, Mapping[str, float]],
        *,
        devices: Iterable[Device] = (),
        meta: Mapping[str, Any] | None = None,
        config: NetworkConfig | None = None,
    ) -> None:
        self.space = get_fbnet()
        self.space_name = self.space.name
        self.block_costs = {
            Target.parse(target) if isinstance(target, str) else target: _checked_costs(target, table)
            for target, table in costs.items()
        }
        self.targets = tuple(self.block_costs)
        self.devices = devices_of(self.targets, devices)
        self.meta = dict(meta or {})
        self._sums: dict[NetworkConfig, tuple[Costs, Costs, Costs]] = {}
        self.config = None if config is None else self._covered(config)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.targets))
        return f"<BlockTable fbnet: {len(self.keys)} blocks, targets {names}>"

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Every block key of any target."""
        return tuple(dict.fromkeys(key for table in self.block_costs.values() for key in table))

    @property
    def configs(self) -> tuple[NetworkConfig, ...]:
        """The published configs for which a target has the stem, the head and a block for every layer."""
        return tuple(config for config in self.space.configs.values() if self._covers(config))

    def with_config(self, config: ConfigLike) -> BlockTable:
        """Return the table with this config as the default of lookups."""
        return BlockTable(
            self.block_costs, devices=self.devices.values(), meta=self.meta, config=self.space.config(config)
        )

    def lookup(
        self,
        archs: Archs,
        configs: Configs = None,
        targets: TargetLike | Iterable[TargetLike] | None = None,
    ) -> pd.DataFrame:
        """Look costs up; as :meth:`CostTable.lookup`, for any architecture of the space.

        Raises
        ------
        NotInTableError
            If the table lacks a block; the message names the first.
        """
        import pandas as pd

        picked = pick_targets(targets, self.targets)
        values = self._values(archs, configs, picked)
        return pd.DataFrame(np.array(values, order="F"), columns=target_columns(picked), copy=False)

    def tabulate(self, archs: Archs, configs: Configs = None) -> CostTable:
        """Return a cost table of these architectures."""
        batch = self.space.as_array(archs)
        return CostTable(
            self.space,
            batch,
            self._values(batch, configs, self.targets),
            self.targets,
            configs=self._default_config() if configs is None else configs,
            devices=self.devices.values(),
            meta=self.meta,
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the targets, keys and costs."""
        digest = hashlib.sha256()
        for target, table in self.block_costs.items():
            digest.update(str(target).encode())
            for key in sorted(table):
                digest.update(f"{key}={float(table[key]).hex()};".encode())
        return digest.hexdigest()

    def _values(self, archs: Archs, configs: Configs, targets: tuple[Target, ...]) -> Costs:
        batch = self.space.as_array(archs)
        if configs is None:
            return self._sum(batch, self._default_config(), targets)
        distinct, numbers = self.space.group_configs(configs, len(batch))
        if len(distinct) == 1:
            return self._sum(batch, distinct[0], targets)
        values = np.empty((len(batch), len(targets)))
        for number, config in enumerate(distinct):
            selected = numbers == number
            values[selected] = self._sum(batch[selected], config, targets)
        return values

    def _sum(self, archs: npt.NDArray[np.int8], config: NetworkConfig, targets: tuple[Target, ...]) -> Costs:
        columns = [self.targets.index(target) for target in targets]
        stem, blocks, head = (part.take(columns, axis=-1) for part in self._tables(config))
        total = np.zeros((len(archs), len(targets)))
        total += stem
        with np.errstate(over="ignore"):
            for table, ops in zip(blocks, archs.T.astype(np.intp), strict=True):
                total += table[ops]
            for part in head:
                total += part
        if np.isinf(total).any():
            raise InvalidInputError(f"block costs add up to more than {np.finfo(float).max:g}: check their unit.")
        missing = np.isnan(total)
        if missing.any():
            self._raise_missing(archs[np.argmax(missing.any(axis=1))], config, targets)
        return total

    def _tables(self, config: NetworkConfig) -> tuple[Costs, Costs, Costs]:
        """Return (t,), (22, 9, t) and (3, t) costs of one config, NaN where a block is not in the table."""
        if config not in self._sums:
            assert isinstance(config, FBNetConfig)
            stem, blocks, head = block_keys(config)

            def costs(key: str) -> list[float]:
                return [table.get(key, np.nan) for table in self.block_costs.values()]

            self._sums[config] = (
                np.array(costs(stem)),
                np.array([[costs(key) for key in row] for row in blocks]),
                np.array([costs(key) for key in head]),
            )
        return self._sums[config]

    def _covers(self, config: NetworkConfig) -> bool:
        stem, blocks, head = self._tables(config)
        some_block = (~np.isnan(blocks)).any(axis=1).all(axis=0)
        return bool((~np.isnan(stem) & ~np.isnan(head).any(axis=0) & some_block).any())

    def _covered(self, config: NetworkConfig) -> NetworkConfig:
        if not self._covers(config):
            raise NotInTableError(
                f"the block table has no costs for {self._config_name(config)}; it has "
                f"{', '.join(map(self._config_name, self.configs)) or 'no complete published config'}."
            )
        return config

    def _default_config(self) -> NetworkConfig:
        if self.config is not None:
            return self.config
        covered = self.configs
        if len(covered) != 1:
            raise NotInTableError(
                f"choose a config: the block table has "
                f"{', '.join(map(self._config_name, covered)) or 'no complete published config'}."
            )
        return covered[0]

    def _config_name(self, config: NetworkConfig) -> str:
        return self.space.dataset_name(config) or str(config)

    def _raise_missing(self, arch: npt.NDArray[np.int8], config: NetworkConfig, targets: tuple[Target, ...]) -> None:
        assert isinstance(config, FBNetConfig)
        stem, blocks, head = block_keys(config)
        for key in (stem, *(row[op] for row, op in zip(blocks, arch.tolist(), strict=True)), *head):
            for target in targets:
                if key not in self.block_costs[target]:
                    raise NotInTableError(
                        f"the block table has no {target} cost for {key!r} (config {self._config_name(config)}); "
                        f"it covers {', '.join(map(self._config_name, self.configs)) or 'no published config'}."
                    )
