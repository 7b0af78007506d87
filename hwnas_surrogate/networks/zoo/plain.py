"""Networks that are one chain of convolutions: VGG, RepVGG in both forms, AlexNet."""

from __future__ import annotations

from functools import partial

from torch import nn

from hwnas_surrogate.networks.zoo.blocks import Sum, activation, classifier, conv, rounded, staged, widened
from hwnas_surrogate.networks.zoo.family import Family

__all__ = ["FAMILIES"]

_VGGS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
"""Convolutions of each stage by the number of layers."""


def vgg(depth: int, width: float, norm: str, size: int) -> nn.Sequential:
    """Return a VGG [1]_ with two hidden linear layers, narrower than the published ones.

    References
    ----------
    .. [1] Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
    """
    c_in = 3
    layers: list[nn.Module] = []
    for channels, count in zip(widened((64, 128, 256, 512, 512), width), _VGGS[depth], strict=True):
        for _ in range(count):
            layers.append(conv(c_in, channels, 3, norm=norm))
            c_in = channels
        layers.append(nn.MaxPool2d(2))
    hidden = rounded(1024 * width)
    head = [nn.Flatten(1), nn.Linear(c_in * (size // 32) ** 2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*layers, *head, nn.Linear(hidden, 1000))


def alexnet(width: float, act: str, size: int) -> nn.Sequential:
    """Return an AlexNet [1]_: large kernels, overlapping pools, three linear layers.

    References
    ----------
    .. [1] Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012.
    """
    a, b, c, d = widened((64, 192, 384, 256), width)
    body = nn.Sequential(
        nn.Conv2d(3, a, 11, 4, 2), activation(act), nn.MaxPool2d(3, 2),
        nn.Conv2d(a, b, 5, 1, 2), activation(act), nn.MaxPool2d(3, 2),
        conv(b, c, 3, act=act, norm="none"), conv(c, d, 3, act=act, norm="none"), conv(d, d, 3, act=act, norm="none"),
        nn.MaxPool2d(3, 2),
    )  # fmt: skip
    side = (size + 4 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    hidden = rounded(1024 * width)
    layers = [nn.Linear(d * side * side, hidden), activation(act), nn.Linear(hidden, hidden), activation(act)]
    return nn.Sequential(body, nn.Flatten(1), *layers, nn.Linear(hidden, 1000))


def deployed(c_in: int, c_out: int, stride: int, act: str) -> nn.Sequential:
    """A RepVGG block after its branches are merged: one convolution."""
    return conv(c_in, c_out, 3, stride, act=act, norm="none")


def trained(c_in: int, c_out: int, stride: int, act: str) -> nn.Sequential:
    """A RepVGG block as it is trained: a 3x3, a 1x1 and, where the shape allows it, an identity branch, summed."""
    branches: list[nn.Module] = [
        conv(c_in, c_out, 3, stride, act="none"), conv(c_in, c_out, 1, stride, act="none")
    ]  # fmt: skip
    if c_in == c_out and stride == 1:
        branches.append(nn.BatchNorm2d(c_in))
    return nn.Sequential(Sum(*branches), activation(act))


def repvgg(depths: tuple[int, ...], width: float, act: str, is_trained: bool = False) -> nn.Sequential:
    """Return a RepVGG [1]_, with its branches if ``is_trained``.

    References
    ----------
    .. [1] Ding et al., "RepVGG: Making VGG-Style ConvNets Great Again", CVPR 2021.
    """
    widths = widened((64, 64, 128, 256, 640), width)
    block = partial(trained if is_trained else deployed, act=act)
    return nn.Sequential(staged(block, 3, widths, (1, *depths), (2, 2, 2, 2, 2)), classifier(widths[-1]))


_A, _B, _C = (2, 4, 14, 1), (2, 2, 6, 1), (1, 2, 4, 1)

FAMILIES = (
    Family(
        "vgg", "vgg{depth}-w{width:.2f}-{norm}-{size}px", vgg, "depth width norm size",
        ((11, 0.25, "batch", 64), (11, 0.25, "none", 128), (13, 0.25, "batch", 160), (13, 0.25, "group", 96),
         (16, 0.5, "none", 64), (16, 0.25, "batch", 224)),
        is_sized=True,
    ),
    Family(
        "alexnet", "alexnet-w{width:.2f}-{act}-{size}px", alexnet, "width act size",
        ((0.25, "relu", 224), (0.5, "tanh", 128), (0.75, "sigmoid", 224), (1.0, "relu", 192), (0.75, "prelu", 256)),
        is_sized=True,
    ),
    Family(
        "repvgg", "repvgg{depths[2]}-w{width:.2f}-{act}-{size}px", repvgg, "depths width act size",
        ((_C, 0.5, "relu", 96), (_B, 0.25, "relu", 192), (_B, 0.75, "silu", 128), (_A, 0.5, "relu", 160),
         (_A, 0.75, "leaky", 96)),
    ),
    Family(
        "repvgg-train", "repvgg-train{depths[2]}-w{width:.2f}-{act}-{size}px", partial(repvgg, is_trained=True),
        "depths width act size",
        ((_C, 0.5, "relu", 64), (_B, 0.25, "relu", 128), (_B, 0.5, "silu", 96), (_A, 0.5, "relu", 128),
         (_A, 0.25, "relu", 256)),
    ),
)  # fmt: skip
