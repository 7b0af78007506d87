"""Costs of architectures as sums and products over positions, whose expectations are cheap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.trainers.differentiable.probes import Archs, Costs, Vector

__all__ = ["factors", "is_same", "main_effects", "rough_train", "train", "train_values"]

SAME = 1e-9
"""Costs are equal if they differ by less than this fraction of them."""
_SMALL = 0.1
"""Costs below this fraction of the median are compared like that fraction: exact sums are rounded to eleven digits."""
_LEAST = 1e-13
"""Singular values and pivots below this fraction of the largest are rounding errors."""
_PIVOT = 1e-11
"""Largest residual of a matrix that counts as decomposed, relative to its largest entry."""
_ROUGH_PIVOT = 1e-3
"""The same where an approximation is enough: a thousandth of the largest of costs that span orders of magnitude."""
_MOST_CANCELLED = 5.0
"""Terms of a product that are larger than the cost by more than this factor lose the sixth digit in float32."""
_MOST_RANK = 10
"""Trains of a higher rank take longer than 10 ms for 1,000 architectures, and are no better than main effects."""
_ROUGH_RANK = 5
"""The same for an approximation: with 10, errors were hardly smaller."""
_SWEEPS = 4

Suffixes = list[npt.NDArray[np.int8]]


def is_same(costs: Vector, others: Vector) -> bool:
    """Return whether n costs are equal up to rounding errors, (n,) and (n,)."""
    sizes = np.abs(costs)
    return bool((np.abs(costs - others) <= SAME * np.maximum(sizes, _SMALL * np.median(sizes))).all())


def main_effects(archs: Archs, costs: Vector, n_ops: npt.NDArray[np.intp]) -> Vector:
    """Fit a sum over positions by least squares, and return what each op adds at each position.

    Parameters
    ----------
    archs : ndarray of int8, shape (n, positions)
    costs : ndarray of float64, shape (n,)
    n_ops : ndarray of int, shape (positions,)

    Returns
    -------
    ndarray of float64, shape (positions, ops)
        A cost is the sum of one number of each row. Ops that a position lacks have 0.

    Examples
    --------
    >>> archs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.int8)
    >>> effects = main_effects(archs, np.array([1.0, 2.0, 4.0, 5.0]), np.array([2, 2]))
    >>> (effects[0][archs[:, 0]] + effects[1][archs[:, 1]]).round(9).tolist()
    [1.0, 2.0, 4.0, 5.0]
    """
    n_positions, most = len(n_ops), int(n_ops.max())
    which = archs.astype(np.intp) + most * np.arange(n_positions)
    design = np.zeros((len(archs), n_positions * most))
    design[np.arange(len(archs))[:, None], which] = 1.0
    mean = float(costs.mean())
    solution = np.linalg.lstsq(design, costs - mean, rcond=1e-10)[0].reshape(n_positions, most)
    held = np.arange(most) < n_ops[:, None]
    return np.asarray(np.where(held, solution + mean / n_positions, 0.0))


def factors(table: Vector, n_ops: npt.NDArray[np.intp]) -> tuple[Vector, Vector, int]:
    """Split the costs of all architectures of a space between the first and the last positions.

    Parameters
    ----------
    table : ndarray of float64, shape (product of ops,)
        In lexicographic order: the last position varies fastest.
    n_ops : ndarray of int, shape (positions,)

    Returns
    -------
    left : ndarray of float64, shape (a, r)
        One row for each choice at the first positions.
    right : ndarray of float64, shape (b, r)
        One row for each choice at the other positions. ``left @ right.T`` is the table.
    cut : int
        The number of first positions.

    Examples
    --------
    >>> left, right, cut = factors(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([2, 3]))
    >>> (left @ right.T).round(9).tolist(), cut
    ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 1)
    """
    sizes = [(math.prod(n_ops[:cut]) + math.prod(n_ops[cut:]), cut) for cut in range(1, len(n_ops))]
    cut = min(sizes)[1] if sizes else 1
    matrix = table.reshape(math.prod(map(int, n_ops[:cut])), -1)
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    rank = max(int((singular > _LEAST * singular[0]).sum()), 1)
    if rank * sum(matrix.shape) < math.prod(matrix.shape):
        short = left[:, :rank] * singular[:rank], right[:rank].T.copy()
        if _is_sound(*short, matrix):
            return *short, cut
    if len(matrix) < len(matrix.T):
        return np.eye(len(matrix)), matrix.T.copy(), cut
    return matrix.copy(), np.eye(len(matrix.T)), cut


def _is_sound(left: Vector, right: Vector, matrix: Vector) -> bool:
    """Return whether a product gives every entry in float32, too: of costs of many sizes, large terms cancel out."""
    sizes = np.abs(matrix)
    off, terms = np.abs(left @ right.T - matrix), np.abs(left) @ np.abs(right).T
    return bool((off <= SAME * sizes).all() and (terms <= _MOST_CANCELLED * sizes).all())


def train(costs: Costs, checked: Archs, n_ops: npt.NDArray[np.intp]) -> list[Vector] | None:
    """Decompose a cost as a tensor train, a product of one small matrix for each position [1]_, or return None.

    The matrix of a position depends on its op only. A sum over positions has matrices of 2 x 2, a product numbers. A
    cost that also depends on the next or the next few positions has slightly larger ones. They are found by cross
    interpolation: few architectures are predicted, and their choice is refined from position to position [2]_.

    Parameters
    ----------
    costs : callable
    checked : ndarray of int8, shape (n, positions)
        Architectures at which the train must equal the cost.
    n_ops : ndarray of int, shape (positions,)

    Returns
    -------
    list of ndarray or None
        One array of shape (r, ops, s) for each position; None if the cost is no train of small matrices.

    References
    ----------
    .. [1] Oseledets, "Tensor-train decomposition", SIAM Journal on Scientific Computing 2011.
    .. [2] Nunez Fernandez et al., "Learning Feynman diagrams with tensor trains", Physical Review X 2022.

    Examples
    --------
    >>> archs = np.array([[0, 0, 0], [1, 2, 1], [1, 1, 0]], np.int8)
    >>> cores = train(lambda archs: 1.0 + archs[:, 0] * archs[:, 1] + archs[:, 2], archs, np.array([2, 3, 2]))
    >>> [core.shape for core in cores]
    [(1, 2, 2), (2, 3, 2), (2, 2, 1)]
    """
    expected = costs(checked)
    if not np.isfinite(expected).all() or not expected.any():
        return None
    start = checked[int(np.abs(expected).argmax())]
    prefixes: Suffixes = [start[None, :place] for place in range(len(n_ops) + 1)]
    suffixes: Suffixes = [start[None, place:] for place in range(len(n_ops) + 1)]
    for _ in range(_SWEEPS):
        for place in (*range(1, len(n_ops)), *range(len(n_ops) - 1, 0, -1)):
            if not _refine(costs, prefixes, suffixes, place, n_ops, _PIVOT, _MOST_RANK):
                return None
        cores = _cores(costs, prefixes, suffixes, n_ops)
        found = train_values(cores, checked)
        if is_same(expected, found):
            return cores
        worst = checked[int(np.abs(expected - found).argmax())]
        for place in range(1, len(n_ops)):
            prefixes[place] = np.concatenate([prefixes[place], worst[None, :place]])
            suffixes[place] = np.concatenate([suffixes[place], worst[None, place:]])
    return None


def rough_train(costs: Costs, start: Archs, n_ops: npt.NDArray[np.intp]) -> list[Vector]:
    """Approximate a cost by a tensor train, for costs that are nearly products over positions; see :func:`train`.

    Parameters
    ----------
    costs : callable
    start : ndarray of int8, shape (positions,)
        An architecture whose cost is not 0, preferably a middling one.
    n_ops : ndarray of int, shape (positions,)

    Returns
    -------
    list of ndarray
        One array of shape (r, ops, s) for each position.
    """
    prefixes: Suffixes = [start[None, :place] for place in range(len(n_ops) + 1)]
    suffixes: Suffixes = [start[None, place:] for place in range(len(n_ops) + 1)]
    for place in (*range(1, len(n_ops)), *range(len(n_ops) - 1, 0, -1)):
        _refine(costs, prefixes, suffixes, place, n_ops, _ROUGH_PIVOT, _ROUGH_RANK)
    return _cores(costs, prefixes, suffixes, n_ops)


def _refine(
    costs: Costs,
    prefixes: Suffixes,
    suffixes: Suffixes,
    place: int,
    n_ops: npt.NDArray[np.intp],
    least: float,
    most: int,
) -> bool:
    """Choose the prefixes and suffixes that meet at a place; return whether few of them suffice."""
    before, after = prefixes[place - 1], suffixes[place + 1]
    rows = _product(before, np.arange(n_ops[place - 1])[:, None])
    columns = _product(np.arange(n_ops[place])[:, None], after)
    matrix = costs(_product(rows, columns)).reshape(len(rows), len(columns))
    which, others, enough = _pivots(matrix, least, most)
    prefixes[place], suffixes[place] = rows[which], columns[others]
    return enough


def _pivots(matrix: Vector, least: float, most: int) -> tuple[list[int], list[int], bool]:
    """Return rows and columns whose crossings determine a matrix, and whether they do: there are few at most."""
    residual, rows, columns = matrix.copy(), list[int](), list[int]()
    smallest = least * float(np.abs(matrix).max())
    while True:
        row, column = divmod(int(np.abs(residual).argmax()), residual.shape[1])
        enough = bool(rows) and bool(abs(residual[row, column]) <= smallest)
        if enough or len(rows) == most:
            return rows, columns, enough
        rows.append(row)
        columns.append(column)
        if not residual[row, column]:  # a matrix of zeros: any crossing determines it
            return rows, columns, True
        residual = residual - np.outer(residual[:, column], residual[row]) / residual[row, column]


def _cores(costs: Costs, prefixes: Suffixes, suffixes: Suffixes, n_ops: npt.NDArray[np.intp]) -> list[Vector]:
    cores = []
    for place, n in enumerate(n_ops):
        before, after = prefixes[place], suffixes[place + 1]
        rows = _product(before, np.arange(n)[:, None])
        core = costs(_product(rows, after)).reshape(len(rows), len(after))
        if place + 1 < len(n_ops):
            crossings = costs(_product(prefixes[place + 1], after)).reshape(len(after), len(after))
            core = np.asarray(np.linalg.lstsq(crossings.T, core.T, rcond=_LEAST)[0].T, np.float64)
        cores.append(core.reshape(len(before), n, -1))
    return cores


def train_values(cores: Sequence[Vector], archs: Archs) -> Vector:
    """Return the values of a train, (n, positions) -> (n,)."""
    state = np.ones((len(archs), 1))
    for core, ops in zip(cores, archs.T, strict=True):
        state = np.einsum("nr,rns->ns", state, core[:, ops])
    return np.asarray(state[:, 0])


def _product(first: npt.NDArray[np.integer], second: npt.NDArray[np.integer]) -> Archs:
    """Return each row of the first array followed by each of the second, (a, p) and (b, q) -> (a b, p + q)."""
    rows, columns = np.divmod(np.arange(len(first) * len(second)), len(second))
    return np.concatenate([first[rows], second[columns]], axis=1).astype(np.int8)
