"""Qualities by a user's function: in batches, in parallel processes, each recorded at once."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.graphs import GraphBatch, NetworkBatch
from hwnas_surrogate.jobs.parallel import checked_jobs
from hwnas_surrogate.reals import reals
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.search.qualities import QualityFunction

__all__ = ["CalledQuality", "called_qualities"]

Vector = npt.NDArray[np.float64]

_AT_ONCE = 1.0
"""Seconds of work that may be lost: batches grow while a call takes less."""
_SHOWN = (list, tuple, np.ndarray, str, float, int, type(None))
"""What a message can show; other values by their type, since the text of some holds an address."""
_LARGEST = 4096
"""Maximum number of networks of a call."""
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables that limit the threads of libraries."""


@contextmanager
def called_qualities(
    function: QualityFunction,
    *,
    n_jobs: int = 1,
    timeout: float | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Iterator[CalledQuality]:
    """Open the journal and the processes of a quality function, and close them afterwards.

    Parameters
    ----------
    function : callable
        Takes a list of networks (strings of architectures, or graphs), and returns a quality for each.
    n_jobs : int, default=1
        Processes that call it, which share the cores among the threads of their libraries; -1 is one for each core. Of
        1, this one calls it, unless there is a timeout.
    timeout : float, optional
        Seconds that a call may take.
    journal : path-like, optional
        The file that records qualities. If it exists, they are not evaluated again.

    Raises
    ------
    InvalidInputError
        If an argument is not allowed, or the journal is of another function.
    DataFileError
        If the journal is no journal, or can't be written.
    """
    jobs = joblib.cpu_count() if checked_jobs(n_jobs) == -1 else int(n_jobs or 1)
    if timeout is not None and not 0 < timeout < math.inf:
        raise InvalidInputError(f"timeout must be a number of seconds above 0, or None, got {timeout!r:.40}.")
    opened = None if journal is None else _open(Path(journal), function)
    called = CalledQuality(function, jobs, timeout, opened)
    try:
        yield called
    finally:
        called.close()
        if opened is not None:
            opened.__exit__()


def _open(path: Path, function: QualityFunction) -> Journal:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        return Journal(path, {"quality": name}, {})
    except MeasurementError as error:
        raise InvalidInputError(
            f"the journal {path} can't continue this search: another function's qualities are in it, or another "
            f"process writes it. Choose another one. ({error})"
        ) from error


class _Network(NamedTuple):
    """A network to call the function with."""

    key: str
    name: str
    network: Any


class CalledQuality:
    """A quality function, and all that it returned.

    Each network is evaluated once. The first call is for one network, and calls grow while they take less than a
    second, so that a kill loses little work.
    """

    def __init__(self, function: QualityFunction, n_jobs: int, timeout: float | None, journal: Journal | None) -> None:
        self._function, self._n_jobs, self._timeout, self._journal = function, n_jobs, timeout, journal
        self._known: dict[str, float] = {}
        for entry in [] if journal is None else journal.entries:
            self._known |= {key: math.nan if value is None else value for key, value in entry["qualities"].items()}
        self._size = 1
        self._pool: Any = None

    def __call__(self, batch: NetworkBatch) -> Vector:
        """Return the qualities of n networks, (n,); NaN where the function returned NaN."""
        keys = batch.keys
        new = [row for row, key in enumerate(keys) if key not in self._known]
        if new:
            networks: Sequence[Any] = batch.graphs if isinstance(batch, GraphBatch) else batch.names
            names = batch.names
            self._evaluate([_Network(keys[row], names[row], networks[row]) for row in new])
        return np.array([self._known[key] for key in keys])

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None

    def _evaluate(self, networks: list[_Network]) -> None:
        evaluate = self._evaluate_here if self._n_jobs == 1 and self._timeout is None else self._evaluate_in_processes
        try:
            evaluate(networks)
        except InvalidInputError as error:
            raise InvalidInputError(f"{error} {self._kept()}") from error.__cause__

    def _evaluate_here(self, left: list[_Network]) -> None:
        while left:
            part, left = left[: self._size], left[self._size :]
            start = time.monotonic()
            with _explained(part):
                values = self._function([one.network for one in part])
            self._record(part, values, time.monotonic() - start)

    def _evaluate_in_processes(self, left: list[_Network]) -> None:
        running: dict[Future[Any], tuple[list[_Network], float]] = {}
        while left or running:
            while left and len(running) < self._n_jobs:
                part, left = left[: self._size], left[self._size :]
                call = self._processes().submit(self._function, [one.network for one in part])
                running[call] = part, time.monotonic()
            try:
                self._wait(running)
            except InvalidInputError:
                self._finish(running)
                raise

    def _wait(self, running: dict[Future[Any], tuple[list[_Network], float]]) -> None:
        """Record the call that ends first; raise if the oldest takes too long."""
        oldest = min(running, key=lambda call: running[call][1])
        part, begun = running[oldest]
        rest = None if self._timeout is None else max(0.0, self._timeout - (time.monotonic() - begun))
        done, _ = wait(running, timeout=rest, return_when=FIRST_COMPLETED)
        if not done:
            del running[oldest]
            raise InvalidInputError(f"the quality function took more than {self._timeout:g} s for {_named(part)}.")
        ended = next(iter(done))
        part, begun = running.pop(ended)
        with _explained(part):
            values = ended.result()
        self._record(part, values, time.monotonic() - begun)

    def _finish(self, running: dict[Future[Any], tuple[list[_Network], float]]) -> None:
        """After an error, record the other calls, which may have taken hours; the error is raised in any case."""
        while running:
            with suppress(InvalidInputError):
                self._wait(running)
        self.close()

    def _processes(self) -> Any:
        if self._pool is None:
            from joblib.externals.loky import ProcessPoolExecutor

            threads = str(max(joblib.cpu_count() // self._n_jobs, 1))
            limits = {name: os.environ.get(name, threads) for name in _THREADS}
            self._pool = ProcessPoolExecutor(max_workers=self._n_jobs, env=limits)
        return self._pool

    def _record(self, part: list[_Network], values: Any, seconds: float) -> None:
        got = f"{values!r:.60}" if isinstance(values, _SHOWN) else type(values).__name__
        must = f"the quality function must return a list or array, with a number for {_named(part)}"
        qualities = reals(values, must)
        if qualities.shape != (len(part),) or np.isinf(qualities).any():
            raise InvalidInputError(f"{must}, got {got}; numbers are finite, or NaN for a network without.")
        found = {one.key: value for one, value in zip(part, qualities.tolist(), strict=True)}
        if self._journal is not None:
            self._journal.append(qualities={key: None if math.isnan(value) else value for key, value in found.items()})
        self._known |= found
        if seconds < _AT_ONCE / 2:
            self._size = min(2 * self._size, _LARGEST)
        elif seconds > 2 * _AT_ONCE:
            self._size = max(1, self._size // 2)

    def _kept(self) -> str:
        if not self._known:
            return "No quality was evaluated before."
        count = f"{len(self._known):,} qualities" if len(self._known) > 1 else "1 quality"
        if self._journal is None:
            return f"Evaluated before: {count}; a journal would keep them."
        return f"Kept in {self._journal.path}, from which the same search continues: {count}."


@contextmanager
def _explained(part: list[_Network]) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        raised = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
        raise InvalidInputError(f"the quality function raised {raised}; for {_named(part)}.") from error


def _named(part: list[_Network]) -> str:
    return part[0].name if len(part) == 1 else f"one of {len(part)} networks, the first is {part[0].name}"
