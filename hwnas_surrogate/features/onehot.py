"""One column for each op at each position."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.graphs import NetworkBatch

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

    def _columns(self) -> Iterator[Column]:
        space = self._of_space()
        for position in space.position_names:
            yield from (Column("onehot", f"{position}={op}") for op in space.ops)

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        of = self._archs(batch)
        rows = np.arange(len(of))
        for position, ops in enumerate(of.archs.T.astype(np.intp)):
            out[rows, position * len(of.space.ops) + ops] = 1.0
