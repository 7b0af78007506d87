"""Networks that return maps: segmentation, detection, super-resolution, autoencoders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas_surrogate.networks.zoo.blocks import (
    Branches,
    Residual,
    activation,
    conv,
    depthwise,
    rounded,
    staged,
    widened,
)
from hwnas_surrogate.networks.zoo.family import Family
from hwnas_surrogate.networks.zoo.mobile import inverted
from hwnas_surrogate.networks.zoo.residual import basic

__all__ = ["FAMILIES"]


def _pair(c_in: int, c_out: int, act: str, norm: str = "batch") -> nn.Sequential:
    """Two 3x3 convolutions."""
    return nn.Sequential(conv(c_in, c_out, 3, act=act, norm=norm), conv(c_out, c_out, 3, act=act, norm=norm))


class UNet(nn.Module):
    """A U-Net [1]_: down, and up again with what was computed on the way down.

    Parameters
    ----------
    channels : int
        Of the first level; each level has twice those before it.
    depth : int
        Levels below the first.
    up : {"transposed", "bilinear", "nearest"}
        How maps are enlarged.
    act, norm : str

    References
    ----------
    .. [1] Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
    """

    def __init__(self, channels: int, depth: int, up: str, act: str, norm: str) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _pair(widths[level - 1] if level else 3, widths[level], act, norm) for level in range(depth + 1)
        )
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.ModuleList(_enlarged(widths[level + 1], widths[level], up) for level in range(depth))
        self.up = nn.ModuleList(_pair(2 * widths[level], widths[level], act, norm) for level in range(depth))
        self.head = nn.Conv2d(channels, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for every pixel."""
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            kept.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([kept[level], self.enlarge[level](x)], 1))
        logits: Tensor = self.head(x)
        return logits


def _enlarged(c_in: int, c_out: int, how: str) -> nn.Module:
    """Twice the size: a transposed convolution, or a resize and a 1x1 convolution."""
    if how == "transposed":
        return nn.ConvTranspose2d(c_in, c_out, 2, 2)
    resize = nn.Upsample(scale_factor=2, mode=how, align_corners=False if how == "bilinear" else None)
    return nn.Sequential(resize, nn.Conv2d(c_in, c_out, 1))


class _ImagePool(nn.Module):
    """The mean of a map, convolved, at every position of it."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Pool, convolve, spread."""
        out: Tensor = self.body(x)
        return functional.interpolate(out, size=(x.shape[2], x.shape[3]), mode="nearest")


class DeepLab(nn.Module):
    """A DeepLabV3+ [1]_ on inverted residuals: dilated convolutions at several rates, joined with an early map.

    Parameters
    ----------
    width : float
        Factor of the channels.
    rates : sequence of int
        The dilations.
    act : str

    References
    ----------
    .. [1] Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018.
    """

    def __init__(self, width: float, rates: Sequence[int], act: str) -> None:
        super().__init__()
        stem, a, b, c, out = widened((32, 24, 48, 96, 128), width)

        def block(c_in: int, c_out: int, stride: int) -> nn.Module:
            return inverted(c_in, c_out, stride, 4, 3, act)

        self.early = nn.Sequential(conv(3, stem, 3, 2, act=act), staged(block, stem, (a,), (2,), (2,)))
        self.late = staged(block, a, (b, c), (2, 3), (2, 2))
        dilated = [conv(c, out, 3, dilation=rate) for rate in rates]
        self.rates = nn.Sequential(
            Branches(conv(c, out, 1), *dilated, _ImagePool(c, out)), conv(out * (len(rates) + 2), out, 1)
        )
        self.lateral = conv(a, rounded(out / 4), 1)
        self.resize = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)
        self.head = nn.Sequential(conv(out + rounded(out / 4), out, 3), nn.Conv2d(out, 19, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for every pixel."""
        early = self.early(x)
        late = self.resize(self.rates(self.late(early)))
        logits: Tensor = self.resize(self.head(torch.cat([late, self.lateral(early)], 1)))
        return logits


def _mixing(channels: int, is_full: bool) -> nn.Sequential:
    """A convolution that keeps the channels: 3x3, or depthwise 5x5 and 1x1."""
    return (
        conv(channels, channels, 3) if is_full else nn.Sequential(depthwise(channels, 5), conv(channels, channels, 1))
    )


class Detector(nn.Module):
    """A feature pyramid [1]_ with a head on each level that returns classes and boxes [2]_.

    Parameters
    ----------
    width : float
        Factor of the backbone's channels.
    channels : int
        Of the pyramid.
    depth : int
        Convolutions of a head.
    form : {"full", "depthwise"}
        Of the backbone and of the heads.

    References
    ----------
    .. [1] Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017.
    .. [2] Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019.
    """

    def __init__(self, width: float, channels: int, depth: int, form: str) -> None:
        super().__init__()
        stem, *widths = widened((32, 64, 128, 256, 384), width)
        is_full = form == "full"
        block = basic if is_full else inverted
        self.stem = nn.Sequential(conv(3, stem, 3, 2), staged(block, stem, widths[:1], (1,), (2,)))
        self.stages = nn.ModuleList(
            staged(block, before, (width_of,), (2,), (2,)) for before, width_of in pairwise(widths)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in widths[1:])
        self.resize = nn.Upsample(scale_factor=2, mode="nearest")
        self.smooth = nn.ModuleList(_mixing(channels, is_full) for _ in widths[1:])
        self.head = nn.Sequential(*(_mixing(channels, is_full) for _ in range(depth)))
        self.classes, self.boxes = nn.Conv2d(channels, 20, 3, padding=1), nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return classes and boxes of three levels, the finest first."""
        x = self.stem(x)
        laterals: list[Tensor] = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            laterals.append(lateral(x))
        for level in (1, 0):
            laterals[level] = laterals[level] + self.resize(laterals[level + 1])
        found: list[Tensor] = []
        for lateral_map, smooth in zip(laterals, self.smooth, strict=True):
            out = self.head(smooth(lateral_map))
            found += [self.classes(out).sigmoid(), self.boxes(out).relu()]
        return tuple(found)


def super_resolution(channels: int, depth: int, scale: int, form: str, act: str) -> nn.Sequential:
    """Return a network that enlarges images by moving channels into pixels [1]_: ``plain`` or ``residual`` [2]_.

    References
    ----------
    .. [1] Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
       Neural Network", CVPR 2016.
    .. [2] Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR workshops 2017.
    """

    def block() -> nn.Module:
        first = conv(channels, channels, 3, act=act, norm="none")
        if form == "plain":
            return first
        return Residual(nn.Sequential(first, nn.Conv2d(channels, channels, 3, padding=1)))

    last = [nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)]
    first = conv(3, channels, 5, act=act, norm="none")
    return nn.Sequential(first, *(block() for _ in range(depth)), *last)


def autoencoder(channels: int, depth: int, kernel: int, act: str) -> nn.Sequential:
    """Return a convolutional autoencoder: strided convolutions, and transposed ones."""
    widths = [3, *(channels * 2**level for level in range(depth))]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, kernel, 2, kernel // 2), nn.BatchNorm2d(after), activation(act)]
    widths.reverse()
    for before, after in pairwise(widths):
        layers.append(nn.ConvTranspose2d(before, after, kernel, 2, kernel // 2, output_padding=1))
        if after > 3:
            layers += [nn.BatchNorm2d(after), activation(act)]
    return nn.Sequential(*layers, nn.Sigmoid())


class _Exchange(nn.Module):
    """Two maps, one of half the size, each added to the other."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.down = conv(fine, coarse, 3, 2, act="none")
        resize = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.up = nn.Sequential(conv(coarse, fine, 1, act="none"), resize)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Return both after the exchange."""
        return (fine + self.up(coarse)).relu(), (coarse + self.down(fine)).relu()


class HRNet(nn.Module):
    """Two resolutions side by side, which exchange what they found, as in HRNet [1]_.

    Parameters
    ----------
    channels : int
        Of the finer map; the coarser one has twice as many.
    depth : int
        Exchanges.
    blocks : int
        Residual blocks of each map before an exchange.

    References
    ----------
    .. [1] Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2021.
    """

    def __init__(self, channels: int, depth: int, blocks: int) -> None:
        super().__init__()
        coarse = 2 * channels
        self.stem = nn.Sequential(conv(3, channels, 3, 2), conv(channels, channels, 3, 2))
        self.split = conv(channels, coarse, 3, 2)
        self.fine = nn.ModuleList(staged(basic, channels, (channels,), (blocks,)) for _ in range(depth))
        self.coarse = nn.ModuleList(staged(basic, coarse, (coarse,), (blocks,)) for _ in range(depth))
        self.exchange = nn.ModuleList(_Exchange(channels, coarse) for _ in range(depth))
        self.head = nn.Conv2d(channels, 17, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a heat map for each of 17 points."""
        fine = self.stem(x)
        coarse = self.split(fine)
        for on_fine, on_coarse, exchange in zip(self.fine, self.coarse, self.exchange, strict=True):
            fine, coarse = exchange(on_fine(fine), on_coarse(coarse))
        maps: Tensor = self.head(fine)
        return maps


FAMILIES = (
    Family(
        "unet", "unet{depth}-c{channels}-{up}-{act}-{norm}-{size}px", UNet, "channels depth up act norm size",
        ((8, 2, "transposed", "relu", "batch", 64), (8, 3, "bilinear", "relu", "batch", 128),
         (12, 3, "transposed", "leaky", "batch", 96), (16, 3, "nearest", "silu", "group", 64),
         (8, 4, "transposed", "relu", "none", 160), (12, 4, "nearest", "elu", "batch", 128)),
    ),
    Family(
        "deeplab", "deeplab-w{width:.2f}-r{rates[0]}-{act}-{size}px", DeepLab, "width rates act size",
        ((0.5, (2, 4), "relu6", 96), (0.5, (3, 6, 9), "relu6", 192), (0.75, (2, 4, 6), "hswish", 160),
         (1.0, (6, 12), "relu6", 224), (0.75, (6, 12, 18), "relu6", 320)),
    ),
    Family(
        "detector", "detector{depth}-c{channels}-w{width:.2f}-{form}-{size}px", Detector,
        "width channels depth form size",
        ((0.25, 32, 1, "depthwise", 96), (0.5, 48, 2, "depthwise", 192), (0.75, 64, 3, "depthwise", 320),
         (0.25, 32, 1, "full", 160), (0.5, 64, 2, "full", 224)),
    ),
    Family(
        "super-resolution", "super-resolution{depth}-c{channels}-x{scale}-{form}-{act}-{size}px", super_resolution,
        "channels depth scale form act size",
        ((16, 3, 2, "plain", "tanh", 64), (24, 4, 3, "plain", "relu", 96), (16, 4, 2, "residual", "relu", 128),
         (32, 4, 4, "residual", "relu", 64), (48, 3, 2, "plain", "prelu", 80)),
    ),
    Family(
        "autoencoder", "autoencoder{depth}-c{channels}-k{kernel}-{act}-{size}px", autoencoder,
        "channels depth kernel act size",
        ((8, 3, 3, "relu", 96), (16, 3, 3, "elu", 128), (16, 4, 5, "leaky", 96), (24, 3, 3, "relu", 192),
         (32, 3, 5, "relu", 64)),
    ),
    Family(
        "hrnet", "hrnet{depth}-c{channels}-b{blocks}-{size}px", HRNet, "channels depth blocks size",
        ((16, 2, 1, 96), (16, 3, 2, 192), (24, 2, 2, 160), (32, 2, 2, 128), (18, 4, 2, 256)),
    ),
)  # fmt: skip
