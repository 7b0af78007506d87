"""The parallel idiom of the package: every loop over independent work runs through :func:`in_parallel`.

Results are the same to the bit for any number of jobs: each piece of work runs on one thread, wherever it runs.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

from hwnas_surrogate.errors import HWNASError, InvalidInputError
from hwnas_surrogate.jobs.cluster import Shared, shared_with_workers

__all__ = ["Kept", "Progress", "as_finished", "checked_jobs", "in_parallel"]

R = TypeVar("R")
Progress: TypeAlias = Callable[[int, int], object]
"""Called with the number of pieces done, and of all."""
Warned: TypeAlias = list[tuple[str, type[Warning]]]


class Kept(Protocol):
    """Finished pieces of work, by their tasks, such as :class:`~hwnas_surrogate.jobs.Pieces`."""

    def __contains__(self, task: tuple[Any, ...], /) -> bool:
        """Return whether a task's piece is finished."""

    def __getitem__(self, task: tuple[Any, ...], /) -> Any:
        """Return the result of a finished task."""

    def keep(self, task: tuple[Any, ...], result: Any, /) -> None:
        """Keep the result of a task."""


def in_parallel(
    function: Callable[..., R],
    tasks: Sequence[tuple[Any, ...]],
    *,
    shared: tuple[Any, ...] = (),
    n_jobs: int | None = None,
    progress: Progress | None = None,
    kept: Kept | None = None,
) -> list[R]:
    """Call a function for each task, in several processes, and return the results in the order of the tasks.

    Parameters
    ----------
    function : callable
        Called as ``function(*shared, *task)``. It must depend on nothing else, and other processes must be able to
        import it.
    tasks : sequence of tuple
        The arguments of each call. With pieces that are kept, they hold texts and numbers only, which name the piece.
    shared : tuple, default=()
        The first arguments of every call, such as a table: sent once to each worker of a cluster.
    n_jobs : int, optional
        Processes; -1 is one for each core. If None, 1, or what ``joblib.parallel_config`` sets. On a cluster
        (:func:`~hwnas_surrogate.jobs.on_cluster`, or joblib's backend ``"dask"``) all its workers are used.
    progress : callable, optional
        Called with (done, total) after each piece.
    kept : Pieces, optional
        Finished pieces, which are not done again. Results hold texts, numbers, lists and dicts only.

    Returns
    -------
    list
        One result for each task: the same, to the bit, for any number of jobs.

    Raises
    ------
    InvalidInputError
        If ``n_jobs`` is no number of processes, something can't be sent to other processes, or a process was ended.
        What ``function`` raises is raised as it is.

    Examples
    --------
    >>> in_parallel(pow, [(2,), (3,)], shared=(10,))
    [100, 1000]
    """
    results: dict[int, R] = {}
    if kept is not None:
        results = {number: kept[task] for number, task in enumerate(tasks) if task in kept}
    missing = [number for number in range(len(tasks)) if number not in results]
    if progress is not None and results:
        progress(len(results), len(tasks))
    with closing(as_finished(function, [tasks[n] for n in missing], shared=shared, n_jobs=n_jobs)) as finished:
        for place, result in finished:
            results[missing[place]] = result
            if kept is not None:
                kept.keep(tasks[missing[place]], result)
            if progress is not None:
                progress(len(results), len(tasks))
    return [results[number] for number in range(len(tasks))]


def as_finished(
    function: Callable[..., R],
    tasks: Sequence[tuple[Any, ...]],
    *,
    shared: tuple[Any, ...] = (),
    n_jobs: int | None = None,
) -> Generator[tuple[int, R], None, None]:
    """Call a function for each task, and yield the number of each task and its result as soon as it is finished.

    Parameters
    ----------
    function, tasks, shared, n_jobs
        As in :func:`in_parallel`.

    Yields
    ------
    int
        The number of the task, from 0.
    object
        Its result.

    Raises
    ------
    InvalidInputError
        As :func:`in_parallel`.
    """
    jobs = min(effective_n_jobs(checked_jobs(n_jobs)), len(tasks))
    if jobs < 1 or (jobs == 1 and _runs_here()):
        for number, task in enumerate(tasks):
            with _on_one_thread():
                result = function(*shared, *task)
            yield number, result
        return
    try:
        with shared_with_workers(shared) as held, _processes(jobs):
            run = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="3*n_jobs")
            calls = (delayed(_piece)(function, held, number, task) for number, task in enumerate(tasks))
            for number, result, warned in run(calls):
                for message, category in warned:
                    warnings.warn(message, category, stacklevel=2)
                yield number, result
    except HWNASError:
        raise
    except Exception as error:
        explained = _explained(error)
        if explained is None:
            raise
        raise explained from error


def checked_jobs(n_jobs: int | None) -> int | None:
    """Return a number of processes, or raise :class:`InvalidInputError` if it is none."""
    whole = isinstance(n_jobs, (int, np.integer)) and not isinstance(n_jobs, bool)
    if n_jobs is not None and not (whole and (n_jobs >= 1 or n_jobs == -1)):
        raise InvalidInputError(
            f"n_jobs must be a number of processes, an integer of at least 1, or -1 for one a core, got {n_jobs!r:.40}."
        )
    return n_jobs


def _runs_here() -> bool:
    """Return whether joblib would use threads or processes of this machine, rather than a cluster."""
    backend, _ = get_active_backend()
    return bool(getattr(backend, "uses_threads", False) or backend.supports_inner_max_num_threads)


@contextmanager
def _processes(jobs: int) -> Iterator[None]:
    """Use processes of this machine with one library thread each, unless a cluster is set."""
    if not _runs_here():
        yield
        return
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1), warnings.catch_warnings():
        # loky starts a process again that took much memory, as one does that counts the operators of a zoo.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor", UserWarning)
        yield


@contextmanager
def _on_one_thread() -> Iterator[None]:
    """Run libraries and nested parallel work on one thread: sums of several threads differ in their last bits."""
    with parallel_config("sequential"), _libraries(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> ThreadpoolController:
    """Return the libraries with threads of a process with so many modules: finding them takes 10 ms."""
    return ThreadpoolController()


def _piece(function: Callable[..., R], held: Shared, number: int, task: tuple[Any, ...]) -> tuple[int, R, Warned]:
    """Do one piece in a worker; return its number, its result, and the warnings, which nobody would see there."""
    with _on_one_thread(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        result = function(*held.get(), *task)
    return number, result, [(str(warning.message), warning.category) for warning in caught]


def _explained(error: Exception) -> InvalidInputError | None:
    """Return an error about processes that could not be given the work, or ended; None for any other."""
    from pickle import PicklingError

    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    if isinstance(error, TerminatedWorkerError):
        return InvalidInputError(
            "a process was ended, perhaps since memory ran out: use fewer processes. What was finished before is kept."
        )
    if not isinstance(error, (PicklingError, BrokenProcessPool)) and "pickle" not in str(error):
        return None
    why = (str(error.__cause__ or error).strip(' \n"').splitlines() or [""])[-1]
    return InvalidInputError(
        f"the work can't be sent to other processes ({why:.200}). Define its classes in a module that they can import "
        "by its name, or use one process: n_jobs=1."
    )
