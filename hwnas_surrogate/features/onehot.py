"""One column for each op at each position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace

__all__ = ["OneHot"]


class OneHot(Encoder):
    """One-hot encoding of the ops: NAS-Bench-201 30 columns, FBNet 198.

    Examples
    --------
    >>> OneHot("fbnet").transform([[0] * 22]).sum()
    np.float64(22.0)
    >>> OneHot().get_feature_names_out()[0]
    'onehot:edge10=none'
    """

    def _names(self, space: SearchSpace) -> list[str]:
        return [f"onehot:{position}={op}" for position in space.position_names for op in space.ops]

    def _encode(self, space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, out: Features) -> None:
        rows = np.arange(len(archs))
        for position, ops in enumerate(archs.T.astype(np.intp)):
            out[rows, position * len(space.ops) + ops] = 1.0
