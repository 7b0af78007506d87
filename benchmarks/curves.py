"""How errors fall and what intervals hold as measurements grow, on all devices: ``python -m benchmarks curves``.

Hours of fits: every result is a line of ``build/benchmarks/curves.csv``, and what stands there is not done again.
Delete it to measure a changed default. ``docs/curves.png`` is drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.figure import Figure, shared_data
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.jobs import as_finished
from hwnas_surrogate.trainers import Surrogate

RESULTS = Path("build/benchmarks/curves.csv")
PICTURE = Path(__file__).parents[1] / "docs" / "curves.png"
SIZES = (5, 10, 15, 20, 30, 60, 100, 124, 200, 400, 900, 2500, 7800)
"""Up to half of a table's rows."""
MANY_DRAWS, DRAWS = range(50), range(20)
FEW = 30
"""Up to so many measurements, fifty draws are made: one draw tells little of a coverage."""
HELD_OUT = 1000
"""Rows scored, or as many as are left."""
TITLES = {
    "nasbench201 bundled": "NAS-Bench-201, bundled",
    "fbnet bundled": "FBNet, bundled",
    "nasbench201": "NAS-Bench-201, others' devices",
    "fbnet": "FBNet, others' devices",
}
COVERAGES = (0.8, 0.9, 0.95)
SCORES = ("spearman", "p99", "median", "held_80", "held_90", "held_95", "width_90")
COLUMNS = ("space", "target", "n", "seed", *SCORES)
_NEAR_ZERO = 0.05
"""Relative errors are of costs above this quantile: some devices have near-zero costs."""


def run() -> Iterator[Figure]:
    """Fit what is missing; tell what falls with more measurements, and what intervals hold."""
    tables = _tables()
    missing = _missing(tables)
    for n in SIZES:
        tasks = [task for task in missing if task[2] == n]
        for _, line in as_finished(_scores, tasks, shared=(tables,)):
            with RESULTS.open("a") as file:
                file.write(",".join(map(str, line)) + "\n")
    results = pd.read_csv(RESULTS)
    _draw(results)
    yield from _steps(results)
    yield from _coverage(results)


def _tables() -> dict[str, CostTable]:
    """Return what is measured: the bundled targets, and the devices measured by others where they are at hand."""
    tables = {f"{space} bundled": load_table(space=space) for space in ("nasbench201", "fbnet")}
    if (folder := shared_data()) is not None:
        tables |= {space: load_table(folder / f"{space}_latency.npz", space) for space in ("nasbench201", "fbnet")}
    return {name: table for name, table in tables.items() if isinstance(table, CostTable)}


def _missing(tables: dict[str, CostTable]) -> list[tuple[str, str, int, int]]:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    if not RESULTS.exists():
        RESULTS.write_text(",".join(COLUMNS) + "\n")
    done = set(pd.read_csv(RESULTS)[["space", "target", "n", "seed"]].itertuples(index=False, name=None))
    asked = []
    for n in SIZES:
        for name, table in tables.items():
            measured = (~np.isnan(table.costs)).sum(axis=0)
            for target, rows in zip(table.targets, measured, strict=True):
                draws = MANY_DRAWS if n <= FEW else DRAWS
                asked += [(name, str(target), n, seed) for seed in draws if 2 * n <= rows]
    return [job for job in asked if job not in done]


def _scores(tables: dict[str, CostTable], space: str, target: str, n: int, seed: int) -> tuple[object, ...]:
    """Return a line of the results."""
    table = tables[space].select(target)
    return space, target, n, seed, *(f"{value:.5g}" for value in scores_of_default(table, n, seed, HELD_OUT))


def scores_of_default(
    table: CostTable, n: int, seed: int, held_out: int, surrogate: Surrogate | None = None
) -> tuple[float, ...]:
    """Fit to n rows of a table's only target, drawn at random, and score so many others: a number for each score.

    The default surrogate, or another.
    """
    costs = table.costs[:, 0]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~np.isnan(costs)))
    train, test = order[:n], order[n : n + held_out]
    surrogate = surrogate or Surrogate(table.space.name, random_state=seed)
    surrogate.fit(table.archs[train], costs[train])
    truth, predicted = costs[test], surrogate.predict(table.archs[test])
    dear = truth > np.quantile(truth, _NEAR_ZERO)
    off = np.abs(predicted[dear] / truth[dear] - 1)
    held, width = [], 0.0
    for coverage in COVERAGES:
        low, high = surrogate.predict_interval(table.archs[test], coverage=coverage).T
        held.append(float(((truth >= low) & (truth <= high)).mean()))
        if coverage == 0.9:
            width = float(np.median(high - low) / np.median(truth))
    rho = float(spearmanr(predicted, truth).statistic)
    return rho, float(np.quantile(off, 0.99)), float(np.median(off)), *held, width


def _steps(results: pd.DataFrame) -> Iterator[Figure]:
    """Yield the means at every n, and where more measurements make it worse by more than two standard errors."""
    results = results[results["seed"].isin(DRAWS)]
    for space, rows in results.groupby("space", sort=False):
        for n, part in rows.groupby("n"):
            yield Figure(
                f"{space}, n={n}, {part['target'].nunique()} targets, {len(DRAWS)} splits: spearman; 99th percentile "
                "and median of relative errors",
                f"{part['spearman'].mean():.4f}; {part['p99'].mean():.1%}, {part['median'].mean():.2%}",
            )
        for score, better in (("spearman", 1), ("p99", -1)):
            table = rows.pivot_table(index=["target", "seed"], columns="n", values=score)
            down = []
            for before, after in pairwise(table.columns):
                step = (better * (table[after] - table[before])).dropna().groupby("target")
                error = step.std() / np.sqrt(step.count())
                worse = step.mean()[step.mean() < -2 * error - 1e-6]
                down += [f"{target} {before} to {after}: {size:+.4f}" for target, size in worse.items()]
            total = table.notna().groupby("target").any().sum(axis=1).sub(1).sum()
            yield Figure(
                f"{space}: paired steps of {score} that are worse by more than two standard errors, of {total}",
                f"{len(down)}" + "".join(f"; {said}" for said in down),
                "0, and chance: 2 in 100",
            )


def _coverage(results: pd.DataFrame) -> Iterator[Figure]:
    """Yield what intervals hold at each n: the mean over targets, and how many are off."""
    for (space, n), rows in results.groupby(["space", "n"], sort=False):
        means = rows.groupby("target")[["held_80", "held_90", "held_95", "width_90"]].mean()
        inexact = means[(means["width_90"] > 1e-6) & (means["held_80"] < 0.99)]
        if inexact.empty:
            continue
        off = {part: (inexact[f"held_{part}"] - part / 100).abs() <= 0.03 for part in (80, 90, 95)}
        spread = inexact["held_90"]
        held = ", ".join(f"{100 * inexact[f'held_{part}'].mean():.1f} %" for part in off)
        yield Figure(
            f"{space}, n={n}, {rows['seed'].nunique()} draws, {len(inexact)} targets that are not exact sums: coverage "
            "of 80, 90, 95 %; targets within 3 points; lowest and highest of 90 %; median width",
            f"{held}; {', '.join(str(int(near.sum())) for near in off.values())}; "
            f"{spread.min():.1%} ({spread.idxmin()}), {spread.max():.1%} ({spread.idxmax()}); "
            f"{inexact['width_90'].median():.1%}",
            "within 3 points",
        )


def _draw(results: pd.DataFrame) -> None:
    """Draw the curves: one thin line per target, a thick one for the mean as far as every target reaches."""
    from matplotlib.figure import Figure as Canvas

    results = results[results["seed"].isin(DRAWS)]
    spaces = list(dict.fromkeys(results["space"]))
    canvas = Canvas(figsize=(4 * len(spaces), 9), layout="constrained")
    rows = (
        ("spearman", "Spearman correlation"),
        ("p99", "99th percentile of errors"),
        ("held_90", "in the 90 % interval"),
    )
    axes = canvas.subplots(len(rows), len(spaces), sharex=True, sharey="row", squeeze=False)
    for column, space in enumerate(spaces):
        of_space = results[results["space"] == space]
        for row, (score, label) in enumerate(rows):
            ax = axes[row, column]
            means = of_space.pivot_table(index="n", columns="target", values=score)
            ax.plot(means.index, means, color="#64748b", alpha=0.35, linewidth=0.8)
            everyone = means.dropna()
            ax.plot(everyone.index, everyone.mean(axis=1), color="#b91c1c", linewidth=2, label="mean of all targets")
            ax.set_xscale("log")
            ax.grid(alpha=0.3)
            if score == "held_90":
                ax.axhline(0.9, color="black", linewidth=1, linestyle="--")
                ax.set_ylim(0.7, 1.01)
                ax.set_xlabel("measurements")
            elif score == "p99":
                ax.set_yscale("log")
                ax.set_ylim(1e-3, 2)
            else:
                ax.set_ylim(0.6, 1.005)
            if not column:
                ax.set_ylabel(label)
            if not row:
                ax.set_title(f"{TITLES[space]} ({of_space['target'].nunique()} targets)")
    axes[0, 0].legend(loc="lower right")
    canvas.savefig(PICTURE, dpi=90)
