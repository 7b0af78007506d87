"""Splits into training and test rows: random ones, and ones with covariate shift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError, TooFewCostsError, unknown
from hwnas_surrogate.spaces import NASBench201, as_generator

__all__ = ["SPLITS", "Rows", "groups_of", "held_out", "split_rows", "without_group"]

Rows: TypeAlias = npt.NDArray[np.intp]


def split_rows(n: int, n_train: int | None, n_test: int | None, seed: int) -> tuple[Rows, Rows]:
    """Split n rows at random into training and test rows that share none.

    Parameters
    ----------
    n : int
        Number of rows.
    n_train, n_test : int or None
        Numbers of rows; if None, a fifth of the rows for testing, and all others for training.
    seed : int
        Seed of the split. The same seed with a larger ``n_train`` keeps the test rows.

    Returns
    -------
    train, test : ndarray of int

    Raises
    ------
    InvalidInputError
        If there are not enough rows, or a number is no integer.
    """
    _check_sizes(n_train, n_test)
    rng = as_generator(seed)
    fifth = n // 5 if n_train is None else min(n // 5, n - n_train)
    tested = max(1, fifth) if n_test is None else n_test
    trained = max(2, n - tested) if n_train is None else n_train
    if tested < 1 or trained < 2 or trained + tested > n:
        raise (TooFewCostsError if n < 3 else InvalidInputError)(  # three can be split, into other numbers
            f"{n} architectures can't be split into {trained} for training and {tested} for testing: at least 2 and 1 "
            "are needed, and no architecture may be on both sides."
        )
    order = rng.permutation(n)
    return order[tested : tested + trained], order[:tested]


def _check_sizes(n_train: int | None, n_test: int | None) -> None:
    for what, value in (("n_train", n_train), ("n_test", n_test)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
            raise InvalidInputError(f"{what} must be an integer or None, got {value!r}.")


def held_out(
    table: CostTable, column: int, split: str, n_train: int | None, n_test: int | None, seed: int
) -> tuple[Rows, Rows]:
    """Return training and test rows of one target, those without a cost left out.

    Parameters
    ----------
    table : CostTable
        The measured costs.
    column : int
        The target's number.
    split : str
        ``random`` (:func:`split_rows`), or one of :data:`SPLITS`.
    n_train, n_test : int or None
        Numbers of rows. For other splits than the random one, these are the largest numbers, and rows are sampled. If
        None, all rows; a fifth for testing where groups are held out.
    seed : int
        Seed of the split.

    Returns
    -------
    train, test : ndarray of int

    Raises
    ------
    InvalidInputError
        If there is no such split, or either side is too small; the message names the target.
    """
    if split != "random" and split not in SPLITS:
        raise unknown(InvalidInputError, "split", split, ["random", *SPLITS])
    costs = table.targets[column].kind.to_cost(table.costs[:, column])
    known = np.flatnonzero(~np.isnan(costs))
    if split == "random":
        try:
            train, test = split_rows(len(known), n_train, n_test, seed)
        except InvalidInputError as error:
            raise type(error)(f"{table.targets[column]}: {error}") from None
        return known[train], known[test]
    _check_sizes(n_train, n_test)
    rng = as_generator(seed)
    known = rng.permutation(known)
    wanted = max(1, len(known) // 5) if n_test is None else n_test
    chosen = SPLITS[split](table, costs, known, wanted, rng)
    picked, others = known[chosen], known[~chosen]
    if len(others) < 2 or not len(picked):
        raise InvalidInputError(
            f"{table.targets[column]}: the {split} split leaves {len(others)} architectures for training and "
            f"{len(picked)} for testing; at least 2 and 1 are needed."
        )
    return others[:n_train], picked[:wanted]


def without_group(
    table: CostTable, column: int, by: str, group: str, n_train: int | None, n_test: int | None, seed: int
) -> tuple[Rows, Rows]:
    """Return training rows of the other groups and test rows of one, those without a cost or a label left out.

    Parameters
    ----------
    table : CostTable
        The measured costs.
    column : int
        The target's number.
    by, group : str
        The kind of group, and the label of the networks that are held out.
    n_train, n_test : int or None
        Numbers of rows, at most, drawn at random; all if None.
    seed : int
        Seed of the draw. The same seed with a larger ``n_train`` keeps the training rows.

    Returns
    -------
    train, test : ndarray of int

    Raises
    ------
    InvalidInputError
        If there is no such kind of group, or either side is too small; the message names the target.
    """
    _check_sizes(n_train, n_test)
    labels = np.array(table.labels(by), object)
    known = as_generator(seed).permutation(np.flatnonzero(~np.isnan(table.costs[:, column]) & (labels != "")))
    is_group = labels[known] == group
    train, test = known[~is_group][:n_train], known[is_group][:n_test]
    if len(train) < 2 or not len(test):
        raise InvalidInputError(
            f"{table.targets[column]}: without the {by} {group!r} there are {len(train)} networks for training, and "
            f"{len(test)} of it for testing; at least 2 and 1 are needed."
        )
    return train, test


def groups_of(table: CostTable, column: int, by: str) -> list[str]:
    """Return the labels of a kind of group that networks with a cost of a target have, in order of appearance.

    Networks without a label are in no group.

    Raises
    ------
    InvalidInputError
        If there is no such kind of group, or no such label.
    """
    known = ~np.isnan(table.costs[:, column])
    labels = [label for label, has_cost in zip(table.labels(by), known.tolist(), strict=True) if has_cost and label]
    if not labels:
        raise InvalidInputError(f"{table.targets[column]}: no network with a cost has a label as {by}.")
    return list(dict.fromkeys(labels))


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
    space, archs = table.space_for("the split isomorphism"), table.archs[rows]
    forms = space.canonical(archs, zeros="drop") if isinstance(space, NASBench201) else space.canonical(archs)
    return _whole_groups(np.unique(forms, return_inverse=True)[1], n_test, rng)


def _config(
    table: CostTable, costs: npt.NDArray[np.float64], rows: Rows, n_test: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    return _whole_groups(np.unique(table.config_number[rows], return_inverse=True)[1], n_test, rng)


def _op(
    table: CostTable, costs: npt.NDArray[np.float64], rows: Rows, n_test: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    space, archs = table.space_for("the split op"), table.archs[rows]
    position: slice | int = slice(None) if space.ops else int(rng.integers(space.n_positions))
    op = rng.integers(len(space.ops) if isinstance(position, slice) else space.n_ops_at[position])
    has: npt.NDArray[np.bool_] = (archs[:, position].reshape(len(archs), -1) == op).any(axis=1)
    return has


def _cost(
    table: CostTable, costs: npt.NDArray[np.float64], rows: Rows, n_test: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    ranks = np.argsort(np.argsort(costs[rows], kind="stable"))
    most_expensive: npt.NDArray[np.bool_] = ranks >= len(rows) - n_test
    return most_expensive


Split: TypeAlias = Callable[[CostTable, npt.NDArray[np.float64], Rows, int, np.random.Generator], npt.NDArray[np.bool_]]

SPLITS: Mapping[str, Split] = MappingProxyType(
    {"isomorphism": _isomorphism, "op": _op, "cost": _cost, "config": _config}
)
"""The splits beside ``random``.

``isomorphism``: no test architecture has an equivalent training architecture (by the canonical form without zeros).
``op``: the test rows are all architectures with one op, drawn at random (one choice at one position, where positions
have different choices); the training rows have none with it. ``cost``:
the test rows are the most expensive. ``config``: whole network configs are held out.
"""
