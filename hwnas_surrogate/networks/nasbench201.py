"""NAS-Bench-201's inference network: a stem, three stages of one repeated cell, and a classifier."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas_surrogate.networks.cells.inference import StructureNetwork
from hwnas_surrogate.spaces import NASBench201Config, get_space

__all__ = ["NASBench201Network"]


class NASBench201Network(StructureNetwork):
    """The inference network of one NAS-Bench-201 architecture [1]_ (``infer.tiny``).

    Stem, N cells at C channels, reduction, N cells at 2C, reduction, N cells at 4C, batch norm and ReLU, global
    average pool, classifier. Use :func:`~hwnas_surrogate.networks.build_network` to make one.

    Parameters
    ----------
    ops : sequence of 6 int
        The op of each edge (1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2).
    config : NASBench201Config
        Widths, depth, classes and input channels. Any input size that suits both reductions is allowed.

    References
    ----------
    .. [1] Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
       ICLR 2020, section 2.1.

    Examples
    --------
    >>> network = NASBench201Network([3, 1, 3, 1, 0, 4], NASBench201Config(C=8, N=1, num_classes=7))
    >>> network.classifier
    Linear(in_features=32, out_features=7, bias=True)
    """

    def __init__(self, ops: Sequence[int], config: NASBench201Config) -> None:
        cell = get_space("nasbench201").format(ops)
        super().__init__(config.C, config.N, cell, config.num_classes, config.in_channels)
