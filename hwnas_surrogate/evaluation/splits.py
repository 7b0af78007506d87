"""What is held out: architectures at random, or what a surrogate has never seen anything like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.spaces import NASBench201

__all__ = ["SPLITS", "held_out"]

Rows: TypeAlias = npt.NDArray[np.intp]


def held_out(
    table: CostTable, column: int, split: str, n_train: int | None, n_test: int | None, seed: int
) -> tuple[Rows, Rows]:
    """Return training and test rows of one target under a split other than the random one.

    Parameters
    ----------
    table : CostTable
        The measured costs.
    column : int
        The target's number. Rows without a cost are left out.
    split : str
        One of :data:`SPLITS`.
    n_train, n_test : int or None
        At most so many rows of either side, drawn at random; all there are if None (of groups, a fifth is tested).
    seed : int
        Seed of the split.

    Returns
    -------
    train, test : ndarray of int

    Raises
    ------
    InvalidInputError
        If either side is empty; the message says why.
    """
    rng = np.random.default_rng(seed)
    costs = table.costs[:, column]
    known = rng.permutation(np.flatnonzero(~np.isnan(costs)))
    wanted = max(1, len(known) // 5) if n_test is None else n_test
    test = SPLITS[split](table, costs, known, wanted, rng)
    picked, others = known[test], known[~test]
    if len(others) < 2 or not len(picked):
        raise InvalidInputError(
            f"{table.targets[column]}: the {split} split leaves {len(others)} architectures for training and "
            f"{len(picked)} for testing; at least 2 and 1 are needed."
        )
    return others[:n_train], picked[:wanted]


def _whole_groups(groups: npt.NDArray[np.intp], n_test: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Hold out random whole groups until there are about ``n_test`` rows, one group at least."""
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    taken = np.cumsum(sizes[order]) <= n_test
    taken[0] = True
    return np.isin(groups, order[taken])


def _isomorphism(
    table: CostTable, costs: npt.NDArray[np.float64], rows: Rows, n_test: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    space, archs = table.space, table.archs[rows]
    forms = space.canonical(archs, zeros="drop") if isinstance(space, NASBench201) else space.canonical(archs)
    return _whole_groups(np.unique(forms, return_inverse=True)[1], n_test, rng)


def _config(
    table: CostTable, costs: npt.NDArray[np.float64], rows: Rows, n_test: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    return _whole_groups(np.unique(table.config_number[rows], return_inverse=True)[1], n_test, rng)


def _op(
    table: CostTable, costs: npt.NDArray[np.float64], rows: Rows, n_test: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    has: npt.NDArray[np.bool_] = (table.archs[rows] == rng.integers(len(table.space.ops))).any(axis=1)
    return has


def _cost(
    table: CostTable, costs: npt.NDArray[np.float64], rows: Rows, n_test: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    ranks = np.argsort(np.argsort(costs[rows], kind="stable"))
    dearest: npt.NDArray[np.bool_] = ranks >= len(rows) - n_test
    return dearest


Split: TypeAlias = Callable[[CostTable, npt.NDArray[np.float64], Rows, int, np.random.Generator], npt.NDArray[np.bool_]]

SPLITS: Mapping[str, Split] = MappingProxyType(
    {"isomorphism": _isomorphism, "op": _op, "cost": _cost, "config": _config}
)
"""The splits beside ``random``.

``isomorphism``: no architecture is tested of which an equivalent one was trained on (the canonical form that drops
zeros as well). ``op``: the architectures that hold one op, drawn by the seed, are tested on those without it. ``cost``:
the dearest are tested. ``config``: whole network configs are held out.
"""
