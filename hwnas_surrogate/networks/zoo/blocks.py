"""Building blocks that several families share: convolutions with norm and activation, sums, joins, attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "ACTIVATIONS",
    "Attention",
    "Branches",
    "ChannelNorm",
    "ChannelShuffle",
    "Residual",
    "SqueezeExcite",
    "Sum",
    "Transposed",
    "activation",
    "classifier",
    "conv",
    "depthwise",
    "feed_forward",
    "norm_of",
    "pre_norm",
    "rounded",
    "shortcut",
    "staged",
    "widened",
]

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "none": nn.Identity,
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "leaky": partial(nn.LeakyReLU, 0.1),
        "prelu": nn.PReLU,
        "elu": nn.ELU,
        "silu": nn.SiLU,
        "hswish": nn.Hardswish,
        "gelu": nn.GELU,
        "sigmoid": nn.Sigmoid,
        "hsigmoid": nn.Hardsigmoid,
        "tanh": nn.Tanh,
    }
)
"""Activations by the names that stand in the names of networks."""


def activation(name: str) -> nn.Module:
    """Return a new activation of :data:`ACTIVATIONS`."""
    return ACTIVATIONS[name]()


def rounded(channels: float, divisor: int = 8) -> int:
    """Return the next multiple of a divisor, at least the divisor itself."""
    return max(divisor, int(channels / divisor + 0.5) * divisor)


def widened(channels: Sequence[float], width: float, divisor: int = 8) -> list[int]:
    """Return channels times a width factor, each rounded to a multiple of a divisor."""
    return [rounded(count * width, divisor) for count in channels]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of an image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize with the channels last, and return them to their place."""
        out: Tensor = self.norm(x.permute(0, 2, 3, 1))
        return out.permute(0, 3, 1, 2)


def norm_of(name: str, channels: int) -> nn.Module:
    """Return a norm of images: ``batch``, ``group`` (of eight channels), ``one`` (one group), ``layer`` or ``none``."""
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(max(1, channels // 8), channels)
    if name == "one":
        return nn.GroupNorm(1, channels)
    return ChannelNorm(channels) if name == "layer" else nn.Identity()


def conv(
    c_in: int,
    c_out: int,
    kernel: int | tuple[int, int] = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    dilation: int = 1,
    act: str = "relu",
    norm: str = "batch",
) -> nn.Sequential:
    """Return a convolution that keeps the size (but for its stride), its norm and its activation."""
    sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (sizes[0] - 1) // 2, dilation * (sizes[1] - 1) // 2)
    layer = nn.Conv2d(c_in, c_out, sizes, stride, padding, dilation, groups, bias=norm == "none")
    parts = [layer, norm_of(norm, c_out), activation(act)]
    return nn.Sequential(*(part for part in parts if not isinstance(part, nn.Identity)))


def depthwise(
    channels: int, kernel: int = 3, stride: int = 1, *, dilation: int = 1, act: str = "relu"
) -> nn.Sequential:
    """Return a depthwise convolution with batch norm and activation."""
    return conv(channels, channels, kernel, stride, groups=channels, dilation=dilation, act=act)


class Residual(nn.Module):
    """The sum of a body and a shortcut, then an activation."""

    def __init__(self, body: nn.Module, short: nn.Module | None = None, act: str = "none") -> None:
        super().__init__()
        self.body = body
        self.short = short or nn.Identity()
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Add the two and activate."""
        out: Tensor = self.act(self.body(x) + self.short(x))
        return out


def shortcut(c_in: int, c_out: int, stride: int, norm: str = "batch") -> nn.Module:
    """Return the identity, or a 1x1 convolution where a block changes the shape."""
    if c_in == c_out and stride == 1:
        return nn.Identity()
    return conv(c_in, c_out, 1, stride, act="none", norm=norm)


class Sum(nn.Module):
    """The sum of several modules of one input."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Add them in order."""
        out: Tensor = self.parts[0](x)
        for part in self.parts[1:]:
            out = out + part(x)
        return out


class Branches(nn.Module):
    """Several modules of one input, joined along the channels."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Join them in order."""
        return torch.cat([part(x) for part in self.parts], 1)


class SqueezeExcite(nn.Module):
    """Scale the channels by a gate that is computed from their means [1]_.

    References
    ----------
    .. [1] Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018.
    """

    def __init__(self, channels: int, reduced: int, act: str = "relu", gate: str = "sigmoid") -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, reduced, 1),
            activation(act),
            nn.Conv2d(reduced, channels, 1),
            activation(gate),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the gate."""
        out: Tensor = x * self.gate(x)
        return out


class ChannelShuffle(nn.Module):
    """Interleave the channels of groups, in four dimensions, which every runtime has."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Read the channels as (groups, channels / groups), and transpose."""
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch, self.groups, channels // self.groups, height * width)
        return grouped.transpose(1, 2).reshape(batch, channels, height, width)


class Transposed(nn.Module):
    """A module that is applied along dimension 1 of (batch, length, channels)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Transpose, apply, and transpose back."""
        out: Tensor = self.body(x.transpose(1, 2))
        return out.transpose(1, 2)


Block = Callable[[int, int, int], nn.Module]
"""Makes a block of its channels in, its channels out, and its stride."""


def staged(
    block: Block, c_in: int, widths: Sequence[int], depths: Sequence[int], strides: Sequence[int] = (1, 2, 2, 2)
) -> nn.Sequential:
    """Return stages of blocks: the first block of each has the stage's stride."""
    blocks: list[nn.Module] = []
    for (before, width), depth, stride in zip(pairwise((c_in, *widths)), depths, strides, strict=False):
        blocks.append(block(before, width, stride))
        blocks += [block(width, width, 1) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def classifier(channels: int, classes: int = 1000) -> nn.Sequential:
    """Return a global average pool and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(channels, classes))


def feed_forward(dim: int, hidden: int, act: str = "gelu", dim_out: int | None = None) -> nn.Sequential:
    """Return two linear layers with an activation between them."""
    return nn.Sequential(nn.Linear(dim, hidden), activation(act), nn.Linear(hidden, dim_out or dim))


def pre_norm(dim: int, body: nn.Module) -> Residual:
    """Return a residual block whose body reads its input after a layer norm."""
    return Residual(nn.Sequential(nn.LayerNorm(dim), body))


class Attention(nn.Module):
    """Multi-head attention [1]_ of a sequence to itself, of shape (batch, length, dim).

    Parameters
    ----------
    dim, heads : int
        Channels, and heads that share them.
    is_causal : bool, default=False
        Whether a position reads only those up to it.

    References
    ----------
    .. [1] Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
    """

    def __init__(self, dim: int, heads: int, is_causal: bool = False) -> None:
        super().__init__()
        self.heads, self.is_causal = heads, is_causal
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend with queries, keys and values of one projection."""
        batch, length, dim = x.shape
        query, key, value = (
            part.reshape(batch, length, self.heads, dim // self.heads).transpose(1, 2)
            for part in self.project(x).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.is_causal)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, dim))
        return out
