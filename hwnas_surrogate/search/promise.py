"""Which networks to measure next: those that promise the largest gain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.search.pareto import nondominated
from hwnas_surrogate.search.picking import hypervolume, scaled

__all__ = ["most_promising"]

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_LEVELS = (0.0, 0.5, 0.9)
"""Probabilities above which networks that no other dominates are compared: an unlikely one hides no likely one."""


def most_promising(losses: Vector, probability: Vector, known: Vector, k: int) -> tuple[Rows, float]:
    """Choose networks to measure, one after the other, each with the largest expected gain given those before it.

    With one objective, the gain is the expected improvement of the best network under constraints [1]_ of the whole
    batch: networks keep the budgets independently of each other, and the best that does counts. A batch therefore
    holds good networks that may fail and safer ones beside them. With several objectives, the gain is the hypervolume
    that a network adds to the front [2]_, times its probability.

    Parameters
    ----------
    losses : ndarray of float, shape (n, m)
        Objectives of the candidates; smaller is better.
    probability : ndarray of float, shape (n,)
        The probability that each keeps every budget.
    known : ndarray of float, shape (j, m)
        Objectives of the measured networks that keep the budgets, j >= 0.
    k : int
        Number of networks to choose.

    Returns
    -------
    rows : ndarray of int, shape (at most k,)
        The chosen candidates; fewer if no other one promises a gain.
    gain : float
        Their expected gain: relative to the range of the objective, or to the whole volume. Without a measured network
        that keeps the budgets, the first one counts as a gain of the whole range more.

    References
    ----------
    .. [1] Gardner, Kusner, Xu, Weinberger and Cunningham, "Bayesian optimization with inequality constraints", ICML
       2014.
    .. [2] Emmerich, Giannakoglou and Naujoks, "Single- and multiobjective evolutionary optimization assisted by
       Gaussian random field metamodels", IEEE TEVC 2006.

    Examples
    --------
    >>> losses, probability = np.array([[1.0], [2.0], [2.1]]), np.array([0.5, 0.6, 0.9])
    >>> most_promising(losses, probability, np.array([[3.0]]), 2)[0].tolist()
    [0, 2]
    """
    if not len(losses):
        return np.empty(0, np.intp), 0.0
    unit = scaled(np.concatenate([losses, known]))
    candidates, front = unit[: len(losses)], unit[len(losses) :]
    if losses.shape[1] == 1:
        best = front[:, 0].min() if len(front) else 2.0
        return _improving(np.maximum(best - candidates[:, 0], 0.0), probability, k)
    return _dominating(candidates, probability, front, k)


def _improving(gains: Vector, probability: Vector, k: int) -> tuple[Rows, float]:
    """Choose the rows that maximise the expected maximum of the gains of those that keep the budgets."""
    order = np.argsort(-gains, kind="stable")
    gain, kept = gains[order], probability[order]
    chosen = np.zeros(len(order), bool)
    picked: list[int] = []
    total = 0.0
    for _ in range(k):
        # The best so far counts where all better chosen ones fail; a new one replaces what lies below it.
        fails = np.cumprod(np.where(chosen, 1.0 - kept, 1.0))
        before = np.concatenate([[1.0], fails[:-1]])
        parts = np.where(chosen, gain * kept * before, 0.0)
        after = parts.sum() - np.cumsum(parts)
        added = np.where(chosen, 0.0, kept * (before * gain - after))
        row = int(np.argmax(added))
        if added[row] <= 0:
            break
        chosen[row] = True
        picked.append(row)
        total += float(added[row])
    return order[picked], total


def _dominating(losses: Vector, probability: Vector, front: Vector, k: int) -> tuple[Rows, float]:
    """Choose the rows that add the most volume to a front, weighted by their probabilities."""
    smaller = [False] * losses.shape[1]
    left: set[int] = set()
    for level in _LEVELS:
        rows = np.flatnonzero(probability > level)
        left.update(rows[nondominated(losses[rows], smaller)].tolist())
    taken, volume = front, hypervolume(front)
    picked: list[int] = []
    total = 0.0
    for _ in range(min(k, len(left))):
        added = {
            row: (hypervolume(np.vstack([taken, losses[row]])) - volume) * probability[row] for row in sorted(left)
        }
        row = max(added, key=added.__getitem__)
        if added[row] <= 0:
            break
        total += float(added[row])
        left.remove(row)
        picked.append(row)
        taken = np.vstack([taken, losses[row]])
        volume = hypervolume(taken)
    return np.array(picked, np.intp), total
