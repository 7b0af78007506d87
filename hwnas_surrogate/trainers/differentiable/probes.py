"""Architectures at which a decomposition is fitted and checked, and the extremes of a cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Archs", "Costs", "Vector", "extreme", "probes"]

Vector = npt.NDArray[np.float64]
Archs = npt.NDArray[np.int8]
Costs: TypeAlias = Callable[[Archs], Vector]
"""A function of architectures, int8 of shape (n, positions) -> (n,)."""

_PASSES = 64
"""Largest number of steps to an extreme: each changes one position at least."""


def probes(n_ops: npt.NDArray[np.intp], n: int, seed: int = 0) -> Archs:
    """Draw n architectures: half of them uniformly, half with two ops each, so that corners of the space occur.

    In a uniform sample of FBNet, hardly any network has more than eight blocks of a kind. A search ends in such
    corners.

    Parameters
    ----------
    n_ops : ndarray of int, shape (positions,)
        The number of ops at each position.
    n : int
    seed : int, default=0

    Returns
    -------
    ndarray of int8, shape (n, positions)
        There may be repeats.

    Examples
    --------
    >>> probes(np.array([3, 5]), 4).shape
    (4, 2)
    """
    rng = np.random.default_rng(seed)
    drawn = rng.random((n, len(n_ops)))
    corners = slice(n // 2, None)
    two = rng.random((n, 2))
    drawn[corners] = np.where(drawn[corners] < rng.random((n, 1))[corners], two[corners, :1], two[corners, 1:])
    return (drawn * n_ops).astype(np.int8)


def extreme(costs: Costs, start: Archs, n_ops: npt.NDArray[np.intp], sign: int) -> float:
    """Return the smallest (sign 1) or largest (sign -1) cost that is found by changing positions of an architecture.

    Each step moves every position to the op that is best on its own, or, if that is no better, the single best
    position. The extreme of a sum over positions is found in one step.

    Parameters
    ----------
    costs : callable
    start : ndarray of int8, shape (positions,)
    n_ops : ndarray of int, shape (positions,)
    sign : {1, -1}

    Examples
    --------
    >>> extreme(lambda archs: archs.sum(axis=1) + 1.0, np.array([2, 4], np.int8), np.array([3, 5]), 1)
    1.0
    """
    positions = np.repeat(np.arange(len(n_ops)), n_ops)
    ops = np.concatenate([np.arange(n) for n in n_ops]).astype(np.int8)
    firsts = np.cumsum(n_ops) - n_ops
    current, best = start.copy(), float(sign * costs(start[None])[0])
    for _ in range(_PASSES):
        around = np.repeat(current[None], len(ops), axis=0)
        around[np.arange(len(ops)), positions] = ops
        values = sign * costs(around)
        each = np.array(
            [ops[first + values[first : first + n].argmin()] for first, n in zip(firsts, n_ops, strict=True)]
        )
        together = float(sign * costs(each[None])[0])
        single = int(values.argmin())
        if min(together, values[single]) >= best:
            break
        current = each if together <= values[single] else around[single]
        best = min(together, float(values[single]))
    return sign * best
