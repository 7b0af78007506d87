"""How fast and how good a search is: exact over NAS-Bench-201, evolution over FBNet."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from benchmarks.figure import Figure
from hwnas_surrogate import SurrogateSuite, get_space, load_table
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.search import search
from hwnas_surrogate.search.pareto import nondominated
from hwnas_surrogate.search.picking import hypervolume, scaled

Vector = npt.NDArray[np.float64]
Archs = npt.NDArray[np.int8]

TARGET = "epyc-torch-1t-blocks/latency"
EVALUATIONS = 50_000
SEEDS = range(10)
_BATCH, _POPULATION, _SAMPLE = 100, 100, 25


class FormulaQuality:
    """A quality that saturates in the parameters, with seeded noise; in %.

    ``76 (1 - exp(-params / 1.2e6)) + sum of effects + noise``. Each op at each position has an effect, normal with
    standard deviation 0.15; the noise is normal with standard deviation 0.1, and each architecture has its own, always
    the same.
    """

    def __init__(self, seed: int = 0) -> None:
        self.space = get_space("fbnet")
        rng = np.random.default_rng(seed)
        self.effects = rng.normal(0.0, 0.15, (self.space.n_positions, 9))
        self.factors = rng.integers(1, 2**63, self.space.n_positions, dtype=np.uint64)

    def of(self, archs: Archs) -> Vector:
        """Return the qualities of architectures, (n, 22) -> (n,)."""
        params = self.space.batch(archs).total("params", "live")
        mixed = (archs.astype(np.uint64) + np.uint64(1)) @ self.factors
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        uniform = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / 2.0**53
        effects = self.effects[np.arange(archs.shape[1]), archs].sum(axis=1)
        return 76.0 * (1.0 - np.exp(-params / 1.2e6)) + effects + 0.1 * norm.ppf(np.clip(uniform, 1e-12, 1 - 1e-12))

    def __call__(self, names: list[str]) -> Vector:
        """Return the qualities of architectures' strings."""
        return self.of(self.space.as_array(names))


def losses_of(archs: Archs, quality: FormulaQuality) -> Vector:
    """Return quality (negative) and true latency, (n, 2)."""
    latency = load_table("blocks").lookup(archs, targets=TARGET).to_numpy()[:, 0]
    return np.column_stack([-quality.of(archs), latency])


def front_of(losses: Vector) -> Vector:
    """Return the rows that no other dominates."""
    return losses[nondominated(losses, [False, False])]


def searched(quality: FormulaQuality, evaluations: int, seed: int) -> Vector:
    """Return the front that the search finds."""
    found = search(
        "fbnet", ["quality", TARGET], surrogates=load_table("blocks"), quality=quality, evaluations=evaluations,
        random_state=seed,
    )  # fmt: skip
    return np.asarray(found.front_frame.iloc[:, 1:].to_numpy(np.float64) * [-1.0, 1.0])


def at_random(quality: FormulaQuality, evaluations: int, seed: int) -> Vector:
    """Return the front of random architectures."""
    return front_of(losses_of(get_space("fbnet").sample(evaluations, seed), quality))


def regularised(quality: FormulaQuality, evaluations: int, seed: int) -> Vector:
    """Return the front of regularised evolution (Real et al., AAAI 2019): the oldest network dies.

    A tournament of 25 is won by the smallest weighted sum of the objectives, scaled by the first population, with new
    random weights each time; the winner's child differs in one position. So that it takes minutes, 100 children are
    made at once.
    """
    space, rng = get_space("fbnet"), np.random.default_rng(seed)
    archs = space.sample(_POPULATION, rng)
    losses = losses_of(archs, quality)
    low, high = losses.min(axis=0), losses.max(axis=0)
    front = front_of(losses)
    for _ in range((evaluations - _POPULATION) // _BATCH):
        drawn = rng.integers(len(archs), size=(_BATCH, _SAMPLE))
        weight = rng.random((_BATCH, 1, 1))
        weights = np.concatenate([weight, 1 - weight], axis=2)
        sums = (((losses[drawn] - low) / (high - low)) * weights).sum(axis=2)
        children = archs[drawn[np.arange(_BATCH), sums.argmin(axis=1)]].copy()
        position = rng.integers(space.n_positions, size=_BATCH)
        rows = np.arange(_BATCH)
        n_ops = space.n_ops_at[position]
        children[rows, position] = (children[rows, position] + rng.integers(1, n_ops)) % n_ops
        born = losses_of(children, quality)
        front = front_of(np.concatenate([front, born]))
        archs, losses = (
            np.concatenate([old, new])[-_POPULATION * 10 :] for old, new in ((archs, children), (losses, born))
        )
    return front


def relative(fronts: dict[str, list[Vector]], best: Vector) -> dict[str, list[float]]:
    """Return hypervolumes relative to that of the best front, whose box is the measure, by name."""
    box = best
    whole = hypervolume(scaled(best, box))
    return {name: [hypervolume(scaled(one, box)) / whole for one in found] for name, found in fronts.items()}


def seconds_of(action: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    action()
    return time.process_time() - start


def _exact() -> Iterator[Figure]:
    devices = ["epyc-torch-1t", "epyc-torch-2t", "epyc-onnxruntime-1t"]
    table = load_table(space="nasbench201").select([f"{device}/latency" for device in devices])
    space = get_space("nasbench201")
    params = space.batch(space.enumerate()).total("params", "live")
    noise = np.random.default_rng(0).normal(0.0, 0.3, len(params))
    quality = pd.Series(94 * (1 - np.exp(-params / 2e5)) + noise, index=space.format_all(space.enumerate()))
    suite = SurrogateSuite(random_state=0).fit_table(table.rows(range(0, 15_625, 150)))
    first, second, third = map(str, suite.targets_[:3])
    two, four = ["quality", first], ["quality", first, second, third]
    with_memory = ["quality", "peak_memory"], ["quality", first, second, "peak_memory"]
    for objectives in (two, four, *with_memory):

        def find(objectives: list[str] = objectives) -> object:
            return search(space, objectives, surrogates=suite, quality=quality)

        find()
        seconds = statistics.median(seconds_of(find) for _ in range(5))
        yield Figure(
            f"NAS-Bench-201, exact front of {', '.join(objectives)}, predicted",
            f"{seconds:.2f} s of processor time",
            f"< {1 if len(objectives) == 2 else 5} s",
        )


def _evolution() -> Iterator[Figure]:
    quality = FormulaQuality()
    seconds, *found = zip(*in_parallel(_fronts, [(seed,) for seed in SEEDS], shared=(quality,)), strict=True)
    fronts = dict(zip(("the search", "random", "regularised evolution"), map(list, found), strict=True))
    best = searched(quality, 20 * EVALUATIONS, 1000)
    wanted = {"the search": ">= 0.995"}
    yield Figure(
        f"FBNet, {EVALUATIONS:,} evaluations", f"{statistics.median(seconds):.1f} s of processor time", "< 60 s"
    )
    for name, volumes in relative(fronts, best).items():
        yield Figure(
            f"FBNet, hypervolume of {name}, relative to a search of {20 * EVALUATIONS:,} ({len(volumes)} seeds)",
            f"{statistics.mean(volumes):.4f}, sd {statistics.stdev(volumes):.4f}, worst {min(volumes):.4f}",
            wanted.get(name, ""),
        )


def _fronts(quality: FormulaQuality, seed: int) -> tuple[float, Vector, Vector, Vector]:
    """Return the processor time of a search, its front, and those of random networks and regularised evolution."""
    start = time.process_time()
    front = searched(quality, EVALUATIONS, seed)
    seconds = time.process_time() - start
    return seconds, front, at_random(quality, EVALUATIONS, seed), regularised(quality, EVALUATIONS, seed)


def run() -> Iterator[Figure]:
    """Yield the figures."""
    yield from _exact()
    yield from _evolution()
