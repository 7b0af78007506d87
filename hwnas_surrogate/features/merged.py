"""How many operators a graph compiler leaves after merging equal ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace

__all__ = ["MergedOperators"]


class MergedOperators(Encoder):
    """Operators of a NAS-Bench-201 cell after common subexpression elimination, as inference engines do it.

    Convolutions that read one node share its ReLU, equal pools are one, and a sum is part of the convolution before it
    (:mod:`hwnas_surrogate.spaces.merged`). The group ``quantized`` tells the same counts, and beside them what of these
    runs in int8 in a quantized network and how often values are converted (:mod:`hwnas_surrogate.spaces.quantized`).
    FBNet has nothing to merge: no columns.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.

    Examples
    --------
    >>> MergedOperators().frame([[3, 3, 0, 3, 0, 0]])["merged:relu"].tolist()
    [1.0]
    """

    def _names(self, space: SearchSpace) -> list[str]:
        merged = [f"merged:{name}" for name in space.merged_names]
        return merged + [f"quantized:{name}" for name in space.quantized_names]

    def _encode(self, space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, out: Features) -> None:
        width = len(space.merged_names)
        out[:, width:] = space.quantized(archs)
        out[:, :width] = out[:, width : 2 * width]
