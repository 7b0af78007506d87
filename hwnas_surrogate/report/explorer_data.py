"""The data of the report's explorer: networks, their costs with intervals, qualities, and where costs come from."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.data.table import config_name
from hwnas_surrogate.evaluation.holdout import multiply_adds
from hwnas_surrogate.report.candidates import COVERAGE, Candidates
from hwnas_surrogate.report.parts import op_effects, operator_shares
from hwnas_surrogate.spaces import NASBench201, SearchSpace

__all__ = ["as_base64", "explorer"]


def explorer(made: Candidates) -> dict[str, Any]:
    """Return what the explorer shows, as plain values for JSON, large arrays as base64.

    Predictions are float32; the bounds of their intervals are float16 multiples of them, which is exact to a twentieth
    of a percent.
    """
    table = made.table
    return {
        "n": len(table),
        "measured": made.n_measured,
        "whole": made.whole,
        "about": made.about,
        "coverage": COVERAGE,
        **_architectures(table),
        **_macs(table),
        "cut_off": np.flatnonzero(~table.batch.connected).tolist(),
        "quality": None
        if made.quality is None
        else {"name": str(made.quality.name), "values": as_base64(made.quality, np.float32)},
        "predicted": [_predicted(made, target) for target in table.targets],
        "effects": op_effects(made),
        "shares": operator_shares(made),
    }


def as_base64(values: npt.ArrayLike, dtype: type[np.generic]) -> str:
    """Return an array's little-endian bytes as text."""
    little = np.asarray(values).astype(np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")


def _architectures(table: CostTable) -> dict[str, Any]:
    """Return the architectures as op numbers and the text around the ops, or as texts if that is impossible."""
    space = table.space
    if space is None:
        return {"texts": list(table.names), "ops_at": []}
    archs = table.archs
    made: dict[str, Any] = {
        "archs": as_base64(archs, np.int8),
        "positions": list(space.position_names),
        "ops_at": [list(ops) for ops in space.ops_at],
        "cell": isinstance(space, NASBench201),
    }
    pieces, texts = _pieces(space), space.format_all(archs)
    names = np.array(space.ops, object)[archs] if space.ops else np.empty(archs.shape, object)
    joined = np.full(len(archs), pieces[0], object) if len(pieces) == space.n_positions + 1 else np.array([])
    for position, piece in enumerate(pieces[1:] if len(joined) else []):
        joined = joined + names[:, position] + piece
    made |= {"pieces": pieces} if joined.tolist() == texts else {"texts": texts}
    if hasattr(space, "index") and math.prod(space.n_ops_at.tolist()) < 2**31:
        made["index"] = as_base64(space.index(archs), np.int32)
    if len(table.configs) > 1:
        made["configs"] = [config_name(space, config) for config in table.configs]
        made["config_number"] = as_base64(table.config_number, np.int32)
    return made


def _pieces(space: SearchSpace) -> list[str]:
    """Return the text between the ops in an architecture's string."""
    text = space.format(np.zeros((1, space.n_positions), np.int8))
    return text.split(space.ops[0]) if space.ops else [text]


def _macs(table: CostTable) -> dict[str, Any]:
    """Return millions of live multiply-adds, and of all if these differ."""
    live, every = multiply_adds(table, "live"), multiply_adds(table, "all")
    more = None if (live == every).all() else as_base64(every / 1e6, np.float32)
    return {"macs": as_base64(live / 1e6, np.float32), "all_macs": more}


def _predicted(made: Candidates, target: Target) -> dict[str, Any]:
    """Return a target's predictions of the networks without a cost, in the order of their rows."""
    if target not in made.predicted:
        return {"values": None, "why": made.why_not.get(target, "")}
    values, low, high = made.predicted[target].T
    with np.errstate(invalid="ignore", divide="ignore"):
        bounds = [np.where(values > 0, bound / values, np.nan) for bound in (low, high)]
    rows = np.flatnonzero(made.to_predict(target))
    everywhere = len(rows) == len(made.table) - made.n_measured and (rows >= made.n_measured).all()
    with np.errstate(over="ignore"):
        low_text, high_text = (as_base64(bound, np.float16) for bound in bounds)
    return {
        "values": as_base64(values, np.float32),
        "low": low_text,
        "high": high_text,
        "rows": None if everywhere else as_base64(rows, np.int32),
        "trained": made.surrogates[target].n_train_,
    }
