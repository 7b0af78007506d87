"""Operators' costs learned from graphs: one more prediction of a network's cost, the sum over its operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data.profiles import Profiles, check_shares, checked_profiles
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.features.operator_sizes import N_SIZES
from hwnas_surrogate.graphs import Graph, GraphBatch, NetworkBatch, Op
from hwnas_surrogate.graphs.views import View, traced, traced_together
from hwnas_surrogate.models import PhysicsPrior
from hwnas_surrogate.models.cost_model import Arrays, checked_array
from hwnas_surrogate.models.operator_stack import OPERATORS
from hwnas_surrogate.models.operator_trees import OperatorTrees
from hwnas_surrogate.spaces import ArchBatch
from hwnas_surrogate.trainers.operator_estimates import OperatorEstimates, SeenOperators

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["OperatorCosts", "graph_at", "profiles_to_learn", "with_sums"]

Vector = npt.NDArray[np.float64]

_FOLDS = 5
_VIEWS: tuple[View, ...] = ("fused", "quantized")
"""Operators that inference engines run; the last are those of networks that are quantized to int8."""
_TO_CHOOSE = 100
"""So many networks tell the views apart."""
_FINE = 2.0**30
"""Costs of operators are rounded to this part of a typical network's cost: then sums are the same in any order."""


class OperatorCosts:
    """Sums of what regression and trees predict for the operators that an inference engine runs.

    These are those of the view ``fused`` or ``quantized``, whichever explains the costs better. A regression of
    logarithms gives a first estimate of each operator's cost, which trees correct. Other devices whose operators' costs
    are known give estimates too: the average of their logarithmic costs, or those of one of them, times what the
    measurements say. The estimate is the geometric mean, weighted by the evidence of each.

    Parameters
    ----------
    estimates : OperatorEstimates
        Fitted.
    trees : OperatorTrees
        Fitted.
    sources : sequence of OperatorCosts, default=()
        Of the other devices.
    view : {"fused", "quantized"}, default="fused"
        Which operators run.
    """

    def __init__(
        self,
        estimates: OperatorEstimates,
        trees: OperatorTrees,
        sources: Sequence[OperatorCosts] = (),
        view: View = "fused",
    ) -> None:
        self.estimates, self.trees, self.sources, self.view = estimates, trees, tuple(sources), view

    @classmethod
    def learn(
        cls,
        batch: NetworkBatch,
        costs: Vector,
        times: Profiles | None,
        seed: int,
        sources: Sequence[OperatorCosts] = (),
    ) -> tuple[OperatorCosts, Vector]:
        """Learn operators' costs from n networks.

        Parameters
        ----------
        batch : NetworkBatch
        costs : ndarray of float64, shape (n,)
            Above 0, and about 1.
        times : sequence of n arrays or None, optional
            Times of each graph's nodes; their scale does not matter, since they are scaled to the network's cost. Those
            of quantized networks are not used.
        seed : int
            Of the folds and the trees.
        sources : sequence of OperatorCosts, default=()
            Of other devices.

        Returns
        -------
        learned : OperatorCosts
        held_out : ndarray of float64, shape (n,)
            The cost of each network, predicted by what was fitted without it; 0 of networks whose operators take no
            time.

        Raises
        ------
        InvalidGraphError
            If an inference engine does not run a network, or fewer than two have an operator that takes time.
        """
        view = _view_of(batch, costs, seed)
        ops, counts = batch.distinct(view), batch.sparse_counts(view)
        seen = SeenOperators.of(ops, sources)
        runs = np.flatnonzero(counts @ seen.quantities.any(axis=1))
        if len(runs) < 2:
            raise InvalidGraphError(f"learning takes two networks whose operators take time, got {len(runs)}.")
        # Profiles of quantized networks give an operator's time and that of its conversions together.
        parts = None if times is None or view == "quantized" else _parts(batch, ops, costs, times)

        def fitted(rows: npt.NDArray[np.intp]) -> OperatorCosts:
            profile = None if parts is None else parts[rows]
            estimates = OperatorEstimates(len(sources)).fit(seen, counts[rows], costs[rows], profile)
            first = estimates.predict(seen)
            trees = OperatorTrees(seed).fit(seen.sizes, first, counts[rows], costs[rows], profile)
            return cls(estimates, trees, sources, view)

        held_out = np.zeros(len(costs))
        order = np.random.default_rng(seed).permutation(runs)
        for place in range(min(_FOLDS, len(order))):
            rows = order[place::_FOLDS]
            held_out[rows] = counts[rows] @ fitted(np.setdiff1d(order, rows)).of_seen(seen)
        return fitted(runs), held_out

    @classmethod
    def from_arrays(cls, arrays: Arrays, sources: Sequence[OperatorCosts] = ()) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, given the other devices', or raise InvalidInputError."""
        trees = {name.removeprefix("trees_"): each for name, each in arrays.items() if name.startswith("trees_")}
        estimates = OperatorEstimates(len(sources)).from_arrays(arrays)
        (view,) = checked_array(arrays, "view", (1,)).tolist()
        if view not in range(len(_VIEWS)):
            raise InvalidInputError(f"view must be one of {list(range(len(_VIEWS)))}, got {view:g}.")
        return cls(estimates, OperatorTrees().from_arrays(trees, N_SIZES), sources, _VIEWS[int(view)])

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays, without those of the other devices."""
        of_trees = {f"trees_{name}": array for name, array in self.trees.to_arrays().items()}
        return {**self.estimates.to_arrays(), **of_trees, "view": np.array([float(_VIEWS.index(self.view))])}

    def of_ops(self, ops: Sequence[Op]) -> Vector:
        """Return the predicted costs of L operators, shape (L,)."""
        return self.of_seen(SeenOperators.of(ops, self.sources))

    def sums(self, batch: NetworkBatch) -> Vector:
        """Return the predicted costs of n networks, shape (n,)."""
        costs = self.of_ops(batch.distinct(self.view))
        return batch.sums(np.rint(costs * _FINE) / _FINE, self.view)

    def of_nodes(self, graph: Graph) -> Vector:
        """Return the predicted cost of each of n nodes, shape (n,): fused nodes have theirs at the first of them."""
        run = traced(graph, self.view)
        costs = np.zeros(len(graph))
        np.add.at(costs, run.serves, self.of_ops(run.ops))
        return costs

    def of_seen(self, seen: SeenOperators) -> Vector:
        """Return the predicted costs of L operators, beside those of :attr:`sources`, shape (L,)."""
        return self.trees.predict(seen.sizes, self.estimates.predict(seen))


def with_sums(features: pd.DataFrame, sums: Vector, least: float) -> pd.DataFrame:
    """Return columns with that of the operators' costs after them; networks whose operators cost 0 have the least."""
    positive = np.where(sums > 0, sums, least)
    return pd.concat([features, pd.DataFrame({OPERATORS.name: positive}, index=features.index)], axis=1)


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
    check_shares(checked, costs, batch)
    return None if all(each is None for each in checked) else checked


def graph_at(batch: NetworkBatch, place: int) -> Graph:
    """Return one network of a batch as a graph."""
    if isinstance(batch, ArchBatch):
        return batch.take([place]).graphs().graphs[0]
    assert isinstance(batch, GraphBatch)
    return batch.graphs[place]


def _view_of(batch: NetworkBatch, costs: Vector, seed: int) -> View:
    """Return the view in which physical quantities of operators explain some of the costs best."""
    rows = np.random.default_rng(seed).permutation(len(costs))[:_TO_CHOOSE]
    evidence = []
    for view in _VIEWS:
        counts = batch.sparse_counts(view)[rows]
        used = np.unique(counts.indices)
        ops = batch.distinct(view)
        seen = SeenOperators.of([ops[place] for place in used.tolist()])
        if not seen.quantities.any():
            return _VIEWS[0]
        fitted = OperatorEstimates().fit(seen, counts[:, used], costs[rows])
        evidence.append(PhysicsPrior().log_odds_of(view) + fitted.regressions_[()].log_evidence_)
    return _VIEWS[int(np.argmax(evidence))]


def _parts(batch: NetworkBatch, ops: tuple[Op, ...], costs: Vector, times: Profiles) -> csr_array:
    """Return the part of each network's cost that each distinct fused operator takes by its profile, (n, L)."""
    from scipy.sparse import csr_array

    place_of = {op: place for place, op in enumerate(ops)}
    rows, columns, values = list[int](), list[int](), list[float]()
    profiled = [(row, each) for row, each in enumerate(times) if each is not None]
    runs = traced_together([graph_at(batch, row) for row, _ in profiled], "fused")
    for (row, each), run in zip(profiled, runs, strict=True):
        at = np.zeros(len(run.became))
        np.add.at(at, run.became[run.became >= 0], np.asarray(each, np.float64)[run.became >= 0])
        if not at.any():  # all of its time is at nodes that an inference engine does not run
            continue
        at *= costs[row] / at.sum()
        for op, ms in zip(run.ops, at[run.serves].tolist(), strict=True):
            rows.append(row)
            columns.append(place_of[op])
            values.append(ms)
    return csr_array((values, (rows, columns)), shape=(len(costs), len(ops)))
