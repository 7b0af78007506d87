"""The main job on the bundled measurements, and how fast surrogates fit, load and predict."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, median_seconds
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.evaluation import evaluate, summary
from hwnas_surrogate.spaces import space_names
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

SPEED = {"nasbench201": ">= 200,000", "fbnet": ">= 100,000"}


def run() -> Iterator[Figure]:
    """Time `hwnas train`, score the bundled measurements, time fitting and prediction."""
    yield _main_job()
    for space in space_names():
        table = load_table(space=space)
        assert isinstance(table, CostTable)
        yield from _scores(table)
        yield from _speed(table)


def _main_job() -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = "from hwnas_surrogate.cli import main; main(['train'])"
        subprocess.run(
            [sys.executable, "-c", command],
            check=True,
            cwd=folder,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        return Figure("hwnas train, whole process", f"{time.perf_counter() - start:.1f} s", "< 60 s")


def _scores(table: CostTable) -> list[Figure]:
    figures = []
    for n_train in (20, 100, 400, None):
        for row in summary(evaluate(table, n_train=n_train, seeds=range(5)).scores).itertuples():
            figures.append(
                Figure(
                    f"bundled {table.space.name}, {row.device}/{row.metric}, n={row.n_train:.0f}, 5 splits: "
                    "kendall tau, within 10 %, rmse",
                    f"{row.kendall_tau:.4f} sd {row.kendall_tau_sd:.4f}, {100 * row.within_10pct:.1f} %, "
                    f"{row.rmse:.3g} {row.unit}",
                )
            )
    return figures


def _speed(table: CostTable) -> list[Figure]:
    space, costs = table.space, table.costs[:, 0]
    known = np.flatnonzero(~np.isnan(costs))
    archs, costs = table.archs[known], costs[known]
    n = min(900, len(costs))
    fit = median_seconds(lambda: Surrogate(space.name).fit(archs[:n], costs[:n]), 3)
    suite = SurrogateSuite(space.name).fit_table(table)
    sampled = space.sample(15_000, 0)
    with threadpool_limits(1):
        predict = median_seconds(lambda: suite.predict(sampled), 5)
        alone = {
            str(target): len(sampled) / median_seconds(lambda one=one: one.predict(sampled), 5)
            for target, one in suite.surrogates_.items()
        }
    with tempfile.TemporaryDirectory() as folder:
        suite.save(folder)
        load = median_seconds(lambda: SurrogateSuite.load(folder), 5)
    rate = len(sampled) * len(suite.targets_) / predict
    return [
        Figure(f"{space.name}: fit, n={n}", f"{fit:.3f} s"),
        Figure(f"{space.name}: predict with a suite, one core", f"{rate:,.0f} predictions/s"),
        *(
            Figure(f"{space.name}: predict {name}, one core", f"{speed:,.0f} architectures/s", SPEED[space.name])
            for name, speed in alone.items()
        ),
        Figure(f"{space.name}: load a suite of {len(suite.targets_)}", f"{1e3 * load:.1f} ms"),
    ]
