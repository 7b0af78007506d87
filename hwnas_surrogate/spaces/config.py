"""Network configs: widths, depth, classes and input shape."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from hwnas_surrogate.errors import InvalidConfigError

__all__ = ["FBNetConfig", "InputConfig", "NASBench201Config", "NATSBenchSizeConfig", "NetworkConfig"]

N_FBNET_STAGES = 7


_N = r"(\d{1,9})"
"""A number in a config's string."""
_NO_SHAPE = "default"
"""The string of an InputConfig without a shape."""
_LARGEST, _MOST_CLASSES = 20_000, 1_000_000
"""Largest sizes: the multiply-adds of every layer then fit into 64 bits, and no network comes near them."""
_MOST_AXES, _MOST_NUMBERS = 8, 1 << 31
"""Largest inputs of an InputConfig."""


def _positive(config: NetworkConfig, name: str, value: object, hint: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidConfigError(
            f"{type(config).__name__}: {name} must be an integer of at least 1, got {value!r}.{hint}"
        )
    if value > (largest := _MOST_CLASSES if name == "num_classes" else _LARGEST):
        raise InvalidConfigError(f"{type(config).__name__}: {name} must be at most {largest:,}, got {value:,}.")


def _check_sizes(config: NASBench201Config | NATSBenchSizeConfig) -> None:
    """Check the fields of networks that halve the size twice: positive integers, the size a multiple of 4."""
    for item in fields(config):
        _positive(config, item.name, getattr(config, item.name))
    if config.height % 4 or config.width % 4:
        raise InvalidConfigError(
            f"{type(config).__name__}: height and width must be multiples of 4, got {config.height}x{config.width}. "
            "The two reductions halve the size, and their two branches agree only then."
        )


class NetworkConfig(ABC):
    """Base of the configs: frozen, hashable, with a string form that :meth:`parse` reads back."""

    __slots__ = ()

    num_classes: int
    in_channels: int
    height: int
    width: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Input without the batch, as (channels, height, width) for images."""
        return self.in_channels, self.height, self.width

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self:
        """Read a config from its string; raises :class:`InvalidConfigError`."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NASBench201Config(NetworkConfig):
    """Everything but the cell of a NAS-Bench-201 network.

    Its string is ``C16-N5-k10-3x32x32``: stem channels, cells per stage, classes, input shape.

    Parameters
    ----------
    C : int, default=16
        Stem channels; the three stages have C, 2C and 4C.
    N : int, default=5
        Cells in each of the three stages.
    num_classes : int, default=10
        Classes.
    in_channels : int, default=3
        Input channels.
    height, width : int, default=32
        Input size in pixels, multiples of 4: two reductions, whose pooling floors and whose strided
        convolution rounds up, must agree.

    Raises
    ------
    InvalidConfigError
        If a value is not a positive integer, or the size is not a multiple of 4.

    Examples
    --------
    >>> str(NASBench201Config(C=8, N=1))
    'C8-N1-k10-3x32x32'
    >>> NASBench201Config.parse("C16-N5-k120-3x16x16").height
    16
    """

    C: int = 16
    N: int = 5
    num_classes: int = 10
    in_channels: int = 3
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        _check_sizes(self)

    def __str__(self) -> str:
        return f"C{self.C}-N{self.N}-k{self.num_classes}-{self.in_channels}x{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``C16-N5-k10-3x32x32``."""
        match = re.fullmatch(f"C{_N}-N{_N}-k{_N}-{_N}x{_N}x{_N}", text.strip())
        if match is None:
            raise InvalidConfigError(
                f"a NAS-Bench-201 config reads like 'C16-N5-k10-3x32x32' "
                f"(stem channels, cells per stage, classes, input), got {text!r:.100}."
            )
        return cls(*map(int, match.groups()))


@dataclass(frozen=True, slots=True)
class FBNetConfig(NetworkConfig):
    """Everything but the 22 blocks of an FBNet network.

    Its string is ``S16-16.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32``: stem channels, stage
    channels, header channels, classes, strides (stem first, then the seven stages), input shape.

    Parameters
    ----------
    stem_channels : int, default=16
        Channels after the stem.
    stage_channels : tuple of 7 int
        Channels of the seven stages (1, 4, 4, 4, 4, 4 and 1 layers).
    header_channels : int, default=1504
        Channels of the 1x1 convolution before pooling.
    num_classes : int, default=100
        Classes.
    stem_stride : int, default=1
        1 or 2.
    stage_strides : tuple of 7 int
        1 or 2 each; the first block of a stage has its stride.
    in_channels, height, width : int
        Input shape, default 3, 32, 32.

    Raises
    ------
    InvalidConfigError
        If a value is out of range.
    """

    stem_channels: int = 16
    stage_channels: tuple[int, ...] = (16, 24, 32, 64, 112, 184, 352)
    header_channels: int = 1504
    num_classes: int = 100
    stem_stride: int = 1
    stage_strides: tuple[int, ...] = (1, 1, 2, 2, 1, 2, 1)
    in_channels: int = 3
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.name not in ("stage_channels", "stage_strides"):
                _positive(self, item.name, getattr(self, item.name))
        for name in ("stage_channels", "stage_strides"):
            given = getattr(self, name)
            values = tuple(given) if isinstance(given, Iterable) else ()
            object.__setattr__(self, name, values)
            if len(values) != N_FBNET_STAGES:
                raise InvalidConfigError(
                    f"FBNetConfig: {name} needs {N_FBNET_STAGES} integers, one a stage, got {given!r}."
                )
            for value in values:
                _positive(self, name, value)
        for stride in (self.stem_stride, *self.stage_strides):
            if stride not in (1, 2):
                raise InvalidConfigError(f"FBNetConfig: strides must be 1 or 2, got {stride!r}.")

    def __str__(self) -> str:
        stages = ".".join(map(str, self.stage_channels))
        strides = ".".join(map(str, (self.stem_stride, *self.stage_strides)))
        shape = f"{self.in_channels}x{self.height}x{self.width}"
        head = f"H{self.header_channels}-k{self.num_classes}"
        return f"S{self.stem_channels}-{stages}-{head}-s{strides}-{shape}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``S16-16.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32``."""
        match = re.fullmatch(rf"S{_N}-([\d.]+)-H{_N}-k{_N}-s([\d.]+)-{_N}x{_N}x{_N}", text.strip(), flags=re.ASCII)
        parts = match.groups() if match else None
        if parts is None or not all(part.isdigit() and len(part) < 10 for i in (1, 4) for part in parts[i].split(".")):
            raise InvalidConfigError(
                "an FBNet config reads like 'S16-16.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32' "
                f"(stem, stages, header, classes, strides, input), got {text!r:.100}."
            )
        stem_stride, *stage_strides = (int(stride) for stride in parts[4].split("."))
        return cls(
            stem_channels=int(parts[0]),
            stage_channels=tuple(int(channels) for channels in parts[1].split(".")),
            header_channels=int(parts[2]),
            num_classes=int(parts[3]),
            stem_stride=stem_stride,
            stage_strides=tuple(stage_strides),
            in_channels=int(parts[5]),
            height=int(parts[6]),
            width=int(parts[7]),
        )


@dataclass(frozen=True, slots=True)
class NATSBenchSizeConfig(NetworkConfig):
    """Everything but the channels of a network of NATS-Bench's size space.

    Its string is ``k10-3x32x32``: classes, input shape.

    Parameters
    ----------
    num_classes : int, default=10
        Classes.
    in_channels : int, default=3
        Input channels.
    height, width : int, default=32
        Input size in pixels, multiples of 4, for the two reductions as in NAS-Bench-201.

    Raises
    ------
    InvalidConfigError
        If a value is not a positive integer, or the size is not a multiple of 4.

    Examples
    --------
    >>> NATSBenchSizeConfig.parse("k120-3x16x16").num_classes
    120
    """

    num_classes: int = 10
    in_channels: int = 3
    height: int = 32
    width: int = 32

    def __post_init__(self) -> None:
        _check_sizes(self)

    def __str__(self) -> str:
        return f"k{self.num_classes}-{self.in_channels}x{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``k10-3x32x32``."""
        match = re.fullmatch(f"k{_N}-{_N}x{_N}x{_N}", text.strip())
        if match is None:
            raise InvalidConfigError(
                f"a NATS-Bench-Size config reads like 'k10-3x32x32' (classes, input), got {text!r:.100}."
            )
        return cls(*map(int, match.groups()))


@dataclass(frozen=True, slots=True)
class InputConfig(NetworkConfig):
    """The input of a network, for spaces whose architectures determine everything else.

    Its string is ``3x64x64``, the shape without the batch; ``default`` without a shape.

    Parameters
    ----------
    shape : sequence of int, default=()
        Sizes without the batch; empty if the architecture determines the input.

    Raises
    ------
    InvalidConfigError
        If a size is not a positive integer.

    Examples
    --------
    >>> str(InputConfig((3, 64, 64)))
    '3x64x64'
    >>> InputConfig.parse("128").input_shape
    (128,)
    """

    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = tuple(self.shape) if isinstance(self.shape, Iterable) and not isinstance(self.shape, str) else None
        if sizes is None or len(sizes) > _MOST_AXES:
            raise InvalidConfigError(
                f"InputConfig: shape must be at most {_MOST_AXES} sizes without the batch, (3, 64, 64) say, "
                f"got {self.shape!r:.60}."
            )
        for size in sizes:
            _positive(self, "a size", size)
        if math.prod(sizes) > _MOST_NUMBERS:
            raise InvalidConfigError(f"InputConfig: an input has at most {_MOST_NUMBERS:,} numbers, got {sizes}.")
        object.__setattr__(self, "shape", sizes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Input without the batch."""
        return self.shape

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) or _NO_SHAPE

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3x64x64``."""
        stripped = text.strip()
        if stripped == _NO_SHAPE:
            return cls()
        if re.fullmatch(r"\d{1,9}(x\d{1,9})*", stripped, flags=re.ASCII) is None:
            raise InvalidConfigError(
                f"an input config reads like '3x64x64' (sizes without the batch), got {text!r:.100}."
            )
        return cls(tuple(map(int, stripped.split("x"))))
