"""Networks of signals in one dimension, and of spectra: temporal convolutions, WaveNet, keyword spotting, Conformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import (
    Attention,
    Residual,
    Transposed,
    activation,
    classifier,
    conv,
    depthwise,
    feed_forward,
    pre_norm,
)
from hwnas_surrogate.networks.zoo.family import Family, ZooInput
from hwnas_surrogate.networks.zoo.mixers import Pooled

__all__ = ["FAMILIES"]


def signal(values: Mapping[str, Any]) -> ZooInput:
    """Return the input of a family of signals: ``c_in`` channels, ``size`` steps."""
    return ZooInput((values["c_in"], values["size"]))


def spectrum(values: Mapping[str, Any]) -> ZooInput:
    """Return the input of a family of spectra: one channel, ``size`` steps, 40 frequencies."""
    return ZooInput((1, values["size"], 40))


def spectral_steps(values: Mapping[str, Any]) -> ZooInput:
    """Return the input of a family of sequences of spectra: ``size`` steps of 80 frequencies."""
    return ZooInput((values["size"], 80))


def conv1d(
    c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, dilation: int = 1, act: str = "relu"
) -> nn.Sequential:
    """Return a convolution of a signal, batch norm and activation."""
    padding = dilation * (kernel - 1) // 2
    layer = nn.Conv1d(c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm1d(c_out), activation(act))


def _causal(c_in: int, c_out: int, kernel: int, dilation: int) -> nn.Sequential:
    """A dilated convolution that reads no later step."""
    return nn.Sequential(
        nn.ConstantPad1d((dilation * (kernel - 1), 0), 0.0), nn.Conv1d(c_in, c_out, kernel, dilation=dilation)
    )


class _Averaged(nn.Module):
    """The mean of a signal over time, and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Average and classify."""
        out: Tensor = self.layer(x.mean(2))
        return out


def tcn(c_in: int, channels: int, depth: int, kernel: int, act: str) -> nn.Sequential:
    """Return a temporal convolutional network [1]_: residual blocks of causal convolutions, dilated by powers of 2.

    References
    ----------
    .. [1] Bai et al., "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling",
       2018.
    """
    layers: list[nn.Module] = []
    for number in range(depth):
        before = channels if number else c_in
        first, second = (_causal(count, channels, kernel, 2**number) for count in (before, channels))
        body = nn.Sequential(first, activation(act), second, activation(act))
        layers.append(Residual(body, None if number else nn.Conv1d(c_in, channels, 1), act))
    return nn.Sequential(*layers, nn.Conv1d(channels, 16, 1))


def resnet_1d(c_in: int, channels: int, depths: Sequence[int], kernel: int, act: str) -> nn.Sequential:
    """Return a residual network of signals [1]_.

    References
    ----------
    .. [1] Hannun et al., "Cardiologist-level arrhythmia detection and classification in ambulatory electrocardiograms
       using a deep neural network", Nature Medicine 2019.
    """
    layers: list[nn.Module] = [conv1d(c_in, channels, 2 * kernel + 1, 2, act=act)]
    width = channels
    for stage, depth in enumerate(depths):
        for number in range(depth):
            stride = 2 if stage and not number else 1
            c_out = width * stride
            body = nn.Sequential(
                conv1d(width, c_out, kernel, stride, act=act), conv1d(c_out, c_out, kernel, act="none")
            )
            short = nn.Sequential(nn.MaxPool1d(2), conv1d(width, c_out, 1, act="none")) if stride > 1 else None
            layers.append(Residual(body, short, act))
            width = c_out
    return nn.Sequential(*layers, _Averaged(width, 17))


class _GatedStep(nn.Module):
    """A dilated causal convolution, one half of whose channels gates the other."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layer = _causal(channels, 2 * channels, 2, dilation)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate and project."""
        value, gate = self.layer(x).chunk(2, 1)
        out: Tensor = self.out(torch.tanh(value) * torch.sigmoid(gate))
        return out


class WaveNet(nn.Module):
    """A WaveNet [1]_: gated residual steps, whose outputs are summed.

    Parameters
    ----------
    c_in, channels : int
        Of the signal, and of a step.
    depth : int
        Steps of a cycle of dilations.
    cycles : int

    References
    ----------
    .. [1] van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016.
    """

    def __init__(self, c_in: int, channels: int, depth: int, cycles: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(c_in, channels, 1)
        self.steps = nn.ModuleList(_GatedStep(channels, 2**number) for _ in range(cycles) for number in range(depth))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(channels, channels, 1), nn.ReLU(), nn.Conv1d(channels, 64, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits at every step."""
        x = self.first(x)
        whole = torch.zeros_like(x[:, :1])
        for step in self.steps:
            out = step(x)
            x, whole = x + out, whole + out
        logits: Tensor = self.head(whole)
        return logits


def keyword_cnn(channels: int, depth: int, kernel: int, act: str) -> nn.Sequential:
    """Return a network of depthwise-separable convolutions for spoken words [1]_.

    References
    ----------
    .. [1] Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017.
    """
    first = nn.Sequential(
        nn.Conv2d(1, channels, (10, 4), (2, 2), (5, 1), bias=False), nn.BatchNorm2d(channels), activation(act)
    )
    blocks = [
        nn.Sequential(depthwise(channels, kernel, act=act), conv(channels, channels, 1, act=act)) for _ in range(depth)
    ]
    return nn.Sequential(first, *blocks, classifier(channels, 12))


def matchbox(c_in: int, channels: int, depth: int, kernel: int) -> nn.Sequential:
    """Return a MatchboxNet [1]_: residual blocks of separable convolutions in time, with growing kernels.

    References
    ----------
    .. [1] Majumdar and Ginsburg, "MatchboxNet: 1D Time-Channel Separable Convolutional Neural Network Architecture for
       Speech Commands Recognition", Interspeech 2020.
    """

    def separable(width: int, c_out: int, size: int, act: str = "relu", dilation: int = 1) -> nn.Sequential:
        padding = dilation * (size - 1) // 2
        layer = nn.Conv1d(width, width, size, 1, padding, dilation, width, bias=False)
        return nn.Sequential(layer, conv1d(width, c_out, 1, act=act))

    layers: list[nn.Module] = [separable(c_in, 2 * channels, kernel)]
    width = 2 * channels
    for number in range(depth):
        size = kernel + 2 + 2 * number
        body = nn.Sequential(separable(width, channels, size), separable(channels, channels, size, "none"))
        layers.append(Residual(body, conv1d(width, channels, 1, act="none"), "relu"))
        width = channels
    return nn.Sequential(
        *layers, separable(width, 2 * channels, 2 * kernel + 1, dilation=2), _Averaged(2 * channels, 30)
    )


class _ConformerConv(nn.Module):
    """A gated 1x1 convolution, a depthwise one and a 1x1 one, along a sequence."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, 2 * dim)
        self.mix = Transposed(conv1d(dim, dim, kernel, groups=dim, act="silu"))
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Gate, convolve, project."""
        value, gate = self.gate(x).chunk(2, -1)
        out: Tensor = self.out(self.mix(value * gate.sigmoid()))
        return out


def conformer(dim: int, depth: int, heads: int, kernel: int) -> nn.Sequential:
    """Return a Conformer [1]_ of spectra.

    References
    ----------
    .. [1] Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", Interspeech 2020.
    """
    subsample = Transposed(nn.Sequential(conv1d(80, dim, 3, 2), conv1d(dim, dim, 3, 2)))
    layers: list[nn.Module] = [subsample]
    for _ in range(depth):
        layers += [pre_norm(dim, feed_forward(dim, 4 * dim, "silu")), pre_norm(dim, Attention(dim, heads))]
        layers += [pre_norm(dim, _ConformerConv(dim, kernel)), pre_norm(dim, feed_forward(dim, 4 * dim, "silu"))]
        layers.append(nn.LayerNorm(dim))
    return nn.Sequential(*layers, Pooled(dim, 128))


FAMILIES = (
    Family(
        "tcn", "tcn{depth}-c{channels}-k{kernel}-{act}-{size}t", tcn, "c_in channels depth kernel act size",
        ((8, 48, 5, 3, "relu", 256), (16, 64, 5, 7, "elu", 512), (8, 128, 5, 3, "prelu", 384),
         (32, 128, 4, 5, "relu", 512), (4, 192, 4, 3, "tanh", 192)),
        reads=signal,
    ),
    Family(
        "resnet-1d", "resnet-1d-b{depths[1]}-c{channels}-k{kernel}-{act}-{size}t", resnet_1d,
        "c_in channels depths kernel act size",
        ((12, 32, (1, 1, 1), 7, "relu", 256), (12, 48, (2, 2, 2), 9, "relu", 512), (1, 32, (2, 3, 2), 15, "elu", 512),
         (3, 64, (2, 2, 2), 5, "leaky", 384), (12, 96, (1, 2, 1), 3, "silu", 512)),
        reads=signal,
    ),
    Family(
        "wavenet", "wavenet{depth}-c{channels}-n{cycles}-{size}t", WaveNet, "c_in channels depth cycles size",
        ((1, 32, 6, 1, 256), (1, 64, 7, 1, 512), (8, 64, 5, 3, 384), (1, 96, 6, 2, 512), (8, 128, 4, 2, 256)),
        reads=signal,
    ),
    Family(
        "keyword-cnn", "keyword-cnn{depth}-c{channels}-k{kernel}-{act}-{size}t", keyword_cnn,
        "channels depth kernel act size",
        ((48, 4, 5, "relu", 98), (64, 4, 3, "relu", 49), (96, 5, 5, "hswish", 98), (172, 5, 3, "relu", 98),
         (276, 5, 3, "relu6", 49)),
        reads=spectrum,
    ),
    Family(
        "matchbox", "matchbox{depth}-c{channels}-k{kernel}-{size}t", matchbox, "c_in channels depth kernel size",
        ((64, 64, 3, 11, 128), (64, 112, 5, 11, 128), (40, 128, 6, 13, 256), (80, 160, 4, 7, 384)),
        reads=signal,
    ),
    Family(
        "conformer", "conformer{depth}-c{dim}-h{heads}-k{kernel}-{size}t", conformer, "dim depth heads kernel size",
        ((64, 2, 2, 15, 128), (96, 4, 4, 15, 256), (144, 4, 4, 31, 256), (144, 6, 4, 7, 512), (192, 4, 4, 9, 128)),
        reads=spectral_steps,
    ),
)  # fmt: skip
