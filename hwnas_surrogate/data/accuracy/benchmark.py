"""The accuracy APIs of NAS-Bench-201 and of NATS-Bench's size space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.accuracy.meta_api import NASBenchMetaAPI
from hwnas_surrogate.data.accuracy.texts import OPS, str2lists, str2matrix

__all__ = ["NASBench201API", "NASBench301API"]


class NASBench201API(NASBenchMetaAPI):
    """NAS-Bench-201's accuracy API (version 2.0) [1]_, reading the published file without unpickling code from it.

    Parameters
    ----------
    file_path_or_dict : path-like, mapping or AccuracyTable, optional
        A table that ``hwnas data convert-accuracy`` wrote (opens in milliseconds), the published file or a folder
        (converted into a temporary file first, which takes minutes), or its content as a dict. If None,
        ``$TORCH_HOME/NAS-Bench-201-v1_1-096897.pth``.
    verbose : bool, default=True
        Print that a published file is being converted.

    References
    ----------
    .. [1] Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
    """

    _default = "NAS-Bench-201-v1_1-096897.pth"
    _is_size = False

    @staticmethod
    def str2lists(arch_str: str) -> list[tuple[tuple[str, int], ...]]:
        """Return the inputs of each node: operators and the nodes that they read."""
        return str2lists(arch_str)

    @staticmethod
    def str2matrix(arch_str: str, search_space: Sequence[str] = OPS) -> npt.NDArray[np.float64]:
        """Return the number of the operator between each two nodes, shape (4, 4); see :func:`str2lists`."""
        return str2matrix(arch_str, search_space)


class NASBench301API(NASBenchMetaAPI):
    """The accuracy API of NATS-Bench's size space [1]_ by its old name; it is not the surrogate NAS-Bench-301.

    Parameters
    ----------
    file_path_or_dict : path-like, mapping or AccuracyTable, optional
        As of :class:`NASBench201API`. If None, ``$TORCH_HOME/NAS-Bench-301-v1_0-363be7.pth``.
    verbose : bool, default=True
        Print that a published file is being converted.

    References
    ----------
    .. [1] Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", TPAMI 2021.
    """

    _default = "NAS-Bench-301-v1_0-363be7.pth"
    _is_size = True
