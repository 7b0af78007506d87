"""A thousand source devices: ``python -m benchmarks atlas``.

Every synthetic device is a variation of a measured one: what its layers cost is multiplied, quantity by quantity, by
random factors. None is drawn around the device that is predicted, or the same hardware at another batch size. Fitted
sources are kept in ``build/benchmarks/atlas``, every score and most timings are lines of
``build/benchmarks/atlas.jsonl``: what the same code did is not done again.
"""

from __future__ import annotations

import re
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.figure import Figure, shared_data
from hwnas_surrogate.columns import Columns
from hwnas_surrogate.data import CostTable, Target, load_table
from hwnas_surrogate.devices import cluster_devices, correlation, principal_directions
from hwnas_surrogate.devices.correlation import METHODS
from hwnas_surrogate.evaluation.peers import HELP
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.jobs import Pieces, in_parallel
from hwnas_surrogate.jobs.pieces import source_version
from hwnas_surrogate.report import write_report
from hwnas_surrogate.report.relations import MOST_SHOWN
from hwnas_surrogate.trainers import AdaptWarning, SurrogateSuite, TransferSurrogate, fit_sources

FOLDER = Path("build/benchmarks/atlas")
RESULTS = FOLDER.with_suffix(".jsonl")
SPACE = "nasbench201"
SEEDS = range(10, 20)
"""Draws that are reported; settings were chosen on seeds from 100 on, and some of the first ten were seen then."""
SHOTS = 10
SCORED = 2000
"""Random architectures that a device is scored on, of those that were not measured."""
CHILDREN = 43
"""Synthetic devices around each measured one."""
SOURCES = 1000
MEASURED = 100
"""Measurements of a synthetic device."""
SPREAD, NOISE = 0.5, 0.02
"""Standard deviations of the logarithms of a synthetic device's factors, and of its measurements' errors."""
SYNTHETIC = {"children": CHILDREN, "measured": MEASURED, "spread": SPREAD, "noise": NOISE}
DEVICES, ROWS, KNOWN = 2000, 1000, 0.1
"""A table of many devices: targets, networks, and the part of the costs that is known."""
FITTED = (10, 20, 40, 80)
"""Numbers of devices that ``fit_sources`` is timed with."""


def run() -> Iterator[Figure]:
    """Fit and score what is missing."""
    folder = shared_data()
    if folder is None:
        yield Figure("a thousand source devices", "skipped: ../shared/data is absent")
        return
    warnings.simplefilter("ignore", AdaptWarning)
    table = load_table(folder / f"{SPACE}_latency.npz", SPACE)
    assert isinstance(table, CostTable)
    children = synthetic(table)
    hand_picked = fit_sources(
        table.rows(HELP[SPACE].pool), [Target(device, "latency") for device in HELP[SPACE].sources]
    )
    yield from _scores(table, children, hand_picked, SEEDS)
    yield _speed(table, sources_for("titan_rtx_1", children))
    yield from _many()
    yield _linear(table)


def family(device: str) -> str:
    """Return the hardware of a device's name, without the batch size."""
    return re.sub(r"_(1|32|256)$", "", device)


def synthetic(table: CostTable) -> dict[str, SurrogateSuite]:
    """Return fitted synthetic devices, by the measured device that they are drawn around."""
    # Surrogates that other code or settings fitted don't count.
    folder = FOLDER / joblib.hash((source_version(), SYNTHETIC, table.fingerprint))[:12]
    in_parallel(_fit_children, [(number,) for number in range(len(table.targets))], shared=(table, folder))
    return {target.device: SurrogateSuite.load(folder / target.device) for target in table.targets}


def sources_for(device: str, children: dict[str, SurrogateSuite]) -> list[SurrogateSuite | object]:
    """Return the surrogates of a thousand synthetic devices that are not drawn around a device's family."""
    others = [suite for parent, suite in children.items() if family(parent) != family(device)]
    generations = zip(*(suite.surrogates_.values() for suite in others), strict=True)
    return [surrogate for generation in generations for surrogate in generation][:SOURCES]


def _fit_children(table: CostTable, folder: Path, number: int) -> None:
    """Draw synthetic devices around one of a table's, fit their surrogates and save them, unless they are there."""
    parent, rng = table.targets[number], np.random.default_rng(1000 + number)
    if (folder / parent.device / "manifest.json").is_file():
        return
    pool = table.rows(HELP[table.space.name].pool)
    model = fit_sources(pool, [parent])[parent].model_.physics_
    features = LayerPhysics(table.space).frame(pool.batch)
    chosen = Columns.of(features).where("physics")
    shares = features.to_numpy()[:, chosen] * model.coef_[chosen]
    costs = pool.costs[:, table.targets.index(parent)]
    drawn = np.full((len(pool), CHILDREN), np.nan)
    for child in range(CHILDREN):
        factors = np.exp(SPREAD * rng.standard_normal(len(chosen)))
        rows = rng.permutation(len(pool))[:MEASURED]
        changed = _ratios(shares[rows] @ factors, shares[rows].sum(axis=1))
        drawn[rows, child] = costs[rows] * changed * np.exp(NOISE * rng.standard_normal(MEASURED))
    names = [f"{parent.device}-{child}/latency" for child in range(CHILDREN)]
    fit_sources(CostTable(table.space, pool.archs, drawn, names)).save(folder / parent.device)


def _ratios(changed: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Divide; 1 where physics had no share in the cost."""
    return np.where(before > 0, changed / np.where(before > 0, before, 1), 1.0)


def _scores(
    table: CostTable, children: dict[str, SurrogateSuite], hand_picked: SurrogateSuite, seeds: range
) -> Iterator[Figure]:
    tasks = [(device, seed) for device in HELP[SPACE].targets for seed in seeds]
    with Pieces(RESULTS, "atlas", table.fingerprint, SYNTHETIC, SHOTS, SCORED, SOURCES) as kept:
        rows = in_parallel(scored, tasks, shared=(table, children, hand_picked), kept=kept)
    scores = pd.DataFrame(rows, pd.MultiIndex.from_tuples(tasks, names=["device", "seed"]))
    means = scores.groupby(level="device", sort=False).mean()
    sd = scores.groupby(level="seed").mean().std(ddof=1)
    for name, wanted in (("none", ""), ("nine", ""), ("thousand", f">= {means['nine'].mean():.4f}")):
        yield Figure(
            f"{len(means)} held-out devices, {SHOTS} measurements, {len(seeds)} draws, sources: {name}: spearman, mean "
            "(sd over draws; each device)",
            f"{means[name].mean():.4f} ({sd[name]:.4f}; "
            + ", ".join(f"{device} {value:.3f}" for device, value in means[name].items())
            + ")",
            wanted,
        )
    gain = means["thousand"] - means["none"]
    yield Figure(
        "a thousand synthetic sources against none: mean gain, worst device",
        f"{gain.mean():+.4f}, {gain.min():+.4f} ({gain.idxmin()})",
        "worst >= -.001",
    )


def scored(
    table: CostTable, children: dict[str, SurrogateSuite], hand_picked: SurrogateSuite, device: str, seed: int
) -> dict[str, float]:
    """Score one device and draw without sources, with nine measured ones, and with a thousand synthetic ones."""
    costs = table.costs[:, table.targets.index(Target(device, "latency"))]
    order = np.random.default_rng(seed).permutation(len(table))
    shots, rest = order[:SHOTS], order[SHOTS : SHOTS + SCORED]
    result = {}
    for name, sources in (("none", None), ("nine", hand_picked), ("thousand", sources_for(device, children))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AdaptWarning)
            fitted = TransferSurrogate(table.space, sources, calibrate=False).fit(table.archs[shots], costs[shots])
        result[name] = float(spearmanr(fitted.predict(table.archs[rest]), costs[rest]).statistic)
    return result


def _speed(table: CostTable, sources: list[SurrogateSuite | object]) -> Figure:
    seconds = []
    costs = table.costs[:, table.targets.index(Target("titan_rtx_1", "latency"))]
    for seed in range(5):
        rows = np.random.default_rng(seed).permutation(len(table))[:SHOTS]
        start = time.process_time()
        TransferSurrogate(table.space, sources).fit(table.archs[rows], costs[rows])
        seconds.append(time.process_time() - start)
    return Figure(
        f"adapting to {SHOTS} measurements with {len(sources)} sources, CPU time, 5 draws",
        f"{np.mean(seconds):.2f} s (sd {np.std(seconds, ddof=1):.2f})",
        "< 2 s",
    )


def many_devices(seed: int = 0) -> CostTable:
    """Return costs of synthetic devices, of which most are missing: four quantities, mixed at random, and noise."""
    rng = np.random.default_rng(seed)
    quantities = np.exp(0.8 * rng.standard_normal((ROWS, 4)))
    costs = quantities @ rng.dirichlet(np.full(4, 0.5), DEVICES).T * np.exp(rng.standard_normal(DEVICES))
    costs *= np.exp(0.05 * rng.standard_normal(costs.shape))
    costs[rng.random(costs.shape) > KNOWN] = np.nan
    return CostTable(SPACE, list(range(ROWS)), costs, [f"phone-{number:04}/latency" for number in range(DEVICES)])


def _many() -> Iterator[Figure]:
    with Pieces(RESULTS, "many devices", DEVICES, ROWS, KNOWN) as kept:
        seconds = in_parallel(_analyses, [()], kept=kept)[0]
    table = f"{DEVICES:,} devices, {ROWS:,} networks, {KNOWN:.0%} of the costs measured, CPU time"
    yield Figure(
        f"{table}: correlation of all pairs ({', '.join(METHODS)})",
        ", ".join(f"{seconds[method]:.1f} s" for method in METHODS),
        "< 10 s",
    )
    parts = ("clusters", "principal directions", "report")
    yield Figure(
        f"{table}: {', '.join(parts)} ({MOST_SHOWN} devices evaluated); together",
        f"{', '.join(f'{seconds[part]:.1f} s' for part in parts)}; {sum(seconds[part] for part in parts):.1f} s",
        "< 60 s",
    )


def _analyses() -> dict[str, float]:
    """Return the CPU seconds of each analysis of a table of many devices."""
    table = many_devices()
    seconds = {method: _seconds(lambda method=method: correlation(table, method)) for method in METHODS}
    matrix = correlation(table)
    seconds["clusters"] = _seconds(lambda: cluster_devices(matrix))
    seconds["principal directions"] = _seconds(lambda: principal_directions(table))
    with tempfile.TemporaryDirectory() as folder:
        seconds["report"] = _seconds(lambda: write_report(table, Path(folder) / "report.html"))
    return seconds


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _linear(table: CostTable) -> Figure:
    """Fit the surrogates of more and more devices; with two jobs, too, and compare what they predict."""
    pool, rng = table.rows(HELP[SPACE].pool), np.random.default_rng(0)
    columns = np.resize(np.arange(len(table.targets)), max(FITTED))
    costs = pool.costs[:, columns] * np.exp(NOISE * rng.standard_normal((len(pool), len(columns))))
    costs[np.argsort(rng.random(costs.shape), axis=0) >= MEASURED] = np.nan
    many = CostTable(SPACE, pool.archs, costs, [f"device{number}/latency" for number in range(len(columns))])
    with Pieces(RESULTS, "linear", table.fingerprint, MEASURED) as kept:
        seconds = in_parallel(_fitting_seconds, [(n,) for n in FITTED], shared=(many,), n_jobs=1, kept=kept)
    few = many.select(many.targets[: min(FITTED)])
    one, two = (fit_sources(few, n_jobs=jobs).predict(pool.archs).to_numpy() for jobs in (1, 2))
    each = ", ".join(f"{second / n:.3f} s" for second, n in zip(seconds, FITTED, strict=True))
    return Figure(
        f"fit_sources, {MEASURED} costs of each of {', '.join(map(str, FITTED))} devices: CPU time of each device; "
        "predictions after 1 and 2 jobs",
        f"{each}; {'equal' if (one == two).all() else 'not equal'} to the bit",
        "the same; equal",
    )


def _fitting_seconds(table: CostTable, n: int) -> float:
    part = table.select(table.targets[:n])
    return _seconds(lambda: fit_sources(part))
