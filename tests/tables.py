"""Small tables whose costs the tests know."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")
FIVE = ["a/latency", "b/latency", "c/latency", "d/latency", "e/energy"]


def table_of(costs: npt.ArrayLike, targets: list[str] = FIVE, **more: Any) -> CostTable:
    values = np.asarray(costs, float)
    return CostTable(SPACE, SPACE.at(np.arange(len(values))), values, targets[: values.shape[1]], **more)


def noisy(n: int = 80, t: int = 3, seed: int = 0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    costs = rng.uniform(1, 5, (n, 1)) + rng.uniform(0, 3, (n, t))
    costs[:, 1] = np.round(costs[:, 1])  # ties
    return costs


def counts(n: int) -> npt.NDArray[np.float64]:
    archs = SPACE.at(np.arange(n))
    return np.column_stack([(archs == op).sum(axis=1) for op in range(5)]).astype(float)
