"""Principal directions of the costs: the number of dimensions in which devices differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse.csgraph import connected_components

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
from hwnas_surrogate.devices.missing_costs import low_rank_covariance
from hwnas_surrogate.errors import InvalidInputError

__all__ = ["PrincipalDirections", "principal_directions"]

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalDirections:
    """Principal directions of log costs.

    Parameters
    ----------
    explained_variance_ratio : ndarray of float, shape (k,)
        Fraction of the variance of the log costs along each direction, descending; the sum is 1.
    loadings : DataFrame, shape (targets, m)
        Unit vectors, one per column, with a positive largest entry. Columns are numbered from 1. m is k, or at most ten
        if most costs are missing: the directions beyond are noise.
    n : int
        Number of rows (architectures) that were used.
    """

    explained_variance_ratio: Vector
    loadings: pd.DataFrame
    n: int

    def __repr__(self) -> str:
        """Return the variance explained by the first directions, without the loadings."""
        parts = ", ".join(f"{100 * part:.4g} %" for part in self.explained_variance_ratio[:3])
        return f"PrincipalDirections({len(self.loadings)} targets, n={self.n:,}, explained: {parts}, ...)"

    def n_for(self, part: float = 0.99) -> int:
        """Return the number of directions that explain a fraction of the variance.

        Raises
        ------
        InvalidInputError
            If the part is not above 0 and at most 1.
        """
        if isinstance(part, bool) or not isinstance(part, Real) or not 0 < float(part) <= 1:
            raise InvalidInputError(f"the part must be above 0 and at most 1, got {part!r}; 0.99 is 99 %.")
        explained = np.cumsum(self.explained_variance_ratio)
        return int(np.searchsorted(explained, min(float(part), explained[-1]) - 1e-12)) + 1


def principal_directions(
    table: CostTable, targets: TargetLike | Iterable[TargetLike] | None = None
) -> PrincipalDirections:
    """Find the directions along which the costs of devices vary: principal components of their logarithms.

    The logarithms are centred per device, so that a constant factor between devices has no effect [1]_. Rows are used
    if all targets have a cost above 0. If these rows hold less than half of the costs, all rows with two costs or more
    are used instead: the covariance is estimated from the known costs, as at most ten directions and noise of equal
    variance in all targets (Bayesian probabilistic PCA [2]_). The noise counts as variance: it adds the same to every
    direction.

    Parameters
    ----------
    table : CostTable
        The costs.
    targets : target or sequence of targets, optional
        All if None.

    Returns
    -------
    PrincipalDirections

    Raises
    ------
    InvalidInputError
        If targets are not linked by pairs that share two rows, or none varies; or the table is no cost table.
    NotInTableError
        If a target is not in the table.

    References
    ----------
    .. [1] Jolliffe, "Principal Component Analysis", 2nd edition, 2002, chapter 2.
    .. [2] Bishop, "Variational principal components", ICANN 1999.

    Examples
    --------
    The third device's cost is the product of the others': there are two directions.

    >>> costs = [[n + 1, 40 - n, (n + 1) * (40 - n)] for n in range(30)]
    >>> table = CostTable("nasbench201", list(range(30)), costs, ["cpu/latency", "gpu/latency", "phone/latency"])
    >>> principal_directions(table).n_for(0.99)
    2
    """
    picked = pick_targets(targets, checked_table("principal_directions", table).targets)
    costs = table.select(picked).costs
    usable = costs > 0
    shared = usable.all(axis=1)
    complete = picked and shared.sum() >= 2 and 2 * len(picked) * shared.sum() >= usable.sum()
    if not complete:
        _refuse_unlinked(usable, list(map(str, picked)))
        shared = usable.sum(axis=1) >= 2
    logs = np.log(costs[shared], out=np.full((shared.sum(), len(picked)), np.nan), where=usable[shared])
    if all(np.ptp(column[~np.isnan(column)]) == 0 for column in logs.T):
        raise InvalidInputError(f"every target's cost is the same in all {len(logs)} rows that they share.")
    explained, components = _complete(logs) if complete else _with_missing(logs)
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(components.shape[1])])
    numbers = pd.RangeIndex(1, components.shape[1] + 1, name="direction")
    return PrincipalDirections(explained, pd.DataFrame(components, list(map(str, picked)), numbers), len(logs))


def _refuse_unlinked(usable: npt.NDArray[np.bool_], names: list[str]) -> None:
    """Raise unless pairs of targets that share two rows link all targets: (rows, targets) with a cost above 0."""
    common = usable.T.astype(np.float64) @ usable
    n_groups, _ = connected_components(common >= 2)
    if n_groups == 1 and len(names) > 1:
        return
    fewest = min(zip(usable.sum(axis=0).tolist(), names, strict=True), default=(0, "no target"))
    raise InvalidInputError(
        f"principal directions need targets that are linked by pairs with at least 2 rows in which both have a cost "
        f"above 0, got {n_groups} group(s) without a link among {len(names)} targets; {fewest[1]} has the fewest "
        f"costs, {fewest[0]} of {len(usable)}. Leave out targets, or measure the same networks on them."
    )


def _complete(logs: Vector) -> tuple[Vector, Vector]:
    """Return the explained parts of the variance, (k,), and the directions, (targets, k), of logarithms without NaN."""
    from sklearn.decomposition import PCA

    fitted = PCA(svd_solver="full").fit(logs)
    return fitted.explained_variance_ratio_, fitted.components_.T


def _with_missing(logs: Vector) -> tuple[Vector, Vector]:
    """Return the same of logarithms that are NaN where missing."""
    directions, variances, noise = low_rank_covariance(logs)
    along = np.full(len(directions), noise)
    along[: len(variances)] += variances
    return along / along.sum(), directions
