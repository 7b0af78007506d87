"""Architectures of a search space as a batch of networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import Graph, GraphBatch, NetworkBatch, Op, View
from hwnas_surrogate.graphs.batch import numbers_of_rows, values_of_ops
from hwnas_surrogate.graphs.views import checked_view
from hwnas_surrogate.spaces.config import NetworkConfig
from hwnas_surrogate.spaces.reading import Archs
from hwnas_surrogate.spaces.registry import get_space
from hwnas_surrogate.spaces.tables import OpTable

if TYPE_CHECKING:
    from hwnas_surrogate.spaces.base import SearchSpace

__all__ = ["ArchBatch", "ConfigLike", "Configs", "Networks", "are_graphs", "as_batch"]

ConfigLike: TypeAlias = NetworkConfig | str | Mapping[str, Any] | None
"""A network config, a dataset's name, a config string, or the benchmark's dict; None is the first published one."""
Configs: TypeAlias = ConfigLike | Iterable[ConfigLike] | npt.NDArray[Any]
"""One config for all networks, or one for each."""
Networks: TypeAlias = NetworkBatch | Graph | Mapping[str, Graph] | Archs
"""A batch; one graph, several, or a mapping of names to graphs; or architectures in any form that a space accepts."""


class ArchBatch(NetworkBatch):
    """n architectures of one space, each under a config; :meth:`SearchSpace.batch` makes it.

    Parameters
    ----------
    space : SearchSpace
    archs : ndarray of int8, shape (n, positions)
        Valid in the space.
    configs : tuple of NetworkConfig
        The distinct configs.
    config_number : ndarray of int, shape (n,)
        Which of them belongs to each architecture.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> batch = get_space("nasbench201").batch(["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "cifar10")
    >>> batch.macs.tolist()
    [7783040.0]
    """

    def __init__(
        self,
        space: SearchSpace,
        archs: npt.NDArray[np.int8],
        configs: tuple[NetworkConfig, ...],
        config_number: npt.NDArray[np.intp],
    ) -> None:
        self.space = space
        self.archs = archs
        self._configs = configs
        self._number = config_number
        self._distinct: dict[str, tuple[Op, ...]] = {}
        self._by_view: dict[str, list[tuple[npt.NDArray[np.intp] | slice, _Part]]] = {}
        self._counted: dict[int, GraphBatch] = {}

    def buildable(self) -> ArchBatch:
        """Return the batch itself, or raise :class:`InvalidConfigError` if one of its networks can't be built."""
        for number, config in enumerate(self._configs):
            selected = self.archs[self._number == number] if len(self._configs) > 1 else self.archs
            self.space.check_buildable(selected, config)
        return self

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.archs)

    @property
    def configs(self) -> tuple[NetworkConfig, ...]:
        """The distinct configs."""
        return self._configs

    @property
    def config_number(self) -> npt.NDArray[np.intp]:
        """Which of ``configs`` belongs to each architecture, shape (n,)."""
        return self._number

    @property
    def names(self) -> tuple[str, ...]:
        """The architectures' strings."""
        return tuple(self.space.format_all(self.archs))

    @property
    def keys(self) -> tuple[str, ...]:
        """The space, the architecture's string and the config."""
        configs = list(map(str, self.configs))
        return tuple(
            f"{self.space.name}/{text}/{configs[number]}" for text, number in zip(self.names, self._number, strict=True)
        )

    @cached_property
    def repeats(self) -> npt.NDArray[np.intp]:
        """Number each network, equal ones alike, in the order of their first appearance: shape (n,)."""
        rows = np.column_stack([self.archs.astype(np.intp), self._number])
        _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        return np.asarray(np.argsort(np.argsort(first))[which.reshape(-1)], np.intp)

    def take(self, rows: npt.ArrayLike) -> ArchBatch:
        """Return some of the architectures with their configs, by number or by a mask of shape (n,)."""
        chosen = numbers_of_rows(rows, len(self))
        used, number = np.unique(self._number[chosen], return_inverse=True)
        if not len(chosen):
            used = np.arange(len(self._configs))
        taken = ArchBatch(self.space, self.archs[chosen], tuple(self._configs[n] for n in used), number.astype(np.intp))
        for new, old in enumerate(used.tolist()):
            if old in self._counted:  # graphs take milliseconds each: they are kept
                place = np.cumsum(self._number == old) - 1
                taken._counted[new] = self._counted[old].take(place[chosen[number == new]])
        return taken

    def under(self, configs: Sequence[NetworkConfig]) -> ArchBatch:
        """Return the same architectures under other configs: ``configs[i]`` replaces the i-th distinct config.

        Raises
        ------
        InvalidInputError
            If there are not as many.
        """
        if len(configs) != len(self._configs):
            raise InvalidInputError(f"the batch has {len(self._configs)} configs, got {len(configs)} to replace them.")
        distinct = dict.fromkeys(configs)
        place = np.array([list(distinct).index(config) for config in configs], np.intp)
        return ArchBatch(self.space, self.archs, tuple(distinct), place[self._number]).buildable()

    def same_view(self, view: View) -> View:
        """Return the first of the views in which every network of the space runs the same operators."""
        return self.space.same_views.get(view, view)

    def distinct(self, view: View = "all") -> tuple[Op, ...]:
        """Return the L operators that networks of the space may run in a view, under any of the configs."""
        checked_view(view)
        view = self.same_view(view)
        if view not in self._distinct:
            parts = [part.distinct for _, part in self._parts(view)]
            one = parts[0] if len(parts) == 1 else tuple(dict.fromkeys(op for part in parts for op in part))
            self._distinct[view] = one
        return self._distinct[view]

    def sums(self, values: npt.ArrayLike, view: View = "all") -> npt.NDArray[np.float64]:
        """Sum values of the distinct operators over all that each network runs.

        Parameters
        ----------
        values : array-like of float, shape (L,) or (L, q)
            One value, or q values, for each of ``distinct(view)``.
        view : {"all", "live", "folded", "fused", "quantized"}, default="all"

        Returns
        -------
        ndarray of float64, shape (n,) or (n, q)
        """
        ops = self.distinct(view)
        per_op = values_of_ops(values, len(ops))
        parts = self._parts(self.same_view(view))
        if len(parts) == 1:
            return parts[0][1].sums(per_op)
        number = {op: place for place, op in enumerate(ops)}
        result = np.zeros((len(self), *per_op.shape[1:]))
        for rows, part in parts:
            result[rows] = part.sums(per_op[[number[op] for op in part.distinct]])
        return result

    def peak_memory(self, view: View = "all") -> npt.NDArray[np.float64]:
        """Return the peak memory of activations in bytes, shape (n,).

        A peak is not a sum: where the space has no table of peaks, each distinct network's graph is built, which takes
        1 to 2 ms.
        """
        checked_view(view)
        _, first = np.unique(self.repeats, return_index=True)
        peaks = np.empty(len(first))
        for number in range(len(self._configs)):
            selected = np.flatnonzero(self._number[first] == number)
            if len(selected):
                peaks[selected] = self._peaks(first[selected], number, view)
        return peaks[self.repeats]

    def _peaks(self, rows: npt.NDArray[np.intp], number: int, view: View) -> npt.NDArray[np.float64]:
        if number in self._counted:
            return self._counted[number].take((np.cumsum(self._number == number) - 1)[rows]).peak_memory(view)
        return self.space.peak_memory(self.archs[rows], self._configs[number], view)

    def graphs(self) -> GraphBatch:
        """Return the same networks as graphs."""
        graphs: dict[int, Graph] = {}
        for number in range(len(self._configs)):
            rows = np.flatnonzero(self._number == number).tolist()
            graphs |= dict(zip(rows, self._graphs_of(number).graphs, strict=True))
        return GraphBatch([graphs[row] for row in range(len(self))])

    @property
    def connected(self) -> npt.NDArray[np.bool_]:
        """Whether a path leads from the input of each network to its output, shape (n,)."""
        return self.space.connected(self.archs)

    def _parts(self, view: View) -> list[tuple[npt.NDArray[np.intp] | slice, _Part]]:
        """Return the architectures under each config, and the operators that they run."""
        if view not in self._by_view:
            several = len(self._configs) > 1
            rows = [np.flatnonzero(self._number == n) if several else slice(None) for n in range(len(self._configs))]
            self._by_view[view] = [(selected, self._part(selected, n, view)) for n, selected in enumerate(rows)]
        return self._by_view[view]

    def _part(self, rows: npt.NDArray[np.intp] | slice, number: int, view: View) -> _Part:
        archs, config = self.archs[rows], self._configs[number]
        table = self.space.op_table(config, view)
        if table is not None:
            return _Tabulated(table, self.space.table_choices(archs, config, view))
        return _Counted(self._graphs_of(number), view)

    def _graphs_of(self, number: int) -> GraphBatch:
        """Return the graphs of the architectures under one config, by its number."""
        if number not in self._counted:
            self._counted[number] = self.space.graphs(self.archs[self._number == number], self._configs[number])
        return self._counted[number]


class _Part(Protocol):
    """The operators of some architectures under one config."""

    @property
    def distinct(self) -> tuple[Op, ...]: ...

    def sums(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...


class _Tabulated:
    """Architectures of a space with tables of operators by choice."""

    def __init__(self, table: OpTable, choices: npt.NDArray[np.integer[Any]]) -> None:
        self._table, self._choices = table, choices
        self.distinct = table.distinct

    def sums(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self._table.sums(self._choices, values)


class _Counted:
    """Architectures of a space that defines graphs only."""

    def __init__(self, graphs: GraphBatch, view: View) -> None:
        self._graphs, self._view = graphs, view
        self.distinct = graphs.distinct(view)

    def sums(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self._graphs.sums(values, self._view)


def as_batch(space: str | SearchSpace | None, networks: Networks, configs: Configs = None) -> NetworkBatch:
    """Return networks as a batch: a batch unchanged, graphs as a GraphBatch, or architectures of a space.

    Parameters
    ----------
    space : str, SearchSpace or None
        The space of the architectures; None accepts only graphs and batches, of any space.
    networks : NetworkBatch, Graph, sequence of Graph, mapping of str to Graph, or architectures
    configs : config or sequence of n configs, optional
        The configs of architectures; the space's first published one if None.

    Raises
    ------
    InvalidInputError
        If a batch is of another space, or configs are given for a batch or for graphs.
    InvalidArchitectureError, InvalidConfigError
        If an architecture or a config is invalid, or the network can't be built.
    """
    found = None if space is None else get_space(space)
    if isinstance(networks, Iterator) or str(getattr(networks, "dtype", "")) == "object":
        networks = list(networks)  # type: ignore[arg-type]
    if isinstance(networks, Graph):
        networks = GraphBatch([networks])
    elif not isinstance(networks, NetworkBatch) and (are_graphs(networks) or (found is None and _is_empty(networks))):
        networks = GraphBatch(networks)  # type: ignore[arg-type]
    if not isinstance(networks, NetworkBatch):
        if found is None:
            raise InvalidInputError(
                f"expected graphs or a batch of networks, got {type(networks).__name__}: {networks!r:.60}. "
                "A space's batch(archs) makes one of architectures."
            )
        return found.batch(networks, configs)
    if configs is not None:
        what = "graphs have no config" if isinstance(networks, GraphBatch) else "a batch has its configs already"
        raise InvalidInputError(f"{what}: leave configs out, got {configs!r:.80}.")
    if found is not None and isinstance(networks, ArchBatch) and networks.space.name != found.name:
        raise InvalidInputError(f"expected networks of {found.name!r}, got a batch of {networks.space.name!r}.")
    return networks


def _is_empty(networks: object) -> bool:
    return isinstance(networks, (list, tuple, Mapping)) and not networks


def are_graphs(networks: object) -> bool:
    """Return whether something is a list of graphs, or a mapping of names to graphs, and not empty.

    Raises
    ------
    InvalidInputError
        If a list holds both graphs and other things.
    """
    if isinstance(networks, Mapping):
        return bool(networks) and all(isinstance(one, Graph) for one in networks.values())
    if not isinstance(networks, (list, tuple)) or not any(isinstance(one, Graph) for one in networks):
        return False
    others = [place for place, one in enumerate(networks) if not isinstance(one, Graph)]
    if others:
        raise InvalidInputError(
            f"graphs and other networks can't be mixed: entry {others[0]} is {type(networks[others[0]]).__name__}. "
            "Give graphs only (a space's graph(arch) makes one of an architecture)."
        )
    return True
