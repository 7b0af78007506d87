"""One column for each op at each position."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.graphs import NetworkBatch

__all__ = ["OneHot"]


class OneHot(Encoder):
    """One-hot encoding of the ops, or of the choices at each position: NAS-Bench-201 30 columns, FBNet 198.

    Examples
    --------
    >>> OneHot("fbnet").transform([[0] * 22]).sum()
    np.float64(22.0)
    >>> OneHot().get_feature_names_out()[0]
    'onehot:edge10=none'
    """

    def _columns(self) -> Iterator[Column]:
        space = self._of_space()
        for position, ops in zip(space.position_names, space.ops_at, strict=True):
            yield from (Column("onehot", f"{position}={op}") for op in ops)

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        of = self._archs(batch)
        rows, n_ops = np.arange(len(of)), of.space.n_ops_at
        for first, ops in zip(np.cumsum(n_ops) - n_ops, of.archs.T.astype(np.intp), strict=True):
            out[rows, first + ops] = 1.0
