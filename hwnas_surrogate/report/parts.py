"""Where the costs of the explorer's networks come from: by op of an architecture, or by operator of a graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.report.candidates import Candidates
from hwnas_surrogate.spaces import ArchBatch, NASBench201
from hwnas_surrogate.trainers import ExtrapolationWarning, Surrogate

__all__ = ["op_effects", "operator_shares"]

_FITTED = 5000
"""Effects are fitted to the costs of at most this many networks."""
_EXPLAINED = 80
"""Graphs times targets that are explained: each takes a tenth of a second."""
_NAMED = 6
"""Operators of a graph that have a part of their own."""


def op_effects(made: Candidates) -> dict[str, Any]:
    """Return what each op adds at its position to costs, multiply-adds and quality, by least squares over the networks.

    Parameters
    ----------
    made : Candidates
        Architectures, with their measured or predicted costs.

    Returns
    -------
    dict
        By the number of the target, ``macs`` (millions of live ones) or ``quality``: a dict of ``fixed``, the value
        with the smallest op everywhere; ``ops``, what each op at each position adds to that (None for ops of no
        network); and ``off``, the median relative error of the sum. Without targets of metrics that do not add up, and
        quantities of fewer networks than effects. Empty for graphs, for several configs, and for NAS-Bench-201, where
        an op costs nothing on a device unless it is on a path, so that no sum holds.
    """
    space, batch = made.table.space, made.table.batch
    if not isinstance(batch, ArchBatch) or isinstance(space, NASBench201) or len(batch.configs) != 1:
        return {}
    targets = enumerate(made.table.targets)
    summed: dict[str, npt.NDArray[Any]] = {str(k): made.values(target) for k, target in targets if _adds_up(target)}
    summed["macs"] = batch.total("macs", "live") / 1e6
    if made.quality is not None:
        summed["quality"] = made.quality.to_numpy(float)
    found = {name: _effects(batch, values) for name, values in summed.items()}
    return {name: effects for name, effects in found.items() if effects}


def _effects(batch: ArchBatch, values: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the effects of the ops, nothing if there are too few values."""
    rows, sizes = np.flatnonzero(~np.isnan(values) & (values != 0)), batch.space.n_ops_at
    if len(rows) <= int((sizes - 1).sum()) + 1:
        return {}
    rows = rows[np.linspace(0, len(rows) - 1, min(_FITTED, len(rows))).astype(int)]
    archs, wanted = batch.archs[rows], values[rows]
    design = np.column_stack(
        [np.ones(len(rows)), *(archs[:, [place]] == np.arange(size) for place, size in enumerate(sizes))]
    )
    fitted = np.linalg.lstsq(design, wanted)[0]
    effects = np.split(np.where(design.any(axis=0), fitted, np.nan)[1:], np.cumsum(sizes)[:-1])
    least = [float(np.nanmin(effect)) for effect in effects]
    return {
        "fixed": float(f"{fitted[0] + sum(least):.5g}"),
        "ops": [_listed(effect - low) for effect, low in zip(effects, least, strict=True)],
        "off": float(f"{np.median(np.abs(design @ fitted / wanted - 1)):.3g}"),
    }


def operator_shares(made: Candidates) -> list[dict[str, list[list[Any]]]]:
    """Return the shares of the largest operators in the predicted costs of graphs.

    Explaining a network takes a tenth of a second: of many networks, those are explained that are most likely taken,
    dominated by the fewest others in the cost and the quality (or the multiply-adds).

    Parameters
    ----------
    made : Candidates
        Graphs; the result is empty for architectures.

    Returns
    -------
    list of dict
        One for each target of the table, by the number of the row: pairs of an operator and its share (0 to 1), the
        largest first; the last is that of all others.
    """
    targets, graphs = made.table.targets, made.table.space is None
    n = min(len(made.table), max(1, _EXPLAINED // len(targets)))
    found: list[dict[str, list[list[Any]]]] = []
    for target in targets:
        shares: dict[str, list[list[Any]]] = {}
        if graphs and target in made.surrogates and _adds_up(target):
            for row in np.sort(np.argsort(_dominators(made, target), kind="stable")[:n]).tolist():
                shares[str(row)] = _shares(made.surrogates[target], made.table, row)
        found.append({row: parts for row, parts in shares.items() if parts})
    return found


def _dominators(made: Candidates, target: Target) -> npt.NDArray[np.intp]:
    """Return by how many networks each is dominated, shape (n,)."""
    costs = made.values(target)
    up = made.table.batch.total("macs", "live") if made.quality is None else made.quality.to_numpy(float)
    return np.array([np.count_nonzero((costs < costs[row]) & (up >= up[row])) for row in range(len(costs))])


def _shares(surrogate: Surrogate, table: CostTable, row: int) -> list[list[Any]]:
    try:
        with warnings.catch_warnings():
            # One network of a kind of its own is extrapolated; its shares are drawn without a claim to be exact.
            warnings.simplefilter("ignore", ExtrapolationWarning)
            frame = surrogate.explain(table.batch.take([row])).frame
    except InvalidInputError:  # one cost for all networks
        return []
    by_operator = frame.groupby("operator")["share"].sum().sort_values(ascending=False, kind="stable") / 100
    named = [[name, round(share, 4)] for name, share in by_operator.iloc[:_NAMED].items() if share > 0]
    rest = round(1 - sum(share for _, share in named), 4)
    return [*named, ["others", rest]] if rest > 0 else named


def _adds_up(target: Target) -> bool:
    return target.kind.adds == "sum" and target.kind.cost == "value"


def _listed(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(f"{value:.5g}") for value in values]
