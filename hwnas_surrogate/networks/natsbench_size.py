"""The inference network of NATS-Bench's size space: five cells, whose channels are the architecture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hwnas_surrogate.networks.nasbench201 import Cell, CellNetwork, Reduction, ReLUConvBN
from hwnas_surrogate.spaces import NATSBenchSizeConfig
from hwnas_surrogate.spaces.nasbench201 import EDGES
from hwnas_surrogate.spaces.natsbench_size import CHANNELS, REDUCTIONS

__all__ = ["NATSBenchSizeNetwork"]

_SKIP = EDGES.index((3, 0))
"""The skip edge; the others are 3x3 convolutions."""


class ConvBN(nn.Module):
    """A skip between different channels: 1x1 convolution without bias, batch norm, no ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the two in order."""
        out: Tensor = self.bn(self.conv(x))
        return out


def _resizing(c_in: int, c_out: int) -> Cell:
    """Return ``|3x3~0|+|3x3~0|3x3~1|+|skip~0|3x3~1|3x3~2|``, whose edges from the input change the channels."""
    skip = nn.Identity() if c_in == c_out else ConvBN(c_in, c_out)
    return Cell(
        skip if place == _SKIP else ReLUConvBN(c_out if source else c_in, c_out, 3)
        for place, (_, source) in enumerate(EDGES)
    )


class NATSBenchSizeNetwork(CellNetwork):
    """The inference network of one architecture of NATS-Bench's size space [1]_ (``infer.shape.tiny``).

    Stem, cell, reduction, cell, reduction, cell, batch norm and ReLU, global average pool, classifier.
    Use :func:`~hwnas_surrogate.networks.build_network` to make one.

    Parameters
    ----------
    ops : sequence of 5 int
        Which of the eight numbers of channels each cell has.
    config : NATSBenchSizeConfig
        Classes and input channels. Any input size that suits both reductions is allowed.

    References
    ----------
    .. [1] Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", TPAMI 2021,
       section 3.2.

    Examples
    --------
    >>> NATSBenchSizeNetwork([0, 1, 2, 3, 4], NATSBenchSizeConfig(num_classes=7)).classifier
    Linear(in_features=40, out_features=7, bias=True)
    """

    def __init__(self, ops: Sequence[int], config: NATSBenchSizeConfig) -> None:
        super().__init__()
        channels = [CHANNELS[op] for op in ops]
        self.stem = nn.Sequential(
            nn.Conv2d(config.in_channels, channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0])
        )
        self.cells = nn.ModuleList(
            (Reduction if cell in REDUCTIONS else _resizing)(c_in, c_out)
            for cell, (c_in, c_out) in enumerate(zip([channels[0], *channels], channels, strict=False))
        )
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels[-1]), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels[-1], config.num_classes)
