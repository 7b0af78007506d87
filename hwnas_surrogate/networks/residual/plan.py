"""Plans of residual networks: which convolutions they have, from a block's kind, a depth, widths and kept blocks.

Basic, width-inferred, depth-inferred and shape-inferred networks have one description: full widths and all blocks are
just one choice of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import MOST_LAYERS, check_name, count, counts

__all__ = ["BASIC", "BOTTLENECK", "SIMPLE", "Block", "BlockKind", "Conv", "Plan", "ShortcutNorms", "block_kind"]


@dataclass(frozen=True, slots=True)
class BlockKind:
    """A kind of residual block: names and kernels of its convolutions, which one strides, and its expansion."""

    convs: tuple[tuple[str, int], ...]
    strided: int = 0
    expansion: int = 1

    def widths(self, planes: int) -> tuple[int, ...]:
        """Return the full width of each convolution."""
        return (planes,) * (len(self.convs) - 1) + (planes * self.expansion,)


BASIC = BlockKind((("conv_a", 3), ("conv_b", 3)))
BOTTLENECK = BlockKind((("conv_1x1", 1), ("conv_3x3", 3), ("conv_1x4", 1)), strided=1, expansion=4)
SIMPLE = BlockKind((("conv", 3),))
"""The block of SimResNet: one convolution."""

_KINDS: Mapping[str, BlockKind] = MappingProxyType(
    {"ResNetBasicblock": BASIC, "ResNetBottleneck": BOTTLENECK, "BasicBlock": BASIC, "Bottleneck": BOTTLENECK}
)
_CIFAR_NAMES = ("ResNetBasicblock", "ResNetBottleneck")
_IMAGENET_NAMES = ("BasicBlock", "Bottleneck")


def block_kind(name: str, family: str) -> BlockKind:
    """Return the kind of block by its name in a config; raise `InvalidConfigError` if the family has no such block."""
    allowed = _CIFAR_NAMES if family == "cifar" else _IMAGENET_NAMES
    check_name(f"{family} residual block", name, allowed)
    return _KINDS[name]


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution without bias, with what stands before and after it."""

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    pooled: bool = False
    """Whether the map is averaged over 2x2 pixels first."""
    norm: bool = True
    relu: bool = True


@dataclass(frozen=True, slots=True)
class ShortcutNorms:
    """Which 1x1 convolutions of shortcuts have a batch norm."""

    pooled: bool
    """Those that halve the size."""
    plain: bool
    """Those that only change the channels."""


@dataclass(frozen=True, slots=True)
class Block:
    """A residual block: its kind, the channels of its input and of each convolution, its stride and position."""

    kind: BlockKind
    channels: tuple[int, ...]
    stride: int
    stage: int
    place: int
    """Its number within the stage."""
    norms: ShortcutNorms

    def convs(self) -> Iterator[tuple[str, Conv]]:
        """Return the convolutions of the residual branch, by name; the last has no ReLU."""
        last = len(self.kind.convs) - 1
        for number, (name, kernel) in enumerate(self.kind.convs):
            stride = self.stride if number == self.kind.strided else 1
            relu = number != last or self.kind is SIMPLE
            yield name, Conv(self.channels[number], self.channels[number + 1], kernel, stride, relu=relu)

    def shortcut(self) -> Conv | None:
        """Return the convolution of the shortcut; None for an identity."""
        halves = self.stride == 2
        if not halves and self.channels[0] == self.channels[-1]:
            return None
        norm = self.norms.pooled if halves else self.norms.plain
        return Conv(self.channels[0], self.channels[-1], 1, pooled=halves, norm=norm, relu=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """A residual network up to its classifier.

    ``channels`` of all its convolutions are one flat list: the input's, each stem convolution's, each block
    convolution's, those of dropped blocks too. That is the form of ``xchannels`` in configs.
    """

    stem: tuple[Conv, ...]
    max_pool: bool
    """Whether a 3x3 max pool of stride 2 follows the stem."""
    blocks: tuple[Block, ...]
    layers: tuple[int, ...]
    """Blocks of each stage before any was dropped."""

    @property
    def features(self) -> int:
        """Channels before the classifier."""
        return self.blocks[-1].channels[-1]

    @property
    def depth(self) -> int:
        """Convolutions on the longest path, and the classifier."""
        return len(self.stem) + sum(len(block.kind.convs) for block in self.blocks) + 1

    @classmethod
    def cifar(
        cls,
        kind: BlockKind,
        depth: object,
        norms: ShortcutNorms,
        xblocks: object = None,
        xchannels: object = None,
    ) -> Plan:
        """Plan a CIFAR ResNet: three stages of 16, 32 and 64 planes.

        Parameters
        ----------
        kind : BlockKind
        depth : int
            Convolutions and the classifier: 2 plus a multiple of three blocks' convolutions.
        norms : ShortcutNorms
        xblocks : sequence of 3 int, optional
            Blocks to keep in each stage, from its beginning; all if None.
        xchannels : sequence of int, optional
            Channels of the input, the stem and each convolution of all blocks; full widths if None.

        Raises
        ------
        InvalidConfigError
            If one of them does not fit.
        """
        number, step = count("depth", depth, MOST_LAYERS), 3 * len(kind.convs)
        if number < 2 + step or (number - 2) % step:
            raise InvalidConfigError(
                f"depth must be 2 plus a multiple of {step} for three stages of blocks with {len(kind.convs)} "
                f"convolutions each ({2 + step}, {2 + 2 * step}, ...), got {number}."
            )
        layers = (number - 2) // step
        return cls._of(kind, ((16, 3, 1),), False, (layers,) * 3, 16, norms, xblocks, xchannels)

    @classmethod
    def imagenet(
        cls, kind: BlockKind, layers: object, deep_stem: bool, xblocks: object = None, xchannels: object = None
    ) -> Plan:
        """Plan an ImageNet ResNet: four stages of 64, 128, 256 and 512 planes.

        Parameters
        ----------
        kind : BlockKind
        layers : sequence of 4 int
            Blocks of each stage.
        deep_stem : bool
            Whether the stem is two 3x3 convolutions instead of one of 7x7.
        xblocks : sequence of 4 int, optional
            Blocks to keep in each stage; all if None.
        xchannels : sequence of int, optional
            As in :meth:`cifar`.

        Raises
        ------
        InvalidConfigError
            If one of them does not fit.
        """
        stem = ((32, 3, 2), (64, 3, 1)) if deep_stem else ((64, 7, 2),)
        stages = counts("layers", layers, 4, " (the blocks of each stage)", MOST_LAYERS // 4)
        return cls._of(kind, stem, True, stages, 64, ShortcutNorms(True, True), xblocks, xchannels)

    @classmethod
    def _of(
        cls,
        kind: BlockKind,
        stem: Sequence[tuple[int, int, int]],
        max_pool: bool,
        layers: tuple[int, ...],
        planes: int,
        norms: ShortcutNorms,
        xblocks: object,
        xchannels: object,
    ) -> Plan:
        widths = (width for stage, n in enumerate(layers) for _ in range(n) for width in kind.widths(planes << stage))
        full = (3, *(width for width, _, _ in stem), *widths)
        form = f" (the input's channels, {len(stem)} of the stem, {len(kind.convs)} of each of {sum(layers)} blocks)"
        channels = full if xchannels is None else counts("xchannels", xchannels, len(full), form)
        convs = tuple(
            Conv(channels[number], channels[number + 1], kernel, stride)
            for number, (_, kernel, stride) in enumerate(stem)
        )
        kept = layers if xblocks is None else _checked_blocks(xblocks, layers)
        blocks = tuple(_blocks(kind, channels[len(stem) :], layers, kept, norms))
        return cls(convs, max_pool, blocks, layers)


def _checked_blocks(xblocks: object, layers: tuple[int, ...]) -> tuple[int, ...]:
    kept = counts("xblocks", xblocks, len(layers), " (the blocks to keep in each stage)")
    if any(n > most for n, most in zip(kept, layers, strict=True)):
        raise InvalidConfigError(f"xblocks keeps at most {list(layers)} blocks of the stages, got {list(kept)}.")
    return kept


def _blocks(
    kind: BlockKind, channels: Sequence[int], layers: tuple[int, ...], kept: tuple[int, ...], norms: ShortcutNorms
) -> Iterator[Block]:
    """Return the kept blocks; one after dropped blocks reads the channels of the last kept one."""
    c_in, at, n_convs = channels[0], 1, len(kind.convs)
    for stage, (n_layers, n_kept) in enumerate(zip(layers, kept, strict=True)):
        for place in range(n_kept):
            own = channels[at + place * n_convs : at + (place + 1) * n_convs]
            yield Block(kind, (c_in, *own), 2 if stage and not place else 1, stage, place, norms)
            c_in = own[-1]
        at += n_layers * n_convs
