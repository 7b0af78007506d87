"""Residual networks: basic, bottleneck, pre-activated, for small images, ResNeXt, RegNet, and ResNet-D."""

from __future__ import annotations

from functools import partial

from torch import nn

from hwnas_surrogate.networks.zoo.blocks import (
    Residual,
    SqueezeExcite,
    activation,
    classifier,
    conv,
    norm_of,
    rounded,
    shortcut,
    staged,
    widened,
)
from hwnas_surrogate.networks.zoo.family import Family

__all__ = ["FAMILIES"]

_DEPTHS = {10: (1, 1, 1, 1), 14: (1, 1, 1, 1), 18: (2, 2, 2, 2), 26: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks of each stage by the number of layers."""


def basic(c_in: int, c_out: int, stride: int, act: str = "relu", norm: str = "batch") -> Residual:
    """Two 3x3 convolutions [1]_.

    References
    ----------
    .. [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """
    body = nn.Sequential(conv(c_in, c_out, 3, stride, act=act, norm=norm), conv(c_out, c_out, 3, act="none", norm=norm))
    return Residual(body, shortcut(c_in, c_out, stride, norm), act)


def bottleneck(
    c_in: int, c_out: int, stride: int, ratio: float = 0.25, groups: int = 1, gate: float = 0.0, act: str = "relu"
) -> Residual:
    """A 1x1, a grouped 3x3 and a 1x1 convolution, with a squeeze-and-excitation if ``gate`` > 0."""
    middle = rounded(c_out * ratio, max(8, groups))
    body = [conv(c_in, middle, 1, act=act), conv(middle, middle, 3, stride, groups=groups, act=act)]
    excite = [SqueezeExcite(middle, rounded(c_in * gate))] if gate else []
    out = conv(middle, c_out, 1, act="none")
    return Residual(nn.Sequential(*body, *excite, out), shortcut(c_in, c_out, stride), act)


def preactivated(c_in: int, c_out: int, stride: int, act: str = "relu", norm: str = "batch") -> Residual:
    """Norm and activation before each of two 3x3 convolutions [1]_.

    References
    ----------
    .. [1] He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016.
    """
    body = nn.Sequential(
        norm_of(norm, c_in),
        activation(act),
        nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
        norm_of(norm, c_out),
        activation(act),
        nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
    )
    return Residual(body, shortcut(c_in, c_out, stride, "none"))


def pooled_shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    """An average pool and a 1x1 convolution of stride 1."""
    if stride == 1:
        return shortcut(c_in, c_out, 1)
    return nn.Sequential(nn.AvgPool2d(2), conv(c_in, c_out, 1, act="none"))


def smooth(c_in: int, c_out: int, stride: int, act: str) -> Residual:
    """A bottleneck whose shortcut is pooled [1]_.

    References
    ----------
    .. [1] He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", CVPR 2019.
    """
    made = bottleneck(c_in, c_out, stride, act=act)
    return Residual(made.body, pooled_shortcut(c_in, c_out, stride), act)


def _stem(channels: int, act: str = "relu", norm: str = "batch") -> nn.Sequential:
    return nn.Sequential(conv(3, channels, 7, 2, act=act, norm=norm), nn.MaxPool2d(3, 2, 1))


def resnet(depth: int, width: float, act: str = "relu", norm: str = "batch") -> nn.Sequential:
    """Return a ResNet of basic blocks."""
    widths = widened((64, 128, 256, 512), width)
    block = partial(basic, act=act, norm=norm)
    return nn.Sequential(
        _stem(widths[0], act, norm), staged(block, widths[0], widths, _DEPTHS[depth]), classifier(widths[-1])
    )


def resnet_bottleneck(depth: int, width: float) -> nn.Sequential:
    """Return a ResNet of bottleneck blocks."""
    stem, *widths = widened((64, 256, 512, 1024, 2048), width)
    return nn.Sequential(_stem(stem), staged(bottleneck, stem, widths, _DEPTHS[depth]), classifier(widths[-1]))


def resnet_d(depth: int, width: float, act: str) -> nn.Sequential:
    """Return a ResNet-D: a stem of three 3x3 convolutions, pooled shortcuts."""
    stem, *widths = widened((64, 256, 512, 1024, 2048), width)
    half = rounded(stem / 2)
    first = nn.Sequential(
        conv(3, half, 3, 2, act=act), conv(half, half, 3, act=act), conv(half, stem, 3, act=act), nn.MaxPool2d(3, 2, 1)
    )
    block = partial(smooth, act=act)
    return nn.Sequential(first, staged(block, stem, widths, _DEPTHS[depth]), classifier(widths[-1]))


def resnet_preact(depth: int, width: float, act: str, norm: str) -> nn.Sequential:
    """Return a pre-activated ResNet."""
    widths = widened((64, 128, 256, 512), width)
    block = partial(preactivated, act=act, norm=norm)
    last = nn.Sequential(norm_of(norm, widths[-1]), activation(act))
    stem = nn.Conv2d(3, widths[0], 5, 2, 2, bias=False)
    return nn.Sequential(
        stem, staged(block, widths[0], widths, _DEPTHS[depth], (2, 2, 2, 2)), last, classifier(widths[-1], 200)
    )


def resnet_cifar(depth: int, width: float, act: str) -> nn.Sequential:
    """Return the three-stage ResNet for small images."""
    widths = widened((16, 32, 64), width)
    each = (depth - 2) // 6
    body = staged(partial(basic, act=act), widths[0], widths, (each,) * 3)
    return nn.Sequential(conv(3, widths[0], 3, act=act), body, classifier(widths[-1], 10))


def resnext(depth: int, groups: int, width: float) -> nn.Sequential:
    """Return a ResNeXt [1]_: bottlenecks of half the channels, in groups.

    References
    ----------
    .. [1] Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017.
    """
    stem, *widths = widened((64, 256, 512, 1024, 2048), width, 2 * groups)
    block = partial(bottleneck, ratio=0.5, groups=groups)
    return nn.Sequential(_stem(stem), staged(block, stem, widths, _DEPTHS[depth]), classifier(widths[-1]))


_REGNETS = {
    200: ((24, 56, 152, 368), (1, 1, 4, 7), 8),
    400: ((32, 64, 160, 400), (1, 2, 6, 8), 16),
    600: ((48, 96, 240, 528), (1, 3, 5, 7), 24),
    800: ((64, 128, 288, 672), (1, 2, 5, 4), 16),
}
"""Channels and blocks of each stage, and channels of a group, by millions of multiply-adds at 224 pixels."""


def _regnet_block(c_in: int, c_out: int, stride: int, group: int, gate: float, act: str) -> Residual:
    groups = max(1, c_out // group)
    return bottleneck(c_in, c_out, stride, 1.0, groups if c_out % groups == 0 else 1, gate, act)


def regnet(flops: int, gate: float = 0.0, act: str = "relu") -> nn.Sequential:
    """Return a RegNet X, or Y with a squeeze-and-excitation [1]_.

    References
    ----------
    .. [1] Radosavovic et al., "Designing Network Design Spaces", CVPR 2020.
    """
    channels, depths, group = _REGNETS[flops]
    widths = widened(channels, 1.0, group)
    body = staged(partial(_regnet_block, group=group, gate=gate, act=act), 32, widths, depths, (2, 2, 2, 2))
    return nn.Sequential(conv(3, 32, 3, 2, act=act), body, classifier(widths[-1]))


FAMILIES = (
    Family(
        "resnet", "resnet{depth}-w{width:.2f}-{size}px", resnet, "depth width size",
        ((10, 0.5, 160), (18, 0.25, 224), (18, 0.5, 64), (18, 0.5, 128), (18, 1.0, 128), (34, 0.5, 160),
         (34, 0.5, 256)),
    ),
    Family(
        "resnet-bottleneck", "resnet-bottleneck{depth}-w{width:.2f}-{size}px", resnet_bottleneck, "depth width size",
        ((14, 0.25, 96), (26, 0.25, 128), (26, 0.25, 288), (26, 0.75, 160), (50, 0.25, 160), (50, 0.5, 192)),
    ),
    Family(
        "resnet-d", "resnet-d{depth}-w{width:.2f}-{act}-{size}px", resnet_d, "depth width act size",
        ((14, 0.25, "relu", 128), (26, 0.25, "leaky", 192), (26, 0.5, "silu", 64), (50, 0.25, "relu", 224),
         (50, 0.5, "leaky", 96)),
    ),
    Family(
        "resnet-preact", "resnet-preact{depth}-w{width:.2f}-{act}-{norm}-{size}px", resnet_preact,
        "depth width act norm size",
        ((10, 0.25, "elu", "batch", 64), (10, 0.5, "relu", "batch", 128), (10, 0.75, "relu", "group", 96),
         (18, 0.5, "elu", "batch", 96), (18, 0.5, "tanh", "group", 64), (34, 0.5, "leaky", "batch", 160)),
    ),
    Family(
        "resnet-cifar", "resnet-cifar{depth}-w{width:.2f}-{act}-{size}px", resnet_cifar, "depth width act size",
        ((8, 1.0, "relu", 32), (14, 1.0, "prelu", 32), (20, 0.5, "relu", 64), (20, 1.0, "elu", 48),
         (32, 1.5, "relu", 64), (56, 1.0, "tanh", 32)),
    ),
    Family(
        "resnext", "resnext{depth}-{groups}g-w{width:.2f}-{size}px", resnext, "depth groups width size",
        ((14, 8, 0.5, 96), (26, 4, 0.25, 192), (26, 16, 0.5, 128), (50, 8, 0.25, 224), (50, 32, 0.5, 128)),
    ),
    Family(
        "regnet-x", "regnet-x{flops}-{size}px", regnet, "flops size",
        ((200, 96), (200, 224), (200, 320), (400, 64), (400, 224), (800, 192)),
    ),
    Family(
        "regnet-y", "regnet-y{flops}-{act}-{size}px", partial(regnet, gate=0.25), "flops act size",
        ((200, "relu", 64), (200, "relu", 224), (200, "silu", 128), (400, "relu", 192), (600, "relu", 224),
         (800, "relu", 128)),
    ),
)  # fmt: skip
