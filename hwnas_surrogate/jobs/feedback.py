"""Parallel calls whose arguments depend on the results of earlier calls."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from joblib import effective_n_jobs

from hwnas_surrogate.jobs.cluster import used_cluster
from hwnas_surrogate.jobs.parallel import checked_jobs

__all__ = ["with_feedback"]

R = TypeVar("R")


def with_feedback(
    function: Callable[..., R], tasks: Iterable[tuple[Any, ...]], *, n_jobs: int | None = None
) -> Generator[tuple[int, R], None, None]:
    """Call a function for each task, and yield the number of each task and its result as soon as it is finished.

    Unlike :func:`~hwnas_surrogate.jobs.as_finished`, the next task is read when a worker is free and all results so far
    were yielded, so that it may depend on them: a search stops, or asks for more at once.

    Parameters
    ----------
    function : callable
        Called as ``function(*task)`` on the workers of a cluster, and otherwise in threads of this process: let it do
        its work elsewhere (:class:`~hwnas_surrogate.jobs.Apart`).
    tasks : iterable of tuple
        The arguments of each call.
    n_jobs : int, optional
        The number of calls at once, as in :func:`~hwnas_surrogate.jobs.in_parallel`; on a cluster, one for each worker.

    Yields
    ------
    int
        The number of the task, from 0.
    object
        Its result.

    Raises
    ------
    InvalidInputError
        If ``n_jobs`` is no number of processes, or the cluster is lost. What ``function`` raises is raised as it is;
        calls that are running then are given up.

    Examples
    --------
    >>> left = [3, 4]
    >>> tasks = ((left.pop(), 2) for _ in range(9) if left)
    >>> sorted(with_feedback(pow, tasks, n_jobs=2))
    [(0, 16), (1, 9)]
    """
    jobs = effective_n_jobs(checked_jobs(n_jobs))
    numbered = enumerate(tasks)
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    running: dict[Any, int] = {}
    with ExitStack() as stack:
        cluster = stack.enter_context(used_cluster((function,)))
        submit: Callable[..., Any]
        result: Callable[[Any], R]
        if cluster is None:
            threads = ThreadPoolExecutor(jobs)
            stack.callback(threads.shutdown, wait=False, cancel_futures=True)
            submit, result = partial(threads.submit, function), Future.result
        else:
            submit, result = cluster.submit_call, cluster.retrieve_result_callback
        while True:
            while len(running) < jobs and (following := next(numbered, None)) is not None:
                number, task = following
                call = submit(*task)
                running[call] = number
                call.add_done_callback(ended.put)
            if not running:
                return
            call = ended.get()
            yield running.pop(call), result(call)
