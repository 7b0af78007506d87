"""Which of the best networks to show: the best by one objective, or some that spread over a front; and alternatives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.ranks import tied_ranks
from hwnas_surrogate.search.goals import Evaluated, Goals
from hwnas_surrogate.search.pareto import nondominated
from hwnas_surrogate.spaces import ArchBatch

__all__ = ["alternatives", "hypervolume", "pick", "scaled"]

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

ABOUT = 0.1
"""A network is about as good as another if no objective is worse by more than this part of the distance from the
median network to the best."""


def scaled(losses: Vector, among: Vector | None = None) -> Vector:
    """Scale losses, (n, k), so that 0 is the smallest and 1 the largest of each column ``among`` others (or these)."""
    given = losses if among is None else among
    if not len(given):
        return losses
    # The difference of two halves is finite, and halving changes no digit.
    low, high = given.min(axis=0) / 2, given.max(axis=0) / 2
    return np.asarray((losses / 2 - low) / np.where(high > low, high - low, 1.0))


def hypervolume(losses: Vector, reference: float = 1.1) -> float:
    """Return the volume that scaled objectives dominate, up to a reference point, as a part of the whole: 0 to 1."""
    from moocore import hypervolume as volume  # its C library is slow to load

    inside = losses[(losses < reference).all(axis=1)]
    whole = reference ** losses.shape[1]
    return float(volume(inside, ref=[reference] * losses.shape[1])) / whole if len(inside) else 0.0


def pick(goals: Goals, found: Evaluated, n: int) -> tuple[Rows, Rows]:
    """Return the rows of the n best networks, and those of the front.

    With one objective, the n best are those with the best values; of ties the one that keeps the budgets best. With
    several, they spread over the front: one after the other, the network that adds the largest hypervolume.
    """
    rows = found.choosable
    losses = goals.losses(found.values[rows])
    best = nondominated(losses, [False] * losses.shape[1])
    if len(goals.objectives) > 1:
        return _spread(rows[best], scaled(losses[best]), n), rows[best]
    keys = [tied_ranks(losses[:, 0])]
    if goals.budgets:
        columns = [goals.quantities.index(budget.quantity) for budget in goals.budgets]
        values = found.values[rows][:, columns].T
        over = np.max([budget.over(own) for budget, own in zip(goals.budgets, values, strict=True)], axis=0)
        keys.insert(0, tied_ranks(over))
    return rows[np.lexsort(keys)[:n]], rows[best]


def _spread(front: Rows, losses: Vector, n: int) -> Rows:
    """Return n rows of a front that dominate the largest volume, in the order of the first objective."""
    _, first = np.unique(losses, axis=0, return_index=True)  # networks that tie in every objective stand for one point
    # The volume that a network adds never grows as others are taken: only those that added most before are tried again.
    added, taken, reached = np.full(len(first), np.inf), list[int](), 0.0
    while len(taken) < min(n, len(first)):
        gained = np.full(len(first), -np.inf)
        for place in np.argsort(-added, kind="stable"):
            if added[place] < gained.max():
                break
            gained[place] = added[place] = hypervolume(losses[[*taken, first[place]]]) - reached
        place = int(np.argmax(gained))
        reached += gained[place]
        added[place] = -np.inf
        taken.append(int(first[place]))
    return front[sorted(taken, key=lambda row: losses[row, 0])]


def alternatives(goals: Goals, found: Evaluated, picks: Rows) -> list[int | None]:
    """Return for each pick the network that is about as good and differs most from it; None if there is none.

    It is none of the picks.

    Architectures differ by the positions with another op; graphs by the numbers of operators of each kind. Of equally
    different ones, the best counts.
    """
    rows = found.choosable
    losses = goals.losses(found.values[rows])
    about = ABOUT * np.median(losses, axis=0) - ABOUT * losses.min(axis=0)
    features = _features(found.batch, rows)
    others = ~np.isin(rows, picks)
    chosen: list[int | None] = []
    for row in picks.tolist():
        (own,) = np.flatnonzero(rows == row)
        close = np.flatnonzero((losses <= losses[own] + about).all(axis=1) & others)
        apart = _distances(features[close], features[own], isinstance(found.batch, ArchBatch))
        order = np.lexsort((scaled(losses[close]).sum(axis=1), -apart))
        differs = len(order) > 0 and apart[order[0]] > 0
        chosen.append(int(rows[close[order[0]]]) if differs else None)
    return chosen


def _features(batch: NetworkBatch, rows: Rows) -> Vector:
    """Return what distances between networks are made of: (n, positions) of architectures, (n, kinds) of graphs."""
    if isinstance(batch, ArchBatch):
        return np.asarray(batch.archs[rows], np.float64)
    counts = batch.take(rows).count_kinds("live")
    return np.column_stack(list(counts.values()))


def _distances(features: Vector, own: Vector, are_archs: bool) -> Vector:
    """Return the distance of networks from one, from 0 to 1: (n, f), (f,) -> (n,)."""
    if are_archs:
        return np.asarray((features != own).mean(axis=1))
    return np.asarray(np.abs(features - own).sum(axis=1) / (features + own).sum(axis=1))
