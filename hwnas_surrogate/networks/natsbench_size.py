"""The inference network of NATS-Bench's size space: five cells, whose channels are the architecture."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas_surrogate.networks.cells.inference import SizedCellNetwork
from hwnas_surrogate.spaces import NATSBenchSizeConfig
from hwnas_surrogate.spaces.natsbench_size import CHANNELS

__all__ = ["NATSBenchSizeNetwork"]

_CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
"""The cell of every network; the edges from its input change the channels."""


class NATSBenchSizeNetwork(SizedCellNetwork):
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
        super().__init__([CHANNELS[op] for op in ops], _CELL, config.num_classes, config.in_channels)
