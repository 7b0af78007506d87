"""Random architectures by number: any range of an endless sequence can be drawn alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.random_states import as_seed

__all__ = ["drawn"]

_MOST_CHOICES = 1 << 35
"""Largest number of combinations that a word of 64 bits chooses among: none is more probable by more than 2^-29."""
_WORDS = 4
"""Words that Philox gives for each value of its counter."""
_LAST = 1 << 62


def drawn(n_ops: npt.NDArray[np.intp], start: int, stop: int, seed: int) -> npt.NDArray[np.int8]:
    """Return some architectures of the endless sequence of a seed.

    A counter-based generator [1]_ computes each architecture from the seed and its number alone. Each is drawn
    uniformly, independently of the others, so that repeats occur as by chance.

    Parameters
    ----------
    n_ops : ndarray of int, shape (positions,)
        The number of ops at each position.
    start, stop : int
        The first number, and the one after the last.
    seed : int

    Returns
    -------
    ndarray of int8, shape (stop - start, positions)

    Raises
    ------
    InvalidInputError
        If the numbers are no range, or the seed is negative.

    References
    ----------
    .. [1] Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Examples
    --------
    >>> ops = np.array([9] * 22)
    >>> bool((drawn(ops, 5, 8, 0) == drawn(ops, 0, 10, 0)[5:8]).all())
    True
    """
    if not 0 <= start <= stop <= _LAST:
        raise InvalidInputError(
            f"a range is from a number of at least 0 to one that is no smaller, got {start}:{stop}."
        )
    groups = _groups(n_ops)
    n, first = stop - start, start * len(groups)
    generator = np.random.Philox(as_seed(seed))
    generator.advance(first // _WORDS)
    words = generator.random_raw(first % _WORDS + n * len(groups))[first % _WORDS :].reshape(n, len(groups))
    archs = np.empty((len(n_ops), n), np.int8)  # by position, whose numbers are contiguous
    for word, group in zip(words.T, groups, strict=True):
        left = word % np.uint64(np.prod([int(n_ops[position]) for position in group]))
        for position in group:
            left, ops = np.divmod(left, np.uint64(n_ops[position]))
            archs[position] = ops
    return np.ascontiguousarray(archs.T)


def _groups(n_ops: npt.NDArray[np.intp]) -> list[list[int]]:
    """Split positions into groups that one word chooses for."""
    groups: list[list[int]] = [[]]
    choices = 1
    for position, n in enumerate(n_ops.tolist()):
        if choices * n > _MOST_CHOICES:
            groups.append([])
            choices = 1
        groups[-1].append(position)
        choices *= n
    return groups
