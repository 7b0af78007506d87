"""Networks of random operators at random sizes: what the other families never combine.

Published networks have channels in round numbers, and one kernel size for each depth. A surrogate that learns from them
alone knows nothing of a depthwise convolution of 27 channels. These networks are drawn, as nn-Meter [1]_ draws the
kernels that it measures, but as whole networks: each runs operators of one kind of network at sizes from everywhere.

References
----------
.. [1] Zhang et al., "nn-Meter: Towards Accurate Latency Prediction of Deep-Learning Model Inference on Diverse Edge
   Devices", MobiSys 2021.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import (
    Attention,
    Branches,
    ChannelShuffle,
    Residual,
    SqueezeExcite,
    Transposed,
    activation,
    classifier,
    conv,
    feed_forward,
    norm_of,
)
from hwnas_surrogate.networks.zoo.family import Family, ZooInput

__all__ = ["FAMILIES", "Draw"]

T = TypeVar("T")

_ACTS = ("none", "relu", "relu", "relu6", "leaky", "prelu", "elu", "silu", "hswish", "gelu", "sigmoid", "tanh")
_N_STEPS = 12
_LEAST_SIZE = 4
"""Images are not made smaller than this."""


class Draw:
    """A stream of random choices that a text seeds, the same in every version of Python.

    Parameters
    ----------
    seed : str

    Examples
    --------
    >>> draw = Draw("random-conv-0")
    >>> [draw.of((1, 3, 5)) for _ in range(6)]
    [1, 1, 5, 5, 1, 1]
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def of(self, options: Sequence[T]) -> T:
        """Return one of some options."""
        return options[int(self._random.random() * len(options))]

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return self._random.random() < probability

    def count(self, low: int, high: int) -> int:
        """Return a whole number between two, uniform in its logarithm; half of them are multiples of 8."""
        number = round(float(low * (high / low) ** self._random.random()))
        return max(8, (number + 4) // 8 * 8) if self.chance(0.5) else number


class _Image:
    """What a network of images has come to: its layers so far, channels and pixels."""

    def __init__(self, draw: Draw, channels: int, pixels: int) -> None:
        self.draw, self.channels, self.pixels = draw, channels, pixels
        self.layers: list[nn.Module] = []

    def add(self, layer: nn.Module, channels: int | None = None, stride: int = 1) -> None:
        """Append a layer, and note what it makes of channels and pixels."""
        self.layers.append(layer)
        self.channels = self.channels if channels is None else channels
        self.pixels = -(-self.pixels // stride)

    def stride(self) -> int:
        """Return 2 at times, while there are pixels enough."""
        return 2 if self.pixels >= 2 * _LEAST_SIZE and self.draw.chance(0.25) else 1

    def width(self, most: int) -> int:
        """Return a number of channels: few where there are many pixels, so that no layer dwarfs the others."""
        return self.draw.count(5, max(8, min(most, 6_000 // self.pixels)))

    def conv(self, c_out: int, kernel: int | tuple[int, int], stride: int = 1, groups: int = 1) -> nn.Sequential:
        """Return a convolution of these channels with a random activation, with batch norm or a bias."""
        dilation = 2 if kernel == 3 and groups == 1 and stride == 1 and self.draw.chance(0.1) else 1
        norm = "batch" if self.draw.chance(0.7) else "none"
        act = self.draw.of(_ACTS)
        return conv(self.channels, c_out, kernel, stride, groups=groups, dilation=dilation, act=act, norm=norm)


Step = Callable[[_Image], None]
_KERNELS: tuple[int | tuple[int, int], ...] = (1, 1, 3, 3, 3, 5, 7, (1, 3), (7, 1))


def _dense(image: _Image) -> None:
    stride, c_out = image.stride(), image.width(320)
    kernel = image.draw.of(_KERNELS)
    image.add(image.conv(c_out, kernel, stride), c_out, stride)


def _grouped(image: _Image) -> None:
    groups, each, out = image.draw.of((2, 3, 4, 8)), image.draw.count(4, 40), image.draw.count(4, 40)
    image.add(image.conv(groups * each, 1), groups * each)
    stride = image.stride()
    image.add(image.conv(groups * out, image.draw.of((1, 3, 3, 5)), stride, groups), groups * out, stride)


def _residual(image: _Image) -> None:
    kernel, act = image.draw.of((1, 3, 3, 5)), image.draw.of(("none", "relu", "silu"))
    image.add(Residual(image.conv(image.channels, kernel), act=act))


def _joined(image: _Image) -> None:
    first, second = image.width(96), image.width(96)
    parts = [image.conv(first, image.draw.of((1, 3))), image.conv(second, image.draw.of((1, 3, 5)))]
    image.add(Branches(*parts), first + second)


def _pooled(image: _Image) -> None:
    kernel, stride = image.draw.of((2, 3, 3, 5)), image.stride()
    if image.draw.chance(0.5):
        image.add(nn.MaxPool2d(kernel, stride, kernel // 2), None, 1)
    else:
        image.add(nn.AvgPool2d(kernel, stride, kernel // 2), None, 1)
    image.pixels = (image.pixels + 2 * (kernel // 2) - kernel) // stride + 1


def _depthwise(image: _Image) -> None:
    kernel, stride = image.draw.of((3, 3, 3, 5, 5, 7, 9, 11)), image.stride()
    image.add(image.conv(image.channels, kernel, stride, image.channels), None, stride)


def _pointwise(image: _Image) -> None:
    c_out = image.width(768)
    image.add(image.conv(c_out, 1), c_out)


def _gated(image: _Image) -> None:
    gate = image.draw.of(("sigmoid", "hsigmoid"))
    image.add(SqueezeExcite(image.channels, max(4, image.channels // image.draw.of((2, 4, 8))), gate=gate))


def _inverted(image: _Image) -> None:
    inner = image.draw.count(image.channels, 4 * image.channels)
    kernel, channels = image.draw.of((3, 5, 7)), image.channels
    first = image.conv(inner, 1)
    image.channels = inner
    middle = image.conv(inner, kernel, 1, inner)
    last = image.conv(channels, 1)
    image.channels = channels
    image.add(Residual(nn.Sequential(first, middle, last)))


def _shuffled(image: _Image) -> None:
    groups = image.draw.of((2, 3, 4))
    c_out = groups * image.draw.count(4, 48)
    image.add(image.conv(c_out, 1), c_out)
    image.add(ChannelShuffle(groups))


def _normed(image: _Image) -> None:
    image.add(norm_of(image.draw.of(("one", "layer", "batch")), image.channels))


def _upsampled(image: _Image) -> None:
    if image.pixels > 64:
        return
    if image.draw.chance(0.5):
        mode = image.draw.of(("nearest", "bilinear"))
        image.add(nn.Upsample(scale_factor=2, mode=mode))
    else:
        c_out = image.width(128)
        image.add(nn.ConvTranspose2d(image.channels, c_out, 2, 2), c_out)
    image.pixels *= 2


def _of_images(name: str, steps: Sequence[Step]) -> Callable[..., nn.Module]:
    def make(number: int, size: int) -> nn.Module:
        draw = Draw(f"{name}-{number}")
        image = _Image(draw, 3, size)
        stride = 2 if size >= 96 else 1
        c_out = image.width(48)
        image.add(image.conv(c_out, draw.of((3, 5)), stride), c_out, stride)
        for _ in range(_N_STEPS):
            draw.of(steps)(image)
        return nn.Sequential(*image.layers, classifier(image.channels, draw.count(10, 1000)))

    return make


class _RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Divide by the root of the mean square."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class _Gated(nn.Module):
    """Two linear layers side by side, one of which gates the other, and a third."""

    def __init__(self, dim: int, hidden: int, act: str) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(dim, hidden), nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply the two, and map back."""
        out: Tensor = self.last(self.act(self.one(x)) * self.two(x))
        return out


def _body(draw: Draw, dim: int, heads: int, length: int) -> nn.Module:
    hidden, act = draw.count(24, 4 * dim), draw.of(_ACTS)
    kind = draw.of(("attention", "feed-forward", "gated", "mixing", "linear"))
    if kind == "attention":
        return Attention(dim, heads, draw.chance(0.3))
    if kind == "feed-forward":
        return feed_forward(dim, hidden, act)
    if kind == "gated":
        return _Gated(dim, hidden, act)
    if kind == "mixing":
        return Transposed(nn.Linear(length, length))
    return nn.Sequential(nn.Linear(dim, dim), activation(act))


def _tokens(number: int, size: int) -> nn.Module:
    draw = Draw(f"random-tokens-{number}")
    heads = draw.of((1, 2, 3, 4, 6, 8))
    dim = heads * draw.count(12, 72)
    layers: list[nn.Module] = [nn.Embedding(_VOCABULARY, dim)]
    for _ in range(_N_STEPS):
        norm = draw.of((nn.LayerNorm, nn.LayerNorm, _RMSNorm, nn.Identity))(dim)
        block: nn.Module = nn.Sequential(norm, _body(draw, dim, heads, size))
        layers.append(Residual(block) if draw.chance(0.8) else block)
    return nn.Sequential(*layers, nn.Linear(dim, draw.count(10, 400)))


def _series(number: int, size: int) -> nn.Module:
    draw = Draw(f"random-series-{number}")
    channels, length, layers = draw.of((1, 4, 40)), size, list[nn.Module]()
    layers.append(nn.Linear(1, channels))
    layers.append(_ChannelsFirst())
    for _ in range(_N_STEPS):
        kernel, c_out = draw.of((1, 1, 3, 3, 5, 9, 15, 31)), draw.count(6, max(8, min(256, 60_000 // length)))
        stride = 2 if length >= 32 and draw.chance(0.25) else 1
        groups = 1
        if draw.chance(0.35):
            c_out = groups = channels
        dilation = draw.of((1, 1, 2, 4)) if stride == 1 and length >= 64 else 1
        padding = dilation * (kernel - 1) // 2
        layers.append(nn.Conv1d(channels, c_out, kernel, stride, padding, dilation, groups))
        channels, length = c_out, -(-length // stride)
        if draw.chance(0.5):
            layers.append(nn.BatchNorm1d(channels))
        layers.append(activation(draw.of(_ACTS)))
    layers += [nn.AdaptiveAvgPool1d(1), nn.Flatten(1), nn.Linear(channels, draw.count(10, 400))]
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))


class _ChannelsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Put the channels before the positions."""
        return x.transpose(1, 2)


_VOCABULARY = 200
_SIZES = (32, 40, 48, 56, 64, 72, 80, 96, 100, 112, 128, 144, 160, 176, 192, 224)
_LENGTHS = (10, 16, 24, 33, 48, 64, 77, 96, 100, 128, 150, 197, 200, 256, 320, 512)
_DURATIONS = (64, 100, 128, 200, 256, 400, 500, 512, 800, 1000, 1024, 1600, 2000, 2048, 3000, 4000)


def _images(name: str, steps: Sequence[Step]) -> Family:
    rows = tuple(enumerate(_SIZES))
    return Family(name, name + "{number}-{size}px", _of_images(name, steps), "number size", rows, is_sized=True)


FAMILIES = (
    _images("random-conv", (_dense, _dense, _grouped, _residual, _joined, _pooled)),
    _images("random-mobile", (_depthwise, _depthwise, _pointwise, _pointwise, _gated, _inverted, _shuffled)),
    _images("random-mixed", (_dense, _depthwise, _pointwise, _normed, _upsampled, _pooled, _joined, _grouped)),
    Family(
        "random-tokens", "random-tokens{number}-{size}t", _tokens, "number size", tuple(enumerate(_LENGTHS)),
        reads=lambda values: ZooInput((values["size"],), _VOCABULARY), is_sized=True,
    ),
    Family(
        "random-series", "random-series{number}-{size}t", _series, "number size", tuple(enumerate(_DURATIONS)),
        reads=lambda values: ZooInput((values["size"], 1)), is_sized=True,
    ),
)  # fmt: skip
