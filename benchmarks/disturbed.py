"""Costs under load by other processes, against the costs without it, and what a measurement says about itself.

The machine should have nothing else to do: the lines show how busy others kept its cores.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure
from hwnas_surrogate.measure import OnnxRuntime, Protocol, Runtime, Torch, measure
from hwnas_surrogate.spaces import get_space

N_NETWORKS = 16
PROTOCOL = Protocol(passes=1)
MANY, FEW = 20, 6
CORES = sorted(os.sched_getaffinity(0))
BUSY = """
import os, sys, time
core, period, share = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
os.sched_setaffinity(0, {core})
while True:
    end = time.perf_counter() + period * share
    while time.perf_counter() < end:
        pass
    time.sleep(period * (1 - share))
"""
"""A loop that keeps a core busy for a share of each period."""


@dataclass(frozen=True)
class AsBefore(OnnxRuntime):
    """ONNX Runtime whose waiting for a core stays in the times."""

    name: ClassVar[str] = "onnxruntime, waiting left in"

    @property
    def is_serial(self) -> bool:
        """False: nothing is subtracted."""
        return False


def busy(core: int, period: float = 0.02, share: float = 0.5) -> list[str]:
    """Return the command of a busy loop."""
    return [sys.executable, "-c", BUSY, str(core), str(period), str(share)]


def stress(*arguments: str) -> list[str]:
    """Return a command of stress-ng."""
    return ["stress-ng", "--quiet", *arguments]


HALF = "stress-ng on all cores, half of the time"
LOADS = {
    "a busy loop on the same core, half of the time": busy(CORES[0]),
    HALF: stress("--cpu", str(len(CORES)), "--cpu-load", "50"),
    "stress-ng on all cores": stress("--cpu", str(len(CORES))),
    "bursts of 5 s on the same core": busy(CORES[0], 10.0),
    "a busy loop on another core": busy(CORES[-1], share=1.0),
    "stress-ng reading memory on another core": ["taskset", "-c", str(CORES[-1]), *stress("--stream", "1")],
}
"""Processes that disturb."""
OFTEN = 2
"""So many of them, the first, disturb many runs; the others a few."""


def run() -> Iterator[Figure]:
    """Yield the figures."""
    yield from _compared(OnnxRuntime(), LOADS, MANY)
    yield from _compared(Torch(), LOADS, MANY)
    yield from _compared(AsBefore(), [HALF], FEW)
    yield from _compared(Torch(threads=len(CORES)), [HALF], FEW)


def _compared(runtime: Runtime, loads: Iterable[str], count: int) -> Iterator[Figure]:
    """Measure without and with each load in turn, so that both see the same of what else happens here."""
    name = f"{runtime.name}, {runtime.threads} thread{'s' * (runtime.threads > 1)}"
    idle: list[dict[str, Any]] = []
    loaded: dict[str, list[dict[str, Any]]] = {}
    for number in range(count):
        idle.append(_measured(runtime))
        for place, load in enumerate(loads):
            if shutil.which(LOADS[load][0]) and (number < FEW or place < OFTEN):
                with _running(LOADS[load]):
                    loaded.setdefault(load, []).append(_measured(runtime))
    usual = np.median([one["costs"] for one in idle], axis=0)
    yield Figure(f"{name}: the runs called idle, against their median", _told(idle, usual), "no others; all trusted")
    for load, runs in loaded.items():
        yield Figure(f"{name}: {load}", _told(runs, usual), "<= 5 %, or distrusted")


def _measured(runtime: Runtime) -> dict[str, Any]:
    """Measure the networks, on one core if there is one thread."""
    space = get_space("nasbench201")
    os.sched_setaffinity(0, CORES[: runtime.threads])
    try:
        with tempfile.TemporaryDirectory() as folder:
            archs = space.sample(N_NETWORKS, 5)
            table = measure(space, archs, Path(folder, "t.parquet"), runtime=runtime, protocol=PROTOCOL)
    finally:
        os.sched_setaffinity(0, CORES)
    return {"costs": table.costs[:, 0], **table.meta["disturbance"], "disturbed": table.meta["disturbed"]}


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, start_new_session=True)
    time.sleep(0.5)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _told(runs: list[dict[str, Any]], usual: npt.NDArray[np.float64]) -> str:
    """Return each run's median difference from the usual costs, and what the runs say of themselves."""
    away = [float(np.median(np.abs(one["costs"] / usual - 1))) for one in runs]
    said = [one["disturbed"] is not None for one in runs]
    far = [value > 0.05 for value in away]
    missed = sum(is_far and not warned for is_far, warned in zip(far, said, strict=True))
    others = [one.get("others", 0.0) / one["wall"] for one in runs]
    waiting = [one.get("waiting", 0.0) / one["wall"] for one in runs]
    return (
        f"differences {_range(away, '{:.1%}')}; of {len(runs)}, {sum(far)} above 5 %, {sum(said)} distrusted, {missed} "
        f"above 5 % and trusted; others kept {_range(others, '{:.2f}')} cores busy, waiting {_range(waiting, '{:.0%}')}"
    )


def _range(values: list[float], form: str) -> str:
    return f"{form.format(float(np.median(values)))} ({form.format(min(values))} to {form.format(max(values))})"
