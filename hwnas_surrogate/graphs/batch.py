"""Batches of networks, independent of their source."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError, unknown
from hwnas_surrogate.graphs.flat import Flat, flattened
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.memory import peaks_of
from hwnas_surrogate.graphs.merging import flat_merged
from hwnas_surrogate.graphs.names import NAME_RULE, is_name
from hwnas_surrogate.graphs.numbering import Numbers, distinct_rows
from hwnas_surrogate.graphs.op import Op
from hwnas_surrogate.graphs.views import PASSES, VIEWS, View, checked_view, in_turn

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "GraphBatch",
    "NetworkBatch",
    "numbers_of_rows",
    "summable",
    "values_of_ops",
]

_AT_ONCE = 500
"""Number of graphs that passes process at once: small enough for the processor's cache."""
_ONE_AT_A_TIME = RLock()
"""Held while operators are numbered: threads that request views of a batch would number them differently."""


class NetworkBatch(ABC):
    """n networks: the interface that encoders, surrogates and tables use."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} networks)"

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of networks."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """One string for each network, equal for equal networks and the same on every machine."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What each network is called: an architecture's string, or a graph's name."""

    @property
    @abstractmethod
    def connected(self) -> npt.NDArray[np.bool_]:
        """Whether a path leads from an input of each network to an output, shape (n,)."""

    @property
    @abstractmethod
    def configs(self) -> tuple[Any, ...]:
        """The distinct configs under which the networks are built; ``(None,)`` for networks that have none."""

    @property
    @abstractmethod
    def config_number(self) -> npt.NDArray[np.intp]:
        """Which of ``configs`` belongs to each network, shape (n,)."""

    @property
    @abstractmethod
    def repeats(self) -> npt.NDArray[np.intp]:
        """Number each network, equal ones alike, in the order of their first appearance: shape (n,)."""

    @abstractmethod
    def take(self, rows: npt.ArrayLike) -> NetworkBatch:
        """Return some of the networks, by number or by a mask of shape (n,)."""

    @abstractmethod
    def distinct(self, view: View = "all") -> tuple[Op, ...]:
        """Return the L operators that any of the networks may run in a view."""

    def same_view(self, view: View) -> View:
        """Return the first of the views in which every network runs the same operators; the view itself if unknown."""
        return view

    @abstractmethod
    def sums(self, values: npt.ArrayLike, view: View = "all") -> npt.NDArray[np.float64]:
        """Sum values of the distinct operators, (L,) or (L, q), over each network: (n,) or (n, q)."""

    def counts(self, view: View = "all") -> npt.NDArray[np.float64]:
        """Return how often each network runs each distinct operator, shape (n, L)."""
        return self.sums(np.eye(len(self.distinct(view))), view)

    def sparse_counts(self, view: View = "all") -> csr_array:
        """Return :meth:`counts` as a sparse array: graphs of many kinds share few operators."""
        from scipy.sparse import csr_array

        return csr_array(self.counts(view))

    def count_kinds(self, view: View = "all") -> dict[str, npt.NDArray[np.float64]]:
        """Return how many operators of each kind the networks run, shape (n,) each; kinds that occur."""
        ops = self.distinct(view)
        kinds = list(dict.fromkeys(op.kind for op in ops))
        sums = self.sums(
            np.array([[op.kind == kind for kind in kinds] for op in ops], float).reshape(len(ops), -1), view
        )
        return {kind: count for kind, count in zip(kinds, sums.T, strict=True) if count.any()}

    def total(
        self, figure: Literal["macs", "params", "activation_bytes"], view: View = "all"
    ) -> npt.NDArray[np.float64]:
        """Sum a figure of the operators over each network, float64 of shape (n,)."""
        if figure not in ("macs", "params", "activation_bytes"):
            raise unknown(InvalidInputError, "figure", str(figure), ("macs", "params", "activation_bytes"))
        return self.sums([getattr(op, figure) for op in self.distinct(view)], view)

    @abstractmethod
    def peak_memory(self, view: View = "all") -> npt.NDArray[np.float64]:
        """Return the largest number of bytes of activations that live at once, shape (n,)."""

    @property
    def macs(self) -> npt.NDArray[np.float64]:
        """Multiply-adds of each network, shape (n,): of every operator that is called, whether it matters or not.

        A network of a search space without a path from input to output has many, and may cost next to nothing:
        ``total("macs", "live")`` counts what leads to the output.
        """
        return self.total("macs")

    @property
    def params(self) -> npt.NDArray[np.float64]:
        """Trained parameters that the operators of each network read, shape (n,)."""
        return self.total("params")

    @property
    def activation_bytes(self) -> npt.NDArray[np.float64]:
        """Bytes of activations that the operators of each network read and write, shape (n,)."""
        return self.total("activation_bytes")


def values_of_ops(values: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    """Return values for each of n operators, (n,) or (n, q), or raise :class:`InvalidInputError`."""
    per_op = np.asarray(values, np.float64)
    if per_op.ndim not in (1, 2) or len(per_op) != n:
        raise InvalidInputError(
            f"values must have one row for each of the {n} distinct operators, got shape {per_op.shape}."
        )
    return per_op


def numbers_of_rows(rows: npt.ArrayLike, n: int) -> npt.NDArray[np.intp]:
    """Return the numbers of some of n rows, given by number or by a mask.

    Raises
    ------
    InvalidInputError
        If there is no such row, or they are neither whole numbers nor a mask of n.
    """
    asked = np.atleast_1d(np.asarray(rows))
    if not asked.size:
        return np.empty(0, np.intp)
    if asked.dtype == bool and asked.shape == (n,):
        return np.flatnonzero(asked)
    if asked.dtype.kind not in "iu" or asked.ndim != 1:
        raise InvalidInputError(
            f"rows must be whole numbers or a mask of {n}, got {asked.dtype} of shape {asked.shape}."
        )
    if asked.min() < 0 or asked.max() >= n:
        raise InvalidInputError(f"rows must lie in 0..{n - 1}, got {asked.min()} to {asked.max()}.")
    return asked.astype(np.intp)


class GraphBatch(NetworkBatch):
    """Networks given as graphs, in order.

    Operators are counted once for each view, when it is first asked for, and kept as a sparse matrix.

    Parameters
    ----------
    graphs : sequence of Graph, or mapping of str to Graph
        A mapping names them.
    names : sequence of str, optional
        Names of a sequence of graphs. If None, a graph is called by the first 12 digits of its hash.

    Raises
    ------
    InvalidInputError
        If one of them is no graph, there is not one name for each, or a name is not one line of text without blanks at
        its ends.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> space = get_space("nasbench201")
    >>> batch = GraphBatch([space.graph(arch) for arch in range(3)])
    >>> macs = [op.macs for op in batch.distinct()]
    >>> batch.sums(macs).tolist()
    [15647360.0, 113951360.0, 78561920.0]
    """

    def __init__(self, graphs: Sequence[Graph] | Mapping[str, Graph], names: Sequence[str] | None = None) -> None:
        if isinstance(graphs, Graph):
            raise InvalidInputError("a GraphBatch holds several graphs: give a list, GraphBatch([graph]).")
        if not isinstance(graphs, Iterable):
            raise InvalidInputError(f"a GraphBatch holds a list of graphs, got {type(graphs).__name__}.")
        if isinstance(graphs, Mapping):
            if names is not None:
                raise InvalidInputError("a mapping names the graphs already: leave names out.")
            names, graphs = list(graphs), list(graphs.values())
        self.graphs = tuple(graphs)
        for place, graph in enumerate(self.graphs):
            if not isinstance(graph, Graph):
                raise InvalidInputError(
                    f"a GraphBatch holds graphs, got {type(graph).__name__} at {place}. "
                    "Graph.from_torch makes one of a PyTorch module, a space's graph(arch) of an architecture."
                )
        self._names = None if names is None else _checked_names(names, len(self.graphs))
        self._counted: dict[str, tuple[tuple[Op, ...], _Counts]] = {}

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.graphs)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each graph; the first 12 digits of its hash if it was not named."""
        return tuple(key[:12] for key in self.keys) if self._names is None else self._names

    @property
    def connected(self) -> npt.NDArray[np.bool_]:
        """Whether a path leads from an input of each network to an output, shape (n,)."""
        return np.array([graph.connected for graph in self.graphs], bool)

    @property
    def keys(self) -> tuple[str, ...]:
        """The digest of each graph."""
        return tuple(graph.digest for graph in self.graphs)

    @property
    def configs(self) -> tuple[None]:
        """A graph is under no config: ``(None,)``."""
        return (None,)

    @property
    def config_number(self) -> npt.NDArray[np.intp]:
        """Zeros, shape (n,)."""
        return np.zeros(len(self), np.intp)

    @cached_property
    def repeats(self) -> npt.NDArray[np.intp]:
        """Number each network, equal ones alike, in the order of their first appearance: shape (n,)."""
        number: dict[str, int] = {}
        return np.array([number.setdefault(key, len(number)) for key in self.keys], np.intp)

    def take(self, rows: npt.ArrayLike) -> GraphBatch:
        """Return some of the networks, by number or by a mask of shape (n,).

        Raises
        ------
        InvalidInputError
            If there is no such network, or rows are neither whole numbers nor a mask of n.
        """
        chosen = numbers_of_rows(rows, len(self))
        names = None if self._names is None else [self._names[row] for row in chosen]
        taken = GraphBatch([self.graphs[row] for row in chosen], names)
        taken._counted = {view: (ops, counts.rows(chosen)) for view, (ops, counts) in self._counted.items()}
        return taken

    def distinct(self, view: View = "all") -> tuple[Op, ...]:
        """Return the operators that any of the networks runs in a view, L of them, in the order of their appearance."""
        return self._counts(view)[0]

    def sums(self, values: npt.ArrayLike, view: View = "all") -> npt.NDArray[np.float64]:
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
        return counts.times(values_of_ops(values, len(ops)))

    def counts(self, view: View = "all") -> npt.NDArray[np.float64]:
        """Return how often each network runs each distinct operator, shape (n, L)."""
        return np.asarray(self.sparse_counts(view).toarray())

    def sparse_counts(self, view: View = "all") -> csr_array:
        """Return :meth:`counts` as a sparse array."""
        return self._counts(view)[1].matrix

    def peak_memory(self, view: View = "all") -> npt.NDArray[np.float64]:
        """Return the largest number of bytes of activations that live at once, shape (n,)."""
        checked_view(view)
        with _ONE_AT_A_TIME, self._named(view):
            peaks = [peaks_of(self._as_run(part, view)) for part in range(len(self._parts))]
        return np.concatenate([np.empty(0), *peaks])

    @cached_property
    def _parts(self) -> list[tuple[Flat, Flat]]:
        """The graphs, some hundreds side by side: as they are, and merged.

        Merging alone looks at which stored tensors are read; these are left out afterwards.
        """
        numbers, parts = Numbers(), []
        for start in range(0, len(self), _AT_ONCE):
            part = flattened(self.graphs[start : start + _AT_ONCE], numbers)
            parts.append((part.without_weights(), flat_merged(part).without_weights()))
        return parts

    def _counts(self, view: str) -> tuple[tuple[Op, ...], _Counts]:
        checked_view(view)
        with _ONE_AT_A_TIME:
            if view not in self._counted:
                with self._named(view):
                    self._counted[view] = _counted(self._as_run(part, view) for part in range(len(self._parts)))
            return self._counted[view]

    def _as_run(self, part: int, view: str) -> Flat:
        plain, of_merged = self._parts[part]
        passes = PASSES[view]
        if passes[0] is flat_merged:
            plain, passes = of_merged, passes[1:]
        return in_turn(passes, replace(plain))  # a copy, which forgets what it computed

    @contextmanager
    def _named(self, view: str) -> Iterator[None]:
        """Name the first network that can't be run in a view, if passes over all of them raise."""
        try:
            yield
        except InvalidGraphError:
            for place, graph in enumerate(self.graphs):
                try:
                    VIEWS[view](graph)
                except InvalidGraphError as error:
                    raise InvalidGraphError(f"network {place}, view {view!r}: {error}") from error
            raise


def _checked_names(names: Sequence[str], n: int) -> tuple[str, ...]:
    if not isinstance(names, Iterable):
        raise InvalidInputError(f"names of graphs are a list of texts, got {type(names).__name__}.")
    checked = (names,) if isinstance(names, str) else tuple(names)
    if len(checked) != n:
        raise InvalidInputError(f"each of the {n} graphs has one name, got {len(checked)} names.")
    for name in checked:
        if not is_name(name):
            raise InvalidInputError(f"the name of a graph is {NAME_RULE}, got {name!r:.60}.")
    return tuple(map(str, checked))


def _counted(parts: Iterable[Flat]) -> tuple[tuple[Op, ...], _Counts]:
    """Return the distinct operators of graphs, in the order of their appearance, and how often each graph has them."""
    from scipy.sparse import csr_array

    place: dict[Op, int] = {}
    columns, counts, ends = [np.empty(0, np.int32)], [np.empty(0)], [np.zeros(1, np.int64)]
    for part in parts:
        first, of_node = distinct_rows(part.op)
        ops = [part.numbers.ops[op] for op in part.op[first].tolist()]
        for number in np.argsort(first).tolist():
            place.setdefault(ops[number], len(place))
        column = np.array([place[op] for op in ops], np.int32)[of_node]
        starts = np.searchsorted(part.graph, np.arange(part.n + 1)).astype(np.int32)
        rows = csr_array((np.ones(len(part)), column, starts), shape=(part.n, len(place)))
        rows.sum_duplicates()
        columns.append(rows.indices)
        counts.append(rows.data)
        ends.append(ends[-1][-1] + rows.indptr[1:])
    content = np.concatenate(counts), np.concatenate(columns), np.concatenate(ends)
    return tuple(place), _Counts(csr_array(content, shape=(len(content[2]) - 1, len(place))))


class _Counts:
    """A sparse matrix of counts, (n, L): row by row."""

    def __init__(self, matrix: csr_array) -> None:
        self.matrix = matrix

    def rows(self, which: npt.NDArray[np.intp]) -> _Counts:
        """Return some rows."""
        return _Counts(self.matrix[which])

    def times(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Multiply by values, (L,) or (L, q)."""
        per_op = summable(values.reshape(len(values), math.prod(values.shape[1:])))
        return np.asarray(self.matrix @ per_op, np.float64).reshape(self.matrix.shape[0], *values.shape[1:])


def summable(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round what is no integer to 42 binary digits of its column's largest, (L, q): two thousand are summed exactly.

    Sums are then the same in any order.
    """
    largest = np.maximum(np.abs(values).max(axis=0, initial=0.0), np.finfo(float).tiny)
    unit = 2.0 ** (np.ceil(np.log2(largest)) - 42)
    return np.where(values == np.rint(values), values, np.rint(values / unit) * unit)
