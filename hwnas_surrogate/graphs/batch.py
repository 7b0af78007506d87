"""Many networks at once, whatever they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError, unknown
from hwnas_surrogate.graphs.folding import folded
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.op import Op
from hwnas_surrogate.graphs.passes import fused, live, merged
from hwnas_surrogate.graphs.quantizing import quantized

__all__ = ["GRAPH_VIEWS", "GraphBatch", "GraphView", "NetworkBatch"]

GraphView: TypeAlias = Literal["all", "live", "folded", "fused", "quantized"]

GRAPH_VIEWS: Mapping[str, Callable[[Graph], Graph]] = MappingProxyType(
    {
        "all": lambda graph: graph,
        "live": live,
        "folded": folded,
        "fused": lambda graph: fused(merged(graph)),
        "quantized": quantized,
    }
)
"""Which operators count.

``all`` that are called; those that change an output (``live``); those that a converter leaves (``folded``); those that
an inference engine runs, equal ones once and neighbours as one (``fused``); and as ``quantized`` to int8.
"""


class NetworkBatch(Protocol):
    """n networks: what encoders, surrogates and tables know of them."""

    def __len__(self) -> int:
        """Return the number of networks."""

    @property
    def keys(self) -> tuple[str, ...]:
        """One string for each network, equal for equal networks and the same on every machine."""

    def take(self, rows: npt.ArrayLike) -> NetworkBatch:
        """Return some of the networks, by number or by a mask of shape (n,)."""

    def distinct(self, view: GraphView = "all") -> tuple[Op, ...]:
        """Return the operators that any of the networks may run, L of them."""

    def sums(self, values: npt.ArrayLike, view: GraphView = "all") -> npt.NDArray[np.float64]:
        """Sum values of the distinct operators, (L,) or (L, q), over each network: (n,) or (n, q)."""


class GraphBatch:
    """Networks given as graphs, in order.

    Operators are counted once for each view, when it is first asked for, and kept as a sparse matrix.

    Parameters
    ----------
    graphs : sequence of Graph

    Raises
    ------
    InvalidInputError
        If one of them is no graph.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> space = get_space("nasbench201")
    >>> batch = GraphBatch([space.graph(arch) for arch in range(3)])
    >>> macs = [op.macs for op in batch.distinct()]
    >>> batch.sums(macs).tolist()
    [15647360.0, 113951360.0, 78561920.0]
    """

    def __init__(self, graphs: Sequence[Graph]) -> None:
        if isinstance(graphs, Graph):
            raise InvalidInputError("a GraphBatch holds several graphs: give a list, GraphBatch([graph]).")
        self.graphs = tuple(graphs)
        for place, graph in enumerate(self.graphs):
            if not isinstance(graph, Graph):
                raise InvalidInputError(
                    f"a GraphBatch holds graphs, got {type(graph).__name__} at {place}. "
                    "Graph.from_torch makes one of a PyTorch module, a space's graph(arch) of an architecture."
                )
        self._counted: dict[str, tuple[tuple[Op, ...], _Counts]] = {}

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.graphs)

    @property
    def keys(self) -> tuple[str, ...]:
        """The digest of each graph."""
        return tuple(graph.digest for graph in self.graphs)

    def take(self, rows: npt.ArrayLike) -> GraphBatch:
        """Return some of the networks, by number or by a mask of shape (n,).

        Raises
        ------
        InvalidInputError
            If there is no such network, or rows are neither whole numbers nor a mask of n.
        """
        asked = np.atleast_1d(np.asarray(rows))
        if not asked.size:
            return GraphBatch([])
        mask = asked.dtype == bool and asked.shape == (len(self),)
        if not mask and (asked.dtype.kind not in "iu" or asked.ndim != 1):
            raise InvalidInputError(
                f"rows must be whole numbers or a mask of {len(self)}, got {asked.dtype} of shape {asked.shape}."
            )
        if not mask and (asked.min() < 0 or asked.max() >= len(self)):
            raise InvalidInputError(f"rows must lie in 0..{len(self) - 1}, got {asked.min()} to {asked.max()}.")
        return GraphBatch([self.graphs[row] for row in (np.flatnonzero(asked) if mask else asked)])

    def distinct(self, view: GraphView = "all") -> tuple[Op, ...]:
        """Return the operators that any of the networks runs in a view, L of them, in the order of their appearance."""
        return self._counts(view)[0]

    def sums(self, values: npt.ArrayLike, view: GraphView = "all") -> npt.NDArray[np.float64]:
        """Sum values of the distinct operators over all that each network runs.

        Parameters
        ----------
        values : array-like of float, shape (L,) or (L, q)
            One value, or q values, for each of ``distinct(view)``.
        view : {"all", "live", "folded", "fused", "quantized"}, default="all"

        Returns
        -------
        ndarray of float64, shape (n,) or (n, q)
        """
        ops, counts = self._counts(view)
        per_op = np.asarray(values, np.float64)
        if per_op.ndim not in (1, 2) or len(per_op) != len(ops):
            raise InvalidInputError(
                f"values must have one row for each of the {len(ops)} distinct operators, got shape {per_op.shape}."
            )
        return counts.times(per_op)

    def peak_memory(self, view: GraphView = "all") -> npt.NDArray[np.float64]:
        """Return the largest number of bytes of activations that live at once, shape (n,)."""
        as_run = GRAPH_VIEWS[self._checked(view)]
        return np.array([as_run(graph).peak_memory for graph in self.graphs], np.float64)

    @staticmethod
    def _checked(view: str) -> str:
        if view not in GRAPH_VIEWS:
            raise unknown(InvalidInputError, "view", view, GRAPH_VIEWS)
        return view

    def _counts(self, view: str) -> tuple[tuple[Op, ...], _Counts]:
        if self._checked(view) not in self._counted:
            number: dict[Op, int] = {}
            columns, counts, ends = list[int](), list[int](), [0]
            for place, graph in enumerate(self.graphs):
                try:
                    run = GRAPH_VIEWS[view](graph)
                except InvalidGraphError as error:
                    raise InvalidGraphError(f"network {place}, view {view!r}: {error}") from error
                columns += [number.setdefault(op, len(number)) for op in run.counts]
                counts += run.counts.values()
                ends.append(len(columns))
            self._counted[view] = tuple(number), _Counts(columns, counts, ends)
        return self._counted[view]


class _Counts:
    """A sparse matrix of counts, (n, L): row by row."""

    def __init__(self, columns: list[int], counts: list[int], ends: list[int]) -> None:
        self._columns, self._counts = np.array(columns, np.intp), np.array(counts, np.float64)
        self._ends = np.array(ends, np.intp)

    def times(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Multiply by values, (L,) or (L, q)."""
        from scipy.sparse import csr_array

        shape = (len(self._ends) - 1, len(values))
        matrix = csr_array((self._counts, self._columns, self._ends), shape=shape)
        return np.asarray(matrix @ values, np.float64)
