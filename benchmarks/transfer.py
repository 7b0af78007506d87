"""A new device in a few measurements: ``python -m benchmarks transfer``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.figure import Figure, shared_data
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.evaluation import few_shot_table, help2021, leave_one_device_out, nasflat2024
from hwnas_surrogate.evaluation.peers import NASFLAT
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.search import suggest
from hwnas_surrogate.trainers import AdaptWarning, SurrogateSuite, TransferSurrogate, fit_sources

SEEDS = range(10)
"""Draws that are reported; settings were chosen on seeds from 100 on."""
WANTED = {
    ("nasbench201", "9 sources, random, full", 10): ">= .973",
    ("nasbench201", "no source, random, full", 10): ">= .963",
    ("nasbench201", "9 sources, random, full", 20): ">= .977",
    ("nasbench201", "no source, random, full", 20): ">= .973",
    ("nasbench201", "9 sources, suggested, full", 10): ">= .978",
    ("nasbench201", "no source, suggested, full", 10): ">= .975",
    ("nasbench201", "9 sources, random, trimmed", 20): ">= .955",
    ("fbnet", "9 sources, random, full", 10): ">= .975",
    ("fbnet", "9 sources, random, full", 20): ">= .982",
}
TASKS = {"F0": 0.984, "F1": 0.91, "F2": 0.962, "F3": 0.962, "F4": 0.808, "F5": 0.785, "N0": 0.977}
RECALIBRATED_WITH = 3
POOL = 250
"""Networks are suggested among so many random ones, so that they differ between draws."""


def run() -> Iterator[Figure]:
    """Yield the figures."""
    warnings.simplefilter("ignore", AdaptWarning)
    folder = shared_data()
    if folder is None:
        yield Figure("protocols of HELP and NASFLAT", "skipped: ../shared/data is absent")
    else:
        for space in ("nasbench201", "fbnet"):
            table = load_table(folder / f"{space}_latency.npz", space)
            assert isinstance(table, CostTable)
            yield from _help(table)
            yield from _nasflat(table)
            yield from _each_device(table)
        yield from _speed(folder)
    yield from _mobile()
    yield from _intervals()
    yield from _guarded()
    yield from _recalibrated()


def _mobile() -> Iterator[Figure]:
    """Yield figures of the bundled runtimes that people ship on phones, from networks that suggest chose."""
    bundled = load_table(space="nasbench201")
    assert isinstance(bundled, CostTable)
    for device in ("sapphire-litert-1t", "sapphire-ncnn-1t", "sapphire-litert-int8-1t"):
        table = bundled.select(device)
        table = table.rows(np.flatnonzero(~np.isnan(table.costs[:, 0])))
        for n in (10, 20):
            found = pd.DataFrame([_from_suggested(table, n, seed) for seed in SEEDS])
            yield Figure(
                f"{device}, {n} of {POOL} random networks, suggested, no source, {len(SEEDS)} draws: spearman; median "
                "error; within 10 %",
                f"{found[0].mean():.4f} sd {found[0].std():.4f}, worst {found[0].min():.4f}; {found[1].mean():.1%}; "
                f"{found[2].mean():.0%}",
                ">= .97" if n == 10 and "int8" not in device else "",
            )


def _from_suggested(table: CostTable, n: int, seed: int) -> tuple[float, float, float]:
    some = np.random.default_rng(seed).permutation(len(table))[:POOL]
    chosen = suggest(table.batch.take(some), n, random_state=seed).networks
    known = np.isin(table.space.index(table.archs), table.space.index(chosen.archs))
    fitted = TransferSurrogate(table.space, [], seed).fit(table.archs[known], table.costs[known, 0])
    measured = table.costs[~known, 0]
    error = np.abs(fitted.predict(table.archs[~known]) / measured - 1)
    rho = spearmanr(fitted.predict(table.archs[~known]), measured).statistic
    return float(rho), float(np.median(error)), float((error <= 0.1).mean())


def _help(table: CostTable) -> Iterator[Figure]:
    told = few_shot_table(help2021(table, seeds=SEEDS))
    published = told[told["setting"].str.startswith("published")]
    for row in told[~told["setting"].str.startswith("published")].to_dict("records"):
        kind = "trimmed" if row["setting"].endswith("trimmed") else "full"
        theirs = published[
            published["setting"].str.contains(f"HELP.*{kind}") & (published["measurements"] <= row["measurements"])
        ]
        devices = ", ".join(f"{name} {value:.3f}" for name, value in list(row.items())[2:-1])
        others = "; ".join(
            f"HELP, {other['measurements']}: {other['mean']:.3f} ("
            + ", ".join(f"{name} {value:.3f}" for name, value in list(other.items())[2:-1] if value == value)
            + ")"
            for other in theirs.to_dict("records")
        )
        yield Figure(
            f"HELP's devices, {table.space.name}, {row['measurements']} measurements, {row['setting']}, "
            f"{len(SEEDS)} draws: spearman, mean (each)",
            f"{row['mean']:.4f} ({devices})",
            WANTED.get((table.space.name, row["setting"], row["measurements"]), ""),
            others,
        )


def _nasflat(table: CostTable) -> Iterator[Figure]:
    scores = nasflat2024(table, seeds=SEEDS).scores
    for task, rows in scores.groupby("task", sort=False):
        means = rows.groupby("model")["spearman_rho"].mean()
        yield Figure(
            f"NASFLAT's {task}, 20 measurements, {len(SEEDS)} draws: spearman with {len(NASFLAT[str(task)].sources)} "
            "sources; without any",
            f"{means['with the sources']:.4f}; {means['no source']:.4f}",
            f">= {TASKS[str(task)]}",
            ", ".join(f"{method} {value:.3f}" for method, value in NASFLAT[str(task)].published.items()),
        )


def _each_device(table: CostTable) -> Iterator[Figure]:
    told = few_shot_table(leave_one_device_out(table, sizes=(10, 20), seeds=SEEDS))
    everyone = told[told["device"] != "mean"].set_index("device")
    for name, values in everyone.items():
        yield Figure(
            f"{table.space.name}, each of {len(everyone)} devices in turn, {name}: spearman, mean; worst five",
            f"{values.mean():.4f}; "
            + ", ".join(f"{device} {value:.3f}" for device, value in values.nsmallest(5).items()),
        )
    for n in (10, 20):
        gain = everyone[f"no source, suggested, n={n}"] - everyone[f"no source, n={n}"]
        yield Figure(
            f"{table.space.name}, n={n}: suggested architectures against random ones, {len(gain)} devices: mean gain, "
            "worst",
            f"{gain.mean():+.4f}, {gain.min():+.4f} ({gain.idxmin()})",
            ">= .005" if n == 10 else ">= 0",
        )


def _speed(folder: Path) -> Iterator[Figure]:
    table = load_table(folder / "nasbench201_latency.npz", "nasbench201")
    assert isinstance(table, CostTable)
    start = time.perf_counter()
    sources = fit_sources(table.rows(range(900)), table.targets[:13])
    yield Figure("fitting 13 sources, 900 costs each", f"{time.perf_counter() - start:.1f} s", "< 60 s")
    costs = table.costs[:, -1]
    for n in (10, 20, 100):
        seconds = []
        for seed in range(5):
            rows = np.random.default_rng(seed).permutation(len(table))[:n]
            start = time.perf_counter()
            TransferSurrogate("nasbench201", sources).fit(table.archs[rows], costs[rows])
            seconds.append(time.perf_counter() - start)
        yield Figure(f"adapting to {n} measurements with 13 sources", f"{np.median(seconds):.2f} s", "< 1 s")


def _bundled(space: str, target: str) -> tuple[CostTable, np.ndarray]:
    table = load_table(space=space)
    assert isinstance(table, CostTable)
    part = table.select(target)
    kept = part.rows(np.flatnonzero(~np.isnan(part.costs[:, 0])))
    return kept, kept.costs[:, 0]


def _intervals() -> Iterator[Figure]:
    for space, target in (
        ("nasbench201", "epyc-torch-1t/latency"), ("nasbench201", "epyc-onnxruntime-1t/latency"),
        ("nasbench201", "epyc-openvino-1t/latency"), ("fbnet", "epyc-onnxruntime-1t/latency"),
    ):  # fmt: skip
        table, _ = _bundled(space, target)
        for n in (10, 20):
            inside = in_parallel(_inside, [(n, seed) for seed in range(20)], shared=(table,))
            yield Figure(
                f"intervals of 80, 90, 95 % from {n} measurements, {target}, {space}, 20 draws: coverage",
                ", ".join(f"{100 * part:.1f} %" for part in np.mean(inside, axis=0)),
            )


def _inside(table: CostTable, n: int, seed: int) -> list[float]:
    """Return the coverage of intervals of 80, 90 and 95 % from n measurements."""
    costs = table.costs[:, 0]
    order = np.random.default_rng(seed).permutation(len(table))
    mine, rest = order[:n], order[n : n + 1000]
    fitted = TransferSurrogate(table.space.name).fit(table.archs[mine], costs[mine])
    bounds = (fitted.predict_interval(table.archs[rest], coverage=coverage).T for coverage in (0.8, 0.9, 0.95))
    return [float(((costs[rest] >= low) & (costs[rest] <= high)).mean()) for low, high in bounds]


def _guarded() -> Iterator[Figure]:
    for space, target in (("nasbench201", "epyc-onnxruntime-1t/latency"), ("fbnet", "epyc-torch-1t/latency")):
        table, costs = _bundled(space, target)
        rng = np.random.default_rng(0)
        hostile = {
            "random numbers": rng.uniform(1, 2, len(table)),
            "the reversed ranking": costs.max() + costs.min() - costs,
        }
        settings: dict[str, SurrogateSuite | None] = {"no source": None}
        for name, values in hostile.items():
            false = CostTable(table.space, table.archs[:900], values[:900, None], ["false/latency"])
            settings[name] = fit_sources(false)
        other, _ = _bundled("fbnet" if space == "nasbench201" else "nasbench201", "epyc-torch-1t/latency")
        settings["the other space"] = fit_sources(other.rows(range(500)))
        tasks = [(name, seed) for name in settings for seed in SEEDS]
        found = np.reshape(in_parallel(_guarded_rho, tasks, shared=(table, settings)), (len(settings), -1))
        yield Figure(
            f"useless and hostile sources, {target}, {space}, 10 measurements, {len(SEEDS)} draws: spearman",
            ", ".join(f"{name} {mean:.4f}" for name, mean in zip(settings, found.mean(axis=1), strict=True)),
            "none worse than no source",
        )


def _guarded_rho(table: CostTable, settings: dict[str, SurrogateSuite | None], name: str, seed: int) -> float:
    """Return the correlation on networks that were not measured, with some sources."""
    costs = table.costs[:, 0]
    order = np.random.default_rng(seed).permutation(len(table))
    mine, rest = order[:10], order[10:1010]
    fitted = TransferSurrogate(table.space.name, settings[name], calibrate=False).fit(table.archs[mine], costs[mine])
    return float(spearmanr(fitted.predict(table.archs[rest]), costs[rest]).statistic)


def _recalibrated() -> Iterator[Figure]:
    """Ask a surrogate fitted under one config for others, before and after three measurements there."""
    modified = load_table("modified")
    assert isinstance(modified, CostTable)
    for column, target in enumerate(modified.targets):
        table, _ = _bundled("nasbench201", str(target))
        sources = fit_sources(table.rows(range(900)))
        count = np.bincount(
            modified.config_number[~np.isnan(modified.costs[:, column])], minlength=len(modified.configs)
        )
        tasks = [(column, which, seed) for which in np.flatnonzero(count >= 10).tolist() for seed in range(3)]
        rows = in_parallel(_recalibrated_errors, tasks, shared=(modified, sources))
        told = np.median(rows, axis=0)
        yield Figure(
            f"{target} under {len(rows) // 3} other configs, surrogate fitted under one: median error before, after "
            f"{RECALIBRATED_WITH} measurements there; from these alone",
            ", ".join(f"{100 * value:.1f} %" for value in told),
        )


def _recalibrated_errors(
    modified: CostTable, sources: SurrogateSuite, column: int, which: int, seed: int
) -> list[np.floating[Any]]:
    """Return median errors under another config: before and after some measurements there, and from these alone."""
    config = modified.configs[which]
    mine = np.flatnonzero((modified.config_number == which) & ~np.isnan(modified.costs[:, column]))
    archs, costs = modified.archs[mine], modified.costs[mine, column]
    order = np.random.default_rng(seed).permutation(len(mine))
    few, rest = order[:RECALIBRATED_WITH], order[RECALIBRATED_WITH:]
    before = _away(sources, archs, config)[rest]
    fitted = TransferSurrogate("nasbench201", sources, calibrate=False).fit(archs[few], costs[few], config)
    bare = TransferSurrogate("nasbench201", calibrate=False).fit(archs[few], costs[few], config)
    after, alone = (one.predict(archs[rest], config) for one in (fitted, bare))
    return [np.median(np.abs(predicted / costs[rest] - 1)) for predicted in (before, after, alone)]


def _away(sources: SurrogateSuite, archs: np.ndarray, config: object) -> np.ndarray:
    from hwnas_surrogate.trainers.sources import SourceCosts

    encoder = SourceCosts("nasbench201", tuple(sources.surrogates_.values()))
    frame: pd.DataFrame = encoder.frame(archs, config)  # type: ignore[arg-type]
    return frame.to_numpy()[:, 0]
