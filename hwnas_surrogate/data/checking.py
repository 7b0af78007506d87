"""Checks of what a cost table is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.rows import frozen
from hwnas_surrogate.data.target import Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs.names import NAME_RULE, is_name
from hwnas_surrogate.reals import booleans, reals

__all__ = [
    "REPEATS",
    "Costs",
    "check_distinct",
    "checked_costs",
    "checked_groups",
    "checked_reasons",
    "checked_repeats",
]

Costs: TypeAlias = npt.NDArray[np.float64]

REPEATS = ("lower quartile", "median", "upper quartile", "first half", "second half")
"""Statistics of a cost's repeated runs that a table keeps."""


def check_distinct(targets: tuple[Target, ...]) -> None:
    """Raise if a target occurs twice."""
    target, n = next(iter(Counter(targets).most_common(1)), (None, 0))
    if n > 1:
        raise InvalidInputError(f"targets must differ, got {target} more than once.")


def checked_costs(costs: npt.ArrayLike, shape: tuple[int, int], targets: tuple[Target, ...]) -> Costs:
    """Return costs of the shape (n, t); raise unless each is one that its metric allows, or NaN."""
    values = np.array(reals(costs))
    if values.shape != shape:
        raise InvalidInputError(
            f"costs must have one row per network and one column per target, {shape}, got {values.shape}."
        )
    wrong = np.zeros(shape, bool)
    for column, target in enumerate(targets):
        if target.kind.are_fractions(values[:, column]):
            raise InvalidInputError(
                f"{target} is kept in %, got {np.nanmax(values[:, column]):g} at most: multiply fractions by 100."
            )
        wrong[:, column] = target.kind.is_wrong(values[:, column])
    if wrong.any():
        row, column = map(int, np.argwhere(wrong)[0])
        raise InvalidInputError(
            f"costs must be {targets[column].kind.allowed} (NaN where missing), got {values[row, column]} for "
            f"{targets[column]} in row {row} ({int(wrong.sum())} such values in all)."
        )
    return values


def checked_repeats(repeats: npt.ArrayLike, shape: tuple[int, int]) -> Costs:
    """Return statistics of repeated runs, (n, t, 5)."""
    values = np.array(reals(repeats, "repeats must be numbers"))
    if values.shape != (*shape, len(REPEATS)):
        raise InvalidInputError(f"repeats must hold {len(REPEATS)} values for each cost, {shape}, got {values.shape}.")
    if ((values < 0) | np.isinf(values)).any():
        raise InvalidInputError("repeats must be finite and not negative (NaN where unknown).")
    return values


def checked_groups(groups: Mapping[str, Sequence[str]], n: int) -> dict[str, tuple[str, ...]]:
    """Return the labels of n networks in each kind of group."""
    if not isinstance(groups, Mapping):
        raise InvalidInputError(
            f"groups are a mapping of kinds to labels, {{'family': ['resnet', ...]}}, got {type(groups).__name__}."
        )
    checked = {}
    for kind, labels in groups.items():
        if not is_name(kind) or "/" in kind:  # a slash makes it a target in files
            raise InvalidInputError(
                f"a kind of group is a text such as 'family', {NAME_RULE} and without slashes, got {kind!r:.60}."
            )
        if isinstance(labels, str) or not isinstance(labels, Iterable) or getattr(labels, "ndim", 1) != 1:
            raise InvalidInputError(
                f"the group {kind!r} has a list of labels, one for each network, got {labels!r:.60}."
            )
        held = tuple(labels)
        if len(held) != n:
            raise InvalidInputError(f"group {kind!r} has one label for each of the {n} networks, got {len(held)}.")
        wrong = next((label for label in held if label != "" and not is_name(label)), None)
        if wrong is not None:
            raise InvalidInputError(
                f"labels of the group {kind!r} are texts, each {NAME_RULE} or empty, got {wrong!r:.60}."
            )
        checked[str(kind)] = tuple(map(str, held))
    return checked


def checked_reasons(
    reasons: Mapping[str, npt.ArrayLike], costs: Costs, targets: tuple[Target, ...]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return masks of the missing costs, without reasons of none."""
    missing = np.isnan(costs)
    checked = {}
    for reason, where in reasons.items():
        if not isinstance(reason, str) or not reason.strip():
            raise InvalidInputError(f"a reason why costs are missing is a text, got {reason!r}.")
        mask = booleans(where, f"the reason {reason!r} must be True or False for each cost")
        if mask.shape != costs.shape:
            raise InvalidInputError(f"a reason's mask must have the shape of costs, {costs.shape}, got {mask.shape}.")
        if (conflicting := mask & ~missing).any():
            row, column = map(int, np.argwhere(conflicting)[0])
            raise InvalidInputError(
                f"{targets[column]} has a cost in row {row} and a reason why it is missing, {reason!r} "
                f"({int(conflicting.sum())} such costs in all). Make the cost NaN, or the mask False."
            )
        if mask.any():
            checked[reason] = frozen(mask)
    return checked
