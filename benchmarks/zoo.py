"""Networks of any kind on the bundled zoo: families, sizes and devices of which little was measured."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure
from hwnas_surrogate import Surrogate, SurrogateSuite
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.evaluation import score
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.search import suggest
from hwnas_surrogate.trainers import AdaptWarning, ExtrapolationWarning, TransferSurrogate

SEEDS = range(2)
"""Draws of the folds that are reported; settings were chosen on seed 100."""
DRAWS = range(5)
"""Draws of random networks."""
N_FOLDS = 7
TARGETS = ("genoa-onnxruntime-1t/latency", "genoa-openvino-1t/latency", "genoa-torch-1t/latency")
DRAWN = "random-"
"""Families of random operators: they are always in the training rows when a family is left out."""

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Split = tuple[Rows, Rows]


def run() -> Iterator[Figure]:
    """Yield the figures."""
    table = load_table("zoo")
    assert isinstance(table, CostTable)
    family = np.array(table.groups["family"])
    for target in TARGETS:
        for profiled in (True, False):
            how = "with profiles" if profiled else "without"
            wanted = "3 %, 85, 95 %; .88 to .92" if profiled else "4 %, 78 %"
            splits = [split for seed in SEEDS for split in families_left_out(family, seed)]
            yield _figure(table, target, f"whole families left out, {how}", splits, profiled, wanted)
        splits = [split for seed in SEEDS for split in _sizes(family, seed)]
        yield _figure(table, target, "other sizes of families in training, with profiles", splits, True, "2.5 %, 95 %")
        for n, profiled, wanted in ((10, False, "7 %"), (20, False, "5 %; tau .95"), (20, True, "4 %, 78 %")):
            how = f"trained on {n} networks that suggest chose{', profiled' if profiled else ''}"
            yield _figure(table, target, how, [_suggested(table, n)], profiled, wanted)
        for n in (10, 20, 40):
            splits = [_random(table, n, seed) for seed in DRAWS]
            yield _figure(table, target, f"trained on {n} random networks", splits, False, "fewer with more")
    yield from _with_sources(table)


def _with_sources(table: CostTable) -> Iterator[Figure]:
    """Yield figures of each device, the four others being sources."""
    suite = SurrogateSuite(None, random_state=0, calibrate=False).fit_table(table)
    for target in TARGETS:
        others = [one for name, one in suite.surrogates_.items() if str(name) != target]
        yield _figure(table, target, "trained on 30 networks that suggest chose", [_suggested(table, 30)], False, "")
        for n in (10, 20):
            how = f"adapted to {n} networks that suggest chose, four devices as sources"
            wanted = "as 30 alone" if n == 10 else ""
            yield _figure(table, target, how, [_suggested(table, n)], False, wanted, others)
            splits = [_random(table, n, seed) for seed in DRAWS]
            how = f"adapted to {n} random networks, four devices as sources"
            yield _figure(table, target, how, splits, False, "", others)


def families_left_out(family: npt.NDArray[np.str_], seed: int) -> list[Split]:
    """Leave out a seventh of the families at a time, but never those of random operators."""
    names = np.unique(family[~np.char.startswith(family, DRAWN)])
    order = np.random.default_rng(seed).permutation(names)
    held = [np.isin(family, order[place::N_FOLDS]) for place in range(N_FOLDS)]
    return [(np.flatnonzero(~out), np.flatnonzero(out)) for out in held]


def _sizes(family: npt.NDArray[np.str_], seed: int) -> list[Split]:
    """Leave out one network of each family at a time, five times."""
    rng = np.random.default_rng(seed)
    order = {name: rng.permutation(np.flatnonzero(family == name)) for name in dict.fromkeys(family.tolist())}
    splits = []
    for place in range(5):
        held = np.array([rows[place % len(rows)] for rows in order.values()])
        splits.append((np.setdiff1d(np.arange(len(family)), held), held))
    return splits


def _suggested(table: CostTable, n: int) -> Split:
    chosen = set(suggest(table.batch, n, random_state=0).names)
    rows = np.array([name in chosen for name in table.names])
    return np.flatnonzero(rows), np.flatnonzero(~rows)


def _random(table: CostTable, n: int, seed: int) -> Split:
    order = np.random.default_rng(seed).permutation(len(table))
    return np.sort(order[:n]), np.sort(order[n:])


def _figure(
    table: CostTable,
    target: str,
    what: str,
    splits: list[Split],
    profiled: bool,
    wanted: str,
    sources: Sequence[Surrogate] = (),
) -> Figure:
    column = list(map(str, table.targets)).index(target)
    known = np.flatnonzero(~np.isnan(table.costs[:, column]))
    splits = [(np.intersect1d(train, known), np.intersect1d(test, known)) for train, test in splits]
    tasks = [(target, split, profiled, number) for number, split in enumerate(splits)]
    parts = in_parallel(_held_out, tasks, shared=(table, tuple(sources)))
    measured, predicted, held = (np.concatenate(each) for each in zip(*parts, strict=True))
    of_all = score(measured, predicted)
    medians = [score(part[0], part[1]).mdape for part in parts]
    noise = f", sd {100 * np.std(medians, ddof=1):.1f} over folds" if len(medians) > 1 else ""
    within_20 = float((np.abs(predicted / measured - 1) <= 0.2).mean())
    return Figure(
        f"{target}, {what}, {len(measured)} predictions: median error; within 10 %, 20 %; tau; in 90 % intervals",
        f"{100 * of_all.mdape:.1f} %{noise}; {100 * of_all.within_10pct:.0f} %, {100 * within_20:.0f} %; "
        f"{of_all.kendall_tau:.3f}; {held.mean():.3f}",
        wanted,
    )


def _held_out(
    table: CostTable, sources: tuple[Surrogate, ...], target: str, split: Split, profiled: bool, seed: int
) -> tuple[Any, Any, Any]:
    """Fit on some rows; return measured and predicted costs of others, and whether their intervals hold them."""
    warnings.simplefilter("ignore", ExtrapolationWarning)
    warnings.simplefilter("ignore", AdaptWarning)
    train, test = split
    column = list(map(str, table.targets)).index(target)
    profiles, costs = table.operators[table.targets[column]], table.costs[:, column]
    assert isinstance(table.batch, GraphBatch)
    operators = [profiles[row] for row in train.tolist()] if profiled else None
    unfitted = TransferSurrogate(None, sources, seed) if sources else Surrogate(None, random_state=seed)
    fitted = unfitted.fit(table.batch.take(train), costs[train], operators=operators)
    asked = table.batch.take(test)
    low, high = fitted.predict_interval(asked, extrapolate=True).T
    inside = (low <= costs[test]) & (costs[test] <= high)
    return costs[test], fitted.predict(asked, extrapolate=True), inside
