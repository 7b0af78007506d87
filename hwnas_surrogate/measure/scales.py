"""How slow each board of a fleet is, and the readings of all boards on one scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.runner.protocol import Protocol, Readings

__all__ = ["BoardScale", "agreement", "board_scales", "pooled"]

_MOST_SWEEPS = 200
_CONVERGED = 1e-9
_OF_MEDIAN = 1.2533 * 1.4826
"""Standard error of a median of normal values, times the root of their number, in median absolute deviations."""


class BoardScale(NamedTuple):
    """How slow a board is.

    Parameters
    ----------
    scale : float
        Its times, divided by the fleet's: the geometric mean over the boards is 1.
    error : float or None
        Standard error of the scale, relative to it; None if it comes from the anchor alone.
    networks : int
        Networks that other boards measured too, the anchor included.
    """

    scale: float
    error: float | None
    networks: int


def board_scales(boards: Mapping[str, Readings]) -> dict[str, BoardScale]:
    """Estimate how slow each board is, from the anchor and the networks that two or more boards measured.

    The model is log time = network + board. Both effects are updated in turn, as in Tukey's median polish [1]_: a
    network's effect is the mean of its residuals, a board's the median. So a few networks that depend on the board in
    another way than the rest don't move its scale.

    Parameters
    ----------
    boards : mapping of str to Readings
        The readings of each board.

    Returns
    -------
    dict of str to BoardScale
        Without boards that have no readings.

    References
    ----------
    .. [1] Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977, chapter 11.
    """
    names = [name for name, readings in boards.items() if np.isfinite(readings.anchor_ms).any()]
    if not names:
        return {}
    log_ms = _log_ms([boards[name] for name in names])
    effects = np.zeros(len(names))
    for _ in range(_MOST_SWEEPS):
        left = log_ms - np.nanmean(log_ms - effects, axis=1, keepdims=True)
        before, effects = effects, np.nanmedian(left, axis=0)
        effects -= effects.mean()
        if np.abs(effects - before).max() < _CONVERGED:
            break
    residuals = np.abs(left - np.nanmedian(left, axis=0))
    found = {}
    for name, effect, of_board in zip(names, effects, residuals.T, strict=True):
        n = int(np.isfinite(of_board).sum())
        error = float(_OF_MEDIAN * np.nanmedian(of_board) / np.sqrt(n)) if n > 1 else None
        found[name] = BoardScale(float(np.exp(effect)), error, n)
    return found


def _log_ms(boards: list[Readings]) -> npt.NDArray[np.float64]:
    """Return the log of times, shape (networks, boards), NaN where a board did not measure one; the anchor is first."""
    anchor = np.log([[float(np.nanmedian(readings.anchor_ms)) for readings in boards]])
    measured = [_costs(readings) for readings in boards]
    count: dict[Any, int] = {}
    for key in chain.from_iterable(measured):
        count[key] = count.get(key, 0) + 1
    shared = [key for key, boards_of in count.items() if boards_of > 1]
    rows = np.array([[costs.get(key, np.nan) for costs in measured] for key in shared]).reshape(-1, len(boards))
    return np.concatenate([anchor, np.log(rows)])


def _costs(readings: Readings) -> dict[Any, float]:
    """Return the cost of each network in ms, from the passes that one board finished."""
    return {key: float(np.mean(readings.quartiles(key))) for key in list(readings.of) if readings.has_latency(key)}


def agreement(boards: Mapping[str, Readings], scales: Mapping[str, BoardScale]) -> dict[str, float | int | None]:
    """Return how well boards agree about networks when their scales are taken out.

    Returns
    -------
    dict
        ``between_boards``: median relative difference of two boards about one network, over ``pairs`` pairs;
        ``within_board``: the same of two passes on one board. None where there is no pair. If the first is much larger,
        the boards differ by more than a scale.
    """
    costs = {name: _costs(boards[name]) for name in scales}
    between = [
        abs(np.log(costs[one][key] / scales[one].scale) - np.log(costs[other][key] / scales[other].scale))
        for one, other in combinations(scales, 2)
        for key in costs[one].keys() & costs[other].keys()
    ]
    within = []
    for name in scales:
        for key in costs[name]:
            quartiles = boards[name].quartiles(key)
            within += [abs(np.log(one / other)) for one, other in combinations(quartiles, 2)]
    return {"between_boards": _median(between), "within_board": _median(within), "pairs": len(between)}


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def pooled(
    protocol: Protocol, entries: Mapping[str, Iterable[dict[str, Any]]], scales: Mapping[str, BoardScale]
) -> Readings:
    """Return the readings of all boards as those of one machine: times are divided by the scales of their boards."""
    readings = Readings(protocol)
    for name, of_board in entries.items():
        scale = scales[name].scale if name in scales else 1.0
        for entry in of_board:
            if "ns" in entry:
                entry = {**entry, "ns": {number: round(ns / scale) for number, ns in entry["ns"].items()}}
            readings.add(entry)
    return readings
