"""Tables of devices whose latency is planted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.spaces import get_space

N = 120
TRIO = ("phone", "board", "server")


def planted(space: str, devices: tuple[str, ...], n: int = N, noise: float = 0.01) -> CostTable:
    """Return a table of devices whose latency is their own mixture of multiply-adds, weights and a bit of noise."""
    found, rng = get_space(space), np.random.default_rng(1)
    archs = found.sample(n, 0)
    batch = found.batch(archs)
    sizes = np.column_stack([np.ones(n), batch.macs / batch.macs.mean(), batch.params / batch.params.mean()])
    costs = sizes @ rng.uniform(0.2, 2, (3, len(devices))) * rng.normal(1, noise, (n, len(devices)))
    return CostTable(found, archs, costs, [f"{device}/latency" for device in devices])


def with_costs(table: CostTable, change: Callable[[npt.NDArray[np.float64]], None]) -> CostTable:
    costs = table.costs.copy()
    change(costs)
    return CostTable(table.space, table.archs, costs, table.targets)
