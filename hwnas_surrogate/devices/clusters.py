"""Clusters of devices by the correlation of their costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.reals import reals

__all__ = ["Clusters", "cluster_devices"]

Vector = npt.NDArray[np.float64]

_STRUCTURE = 0.25
"""Largest silhouette without substantial structure."""
_MOST_CLUSTERS = 100
"""More clusters are not tried: nobody reads them, and each number of them takes time."""
_MOST_ORDERED = 500
"""The leaves of larger trees stay in the order of the merges: the optimal order of 2,000 takes ten seconds or more."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Devices in groups.

    Parameters
    ----------
    order : tuple of str
        The targets, similar ones beside each other; targets without a correlation last.
    cluster : Series of int
        The cluster of each target, in the matrix' order: 0 for the first in ``order``; -1 for a target without a
        correlation.
    silhouette : float
        Mean silhouette of the clusters, -1 to 1; NaN if there is only one.
    linkage : ndarray of float, shape (targets - 1, 4)
        Input of scipy's ``dendrogram``, for the targets with a correlation, in the matrix' order.
    """

    order: tuple[str, ...]
    cluster: pd.Series[int]
    silhouette: float
    linkage: Vector

    def __repr__(self) -> str:
        """Return the clusters, a list of targets each, without the arrays."""
        groups = [[name for name in self.order if self.cluster[name] == k] for k in range(self.cluster.max() + 1)]
        return f"Clusters({groups}, silhouette={self.silhouette:.4g})"


def cluster_devices(matrix: pd.DataFrame) -> Clusters:
    """Cluster devices by the correlation of their costs.

    Average linkage on 1 - correlation, the leaves of up to 500 targets in optimal order [1]_. The number of clusters,
    at most 100, is the one with the largest mean silhouette [2]_. If none is above 0.25, there is no substantial
    structure [3]_, and all targets are one cluster; so are fewer than three targets.

    Parameters
    ----------
    matrix : DataFrame, shape (targets, targets)
        As from :func:`correlation`. A pair without a correlation counts as uncorrelated. A target without any (a
        constant one) is in cluster -1.

    Returns
    -------
    Clusters

    Raises
    ------
    InvalidInputError
        If it is no correlation matrix: symmetric, from -1 to 1, the same names both ways, at least one.

    References
    ----------
    .. [1] Bar-Joseph, Gifford and Jaakkola, "Fast optimal leaf ordering for hierarchical clustering", Bioinformatics
       17, 2001.
    .. [2] Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 20, 1987.
    .. [3] Kaufman and Rousseeuw, "Finding Groups in Data", 1990, table 4 of chapter 2.

    Examples
    --------
    >>> names = ["phone/latency", "gpu/latency", "tablet/latency"]
    >>> cluster_devices(pd.DataFrame([[1, 0.2, 0.9], [0.2, 1, 0.3], [0.9, 0.3, 1]], names, names)).cluster.to_list()
    [0, 1, 0]
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    values = _correlations(matrix)
    names = list(map(str, matrix.columns))
    others = ~np.eye(len(names), dtype=bool)
    known = np.flatnonzero((~np.isnan(values) & others).any(axis=1) | (len(names) == 1))
    labels = np.full(len(names), -1)
    silhouette, tree, order = math.nan, np.empty((0, 4)), known
    if len(known) == 1:
        labels[known] = 0
    elif len(known):
        distances = 1 - np.nan_to_num(values[np.ix_(known, known)], nan=0.0)
        np.fill_diagonal(distances, 0.0)
        ordered = len(known) <= _MOST_ORDERED
        tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=ordered)
        cuts = [fcluster(tree, k, "maxclust") for k in range(2, min(len(known), _MOST_CLUSTERS + 1))]
        silhouette, cut = _best_cut(distances, cuts)
        order = known[leaves_list(tree)]
        labels[known] = cut
        # Both directions are optimal: put the cluster with the earlier target of the matrix first.
        ends = [(int(np.argmax(labels == labels[end])), int(end)) for end in (order[0], order[-1])]
        if ends[1] < ends[0]:
            order = order[::-1]
    seen = {label: number for number, label in enumerate(dict.fromkeys(labels[order].tolist()))}
    numbered = pd.Series([seen.get(int(label), -1) for label in labels], index=matrix.columns, name="cluster")
    unclustered = np.setdiff1d(np.arange(len(names)), known)
    return Clusters(tuple(names[at] for at in [*order, *unclustered]), numbered, silhouette, tree)


def _correlations(matrix: pd.DataFrame) -> Vector:
    if not isinstance(matrix, pd.DataFrame):
        raise InvalidInputError(f"a correlation matrix is a DataFrame, got {type(matrix).__name__}.")
    names = list(matrix.columns)
    if not names or names != list(matrix.index) or len(set(names)) < len(names):
        raise InvalidInputError(
            f"a correlation matrix has the same names both ways, each once, got {list(matrix.index)} and {names}."
        )
    values = reals(matrix, "correlations must be numbers")
    if not np.allclose(values, values.T, atol=1e-9, equal_nan=True) or (np.abs(values) > 1 + 1e-9).any():
        raise InvalidInputError("a correlation matrix is symmetric, with values from -1 to 1 (or NaN).")
    return values.clip(-1, 1)


def _best_cut(distances: Vector, cuts: list[Any]) -> tuple[float, Any]:
    """Return the silhouette and the labels of the best cut, or one cluster."""
    from sklearn.metrics import silhouette_score

    best, chosen = _STRUCTURE, None
    for cut in cuts:
        if 2 <= len(np.unique(cut)) < len(distances):  # ties may leave fewer clusters than asked for
            mean = float(silhouette_score(distances, cut, metric="precomputed"))
            if mean > best + 1e-12:
                best, chosen = mean, cut
    return (math.nan, np.zeros(len(distances), int)) if chosen is None else (best, chosen)
