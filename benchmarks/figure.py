"""A measured figure, how it is timed, and where other people's measurements lie."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Figure", "median_seconds", "shared_data"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a benchmark: what was measured, what is wanted of it, and what others published."""

    name: str
    value: str
    wanted: str = ""
    published: str = ""


def median_seconds(action: Callable[[], object], repeats: int = 7, number: int = 1) -> float:
    """Return the median time of one call, after one call to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(number):
            action()
        times.append((time.perf_counter() - start) / number)
    return statistics.median(times)


def shared_data() -> Path | None:
    """Return the folder of measurements by others, or None where it is absent."""
    folder = Path(os.environ.get("HWNAS_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return folder if (folder / "HW-NAS-Bench-subset.pickle").is_file() else None
