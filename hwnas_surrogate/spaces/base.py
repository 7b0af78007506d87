"""The base of search spaces: their interface, and the conversion of architectures to int8 batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError, unknown
from hwnas_surrogate.graphs import Graph, GraphBatch, View
from hwnas_surrogate.random_states import RandomState
from hwnas_surrogate.spaces.batch import ArchBatch, ConfigLike, Configs
from hwnas_surrogate.spaces.config import NetworkConfig
from hwnas_surrogate.spaces.conventions import Convention
from hwnas_surrogate.spaces.drawing import drawn
from hwnas_surrogate.spaces.op_lists import ArchArray, OpLists, numbered
from hwnas_surrogate.spaces.reading import Archs, contents, stacked
from hwnas_surrogate.spaces.registry import get_space
from hwnas_surrogate.spaces.tables import OpTable

__all__ = ["ArchArray", "ConfigLike", "SearchSpace"]


class SearchSpace(OpLists, ABC):
    """A search space: an architecture is an op at each position.

    Architectures are accepted as strings, op lists (numbers or names) and arrays, one or many; NAS-Bench-201 also
    accepts indices. Internally, a batch is an int8 array of shape (n, positions).
    """

    configs: ClassVar[Mapping[str, NetworkConfig]]
    config_class: ClassVar[type[NetworkConfig]]
    conventions: ClassVar[Mapping[str, Convention]] = MappingProxyType({})
    same_views: ClassVar[Mapping[View, View]] = MappingProxyType({})
    """Views with the same operators as another view, for every network."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as a name: there is one object per space."""
        return get_space, (self.name,)

    @property
    def n_positions(self) -> int:
        """Positions of an architecture (6 edges, or 22 layers)."""
        return len(self.position_names)

    # -- architectures ------------------------------------------------------------------------------------

    @abstractmethod
    def parse(self, text: str) -> ArchArray:
        """Read one architecture string into int8 ops, shape (positions,)."""

    @abstractmethod
    def format(self, arch: Archs) -> str:
        """Write one architecture as its string."""

    @abstractmethod
    def format_all(self, archs: Archs) -> list[str]:
        """Write a batch of architectures as strings."""

    @abstractmethod
    def codes(self, archs: ArchArray) -> npt.NDArray[Any]:
        """Return one sortable key per architecture, shape (n,): equal exactly for equal architectures."""

    @abstractmethod
    def canonical(self, archs: Archs) -> list[str]:
        """Return one string per architecture, equal for networks known to compute the same function."""

    @abstractmethod
    def sample(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures uniformly, int8 of shape (n, positions)."""

    def draw(self, start: int, stop: int, seed: int = 0) -> ArchArray:
        """Draw architectures number ``start`` to ``stop - 1`` of a seed's endless random sequence.

        Any range can be drawn alone: it is the same as in a longer draw. Repeats occur as by chance, unlike in
        :meth:`sample`.

        Returns
        -------
        ndarray of int8, shape (stop - start, positions)

        Raises
        ------
        InvalidInputError
            If the numbers are no range, or the seed is negative.
        """
        return drawn(self.n_ops_at, start, stop, seed)

    def representatives(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures that stand for the space, or fewer.

        There are fewer in a space with less architectures, or whose networks take long to count.
        """
        return self.sample(n, random_state)

    @abstractmethod
    def enumerate(self) -> ArchArray:
        """Return every architecture, int8 of shape (size, positions), or raise if there are too many."""

    def neighbours(self, arch: Archs) -> ArchArray:
        """Return every architecture that differs from this one in exactly one op.

        Returns
        -------
        ndarray of int8, shape (positions * (ops - 1), positions)
            Fewer rows where positions have fewer ops.
        """
        (ops,) = self._exactly_one(arch)
        n_ops = self.n_ops_at
        position = np.repeat(np.arange(self.n_positions), n_ops - 1)
        shift = np.concatenate([np.arange(1, n) for n in n_ops])
        result = np.repeat(ops[None], len(position), axis=0)
        result[np.arange(len(result)), position] = (ops[position] + shift) % n_ops[position]
        return result

    def as_array(self, archs: Archs) -> ArchArray:
        """Turn one or many architectures, in any accepted form, into a batch.

        The meaning of integers depends on their number and range, never on the container. One integer is an index. A
        flat sequence of integers is one op list if its length is the number of positions and each integer is the number
        of an op (NAS-Bench-201: six values 0..4; such a list repeats a value, so it can't be a list of different
        indices). Any other flat sequence holds indices. Integers in rows, as in an array of two axes or a list of
        lists, are op lists. FBNet has no index.

        Parameters
        ----------
        archs : str, int, sequence or array
            A string, an index (NAS-Bench-201), an op list (numbers or names), an array of shape (positions,) or
            (n, positions), or a sequence of any of these. Lists, tuples, arrays of every integer dtype, Series, data
            frames and tensors are read alike.

        Returns
        -------
        ndarray of int8, shape (n, positions)

        Raises
        ------
        InvalidArchitectureError
            If an entry is not an architecture of this space; the message names the first.

        Examples
        --------
        >>> import numpy as np
        >>> from hwnas_surrogate.spaces import get_space
        >>> space = get_space("nasbench201")
        >>> space.as_array(np.array([4, 2, 1, 2, 1, 1]))
        array([[4, 2, 1, 2, 1, 1]], dtype=int8)
        >>> space.as_array([4, 2, 1]).shape
        (3, 6)
        """
        held = contents(archs)
        if isinstance(held, str):
            return self.parse(held)[None]
        if isinstance(held, np.ndarray):
            if held.ndim < 2:
                return self._from_integers(held)
            return self._checked(held)
        if held is None:
            raise self._not_an_arch(archs)
        if self._names_ops(held):
            return self._from_names(held)
        return self.stack(held)

    def stack(self, archs: Iterable[Any], convention: str | None = None) -> ArchArray:
        """Turn single architectures into a batch: a row for each entry, whatever their number.

        Each entry is an architecture by itself: an integer is an index, and a flat sequence of integers is an op list.
        :meth:`as_array` reads a sequence in this way if it holds anything but integers and names of ops.

        Parameters
        ----------
        archs : iterable of n architectures
            Each in any form that :meth:`as_array` accepts for one.
        convention : str, optional
            The convention of op numbers, as in :meth:`from_convention`; the space's own if None.

        Returns
        -------
        ndarray of int8, shape (n, positions)

        Raises
        ------
        InvalidArchitectureError
            If an entry is not one architecture of this space; the message names the first.
        InvalidInputError
            If there is no such convention.
        """
        order = None if convention is None else self.convention(convention)
        held = contents(archs)
        if isinstance(held, np.ndarray) and held.ndim == 1:
            if convention is not None:
                raise self._no_index_in(convention)
            return self._from_indices(held)
        if isinstance(held, np.ndarray) and held.ndim == 2:
            return self._checked(held, order)
        if not isinstance(held, list):
            raise self._not_an_arch(archs)
        if not held:
            return np.empty((0, self.n_positions), np.int8)
        if all(isinstance(entry, str) for entry in held):
            return self._from_texts(held)
        rows = stacked(held)
        if rows is not None:
            return self._checked(rows, order)
        batches = []
        for number, entry in enumerate(held):
            try:
                batches.append(self._entry(entry, convention, order))
            except InvalidArchitectureError as error:
                message = str(error).removeprefix("architecture number 0: ")
                raise InvalidArchitectureError(f"architecture number {number}: {message}") from None
        return np.concatenate(batches)

    def _entry(self, entry: Any, convention: str | None, order: Convention | None) -> ArchArray:
        """Read one entry of a sequence, shape (1, positions)."""
        held = contents(entry)
        if isinstance(held, np.ndarray) and held.ndim == 1:
            return self._checked(held[None], order)  # the ops of one architecture, not indices of several
        one: Any = entry if held is None else held
        return self._only(self.as_array(one) if convention is None else self.from_convention(one, convention))

    def convention(self, name: str | None = None) -> Convention:
        """Return a convention of op numbers by its name; the space's own for None.

        Raises
        ------
        InvalidInputError
            If there is no such convention.
        """
        if name is None:
            return self._own()
        if not isinstance(name, str) or name not in self.conventions:
            hint = f"Left out, op numbers are those of {self.title}: {numbered(self.ops)}."
            raise unknown(InvalidInputError, f"convention of {self.title} op numbers", name, self.conventions, hint)
        return self.conventions[name]

    def from_convention(self, archs: Archs, convention: str) -> ArchArray:
        """Turn architectures whose op numbers follow another tool's convention into a batch.

        Only op numbers have a convention. The space's strings mean the same everywhere and are accepted. Indices and
        names of ops are refused: an index belongs to the benchmark, and for names the order of positions is unknown.

        Parameters
        ----------
        archs : sequence or array
            Op numbers, of shape (positions,) or (n, positions), strings, or a sequence of them, in any container that
            :meth:`as_array` accepts. A flat sequence of integers is one op list.
        convention : str
            The convention's name, one of ``conventions``: ``"naslib"`` for NAS-Bench-201, none for FBNet.

        Returns
        -------
        ndarray of int8, shape (n, positions)

        Raises
        ------
        InvalidInputError
            If there is no such convention.
        InvalidArchitectureError
            If an entry is not an architecture, or is an index.

        Examples
        --------
        >>> from hwnas_surrogate.spaces import get_space
        >>> space = get_space("nasbench201")
        >>> space.format(space.from_convention((4, 0, 3, 1, 4, 3), "naslib"))
        '|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|'
        """
        order = self.convention(convention)
        held = contents(archs)
        if isinstance(held, str):
            return self.parse(held)[None]
        if isinstance(held, np.ndarray):
            if held.ndim == 0:
                raise self._no_index_in(convention)
            return self._checked(held[None] if held.ndim == 1 else held, order)
        if held is None:
            raise self._not_an_arch(archs)
        if self._names_ops(held):
            raise InvalidArchitectureError(
                f"names of ops have no order of positions in the convention {convention!r}, got {held!r:.120}; "
                f"give their numbers ({numbered(order.ops)}; in the order {', '.join(order.positions)}) or the string."
            )
        return self.stack(held, convention)

    def to_convention(self, archs: Archs, convention: str) -> ArchArray:
        """Return the op numbers of architectures in another tool's convention; see :meth:`from_convention`.

        Parameters
        ----------
        archs : architectures
            One or many.
        convention : str
            The convention's name, one of ``conventions``.

        Returns
        -------
        ndarray of int8, shape (n, positions)
        """
        return self.convention().translate(self.as_array(archs), self.convention(convention))

    def _from_names(self, names: list[str]) -> ArchArray:
        return np.array([[self.ops.index(name) for name in names]], np.int8)

    def _from_texts(self, texts: list[str]) -> ArchArray:
        return np.stack([self.parse(text) for text in texts])

    def _exactly_one(self, arch: Archs) -> ArchArray:
        return self._only(self.as_array(arch))

    def _only(self, batch: ArchArray) -> ArchArray:
        if len(batch) != 1:
            raise InvalidArchitectureError(f"expected one {self.title} architecture, got {len(batch)}.")
        return batch

    @staticmethod
    def _check_sample_size(n: int, size: int) -> None:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 0 <= n <= size:
            raise InvalidInputError(f"n must be an integer from 0 to {size} (no repeats), got {n!r}.")

    # -- configs ------------------------------------------------------------------------------------------

    @property
    def default_config(self) -> NetworkConfig:
        """The first published config."""
        return next(iter(self.configs.values()))

    def config(self, config: ConfigLike = None) -> NetworkConfig:
        """Resolve a config.

        Parameters
        ----------
        config : NetworkConfig, str, mapping or None
            A config of this space, a published dataset's name, a config string, the dict that the
            benchmark's ``get_net_config`` returns, or None for the first published config.

        Returns
        -------
        NetworkConfig

        Raises
        ------
        InvalidConfigError
            If it is none of these.
        """
        if config is None:
            return self.default_config
        if isinstance(config, self.config_class):
            return config
        if isinstance(config, str):
            if config in self.configs:
                return self.configs[config]
            try:
                return self.config_class.parse(config)
            except ValueError:
                if "-" in config and any(char.isdigit() for char in config) and "x" in config:
                    raise  # a config of this package: the error describes what is wrong
                hint = f"A modified config is written like {str(self.default_config)!r}."
                what = f"{self.title} dataset or config"
                raise unknown(InvalidConfigError, what, config, self.configs, hint) from None
        if isinstance(config, Mapping):
            return self._config_from_dict(config)
        raise InvalidConfigError(
            f"a {self.title} config must be a {self.config_class.__name__}, a dataset name "
            f"({', '.join(self.configs)}), a config string or the benchmark's config dict, "
            f"got {type(config).__name__}."
        )

    @abstractmethod
    def _config_from_dict(self, config: Mapping[str, Any]) -> NetworkConfig: ...

    @abstractmethod
    def arch_from_dict(self, config: Mapping[str, Any]) -> ArchArray:
        """Return the architecture inside the benchmark's config dict, shape (positions,)."""

    def dataset_name(self, config: NetworkConfig) -> str | None:
        """Return the published dataset whose config this is, or None for a modified one."""
        return next((name for name, published in self.configs.items() if published == config), None)

    def group_configs(self, configs: Configs, n: int) -> tuple[tuple[NetworkConfig, ...], npt.NDArray[np.intp]]:
        """Resolve one config for all, or one per architecture, into distinct configs and their numbers.

        Parameters
        ----------
        configs : config or iterable of n configs
            As :meth:`config` accepts them.
        n : int
            The number of architectures.

        Returns
        -------
        distinct : tuple of NetworkConfig
        number : ndarray of int, shape (n,)
            Which of ``distinct`` belongs to each architecture.
        """
        if configs is None or isinstance(configs, (str, NetworkConfig, Mapping)):
            return (self.config(configs),), np.zeros(n, np.intp)
        if not isinstance(configs, Iterable) or getattr(configs, "ndim", 1) == 0:
            self.config(configs)  # type: ignore[arg-type]  # raises, since it is no config either
        items = list(configs)
        if len(items) != n:
            raise InvalidConfigError(
                f"configs must be one config or one per architecture: got {len(items)} for {n} architectures."
            )
        distinct: dict[NetworkConfig, int] = {}
        seen: dict[Any, int] = {}
        number = np.empty(n, np.intp)
        for row, item in enumerate(items):
            # Few objects repeat many times: their identity is a cheap key (`items` keeps them alive).
            key = item if isinstance(item, str) else id(item)
            if key not in seen:
                seen[key] = distinct.setdefault(self.config(item), len(distinct))
            number[row] = seen[key]
        return tuple(distinct), number

    # -- operators of the networks ------------------------------------------------------------------------

    @abstractmethod
    def graph(self, arch: Archs, config: ConfigLike = None) -> Graph:
        """Return the network of one architecture as a graph of operators, at batch 1.

        It equals the graph that :meth:`~hwnas_surrogate.graphs.Graph.from_torch` captures from the network that
        :func:`~hwnas_surrogate.networks.build_network` builds: with every operator that runs, dead edges too.

        Parameters
        ----------
        arch : architecture
            One, in any accepted form.
        config : NetworkConfig, str, mapping or None, default=None
            The space's first published config if None.

        Returns
        -------
        Graph
        """

    def construct(self, ops: Sequence[int], config: NetworkConfig) -> Any:
        """Return what :meth:`build` returns for an architecture, given by the number of the op at each position."""
        return self.build(ops, config)

    def build(self, arch: Any, config: Any) -> Any:
        """Return the PyTorch module of one architecture. A custom space defines it for measuring and export.

        Parameters
        ----------
        arch : sequence of int
            The number of the op at each position. In a :class:`ChoiceSpace`, a mapping of positions to values.
        config : NetworkConfig

        Returns
        -------
        torch.nn.Module
            Takes float32 input of shape ``(batch, *config.input_shape)``. Its captured graph equals :meth:`graph`.

        Raises
        ------
        InvalidInputError
            If the space has no networks.
        """
        raise InvalidInputError(
            f"no network is known for {self.title}: {type(self).__name__} has no method build(ops, config) that "
            "returns a torch.nn.Module."
        )

    def inputs(self, arch: Archs, config: ConfigLike = None) -> tuple[Any, ...] | None:
        """Return tensors that the network of one architecture takes.

        None stands for one float32 input of shape ``(1, *config.input_shape)``, which most spaces' networks take.
        """
        return None

    def graphs(self, archs: Archs, config: ConfigLike = None) -> GraphBatch:
        """Return the networks of n architectures as graphs, under one config; see :meth:`graph`."""
        return GraphBatch([self.graph(arch, config) for arch in self.as_array(archs)])

    def batch(self, archs: Archs, configs: Configs = None) -> ArchBatch:
        """Return the networks of architectures, as encoders, surrogates and tables accept them.

        Parameters
        ----------
        archs : architectures
            One or many, in any accepted form.
        configs : config or sequence of n configs, optional
            The network configs; the space's first published one if None.

        Returns
        -------
        ArchBatch
            The batch, which counts and sums the operators that the networks run.

        Raises
        ------
        InvalidArchitectureError, InvalidConfigError
            If an architecture or a config is not of this space, or the network can't be built.

        Notes
        -----
        A network without a path from input to output (:meth:`connected`) has the multiply-adds of all its modules in
        the view ``"all"``, although a device that runs converted networks computes almost nothing.

        Examples
        --------
        >>> from hwnas_surrogate.spaces import get_space
        >>> space = get_space("nasbench201")
        >>> cut_off = space.batch("|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|none~1|none~2|")
        >>> [float(cut_off.total("macs", view)[0]) for view in ("all", "live", "folded")]
        [113951360.0, 0.0, 0.0]
        >>> cut_off.connected
        array([False])
        """
        batch = np.array(self.as_array(archs))  # a copy: int8 input passes as_array as it is
        return ArchBatch(self, batch, *self.group_configs(configs, len(batch))).buildable()

    def check_buildable(self, archs: ArchArray, config: NetworkConfig) -> None:
        """Raise :class:`InvalidConfigError` if a network can't be built under a config; in most spaces all can."""

    def op_table(self, config: NetworkConfig, view: View) -> OpTable | None:
        """Return the operators that each choice runs under a config in a view.

        None if a space has no such table. The operators of each network's :meth:`graph` are then counted, which takes
        milliseconds per network.
        """
        return None

    def table_choices(self, archs: ArchArray, config: NetworkConfig, view: View) -> npt.NDArray[np.integer[Any]]:
        """Return the choice at each position of a view's table, (n, positions); by default the ops."""
        return archs

    def peak_memory(self, archs: ArchArray, config: NetworkConfig, view: View) -> npt.NDArray[np.float64]:
        """Return the peak memory of activations in bytes, int8 (n, positions) -> (n,).

        A space may override this with a smaller network that has the same peak.
        """
        return self.graphs(archs, config).peak_memory(view)

    @abstractmethod
    def executed(self, archs: Archs, view: str, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        """Return which positions run in a view under a config, shape (n, positions)."""

    def connected(self, archs: Archs) -> npt.NDArray[np.bool_]:
        """Return whether a path leads from the input to the output, shape (n,).

        The output of a network without such a path does not depend on its input. It is a valid architecture with a
        cost, often the smallest of all. In most spaces every architecture has a path.
        """
        return np.ones(len(self.as_array(archs)), bool)

    @staticmethod
    def _check_view(view: str) -> None:
        if view not in ("all", "live", "folded"):
            raise unknown(InvalidInputError, "view", view, ("all", "live", "folded"))
