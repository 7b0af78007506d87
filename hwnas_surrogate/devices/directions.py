"""What the costs of devices are made of: principal directions, proxies, additivity, noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import lstsq

from hwnas_surrogate.data import CostTable, TargetLike, pick_targets
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.correlation import checked_table
from hwnas_surrogate.evaluation.holdout import summary
from hwnas_surrogate.evaluation.intervals import kendall_interval
from hwnas_surrogate.evaluation.results import Evaluation
from hwnas_surrogate.evaluation.scores import tied_ranks
from hwnas_surrogate.features import OneHot, OpCounts
from hwnas_surrogate.features.layer_sums import is_layer
from hwnas_surrogate.models import AdditiveExact

__all__ = [
    "PrincipalDirections",
    "additivity",
    "noise_against_error",
    "principal_directions",
    "proxies",
]

Vector = npt.NDArray[np.float64]

PROXIES = ("macs", "params", "layers", "activation_bytes")
"""What costs are compared to; ``layers`` counts those that compute something."""
_VIEWS = ("all", "live", "folded")


# -- principal directions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalDirections:
    """How many numbers describe a device.

    Parameters
    ----------
    explained_variance_ratio : ndarray of float, shape (k,)
        The part of the variance of the log costs along each direction, falling; sums to 1.
    loadings : DataFrame, shape (targets, k)
        How much of each direction is in each target: unit vectors, the largest entry of each positive. Columns count
        from 1.
    n : int
        Rows (architectures) that all targets have.
    """

    explained_variance_ratio: Vector
    loadings: pd.DataFrame
    n: int

    def __repr__(self) -> str:
        """Return how much the first directions explain, without the loadings."""
        parts = ", ".join(f"{100 * part:.4g} %" for part in self.explained_variance_ratio[:3])
        return f"PrincipalDirections({len(self.loadings)} targets, n={self.n:,}, explained: {parts}, ...)"

    def n_for(self, part: float = 0.99) -> int:
        """Return how many directions explain a part of the variance.

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

    The logarithms are centred per device, so that a device that is twice as fast throughout is no different [1]_. Rows
    that all targets have are taken, without those of cost 0.

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
    The third device is the product of the others: two numbers describe a device.

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


# -- proxies and additivity -------------------------------------------------------------------------------


def proxies(table: CostTable, targets: TargetLike | Iterable[TargetLike] | None = None) -> pd.DataFrame:
    """Tell how well the size of a network ranks its costs: multiply-adds, parameters, layers, activation bytes.

    All layers count, those off any path from input to output too: devices that execute them take time for them.

    Parameters
    ----------
    table : CostTable
        The costs. Each row's network is the one under its config.
    targets : target or sequence of targets, optional
        All if None.

    Returns
    -------
    DataFrame
        Four rows per target: ``target, proxy`` (``macs``, ``params``, ``layers``: those that compute something, or
        ``activation_bytes``), ``n``, ``kendall_tau``, ``low``, ``high`` (95 %, as :func:`correlation_interval`). NaN
        where the costs or the proxy are constant.

    Raises
    ------
    InvalidInputError
        If the table is no cost table.
    NotInTableError
        If a target is not in the table.

    Examples
    --------
    >>> space_archs = list(range(50))
    >>> macs = CostTable("nasbench201", space_archs, [[0.0]] * 50, ["cpu/latency"]).batch.macs
    >>> table = CostTable("nasbench201", space_archs, macs[:, None], ["cpu/latency"])
    >>> proxies(table).set_index("proxy")["kendall_tau"]["macs"]
    np.float64(1.0)
    """
    picked = pick_targets(targets, checked_table("proxies", table).targets)
    batch = table.batch
    busy = [float(is_layer(op) and op.kind != "zero") for op in batch.distinct()]
    sizes = (batch.macs, batch.params, batch.sums(busy), batch.activation_bytes)
    told = []
    for target in picked:
        costs = table.costs[:, table.targets.index(target)]
        known = ~np.isnan(costs)
        ranks = tied_ranks(costs[known]).astype(np.float64)
        for name, size in zip(PROXIES, sizes, strict=True):
            told.append((str(target), name, *kendall_interval(ranks, size[known])))
    return pd.DataFrame(told, columns=["target", "proxy", "n", "kendall_tau", "low", "high"])


def additivity(table: CostTable, targets: TargetLike | Iterable[TargetLike] | None = None) -> pd.DataFrame:
    """Tell whether a device prices a network op by op, and which ops it sees.

    The coefficients of determination are those of ordinary least squares on the rows themselves: what is missing to 1
    is what a sum cannot express.

    Parameters
    ----------
    table : CostTable
        The costs, under one network config.
    targets : target or sequence of targets, optional
        All if None.

    Returns
    -------
    DataFrame
        One row per target: ``target, n``; ``r2_all, r2_live, r2_folded``: on the counts of the ops that are called,
        that are on a path from input to output, that a converter leaves; ``r2_onehot``: on a number for each op at
        each position; ``exact``: whether the costs are such a sum exactly (:class:`AdditiveExact`); ``best_view``: the
        view whose counts explain most, the first of equals; ``all`` for an exact sum, missing if none is defined. NaN
        where the costs are constant or the rows no more than the numbers fitted to them.

    Raises
    ------
    InvalidInputError
        If the table is no cost table, or has several configs.
    NotInTableError
        If a target is not in the table.

    Examples
    --------
    >>> archs = list(range(60))
    >>> counts = OpCounts(views=["all"]).transform(archs)
    >>> table = CostTable("nasbench201", archs, counts @ [[0], [1], [4], [9], [2], [3]], ["fpga/latency"])
    >>> additivity(table).round(3)[["r2_all", "r2_folded", "exact", "best_view"]].to_dict("records")
    [{'r2_all': 1.0, 'r2_folded': 0.884, 'exact': True, 'best_view': 'all'}]
    """
    picked = pick_targets(targets, checked_table("additivity", table).targets)
    if len(table.configs) > 1:
        raise InvalidInputError(
            f"additivity needs a table under one network config, got {len(table.configs)}: "
            "table.select(configs=...) keeps one."
        )
    config = table.configs[0] if table.configs else None
    counts = {view: OpCounts(table.space, [view]).transform(table.archs, config) for view in _VIEWS}
    onehot = OneHot(table.space).frame(table.archs, config)
    told = []
    for target in picked:
        costs = table.costs[:, table.targets.index(target)]
        rows = np.flatnonzero(~np.isnan(costs))
        y = costs[rows]
        r2 = {view: _r2(columns[rows], y) for view, columns in counts.items()}
        row: dict[str, Any] = {"target": str(target), "n": len(rows)} | {f"r2_{view}": r2[view] for view in _VIEWS}
        row["r2_onehot"] = _r2(onehot.to_numpy()[rows], y)
        row["exact"] = len(rows) > 1 and bool(AdditiveExact().fit(onehot.iloc[rows], y).exact_)
        defined = {view: round(value, 9) for view, value in r2.items() if not math.isnan(value)}
        best = max(defined, key=defined.__getitem__, default=None)
        told.append(row | {"best_view": "all" if row["exact"] and defined else best})
    columns = ["target", "n", *(f"r2_{view}" for view in _VIEWS), "r2_onehot", "exact", "best_view"]
    return pd.DataFrame(told, columns=columns)


def _r2(columns: Vector, costs: Vector) -> float:
    """Return the coefficient of determination of least squares with an intercept, NaN where it says nothing."""
    if len(costs) < 2 or (costs == costs[0]).all():
        return math.nan
    centred, y = columns - columns.mean(axis=0), costs - costs.mean()
    smallest = max(centred.shape) * np.finfo(float).eps
    solution, _, rank, _ = lstsq(centred, y, cond=smallest, lapack_driver="gelsy")
    if rank + 1 >= len(costs):
        return math.nan
    return max(0.0, 1.0 - float(((y - centred @ solution) ** 2).sum()) / float((y**2).sum()))


# -- noise ------------------------------------------------------------------------------------------------


def noise_against_error(table: CostTable, evaluation: Evaluation | None = None) -> pd.DataFrame:
    """Put the noise of the measurements beside the error of surrogates.

    Parameters
    ----------
    table : CostTable
        The costs, with what it keeps of the repeated runs.
    evaluation : Evaluation, optional
        Scores of surrogates on these targets, of :func:`evaluate` or a protocol.

    Returns
    -------
    DataFrame
        ``target, n`` (costs measured repeatedly), ``noise_tau`` and ``noise_difference``: Kendall's tau and the
        median relative difference between two halves of the runs (:meth:`CostTable.noise_floor`), NaN for a target
        without repeats. One row per target; with an evaluation one per target, model and ``n_train``, with ``seeds``,
        ``surrogate_tau``, ``surrogate_mdape`` (means over the seeds), and ``gap``: what the surrogate's tau is below
        that of the noise. NaN for targets that were not evaluated.

    Raises
    ------
    InvalidInputError
        If the table is no cost table, or the evaluation is none or knows none of its targets.

    Examples
    --------
    >>> repeats = [[[n, n, n, n, n + 1.5 * (n % 2)]] for n in range(1, 9)]
    >>> costs = [[n] for n in range(1, 9)]
    >>> table = CostTable("nasbench201", list(range(8)), costs, ["cpu/latency"], repeats=repeats)
    >>> noise_against_error(table).round(3).to_dict("records")
    [{'target': 'cpu/latency', 'n': 8, 'noise_tau': 0.714, 'noise_difference': 0.097}]
    """
    floors = checked_table("noise_against_error", table).noise_floor()
    told = []
    for target in table.targets:
        floor = floors.get(target, {})
        noise = (floor.get("kendall_tau", math.nan), floor.get("median_relative_difference", math.nan))
        told.append((str(target), int(floor.get("n", 0)), *noise))
    noises = pd.DataFrame(told, columns=["target", "n", "noise_tau", "noise_difference"])
    if evaluation is None:
        return noises
    if not isinstance(evaluation, Evaluation):
        raise InvalidInputError(f"evaluation must be an Evaluation, got {type(evaluation).__name__}.")
    means = summary(evaluation.scores)
    means["target"] = means["device"] + "/" + means["metric"]
    if not set(means["target"]) & set(noises["target"]):
        raise InvalidInputError(
            f"the evaluation is of {sorted(set(means['target']))}, the table of {list(noises['target'])}: none is both."
        )
    renamed = {"kendall_tau": "surrogate_tau", "mdape": "surrogate_mdape"}
    kept = means[["target", "model", "n_train", "seeds", *renamed]].rename(columns=renamed)
    merged = noises.merge(kept, on="target", how="left")
    return merged.assign(gap=merged["noise_tau"] - merged["surrogate_tau"])
