"""How many positions carry each op: of all, of the live, and of those that a converter leaves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace, View
from hwnas_surrogate.spaces.layers import smallest_counter

__all__ = ["OpCounts"]


class OpCounts(Encoder):
    """Op counts, one group of columns per view.

    Most devices price every op that the network calls; runtimes that convert the network first price only what the
    converter leaves. ``network`` is 1 where anything runs at all.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.
    views : sequence of {"all", "live", "compiled"}, default=all three
        Which ops to count.

    Examples
    --------
    >>> OpCounts(views=["all"]).frame([[0, 3, 3, 1, 2, 0]]).iloc[0].astype(int).tolist()
    [2, 1, 1, 2, 0, 1]
    """

    def __init__(
        self,
        space: str | SearchSpace = "nasbench201",
        views: tuple[View, ...] | list[View] = ("all", "live", "compiled"),
    ) -> None:
        super().__init__(space)
        self.views = views

    def _names(self, space: SearchSpace) -> list[str]:
        return [f"count_{view}:{name}" for view in self.views for name in (*space.ops, "network")]

    def _encode(self, space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, out: Features) -> None:
        n_ops = len(space.ops)
        for number, view in enumerate(self.views):
            # By position: adding whole columns is quick.
            ops = np.where(space.executed(archs, view, config), archs, -1).T.copy()
            group = out[:, number * (n_ops + 1) : (number + 1) * (n_ops + 1)]
            for op in range(n_ops):
                group[:, op] = (ops == op).sum(axis=0, dtype=smallest_counter(len(ops)))
            group[:, n_ops] = (ops >= 0).any(axis=0)
