"""How the constants of the default were chosen: what halving and doubling each does: ``python -m benchmarks choose``.

On splits with seeds from 100 on, which no reported figure uses. Counts and thresholds are on the bundled targets; where
measurements by others are at hand, HELP's test devices are among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.curves import scores_of_default
from benchmarks.figure import Figure, shared_data
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.evaluation.peers import HELP
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.models import PhysicsPrior, PhysicsStack, boosted, evidence, linear, stack
from hwnas_surrogate.trainers import Surrogate, calibration
from hwnas_surrogate.trainers.encoded import stack_encoder

SEEDS = range(100, 103)
SIZES = (10, 30, 100)
HELD_OUT = 500
CONSTANTS: dict[ModuleType, tuple[str, ...]] = {
    evidence: ("_ITERATIONS",),
    stack: ("MIN_ROWS", "PROVEN_ROWS", "FOLDS", "_DOUBT", "_REMAINDER_DOUBT", "_DOUBTED", "_SPREAD", "_SURE"),
    boosted: ("MIN_ROWS", "FOLDS", "_FEW_ROWS", "_REACH"),
    linear: ("_FARTHEST", "_MIN_FREE"),
    calibration: ("_TRUSTED", "_TAILS", "_EXPECTED", "_WILD"),
}
PRIOR = ("share_sds", "correction_sds", "noise_sds", "robust_noise_sds", "freedom", "lead", "constant_sd")
"""Fields of the physics prior; those of sources and of views matter with sources only, or are log odds."""
Change = tuple[ModuleType | None, str, float]
"""Which constant of which module is multiplied by what; of the prior if there is no module."""


def run() -> Iterator[Figure]:
    """Score the default as it is, then with each constant halved and doubled."""
    cases = list(_cases())
    kept = _panel(cases, None)
    yield Figure("as it is: spearman; 99th percentile of errors; in the 80, 90, 95 % intervals", _said(kept))
    constants = [(module, name) for module, names in CONSTANTS.items() for name in names]
    for module, name in [*((None, name) for name in PRIOR), *constants]:
        value = getattr(PhysicsPrior() if module is None else module, name)
        place = "PhysicsPrior" if module is None else module.__name__.rpartition(".")[2]
        for factor, word in ((0.5, "halved"), (2.0, "doubled")):
            found = _panel(cases, (module, name, factor))
            yield Figure(
                f"{place}.{name} {word} ({value} as it is)",
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


def _panel(cases: list[tuple[CostTable, int, int]], change: Change | None) -> np.ndarray:
    return np.mean(in_parallel(_scores, [(*case, change) for case in cases]), axis=0)


def _scores(table: CostTable, n: int, seed: int, change: Change | None) -> tuple[float, ...]:
    module, name, factor = change or (None, "", 1.0)
    if module is None:
        prior = None
        if name:
            value = getattr(PhysicsPrior(), name)
            prior = {name: _with_odds(value, factor) if name == "lead" else _scaled(value, factor)}
        encoder = stack_encoder(table.space)
        surrogate = Surrogate(table.space.name, encoder, PhysicsStack(seed, prior), random_state=seed)
        rho, p99, _, *held, _ = scores_of_default(table, n, seed, HELD_OUT, surrogate)
        return rho, p99, *held
    before = getattr(module, name)
    setattr(module, name, _scaled(before, factor))
    try:
        rho, p99, _, *held, _ = scores_of_default(table, n, seed, HELD_OUT)
    finally:
        setattr(module, name, before)
    return rho, p99, *held


def _with_odds(part: float, factor: float) -> float:
    """Return a part of a whole whose odds are so many times as large."""
    return part * factor / (1 - part + part * factor)


def _scaled(value: Any, factor: float) -> Any:
    """Return a constant, or each of several, times a factor; whole numbers stay whole."""
    if isinstance(value, tuple):
        return tuple(_scaled(part, factor) for part in value)
    return round(value * factor) if isinstance(value, int) else value * factor


def _said(found: np.ndarray) -> str:
    return f"{found[0]:.4f}; {found[1]:.2%}; {', '.join(f'{part:.1%}' for part in found[2:])}"
