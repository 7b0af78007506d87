"""The data of the report's page: plain values for JSON, large arrays as base64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import hwnas_surrogate
from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.data.table import NOT_MEASURED, config_name
from hwnas_surrogate.evaluation import Evaluation
from hwnas_surrogate.evaluation.results import LEFT_OUT
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.report.candidates import Candidates
from hwnas_surrogate.report.explorer_data import as_base64, explorer
from hwnas_surrogate.report.relations import Relations
from hwnas_surrogate.spaces import ArchBatch, NASBench201

__all__ = ["payload"]

_DRAWN = 1000
"""Maximum number of held-out architectures per target; more are sampled."""
_SCORES = ("kendall_tau", "spearman_rho", "mdape", "rmse", "within_10pct", "coverage_90")

Found = tuple[Evaluation | None, dict[Target, str], str]
ByTarget = dict[tuple[str, str], pd.DataFrame]


def payload(
    table: CostTable, related: Relations, evaluated: Found, learned: Found, shown: Candidates
) -> dict[str, Any]:
    """Return everything that the page shows.

    Parameters
    ----------
    table : CostTable
        The costs.
    related : Relations
        How its targets relate.
    evaluated, learned : tuple
        An evaluation (None if no target has one), the reasons for missing targets, and a sentence about how it was made
        (empty if the user gave it).
    shown : Candidates
        The networks of the explorer.
    """
    held_out, connected, floors = _Numbered(), table.batch.connected, table.noise_floor()
    scores, predictions, curves = (
        _by_target(frame)
        for frame in (
            None if evaluated[0] is None else evaluated[0].scores,
            None if evaluated[0] is None else evaluated[0].predictions,
            None if learned[0] is None else learned[0].scores,
        )
    )
    targets = [
        {
            **_target(table, column, connected, floors.get(target)),
            **_predictions(table, target, scores, predictions, evaluated[1], held_out),
            **_curve(target, curves, learned[1]),
        }
        for column, target in enumerate(table.targets)
    ]
    configs = [config_name(table.space, config) for config in table.configs]
    given = "Given to the page; of several models or splits the first is shown. "
    return {
        "about": _about(table, configs),
        "foot": f"Written by hwnas-surrogate {hwnas_surrogate.__version__}. Costs are kept to 7 digits on this page, "
        "bounds of intervals to 3. "
        f"Table fingerprint (sha256): {table.fingerprint}.",
        "evaluated": (evaluated[2] or given) + " Bars are 90 % intervals; the line is predicted = measured.",
        "learned": learned[2] or "Given to the page; the mean over the splits, bars are a standard deviation.",
        "n": len(table),
        "ops": list(_has_op(table.batch)),
        "cut_off": int(np.count_nonzero(~connected)),
        "networks": explorer(shown),
        "targets": targets,
        "reasons": ["", NOT_MEASURED, *table.reasons],
        "correlation": _correlation(table, related),
        "shown": list(dict.fromkeys(table.targets[at].device for at in related.shown)),
        "held_out": list(held_out),
        "held_out_cut_off": _cut_off(table, list(held_out)),
    }


def _about(table: CostTable, configs: list[str]) -> str:
    def counted(number: int, word: str) -> str:
        return f"{number:,} {word}{'s' * (number != 1)}"

    n, devices = len(table), len({target.device for target in table.targets})
    metrics = list(dict.fromkeys(target.metric.replace("_", " ") for target in table.targets))
    if table.space is None:
        return f"{counted(n, 'network')}; {', '.join(metrics)} of {counted(devices, 'device')}."
    if len(configs) == 1:
        rows = f"{counted(n, 'architecture')} under {configs[0]}"
    else:
        rows = f"{counted(n, 'network')} of {len(configs)} network configs"
    return f"{table.space.title}: {rows}; {', '.join(metrics)} of {counted(devices, 'device')}."


def _number(value: Any, digits: int = 6) -> float | None:
    """Return a number as JSON holds it; None unless it is finite."""
    return float(f"{float(value):.{digits}g}") if math.isfinite(value) else None


def _numbers(values: Any) -> list[float | None]:
    return [_number(value) for value in values]


def _target(
    table: CostTable, column: int, connected: npt.NDArray[np.bool_], floor: dict[str, float] | None
) -> dict[str, Any]:
    target, costs = table.targets[column], table.costs[:, column]
    device, known = table.devices[target.device], costs[~np.isnan(costs)]
    usable = costs[connected & ~np.isnan(costs)]
    codes = np.where(np.isnan(costs), 1, 0)
    for number, where in enumerate(table.reasons.values(), start=2):
        codes[where[:, column]] = number
    names = ["", NOT_MEASURED, *table.reasons]
    counts = np.bincount(codes, minlength=len(names))
    return {
        "name": str(target),
        "device": target.device,
        "metric": target.metric,
        "title": target.kind.title,
        "better": 1 if target.kind.larger_is_better else -1,
        "unit": target.unit,
        "known": len(known),
        "missing": len(costs) - len(known),
        "reasons": [[names[code], int(counts[code])] for code in range(1, len(names)) if counts[code]],
        "why": as_base64(codes, np.uint8) if len(known) < len(costs) else None,
        "low": _number(usable.min()) if len(usable) else None,
        "high": _number(usable.max()) if len(usable) else None,
        "floor": None if floor is None else {name: _number(value) for name, value in floor.items()},
        "source": device.source,
        "runtime": device.runtime,
        "hardware": device.hardware,
        "batch": device.batch,
        "costs": as_base64(costs, np.float32),
    }


def _correlation(table: CostTable, related: Relations) -> dict[str, Any]:
    """Return correlations and numbers of common rows, as lower triangles: of thousands of targets, they are large."""
    known = (~np.isnan(table.costs)).astype(float)
    number = {str(target): at for at, target in enumerate(table.targets)}
    lower = np.tril_indices(len(number))
    return {
        **{method: as_base64(matrix.to_numpy()[lower], np.float32) for method, matrix in related.matrices.items()},
        "order": {method: [number[name] for name in made.order] for method, made in related.clusters.items()},
        "cluster": {method: made.cluster.tolist() for method, made in related.clusters.items()},
        "common": as_base64((known.T @ known)[lower], np.uint32),
        "rows": related.n_rows,
    }


class _Numbered(dict[str, int]):
    """Number texts in the order of their first use."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def _by_target(frame: pd.DataFrame | None) -> ByTarget:
    """Return the rows of each device and metric."""
    if frame is None or frame.empty:
        return {}
    return {(str(device), str(metric)): rows for (device, metric), rows in frame.groupby(["device", "metric"])}


def _predictions(
    table: CostTable,
    target: Target,
    scores_of: ByTarget,
    predictions_of: ByTarget,
    why: dict[Target, str],
    held_out: _Numbered,
) -> dict[str, Any]:
    """Return one fit's scores and predictions, and its residuals by op."""
    nothing = {"evaluation": None, "residuals": None, "no_evaluation": why.get(target, "it was not evaluated.")}
    scores = scores_of.get((target.device, target.metric))
    if scores is None:
        return nothing
    first = scores[scores["model"] == scores["model"].iloc[0]]
    row = first.loc[first["n_train"].idxmax()]
    rows = predictions_of.get((target.device, target.metric), pd.DataFrame())
    for name in ("model", "seed", "n_train", LEFT_OUT) if len(rows) else ():
        if name != LEFT_OUT or (name in rows and name in row):
            rows = rows[rows[name] == row[name]]
    if rows.empty:
        return nothing | {"no_evaluation": "its evaluation keeps no predictions."}
    held_back = _networks(table, rows["architecture"].tolist())
    made = {"residuals": _residuals(_has_op(held_back), rows)}
    drawn = np.arange(len(rows))
    if len(rows) > _DRAWN:
        drawn = np.linspace(0, len(rows) - 1, _DRAWN).astype(int)
    shown = rows.iloc[drawn]
    space = table.space
    archs = held_back.archs[drawn] if isinstance(held_back, ArchBatch) else None
    evaluation_of_target = {
        "model": str(row["model"]),
        "n_train": int(row["n_train"]),
        "n": len(rows),
        "scores": {name: _number(row[name]) if name in row else None for name in _SCORES},
        "archs": [held_out[text] for text in shown["architecture"]],
        "index": space.index(archs).tolist() if isinstance(space, NASBench201) and archs is not None else None,
        **{name: _numbers(shown[name]) for name in ("measured", "predicted", "low", "high")},
    }
    return {**made, "evaluation": evaluation_of_target}


def _networks(table: CostTable, names: list[str]) -> NetworkBatch:
    """Return the networks that an evaluation names; architectures need not be in the table."""
    space = table.space
    if space is None:
        return table.batch.take(table.find(names))
    archs = space.as_array(names)
    return ArchBatch(space, archs, (space.default_config,), np.zeros(len(archs), np.intp))


def _cut_off(table: CostTable, names: list[str]) -> list[int]:
    """Return which of some networks have no path from input to output."""
    return np.flatnonzero(~_networks(table, names).connected).tolist() if names else []


def _has_op(networks: NetworkBatch) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which networks have each op of their space, or, of graphs, each kind of operator: (n,) each.

    Where positions have different choices, an op is one choice at one position.
    """
    if isinstance(networks, ArchBatch):
        archs, space = networks.archs, networks.space
        if space.ops:
            return {op: (archs == number).any(axis=1) for number, op in enumerate(space.ops)}
        named = zip(space.position_names, space.ops_at, archs.T, strict=True)
        return {f"{name}={op}": held == number for name, ops, held in named for number, op in enumerate(ops)}
    return {kind: counts > 0 for kind, counts in networks.count_kinds("folded").items()}


def _residuals(has_op: dict[str, npt.NDArray[np.bool_]], rows: pd.DataFrame) -> list[dict[str, Any]]:
    measured = rows["measured"].to_numpy(float)
    usable = measured > 0
    errors = np.full(len(rows), np.nan)
    errors[usable] = rows["predicted"].to_numpy(float)[usable] / measured[usable] - 1
    made = []
    for op, has in has_op.items():
        mine = errors[has & usable]
        if len(mine):
            mean, median = _number(mine.mean()), _number(np.median(mine))
            made.append({"op": op, "mean": mean, "median": median, "n": len(mine)})
    return made


def _curve(target: Target, scores_of: ByTarget, why: dict[Target, str]) -> dict[str, Any]:
    scores = scores_of.get((target.device, target.metric))
    if scores is None:
        return {"curve": None, "no_curve": why.get(target, "it was not evaluated.")}
    scores = scores[scores["model"] == scores["model"].iloc[0]]
    steps = []
    for size, part in scores.groupby("n_train", sort=True):
        step: dict[str, Any] = {"n_train": int(str(size)), "seeds": len(part)}
        for name in ("kendall_tau", "mdape"):
            step |= {name: _number(part[name].mean()), f"{name}_sd": _number(part[name].std())}
        steps.append(step)
    return {"curve": steps}
