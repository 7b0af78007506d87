"""The search space: what every space answers, and how a user's architectures become int8 batches."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError, unknown
from hwnas_surrogate.spaces.config import NetworkConfig
from hwnas_surrogate.spaces.layers import Layers, View
from hwnas_surrogate.spaces.operators import Operators

__all__ = ["ArchArray", "Archs", "ConfigLike", "RandomState", "SearchSpace", "arch_from_text", "as_generator"]

ArchArray: TypeAlias = npt.NDArray[np.int8]
Archs: TypeAlias = str | int | Iterable[Any] | npt.NDArray[Any]
"""One architecture or several: a string, an index, an op list, or sequences and arrays of them."""
ConfigLike: TypeAlias = NetworkConfig | str | Mapping[str, Any] | None
"""A network config, a dataset's name, a config string, or the fields that differ; None is the first published one."""
RandomState: TypeAlias = int | np.random.Generator | None
"""A seed, a generator that goes on, or None for numbers that differ every time."""


def as_generator(random_state: RandomState) -> np.random.Generator:
    """Return a generator of its own for a seed (or fresh entropy for None); a Generator passes through."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is not None and (not isinstance(random_state, (int, np.integer)) or random_state < 0):
        raise InvalidInputError(
            f"random_state must be a non-negative integer, a numpy Generator or None, got {random_state!r}."
        )
    return np.random.default_rng(random_state)


def arch_from_text(text: str) -> Archs:
    """Read an architecture as people type it, into what a space's ``as_array`` takes.

    An index (``"42"``), ops joined by commas (``"0,1,2,3,4,0"``, or their names), or the space's own string.
    """
    parts = [part.strip() for part in text.split(",")]
    if all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):
        numbers = [int(part) for part in parts]
        return [numbers] if len(numbers) > 1 else numbers[0]
    return [parts] if len(parts) > 1 else text


class SearchSpace(ABC):
    """What an architecture is: ops at positions.

    Architectures are accepted as strings, op lists (numbers or names) and arrays, one or many; NAS-Bench-201
    also takes indices. Inside, a batch is an int8 array of shape (n, positions).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    ops: ClassVar[tuple[str, ...]]
    position_names: ClassVar[tuple[str, ...]]
    configs: ClassVar[Mapping[str, NetworkConfig]]
    config_class: ClassVar[type[NetworkConfig]]
    merged_names: ClassVar[tuple[str, ...]] = ()
    quantized_names: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as a name: there is one object per space."""
        from hwnas_surrogate.spaces import get_space

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

    @abstractmethod
    def enumerate(self) -> ArchArray:
        """Return every architecture, int8 of shape (size, positions), or raise if there are too many."""

    def neighbours(self, arch: Archs) -> ArchArray:
        """Return every architecture that differs from this one in exactly one op.

        Returns
        -------
        ndarray of int8, shape (positions * (ops - 1), positions)
        """
        (ops,) = self._exactly_one(arch)
        n_ops = len(self.ops)
        result = np.repeat(ops[None], self.n_positions * (n_ops - 1), axis=0)
        position = np.repeat(np.arange(self.n_positions), n_ops - 1)
        shift = np.tile(np.arange(1, n_ops), self.n_positions)
        rows = np.arange(len(result))
        result[rows, position] = (ops[position] + shift) % n_ops
        return result

    def as_array(self, archs: Archs) -> ArchArray:
        """Turn one or many architectures, in any accepted form, into a batch.

        Parameters
        ----------
        archs : str, int, sequence or array
            A string, an index (NAS-Bench-201), an op list (numbers or names), an int8 array of shape
            (positions,) or (n, positions), or a sequence of any of these. Series, data frames and tensors are
            read as the arrays that they hold.

        Returns
        -------
        ndarray of int8, shape (n, positions)

        Raises
        ------
        InvalidArchitectureError
            Naming the first entry that is no architecture of this space.
        """
        if isinstance(archs, str):
            return self._from_text(archs)[None]
        if isinstance(archs, (int, np.integer)) and not isinstance(archs, (bool, np.bool_)):
            return self._from_indices(np.asarray([archs]))
        if hasattr(archs, "__array__") and not isinstance(archs, np.generic):
            return self._from_ndarray(np.asarray(archs))
        # Bytes would be read as numbers, a mapping as its keys.
        if not isinstance(archs, Iterable) or isinstance(archs, (bytes, bytearray, Mapping)):
            raise self._not_an_arch(archs)
        items = list(archs)
        if not items:
            return np.empty((0, self.n_positions), np.int8)
        if all(isinstance(item, str) for item in items):
            return self._from_strings(items)
        if all(isinstance(item, (int, np.integer)) and not isinstance(item, bool) for item in items):
            return self._from_integers(items)
        return self._from_items(items)

    def _from_strings(self, items: list[str]) -> ArchArray:
        if len(items) == self.n_positions and not set(items).isdisjoint(self.ops):
            for op in items:
                if op not in self.ops:
                    raise unknown(InvalidArchitectureError, f"{self.title} op", op, self.ops)
            return np.array([[self.ops.index(item) for item in items]], np.int8)
        return np.stack([self._from_text(text) for text in items])

    def _from_integers(self, items: Sequence[int]) -> ArchArray:
        """Decide what a flat list of integers means: here one op list; spaces with indices differ."""
        return self._checked(np.asarray([items]))

    def _from_indices(self, indices: npt.NDArray[Any]) -> ArchArray:
        raise InvalidArchitectureError(
            f"{self.title} has no index: give an architecture as {self._accepted()}, got {indices.tolist()!r:.80}."
        )

    def _from_ndarray(self, archs: npt.NDArray[Any]) -> ArchArray:
        if archs.shape == (0,):  # whatever its dtype: that of np.array([]) is float64
            return np.empty((0, self.n_positions), np.int8)
        if archs.dtype.kind in "OUT":
            return self.as_array(archs.tolist())
        if archs.dtype.kind in "iu":
            if archs.ndim == 2:
                return self._checked(archs)
            if archs.ndim == 1:
                return self._from_vector(archs)
        raise self._not_an_arch(archs)

    def _from_vector(self, archs: npt.NDArray[Any]) -> ArchArray:
        return self._checked(archs[None])

    def _from_items(self, items: list[Any]) -> ArchArray:
        try:
            stacked = np.asarray(items)
        except ValueError:
            stacked = np.empty(0, object)
        # numpy would stack [True, 0, ...] as integers
        holds_bool = any(
            not {bool, np.bool_}.isdisjoint(map(type, item)) for item in items if isinstance(item, (list, tuple))
        )
        if stacked.dtype.kind in "iu" and stacked.ndim == 2 and not holds_bool:
            return self._checked(stacked)
        rows = []
        for number, item in enumerate(items):
            try:
                (row,) = self._exactly_one(item)
            except InvalidArchitectureError as error:
                raise InvalidArchitectureError(f"architecture number {number}: {error}") from None
            rows.append(row)
        return np.stack(rows)

    def _from_text(self, text: str) -> ArchArray:
        return self.parse(text)

    def _checked(self, archs: npt.NDArray[Any]) -> ArchArray:
        """Check shape and range of an integer batch; int8 input is not copied."""
        if archs.ndim != 2 or archs.shape[1] != self.n_positions:
            raise InvalidArchitectureError(
                f"a {self.title} architecture has {self.n_positions} ops, got an array of shape {archs.shape}."
            )
        bad = (archs < 0) | (archs >= len(self.ops))
        if bad.any():
            row, position = map(int, np.argwhere(bad)[0])
            named = ", ".join(f"{number} {op}" for number, op in enumerate(self.ops))
            raise InvalidArchitectureError(
                f"architecture number {row}: op {archs[row, position]} at {self.position_names[position]} does "
                f"not exist in {self.title}; allowed: {named}."
            )
        return archs.astype(np.int8, copy=False)

    def _exactly_one(self, arch: Archs) -> ArchArray:
        batch = self.as_array(arch)
        if len(batch) != 1:
            raise InvalidArchitectureError(f"expected one {self.title} architecture, got {len(batch)}.")
        return batch

    def _accepted(self) -> str:
        return f"a string or {self.n_positions} ops (numbers 0..{len(self.ops) - 1} or names)"

    def _not_an_arch(self, got: object) -> InvalidArchitectureError:
        shape = f" of shape {got.shape} and dtype {got.dtype}" if isinstance(got, np.ndarray) else f" {got!r:.80}"
        return InvalidArchitectureError(
            f"no {self.title} architecture: {type(got).__name__}{shape}; allowed: {self._accepted()}, one or many."
        )

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
            if "-" in config and any(char.isdigit() for char in config) and "x" in config:
                return self.config_class.parse(config)
            hint = f"A modified config is written like {str(self.default_config)!r}."
            raise unknown(InvalidConfigError, f"{self.title} dataset or config", config, self.configs, hint)
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

    def group_configs(
        self, configs: ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any], n: int
    ) -> tuple[tuple[NetworkConfig, ...], npt.NDArray[np.intp]]:
        """Resolve one config for all, or one per architecture, into distinct configs and their numbers.

        Parameters
        ----------
        configs : config or sequence of n configs
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
        if not isinstance(configs, Iterable):
            self.config(configs)  # raises: it is no config either
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

    # -- what the networks are made of --------------------------------------------------------------------

    @abstractmethod
    def layers(self, archs: Archs, config: ConfigLike = None, view: View = "all") -> Layers:
        """List the layers that the networks of a batch call.

        Parameters
        ----------
        archs : architectures
            One or many.
        config : config, optional
            The config of all of them.
        view : {"all", "live", "compiled"}, default="all"
            Every module that the network calls, those on a path from input to output, or those that a
            converter leaves.

        Returns
        -------
        Layers
        """

    @abstractmethod
    def executed(self, archs: Archs, view: View, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        """Tell which positions run in a view under a config, shape (n, positions)."""

    def connected(self, archs: Archs) -> npt.NDArray[np.bool_]:
        """Return whether a path leads from the input to the output, shape (n,).

        The output of a network without such a path does not depend on its input. It is an architecture all the same,
        with a cost, often the smallest of all. In most spaces every architecture has a path.
        """
        return np.ones(len(self.as_array(archs)), bool)

    def merged(self, archs: ArchArray) -> npt.NDArray[np.integer[Any]]:
        """Count the operators that a graph compiler leaves after merging equal ones, shape (n, merged_names).

        No columns where nothing can be merged.
        """
        return np.empty((len(archs), 0), np.int64)

    def quantized(self, archs: ArchArray) -> npt.NDArray[np.integer[Any]]:
        """Count these operators, what of them runs in int8 after static quantization, and the conversions.

        Shape (n, quantized_names); no columns where nothing can be merged.
        """
        return np.empty((len(archs), 0), np.int64)

    def operators(self, archs: Archs, config: ConfigLike = None, *, quantized: bool = False) -> Operators | None:
        """Return the operators that an inference engine runs of a batch, equal ones merged.

        Parameters
        ----------
        archs : architectures
            One or many.
        config : config, optional
            The config of all of them.
        quantized : bool, default=False
            Of the network after static quantization to int8.

        Returns
        -------
        Operators or None
            None where nothing can be merged: the engine runs the network's layers.
        """
        return None

    @staticmethod
    def _check_view(view: str) -> None:
        if view not in ("all", "live", "compiled"):
            raise unknown(InvalidInputError, "view", view, ("all", "live", "compiled"))
