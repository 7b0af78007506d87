"""What measuring on a board costs, against measuring here: this host as a board, over SSH on the loopback interface."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure
from hwnas_surrogate.measure import OnnxRuntime, measure
from hwnas_surrogate.measure.runner_file import runner_source
from hwnas_surrogate.runner import ENGINES
from hwnas_surrogate.spaces import get_space
from tests.measure.sshd import running

N = 100
PAIRS = 3


def run() -> Iterator[Figure]:
    """Yield the figures."""
    yield _sizes()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        yield from _against_here(Path(folder), server.url())


def _sizes() -> Figure:
    """Return the sizes of the runner for each kind of files."""
    suffixes = sorted({engine.suffix for engine in ENGINES.values()})
    sizes = {suffix: len(runner_source(suffix).encode()) for suffix in suffixes}
    text = ", ".join(f"{suffix} {size:,}" for suffix, size in sizes.items())
    return Figure("the runner, in bytes", text, "<= 60,000")


def _against_here(folder: Path, url: str) -> Iterator[Figure]:
    """Measure the same networks here and on the board in turn."""
    space = get_space("nasbench201")
    archs = space.sample(N, 3)
    seconds: dict[str, list[float]] = {"here": [], "board": []}
    costs: dict[str, list[np.ndarray]] = {"here": [], "board": []}
    loads = []
    for pair in range(PAIRS):
        for place, board in (("here", None), ("board", url)):
            loads.append(os.getloadavg()[0])
            start = time.perf_counter()
            table = measure(space, archs, folder / f"{place}-{pair}.parquet", runtime=OnnxRuntime(), board=board)
            seconds[place].append(time.perf_counter() - start)
            costs[place].append(table.costs[:, 0])
    ratios = np.array(seconds["board"]) / np.array(seconds["here"])
    pairs = zip(seconds["board"], seconds["here"], strict=True)
    told = ", ".join(f"{there:.1f} / {here:.1f} s" for there, here in pairs)
    yield Figure(
        f"measuring {N} networks with ONNX Runtime on a board, over the time here (median of {PAIRS} pairs)",
        f"{np.median(ratios):.2f} ({told}; load before {', '.join(f'{load:.1f}' for load in loads)})",
        "<= 1.2",
    )
    here, there = (np.median(costs[place], axis=0) for place in ("here", "board"))
    yield Figure(
        "the costs on the board, over those here (median, 5th to 95th percentile)",
        ", ".join(f"{ratio:.3f}" for ratio in np.percentile(there / here, [50, 5, 95])),
        "1",
    )
