"""How the constants of the default were chosen: what halving and doubling each does: ``python -m benchmarks choose``.

On splits with seeds from 100 on, which no reported figure uses. Counts and thresholds are on the bundled targets; where
measurements by others are at hand, HELP's test devices are among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from benchmarks.curves import scores_of_default
from benchmarks.figure import Figure, shared_data
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.evaluation.peers import HELP
from hwnas_surrogate.models import boosted, linear, physics, stack
from hwnas_surrogate.trainers import calibration

SEEDS = range(100, 103)
SIZES = (10, 30, 100)
HELD_OUT = 500
CONSTANTS: dict[ModuleType, tuple[str, ...]] = {
    physics: (
        "_SHARE_SDS", "_CORRECTION_SDS", "_NOISE_SDS", "_ROBUST_NOISE_SDS", "_LEAD", "_SOURCE_LOG_ODDS", "_CONSTANT_SD",
        "_FREEDOM", "_ITERATIONS",
    ),
    stack: ("MIN_ROWS", "PROVEN_ROWS", "FOLDS", "_DOUBT", "_REMAINDER_DOUBT", "_DOUBTED", "_SPREAD", "_SURE"),
    boosted: ("MIN_ROWS", "FOLDS", "_FEW_ROWS", "_REACH"),
    linear: ("_FARTHEST", "_MIN_FREE"),
    calibration: ("_TRUSTED", "_TAILS", "_EXPECTED", "_WILD"),
}  # fmt: skip


def run() -> Iterator[Figure]:
    """Score the default as it is, then with each constant halved and doubled."""
    cases = list(_cases())
    kept = _panel(cases, None, "", 1.0)
    yield Figure("as it is: spearman; 99th percentile of errors; in the 80, 90, 95 % intervals", _said(kept))
    for module, names in CONSTANTS.items():
        for name in names:
            value = getattr(module, name)
            for factor, word in ((0.5, "halved"), (2.0, "doubled")):
                found = _panel(cases, module, name, factor)
                yield Figure(
                    f"{module.__name__.rpartition('.')[2]}.{name} {word} ({value} as it is)",
                    _said(found),
                    published=f"spearman {found[0] - kept[0]:+.4f}, errors {found[1] - kept[1]:+.2%}",
                )


def _cases() -> Iterator[tuple[CostTable, int, int]]:
    tables = [load_table(space=space) for space in ("nasbench201", "fbnet")]
    folder = shared_data()
    if folder is not None:
        theirs = load_table(folder / "nasbench201_latency.npz", "nasbench201")
        assert isinstance(theirs, CostTable)
        tables.append(theirs.select([f"{device}/latency" for device in HELP["nasbench201"].targets]))
    for table in tables:
        assert isinstance(table, CostTable)
        for target in table.targets:
            yield from ((table.select(target), n, seed) for n in SIZES for seed in SEEDS)


def _panel(cases: list[tuple[CostTable, int, int]], module: ModuleType | None, name: str, factor: float) -> np.ndarray:
    return np.mean(Parallel(n_jobs=2)(delayed(_scores)(*case, module, name, factor) for case in cases), axis=0)


def _scores(
    table: CostTable, n: int, seed: int, module: ModuleType | None, name: str, factor: float
) -> tuple[float, ...]:
    before = None if module is None else getattr(module, name)
    if module is not None:
        setattr(module, name, _scaled(before, factor))
    try:
        rho, p99, _, *held, _ = scores_of_default(table, n, seed, HELD_OUT)
    finally:
        if module is not None:
            setattr(module, name, before)
    return rho, p99, *held


def _scaled(value: Any, factor: float) -> Any:
    """Return a constant, or each of several, times a factor; whole numbers stay whole."""
    if isinstance(value, tuple):
        return tuple(_scaled(part, factor) for part in value)
    return round(value * factor) if isinstance(value, int) else value * factor


def _said(found: np.ndarray) -> str:
    return f"{found[0]:.4f}; {found[1]:.2%}; {', '.join(f'{part:.1%}' for part in found[2:])}"
