"""Peak memory of a network: a maximum over its operators, not a sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.graphs import NetworkBatch, View
from hwnas_surrogate.spaces import SearchSpace

__all__ = ["PeakMemory"]

_MIB = 2.0**20
_FLOAT32 = 4


class PeakMemory(Encoder):
    """The peak memory of activations, in MiB, and that of the weights, which is constant.

    A value is live from the operator that writes it to the last one that reads it. The operators depend on the view: an
    inference engine that fuses operators stores fewer values.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for networks of any kind. The columns are the same.
    views : sequence of {"all", "live", "folded", "fused", "quantized"}, default=("all", "folded")
        Which operators run.

    Examples
    --------
    >>> PeakMemory().frame([0])["memory:peak_all"].round(3).tolist()
    [0.25]
    """

    def __init__(
        self, space: str | SearchSpace | None = "nasbench201", views: Sequence[View] = ("all", "folded")
    ) -> None:
        super().__init__(space)
        self.views = views

    def _columns(self) -> Iterator[Column]:
        yield from (Column("memory", f"peak_{view}") for view in self.views)
        yield Column("memory", "weights")

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        for place, view in enumerate(self.views):
            out[:, place] = batch.peak_memory(view) / _MIB
        out[:, -1] = batch.params * (_FLOAT32 / _MIB)
