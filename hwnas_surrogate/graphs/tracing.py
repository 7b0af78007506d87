"""Where the nodes of a graph are after passes: which node each became a part of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwnas_surrogate.graphs.numbering import Bools, Ints

__all__ = ["Trace"]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Which of the first graph's n nodes the present nodes stand for, and what became of the others.

    Parameters
    ----------
    origin : ndarray of int, shape (nodes,)
        The first node that each present node stands for. A conversion stands for the node that it serves.
    became : ndarray of int, shape (n,)
        The first node that each first node is a part of: itself if it is on its own, -1 if it was removed.

    Examples
    --------
    Three nodes; the second is fused into the first, and the third is removed:

    >>> trace = Trace.start(3).kept(np.array([True, False, False]), np.array([0, 0, -1]))
    >>> trace.origin.tolist(), trace.became.tolist()
    ([0], [0, 0, -1])
    """

    origin: Ints
    became: Ints

    @classmethod
    def start(cls, n: int) -> Trace:
        """Return the trace of n nodes before any pass."""
        return cls(np.arange(n), np.arange(n))

    def kept(self, keep: Bools, into: Ints | None = None) -> Trace:
        """Return the trace after a pass that keeps some nodes, in the same order.

        Parameters
        ----------
        keep : ndarray of bool, shape (nodes,)
        into : ndarray of int, shape (nodes,), optional
            For each node that is not kept, the kept node that it is a part of now, or -1. If None, they are removed.
        """
        return Trace(self.origin[keep], self._moved(np.where(keep, np.arange(len(keep)), -1 if into is None else into)))

    def placed(self, serves: Ints, into: Ints) -> Trace:
        """Return the trace after a pass that adds conversions.

        Parameters
        ----------
        serves : ndarray of int, shape (new nodes,)
            The old node that each new node is, or that it serves.
        into : ndarray of int, shape (nodes,)
            For each old node, the old node that it is a part of now: itself if it is on its own.
        """
        return Trace(self.origin[serves], self._moved(into))

    def _moved(self, into: Ints) -> Ints:
        moved = np.full(int(self.became.max(initial=-1)) + 2, -1)  # the last entry: what was removed stays so
        moved[self.origin] = np.where(into < 0, -1, self.origin[into])
        return np.asarray(moved[self.became])
