"""FBNet's inference network: a stem, 22 blocks and a header."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from hwnas_surrogate.spaces import FBNet, FBNetConfig
from hwnas_surrogate.spaces.fbnet import BLOCKS, Block, Slot

__all__ = ["FBNetNetwork"]


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU: the stem, the header, and a skip that changes the shape."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in order."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class ChannelShuffle(nn.Module):
    """Interleave the channels of the groups, so that the next grouped convolution mixes them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Read channels as (groups, channels / groups) and transpose."""
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch, self.groups, channels // self.groups, height, width)
        return grouped.transpose(1, 2).reshape(batch, channels, height, width)


class ConvBlock(nn.Module):
    """Inverted residual: 1x1 convolution, depthwise convolution, 1x1 convolution without ReLU."""

    def __init__(self, block: Block, slot: Slot) -> None:
        super().__init__()
        middle = slot.c_in * block.expansion
        self.conv1 = nn.Conv2d(slot.c_in, middle, 1, groups=block.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.shuffle = ChannelShuffle(block.groups) if block.groups > 1 else None
        self.conv2 = nn.Conv2d(
            middle, middle, block.kernel, slot.stride, padding=block.kernel // 2, groups=middle, bias=False
        )
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, slot.c_out, 1, groups=block.groups, bias=False)
        self.bn3 = nn.BatchNorm2d(slot.c_out)
        self.relu = nn.ReLU()
        self.residual = slot.keeps_shape

    def forward(self, x: Tensor) -> Tensor:
        """Run the block; its input is added if the shape does not change."""
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        if self.shuffle is not None:
            out = self.shuffle(out)
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return out + x if self.residual else out


def _cell(op: int, slot: Slot) -> nn.Module:
    block = BLOCKS.get(FBNet.ops[op])
    if block is not None:
        return ConvBlock(block, slot)
    return nn.Identity() if slot.keeps_shape else ConvNorm(slot.c_in, slot.c_out, 1, slot.stride)


class FBNetNetwork(nn.Module):
    """The inference network of one FBNet architecture [1]_, as HW-NAS-Bench uses it.

    Stem, 22 blocks, 1x1 convolution header, global average pool, fully connected layer.
    Use :func:`~hwnas_surrogate.networks.build_network` to make one.

    Parameters
    ----------
    ops : sequence of 22 int
        The block of each layer, 0..8.
    config : FBNetConfig
        Channels, strides, classes and input channels. The input may have any size.

    Raises
    ------
    InvalidConfigError
        If a block's groups don't divide its channels.

    References
    ----------
    .. [1] Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
       Search", CVPR 2019, table 1.

    Examples
    --------
    >>> network = FBNetNetwork([8] * 22, FBNetConfig())
    >>> network.cells[0], network.fc
    (Identity(), Linear(in_features=1504, out_features=100, bias=True))
    """

    def __init__(self, ops: Sequence[int], config: FBNetConfig) -> None:
        super().__init__()
        space = FBNet()
        space.check_buildable(np.array([ops], np.int8), config)
        slots = space.slots(config)
        self.stem = ConvNorm(config.in_channels, config.stem_channels, 3, config.stem_stride)
        self.cells = nn.ModuleList(_cell(op, slot) for op, slot in zip(ops, slots, strict=True))
        self.header = ConvNorm(slots[-1].c_out, config.header_channels, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(config.header_channels, config.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, height, width)

        Returns
        -------
        logits : Tensor, shape (batch, num_classes)
        """
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        logits: Tensor = self.fc(self.pool(self.header(x)).flatten(1))
        return logits
