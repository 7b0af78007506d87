"""Profiles: the times of the operators of networks, which belong to their graphs and add up to their costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.rows import frozen
from hwnas_surrogate.data.target import Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import GraphBatch, NetworkBatch
from hwnas_surrogate.reals import reals

__all__ = [
    "OperatorTimes",
    "Profiles",
    "check_shares",
    "check_sum",
    "check_sums",
    "checked_operators",
    "checked_profiles",
]

Profiles: TypeAlias = Sequence[npt.NDArray[np.floating] | None]
"""The time of each node of the graph of each network; None for a network without a profile."""
OperatorTimes: TypeAlias = Mapping[Target, Sequence[npt.NDArray[np.float64] | None]]
"""Profiles of n networks in ms, for targets."""

_LEAST, _MOST = 0.01, 100.0
"""The sum of a network's operators, relative to its cost.

The profiles of the bundled zoo add up to .35 to 2.1 of the latency on five runtimes: a profile takes time of its own,
and waiting between operators is no operator's. An accelerator may wait for its host most of the time; on a busy
machine, the profile of a small network added up to 12 times its latency. Times in another unit are outside.
"""


def checked_operators(
    operators: OperatorTimes, batch: NetworkBatch, costs: npt.NDArray[np.float64], targets: tuple[Target, ...]
) -> dict[Target, tuple[npt.NDArray[np.float64] | None, ...]]:
    """Return the profiles of a table's n networks, for targets that have any.

    Lengths are those of the graphs; of
    architectures, whose graphs take milliseconds each, they are checked when the graphs are made. ``costs`` has the
    shape (n, t).
    """
    if not isinstance(operators, Mapping):
        raise InvalidInputError(f"operators are a mapping of targets to lists, got {type(operators).__name__}.")
    checked = {}
    for target, rows in operators.items():
        if not isinstance(target, Target) or target not in targets or target.metric != "latency":
            raise InvalidInputError(
                f"operators are timed for a Target of the table that is a latency, got {target!r:.200}; it has "
                f"{', '.join(map(str, targets))}."
            )
        try:
            held = checked_profiles(
                rows, batch, lambda row: len(batch.graphs[row]) if isinstance(batch, GraphBatch) else None
            )
            check_sums(held, costs[:, targets.index(target)], batch)
        except InvalidInputError as error:
            raise InvalidInputError(f"{target}: {error}") from error
        if any(times is not None for times in held):
            checked[target] = tuple(None if times is None else frozen(times) for times in held)
    return checked


def checked_profiles(
    profiles: object, batch: NetworkBatch, n_nodes: Callable[[int], int | None]
) -> tuple[npt.NDArray[np.float64] | None, ...]:
    """Return the profiles of n networks as float64, rounded to float32.

    Files keep float32: a table is the same after it was written and read, and so is what is learned from it.

    Parameters
    ----------
    profiles : iterable of n arrays or None
        The times of each network's operators.
    batch : NetworkBatch
        The networks.
    n_nodes : callable
        Returns the number of nodes of a network's graph, given its number in the batch; None if that is not known.

    Raises
    ------
    InvalidInputError
        If there is not one profile, or None, for each network, or one is not the times of a graph's nodes: finite, not
        negative, and not all 0.
    """
    held = tuple(profiles) if isinstance(profiles, Iterable) else None
    if held is None or len(held) != len(batch):
        what = type(profiles).__name__ if held is None else f"those of {len(held)}"
        raise InvalidInputError(
            f"times of operators are a list with an array, or None, for each of {len(batch)} networks, got {what}."
        )
    return tuple(
        None if times is None else _checked(times, n_nodes(row), _named(batch, row)) for row, times in enumerate(held)
    )


def check_sums(profiles: Profiles, costs: npt.NDArray[np.float64], batch: NetworkBatch) -> None:
    """Raise if the times of a network's operators don't add up to about its cost.

    Parameters
    ----------
    profiles : sequence of n arrays or None
        Checked; in the unit of the costs.
    costs : ndarray of float64, shape (n,)
        Latencies in ms, NaN where there is none.
    batch : NetworkBatch
        The n networks.

    Raises
    ------
    InvalidInputError
        If a sum is less than a hundredth of the cost, or more than a hundred times as much.
    """
    sums = _sums(profiles)
    for row in np.flatnonzero(_is_apart(sums, costs)).tolist():
        check_sum(float(sums[row]), float(costs[row]), _named(batch, row)())


def check_sum(total: float, cost: float, name: str) -> None:
    """Raise if the times of one network's operators, ``total`` ms in all, don't add up to about its cost in ms.

    Raises
    ------
    InvalidInputError
        As :func:`check_sums`.
    """
    if _is_apart(np.array(total), np.array(cost)):
        raise InvalidInputError(
            f"times of operators of {name} must add up to about its cost of {cost:.4g} ms, between {_LEAST:g} and "
            f"{_MOST:g} times as much, got {total:.4g} ms: they are in another unit, or of another network."
        )


def check_shares(profiles: Profiles, costs: npt.NDArray[np.float64], batch: NetworkBatch) -> None:
    """Raise if the sum of a network's times, relative to its cost, is far from the median of all networks.

    Parameters
    ----------
    profiles : sequence of n arrays or None
        Checked; in any unit, which is the same for all.
    costs : ndarray of float64, shape (n,)
        In any unit, NaN where there is none.
    batch : NetworkBatch
        The n networks.

    Raises
    ------
    InvalidInputError
        If it is less than a hundredth of the median, or more than a hundred times as much.
    """
    sums = _sums(profiles)
    known = np.flatnonzero(~np.isnan(sums) & (costs > 0))
    if not len(known):
        return
    shares = sums[known] / costs[known]
    shares /= np.median(shares)
    apart = np.flatnonzero(_is_apart(shares, np.ones(len(known))))
    if len(apart):
        name, share = _named(batch, int(known[apart[0]]))(), shares[apart[0]]
        raise InvalidInputError(
            f"times of operators of {name}, relative to its cost, must add up to about as much as those of other "
            f"networks, between {_LEAST:g} and {_MOST:g} times the median, got {share:.4g} times: they are in another "
            "unit than the others, or of another network."
        )


def _sums(profiles: Profiles) -> npt.NDArray[np.float64]:
    """Return the sum of each profile; NaN where there is none."""
    return np.array([np.nan if times is None else float(np.sum(times)) for times in profiles])


def _is_apart(totals: npt.NDArray[np.float64], costs: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return (totals < _LEAST * costs) | (totals > _MOST * costs)


def _named(batch: NetworkBatch, row: int) -> Callable[[], str]:
    """Return what an error calls a network; names of architectures take time."""
    return lambda: f"network {row} ({batch.take([row]).names[0]:.200})"


def _checked(times: object, length: int | None, name: Callable[[], str]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):  # found below
        values = reals(times, "times of operators must be numbers").astype(np.float32).astype(np.float64)
    if values.ndim != 1 or length not in (None, len(values)):
        nodes = "operators" if length is None else f"{length} operators"
        raise InvalidInputError(
            f"times of operators of {name()} must be one for each of its {nodes}, got shape {values.shape}: the "
            "profile is one of another network."
        )
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if len(wrong) or not values.any():
        got = f"{wrong[0]:g}" if len(wrong) else "zeros only"
        raise InvalidInputError(
            f"times of operators of {name()} must be finite and not negative, and not all 0, got {got}."
        )
    return values
