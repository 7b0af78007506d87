"""Search spaces given by their choices alone: strings, indices, samples and configs follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError, unknown
from hwnas_surrogate.graphs import Graph, GraphBuilder
from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.spaces.base import ArchArray, ConfigLike, SearchSpace
from hwnas_surrogate.spaces.choice_values import Choice, Choices, read_choices
from hwnas_surrogate.spaces.config import InputConfig, NetworkConfig
from hwnas_surrogate.spaces.op_lists import numbered
from hwnas_surrogate.spaces.reading import Archs, foreign
from hwnas_surrogate.spaces.registry import know

__all__ = ["ChoiceSpace"]

_MOST_LISTED = 1_000_000
"""Architectures that :meth:`ChoiceSpace.enumerate` lists."""
_MOST_INDEXED = 1 << 62
"""Architectures that a 64-bit index counts."""
_objects: WeakValueDictionary[type, Any] = WeakValueDictionary()
"""The one object of each class. It is no attribute of the class, which is copied to other processes without it."""


class ChoiceSpace(SearchSpace):
    """A search space of one's own: choices at each position, and networks as layers of a graph.

    A subclass has a ``name``, its ``choices``, the shape of its input, and :meth:`layers`. Networks that are PyTorch
    modules need no layers: :class:`~hwnas_surrogate.capture.ModuleSpace`. There is one object of a class, and making it
    registers the space: everything that takes a space then knows it by name.

    An architecture is written ``depth=2,kernel=3``. It is also accepted as a mapping of positions to values, as the
    numbers of the choices (always numbers, also where the choices are integers themselves), or as an index: the rank in
    lexicographic order, in which the last position varies fastest. Positions that were given without names are 0, 1,
    ...

    Attributes
    ----------
    name : str
    choices : mapping of str to sequence, or sequence of sequences
        The values that each position may hold: texts, numbers, booleans or None; at most 127.
    input_shape : tuple of int, default=()
        The input without the batch. It makes the space's config, an :class:`InputConfig`; other inputs are other
        configs, ``"3x96x96"`` say.
    configs : mapping of str to NetworkConfig, optional
        Configs of one's own, and their ``config_class``, if more than the input varies.

    Raises
    ------
    InvalidInputError
        When the class is defined: if a position has no choices, too many, two of the same text, or one that no string
        can hold.

    Examples
    --------
    >>> class Stack(ChoiceSpace):
    ...     name = "stack"
    ...     choices = {"depth": (1, 2), "width": (8, 16, 32)}
    ...     input_shape = (3, 16, 16)
    ...
    ...     def layers(self, build, x, arch, config):
    ...         for _ in range(arch["depth"]):
    ...             x = build.relu(build.conv(x, arch["width"], 3))
    ...         return build.linear(build.flatten(build.global_pool(x)), 10)
    >>> space = Stack()
    >>> space.format(5), space.values("depth=1,width=32"), len(space)
    ('depth=2,width=32', {'depth': 1, 'width': 32}, 6)
    >>> space.batch(space.enumerate(), "3x8x8").macs.tolist()
    [13904.0, 27808.0, 55616.0, 50768.0, 175264.0, 645440.0]
    """

    choices: ClassVar[Choices]
    input_shape: ClassVar[tuple[int, ...]] = ()
    config_class: ClassVar[type[NetworkConfig]] = InputConfig
    ops: ClassVar[tuple[str, ...]] = ()

    _values: ClassVar[tuple[tuple[Choice, ...], ...]] = ()
    _keys: ClassVar[tuple[Any, ...]] = ()
    _numbers: ClassVar[tuple[Mapping[str, int], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Derive from the choices what other spaces define."""
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "choices"):  # a base of further spaces
            return
        cls._keys, cls._values = read_choices(cls.__name__, cls.choices)
        cls._numbers = tuple({str(value): number for number, value in enumerate(held)} for held in cls._values)
        cls.position_names = tuple(map(str, cls._keys))
        texts = tuple(map(tuple, cls._numbers))
        cls.ops = texts[0] if len(set(texts)) == 1 else ()
        if "title" not in vars(cls):
            cls.title = getattr(cls, "name", cls.__name__)
        example = ",".join(f"{name}={held[0]}" for name, held in zip(cls.position_names, texts, strict=True))
        cls.form = f"a value for each of {len(texts)} positions, {example[:120]!r}"
        if not hasattr(cls, "configs") or ("input_shape" in vars(cls) and "configs" not in vars(cls)):
            config = InputConfig(cls.input_shape)
            cls.configs = MappingProxyType({str(config): config})
        if math.prod(map(len, texts)) > _MOST_INDEXED:
            cls.__len__ = None  # type: ignore[assignment]  # more than Python's len can return
        elif cls.__len__ is None:  # that of a larger space, of which this is a part
            cls.__len__ = ChoiceSpace.__len__

    def __new__(cls) -> Self:
        """Return the one object of the class, registered."""
        if not cls._keys or not isinstance(getattr(cls, "name", None), str) or not cls.name:
            raise InvalidInputError(f"a search space of one's own has a name and choices: {cls.__name__} lacks them.")
        only: Self | None = _objects.get(cls)
        if only is None:
            only = _objects[cls] = super().__new__(cls)
        know(only)
        return only

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as the class: a process that lacks the space imports it."""
        return type(self), ()

    def __len__(self) -> int:
        """Return the number of architectures; spaces with more than 2^62 have no length, but a ``size``."""
        return self.size

    @property
    def size(self) -> int:
        """The number of architectures."""
        return math.prod(map(len, self._values))

    @property
    def ops_at(self) -> tuple[tuple[str, ...], ...]:
        """The texts of the choices at each position."""
        return tuple(map(tuple, self._numbers))

    # -- architectures ------------------------------------------------------------------------------------

    def values(self, arch: Archs) -> dict[Any, Any]:
        """Return the chosen value of each position: what :meth:`layers` and ``build`` receive of one architecture.

        Parameters
        ----------
        arch : architecture
            One, in any accepted form.

        Returns
        -------
        dict
            From the positions' names, or their numbers if ``choices`` is a sequence.
        """
        (row,) = self._exactly_one(arch).tolist()
        return {key: held[number] for key, held, number in zip(self._keys, self._values, row, strict=True)}

    def arch_from_dict(self, config: Mapping[Any, Any]) -> ArchArray:
        """Return the architecture with these values, shape (positions,); see :meth:`values`.

        Raises
        ------
        InvalidArchitectureError
            If a position is missing or unknown, or does not have this choice.
        """
        given = {str(key): value for key, value in config.items()}
        for name in given:
            if name not in self.position_names:
                raise unknown(InvalidArchitectureError, f"position of {self.title}", name, self.position_names)
        missing = [name for name in self.position_names if name not in given]
        if missing:
            raise InvalidArchitectureError(
                f"a {self.title} architecture has a value for each of {len(self.position_names)} positions, and "
                f"{', '.join(missing[:8])} {'has' if len(missing) == 1 else 'have'} none."
            )
        row = []
        for name, numbers in zip(self.position_names, self._numbers, strict=True):
            if str(given[name]) not in numbers:
                raise unknown(InvalidArchitectureError, f"value of {self.title}'s {name}", str(given[name]), numbers)
            row.append(numbers[str(given[name])])
        return np.array(row, np.int8)

    def as_array(self, archs: Archs) -> ArchArray:
        """Turn one or many architectures, in any accepted form, into a batch; see :meth:`SearchSpace.as_array`."""
        if isinstance(archs, Mapping) and foreign(archs, ()) is None:
            return self.arch_from_dict(archs)[None]
        return super().as_array(archs)

    def parse(self, text: str) -> ArchArray:
        """Read ``depth=2,kernel=3``, positions in any order: int8 choices, shape (positions,).

        Raises
        ------
        InvalidArchitectureError
            If a position is missing, unknown or named twice, or does not have this choice.
        """
        if not isinstance(text, str) or "=" not in text or self._is_of_others(text):
            raise self._not_an_arch(text)
        given: dict[str, str] = {}
        for part in text.split(","):
            name, _, value = (piece.strip() for piece in part.partition("="))
            if name in given:
                raise InvalidArchitectureError(f"{name!r:.60} has two values in {text!r:.120}.")
            given[name] = value
        return self.arch_from_dict(given)

    def format(self, arch: Archs) -> str:
        """Write one architecture as its string."""
        return self.format_all(self._exactly_one(arch))[0]

    def format_all(self, archs: Archs) -> list[str]:
        """Write a batch of architectures as strings."""
        parts = [
            [f"{name}={text}" for text in texts] for name, texts in zip(self.position_names, self.ops_at, strict=True)
        ]
        rows = self.as_array(archs).tolist()
        return [",".join(part[number] for part, number in zip(parts, row, strict=True)) for row in rows]

    def codes(self, archs: ArchArray) -> npt.NDArray[Any]:
        """Return the index of each architecture, or, in spaces with more than 2^62, its choices as a byte string."""
        if self.size <= _MOST_INDEXED:
            return np.asarray(archs.astype(np.int64) @ self._steps())
        # Choices are shifted by one, because numpy strips zero bytes from the end of its byte strings.
        shifted = np.ascontiguousarray(archs, np.int8) + np.int8(1)
        return shifted.view(f"S{self.n_positions}").reshape(-1)

    def index(self, archs: Archs) -> npt.NDArray[np.int64]:
        """Return the index of each architecture, shape (n,).

        Raises
        ------
        InvalidInputError
            If the space has more than 2^62 architectures.
        """
        self._check_size(_MOST_INDEXED, "indexed")
        return np.asarray(self.codes(self.as_array(archs)), np.int64)

    def at(self, indices: int | Iterable[int] | npt.NDArray[Any]) -> ArchArray:
        """Return the architectures at some indices, shape (n, positions): every integer is an index here.

        Raises
        ------
        InvalidArchitectureError
            If they are not integers, or out of range.
        """
        return self._at(indices, self.size)

    def canonical(self, archs: Archs) -> list[str]:
        """Return the strings; a space in which several architectures are one network may return less."""
        return self.format_all(archs)

    def enumerate(self) -> ArchArray:
        """Return every architecture in the order of its index, int8 of shape (size, positions).

        Raises
        ------
        InvalidInputError
            If there are more than a million.
        """
        self._check_size(_MOST_LISTED, "enumerated")
        return self._from_indices(np.arange(self.size))

    def sample(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures uniformly, int8 of shape (n, positions)."""
        self._check_sample_size(n, min(self.size, 10**8))
        rng = as_generator(random_state)
        if self.size <= _MOST_INDEXED:
            return self._from_indices(rng.choice(self.size, n, replace=False))
        shape = n, self.n_positions
        archs = rng.integers(0, self.n_ops_at, shape).astype(np.int8)
        while len(first := np.unique(self.codes(archs), return_index=True)[1]) < n:
            more = rng.integers(0, self.n_ops_at, (n - len(first), shape[1])).astype(np.int8)
            archs = np.concatenate([archs[np.sort(first)], more])
        return archs

    def representatives(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures that stand for the space, or all if there are fewer."""
        return self.sample(min(n, self.size), random_state)

    def _steps(self) -> npt.NDArray[np.int64]:
        """Return by how much the index grows with the choice at each position, shape (positions,)."""
        sizes = self.n_ops_at[::-1]
        return np.concatenate([[1], np.cumprod(sizes)[:-1]])[::-1].astype(np.int64)

    def _check_size(self, most: int, what: str) -> None:
        if self.size > most:
            raise InvalidInputError(
                f"{self.title} has {self.size:.3g} architectures and can't be {what}; use sample(n, random_state)."
            )

    def _from_indices(self, indices: npt.NDArray[Any]) -> ArchArray:
        if self.size > _MOST_INDEXED:
            return super()._from_indices(indices)
        bad = (indices < 0) | (indices >= self.size)
        if bad.any():
            raise InvalidArchitectureError(
                f"{self.title} has the indices 0..{self.size - 1}, got {indices[bad][0]}"
                f"{f' and {int(bad.sum()) - 1} more outside' if bad.sum() > 1 else ''}. {self._numbering()}"
            )
        steps = self._steps()
        return (indices.astype(np.int64)[:, None] // steps % self.n_ops_at).astype(np.int8)

    def _names_ops(self, items: list[Any]) -> bool:
        """Return whether a list holds a text for each position, and none of them is an architecture by itself."""
        if len(items) != self.n_positions or not all(isinstance(item, str) for item in items):
            return False
        if any("=" in item for item in items):
            return False
        for name, item, numbers in zip(self.position_names, items, self._numbers, strict=True):
            if item not in numbers:
                raise unknown(InvalidArchitectureError, f"value of {self.title}'s {name}", item, numbers)
        return True

    def _from_names(self, items: list[str]) -> ArchArray:
        return np.array([[held[item] for held, item in zip(self._numbers, items, strict=True)]], np.int8)

    def _joins(self, text: str) -> bool:
        names = {part.partition("=")[0].strip() for part in text.split(",")}
        return "=" in text and names == set(self.position_names)

    def _is_of_others(self, text: str) -> bool:
        return not self._joins(text) and self._other_space(text) is not None

    def _numbering(self) -> str:
        named = zip(self.position_names, self.ops_at, strict=True)
        first = "; ".join(f"{name}: {numbered(texts)}" for name, texts in list(named)[:3])
        return f"Numbers in a list are those of the choices ({first}{'; ...' if self.n_positions > 3 else ''})."

    def _accepted(self) -> str:
        index = f"an index 0..{self.size - 1}, " if self.size <= _MOST_INDEXED else ""
        return f"{index}a string, a mapping of positions to values, or the numbers of {self.n_positions} choices"

    # -- networks -----------------------------------------------------------------------------------------

    def layers(self, build: GraphBuilder, x: int, arch: Mapping[Any, Any], config: Any) -> int | tuple[int, ...]:
        """Add the layers of one architecture to a graph.

        Parameters
        ----------
        build : GraphBuilder
        x : int
            The input, float32 of shape ``(1, *config.input_shape)``.
        arch : mapping
            The chosen value of each position, see :meth:`values`.
        config : NetworkConfig

        Returns
        -------
        int or tuple of int
            The values that the network returns.
        """
        raise InvalidInputError(
            f"{type(self).__name__} has neither layers(build, x, arch, config) nor, as a ModuleSpace, "
            "build(arch, config): one of them defines the networks."
        )

    def construct(self, ops: Sequence[int], config: NetworkConfig) -> Any:
        """Return what ``build`` returns for an architecture, given by the numbers of its choices."""
        return self.build(self.values(np.array([ops], np.int8)), config)

    def graph(self, arch: Archs, config: ConfigLike = None) -> Graph:
        """Return the network of one architecture as a graph; see :meth:`SearchSpace.graph`."""
        of, build = self.config(config), GraphBuilder()
        returned = self.layers(build, build.input((1, *of.input_shape)), self.values(arch), of)
        return build.graph(*(returned if isinstance(returned, tuple) else (returned,)))

    def executed(self, archs: Archs, view: str, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        """Return which positions run in a view: all, shape (n, positions)."""
        self._check_view(view)
        return np.ones(self.as_array(archs).shape, bool)

    def _config_from_dict(self, config: Mapping[str, Any]) -> NetworkConfig:
        if {str(key) for key in config} == set(self.position_names):  # an architecture, which has no config
            return self.default_config
        raise InvalidConfigError(
            f"a config of {self.title} is written like {str(self.default_config)!r}, or is of the class "
            f"{self.config_class.__name__}; got {dict(config)!r:.120}."
        )
