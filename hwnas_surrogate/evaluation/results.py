"""The result of an evaluation: scores and all predictions, and a JSON file of both."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import hwnas_surrogate
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.files import replacing
from hwnas_surrogate.inputs import as_path, read_bytes, read_json

__all__ = ["BOUNDS", "DISTANCES", "Evaluation"]

FORMAT_VERSION = 1
_FORMAT = "hwnas-evaluation"
GROUP = ("model", "device", "metric", "unit", "seed", "n_train")
"""The columns that identify a fit."""
_NUMBERS = ("measured", "predicted", "low", "high", "distance")
_DIGITS = 9
_LARGEST, _MOST_VALUES = 2**30, 50_000_000
"""Bytes and values of a file: five values per held-out network of each fit."""
BOUNDS = 0.9
"""Coverage of the intervals that are kept."""
DISTANCES = (0.0, 0.25, 0.5, 1.0, 2.0, math.inf)
"""Edges of the log2 distances of :meth:`Evaluation.by_distance`."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Scores of held-out predictions, and the predictions themselves: the data of all figures.

    Parameters
    ----------
    scores : DataFrame
        One row per fit: ``model, device, metric, unit, seed, n_train``, the fields of :class:`Scores`,
        ``coverage_80``, ``coverage_90``, ``coverage_95`` (fraction of the measured costs inside such intervals),
        ``width_90`` (their median width, relative to the prediction), ``regret`` and ``overrun`` (what choosing by the
        predictions costs at the median budget, see :func:`regret`; the regret as a part of the best one's quality),
        and ``fit_seconds`` (encoding and calibration included); ``left_out`` where groups are held out in turn.
    predictions : DataFrame
        One row per held-out architecture of each fit: the same first six columns, ``architecture, config,
        connected`` (whether a path leads from its input to its output), ``measured, predicted, low, high`` (the 90 %
        interval; NaN without calibration) and ``distance`` (log2 distance of the config from the nearest trained one:
        the largest log2 ratio of mean multiply-adds, parameters and activation bytes).
        Empty for protocols that score on a whole space many times.
    about : mapping
        Metadata as plain values: protocol, table fingerprint, package version, ...
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        """Return a summary in one line, without the frames."""
        if self.scores.empty:
            return "Evaluation(no fits)"
        models = ", ".join(self.scores["model"].astype(str).unique())
        n_targets = len(self.scores[["device", "metric"]].drop_duplicates())
        return (
            f"Evaluation(scores: {len(self.scores):,} of {models} on {n_targets:,} target{'s' * (n_targets != 1)}; "
            f"predictions: {len(self.predictions):,})"
        )

    @classmethod
    def joined(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """Concatenate evaluations (of models, targets or sizes); ``about`` is that of the first."""
        if not parts:
            raise InvalidInputError("there is no evaluation to join.")
        return cls(
            pd.concat([part.scores for part in parts], ignore_index=True),
            pd.concat([part.predictions for part in parts], ignore_index=True),
            parts[0].about,
        )

    def by_distance(self) -> pd.DataFrame:
        """Summarise the errors by the log2 distance of the configs from those trained on.

        Returns
        -------
        DataFrame
            One row per model, target and distance that occurs: ``model, device, metric, unit, log2_distance`` (text),
            ``n``, ``mdape``, ``within_10pct``, ``within_20pct``, ``coverage_90``.
        """
        if not len(self.predictions):
            return pd.DataFrame()
        frame = self.predictions[self.predictions["measured"] != 0]
        error = (frame["predicted"] / frame["measured"] - 1).abs()
        cut = np.searchsorted(DISTANCES[1:-1], frame["distance"], side="right")
        keys = [frame[name] for name in GROUP[:4]]
        rows = []
        for key, part in frame.assign(error=error, cut=cut).groupby([*keys, "cut"], sort=False):
            step = int(part["cut"].iloc[0])
            low, high = DISTANCES[step], DISTANCES[step + 1]
            inside = (part["measured"] >= part["low"]) & (part["measured"] <= part["high"])
            rows.append(
                {
                    **dict(zip(GROUP[:4], key[:-1], strict=True)),
                    "log2_distance": f"{low:g} to {high:g}" if math.isfinite(high) else f"over {low:g}",
                    "n": len(part),
                    "mdape": float(part["error"].median()),
                    "within_10pct": float((part["error"] <= 0.1).mean()),
                    "within_20pct": float((part["error"] <= 0.2).mean()),
                    "coverage_90": float(inside.mean()) if part["low"].notna().all() else math.nan,
                    "cut": step,
                }
            )
        order = [*GROUP[:4], "cut"]
        result = pd.DataFrame(rows).sort_values(order, kind="stable", ignore_index=True) if rows else pd.DataFrame()
        return result.drop(columns="cut", errors="ignore")

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to a JSON file; numbers keep nine digits. An existing file is replaced atomically."""
        target = Path(path)
        archs = _Numbers()
        configs = _Numbers()
        connected: dict[str, bool] = {}
        groups = []
        by_fit = self.predictions.groupby(list(GROUP), sort=False, dropna=False) if len(self.predictions) else ()
        for key, part in by_fit:
            columns = {name: [_number(value) for value in part[name]] for name in _NUMBERS}
            if "connected" in part:
                connected |= dict(zip(part["architecture"], map(bool, part["connected"]), strict=True))
            groups.append(
                {
                    **{name: _number(value) for name, value in zip(GROUP, key, strict=True)},
                    "architecture": [archs[text] for text in part["architecture"]],
                    "config": [configs[text] for text in part["config"]],
                    **columns,
                }
            )
        records = [{name: _number(value) for name, value in row.items()} for row in self.scores.to_dict("records")]
        content = {
            "format": _FORMAT,
            "format_version": FORMAT_VERSION,
            "package_version": hwnas_surrogate.__version__,
            "about": dict(self.about),
            "scores": records,
            "architectures": list(archs),
            "cut_off": [number for text, number in archs.items() if not connected[text]] if connected else None,
            "configs": list(configs),
            "predictions": groups,
        }
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        return target

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Read what :meth:`write` wrote.

        Raises
        ------
        SavedFormatError
            If the file is no evaluation, damaged, or of another format version.
        """
        file = as_path(path)
        try:
            content = read_json(read_bytes(file, _LARGEST), _MOST_VALUES)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SavedFormatError(f"{path} can't be read as an evaluation: {reason}.") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise SavedFormatError(f"{path} is no evaluation that `hwnas evaluate` wrote.")
        if content.get("format_version") != FORMAT_VERSION:
            raise SavedFormatError(
                f"{path} is of format version {content.get('format_version')!r}, this version reads {FORMAT_VERSION}. "
                "Evaluate again."
            )
        try:
            archs = np.array(content["architectures"], object)
            configs = np.array(content["configs"], object)
            connected = None
            if content.get("cut_off") is not None:  # missing in files of earlier versions
                connected = ~np.isin(np.arange(len(archs)), content["cut_off"])
            parts = [_predictions(group, archs, configs, connected) for group in content["predictions"]]
            predictions = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
            return cls(_scores(content["scores"]), predictions, content["about"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise SavedFormatError(f"{path} is a damaged evaluation: {error!r}.") from error


def _scores(records: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(records)
    text = [*GROUP[:4], "task", "left_out"]
    numbers = [name for name in frame if name not in text]
    return frame.astype(dict.fromkeys(numbers, float)).astype({"seed": int, "n_train": int, "n": int})


def _predictions(
    group: dict[str, Any], archs: npt.NDArray[Any], configs: npt.NDArray[Any], connected: npt.NDArray[np.bool_] | None
) -> pd.DataFrame:
    n = len(group["architecture"])
    columns: dict[str, Any] = {name: [group[name]] * n for name in GROUP}
    columns["architecture"] = archs[np.array(group["architecture"], int)]
    columns["config"] = configs[np.array(group["config"], int)]
    if connected is not None:
        columns["connected"] = connected[np.array(group["architecture"], int)]
    for name in _NUMBERS:
        columns[name] = np.array([math.nan if value is None else float(value) for value in group[name]])
        if len(columns[name]) != n:
            raise ValueError(f"{name} holds {len(columns[name])} values for {n} architectures")
    return pd.DataFrame(columns)


def _number(value: Any) -> Any:
    """Return a value as JSON holds it: nine digits; null for NaN, and infinity as text."""
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else str(value)


class _Numbers(dict[str, int]):
    """Number texts in the order of their first use."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]
