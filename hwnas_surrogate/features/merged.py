"""Counts of operators after a graph compiler merges equal ones."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.spaces import NASBench201
from hwnas_surrogate.spaces.cells import MERGED, QUANTIZED

__all__ = ["MergedOperators"]


class MergedOperators(Encoder):
    """Counts of the operators of a NAS-Bench-201 cell after common subexpression elimination.

    Inference engines merge the ReLUs of convolutions that read one node, merge equal pools, and fuse a sum into the
    convolution before it (:func:`~hwnas_surrogate.graphs.merged`, :func:`~hwnas_surrogate.graphs.fused`). The group
    ``quantized`` holds the same counts, counts of those that run in int8 in a quantized network, and counts of
    conversions (:func:`~hwnas_surrogate.graphs.quantized`). For other spaces there are no columns.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.

    Examples
    --------
    >>> MergedOperators().frame([[3, 3, 0, 3, 0, 0]])["merged:relu"].tolist()
    [1.0]
    """

    def _columns(self) -> Iterator[Column]:
        if isinstance(self._of_space(), NASBench201):
            yield from (Column("merged", name) for name in MERGED)
            yield from (Column("quantized", name) for name in (*MERGED, *QUANTIZED))

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        of = self._archs(batch)
        if isinstance(of.space, NASBench201):
            out[:, len(MERGED) :] = of.space.cell_counts(of.archs)
            out[:, : len(MERGED)] = out[:, len(MERGED) : 2 * len(MERGED)]
