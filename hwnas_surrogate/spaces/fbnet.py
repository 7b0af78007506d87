"""FBNet: 22 layers, each one of 9 blocks; about 10^21 architectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError, unknown
from hwnas_surrogate.graphs import Graph, GraphBuilder, Op, View
from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.spaces.base import ArchArray, ConfigLike, SearchSpace
from hwnas_surrogate.spaces.config import FBNetConfig, NetworkConfig
from hwnas_surrogate.spaces.reading import Archs
from hwnas_surrogate.spaces.tables import OpTable, calls_of_part

__all__ = ["Block", "FBNet", "Slot"]

STAGE_LAYERS = (1, 4, 4, 4, 4, 4, 1)
N_LAYERS = sum(STAGE_LAYERS)
SKIP = 8


@dataclass(frozen=True, slots=True)
class Block:
    """The meaning of a block name: expansion, kernel, and groups of its 1x1 convolutions."""

    expansion: int
    kernel: int
    groups: int


BLOCKS: Mapping[str, Block] = MappingProxyType(
    {
        "k3_e1": Block(1, 3, 1),
        "k3_e1_g2": Block(1, 3, 2),
        "k3_e3": Block(3, 3, 1),
        "k3_e6": Block(6, 3, 1),
        "k5_e1": Block(1, 5, 1),
        "k5_e1_g2": Block(1, 5, 2),
        "k5_e3": Block(3, 5, 1),
        "k5_e6": Block(6, 5, 1),
    }
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A block's position in the network: its channels, input size and stride."""

    c_in: int
    c_out: int
    height: int
    width: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether a skip here is the identity, and a block here has a residual."""
        return self.c_in == self.c_out and self.stride == 1


def _slots(config: FBNetConfig) -> Iterator[Slot]:
    channels = config.stem_channels
    height, width = (-(-size // config.stem_stride) for size in (config.height, config.width))
    for n_layers, c_out, stage_stride in zip(STAGE_LAYERS, config.stage_channels, config.stage_strides, strict=True):
        for layer in range(n_layers):
            stride = 1 if layer else stage_stride
            yield Slot(channels, c_out, height, width, stride)
            channels, height, width = c_out, -(-height // stride), -(-width // stride)


def _conv_norm(build: GraphBuilder, x: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> int:
    return build.batch_norm(build.conv(x, channels, kernel, stride, groups=groups))


def _shuffled(build: GraphBuilder, x: int, groups: int) -> int:
    """Add a channel shuffle: a copy in another order of the channels."""
    batch, channels, height, width = shape = build.spec(x).shape
    each, size = channels // groups, height * width
    strides = (channels * size, size, each * size, width, 1)
    x = build.view(x, (batch, each, groups, height, width), strides)
    return build.view(build.elementwise("copy", x), shape)


def _add_block(build: GraphBuilder, op: str, slot: Slot, x: int) -> int:
    if op not in BLOCKS:
        return x if slot.keeps_shape else build.relu(_conv_norm(build, x, slot.c_out, 1, slot.stride))
    block, middle = BLOCKS[op], slot.c_in * BLOCKS[op].expansion
    y = build.relu(_conv_norm(build, x, middle, 1, groups=block.groups))
    if block.groups > 1:
        y = _shuffled(build, y, block.groups)
    y = build.relu(_conv_norm(build, y, middle, block.kernel, slot.stride, groups=middle))
    y = _conv_norm(build, y, slot.c_out, 1, groups=block.groups)
    return build.add(y, x) if slot.keeps_shape else y


def _add_stem(build: GraphBuilder, of: FBNetConfig, x: int) -> int:
    return build.relu(_conv_norm(build, x, of.stem_channels, 3, of.stem_stride))


def _add_head(build: GraphBuilder, of: FBNetConfig, x: int) -> int:
    x = build.global_pool(build.relu(_conv_norm(build, x, of.header_channels, 1)))
    return build.linear(build.flatten(x), of.num_classes)


@lru_cache(maxsize=8192)
def _ops_of_block(op: str, slot: Slot, view: View) -> Counter[Op]:
    """Count the operators of a block whose result one operator reads; none for a block that can't be built."""
    if not _fits(op, slot):
        return Counter()
    return calls_of_part(lambda build, x: _add_block(build, op, slot, x), (1, slot.c_in, slot.height, slot.width), view)


@lru_cache(maxsize=8192)
def _ops_before_residual(op: str, slot: Slot) -> Counter[Op]:
    """Count the operators of a quantized block whose result two operators read, so that it stays in float32."""
    if not _fits(op, slot):
        return Counter()
    shape = 1, slot.c_in, slot.height, slot.width
    return calls_of_part(lambda build, x: _add_block(build, op, slot, x), shape, "quantized", times_read=2)


def _fits(op: str, slot: Slot) -> bool:
    groups = BLOCKS[op].groups if op in BLOCKS else 1
    return slot.c_in % groups == 0 and slot.c_out % groups == 0


@lru_cache(maxsize=1024)
def _table(config: FBNetConfig, view: View) -> OpTable:
    """Count the operators of every block; the quantized view's choices are pairs of :meth:`FBNet.choices`."""
    slots = list(_slots(config))
    last, ops = slots[-1], FBNet.ops
    image = 1, config.in_channels, config.height, config.width
    end = 1, last.c_out, -(-last.height // last.stride), -(-last.width // last.stride)
    head = calls_of_part(lambda build, x: _add_head(build, config, x), end, view, at="output")

    def stem(build: GraphBuilder, x: int) -> int:
        return _add_stem(build, config, x)

    if view != "quantized":
        fixed = head + calls_of_part(stem, image, view)
        return OpTable.build(fixed, [[_ops_of_block(op, slot, view) for op in ops] for slot in slots])
    stems = [calls_of_part(stem, image, view, times_read, "input") for times_read in (1, 2)]
    blocks = [
        [calls for op in ops for calls in (_ops_of_block(op, slot, view), _ops_before_residual(op, slot))]
        for slot in slots
    ]
    return OpTable.build(head, [stems, *blocks])


@cache
def _number_of_op() -> dict[str, int]:
    return {op: number for number, op in enumerate(FBNet.ops)}


class FBNet(SearchSpace):
    """FBNet [1]_: 22 layers x 9 blocks, as HW-NAS-Bench [2]_ uses it. Its string joins 22 block names by ``|``.

    References
    ----------
    .. [1] Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
       Search", CVPR 2019, table 1.
    .. [2] Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark", ICLR 2021.

    Examples
    --------
    >>> FBNet().format([0] * 21 + [8])[-10:]
    'k3_e1|skip'
    """

    name: ClassVar[str] = "fbnet"
    title: ClassVar[str] = "FBNet"
    ops: ClassVar[tuple[str, ...]] = (*BLOCKS, "skip")
    position_names: ClassVar[tuple[str, ...]] = tuple(f"layer{layer:02d}" for layer in range(N_LAYERS))
    configs: ClassVar[Mapping[str, NetworkConfig]] = MappingProxyType(
        {
            "cifar100": FBNetConfig(),
            "ImageNet": FBNetConfig(
                header_channels=1984,
                num_classes=1000,
                stem_stride=2,
                stage_strides=(1, 2, 2, 2, 1, 2, 1),
                height=224,
                width=224,
            ),
        }
    )
    same_views: ClassVar[Mapping[View, View]] = MappingProxyType({"live": "all", "folded": "all"})
    config_class: ClassVar[type[NetworkConfig]] = FBNetConfig
    form: ClassVar[str] = f"{N_LAYERS} block names joined by '|'"

    def parse(self, text: str) -> ArchArray:
        """Read 22 block names joined by ``|``.

        Returns
        -------
        ndarray of int8, shape (22,)

        Raises
        ------
        InvalidArchitectureError
            If there are not 22 blocks, or one is unknown.
        """
        if not isinstance(text, str):
            raise self._not_an_arch(text)
        names, numbers = [name.strip() for name in text.split("|")], _number_of_op()
        if len(names) == N_LAYERS and all(name in numbers for name in names):
            return np.array([numbers[name] for name in names], np.int8)
        if self._is_of_others(text):
            raise self._not_an_arch(text)
        if len(names) != N_LAYERS:
            raise InvalidArchitectureError(f"an FBNet string is {self.form}, got {len(names)} in {text!r:.120}.")
        position, name = next((place, name) for place, name in enumerate(names) if name not in numbers)
        raise unknown(InvalidArchitectureError, f"FBNet block at layer {position}", name, self.ops)

    def format(self, arch: Archs) -> str:
        """Write one architecture as its string."""
        return self.format_all(self._exactly_one(arch))[0]

    def format_all(self, archs: Archs) -> list[str]:
        """Write a batch of architectures as strings."""
        return ["|".join(map(self.ops.__getitem__, row)) for row in self.as_array(archs).tolist()]

    def codes(self, archs: ArchArray) -> npt.NDArray[Any]:
        """Return the 22 ops of each architecture as one sortable byte string, shape (n,)."""
        # Ops are shifted by one, because numpy strips zero bytes from the end of its byte strings.
        return (np.ascontiguousarray(archs, np.int8) + np.int8(1)).view(f"S{N_LAYERS}").reshape(-1)

    def canonical(self, archs: Archs) -> list[str]:
        """Return the strings: different FBNet architectures compute different functions."""
        return self.format_all(archs)

    def enumerate(self) -> ArchArray:
        """Raise: 9^22 architectures cannot be listed."""
        raise InvalidInputError(
            "FBNet has 9^22 (about 10^21) architectures and can't be enumerated; use sample(n, random_state)."
        )

    def sample(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures uniformly, shape (n, 22)."""
        self._check_sample_size(n, 10**8)
        rng = as_generator(random_state)
        archs = rng.integers(0, len(self.ops), (n, N_LAYERS), dtype=np.int8)
        while len(first := np.unique(self.codes(archs), return_index=True)[1]) < n:
            more = rng.integers(0, len(self.ops), (n - len(first), N_LAYERS), dtype=np.int8)
            archs = np.concatenate([archs[np.sort(first)], more])
        return archs

    def slots(self, config: ConfigLike = None) -> tuple[Slot, ...]:
        """Return the slot of each of the 22 blocks under a config."""
        resolved = self.config(config)
        assert isinstance(resolved, FBNetConfig)
        return tuple(_slots(resolved))

    def executed(self, archs: Archs, view: str, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        """Return which layers run in a view, shape (n, 22): all but the identities that a converter removes."""
        self._check_view(view)
        batch = self.as_array(archs)
        if view != "folded":
            return np.ones(batch.shape, bool)
        changes_shape = np.array([not slot.keeps_shape for slot in self.slots(config)])
        runs: npt.NDArray[np.bool_] = (batch != SKIP) | changes_shape
        return runs

    def graph(self, arch: Archs, config: ConfigLike = None) -> Graph:
        """Return the network of one architecture as a graph; see :meth:`SearchSpace.graph`."""
        batch, of = self._exactly_one(arch), self.config(config)
        assert isinstance(of, FBNetConfig)
        self.check_buildable(batch, of)
        build = GraphBuilder()
        x = build.input((1, of.in_channels, of.height, of.width))
        x = _add_stem(build, of, x)
        for op, slot in zip(batch[0].tolist(), _slots(of), strict=True):
            x = _add_block(build, self.ops[op], slot, x)
        return build.graph(_add_head(build, of, x))

    def op_table(self, config: NetworkConfig, view: View) -> OpTable:
        """Return which operators each block runs; see :meth:`SearchSpace.op_table`."""
        assert isinstance(config, FBNetConfig)
        return _table(config, view)

    def table_choices(self, archs: ArchArray, config: NetworkConfig, view: View) -> npt.NDArray[np.integer[Any]]:
        """Return the blocks, (n, 22); in the quantized view, choices that also depend on the next block, (n, 23).

        A block with a residual reads its input twice, and a value that two operators read is not kept in int8. So a
        choice in the quantized view is twice the block's number, plus 1 if the next non-identity block has a residual.
        The first position is the stem.
        """
        if view != "quantized":
            return archs
        keeps_shape = np.array([slot.keeps_shape for slot in self.slots(config)])
        pairs = np.zeros((len(archs), N_LAYERS + 1), np.int8)
        read_twice = np.zeros(len(archs), bool)
        for position in reversed(range(N_LAYERS)):
            pairs[:, position + 1] = 2 * archs[:, position] + read_twice
            if keeps_shape[position]:
                read_twice = np.where(archs[:, position] == SKIP, read_twice, True)
            else:
                read_twice = np.zeros(len(archs), bool)
        pairs[:, 0] = read_twice
        return pairs

    def check_buildable(self, archs: ArchArray, config: NetworkConfig) -> None:
        """Raise :class:`InvalidConfigError` if a block's groups do not divide its channels."""
        assert isinstance(config, FBNetConfig)
        for position, slot in enumerate(_slots(config)):
            for name, block in BLOCKS.items():
                odd = slot.c_in % block.groups or slot.c_out % block.groups
                if odd and (archs[:, position] == _number_of_op()[name]).any():
                    raise InvalidConfigError(
                        f"block {name!r} at layer {position} needs channels divisible by {block.groups}, "
                        f"got {slot.c_in} -> {slot.c_out} under config {config}. "
                        "Choose even channels or another block."
                    )

    def _accepted(self) -> str:
        return f"a string, or {N_LAYERS} ops (numbers 0..8 or block names)"

    def _config_from_dict(self, config: Mapping[str, Any]) -> NetworkConfig:
        allowed = {"dataset", "num_classes", "op_idx_list", "arch_str"}
        dataset = str(config.get("dataset"))
        if dataset not in self.configs or not set(config) <= allowed:
            raise InvalidConfigError(
                "an FBNet config dict reads {'dataset': 'cifar100' | 'ImageNet', 'num_classes': ..., "
                f"'op_idx_list': [...], 'arch_str': [...]}}, got {dict(config)!r:.200}."
            )
        published = self.configs[dataset]
        if config.get("num_classes", published.num_classes) != published.num_classes:
            raise InvalidConfigError(
                f"FBNet's {dataset} has {published.num_classes} classes, got {config['num_classes']}. "
                "Pass an FBNetConfig for another number."
            )
        return published

    def arch_from_dict(self, config: Mapping[str, Any]) -> ArchArray:
        """Return the architecture of the benchmark's config dict (its ``op_idx_list``), shape (22,)."""
        if "op_idx_list" not in config:
            raise InvalidArchitectureError(
                f"the config dict has no 'op_idx_list'; it has {', '.join(map(repr, config)) or 'nothing'}."
            )
        row: ArchArray = self._exactly_one(config["op_idx_list"])[0]
        return row
