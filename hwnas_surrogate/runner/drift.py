"""How slow the machine was in each block, estimated from networks that ran in several blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["estimate_drift"]

MOST_SWEEPS = 200
CONVERGED = 1e-6


def estimate_drift(
    network: npt.NDArray[np.intp], block: npt.NDArray[np.intp], log_ms: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Fit log time = network + block robustly, and return the block effect of each reading.

    Network and block effects are updated in turn, as in Tukey's median polish [1]_. A network's effect is the mean of
    its residuals over blocks, a block's effect the median of its residuals over networks. Networks that ran in one
    block only carry no information about it and are left out. The drift of a reading is the median over the *other*
    networks of its block. So a reading does not correct itself, and two passes stay independent.

    Parameters
    ----------
    network, block : ndarray of int, shape (n,)
        The network and the block of each reading. The anchor is a network that runs in every block.
    log_ms : ndarray, shape (n,)
        The logarithm of each reading's time.

    Returns
    -------
    ndarray, shape (n,)
        The logarithm of how slow the machine was, relative to its median over the blocks; 0 if no other network of the
        block ran elsewhere.

    References
    ----------
    .. [1] Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977, chapter 11.
    """
    n_networks, n_blocks = network.max() + 1, block.max() + 1
    telling = np.bincount(network, minlength=n_networks)[network] > 1
    order = np.argsort(block, kind="stable")
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order)) - np.searchsorted(block[order], block[order])
    width = place.max() + 1
    left = np.full((n_blocks, width), np.nan)  # residuals of networks in their blocks; NaN if unknown
    drift = np.zeros(n_blocks)
    count = np.maximum(np.bincount(network, minlength=n_networks), 1)
    for _ in range(MOST_SWEEPS):
        of_network = np.bincount(network, log_ms - drift[block], n_networks) / count
        left[block, place] = np.where(telling, log_ms - of_network[network], np.nan)
        before, drift = drift, _medians(left)
        drift -= np.median(drift)
        if np.abs(drift - before).max() < CONVERGED:
            break
    others = np.broadcast_to(left[:, None, :], (n_blocks, width, width)).copy()
    others[:, np.arange(width), np.arange(width)] = np.nan
    result = _medians(others.reshape(-1, width)).reshape(n_blocks, width)
    shift = np.median(_medians(left))
    observed = ~np.isnan(others).all(axis=2)
    return np.where(observed, result - shift, 0.0)[block, place]


def _medians(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each row's median, ignoring NaN; 0 for rows of NaN only."""
    known = (~np.isnan(rows)).sum(axis=1)
    ordered = np.sort(rows, axis=1)  # NaN last
    at = np.arange(len(rows))
    lower, upper = ordered[at, np.maximum(known - 1, 0) // 2], ordered[at, np.minimum(known // 2, rows.shape[1] - 1)]
    return np.where(known > 0, (lower + upper) / 2, 0.0)
