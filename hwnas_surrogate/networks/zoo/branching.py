"""Networks whose blocks branch and join: DenseNet, Inception, SqueezeNet, CSP stages, cells of searched networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import (
    Branches,
    Residual,
    activation,
    classifier,
    conv,
    depthwise,
    rounded,
    widened,
)
from hwnas_surrogate.networks.zoo.family import Family

__all__ = ["FAMILIES"]


def _dense_layer(c_in: int, growth: int, act: str) -> Branches:
    """Its input, and ``growth`` channels that a 1x1 and a 3x3 convolution compute of it."""
    new = nn.Sequential(
        nn.BatchNorm2d(c_in),
        activation(act),
        conv(c_in, 4 * growth, 1, act=act),
        nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
    )
    return Branches(nn.Identity(), new)


def densenet(depths: Sequence[int], growth: int, act: str) -> nn.Sequential:
    """Return a DenseNet [1]_: each layer reads all before it in its stage.

    References
    ----------
    .. [1] Huang et al., "Densely Connected Convolutional Networks", CVPR 2017.
    """
    channels = 2 * growth
    layers: list[nn.Module] = [conv(3, channels, 7, 2, act=act), nn.MaxPool2d(3, 2, 1)]
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            layers.append(_dense_layer(channels, growth, act))
            channels += growth
        if stage < len(depths) - 1:
            half = channels // 2
            layers += [nn.BatchNorm2d(channels), activation(act), nn.Conv2d(channels, half, 1, bias=False)]
            layers.append(nn.AvgPool2d(2))
            channels = half
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), activation(act), classifier(channels))


def _inception_block(c_in: int, c_out: int, kernel: int) -> Branches:
    """Four branches: 1x1; 1x1 and 3x3; 1x1 and a factorised k x k; a pool and 1x1."""
    part, small = c_out // 4, rounded(c_out / 8)
    return Branches(
        conv(c_in, part, 1),
        nn.Sequential(conv(c_in, small, 1), conv(small, part, 3)),
        nn.Sequential(conv(c_in, small, 1), conv(small, small, (1, kernel)), conv(small, part, (kernel, 1))),
        nn.Sequential(nn.AvgPool2d(3, 1, 1), conv(c_in, part, 1)),
    )


def _inception_reduction(c_in: int, c_out: int) -> Branches:
    """A strided 3x3 convolution beside a max pool."""
    return Branches(conv(c_in, c_out - c_in, 3, 2), nn.MaxPool2d(3, 2, 1))


def inception(depths: Sequence[int], width: float, kernel: int) -> nn.Sequential:
    """Return an Inception network [1]_ with factorised ``kernel`` x ``kernel`` convolutions.

    References
    ----------
    .. [1] Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016.
    """
    stem, *widths = widened((64, 128, 256, 512), width, 32)
    layers: list[nn.Module] = [conv(3, stem // 2, 3, 2), conv(stem // 2, stem, 3), nn.MaxPool2d(3, 2, 1)]
    channels = stem
    for stage, (c_out, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            layers.append(_inception_reduction(channels, c_out))
            channels = c_out
        for _ in range(depth):
            layers.append(_inception_block(channels, c_out, kernel))
            channels = c_out
    return nn.Sequential(*layers, classifier(channels))


def _fire(c_in: int, squeezed: int, c_out: int, act: str) -> nn.Sequential:
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions of these."""
    return nn.Sequential(
        conv(c_in, squeezed, 1, act=act, norm="none"),
        Branches(
            conv(squeezed, c_out // 2, 1, act=act, norm="none"), conv(squeezed, c_out // 2, 3, act=act, norm="none")
        ),
    )


def squeezenet(width: float, form: str, act: str) -> nn.Sequential:
    """Return a SqueezeNet [1]_, ``residual`` (around every second fire module) or ``plain``.

    References
    ----------
    .. [1] Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016.
    """
    channels = rounded(64 * width)
    layers: list[nn.Module] = [conv(3, channels, 3, 2, act=act, norm="none"), nn.MaxPool2d(3, 2, 1)]
    for number, c_out in enumerate(widened((128, 128, 256, 256, 384, 384, 512, 512), width, 16)):
        fire = _fire(channels, rounded(c_out / 8), c_out, act)
        layers.append(Residual(fire) if form == "residual" and channels == c_out else fire)
        if number in (1, 3):
            layers.append(nn.MaxPool2d(3, 2, 1))
        channels = c_out
    return nn.Sequential(*layers, nn.Conv2d(channels, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


class _Pyramid(nn.Module):
    """Max pools of one map at several sizes, joined with the map."""

    def __init__(self, c_in: int, c_out: int, kernels: Sequence[int], act: str) -> None:
        super().__init__()
        half = c_in // 2
        self.before = conv(c_in, half, 1, act=act)
        self.pools = Branches(nn.Identity(), *(nn.MaxPool2d(size, 1, size // 2) for size in kernels))
        self.after = conv(half * (len(kernels) + 1), c_out, 1, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """Pool and join."""
        out: Tensor = self.after(self.pools(self.before(x)))
        return out


def _csp_stage(c_in: int, c_out: int, depth: int, act: str) -> nn.Sequential:
    """A strided convolution; residual blocks on half of the channels; both halves joined."""
    half = c_out // 2
    body = [Residual(nn.Sequential(conv(half, half, 1, act=act), conv(half, half, 3, act=act))) for _ in range(depth)]
    split = Branches(nn.Sequential(conv(c_out, half, 1, act=act), *body), conv(c_out, half, 1, act=act))
    return nn.Sequential(conv(c_in, c_out, 3, 2, act=act), split, conv(c_out, c_out, 1, act=act))


def csp_darknet(width: float, depth: int, act: str) -> nn.Sequential:
    """Return a Darknet of cross-stage partial blocks [1]_ with a pyramid of max pools at its end.

    References
    ----------
    .. [1] Wang et al., "CSPNet: A New Backbone that can Enhance Learning Capability of CNN", CVPR workshops 2020.
    """
    stem, *widths = widened((64, 128, 256, 512, 1024), width, 16)
    layers: list[nn.Module] = [conv(3, stem, 5, 2, act=act)]
    channels = stem
    for c_out, count in zip(widths, (depth, 2 * depth, 2 * depth, depth), strict=True):
        layers.append(_csp_stage(channels, c_out, count, act))
        channels = c_out
    return nn.Sequential(*layers, _Pyramid(channels, channels, (3, 5, 9), act), classifier(channels))


def _separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """A depthwise convolution without norm, a 1x1 convolution, batch norm."""
    padding = dilation * (kernel - 1) // 2
    layer = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, channels, bias=False)
    return nn.Sequential(nn.ReLU(), layer, conv(channels, channels, 1, act="none"))


def _operation(name: str, channels: int, stride: int) -> nn.Module:
    """An operation of DARTS: ``sep3``, ``sep5``, ``dil3``, ``dil5``, ``max``, ``avg`` or ``skip``."""
    if name == "max":
        return nn.Sequential(nn.MaxPool2d(3, stride, 1), nn.BatchNorm2d(channels))
    if name == "avg":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "skip":
        return nn.Identity() if stride == 1 else nn.Sequential(nn.ReLU(), conv(channels, channels, 1, 2, act="none"))
    kernel = int(name[3:])
    if name.startswith("dil"):
        return _separable(channels, kernel, stride, 2)
    return nn.Sequential(_separable(channels, kernel, stride), _separable(channels, kernel, 1))


_CELLS = {
    "sep": (("sep3", 0), ("sep3", 1), ("sep3", 0), ("sep5", 1), ("sep3", 1), ("skip", 0), ("skip", 0), ("dil3", 2)),
    "pool": (("max", 0), ("sep5", 1), ("avg", 1), ("dil5", 0), ("max", 1), ("sep3", 2), ("skip", 2), ("avg", 0)),
    "dil": (("dil3", 0), ("dil5", 1), ("dil3", 1), ("sep3", 2), ("skip", 0), ("dil5", 3), ("max", 1), ("dil3", 2)),
}
"""Two operations, each with the number of what it reads, for each of the four nodes of a cell."""


class _Cell(nn.Module):
    """Four nodes, each the sum of two operations on the cell's inputs or on nodes before it; the nodes are joined."""

    def __init__(self, kind: str, before: Sequence[int], channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        stride, first = strides
        self.adapt = nn.ModuleList(
            [
                nn.Sequential(nn.ReLU(), conv(before[0], channels, 1, first, act="none")),
                nn.Sequential(nn.ReLU(), conv(before[1], channels, 1, act="none")),
            ]
        )
        self.sources = [source for _, source in _CELLS[kind]]
        self.operations = nn.ModuleList(
            _operation(name, channels, stride if source < 2 else 1) for name, source in _CELLS[kind]
        )

    def forward(self, older: Tensor, newer: Tensor) -> Tensor:
        """Compute the nodes in order."""
        states: list[Tensor] = [self.adapt[0](older), self.adapt[1](newer)]
        for place in range(0, len(self.sources), 2):
            one, other = self.sources[place : place + 2]
            states.append(self.operations[place](states[one]) + self.operations[place + 1](states[other]))
        return torch.cat(states[2:], 1)


class CellNetwork(nn.Module):
    """A network of cells as in DARTS [1]_: each cell reads the two before it.

    Parameters
    ----------
    kind : str
        The cell.
    cells : int
        Their number; two of them halve the size and double the channels.
    channels : int
        Of a node in the first cells.

    References
    ----------
    .. [1] Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019.
    """

    def __init__(self, kind: str, cells: int, channels: int) -> None:
        super().__init__()
        self.stem = conv(3, 3 * channels, 3, 2, act="none")
        before, after_reduction = [3 * channels, 3 * channels], False
        self.cells = nn.ModuleList()
        for number in range(cells):
            is_reduction = number in (cells // 3, 2 * cells // 3)
            channels *= 2 if is_reduction else 1
            strides = (2 if is_reduction else 1, 2 if after_reduction else 1)
            self.cells.append(_Cell(kind, before, channels, strides))
            before, after_reduction = [before[1], 4 * channels], is_reduction
        self.head = classifier(before[1], 100)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        older = newer = self.stem(x)
        for cell in self.cells:
            older, newer = newer, cell(older, newer)
        logits: Tensor = self.head(newer)
        return logits


def xception(width: float, depth: int, kernel: int) -> nn.Sequential:
    """Return an Xception [1]_: residual blocks of three separable convolutions.

    References
    ----------
    .. [1] Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017.
    """
    a, b, c = widened((64, 192, 512), width)

    def separable(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(depthwise(c_in, kernel, stride, act="none"), conv(c_in, c_out, 1))

    layers: list[nn.Module] = [conv(3, a, 3, 2)]
    for c_in, c_out in ((a, b), (b, c)):
        body = nn.Sequential(separable(c_in, c_out), separable(c_out, c_out), nn.MaxPool2d(3, 2, 1))
        layers.append(Residual(body, conv(c_in, c_out, 1, 2, act="none")))
    layers += [Residual(nn.Sequential(*(separable(c, c) for _ in range(3)))) for _ in range(depth)]
    return nn.Sequential(*layers, separable(c, 2 * c, 2), classifier(2 * c))


FAMILIES = (
    Family(
        "densenet", "densenet{depths[2]}-k{growth}-{act}-{size}px", densenet, "depths growth act size",
        (((2, 4, 8, 6), 12, "relu", 96), ((2, 4, 8, 6), 24, "relu", 128), ((3, 6, 12, 8), 12, "relu", 224),
         ((3, 6, 12, 8), 16, "elu", 128), ((6, 12, 24, 16), 12, "relu", 160)),
    ),
    Family(
        "inception", "inception{depths[1]}-w{width:.2f}-k{kernel}-{size}px", inception, "depths width kernel size",
        (((1, 2, 1), 0.5, 5, 96), ((2, 3, 2), 0.5, 7, 160), ((2, 3, 2), 1.0, 7, 192), ((2, 4, 2), 1.5, 5, 128),
         ((2, 4, 2), 0.75, 9, 224)),
    ),
    Family(
        "squeezenet", "squeezenet-w{width:.2f}-{form}-{act}-{size}px", squeezenet, "width form act size",
        ((0.5, "plain", "relu", 128), (0.5, "residual", "relu", 224), (0.75, "plain", "elu", 96),
         (1.0, "residual", "relu", 160), (1.0, "plain", "relu", 224)),
    ),
    Family(
        "csp-darknet", "csp-darknet{depth}-w{width:.2f}-{act}-{size}px", csp_darknet, "width depth act size",
        ((0.12, 1, "silu", 160), (0.25, 1, "silu", 224), (0.25, 2, "hswish", 160), (0.4, 1, "leaky", 192),
         (0.5, 1, "relu", 160)),
    ),
    Family(
        "darts-cells", "darts-cells{cells}-c{channels}-{kind}-{size}px", CellNetwork, "kind cells channels size",
        (("sep", 6, 12, 64), ("sep", 6, 24, 96), ("pool", 8, 24, 64), ("pool", 11, 16, 96), ("dil", 6, 16, 96),
         ("dil", 8, 32, 64)),
    ),
    Family(
        "xception", "xception{depth}-w{width:.2f}-k{kernel}-{size}px", xception, "width depth kernel size",
        ((0.25, 2, 3, 160), (0.25, 4, 5, 128), (0.5, 3, 3, 192), (0.5, 4, 7, 128), (0.75, 3, 3, 128)),
    ),
)  # fmt: skip
