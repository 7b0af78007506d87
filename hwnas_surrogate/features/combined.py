"""Several encodings side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features.counts import OpCounts
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.features.layer_sums import LayerSums
from hwnas_surrogate.features.merged import MergedOperators
from hwnas_surrogate.features.onehot import OneHot
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace, get_space

__all__ = ["Combined"]


class Combined(Encoder):
    """The columns of several encoders; one-hot, op counts, merged operators and layer sums by default.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.
    encoders : sequence of Encoder, optional
        What to put side by side, all over this space; :class:`OneHot`, :class:`OpCounts`, :class:`MergedOperators`
        and :class:`LayerSums` if None.

    Examples
    --------
    >>> Combined("nasbench201").transform([0]).shape
    (1, 100)
    """

    def __init__(self, space: str | SearchSpace = "nasbench201", encoders: Sequence[Encoder] | None = None) -> None:
        super().__init__(space)
        self.encoders = encoders

    def _parts(self, space: SearchSpace) -> list[Encoder]:
        if self.encoders is None:
            return [OneHot(space), OpCounts(space), MergedOperators(space), LayerSums(space)]
        for encoder in self.encoders:
            if get_space(encoder.space) is not get_space(space):
                raise InvalidInputError(
                    f"Combined over {space.name!r} got an encoder over {get_space(encoder.space).name!r}: {encoder}."
                )
        return list(self.encoders)

    def _names(self, space: SearchSpace) -> list[str]:
        return [name for part in self._parts(space) for name in part._names(space)]

    def _encode(self, space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, out: Features) -> None:
        start = 0
        for part in self._parts(space):
            stop = start + len(part._names(space))
            part._encode(space, archs, config, out[:, start:stop])
            start = stop
