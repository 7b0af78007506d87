"""Convolutional networks in the form of transformers: ConvNeXt, PoolFormer, ConvMixer, VAN, FasterNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import (
    ChannelNorm,
    Residual,
    activation,
    classifier,
    conv,
    norm_of,
    widened,
)
from hwnas_surrogate.networks.zoo.family import Family

__all__ = ["FAMILIES"]


class Scaled(nn.Module):
    """A factor for each channel of an image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the factors."""
        return x * self.factor


class _ChannelMLP(nn.Module):
    """Layer norm and two linear layers on the channels, which are last meanwhile."""

    def __init__(self, channels: int, hidden: int, act: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, hidden), activation(act), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Move the channels, apply, and move them back."""
        out: Tensor = self.body(x.permute(0, 2, 3, 1))
        return out.permute(0, 3, 1, 2)


def pyramid(
    block: Callable[[int], nn.Module], widths: Sequence[int], depths: Sequence[int], norm: str, patch: int = 4
) -> nn.Sequential:
    """Return a stem of patches, and stages of blocks with a strided convolution before each but the first."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], patch, patch), norm_of(norm, widths[0])]
    for stage, (channels, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            before = widths[stage - 1]
            layers += [norm_of(norm, before), nn.Conv2d(before, channels, 2, 2)]
        layers += [block(channels) for _ in range(depth)]
    return nn.Sequential(*layers)


def convnext(depths: Sequence[int], width: float, kernel: int, form: str) -> nn.Sequential:
    """Return a ConvNeXt [1]_, whose channels are mixed by ``linear`` layers or 1x1 convolutions (``conv``).

    References
    ----------
    .. [1] Liu et al., "A ConvNet for the 2020s", CVPR 2022.
    """

    def block(channels: int) -> nn.Module:
        spatial = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        if form == "linear":
            mixed: nn.Module = _ChannelMLP(channels, 4 * channels, "gelu")
        else:
            wide = conv(channels, 4 * channels, 1, act="gelu", norm="none")
            mixed = nn.Sequential(ChannelNorm(channels), wide, nn.Conv2d(4 * channels, channels, 1))
        return Residual(nn.Sequential(spatial, mixed, Scaled(channels)))

    widths = widened((96, 192, 384, 768), width)
    return nn.Sequential(pyramid(block, widths, depths, "layer"), classifier(widths[-1]))


class _PoolMixer(nn.Module):
    """The mean of a neighbourhood, less the position itself."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(kernel, 1, kernel // 2, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool and subtract."""
        out: Tensor = self.pool(x) - x
        return out


def poolformer(depths: Sequence[int], width: float, kernel: int, act: str) -> nn.Sequential:
    """Return a PoolFormer [1]_.

    References
    ----------
    .. [1] Yu et al., "MetaFormer Is Actually What You Need for Vision", CVPR 2022.
    """

    def block(channels: int) -> nn.Module:
        wide = conv(channels, 4 * channels, 1, act=act, norm="none")
        mlp = nn.Sequential(norm_of("one", channels), wide, nn.Conv2d(4 * channels, channels, 1), Scaled(channels))
        pool = nn.Sequential(norm_of("one", channels), _PoolMixer(kernel), Scaled(channels))
        return nn.Sequential(Residual(pool), Residual(mlp))

    widths = widened((64, 128, 320, 512), width)
    return nn.Sequential(pyramid(block, widths, depths, "none"), norm_of("one", widths[-1]), classifier(widths[-1]))


def convmixer(dim: int, depth: int, kernel: int, patch: int, act: str) -> nn.Sequential:
    """Return a ConvMixer [1]_: depthwise and 1x1 convolutions on patches.

    References
    ----------
    .. [1] Trockman and Kolter, "Patches Are All You Need?", TMLR 2023.
    """

    def then(layer: nn.Module) -> nn.Sequential:
        return nn.Sequential(layer, activation(act), nn.BatchNorm2d(dim))

    layers: list[nn.Module] = [then(nn.Conv2d(3, dim, patch, patch))]
    for _ in range(depth):
        layers.append(Residual(then(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim))))
        layers.append(then(nn.Conv2d(dim, dim, 1)))
    return nn.Sequential(*layers, classifier(dim))


class _LargeKernelAttention(nn.Module):
    """Multiply by a map that a depthwise, a dilated depthwise and a 1x1 convolution compute."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.map = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
            nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        out: Tensor = x * self.map(x)
        return out


def van(depths: Sequence[int], width: float, kernel: int) -> nn.Sequential:
    """Return a visual attention network [1]_.

    References
    ----------
    .. [1] Guo et al., "Visual Attention Network", Computational Visual Media 2023.
    """

    def block(channels: int) -> nn.Module:
        # With batch norms, which keep sizes in eval mode, products of products would grow beyond all numbers.
        mixer = nn.Sequential(
            norm_of("one", channels),
            conv(channels, channels, 1, act="gelu", norm="none"),
            _LargeKernelAttention(channels, kernel, 3),
            nn.Conv2d(channels, channels, 1),
            Scaled(channels),
        )
        hidden = 4 * channels
        mlp = nn.Sequential(
            norm_of("one", channels),
            nn.Conv2d(channels, hidden, 1),
            conv(hidden, hidden, 3, groups=hidden, act="gelu", norm="none"),
            nn.Conv2d(hidden, channels, 1),
            Scaled(channels),
        )
        return nn.Sequential(Residual(mixer), Residual(mlp))

    widths = widened((32, 64, 160, 256), width)
    return nn.Sequential(pyramid(block, widths, depths, "batch"), classifier(widths[-1]))


class _PartialConv(nn.Module):
    """A 3x3 convolution of a part of the channels; the others stay."""

    def __init__(self, channels: int, divisor: int) -> None:
        super().__init__()
        part = channels // divisor
        self.sizes = [part, channels - part]
        self.layer = nn.Conv2d(part, part, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Split, convolve, join."""
        changed, kept = torch.split(x, self.sizes, 1)
        return torch.cat([self.layer(changed), kept], 1)


def fasternet(depths: Sequence[int], width: float, divisor: int, act: str) -> nn.Sequential:
    """Return a FasterNet [1]_: convolutions of a part of the channels.

    References
    ----------
    .. [1] Chen et al., "Run, Don't Walk: Chasing Higher FLOPS for Faster Neural Networks", CVPR 2023.
    """

    def block(channels: int) -> nn.Module:
        wide = conv(channels, 2 * channels, 1, act=act)
        narrow = nn.Conv2d(2 * channels, channels, 1, bias=False)
        return Residual(nn.Sequential(_PartialConv(channels, divisor), wide, narrow))

    widths = widened((40, 80, 160, 320), width, 8)
    return nn.Sequential(pyramid(block, widths, depths, "batch"), classifier(widths[-1]))


FAMILIES = (
    Family(
        "convnext", "convnext{depths[2]}-w{width:.2f}-k{kernel}-{form}-{size}px", convnext,
        "depths width kernel form size",
        (((1, 1, 2, 1), 0.25, 7, "linear", 96), ((2, 2, 6, 2), 0.25, 7, "conv", 160),
         ((2, 2, 6, 2), 0.42, 5, "linear", 224), ((3, 3, 9, 3), 0.33, 7, "conv", 128),
         ((2, 2, 4, 2), 0.5, 9, "linear", 160), ((1, 1, 3, 1), 0.66, 3, "conv", 128)),
    ),
    Family(
        "poolformer", "poolformer{depths[2]}-w{width:.2f}-k{kernel}-{act}-{size}px", poolformer,
        "depths width kernel act size",
        (((1, 1, 2, 1), 0.5, 3, "gelu", 96), ((2, 2, 6, 2), 0.5, 3, "gelu", 128), ((2, 2, 6, 2), 0.5, 5, "relu", 224),
         ((2, 2, 4, 2), 0.75, 3, "hswish", 160), ((3, 3, 9, 3), 0.5, 3, "gelu", 160)),
    ),
    Family(
        "convmixer", "convmixer{depth}-c{dim}-p{patch}-k{kernel}-{act}-{size}px", convmixer,
        "dim depth kernel patch act size",
        ((96, 4, 5, 8, "gelu", 96), (128, 6, 9, 8, "relu", 192), (256, 8, 7, 8, "silu", 128),
         (256, 12, 9, 16, "relu", 224), (384, 6, 3, 16, "gelu", 256)),
    ),
    Family(
        "van", "van{depths[2]}-w{width:.2f}-k{kernel}-{size}px", van, "depths width kernel size",
        (((1, 1, 2, 1), 0.5, 5, 96), ((2, 2, 3, 2), 0.5, 7, 160), ((3, 3, 5, 2), 0.75, 7, 128),
         ((2, 2, 3, 2), 1.0, 5, 128), ((3, 3, 5, 2), 1.0, 7, 160)),
    ),
    Family(
        "fasternet", "fasternet{depths[2]}-w{width:.2f}-d{divisor}-{act}-{size}px", fasternet,
        "depths width divisor act size",
        (((1, 2, 4, 2), 0.8, 4, "gelu", 96), ((1, 2, 8, 2), 1.0, 4, "gelu", 160), ((1, 2, 8, 2), 1.2, 4, "relu", 224),
         ((1, 2, 8, 2), 1.6, 2, "relu", 128), ((1, 2, 4, 2), 2.0, 8, "gelu", 192)),
    ),
)  # fmt: skip
