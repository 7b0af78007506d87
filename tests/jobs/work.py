"""Work that other processes import."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import threadpool_info


def power(base: float, exponent: int) -> float:
    return base**exponent


def where(*_: Any) -> tuple[int, int, int]:
    """Return the process, the most threads of its libraries, and the jobs that nested work would use."""
    np.eye(2) @ np.eye(2)
    return os.getpid(), max(found["num_threads"] for found in threadpool_info()), effective_n_jobs(None)


def summed(values: np.ndarray, seed: int) -> float:
    """Return a sum whose last bits depend on the order of its terms."""
    order = np.random.default_rng(seed).permutation(len(values))
    return float(values[order] @ values)


def noted(folder: str, number: int) -> dict[str, Any]:
    """Note the call in a folder, and return what JSON must hold exactly."""
    Path(folder, f"{number}-{time.monotonic_ns()}").touch()
    return {"third": number / 3, "nan": float("nan"), "texts": ["a", str(number)]}


def fails_at(worst: int, number: int) -> int:
    if number == worst:
        raise ZeroDivisionError(f"number {number}")
    return number


def warns(number: int) -> int:
    warnings.warn(f"number {number}", UserWarning, stacklevel=2)
    return number


def slow(folder: str, number: int) -> int:
    """Note the process that begins, and take a while."""
    Path(folder, f"{number}-{os.getpid()}").touch()
    time.sleep(0.3)
    return number


def ends(number: int) -> int:
    """End the process without a word, as the system does when memory runs out."""
    os._exit(1)


def reads(path: str, _: int) -> int:
    from hwnas_surrogate.inputs import read_bytes

    return len(read_bytes(path, 100))


def owning(gpu: str) -> int:
    """Let this worker own a GPU of its machine, and return its process."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    return os.getpid()


def leave(dask_worker: Any) -> None:
    """Let a nanny start no other worker when its worker ends."""
    dask_worker.close_gracefully()


def calls(folder: str) -> None:
    """Call a function apart that never returns."""
    from hwnas_surrogate.jobs import Apart

    Apart(hangs)(folder)


def hangs(folder: str) -> None:
    """Note again and again that this process lives."""
    while True:
        Path(folder, str(os.getpid())).write_text(str(time.time()))
        time.sleep(0.02)


def doubled(number: int) -> int:
    return 2 * number
