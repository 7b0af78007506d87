"""The search whose picks are measured, and its certainty: ``python -m benchmarks closed_loop``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.figure import Figure
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import UnmetBudgetsError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.search import ClosedLoop, search, suggest
from hwnas_surrogate.trainers import adapt

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
ORT = "epyc-onnxruntime-1t/latency"

Vector = npt.NDArray[np.float64]


def run() -> Iterator[Figure]:
    """Yield the figures."""
    for target in (ORT, "epyc-openvino-1t/latency"):
        yield from _regret(_truth("nasbench201", target))
    yield from _halves(_truth("nasbench201", ORT))
    for space in ("nasbench201", "fbnet"):
        for n in (10, 30, 100):
            yield _certain(_truth(space, ORT), n)


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
        parts = in_parallel(_regret_of, [(sd, seed) for seed in SEEDS], shared=(table,))
        loop, by_chance, measured, over = np.stack(parts, axis=1)
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


def _regret_of(table: CostTable, sd: float, seed: int) -> Vector:
    """Return regrets of the closed loop and of chance, measurements and overshoots: an array (4, budgets)."""
    costs = table.costs[:, 0]
    quality = _quality(table, seed, sd)
    values = quality.to_numpy()
    drawn = np.random.default_rng(seed).permutation(len(table))[:MOST]
    columns = []
    for budget in np.percentile(costs, BUDGETS):
        best, worst = values[costs <= budget].max(), values[costs <= budget].min()
        picks, known = _loop(table, quality, budget, seed)
        kept = values[drawn[costs[drawn] <= budget]]
        loop = (best - values[table.find(picks)].max()) / np.ptp(values)
        by_chance = (best - (kept.max() if len(kept) else worst)) / np.ptp(values)
        columns.append([loop, by_chance, len(known), max(float(costs[table.find(picks)].max()) / budget - 1, 0.0)])
    return np.array(columns).T


def _halves(table: CostTable) -> Iterator[Figure]:
    """Measure by one half of the runs, and judge the best network by the other half."""
    assert table.repeats is not None
    one, other = (
        CostTable("nasbench201", table.batch, table.repeats[:, :, column], table.targets) for column in (3, 4)
    )
    floor = table.noise_floor()[table.targets[0]]["median_relative_difference"]
    found = in_parallel(_halves_of, [(seed,) for seed in SEEDS], shared=(table, one, other))
    over, plain = np.concatenate(found).T
    for name, parts in (("the closed loop's best network", over), ("the best prediction from 10 measurements", plain)):
        beyond = np.maximum(parts, 0.0)
        yield Figure(
            f"{ORT}, {name}, measured by one half of the runs, judged by the other ({len(SEEDS)} seeds, 3 budgets): "
            f"overshoot, mean, sd, largest; beyond the noise floor of {floor:.1%}",
            f"{beyond.mean():.2%}, {beyond.std(ddof=1):.2%}, {beyond.max():.1%}; {np.mean(beyond > floor):.0%}",
        )


def _halves_of(table: CostTable, one: CostTable, other: CostTable, seed: int) -> Vector:
    """Return the overshoots of the closed loop and of predictions alone: an array (budgets, 2)."""
    quality, target = _quality(table, seed, 0.1), str(table.targets[0])
    rows = []
    for budget in np.percentile(table.costs[:, 0], BUDGETS):
        picks, known = _loop(one, quality, budget, seed)
        suite = adapt(known.rows(range(FIRST)), random_state=seed)
        alone = search(table.batch, surrogates=suite, quality=quality, budgets={target: budget}, n=1).picks
        rows.append([other.costs[other.find(best), 0][0] / budget - 1 for best in (picks.take([0]), alone)])
    return np.array(rows)


def _certain(table: CostTable, n: int) -> Figure:
    """Pick networks that keep a budget with 90 %, and count those that do."""
    target = str(table.targets[0])
    parts = in_parallel(_certain_of, [(n, seed) for seed in CERTAIN_SEEDS], shared=(table,))
    kept = [float(np.mean(inside)) for inside, _, _ in parts]
    promised = [probability for _, probabilities, _ in parts for probability in probabilities]
    none = sum(without for *_, without in parts)
    return Figure(
        f"--certainty .9, {target}, {table.space_name}, {n} suggested measurements, {PICKS} picks for each of "
        f"{len(CERTAIN_BUDGETS)} budgets, {len(CERTAIN_SEEDS)} seeds: picks within it, sd over seeds; their mean "
        "probability; budgets without a pick",
        f"{np.mean(kept):.1%}, {np.std(kept, ddof=1):.1%}; {np.mean(promised):.1%}; {none}",
        "88 to 97 %",
    )


def _certain_of(table: CostTable, n: int, seed: int) -> tuple[list[bool], list[float], int]:
    """Return whether each pick is within its budget, their probabilities, and the number of budgets without a pick."""
    costs, target = table.costs[:, 0], str(table.targets[0])
    quality = _quality(table, seed, 0.5)
    suite = adapt(table.rows(table.find(_first(table, n, seed))), random_state=seed)
    inside: list[bool] = []
    promised: list[float] = []
    none = 0
    for budget in np.percentile(costs, CERTAIN_BUDGETS):
        wanted = {"budgets": {target: budget}, "certainty": CERTAINTY, "n": PICKS}
        try:
            result = search(table.batch, surrogates=suite, quality=quality, **wanted)
        except UnmetBudgetsError:
            none += 1
            continue
        inside += (costs[table.find(result.picks)] <= budget).tolist()
        promised += result.goals.probabilities(result.picks)[result.goals.budgets[0]].tolist()
    return inside, promised, none
