"""WideResNet for CIFAR: residual blocks with the activation first."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import MOST_LAYERS, count, flag
from hwnas_surrogate.networks.residual.base import Classifier
from hwnas_surrogate.networks.residual.initialization import initialize_resnet

__all__ = ["WideResNet"]


class _WideBlock(nn.Module):
    """Batch norm, ReLU and convolution, twice, beside a shortcut of the raw input."""

    def __init__(self, c_in: int, c_out: int, stride: int, dropout: bool) -> None:
        super().__init__()
        self.bn_a = nn.BatchNorm2d(c_in)
        self.conv_a = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn_b = nn.BatchNorm2d(c_out)
        self.dropout = nn.Dropout2d(0.5) if dropout else None
        self.conv_b = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.downsample = nn.Conv2d(c_in, c_out, 1, stride, bias=False) if c_in != c_out else None
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_a(self.relu(self.bn_a(x)))
        out = self.relu(self.bn_b(out))
        if self.dropout is not None:
            out = self.dropout(out)
        total: Tensor = self.conv_b(out) + (x if self.downsample is None else self.downsample(x))
        return total


class WideResNet(Classifier):
    """A wide residual network for CIFAR [1]_: three stages of 16k, 32k and 64k channels.

    Parameters
    ----------
    depth : int
        4 plus a multiple of 6.
    wide_factor : int
        The factor k.
    class_num : int
        Classes.
    dropout : bool
        Whether half of the channels are dropped between the convolutions of a block while training.

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    References
    ----------
    .. [1] Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016.

    Examples
    --------
    >>> WideResNet(depth=10, wide_factor=2, class_num=10, dropout=False).classifier
    Linear(in_features=128, out_features=10, bias=True)
    """

    def __init__(self, depth: int, wide_factor: int, class_num: int, dropout: bool) -> None:
        super().__init__()
        number, wide = count("depth", depth, MOST_LAYERS), count("wide_factor", wide_factor)
        drops = flag("dropout", dropout)
        if number < 10 or (number - 4) % 6:
            raise InvalidConfigError(f"depth must be 4 plus a multiple of 6 (10, 16, 22, ...), got {number}.")
        c_in = 16
        self.conv_3x3 = nn.Conv2d(3, c_in, 3, padding=1, bias=False)
        for stage in (1, 2, 3):
            blocks, c_out = [], (8 << stage) * wide
            for place in range((number - 4) // 6):
                blocks.append(_WideBlock(c_in, c_out, 2 if stage > 1 and not place else 1, drops))
                c_in = c_out
            self.add_module(f"stage_{stage}", nn.Sequential(*blocks))
        self.lastact = nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(c_in, count("class_num", class_num, 1_000_000))
        self.message = f"WideResNet: depth {number}, width x{wide}, {class_num} classes"
        self.apply(initialize_resnet)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, of shape (batch, 64k), and logits, of shape (batch, class_num).

        Parameters
        ----------
        x : Tensor, shape (batch, 3, height, width)
        """
        x = self.conv_3x3(x)
        for stage in (1, 2, 3):
            x = self.get_submodule(f"stage_{stage}")(x)
        features: Tensor = self.avgpool(self.lastact(x)).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits
