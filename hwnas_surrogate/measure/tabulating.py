"""The readings of a measurement as the columns of a cost table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable, Device, Target
from hwnas_surrogate.data.profiles import check_sum
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.graphs.profiled import node_times
from hwnas_surrogate.measure.subjects import Subject
from hwnas_surrogate.runner.engine import Operator
from hwnas_surrogate.runner.protocol import Protocol, Readings

__all__ = ["costs_of", "profiled", "tabulated", "with_throughput"]


def tabulated(
    subjects: Sequence[Subject], readings: Readings, device: Device, protocol: Protocol
) -> tuple[list[int], dict[str, Any]]:
    """Return which of the subjects have a cost or a failure, and the arguments of :class:`CostTable` for these."""
    metrics = ["latency", "energy"] if protocol.energy else ["latency"]
    rows = [row for row, subject in enumerate(subjects) if _is_known(readings, subject)]
    measured = [subjects[row] for row in rows]
    parts = [costs_of(measured, readings, metric) for metric in metrics]
    costs, repeats = (np.stack(arrays, axis=1) for arrays in zip(*parts, strict=True))
    return rows, {
        "costs": costs,
        "targets": [Target(device.name, metric) for metric in metrics],
        "devices": [device],
        "reasons": _reasons(measured, readings, len(metrics)),
        "repeats": repeats,
    }


def profiled(
    subjects: Sequence[Subject],
    readings: Readings,
    graph_of: Callable[[int], Graph],
    device: Device,
    costs: npt.NDArray[np.float64],
) -> tuple[dict[Target, list[npt.NDArray[np.float64] | None]], dict[str, Any]]:
    """Return the times of the graphs' nodes, for :class:`CostTable`, and what is to be known of the profiles.

    Profiles of an earlier run count too, where this one requested none.

    Parameters
    ----------
    subjects : sequence of n Subject
    readings : Readings
    graph_of : callable
        Returns the graph of a row, for one image. It may raise InvalidGraphError: a network may run that can't be
        captured.
    device : Device
    costs : ndarray of float64, shape (n,)
        The latencies in ms. A profile that does not add up to about one is left out, with the reason.
    """
    times: list[npt.NDArray[np.float64] | None] = []
    failures: dict[str, str] = {}
    left = 0
    is_repeated = len({subject.key[0] for subject in subjects}) < len(subjects)
    for row, subject in enumerate(subjects):
        reading = readings.reading(subject.key)
        times.append(None)
        name = " under ".join(subject.key[:2]) if is_repeated else subject.key[0]  # an architecture of several configs
        try:
            if reading.operators:
                of_nodes = node_times(graph_of(row), _of_one_image(reading.operators, device.batch or 1))
                check_sum(float(of_nodes.sum()), float(costs[row]), name)
                times[-1] = of_nodes
            elif reading.unprofiled:
                failures[name] = reading.unprofiled
            elif readings.protocol.profile:
                left += not readings.is_profiled(subject.key)
        except (InvalidGraphError, InvalidInputError) as error:
            failures[name] = str(error)
    return {Target(device.name, "latency"): times}, {
        "networks": sum(each is not None for each in times),
        "failed": failures,
        **({"left": left} if left else {}),
    }


def _of_one_image(operators: Sequence[Operator], batch: int) -> list[Operator]:
    """Return operators with what they write for one image of a batch; what is of no image, such as weights, stays."""
    return [
        operator._replace(written=operator.written // batch) if operator.written % batch == 0 else operator
        for operator in operators
    ]


def _is_known(readings: Readings, subject: Subject) -> bool:
    return bool(readings.reading(subject.key).failure) or readings.has_latency(subject.key)


def _values(readings: Readings, subject: Subject, metric: str) -> list[npt.NDArray[np.float64]]:
    """Return the cost from each pass; empty if the network failed."""
    if readings.reading(subject.key).failure:
        return []
    if metric == "latency":
        return readings.latencies(subject.key)
    return [np.array([value]) for value in readings.energies(subject.key)]


def costs_of(
    subjects: Sequence[Subject], readings: Readings, metric: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return costs, shape (n,), and quartiles of all runs with costs of even and odd passes, shape (n, 5)."""
    costs, repeats = [], []
    for subject in subjects:
        passes = _values(readings, subject, metric)
        quartiles = np.percentile(np.concatenate(passes), [25, 50, 75]).tolist() if passes else [np.nan] * 3
        of_pass = [float(np.percentile(values, 25)) for values in passes]
        costs.append(_mean(of_pass))
        repeats.append([*quartiles, _mean(of_pass[::2]), _mean(of_pass[1::2])])
    return np.array(costs), np.array(repeats)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan


def _reasons(subjects: Sequence[Subject], readings: Readings, n_targets: int) -> dict[str, npt.NDArray[np.bool_]]:
    reasons: dict[str, npt.NDArray[np.bool_]] = {}
    for row, subject in enumerate(subjects):
        failure = readings.reading(subject.key).failure
        if failure:
            reasons.setdefault(failure, np.zeros((len(subjects), n_targets), bool))[row] = True
    return reasons


def with_throughput(table: CostTable) -> CostTable:
    """Return a table with the throughput of each device beside its latency, in images per second.

    It is the batch divided by the latency. Quartiles of runs become those of the throughput.

    Raises
    ------
    InvalidInputError
        If a device's batch is not known, as for networks of your own.
    """
    latencies = [target for target in table.targets if target.metric == "latency"]
    unknown = [target.device for target in latencies if table.devices[target.device].batch is None]
    if unknown:
        raise InvalidInputError(
            f"device {unknown[0]!r} has no batch of its own, so that images per second are not known: leave out the "
            "throughput."
        )
    columns = [table.targets.index(target) for target in latencies]
    images = np.array([table.devices[target.device].batch or 1 for target in latencies]) * 1e3
    repeats = None
    if table.repeats is not None:
        rates = images[:, None] / table.repeats[:, columns]
        repeats = np.concatenate([table.repeats, rates[:, :, [2, 1, 0, 3, 4]]], axis=1)
    return CostTable(
        table.space,
        table.archs,
        np.concatenate([table.costs, images / table.costs[:, columns]], axis=1),
        [*table.targets, *(Target(target.device, "throughput") for target in latencies)],
        configs=table.row_configs,
        groups=table.groups,
        devices=table.devices.values(),
        reasons={reason: np.concatenate([where, where[:, columns]], axis=1) for reason, where in table.reasons.items()},
        repeats=repeats,
        operators=table.operators,
        meta=table.meta,
    )
