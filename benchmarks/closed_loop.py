"""The search whose picks are measured, and its certainty: ``python -m benchmarks closed_loop``.

Twenty minutes on one core. The results of each seed are a line of ``build/benchmarks/closed_loop.jsonl``, and what
stands there is not done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.figure import Figure
from benchmarks.kept import FOLDER, each_once
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import UnmetBudgetsError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.search import ClosedLoop, search, suggest
from hwnas_surrogate.trainers import adapt

RESULTS = FOLDER / "closed_loop.jsonl"
SEEDS = range(20)
"""Draws that are reported; the policy was chosen on seeds from 100 on."""
CERTAIN_SEEDS = range(50)
BUDGETS = (15, 40, 75)
"""Percentiles of the costs."""
CERTAIN_BUDGETS = (10, 25, 45, 65, 85)
POOL = 1000
"""The first networks are suggested among so many random candidates, so that they differ between seeds."""
FIRST, MOST, PICKS = 10, 30, 5
CERTAINTY = 0.9
MARGIN = 1.5
"""Budgets are smaller by so many noise floors where a repeated measurement is to keep them."""
ORT = "epyc-onnxruntime-1t/latency"

Vector = npt.NDArray[np.float64]
How = Literal["suggested", "random"]


def run() -> Iterator[Figure]:
    """Yield the figures."""
    for target in (ORT, "epyc-openvino-1t/latency"):
        yield from _regret(_truth("nasbench201", target))
    yield from _halves(_truth("nasbench201", ORT))
    for space in ("nasbench201", "fbnet"):
        for n in (10, 30):
            yield from (_certain(_truth(space, ORT), n, how) for how in ("random", "suggested"))


def _truth(space: str, target: str) -> CostTable:
    """Return the measured networks that have a path from input to output."""
    table = load_table(space=space)
    assert isinstance(table, CostTable)
    part = table.select(target)
    return part.rows(np.flatnonzero(~np.isnan(part.costs[:, 0]) & part.batch.connected))


def _quality(table: CostTable, seed: int, sd: float) -> pd.Series[float]:
    """Return 94 - 24 exp(-parameters / their median), with normal noise; parameters that reach the output count."""
    params = table.batch.total("params", "live")
    noise = np.random.default_rng(seed).normal(0, sd, len(table))
    return pd.Series(94 - 24 * np.exp(-params / np.median(params)) + noise, index=list(table.names))


def _first(table: CostTable, n: int, seed: int) -> NetworkBatch:
    some = np.random.default_rng(seed).permutation(len(table))[:POOL]
    return suggest(table.batch.take(some), n, random_state=seed).networks


def _loop(table: CostTable, quality: pd.Series[float], budget: float, seed: int) -> tuple[NetworkBatch, CostTable]:
    """Return the picks of the closed loop, best first, and what was measured."""
    target = str(table.targets[0])
    loop = ClosedLoop(
        table.batch, measured=target, quality=quality, budgets={target: budget}, most=MOST, random_state=seed
    )
    loop.tell(table.rows(table.find(_first(table, FIRST, seed))))
    picks = loop.run(lambda batch: table.rows(table.find(batch))).picks
    assert loop.table is not None
    return picks, loop.table


def _regret(table: CostTable) -> Iterator[Figure]:
    target = str(table.targets[0])
    for sd in (0.1, 0.5):
        seeds = each_once(RESULTS, f"regret, {target}, {sd}", _seed, SEEDS, table, sd)
        loop, by_chance, measured, over = (
            np.array([found[name] for found in seeds]) for name in ("loop", "by chance", "measured", "over")
        )
        head = f"{target}, {len(table):,} architectures, quality noise {sd}, {len(SEEDS)} seeds, 3 budgets"
        yield Figure(
            f"{head}: regret of the closed loop from {FIRST} measurements and at most {MOST - FIRST} more, part of the "
            "quality's range: mean, sd over seeds, worst; measurements: mean, most; largest overshoot of the picks",
            f"{loop.mean():.3%}, {loop.mean(axis=1).std(ddof=1):.3%}, {loop.max():.3%}; "
            f"{measured.mean():.1f}, {measured.max():.0f}; {over.max():.1%}",
            "<= .2 %, worst <= 1 %, no overshoot" if target == ORT else "",
        )
        yield Figure(
            f"{head}: the same from {MOST} random measurements: mean, sd over seeds, worst",
            f"{by_chance.mean():.2%}, {by_chance.mean(axis=1).std(ddof=1):.2%}, {by_chance.max():.2%}",
        )


def _seed(table: CostTable, sd: float, seed: int) -> dict[str, list[float]]:
    """Return the regret of the loop and of random measurements, and the loop's measurements and overshoot."""
    costs, quality = table.costs[:, 0], _quality(table, seed, sd)
    values = quality.to_numpy()
    drawn = np.random.default_rng(seed).permutation(len(table))[:MOST]
    found: dict[str, list[float]] = {"loop": [], "by chance": [], "measured": [], "over": []}
    for budget in np.percentile(costs, BUDGETS):
        best, worst = values[costs <= budget].max(), values[costs <= budget].min()
        picks, known = _loop(table, quality, budget, seed)
        kept = values[drawn[costs[drawn] <= budget]]
        for name, loss in (("loop", best - values[table.find(picks)].max()),
                           ("by chance", best - (kept.max() if len(kept) else worst))):  # fmt: skip
            found[name].append(float(loss / np.ptp(values)))
        found["measured"].append(len(known))
        found["over"].append(max(float(costs[table.find(picks)].max()) / budget - 1, 0.0))
    return found


def _halves(table: CostTable) -> Iterator[Figure]:
    """Measure by one half of the runs, and judge the best network by the other half."""
    assert table.repeats is not None
    one, other = (
        CostTable("nasbench201", table.batch, table.repeats[:, :, column], table.targets) for column in (3, 4)
    )
    floor = table.noise_floor()[table.targets[0]]["median_relative_difference"]
    seeds = each_once(RESULTS, "halves", _repeated, SEEDS, one, other, floor)
    for name, key in (
        ("the closed loop's best network", "loop"),
        (f"the same, with budgets smaller by {MARGIN:g} times the noise floor", "margin"),
        ("the best prediction from 10 measurements", "plain"),
    ):
        beyond = np.maximum(np.concatenate([found[key] for found in seeds]), 0.0)
        yield Figure(
            f"{ORT}, {name}, measured by one half of the runs, judged by the other ({len(SEEDS)} seeds, 3 budgets): "
            f"overshoot, mean, sd, largest; beyond the noise floor of {floor:.1%}",
            f"{beyond.mean():.2%}, {beyond.std(ddof=1):.2%}, {beyond.max():.1%}; {np.mean(beyond > floor):.0%}",
        )
    lost = np.concatenate([found["lost"] for found in seeds])
    yield Figure(
        f"{ORT}, quality that the smaller budgets lose, part of its range: mean, sd, worst",
        f"{lost.mean():.3%}, {lost.std(ddof=1):.3%}, {lost.max():.2%}",
    )


def _repeated(one: CostTable, other: CostTable, floor: float, seed: int) -> dict[str, list[float]]:
    """Return by how much picks exceed the budget when they are measured again, with and without a margin."""
    quality, target = _quality(one, seed, 0.1), str(one.targets[0])
    values = quality.to_numpy()
    found: dict[str, list[float]] = {"loop": [], "margin": [], "plain": [], "lost": []}
    costs = (one.costs[:, 0] + other.costs[:, 0]) / 2
    for budget in np.percentile(costs, BUDGETS):
        picks, known = _loop(one, quality, budget, seed)
        careful, _ = _loop(one, quality, budget / (1 + MARGIN * floor), seed)
        suite = adapt(known.rows(range(FIRST)), random_state=seed)
        alone = search(one.batch, surrogates=suite, quality=quality, budgets={target: budget}, n=1).picks
        for name, best in (("loop", picks), ("margin", careful), ("plain", alone)):
            found[name].append(float(other.costs[other.find(best.take([0])), 0][0] / budget - 1))
        lost = values[one.find(picks)[0]] - values[one.find(careful)[0]]
        found["lost"].append(float(lost / np.ptp(values)))
    return found


def _certain(table: CostTable, n: int, how: How) -> Figure:
    """Pick networks that keep a budget with 90 %, and count those that do."""
    target, space = str(table.targets[0]), table.space_name
    seeds = each_once(RESULTS, f"certain, {space}, {n}, {how}", _picked, CERTAIN_SEEDS, table, n, how)
    kept, promised = (np.array([found[name] for found in seeds], float) for name in ("kept", "promised"))
    of_seeds = np.nanmean(kept, axis=1)
    return Figure(
        f"--certainty .9, {target}, {space}, {n} {how} measurements, {PICKS} picks for each of "
        f"{len(CERTAIN_BUDGETS)} budgets, {len(CERTAIN_SEEDS)} seeds: picks within it, sd over seeds; by budget, from "
        "the smallest; their mean probability; budgets without a pick",
        f"{of_seeds.mean():.1%}, {of_seeds.std(ddof=1):.1%}; {', '.join(f'{part:.0%}' for part in np.nanmean(kept, 0))}"
        f"; {np.nanmean(promised):.1%}; {np.isnan(kept).sum()}",
        "88 to 97 %",
    )


def _picked(table: CostTable, n: int, how: How, seed: int) -> dict[str, list[Any]]:
    """Return which part of the picks keeps each budget, and their mean probability; None for budgets without a pick."""
    costs, target, quality = table.costs[:, 0], str(table.targets[0]), _quality(table, seed, 0.5)
    if how == "suggested":
        rows = table.find(_first(table, n, seed))
    else:
        rows = np.random.default_rng(seed).permutation(len(table))[:n]
    suite = adapt(table.rows(rows), random_state=seed)
    found: dict[str, list[Any]] = {"kept": [], "promised": []}
    for budget in np.percentile(costs, CERTAIN_BUDGETS):
        asked = {"surrogates": suite, "quality": quality, "budgets": {target: budget}}
        try:
            result = search(table.batch, **asked, certainty=CERTAINTY, n=PICKS)
        except UnmetBudgetsError:
            kept, promised = None, None
        else:
            kept = float(np.mean(costs[table.find(result.picks)] <= budget))
            promised = float(result.goals.probabilities(result.picks)[result.goals.budgets[0]].mean())
        found["kept"].append(kept)
        found["promised"].append(promised)
    return found
