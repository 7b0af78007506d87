"""NATS-Bench's size space: the channels of five cells, with eight choices each; 32,768 architectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, unknown
from hwnas_surrogate.graphs import Graph, GraphBuilder, Op, View
from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.spaces.base import ArchArray, ConfigLike, SearchSpace
from hwnas_surrogate.spaces.config import NATSBenchSizeConfig, NetworkConfig
from hwnas_surrogate.spaces.conventions import Convention
from hwnas_surrogate.spaces.nasbench201 import head, reduction, relu_conv_norm
from hwnas_surrogate.spaces.reading import Archs
from hwnas_surrogate.spaces.tables import OpTable, calls_of_part

__all__ = ["NATSBenchSize"]

CHANNELS = tuple(range(8, 65, 8))
N_CELLS = 5
REDUCTIONS = (1, 3)
"""The cells that halve the size and are residual blocks."""
SIZE: int = len(CHANNELS) ** N_CELLS


def _stem(build: GraphBuilder, x: int, channels: int) -> int:
    return build.batch_norm(build.conv(x, channels, 3))


def _cell(build: GraphBuilder, x: int, channels: int, cell: int) -> int:
    """Add a cell: ``|3x3~0|+|3x3~0|3x3~1|+|skip~0|3x3~1|3x3~2|``, or a reduction.

    A skip between different channels is a 1x1 convolution with a batch norm, without a ReLU.
    """
    if cell in REDUCTIONS:
        return reduction(build, x, channels)
    first = relu_conv_norm(build, x, channels, 3)
    second = build.add(relu_conv_norm(build, x, channels, 3), relu_conv_norm(build, first, channels, 3))
    skip = x if build.spec(x).shape[1] == channels else build.batch_norm(build.conv(x, channels, 1))
    third = build.add(skip, relu_conv_norm(build, first, channels, 3))
    return build.add(third, relu_conv_norm(build, second, channels, 3))


@lru_cache(maxsize=1024)
def _table(config: NATSBenchSizeConfig, view: View) -> OpTable:
    """Count the operators of the stem, of each cell by its channels and those before it, and of the head.

    Two operators read a cell's output: the ReLU or the pool, and the skip of the next cell. One reads the last cell's.
    """

    def size(cell: int) -> tuple[int, int]:
        halved = sum(place < cell for place in REDUCTIONS)
        return config.height >> halved, config.width >> halved

    def stem(channels: int) -> Counter[Op]:
        shape = 1, *config.input_shape
        return calls_of_part(lambda build, x: _stem(build, x, channels), shape, view, times_read=2, at="input")

    def between(before: int, channels: int, cell: int) -> Counter[Op]:
        times_read = 2 if cell < N_CELLS - 1 else 1
        shape = 1, before, *size(cell)
        return calls_of_part(lambda build, x: _cell(build, x, channels, cell), shape, view, times_read)

    def end(channels: int) -> Counter[Op]:
        shape = 1, channels, *size(N_CELLS)
        return calls_of_part(lambda build, x: head(build, x, config.num_classes), shape, view, at="output")

    cells = [[between(before, c, cell) for before in CHANNELS for c in CHANNELS] for cell in range(N_CELLS)]
    return OpTable.build({}, [list(map(stem, CHANNELS)), *cells, list(map(end, CHANNELS))])


@cache
def _everything() -> ArchArray:
    archs = np.stack(np.unravel_index(np.arange(SIZE), (len(CHANNELS),) * N_CELLS), axis=1).astype(np.int8)
    archs.flags.writeable = False
    return archs


class NATSBenchSize(SearchSpace):
    """NATS-Bench's size search space [1]_: one cell, repeated; channels out of 8, 16, ..., 64 for each of five places.

    Its string joins the channels, ``8:16:24:32:40``. Five integers are one architecture: its channels, or their numbers
    0..7. The index is the rank in lexicographic order, in which the last cell's channels vary fastest; use :meth:`at`
    for five indices at once.

    References
    ----------
    .. [1] Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", TPAMI 2021,
       section 3.2.

    Examples
    --------
    >>> space = NATSBenchSize()
    >>> space.as_array([8, 16, 24, 32, 40])
    array([[0, 1, 2, 3, 4]], dtype=int8)
    >>> space.format(32_767)
    '64:64:64:64:64'
    """

    name: ClassVar[str] = "natsbench-size"
    title: ClassVar[str] = "NATS-Bench-Size"
    ops: ClassVar[tuple[str, ...]] = tuple(map(str, CHANNELS))
    position_names: ClassVar[tuple[str, ...]] = tuple(f"cell{cell}" for cell in range(N_CELLS))
    configs: ClassVar[Mapping[str, NetworkConfig]] = MappingProxyType(
        {
            "cifar10": NATSBenchSizeConfig(num_classes=10),
            "cifar100": NATSBenchSizeConfig(num_classes=100),
            "ImageNet16-120": NATSBenchSizeConfig(num_classes=120, height=16, width=16),
        }
    )
    same_views: ClassVar[Mapping[View, View]] = MappingProxyType({"live": "all", "folded": "all"})
    config_class: ClassVar[type[NetworkConfig]] = NATSBenchSizeConfig
    form: ClassVar[str] = "five channels out of 8, 16, ..., 64, joined by ':'"

    def __len__(self) -> int:
        """Return the number of architectures, 32,768."""
        return SIZE

    def parse(self, text: str) -> ArchArray:
        """Read ``8:16:24:32:40``: int8 choices, shape (5,).

        Raises
        ------
        InvalidArchitectureError
            If it is not five channels, each one of the eight.
        """
        if not isinstance(text, str) or self._is_of_others(text):
            raise self._not_an_arch(text)
        parts = [part.strip() for part in text.split(":")]
        if len(parts) != N_CELLS:
            raise InvalidArchitectureError(
                f"a {self.title} architecture is {self.form} ('8:16:24:32:40'), got {text!r:.80}."
            )
        for part in parts:
            if part not in self.ops:
                raise unknown(InvalidArchitectureError, f"number of channels in {self.title}", part, self.ops)
        return np.array([self.ops.index(part) for part in parts], np.int8)

    def format(self, arch: Archs) -> str:
        """Write one architecture as its string."""
        return self.format_all(self._exactly_one(arch))[0]

    def format_all(self, archs: Archs) -> list[str]:
        """Write a batch of architectures as strings."""
        return [":".join(map(self.ops.__getitem__, row)) for row in self.as_array(archs).tolist()]

    def codes(self, archs: ArchArray) -> npt.NDArray[np.int64]:
        """Return the index of each architecture, shape (n,)."""
        return np.asarray(archs.astype(np.int64) @ (len(CHANNELS) ** np.arange(N_CELLS)[::-1]))

    def index(self, archs: Archs) -> npt.NDArray[np.int64]:
        """Return the index of each architecture, shape (n,)."""
        return self.codes(self.as_array(archs))

    def at(self, indices: int | Iterable[int] | npt.NDArray[Any]) -> ArchArray:
        """Return the architectures at some indices, shape (n, 5): every integer is an index here, five of them too.

        Raises
        ------
        InvalidArchitectureError
            If they are not integers, or out of range.
        """
        return self._at(indices, SIZE)

    def canonical(self, archs: Archs) -> list[str]:
        """Return the strings: different channels are different functions."""
        return self.format_all(archs)

    def enumerate(self) -> ArchArray:
        """Return all 32,768 architectures in the order of their index, int8 of shape (32768, 5)."""
        return _everything()

    def sample(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures uniformly, shape (n, 5)."""
        self._check_sample_size(n, SIZE)
        return _everything()[as_generator(random_state).permutation(SIZE)[:n]]

    def executed(self, archs: Archs, view: str, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        """Return which cells run in a view: all, shape (n, 5)."""
        self._check_view(view)
        return np.ones(self.as_array(archs).shape, bool)

    def graph(self, arch: Archs, config: ConfigLike = None) -> Graph:
        """Return the network of one architecture as a graph; see :meth:`SearchSpace.graph`."""
        channels, of = [CHANNELS[op] for op in self._exactly_one(arch)[0]], self.config(config)
        build = GraphBuilder()
        x = _stem(build, build.input((1, *of.input_shape)), channels[0])
        for cell, width in enumerate(channels):
            x = _cell(build, x, width, cell)
        return build.graph(*head(build, x, of.num_classes))

    def op_table(self, config: NetworkConfig, view: View) -> OpTable:
        """Return which operators each cell runs; see :meth:`SearchSpace.op_table`."""
        assert isinstance(config, NATSBenchSizeConfig)
        return _table(config, view)

    def table_choices(self, archs: ArchArray, config: NetworkConfig, view: View) -> npt.NDArray[np.integer[Any]]:
        """Return the choices of the stem, of each cell with the channels before it, and of the head: shape (n, 7)."""
        before = np.concatenate([archs[:, :1], archs[:, :-1]], axis=1)
        return np.concatenate([archs[:, :1], len(CHANNELS) * before + archs, archs[:, -1:]], axis=1)

    def _checked(self, archs: npt.NDArray[Any], order: Convention | None = None) -> ArchArray:
        """Check an integer batch; rows of channels become choices, since choices are all smaller than channels."""
        if archs.ndim == 2 and archs.shape[1] == N_CELLS and (archs >= len(CHANNELS)).any():
            are_channels = np.asarray((archs >= len(CHANNELS)).all(axis=1))
            wrong = are_channels[:, None] & ~np.isin(archs, CHANNELS)
            if wrong.any():
                row, cell = map(int, np.argwhere(wrong)[0])
                raise InvalidArchitectureError(
                    f"architecture number {row}: cell {cell} of {self.title} can't have {archs[row, cell]} channels; "
                    f"allowed: {', '.join(self.ops)} (or their numbers 0..{len(CHANNELS) - 1}, for all cells)."
                )
            archs = np.where(are_channels[:, None], archs // CHANNELS[0] - 1, archs)
        return super()._checked(archs, order)

    def _from_integers(self, numbers: npt.NDArray[Any]) -> ArchArray:
        """Read five integers as one architecture, whatever they are; any other number of them as indices."""
        return (
            self._checked(numbers[None]) if numbers.shape == (N_CELLS,) else self._from_indices(np.atleast_1d(numbers))
        )

    def _from_indices(self, indices: npt.NDArray[Any]) -> ArchArray:
        bad = (indices < 0) | (indices >= SIZE)
        if bad.any():
            raise InvalidArchitectureError(
                f"{self.title} has the indices 0..{SIZE - 1}, got {indices[bad][0]}"
                f"{f' and {int(bad.sum()) - 1} more outside' if bad.sum() > 1 else ''}."
            )
        return _everything()[indices.astype(np.int64)]

    def _accepted(self) -> str:
        return f"an index 0..{SIZE - 1}, a string, or {N_CELLS} channels (or their numbers 0..{len(CHANNELS) - 1})"

    def _joined_ops(self, text: str) -> list[str]:
        return text.split(":")

    def _config_from_dict(self, config: Mapping[str, Any]) -> NetworkConfig:
        if set(config) - {"name", "channels", "genotype", "num_classes"} or "num_classes" not in config:
            raise InvalidConfigError(
                "a NATS-Bench-Size config dict reads {'name': 'infer.shape.tiny', 'channels': "
                f"'8:16:24:32:40', 'genotype': ..., 'num_classes': 10}}, got {dict(config)!r:.200}."
            )
        size = 16 if config["num_classes"] == 120 else 32
        return NATSBenchSizeConfig(config["num_classes"], height=size, width=size)

    def arch_from_dict(self, config: Mapping[str, Any]) -> ArchArray:
        """Return the architecture of the benchmark's config dict (its ``channels``), shape (5,)."""
        if "channels" not in config:
            raise InvalidArchitectureError(
                f"the config dict has no 'channels'; it has {', '.join(map(repr, config)) or 'nothing'}."
            )
        channels: Iterable[Any] | str = config["channels"]
        row: ArchArray = self._exactly_one(channels if isinstance(channels, str) else list(channels))[0]
        return row
