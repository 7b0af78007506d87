"""How near predictions, split among operators, come to profiles: of families of networks that were not measured."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure
from benchmarks.zoo import SEEDS, Split, families_left_out
from hwnas_surrogate import Surrogate
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.graphs import Graph, GraphBatch
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.models import OperatorStack
from hwnas_surrogate.trainers import ExtrapolationWarning, operators_of

TARGETS = ("genoa-onnxruntime-1t/latency", "genoa-openvino-1t/latency")
_LEAST = 0.002
"""Intervals are those of operators with this part of the cost, at least."""

Vector = npt.NDArray[np.float64]


def run() -> Iterator[Figure]:
    """Yield the figures."""
    table = load_table("zoo")
    assert isinstance(table, CostTable)
    for target in TARGETS:
        tasks = [
            (target, split, number)
            for seed in SEEDS
            for number, split in enumerate(families_left_out(np.array(table.groups["family"]), seed))
        ]
        folds = in_parallel(_fold, tasks, shared=(table,))
        every = np.concatenate(folds)
        for place, how in enumerate(("layer physics alone", "learned costs too")):
            errors, inside = every[:, place, 0], every[:, place, 1]
            medians = [np.median(fold[:, place, 0]) for fold in folds]
            yield Figure(
                f"{target}, split by {how}, whole families left out, {len(every)} networks: median part of the cost at "
                "another operator; quartiles; operators in their 90 % intervals",
                f"{np.median(errors):.1%}, sd {100 * np.std(medians, ddof=1):.1f} over folds; "
                f"{np.quantile(errors, 0.25):.1%} to {np.quantile(errors, 0.75):.1%}; {inside.mean():.0%}",
            )


def _fold(table: CostTable, target: str, split: Split, seed: int) -> Vector:
    """Fit with profiles on some rows; return the errors and the coverage of the splits of others, (networks, 2, 2)."""
    warnings.simplefilter("ignore", ExtrapolationWarning)
    train, test = split
    column = list(map(str, table.targets)).index(target)
    profiles, costs = table.operators[table.targets[column]], table.costs[:, column]
    assert isinstance(table.batch, GraphBatch)
    fitted = Surrogate(None, random_state=seed).fit(
        table.batch.take(train), costs[train], operators=table.profiles(table.targets[column], train)
    )
    assert isinstance(fitted.model_, OperatorStack)
    by_physics = copy.deepcopy(fitted)
    by_physics.model_.operators_weight_ = 0.0
    found = []
    for row in test.tolist():
        times = profiles[row]
        if times is not None:
            graph = table.batch.graphs[row]
            found.append([_error(surrogate, graph, times) for surrogate in (by_physics, fitted)])
    return np.array(found)


def _error(surrogate: Surrogate, graph: Graph, times: Vector) -> tuple[float, float]:
    """Return the part of the cost at another operator than in the profile, and the part of operators in intervals."""
    explanation = surrogate.explain(graph)
    frame, row = explanation.frame, operators_of(graph, explanation.view).row
    true = np.bincount(row, times / times.sum(), len(frame))
    cost, seen = true * explanation.total, true >= _LEAST
    inside = (frame["low"].to_numpy() <= cost) & (cost <= frame["high"].to_numpy())
    return float(np.abs(frame["share"].to_numpy() / 100 - true).sum() / 2), float(inside[seen].mean())
