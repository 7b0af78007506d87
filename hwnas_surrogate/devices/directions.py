"""Principal directions of the costs: the number of dimensions in which devices differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.data.table import checked_table
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
    loadings : DataFrame, shape (targets, k)
        Unit vectors, one per column, with a positive largest entry. Columns are numbered from 1.
    n : int
        Number of rows (architectures) in which all targets have a cost.
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
    if all targets have a cost above 0.

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
        If the targets share fewer than two rows, or none varies in them; or the table is no cost table.
    NotInTableError
        If a target is not in the table.

    References
    ----------
    .. [1] Jolliffe, "Principal Component Analysis", 2nd edition, 2002, chapter 2.

    Examples
    --------
    The third device's cost is the product of the others': there are two directions.

    >>> costs = [[n + 1, 40 - n, (n + 1) * (40 - n)] for n in range(30)]
    >>> table = CostTable("nasbench201", list(range(30)), costs, ["cpu/latency", "gpu/latency", "phone/latency"])
    >>> principal_directions(table).n_for(0.99)
    2
    """
    from sklearn.decomposition import PCA

    picked = pick_targets(targets, checked_table("principal_directions", table).targets)
    costs = table.costs[:, [table.targets.index(target) for target in picked]]
    usable = costs > 0
    shared = costs[usable.all(axis=1)]
    if len(shared) < 2 or not picked:
        least = min(zip(usable.sum(axis=0), map(str, picked), strict=True), default=(0, "no target"))
        raise InvalidInputError(
            f"principal directions need at least 2 rows in which all {len(picked)} targets have a cost above 0, got "
            f"{len(shared)}; {least[1]} has the fewest, {least[0]} of {len(costs)}. Leave out targets."
        )
    if (np.ptp(shared, axis=0) == 0).all():
        raise InvalidInputError(f"every target's cost is the same in all {len(shared)} rows that they share.")
    fitted = PCA(svd_solver="full").fit(np.log(shared))
    components = fitted.components_
    largest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(len(components)), largest])[:, None]
    numbers = pd.RangeIndex(1, len(components) + 1, name="direction")
    loadings = pd.DataFrame(components.T, list(map(str, picked)), numbers)
    return PrincipalDirections(fitted.explained_variance_ratio_, loadings, len(shared))
