"""Measure the latency of many networks on this host, resumably."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from hwnas_surrogate.data import CostTable, Device, Target, write_parquet
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.measure.environment import environment
from hwnas_surrogate.measure.journal import Journal
from hwnas_surrogate.measure.torch_eager import TorchEager
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, SearchSpace, get_space

__all__ = ["Progress", "measure"]

Progress = Callable[[int, int], None]

BLOCK = 16
"""Networks held in memory at once, whose runs alternate."""


def measure(
    space: str | SearchSpace,
    archs: Archs,
    output: str | os.PathLike[str],
    config: ConfigLike = None,
    *,
    device: str | None = None,
    runtime: TorchEager | None = None,
    passes: int = 2,
    repeats: int = 6,
    warmup: int = 1,
    random_state: int = 0,
    progress: Progress | None = None,
) -> CostTable:
    """Measure latency on this host.

    Every network is timed in each of several passes over all of them. Each pass takes them in a new random order, in
    blocks whose runs alternate, so that a drift of the machine does not follow the order of the architectures. One
    more network, the anchor, runs in every block: times are divided by how slow it was there, which takes the drift
    out. The cost is the median of all runs; their interquartile range is kept, and the table's ``meta`` holds the drift
    and how well two passes agree.

    Parameters
    ----------
    space : str or SearchSpace
        The search space.
    archs : architectures
        n different ones.
    output : path-like
        The table to write (parquet). Beside it, ``<output>.journal`` holds every run; a measurement that was stopped
        goes on where it was.
    config : config, optional
        The network config; the space's first published one if None.
    device : str, optional
        The device's name in the table.
    runtime : TorchEager, optional
        What runs the networks; torch on one thread if None.
    passes : int, default=2
        Passes over all architectures.
    repeats : int, default=6
        Timed runs of a network in each pass.
    warmup : int, default=1
        Untimed runs before.
    random_state : int, default=0
        Seed of the orders.
    progress : callable, optional
        Called with (networks timed, networks to time), counted over all passes.

    Returns
    -------
    CostTable
        Latency in ms, for one image.

    Raises
    ------
    InvalidInputError
        If there are no architectures or one stands twice, or a number is out of range.
    MeasurementError
        If ``output`` belongs to a measurement with other settings.
    """
    chosen = get_space(space)
    runner = TorchEager() if runtime is None else runtime
    target = Target(device or runner.default_name, "latency")
    settings: dict[str, Any] = {
        "space": chosen.name,
        "config": str(chosen.config(config)),
        "device": runner.device(target.device).to_dict(),
        "anchor": chosen.format(_anchor(chosen)),
        "passes": passes,
        "repeats": repeats,
        "warmup": warmup,
        "random_state": random_state,
    }
    job = _Job(chosen, chosen.as_array(archs), chosen.config(config), runner, settings)
    _check(job)
    journal = Journal(f"{output}.journal", settings, {"environment": environment()})
    with runner.active():
        _measure_missing(journal, job, progress)
    table = _table(journal, job)
    write_parquet(table, Path(output))
    return table


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What is to be measured, how, and with what."""

    space: SearchSpace
    archs: npt.NDArray[np.int8]
    config: NetworkConfig
    runtime: TorchEager
    settings: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        return self.space.format_all(self.archs)


def _check(job: _Job) -> None:
    """Raise for what can't be measured, before anything is."""
    if not len(job.archs):
        raise InvalidInputError("there is nothing to measure: no architectures were given.")
    if len(np.unique(job.space.codes(job.archs))) < len(job.archs):
        raise InvalidInputError("an architecture stands more than once among those to measure; give each once.")
    for what, least in (("passes", 1), ("repeats", 1), ("warmup", 0), ("random_state", 0)):
        value = job.settings[what]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInputError(f"{what} must be an integer of at least {least}, got {value!r}.")
    for built in (job.archs, _anchor(job.space)[None]):
        job.space.layers(built, job.config)


def _measure_missing(journal: Journal, job: _Job, progress: Progress | None) -> None:
    texts, settings = job.texts, job.settings
    done = {(entry["pass"], entry["arch"]) for entry in journal.entries}
    asked = {(number, text) for number in range(settings["passes"]) for text in texts}
    finished, total = len(done & asked), len(asked)
    if progress is not None:
        progress(finished, total)
    if finished == total:
        return
    anchor = job.runtime.prepare(job.space, _anchor(job.space), job.config)
    for number in range(settings["passes"]):
        rng = np.random.default_rng([settings["random_state"], number])
        todo = [row for row in rng.permutation(len(texts)).tolist() if (number, texts[row]) not in done]
        for start in range(0, len(todo), BLOCK):
            rows = todo[start : start + BLOCK]
            runs = [anchor, *(job.runtime.prepare(job.space, job.archs[row], job.config) for row in rows)]
            anchor_ns, *times = _time(runs, settings["repeats"], settings["warmup"], rng).tolist()
            journal.append(
                *(
                    {"pass": number, "arch": texts[row], "ns": ns, "anchor_ns": anchor_ns}
                    for row, ns in zip(rows, times, strict=True)
                )
            )
            finished += len(rows)
            if progress is not None:
                progress(finished, total)


def _anchor(space: SearchSpace) -> npt.NDArray[np.int8]:
    """Return the network that runs in every block; how its time moves is how the machine drifts."""
    arch: npt.NDArray[np.int8] = space.sample(1, random_state=0)[0]
    return arch


def _time(
    runs: Sequence[Callable[[], object]], repeats: int, warmup: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Time alternating runs, in a new order each round: (networks, repeats) nanoseconds."""
    for run in runs:
        for _ in range(warmup):
            run()
    times = np.empty((len(runs), repeats), np.int64)
    clock = time.perf_counter_ns
    for repeat in range(repeats):
        for number in rng.permutation(len(runs)).tolist():
            run = runs[number]
            start = clock()
            run()
            times[number, repeat] = clock() - start
    return times


def _table(journal: Journal, job: _Job) -> CostTable:
    texts, settings = job.texts, job.settings
    wanted = set(texts)
    entries = [entry for entry in journal.entries if entry["arch"] in wanted]
    anchor_ms = np.array([np.median(entry["anchor_ns"]) for entry in entries]) / 1e6
    usual = float(np.median(anchor_ms))
    runs: dict[str, list[npt.NDArray[np.float64]]] = {text: [] for text in texts}
    for entry, now in zip(entries, anchor_ms, strict=True):
        runs[entry["arch"]].append(np.array(entry["ns"], float) / 1e6 * (usual / now))
    ms = np.array([np.concatenate(runs[text]) for text in texts])
    lower, median, upper = np.percentile(ms, [25, 50, 75], axis=1)
    meta = {
        **journal.info,
        "protocol": {
            "estimator": "median of all runs, each divided by how slow the anchor network was in its block relative to "
            "its median over all; spread is the interquartile range",
            **{key: settings[key] for key in ("passes", "repeats", "warmup", "random_state")},
            "block": BLOCK,
        },
        "anchor": {
            "architecture": settings["anchor"],
            "median_ms": usual,
            "percentiles_5_95_ms": np.percentile(anchor_ms, [5, 95]).tolist(),
        },
        "repeatability": _repeatability(runs, texts),
    }
    device = Device(**settings["device"])
    return CostTable(
        job.space,
        job.archs,
        median[:, None],
        [Target(device.name, "latency")],
        configs=job.config,
        devices=[device],
        spread=(upper - lower)[:, None],
        meta=meta,
    )


def _repeatability(runs: dict[str, list[npt.NDArray[np.float64]]], texts: list[str]) -> dict[str, float]:
    """Tell how well the medians of the first two passes agree; no surrogate can be asked for more."""
    if len(texts) < 2 or len(runs[texts[0]]) < 2:
        return {}
    first, second = (np.array([np.median(runs[text][number]) for text in texts]) for number in (0, 1))
    return {
        "kendall_tau": float(kendalltau(first, second).statistic),
        "median_relative_difference": float(np.median(np.abs(second / first - 1.0))),
    }
