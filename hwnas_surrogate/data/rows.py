"""The networks of a cost table: which row each one has."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError, NotInTableError, unknown
from hwnas_surrogate.graphs import Graph, GraphBatch, NetworkBatch
from hwnas_surrogate.spaces import ArchBatch, ConfigLike, NetworkConfig, Networks, SearchSpace, as_batch
from hwnas_surrogate.spaces.batch import are_graphs

__all__ = ["ArchRows", "Configs", "GraphRows", "RowNumbers", "Rows", "frozen", "rows_of"]

Configs: TypeAlias = ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any]
RowNumbers: TypeAlias = npt.NDArray[np.intp]


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view


class Rows(ABC):
    """n different networks, in order.

    Attributes
    ----------
    space : SearchSpace or None
        The architectures' space; None of graphs.
    configs : tuple of NetworkConfig
        The distinct configs; ``(None,)`` of graphs.
    config_number : ndarray of int, shape (n,)
        Which of them belongs to each row.
    """

    space: SearchSpace | None
    configs: tuple[Any, ...]
    config_number: npt.NDArray[np.intp]

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of networks."""

    @property
    @abstractmethod
    def batch(self) -> NetworkBatch:
        """The networks, as surrogates and encoders accept them."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What each network is called, shape (n,)."""

    @abstractmethod
    def find(self, networks: Networks, configs: Configs) -> RowNumbers:
        """Return the row of each network, shape (m,), or raise :class:`NotInTableError`."""

    @abstractmethod
    def under(self, configs: ConfigLike | Iterable[ConfigLike]) -> RowNumbers:
        """Return the rows under a config, or under any of several, in order."""

    @abstractmethod
    def take(self, rows: RowNumbers) -> Rows:
        """Return some of the networks."""

    @abstractmethod
    def add_to(self, digest: hashlib._Hash) -> None:
        """Add the networks and their order to a hash."""


def rows_of(space: SearchSpace | None, networks: Networks, configs: Configs) -> Rows:
    """Return networks as the rows of a table: architectures of a space, or, without a space, graphs."""
    if space is None:
        batch = as_batch(None, networks, configs)
        if not isinstance(batch, GraphBatch):
            raise InvalidInputError(
                "a table without a space holds graphs, got architectures: give their space, or batch.graphs()."
            )
        return GraphRows(batch)
    if _holds_graphs(networks):
        raise InvalidInputError(
            f"a table over {space.name} holds architectures, got graphs: CostTable(None, graphs, ...) holds graphs."
        )
    if isinstance(networks, NetworkBatch):
        batch = as_batch(space, networks, configs)
        assert isinstance(batch, ArchBatch)
        return ArchRows(space, batch.archs, batch.configs, batch.config_number)
    archs = frozen(np.array(space.as_array(networks)))  # type: ignore[arg-type]  # a copy: int8 input passes as it is
    distinct, numbers = space.group_configs(configs, len(archs))
    return ArchRows(space, archs, distinct if len(archs) else (), numbers)


def _holds_graphs(networks: object) -> bool:
    return isinstance(networks, (Graph, GraphBatch)) or are_graphs(networks)


class ArchRows(Rows):
    """Architectures of a space, each under a config.

    Raises
    ------
    InvalidInputError
        If an architecture occurs twice under one config.
    """

    space: SearchSpace

    def __init__(
        self,
        space: SearchSpace,
        archs: npt.NDArray[np.int8],
        configs: tuple[NetworkConfig, ...],
        config_number: npt.NDArray[np.intp],
    ) -> None:
        self.space, self.archs, self.configs = space, archs, configs
        self.config_number = frozen(config_number)
        self._rows = self._sorted()

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.archs)

    def _sorted(self) -> dict[NetworkConfig, tuple[npt.NDArray[Any], RowNumbers]]:
        """Sorted architecture codes and their row numbers, for each config."""
        codes = self.space.codes(self.archs)
        rows = {}
        for number, config in enumerate(self.configs):
            selected = np.flatnonzero(self.config_number == number)
            order = selected[np.argsort(codes[selected], kind="stable")]
            ordered = codes[order]
            repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
            if len(repeated):
                text = self.space.format(self.archs[order[repeated[0]]])
                raise InvalidInputError(
                    f"architecture {text!r} occurs more than once under config {config} "
                    f"({len(repeated)} repeats in all). Merge repeated measurements first."
                )
            rows[config] = (ordered, order)
        return rows

    @cached_property
    def batch(self) -> ArchBatch:
        """The networks, as surrogates and encoders accept them."""
        return ArchBatch(self.space, self.archs, self.configs, self.config_number).buildable()

    @property
    def names(self) -> tuple[str, ...]:
        """The architectures' strings."""
        return tuple(self.space.format_all(self.archs))

    @cached_property
    def _complete(self) -> int:
        """Size of the space, or -1 if it has none. If a config has this many rows, codes are row ranks."""
        return len(self.space) if isinstance(self.space, Sized) else -1

    def find(self, networks: Networks, configs: Configs) -> RowNumbers:
        """Return the row of each architecture; without configs, the table has one."""
        if _holds_graphs(networks):
            raise InvalidInputError(f"the table holds architectures of {self.space.name}, got graphs.")
        if isinstance(networks, NetworkBatch):
            asked = as_batch(self.space, networks, configs)
            assert isinstance(asked, ArchBatch)
            archs, distinct, numbers = asked.archs, asked.configs, asked.config_number
        else:
            archs = self.space.as_array(networks)  # type: ignore[arg-type]
            under = self._only_config() if configs is None else configs
            distinct, numbers = self.space.group_configs(under, len(archs))
        return self._found(archs, distinct, numbers)

    def _found(
        self, archs: npt.NDArray[np.int8], configs: tuple[NetworkConfig, ...], numbers: npt.NDArray[np.intp]
    ) -> RowNumbers:
        codes = self.space.codes(archs)
        found = np.empty(len(archs), np.intp)
        for number, config in enumerate(configs):
            self._check_has(config)
            ordered, rows = self._rows[config]
            selected = numbers == number if len(configs) > 1 else slice(None)
            wanted = codes[selected]
            if len(ordered) == self._complete:
                found[selected] = rows[wanted]
                continue
            at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
            wrong = ordered[at] != wanted
            if wrong.any():
                text = self.space.format(archs[selected][np.argmax(wrong)])
                raise NotInTableError(
                    f"{int(wrong.sum())} of {len(wanted)} architectures are not in the table, the first is {text!r}; "
                    f"the table has {len(ordered)} under config {self._named(config)}. "
                    "A surrogate trained on the table predicts the others."
                )
            found[selected] = rows[at]
        return found

    def under(self, configs: ConfigLike | Iterable[ConfigLike]) -> RowNumbers:
        """Return the rows under a config, or under any of several, in order."""
        single = isinstance(configs, (str, NetworkConfig, Mapping))
        wanted = [self.space.config(item) for item in ([configs] if single else configs)]  # type: ignore[union-attr,arg-type]
        for config in wanted:
            self._check_has(config)
        return np.flatnonzero(np.isin(self.config_number, [self.configs.index(config) for config in wanted]))

    def take(self, rows: RowNumbers) -> ArchRows:
        """Return some of the architectures."""
        used, number = np.unique(self.config_number[rows], return_inverse=True)
        configs = tuple(self.configs[at] for at in used)
        return ArchRows(self.space, frozen(self.archs[rows]), configs, number.astype(np.intp))

    def add_to(self, digest: hashlib._Hash) -> None:
        """Add the architectures and configs to a hash."""
        digest.update(self.archs.tobytes())
        digest.update(np.ascontiguousarray(self.config_number, np.int64).tobytes())
        digest.update("\n".join([self.space.name, *map(str, self.configs)]).encode())

    def _check_has(self, config: NetworkConfig) -> None:
        if config not in self.configs:
            raise NotInTableError(
                f"no costs under config {self._named(config)}; the table has "
                f"{', '.join(map(self._named, self.configs)) or 'no rows'}."
            )

    def _named(self, config: NetworkConfig) -> str:
        dataset = self.space.dataset_name(config)
        return f"{dataset} ({config})" if dataset else str(config)

    def _only_config(self) -> NetworkConfig:
        if len(self.configs) != 1:
            raise NotInTableError(
                f"the table has {len(self.configs)} configs, choose one: {', '.join(map(self._named, self.configs))}."
                if self.configs
                else "the table has no rows."
            )
        config: NetworkConfig = self.configs[0]
        return config


class GraphRows(Rows):
    """Graphs, identified by their hash; their names differ too.

    Raises
    ------
    InvalidInputError
        If two rows have one name, or are one network.
    """

    space = None
    configs = (None,)

    def __init__(self, batch: GraphBatch) -> None:
        self._batch, self._names = batch, batch.names
        self.config_number = frozen(batch.config_number)
        self._by_key: dict[str, int] = {}
        self._by_name: dict[str, int] = {}
        for row, (key, name) in enumerate(zip(batch.keys, self._names, strict=True)):
            if self._by_name.setdefault(name, row) != row:
                raise InvalidInputError(f"networks have different names, got {name!r} more than once.")
            if self._by_key.setdefault(key, row) != row:
                raise InvalidInputError(
                    f"{self._names[self._by_key[key]]!r} and {name!r} are the same network: its operators and their "
                    "inputs are equal. Give it once; merge repeated measurements first."
                )

    def __len__(self) -> int:
        """Return the number of graphs."""
        return len(self._batch)

    @property
    def batch(self) -> GraphBatch:
        """The graphs."""
        return self._batch

    @property
    def names(self) -> tuple[str, ...]:
        """The graphs' names."""
        return self._names

    def find(self, networks: Networks, configs: Configs) -> RowNumbers:
        """Return the row of each graph, or of each name."""
        self._refuse(configs)
        if isinstance(networks, Iterator):
            networks = list(networks)
        names = _texts(networks)
        if names is None:
            asked = as_batch(None, networks)
            if not isinstance(asked, GraphBatch):
                raise InvalidInputError(
                    "the table holds graphs, got architectures: batch.graphs() makes graphs of them."
                )
            keys = asked.keys
            absent = sum(key not in self._by_key for key in keys)
            if absent:
                raise NotInTableError(
                    f"{absent} of {len(keys)} networks are not among the {len(self)} of the table. "
                    "A surrogate trained on the table predicts them."
                )
            return np.array([self._by_key[key] for key in keys], np.intp)
        for name in names:
            if name not in self._by_name:
                raise unknown(NotInTableError, "network", name, self._names)
        return np.array([self._by_name[name] for name in names], np.intp)

    def under(self, configs: ConfigLike | Iterable[ConfigLike]) -> RowNumbers:
        """Raise: graphs have no config."""
        self._refuse(configs)
        return np.arange(len(self))

    def take(self, rows: RowNumbers) -> GraphRows:
        """Return some of the graphs."""
        return GraphRows(self._batch.take(rows))  # with the counts of operators that are known

    def add_to(self, digest: hashlib._Hash) -> None:
        """Add the graphs to a hash; their names are not part of it."""
        digest.update("\n".join(self._batch.keys).encode())

    @staticmethod
    def _refuse(configs: object) -> None:
        if configs is not None:
            raise InvalidConfigError(f"the table holds graphs, which have no config, got {configs!r:.60}.")


def _texts(networks: Networks) -> list[str] | None:
    """Return the names given in place of networks; None if something else is given."""
    if isinstance(networks, str):
        return [networks]
    if isinstance(networks, (NetworkBatch, Graph, Mapping)) or not isinstance(networks, Iterable):
        return None
    items = list(networks)
    return items if all(isinstance(item, str) for item in items) else None
