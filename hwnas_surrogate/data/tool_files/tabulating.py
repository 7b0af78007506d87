"""The results of tools as the columns of a cost table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.measurements import CONTRADICTION, FAILED
from hwnas_surrogate.data.profiles import check_sum
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.data.target import METRICS, Device, Target
from hwnas_surrogate.data.tool_files.models import GraphModel, Model
from hwnas_surrogate.data.tool_files.result import Cost, Operator, ToolResult
from hwnas_surrogate.errors import DataFileError, InvalidInputError

__all__ = ["Measured", "Placed", "tabulated"]

_MOST_REASONS = 100
"""Number of different failures that a table keeps; if there are more, each holds a path or an address."""

_MOST_VALUES = 1_500_000
"""Values of all operators, about four each: a table with 2 million values in its metadata can't be read."""


class Placed(NamedTuple):
    """A result, and the file that it is from."""

    result: ToolResult
    path: Path


class Measured(NamedTuple):
    """The results of one network: those that have a cost or failed, and the times of its operators.

    A log and the times of its runs are one measurement: where there are runs, other results don't count, but say under
    which conditions the tool ran.
    """

    model: Model
    timed: list[Placed]
    profile: Placed | None

    @classmethod
    def of(cls, model: Model, placed: Sequence[Placed]) -> Measured:
        """Choose among the results: those that were profiled count if there are no others.

        Raises
        ------
        DataFileError
            If there are only times of operators, or the network both failed and has a cost.
        """
        timed = [one for one in placed if one.result.cost is not None or one.result.failure]
        if not timed:
            raise DataFileError(
                f"{placed[0].path} has times of operators only, which don't add up to a network's: import its latency "
                "as well (trtexec: the log or --exportTimes; benchmark_app, benchmark_model: the log)."
            )
        failed, worked = (
            next((one.path for one in timed if bool(one.result.failure) is state), None) for state in (True, False)
        )
        if failed and worked:
            raise DataFileError(
                f"{failed} contradicts {worked}: the same network failed in the one, and has a cost in the other; "
                "leave one out."
            )
        alone = [one for one in timed if not one.result.profiled] or timed
        return cls(model, alone, next((one for one in placed if one.result.operators), None))

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The times of its operators, if the files hold any."""
        return () if self.profile is None else self.profile.result.operators

    @property
    def name(self) -> str:
        """What the network is called in the table's metadata."""
        model = self.model
        return model.name if isinstance(model, GraphModel) else f"{model.text}/{model.config}"

    @property
    def counted(self) -> list[Placed]:
        """The results whose costs count."""
        return [one for one in self.timed if one.result.runs_ms] or self.timed

    @property
    def costs(self) -> list[Cost]:
        """The costs, one of each result that counts and did not fail."""
        return [one.result.cost for one in self.counted if one.result.cost is not None]


def tabulated(measured: Sequence[Measured], placed: Sequence[Placed], device: str) -> CostTable:
    """Make the table of one device.

    Raises
    ------
    DataFileError
        If results were measured under different conditions, contradict one another, or are of several spaces.
    """
    _check_alike((one, {"runtime": one.result.runtime, "version": one.result.version}) for one in placed)
    worked = [one for row in measured for one in row.timed if not one.result.failure]
    _check_alike((one, _conditions(one.result)) for one in worked)
    for row in measured:
        _check_repeats(row)
    every = [cost for row in measured for cost in row.costs]
    metric = METRICS[every[0].metric if every else "latency"]
    repeats = np.array([[_repeats(row)] for row in measured])
    operators = _operators(measured)
    for row in measured:
        _check_profile(row)
    estimators = Counter(cost.estimator for cost in every)
    imported = {
        "files": sorted({one.path.name for one in placed}),
        "tools": sorted({one.result.tool for one in placed}),
        "measurements": sum(len(row.counted) for row in measured),
        "estimator": "; ".join(f"{text} ({n})" for text, n in estimators.items()),
    }
    return CostTable(
        **_networks(measured, placed[0].path),
        costs=[[_median([cost.value for cost in row.costs])] for row in measured],
        targets=[Target(device, metric.name)],
        devices=[_device(device, placed, worked)],
        reasons=_reasons(measured),
        repeats=None if np.isnan(repeats).all() else repeats,
        meta={"imported": imported, **({"operators": operators} if operators else {})},
    )


def _operators(measured: Sequence[Measured]) -> dict[str, list[list[Any]]]:
    """Return the times of operators by network, as plain values."""
    operators = {row.name: [list(operator) for operator in row.operators] for row in measured if row.operators}
    text = json.dumps(operators)
    if sum(map(text.count, ",[{")) > _MOST_VALUES:
        n = sum(map(len, operators.values()))
        raise DataFileError(
            f"the files have times of {n:,} operators, too many for a table: import them in several parts."
        )
    return operators


def _conditions(result: ToolResult) -> dict[str, str]:
    """Return what must be the same for all costs of a device."""
    assert result.cost is not None
    profiled = {"profiling, which takes time of its own": "yes" if result.profiled else "no"}
    stated = {"metric": result.cost.metric, "batch": str(result.batch or ""), "processor": result.hardware}
    return {**stated, **result.conditions, **profiled}


def _check_alike(stated: Iterable[tuple[Placed, Mapping[str, str]]]) -> None:
    """Raise if two files state different conditions."""
    seen: dict[str, tuple[str, Path]] = {}
    for (_, path), conditions in stated:
        for name, value in conditions.items():
            before, other = seen.setdefault(name, (value, path)) if value else (value, path)
            if before != value:
                raise DataFileError(
                    f"the files differ in {name}: {before} in {other}, {value} in {path}. Import them one after the "
                    "other, each with a device's name of its own."
                )


def _check_repeats(row: Measured) -> None:
    """Raise if the results of a network are too different."""
    placed = [one for one in row.counted if one.result.cost is not None]
    if not placed:
        return
    values = [cost.value for cost in row.costs]
    low, high = int(np.argmin(values)), int(np.argmax(values))
    if values[high] > CONTRADICTION * values[low]:
        raise DataFileError(
            f"{placed[low].path} contradicts {placed[high].path}: the same network, {values[low]:.6g} here and "
            f"{values[high]:.6g} there (repeats may differ by a factor of {CONTRADICTION:g})."
        )


def _check_profile(row: Measured) -> None:
    """Raise if the times of a network's operators don't add up to about its latency."""
    latencies = [cost.value for cost in row.costs if cost.metric == "latency"]
    if row.profile is None or not latencies:
        return
    try:
        check_sum(sum(operator.ms for operator in row.operators), _median(latencies), row.name)
    except InvalidInputError as error:
        raise DataFileError(f"{row.profile.path}: {error}") from error


def _repeats(row: Measured) -> list[float]:
    """Return the quartiles of the runs, or else of the results, and the costs of two halves of the results."""
    values = [cost.value for cost in row.costs]
    runs = [one.result.runs_ms for one in row.counted]
    quartiles = [np.nan] * 3
    if runs and all(runs):
        quartiles = np.percentile(np.concatenate(runs), [25, 50, 75]).tolist()
    elif len(values) > 1:
        quartiles = np.percentile(values, [25, 50, 75]).tolist()
    halves = [_median(values[::2]), _median(values[1::2])] if len(values) > 1 else [np.nan] * 2
    return [*quartiles, *halves]


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _networks(measured: Sequence[Measured], path: Path) -> dict[str, Any]:
    """Return the networks as arguments of a table."""
    models = [row.model for row in measured]
    spaces = {None if isinstance(model, GraphModel) else model.space.name for model in models}
    if len(spaces) > 1:
        names = ", ".join(sorted(str(name or "networks of any kind") for name in spaces))
        raise DataFileError(
            f"the results, as in {path}, are of several spaces: {names}. Import them one after the other."
        )
    graphs = [model for model in models if isinstance(model, GraphModel)]
    if graphs:
        named: dict[str, Any] = {}
        for model in graphs:
            if named.setdefault(model.name, model.graph) is not model.graph:
                raise DataFileError(f"the name {model.name!r:.200} means two different networks: rename one.")
        return {"space": None, "networks": named}
    archs = [model for model in models if not isinstance(model, GraphModel)]
    space = archs[0].space
    return {
        "space": space,
        "networks": space.stack([model.text for model in archs]),
        "configs": [model.config for model in archs],
    }


def _device(name: str, placed: Sequence[Placed], worked: Sequence[Placed]) -> Device:
    """Describe the device by what the files state."""
    results = [one.result for one in placed]
    conditions = {key: value for one in worked for key, value in one.result.conditions.items()}
    if conditions.get("requests") == "1":
        del conditions["requests"]
    stated = [f"{key} {value}" for key, value in conditions.items()]
    stated += ["profiled"] if any(one.result.profiled for one in worked) else []
    tools = ", ".join(dict.fromkeys(one.result.tool for one in worked or placed))
    version = next((result.version for result in results if result.version), "")
    runtime = f"{results[0].runtime} {version}".strip() + f" ({tools})"
    return Device(
        name,
        hardware=next((result.hardware for result in results if result.hardware), ""),
        runtime=", ".join([runtime, *stated]),
        batch=next((one.result.batch for one in worked if one.result.batch), None),
    )


def _reasons(measured: Sequence[Measured]) -> dict[str, npt.NDArray[np.bool_]]:
    failures = [row.timed[0].result.failure for row in measured]
    if len(set(failures)) > _MOST_REASONS:
        failures = [failure and FAILED for failure in failures]
    return {reason: np.array(failures)[:, None] == reason for reason in dict.fromkeys(failures) if reason}
