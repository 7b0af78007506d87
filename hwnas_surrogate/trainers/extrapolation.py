"""Predictions for networks under a config that was not trained on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace
from hwnas_surrogate.trainers.encoded import amounts, config_sizes, log2_distance

__all__ = [
    "MIN_CONFIGS",
    "ExtrapolationWarning",
    "balanced_rows",
    "growth",
    "growth_steps",
    "nearest",
    "refusal",
    "spanning",
    "warn_beyond",
    "warn_unfamiliar",
    "widened",
]

MIN_CONFIGS = 3
"""A surrogate trained under fewer configs refuses to predict for others."""
MIN_BALANCED = 100
"""A model without layer physics is not fitted to fewer costs, balanced over configs."""
MIN_COSTS = 5
"""Configs with fewer costs don't count."""
TRUSTED_CONFIGS = 8
"""From this many configs on, residuals of held-out configs calibrate the intervals for other configs. With fewer,
intervals span the range that the network's counts allow."""
FAR = 2.0
"""So do intervals for configs whose log2 distance from the nearest one trained on is larger (2 is a factor of four)."""
RANGE = 2.0
"""A warning is given for networks whose multiply-adds exceed the largest trained on by this factor, or fall below the
smallest by it."""
SLACK = 1.25
"""A cost may grow by this factor more, or less, than all counts of the network: channels that don't fill the vector
units cost up to a quarter more. Of the values from 1 to 1.4 it is the smallest with which 90 % intervals covered 90 %
of the bundled networks under other configs on each device (10 to 900 training costs under one config; seeds 100 to
103)."""
BALANCE = 2
"""Fits for other configs use at most this many times the median number of costs per config from each config."""
UNFAMILIAR = 0.25
"""Networks of less trust (:meth:`AnchoredStack.trust`) are called unlike those trained on: the posterior of physics is
twice as wide as for nearly all of those. Of networks of the kinds trained on, up to 3 % are."""
_STEPS = 15
"""Number of factors that represent the range from the smallest to the largest growth."""


class ExtrapolationWarning(UserWarning):
    """A network is much larger or smaller than all that the surrogate was trained on."""


def refusal(
    name: str, trained: Sequence[NetworkConfig | None], config: NetworkConfig, why: str = ""
) -> InvalidConfigError:
    """Return the error for a config that a surrogate can't predict for."""
    if len(trained) < MIN_CONFIGS:
        known = f"was trained under {' and '.join(map(str, trained))} only"
    else:
        known = f"was trained under {len(trained)} configs, too few of which have {MIN_COSTS} costs or more"
    return InvalidConfigError(
        f"{name} {known}, which says too little about networks under {config}. {why}Train on measurements under "
        f"{MIN_CONFIGS} configs or more; or measure three networks under {config} and adapt to them (hwnas adapt, with "
        "this surrogate among the sources). extrapolate=True (--extrapolate) predicts all the same, roughly, with a "
        "wide interval."
    )


def spanning(number: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the numbers of the configs with five costs or more, given the config of each row: (n,) -> (k,)."""
    return np.flatnonzero(np.bincount(number) >= MIN_COSTS)


def warn_beyond(
    name: str, config: NetworkConfig | None, macs: npt.NDArray[np.float64], trained: tuple[float, float]
) -> None:
    """Warn if networks have more than twice, or less than half, the multiply-adds of those trained on.

    Parameters
    ----------
    name : str
        The surrogate's name.
    config : NetworkConfig or None
        The config of all these networks, if they have one.
    macs : ndarray of float64, shape (n,)
        Their multiply-adds.
    trained : tuple of float
        The smallest and the largest number of multiply-adds of a training network.
    """
    sizes = [
        ("more than twice as many", macs > RANGE * trained[1]),
        ("less than half as many", macs < trained[0] / RANGE),
    ]
    whose = "of those to predict" if config is None else f"under {config}"
    for size, beyond in sizes:
        if beyond.any():
            warnings.warn(
                f"{name} was trained on networks of {trained[0] / 1e6:.4g} to {trained[1] / 1e6:.4g} million "
                f"multiply-adds; some {whose} have {size}. Measure networks of that size, and train on them as well or "
                "adapt to them.",
                ExtrapolationWarning,
                stacklevel=2,
            )


def warn_unfamiliar(name: str, networks: NetworkBatch, trust: npt.NDArray[np.float64]) -> None:
    """Warn if networks are of other kinds than those trained on.

    Parameters
    ----------
    name : str
        The surrogate's name.
    networks : NetworkBatch
        n of them.
    trust : ndarray of float64, shape (n,)
        As :meth:`AnchoredStack.trust` returns it.
    """
    strange = np.flatnonzero(trust < UNFAMILIAR)
    if len(strange):
        some = ", ".join(f"{called:.60}" for called in networks.take(strange[:3]).names)
        warnings.warn(
            f"{name} was trained on networks unlike {len(strange)} of the {len(networks)} to predict ({some}"
            f"{', ...' if len(strange) > 3 else ''}). Their costs are estimated from multiply-adds, bytes and calls, "
            "with wide intervals. Measure some networks of this kind, and train on them as well or adapt to them.",
            ExtrapolationWarning,
            stacklevel=2,
        )


def nearest(space: SearchSpace, config: NetworkConfig, trained: Sequence[NetworkConfig | None]) -> NetworkConfig:
    """Return the trained config whose networks are closest in size; the config itself if it was trained on."""
    if config in trained:
        return config
    size = config_sizes(space, [config])
    return min(filter(None, trained), key=lambda known: float(log2_distance(size, config_sizes(space, [known]))[0]))


def growth(new: NetworkBatch, known: NetworkBatch) -> npt.NDArray[np.float64]:
    """Return the smallest and largest factor by which costs change from known networks to the same under other configs.

    A layer has an overhead, moves activations and multiplies. The cost therefore grows with one of these counts
    (layers, activation bytes, multiply-adds), or between two of them. If they grow by factors of 1, 2 and 4, the result
    is 1 to 4.

    Parameters
    ----------
    new, known : NetworkBatch
        The same n architectures under two configs each.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    layers, macs, _, moved = (amounts(new) / amounts(known)).T
    return np.stack([np.minimum.reduce([layers, macs, moved]), np.maximum.reduce([layers, macs, moved])], axis=1)


def widened(bounds: npt.NDArray[np.float64], factors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return intervals under another config, from (n, 2) bounds and (n, 2) factors of :func:`growth`: -> (n, 2)."""
    changed = (factors != 1.0).any(axis=1, keepdims=True)
    return np.asarray(bounds * np.where(changed, factors * [1 / SLACK, SLACK], 1.0))


def growth_steps(factors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return equally probable factors from the smallest to the largest growth: (n, 2) -> (steps, n)."""
    low, high = widened(np.ones_like(factors), factors).T
    return np.asarray(low * (high / low) ** np.linspace(0, 1, _STEPS)[:, None])


def balanced_rows(number: npt.NDArray[np.intp], seed: int) -> npt.NDArray[np.intp] | None:
    """Return rows with about as many costs of each config; None if all rows are balanced already.

    Otherwise one config with thousands of costs would dominate a fit for other configs.

    Parameters
    ----------
    number : ndarray of int, shape (n,)
        The config of each row.
    seed : int
        Seed of the choice of rows.
    """
    counts = np.bincount(number)
    counts = counts[counts >= MIN_COSTS]
    if len(counts) < MIN_CONFIGS or counts.max() <= (most := int(BALANCE * np.median(counts))):
        return None
    order = np.random.default_rng(seed).permutation(len(number))
    place = pd.Series(number[order]).groupby(number[order]).cumcount().to_numpy()
    return np.sort(order[place < most])
