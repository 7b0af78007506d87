"""Op counts: of all ops, of live ops, and of those that a converter leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.spaces import ArchBatch, SearchSpace
from hwnas_surrogate.spaces.tables import smallest_counter

__all__ = ["OpCounts"]


class OpCounts(Encoder):
    """Op counts, one group of columns per view.

    On most devices every op that the network calls costs time. Runtimes that convert the network first run only the ops
    that the converter leaves. ``network`` is 1 where at least one op runs. A space whose positions have different
    choices has no ops to count: no columns.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.
    views : sequence of {"all", "live", "folded"}, default=all three
        Which ops to count.

    Examples
    --------
    >>> OpCounts(views=["all"]).frame([[0, 3, 3, 1, 2, 0]]).iloc[0].astype(int).tolist()
    [2, 1, 1, 2, 0, 1]
    """

    def __init__(
        self,
        space: str | SearchSpace | None = "nasbench201",
        views: Sequence[str] = ("all", "live", "folded"),
    ) -> None:
        super().__init__(space)
        self.views = views

    def _columns(self) -> Iterator[Column]:
        ops = self._of_space().ops
        for view in self.views if ops else ():
            yield from (Column(f"count_{view}", name) for name in (*ops, "network"))

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        of = self._archs(batch)
        n_ops = len(of.space.ops)
        for number, view in enumerate(self.views if n_ops else ()):
            # Transposed, so that counting adds up contiguous rows.
            ops = np.where(_executed(of, view), of.archs, -1).T.copy()
            group = out[:, number * (n_ops + 1) : (number + 1) * (n_ops + 1)]
            for op in range(n_ops):
                group[:, op] = (ops == op).sum(axis=0, dtype=smallest_counter(len(ops)))
            group[:, n_ops] = (ops >= 0).any(axis=0)


def _executed(batch: ArchBatch, view: str) -> npt.NDArray[np.bool_]:
    """Return a mask of the positions that run in a view, (n, positions), each architecture under its config."""
    if len(batch.configs) == 1:
        return batch.space.executed(batch.archs, view, batch.configs[0])
    runs = np.zeros(batch.archs.shape, bool)
    for number, config in enumerate(batch.configs):
        rows = np.flatnonzero(batch.config_number == number)
        runs[rows] = batch.space.executed(batch.archs[rows], view, config)
    return runs
