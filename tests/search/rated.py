"""Quality functions that other processes import: they take little to load."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path


def bound(function: Callable[..., list[float]], argument: str) -> Callable[[list[str]], list[float]]:
    """Give a quality function its first argument."""
    made = partial(function, argument)
    made.__name__ = function.__name__  # type: ignore[attr-defined]
    return made


def convs(names: list[str]) -> list[float]:
    """Return the number of convolutions; none for a network without any."""
    return [float(name.count("conv")) or math.nan for name in names]


def sleeps(names: list[str]) -> list[float]:
    time.sleep(60)
    return convs(names)


def limits(names: list[str]) -> list[float]:
    """Return the threads of two libraries in this process, as 3.2 for three and two."""
    return [float(f"{os.environ['OMP_NUM_THREADS']}.{os.environ['OPENBLAS_NUM_THREADS']}")] * len(names)


def noted(folder: str, names: list[str]) -> list[float]:
    """Note the worker that calls, and take a while."""
    Path(folder, f"{time.monotonic_ns()}-{os.getppid()}").touch()
    time.sleep(0.6)
    return convs(names)


def hangs_at(worst: str, names: list[str]) -> list[float]:
    if worst in names:
        time.sleep(60)
    return convs(names)


def raises_at(worst: str, names: list[str]) -> list[float]:
    """Raise an error for one network; take a while for others."""
    if worst in names:
        raise ValueError("out of\nmemory")
    time.sleep(0.2)
    return convs(names)


def killed_at(worst: str, names: list[str]) -> list[float]:
    """Be killed for one network, as the system does when memory runs out; take a while for others."""
    if worst in names:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    return convs(names)
