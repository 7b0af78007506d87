"""DenseNet for CIFAR: every layer reads the outputs of all layers before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import MOST_LAYERS, count, flag, fraction
from hwnas_surrogate.networks.residual.base import Classifier
from hwnas_surrogate.networks.residual.initialization import initialize_resnet

__all__ = ["DenseNet"]


class _NormConv(nn.Module):
    """Batch norm, ReLU and convolution; twice for a bottleneck, whose first convolution is 1x1."""

    def __init__(self, *channels: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        for number, kernel in enumerate(kernels):
            conv = nn.Conv2d(channels[number], channels[number + 1], kernel, padding=kernel // 2, bias=False)
            self.add_module(f"bn{number + 1}", nn.BatchNorm2d(channels[number]))
            self.add_module(f"conv{number + 1}", conv)
        self.relu = nn.ReLU()
        self.n_convs = len(kernels)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self.n_convs + 1):
            x = self.get_submodule(f"conv{number}")(self.relu(self.get_submodule(f"bn{number}")(x)))
        return x


class _DenseLayer(_NormConv):
    """Append ``growth`` channels to the input."""

    def __init__(self, c_in: int, growth: int, bottleneck: bool) -> None:
        if bottleneck:
            super().__init__(c_in, 4 * growth, growth, kernels=(1, 3))
        else:
            super().__init__(c_in, growth, kernels=(3,))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], dim=1)


class _Transition(_NormConv):
    """Change the channels and halve the size."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, kernels=(1,))
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(super().forward(x))
        return out


class DenseNet(Classifier):
    """A densely connected network for CIFAR [1]_: three dense blocks, two transitions.

    Parameters
    ----------
    growth_rate : int
        Channels that each layer adds.
    depth : int
        4 plus a multiple of 3, or of 6 with bottlenecks.
    reduction : float
        Part of the channels that a transition keeps, above 0 and at most 1.
    class_num : int
        Classes.
    bottleneck : bool
        Whether a 1x1 convolution to ``4 * growth_rate`` channels stands before each 3x3 convolution.

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    References
    ----------
    .. [1] Huang et al., "Densely Connected Convolutional Networks", CVPR 2017.

    Examples
    --------
    >>> DenseNet(growth_rate=4, depth=10, reduction=0.5, class_num=10, bottleneck=True).fc
    Linear(in_features=9, out_features=10, bias=True)
    """

    def __init__(self, growth_rate: int, depth: int, reduction: float, class_num: int, bottleneck: bool) -> None:
        super().__init__()
        growth, number = count("growthRate", growth_rate), count("depth", depth, MOST_LAYERS)
        keeps, narrow = fraction("reduction", reduction), flag("bottleneck", bottleneck)
        step = 6 if narrow else 3
        if number < 4 + step or (number - 4) % step:
            raise InvalidConfigError(
                f"depth must be 4 plus a multiple of {step} ({4 + step}, {4 + 2 * step}, ...) for three dense blocks "
                f"with{'' if narrow else 'out'} bottlenecks, got {number}."
            )
        n_layers, channels = (number - 4) // step, 2 * growth
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        for stage in (1, 2, 3):
            layers = [_DenseLayer(channels + place * growth, growth, narrow) for place in range(n_layers)]
            self.add_module(f"dense{stage}", nn.Sequential(*layers))
            channels += n_layers * growth
            if stage < 3:
                kept = max(1, math.floor(channels * keeps))
                self.add_module(f"trans{stage}", _Transition(channels, kept))
                channels = kept
        self.act = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(channels, count("class_num", class_num, 1_000_000))
        self.message = f"DenseNet: depth {number}, growth rate {growth}, reduction {keeps}, {class_num} classes"
        self.apply(initialize_resnet)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, of shape (batch, channels), and logits, of shape (batch, class_num).

        Parameters
        ----------
        x : Tensor, shape (batch, 3, height, width)
            Height and width are at least 4.
        """
        x = self.conv1(x)
        for part in ("dense1", "trans1", "dense2", "trans2", "dense3"):
            x = self.get_submodule(part)(x)
        features: Tensor = self.act(x).flatten(1)
        logits: Tensor = self.fc(features)
        return features, logits
