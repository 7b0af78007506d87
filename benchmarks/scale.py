"""How the work scales: ``python -m benchmarks scale``, on two idle cores.

Every timing is a line of ``build/benchmarks/scale.jsonl``, and what stands there is not done again; the predictions
resume from a journal beside it, which also counts the seconds of the calls before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from joblib import parallel_config

from benchmarks import devices
from benchmarks.figure import Figure, shared_data
from benchmarks.kept import FOLDER, known, once
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.evaluation import evaluate
from hwnas_surrogate.features import make_encoder
from hwnas_surrogate.jobs import as_finished, in_parallel, on_cluster
from hwnas_surrogate.prediction import best_of_range
from hwnas_surrogate.search.calling import called_qualities
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite
from hwnas_surrogate.trainers.encoded import stack_encoder

RESULTS = FOLDER / "scale.jsonl"
SEEDS = 20
PAIRS = 3
"""Timings with one and with two jobs, in turn."""
TASKS = 40
"""Tasks of a second for a cluster of two."""
PREDICTED = 10**8
TARGET = "epyc-torch-1t/latency"
PAPER = 10**10, 100
"""Architectures and cores of what is told on paper."""


def run() -> Iterator[Figure]:
    """Time what is missing; the predictions come first, so that no other work's memory counts as theirs."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    yield from _predictions()
    yield _pairs(f"evaluate, {SEEDS} seeds of {TARGET}, n=400", _evaluation())
    folder = shared_data()
    if folder is not None:
        yield _pairs("the devices benchmark, NAS-Bench-201, n=100, 27 devices, 3 models, 2 seeds", _devices(folder))
    yield _overhead()
    yield _calls()


def _evaluation() -> Callable[[], object]:
    table = load_table(space="nasbench201")
    assert isinstance(table, CostTable)
    part = table.select(TARGET)
    return lambda: evaluate(part, n_train=400, n_test=500, seeds=range(SEEDS))


def _devices(folder: Path) -> Callable[[], object]:
    space = get_space("nasbench201")
    with np.load(folder / "nasbench201_latency.npz") as file:
        data = dict(file)
    archs = space.as_array(data.pop("op_index") if "op_index" in data else data.pop("arch_str").tolist())
    shared = make_encoder("combined", space).frame(archs), stack_encoder(space).frame(archs), data, 100
    tasks = [(device, seed, model) for seed in (0, 1) for device in data for model in ("default", "ridge", "xgboost")]
    return lambda: list(as_finished(devices.scored, tasks, shared=shared))


def _pairs(what: str, work: Callable[[], object]) -> Figure:
    """Time work with one job and with two, in turn; the processes of two are started before."""
    for pair in range(PAIRS):
        for jobs in (1, 2):
            once(RESULTS, f"{what}: {jobs}, {pair}", lambda jobs=jobs: {"seconds": _seconds_with(jobs, work)})
    one, two = (
        np.array([known(RESULTS)[f"{what}: {jobs}, {pair}"]["seconds"] for pair in range(PAIRS)]) for jobs in (1, 2)
    )
    ratios = one / two
    return Figure(
        f"{what}: times as fast with two jobs, {PAIRS} pairs: median (lowest to highest)",
        f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}), {np.median(one):.1f} s with one",
        ">= 1.8",
    )


def _seconds_with(jobs: int, work: Callable[[], object]) -> float:
    with parallel_config(n_jobs=jobs):
        in_parallel(_spin, [(0.5,)] * jobs)
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def _overhead() -> Figure:
    what = f"{TASKS} tasks of a second on a local cluster of two, that share 3 MB"
    found = once(RESULTS, what, _on_two)
    return Figure(
        f"{what}: time beyond that of the tasks; start of the cluster",
        f"{100 * (found['seconds'] / (TASKS / 2) - 1):.1f} %; {found['started']:.1f} s",
        "< 10 %",
    )


def _on_two() -> dict[str, float]:
    shared = np.random.default_rng(0).random(400_000)
    start = time.perf_counter()
    with on_cluster("local:2"):
        in_parallel(_spin, [(0.5,)] * 2)
        started, start = time.perf_counter() - start, time.perf_counter()
        in_parallel(_spin_beside, [(1.0,)] * TASKS, shared=(shared,))
        return {"seconds": time.perf_counter() - start, "started": started}


def _calls() -> Figure:
    what = f"{TASKS} calls of a second of a quality function on a local cluster of two"
    found = once(RESULTS, what, _rated_on_two)
    return Figure(
        f"{what}: time beyond that of the calls; start of the cluster and of their processes",
        f"{100 * (found['seconds'] / (TASKS / 2) - 1):.1f} %; {found['started']:.1f} s",
        "< 10 %",
    )


def _rated_on_two() -> dict[str, float]:
    space = get_space("nasbench201")
    batch = space.batch(space.sample(TASKS + 2, 0))
    start = time.perf_counter()
    with on_cluster("local:2"), called_qualities(_rated) as called:
        called(batch.take([0, 1]))
        started, start = time.perf_counter() - start, time.perf_counter()
        called(batch.take(np.arange(2, TASKS + 2)))
        return {"seconds": time.perf_counter() - start, "started": started}


def _rated(archs: list[str]) -> list[float]:
    """Wait a second for each network, as a training on another device would."""
    time.sleep(len(archs))
    return [float(arch.count("conv")) for arch in archs]


def _spin(seconds: float) -> None:
    """Keep a core busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _spin_beside(_: np.ndarray, seconds: float) -> None:
    _spin(seconds)


def _predictions() -> Iterator[Figure]:
    """Predict FBNet architectures with the default surrogate, and keep the best."""
    table = load_table(space="fbnet")
    assert isinstance(table, CostTable)
    suite = SurrogateSuite("fbnet", random_state=0).fit_table(table.select(TARGET))
    journal, what = FOLDER / "scale-best.journal", f"{PREDICTED:,} FBNet architectures, {TARGET}"
    best: dict[str, Any] = {}

    def predict() -> dict[str, float]:
        done = {"before": 0}
        start = time.perf_counter()
        with _peak_memory() as peak:
            best.update(best_of_range(suite, 0, PREDICTED, top=1000, n_jobs=2, journal=journal, progress=_first(done)))
        return {"seconds": time.perf_counter() - start, "bytes": max(peak), "before": done["before"]}

    found = once(RESULTS, what, predict)
    predicted = PREDICTED - found["before"]
    each = found["seconds"] / predicted
    yield Figure(
        f"{what}, drawn by number, best 1,000 kept, two jobs: time; each of two cores; peak memory of all processes",
        f"{found['seconds'] / 60:.1f} min for {predicted:,}; {0.5 / each:,.0f} a second; {found['bytes'] / 1e6:.0f} MB",
        "< 10 min, < 1 GB",
    )
    many, cores = PAPER
    yield Figure(
        f"on paper, from this speed: {many:,} architectures on {cores} cores", f"{many * each * 2 / cores / 60:.0f} min"
    )
    rows = (best or best_of_range(suite, 0, 10**6, top=1000))[TARGET]
    alone = suite[TARGET].predict(rows["architecture"].tolist())
    worst = float(np.abs(rows.iloc[:, 2] / alone - 1).max())
    yield Figure("the best 1,000 beside Surrogate.predict: worst relative difference", f"{worst:.1e}", "< 1e-9")


def _first(done: dict[str, int]) -> Callable[[int, int], None]:
    """Return a progress function that notes what a journal held already."""
    seen: list[int] = []

    def note(n: int, _: int) -> None:
        seen.append(n)
        if len(seen) == 1 and n > 10**6:
            done["before"] = n

    return note


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Sample the memory of this process and its children, shared pages counted once."""
    sampled, ended = [0], threading.Event()

    def sample() -> None:
        while not ended.wait(0.5):
            sampled.append(sum(map(_proportional, [os.getpid(), *_children(os.getpid())])))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield sampled
    finally:
        ended.set()
        thread.join()


def _children(process: int) -> list[int]:
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:  # it has ended
        return []
    return [found for child in map(int, text.split()) for found in (child, *_children(child))]


def _proportional(process: int) -> int:
    """Return a process's share of memory in bytes."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
