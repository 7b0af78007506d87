"""Networks for phones: depthwise-separable, inverted residuals with and without gates, ghost, shuffle, mixed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import (
    Branches,
    ChannelShuffle,
    Residual,
    SqueezeExcite,
    activation,
    classifier,
    conv,
    depthwise,
    rounded,
    shortcut,
    staged,
    widened,
)
from hwnas_surrogate.networks.zoo.family import Family

__all__ = ["FAMILIES", "inverted"]


def mobilenet_v1(width: float, act: str) -> nn.Sequential:
    """Return a MobileNet of depthwise and 1x1 convolutions [1]_.

    References
    ----------
    .. [1] Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017.
    """

    def block(c_in: int, c_out: int, stride: int) -> nn.Sequential:
        return nn.Sequential(depthwise(c_in, 3, stride, act=act), conv(c_in, c_out, 1, act=act))

    stem, *widths = widened((32, 64, 128, 256, 512, 1024), width)
    body = staged(block, stem, widths, (1, 2, 2, 6, 2), (1, 2, 2, 2, 2))
    return nn.Sequential(conv(3, stem, 3, 2, act=act), body, classifier(widths[-1]))


def inverted(
    c_in: int,
    c_out: int,
    stride: int,
    expansion: float = 6,
    kernel: int = 3,
    act: str = "relu6",
    gate: float = 0.0,
    gate_act: str = "sigmoid",
) -> nn.Module:
    """An inverted residual (MBConv) [1]_, with a squeeze-and-excitation if ``gate`` > 0.

    References
    ----------
    .. [1] Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
    """
    middle = rounded(c_in * expansion)
    body: list[nn.Module] = [] if expansion == 1 else [conv(c_in, middle, 1, act=act)]
    middle = c_in if expansion == 1 else middle
    body.append(depthwise(middle, kernel, stride, act=act))
    if gate:
        body.append(SqueezeExcite(middle, rounded(c_in * gate), "relu" if gate_act == "hsigmoid" else act, gate_act))
    body.append(conv(middle, c_out, 1, act="none"))
    made = nn.Sequential(*body)
    return Residual(made) if c_in == c_out and stride == 1 else made


def fused_inverted(c_in: int, c_out: int, stride: int, expansion: float, act: str) -> nn.Module:
    """An inverted residual whose first two convolutions are one 3x3 convolution [1]_.

    References
    ----------
    .. [1] Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", ICML 2021.
    """
    middle = rounded(c_in * expansion)
    if expansion == 1:
        made = nn.Sequential(conv(c_in, c_out, 3, stride, act=act))
    else:
        made = nn.Sequential(conv(c_in, middle, 3, stride, act=act), conv(middle, c_out, 1, act="none"))
    return Residual(made) if c_in == c_out and stride == 1 else made


_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_V3 = (
    (3, 1, 16, 0, "relu", 1), (3, 4, 24, 0, "relu", 2), (3, 3, 24, 0, "relu", 1), (5, 3, 40, 1, "relu", 2),
    (5, 3, 40, 1, "relu", 1), (3, 6, 80, 0, "hswish", 2), (3, 2.5, 80, 0, "hswish", 1), (3, 6, 112, 1, "hswish", 1),
    (5, 6, 160, 1, "hswish", 2), (5, 6, 160, 1, "hswish", 1),
)  # fmt: skip
_EFFICIENT = (
    (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1), (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)  # fmt: skip
"""Rows of the papers' tables: kernel, expansion, channels, (gate, activation) or blocks, stride."""


def mobilenet_v2(width: float, act: str = "relu6") -> nn.Sequential:
    """Return a MobileNetV2."""
    channels = rounded(32 * width)
    layers: list[nn.Module] = [conv(3, channels, 3, 2, act=act)]
    for expansion, count, depth, stride in _V2:
        c_out = rounded(count * width)
        block = partial(inverted, expansion=expansion, act=act)
        layers.append(staged(block, channels, (c_out,), (depth,), (stride,)))
        channels = c_out
    last = max(rounded(1280 * width), 640)
    return nn.Sequential(*layers, conv(channels, last, 1, act=act), classifier(last))


def mobilenet_v3(width: float) -> nn.Sequential:
    """Return a MobileNetV3 [1]_.

    References
    ----------
    .. [1] Howard et al., "Searching for MobileNetV3", ICCV 2019.
    """
    channels = rounded(16 * width)
    layers: list[nn.Module] = [conv(3, channels, 3, 2, act="hswish")]
    for kernel, expansion, count, gated, act, stride in _V3:
        c_out, gate = rounded(count * width), 0.75 if gated else 0.0
        layers.append(inverted(channels, c_out, stride, expansion, kernel, act, gate, "hsigmoid"))
        channels = c_out
    middle, last = rounded(960 * width), rounded(1280 * width)
    head = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(middle, last, 1), nn.Hardswish(), nn.Flatten(1), nn.Linear(last, 1000)]
    return nn.Sequential(*layers, conv(channels, middle, 1, act="hswish"), *head)


def efficientnet(width: float, depth: float, act: str, gate: float) -> nn.Sequential:
    """Return an EfficientNet [1]_: with gates, or a lite one without.

    References
    ----------
    .. [1] Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019.
    """
    channels = rounded(32 * width)
    layers: list[nn.Module] = [conv(3, channels, 3, 2, act=act)]
    for kernel, expansion, count, blocks, stride in _EFFICIENT:
        c_out = rounded(count * width)
        block = partial(inverted, expansion=expansion, kernel=kernel, act=act, gate=gate)
        layers.append(staged(block, channels, (c_out,), (max(1, round(blocks * depth)),), (stride,)))
        channels = c_out
    last = rounded(1280 * width)
    return nn.Sequential(*layers, conv(channels, last, 1, act=act), classifier(last))


def efficientnet_v2(width: float, depths: Sequence[int], act: str) -> nn.Sequential:
    """Return an EfficientNetV2: three stages of fused inverted residuals, three of gated ones."""
    stem, *widths = widened((24, 24, 48, 64, 96, 112, 192), width)
    layers: list[nn.Module] = [conv(3, stem, 3, 2, act=act)]
    channels = stem
    plan = zip(widths, depths, (1, 4, 4, 4, 6, 6), (1, 2, 2, 2, 1, 2), strict=True)
    for number, (c_out, depth, expansion, stride) in enumerate(plan):
        block = (
            partial(fused_inverted, expansion=expansion, act=act)
            if number < 3
            else partial(inverted, expansion=expansion, act=act, gate=0.25)
        )
        layers.append(staged(block, channels, (c_out,), (depth,), (stride,)))
        channels = c_out
    last = rounded(1280 * width)
    return nn.Sequential(*layers, conv(channels, last, 1, act=act), classifier(last))


class _Ghost(nn.Module):
    """Half of the channels by a 1x1 convolution, the others by a depthwise convolution of these."""

    def __init__(self, c_in: int, c_out: int, act: str) -> None:
        super().__init__()
        self.first = conv(c_in, c_out // 2, 1, act=act)
        self.cheap = depthwise(c_out // 2, 3, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """Join the two halves."""
        out = self.first(x)
        return torch.cat([out, self.cheap(out)], 1)


def ghost(c_in: int, c_out: int, stride: int, kernel: int, gate: float) -> Residual:
    """A ghost bottleneck."""
    middle = rounded(3 * c_in)
    body: list[nn.Module] = [_Ghost(c_in, middle, "relu")]
    if stride > 1:
        body.append(depthwise(middle, kernel, stride, act="none"))
    if gate:
        body.append(SqueezeExcite(middle, rounded(middle * gate), "relu", "hsigmoid"))
    body.append(_Ghost(middle, c_out, "none"))
    short: nn.Module = nn.Identity()
    if stride > 1 or c_in != c_out:
        short = nn.Sequential(depthwise(c_in, kernel, stride, act="none"), conv(c_in, c_out, 1, act="none"))
    return Residual(nn.Sequential(*body), short)


def ghostnet(width: float, kernel: int, gate: float) -> nn.Sequential:
    """Return a GhostNet [1]_.

    References
    ----------
    .. [1] Han et al., "GhostNet: More Features from Cheap Operations", CVPR 2020.
    """
    stem, *widths = widened((16, 24, 40, 80, 160), width)
    body = staged(partial(ghost, kernel=kernel, gate=gate), stem, widths, (2, 2, 4, 3), (2, 2, 2, 2))
    last = rounded(480 * width)
    return nn.Sequential(conv(3, stem, 3, 2), body, conv(widths[-1], last, 1), classifier(last))


def _shuffle_v1_block(c_in: int, c_out: int, stride: int, groups: int, act: str) -> nn.Module:
    """Grouped 1x1 convolutions around a depthwise one, with a shuffle; joined with a pool where the size halves."""
    new = c_out - c_in if stride > 1 else c_out
    middle = rounded(c_out / 4, groups * 2)
    body = nn.Sequential(
        conv(c_in, middle, 1, groups=groups if c_in % groups == 0 else 1, act=act),
        ChannelShuffle(groups),
        depthwise(middle, 3, stride, act="none"),
        conv(middle, new, 1, groups=groups if new % groups == 0 else 1, act="none"),
    )
    if stride == 1:
        return Residual(body, act=act)
    return nn.Sequential(Branches(nn.AvgPool2d(3, 2, 1), body), activation(act))


def shufflenet_v1(groups: int, width: float, act: str) -> nn.Sequential:
    """Return a ShuffleNet [1]_.

    References
    ----------
    .. [1] Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
       CVPR 2018.
    """
    widths = widened((240, 480, 960), width, 4 * groups)
    block = partial(_shuffle_v1_block, groups=groups, act=act)
    body = staged(block, 24, widths, (4, 8, 4), (2, 2, 2))
    return nn.Sequential(conv(3, 24, 3, 2, act=act), nn.MaxPool2d(3, 2, 1), body, classifier(widths[-1]))


class _HalfShuffle(nn.Module):
    """Convolve half of the channels, join them with the other half, and shuffle."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(conv(half, half, 1), depthwise(half, kernel, act="none"), conv(half, half, 1))
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """Split, convolve, join, shuffle."""
        kept, changed = x.chunk(2, 1)
        out: Tensor = self.shuffle(torch.cat([kept, self.body(changed)], 1))
        return out


def _shuffle_v2_block(c_in: int, c_out: int, stride: int, kernel: int) -> nn.Module:
    if stride == 1:
        return _HalfShuffle(c_out, kernel)
    half = c_out // 2
    left = nn.Sequential(depthwise(c_in, kernel, 2, act="none"), conv(c_in, half, 1))
    right = nn.Sequential(conv(c_in, half, 1), depthwise(half, kernel, 2, act="none"), conv(half, half, 1))
    return nn.Sequential(Branches(left, right), ChannelShuffle(2))


def shufflenet_v2(width: float, kernel: int) -> nn.Sequential:
    """Return a ShuffleNetV2 [1]_.

    References
    ----------
    .. [1] Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018.
    """
    widths = widened((116, 232, 464), width)
    body = staged(partial(_shuffle_v2_block, kernel=kernel), 24, widths, (4, 8, 4), (2, 2, 2))
    last = rounded(1024 * max(1.0, width))
    return nn.Sequential(conv(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1), body, conv(widths[-1], last, 1), classifier(last))


class _MixedDepthwise(nn.Module):
    """Depthwise convolutions of several kernels, each on its part of the channels."""

    def __init__(self, channels: int, kernels: Sequence[int], stride: int, act: str) -> None:
        super().__init__()
        part = channels // len(kernels)
        self.sizes = [part] * (len(kernels) - 1) + [channels - part * (len(kernels) - 1)]
        self.parts = nn.ModuleList(
            nn.Conv2d(size, size, kernel, stride, kernel // 2, groups=size, bias=False)
            for size, kernel in zip(self.sizes, kernels, strict=True)
        )
        self.norm, self.act = nn.BatchNorm2d(channels), activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Split, convolve, join."""
        pieces = [part(piece) for part, piece in zip(self.parts, torch.split(x, self.sizes, 1), strict=True)]
        out: Tensor = self.act(self.norm(torch.cat(pieces, 1)))
        return out


def mixnet(width: float, kernels: Sequence[int], act: str) -> nn.Sequential:
    """Return a MixNet [1]_: inverted residuals with depthwise convolutions of mixed kernels.

    References
    ----------
    .. [1] Tan and Le, "MixConv: Mixed Depthwise Convolutional Kernels", BMVC 2019.
    """

    def block(c_in: int, c_out: int, stride: int) -> nn.Module:
        middle = 4 * c_in
        body = nn.Sequential(
            conv(c_in, middle, 1, act=act),
            _MixedDepthwise(middle, kernels, stride, act),
            conv(middle, c_out, 1, act="none"),
        )
        return Residual(body, shortcut(c_in, c_out, stride)) if stride == 1 else body

    stem, *widths = widened((24, 32, 40, 80, 160), width)
    body = staged(block, stem, widths, (1, 2, 3, 2), (2, 2, 2, 2))
    return nn.Sequential(conv(3, stem, 3, 2, act=act), body, classifier(widths[-1]))


def _efficientnet_lite(width: float, depth: float) -> nn.Sequential:
    return efficientnet(width, depth, "relu6", 0.0)


FAMILIES = (
    Family(
        "mobilenet-v1", "mobilenet-v1-w{width:.2f}-{act}-{size}px", mobilenet_v1, "width act size",
        ((0.25, "relu", 96), (0.25, "relu6", 224), (0.5, "relu6", 128), (0.5, "relu", 192), (0.5, "leaky", 320),
         (1.0, "relu", 192)),
    ),
    Family(
        "mobilenet-v2", "mobilenet-v2-w{width:.2f}-{size}px", mobilenet_v2, "width size",
        ((0.25, 128), (0.35, 224), (0.5, 160), (0.5, 256), (1.0, 96), (1.0, 224), (1.4, 128)),
    ),
    Family(
        "mobilenet-v3", "mobilenet-v3-w{width:.2f}-{size}px", mobilenet_v3, "width size",
        ((0.35, 96), (0.5, 224), (0.75, 160), (1.0, 128), (1.0, 320), (1.25, 64)),
    ),
    Family(
        "efficientnet", "efficientnet-w{width:.2f}-d{depth:.1f}-{act}-{size}px", partial(efficientnet, gate=0.25),
        "width depth act size",
        ((0.35, 1.0, "silu", 128), (0.5, 1.0, "silu", 160), (0.5, 1.0, "hswish", 224), (0.75, 1.2, "silu", 192),
         (1.0, 1.0, "relu", 160), (1.0, 1.0, "silu", 224)),
    ),
    Family(
        "efficientnet-lite", "efficientnet-lite-w{width:.2f}-d{depth:.1f}-{size}px", _efficientnet_lite,
        "width depth size",
        ((0.5, 1.0, 96), (0.5, 1.0, 192), (0.75, 0.6, 160), (1.0, 1.0, 160), (1.0, 1.0, 224), (1.1, 1.2, 128)),
    ),
    Family(
        "efficientnet-v2", "efficientnet-v2-{depths[2]}-w{width:.2f}-{act}-{size}px", efficientnet_v2,
        "width depths act size",
        ((0.35, (1, 2, 2, 3, 3, 4), "silu", 160), (0.5, (1, 2, 2, 2, 3, 3), "silu", 96),
         (0.5, (1, 2, 2, 3, 5, 6), "silu", 160), (0.75, (1, 2, 2, 2, 3, 3), "relu6", 192),
         (1.0, (1, 2, 2, 2, 3, 3), "hswish", 160)),
    ),
    Family(
        "ghostnet", "ghostnet-w{width:.2f}-k{kernel}-g{gate:.2f}-{size}px", ghostnet, "width kernel gate size",
        ((0.5, 3, 0.25, 160), (1.0, 3, 0.0, 96), (1.0, 3, 0.25, 224), (1.0, 5, 0.25, 160), (1.3, 5, 0.25, 256)),
    ),
    Family(
        "shufflenet-v1", "shufflenet-v1-{groups}g-w{width:.2f}-{act}-{size}px", shufflenet_v1,
        "groups width act size",
        ((2, 0.5, "relu", 128), (3, 1.0, "relu", 128), (4, 1.0, "leaky", 224), (8, 1.0, "relu", 160),
         (3, 1.5, "relu", 160)),
    ),
    Family(
        "shufflenet-v2", "shufflenet-v2-w{width:.2f}-k{kernel}-{size}px", shufflenet_v2, "width kernel size",
        ((0.5, 3, 96), (0.5, 3, 320), (1.0, 3, 128), (1.0, 3, 224), (1.0, 5, 160), (2.0, 7, 128)),
    ),
    Family(
        "mixnet", "mixnet{kernels[2]}-w{width:.2f}-{act}-{size}px", mixnet, "width kernels act size",
        ((0.5, (3, 5, 7), "relu", 128), (0.75, (3, 5, 7), "silu", 192), (1.0, (3, 5, 9), "hswish", 160),
         (1.0, (5, 7, 9), "relu", 224), (1.5, (3, 5, 7), "silu", 160)),
    ),
)  # fmt: skip
