"""Operators' costs learned from graphs: one more prediction of a network's cost, the sum over its operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data.profiles import Profiles, check_sums, checked_profiles
from hwnas_surrogate.features.operator_sizes import N_QUANTITIES, N_SIZES, REFINES, operator_quantities, operator_sizes
from hwnas_surrogate.graphs import Graph, GraphBatch, NetworkBatch, Op
from hwnas_surrogate.graphs.views import traced
from hwnas_surrogate.models.cost_model import Arrays
from hwnas_surrogate.models.operator_stack import OPERATORS
from hwnas_surrogate.models.operator_trees import OperatorTrees
from hwnas_surrogate.spaces import ArchBatch

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["OperatorCosts", "graph_at", "profiles_to_learn", "with_sums"]

Vector = npt.NDArray[np.float64]

_FOLDS = 5
_FINE = 2.0**30
"""Costs of operators are rounded to this part of a typical network's cost: then sums are the same in any order."""


class OperatorCosts:
    """Sums of what trees predict for the operators that an inference engine runs (view ``fused``).

    Parameters
    ----------
    trees : OperatorTrees
        Fitted.
    """

    def __init__(self, trees: OperatorTrees) -> None:
        self.trees = trees

    @classmethod
    def learn(cls, batch: NetworkBatch, costs: Vector, times: Profiles | None, seed: int) -> tuple[Self, Vector]:
        """Learn operators' costs from n networks.

        Parameters
        ----------
        batch : NetworkBatch
        costs : ndarray of float64, shape (n,)
            Above 0, and about 1.
        times : sequence of n arrays or None, optional
            Times of each graph's nodes; their scale does not matter, since they are scaled to the network's cost.
        seed : int
            Of the folds and the trees.

        Returns
        -------
        learned : OperatorCosts
        held_out : ndarray of float64, shape (n,)
            The cost of each network, predicted by trees that were fitted without it.
        """
        ops = batch.distinct("fused")
        sizes, quantities, counts = operator_sizes(ops), operator_quantities(ops), batch.sparse_counts("fused")
        parts = None if times is None else _parts(batch, ops, costs, times)

        def fitted(rows: npt.NDArray[np.intp]) -> OperatorTrees:
            profile = None if parts is None else parts[rows]
            return OperatorTrees(seed, REFINES).fit(sizes, quantities, counts[rows], costs[rows], profile)

        held_out = np.empty(len(costs))
        order = np.random.default_rng(seed).permutation(len(costs))
        for place in range(min(_FOLDS, len(costs))):
            rows = order[place::_FOLDS]
            others = np.setdiff1d(order, rows)
            held_out[rows] = counts[rows] @ fitted(others).predict(sizes, quantities)
        return cls(fitted(np.arange(len(costs)))), held_out

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore from the arrays of the trees, or raise :class:`InvalidInputError`."""
        return cls(OperatorTrees().from_arrays(arrays, N_SIZES, N_QUANTITIES))

    def sums(self, batch: NetworkBatch) -> Vector:
        """Return the predicted costs of n networks, shape (n,)."""
        ops = batch.distinct("fused")
        costs = self.trees.predict(operator_sizes(ops), operator_quantities(ops))
        return batch.sums(np.rint(costs * _FINE) / _FINE, "fused")

    def of_nodes(self, graph: Graph) -> Vector:
        """Return the predicted cost of each of n nodes, shape (n,): fused nodes have theirs at the first of them."""
        run = traced(graph, "fused")
        costs = np.zeros(len(graph))
        np.add.at(costs, run.serves, self.trees.predict(operator_sizes(run.ops), operator_quantities(run.ops)))
        return costs


def with_sums(features: pd.DataFrame, sums: Vector) -> pd.DataFrame:
    """Return columns with that of the operators' costs after them."""
    return pd.concat([features, pd.DataFrame({OPERATORS.name: sums}, index=features.index)], axis=1)


def profiles_to_learn(batch: NetworkBatch, profiles: Profiles | None, costs: Vector) -> Profiles | None:
    """Return the profiles of n networks, checked; None if none of them has any.

    ``costs`` has the shape (n,), NaN where there is none.

    Raises
    ------
    InvalidInputError
        If there is not one profile, or None, for each network, one is not the times of its graph's nodes, or its sum,
        relative to the network's cost, is far from that of the other profiles.
    """
    if profiles is None:
        return None
    checked = checked_profiles(profiles, batch, lambda row: len(graph_at(batch, row)))
    check_sums(checked, costs, batch, in_unit=False)
    return None if all(each is None for each in checked) else checked


def graph_at(batch: NetworkBatch, place: int) -> Graph:
    """Return one network of a batch as a graph."""
    if isinstance(batch, ArchBatch):
        return batch.take([place]).graphs().graphs[0]
    assert isinstance(batch, GraphBatch)
    return batch.graphs[place]


def _parts(batch: NetworkBatch, ops: tuple[Op, ...], costs: Vector, times: Profiles) -> csr_array:
    """Return the part of each network's cost that each distinct operator takes by its profile, (n, L)."""
    from scipy.sparse import csr_array

    place_of = {op: place for place, op in enumerate(ops)}
    rows, columns, values = list[int](), list[int](), list[float]()
    for row, (cost, each) in enumerate(zip(costs.tolist(), times, strict=True)):
        if each is None:
            continue
        run = traced(graph_at(batch, row), "fused")
        at = np.zeros(len(run.became))
        np.add.at(at, run.became[run.became >= 0], np.asarray(each, np.float64)[run.became >= 0])
        if not at.any():  # all of its time is at nodes that an inference engine does not run
            continue
        at *= cost / at.sum()
        for op, ms in zip(run.ops, at[run.serves].tolist(), strict=True):
            rows.append(row)
            columns.append(place_of[op])
            values.append(ms)
    return csr_array((values, (rows, columns)), shape=(len(costs), len(ops)))
