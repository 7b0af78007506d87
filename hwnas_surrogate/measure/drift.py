"""How slow the machine was in each block, told by the networks that ran there and elsewhere too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["estimate_drift"]

MOST_SWEEPS = 200
CONVERGED = 1e-6


def estimate_drift(
    network: npt.NDArray[np.intp], block: npt.NDArray[np.intp], log_ms: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Fit log time = network + block, robustly, and return the block's part for each reading.

    Networks and blocks are swept in turn as in Tukey's median polish [1]_: a network's part is the mean of what its
    blocks leave, a block's part the median of what its networks leave. Networks that ran in one block only tell nothing
    of it and are left out. The drift given to a reading is then the median over the *other* networks of its block, so
    that a reading does not correct itself, and two passes stay independent.

    Parameters
    ----------
    network, block : ndarray of int, shape (n,)
        Which network each reading is of, and in which block. The anchor is a network, in every block.
    log_ms : ndarray, shape (n,)
        The logarithm of its time.

    Returns
    -------
    ndarray, shape (n,)
        The logarithm of how slow the machine was, relative to its median over the blocks; 0 where no other network
        tells.

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
    left = np.full((n_blocks, width), np.nan)  # what networks leave to their blocks; NaN where nothing is told
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
    told = ~np.isnan(others).all(axis=2)
    return np.where(told, result - shift, 0.0)[block, place]


def _medians(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each row's median without its NaN; 0 where it has nothing else."""
    known = (~np.isnan(rows)).sum(axis=1)
    ordered = np.sort(rows, axis=1)  # NaN last
    at = np.arange(len(rows))
    lower, upper = ordered[at, np.maximum(known - 1, 0) // 2], ordered[at, np.minimum(known // 2, rows.shape[1] - 1)]
    return np.where(known > 0, (lower + upper) / 2, 0.0)
