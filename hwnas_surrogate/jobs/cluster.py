"""A dask cluster as a backend of joblib: what runs in processes here runs on its workers as well."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from joblib import parallel_config
from joblib.parallel import ParallelBackendBase, get_active_backend

from hwnas_surrogate.errors import InvalidInputError, missing_extra
from hwnas_surrogate.jobs.pieces import source_version

__all__ = ["Shared", "connected", "on_cluster", "shared_with_workers", "used_cluster"]

Client: TypeAlias = Any
Future: TypeAlias = Any
"""Those of ``distributed``, which is imported only where a cluster is used."""

_ADDRESS = re.compile(r"(?:tcp|tls|ws|wss|ucx)://\S+:\d+")
_LOCAL = re.compile(r"local:([1-9]\d{0,3})")
_PATIENCE = 10
"""Seconds to wait for a scheduler, and for its first worker."""
_KEPT = "What was finished before is kept."


class Shared(Protocol):
    """Arguments that all pieces of work have in common."""

    def get(self) -> tuple[Any, ...]:
        """Return them, in the process that does a piece."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """Shared arguments that are sent with each piece: joblib maps large arrays into the memory of its processes."""

    arguments: tuple[Any, ...]

    def get(self) -> tuple[Any, ...]:
        return self.arguments


@dataclass(frozen=True, slots=True)
class _OnWorkers:
    """Shared arguments that every worker of a cluster has: they come as an argument of the dask task."""

    def get(self) -> tuple[Any, ...]:
        return _of_task.get()


_of_task: ContextVar[tuple[Any, ...]] = ContextVar("_of_task", default=())
_backend: ContextVar[_Cluster | None] = ContextVar("_backend", default=None)


@contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Run the parallel work of a block on a dask cluster.

    Workers have one thread each, since a piece of work takes one, and run the same code of this package. A piece whose
    worker dies is done again by another one.

    Parameters
    ----------
    address : str or None
        The scheduler, ``"tcp://10.0.0.5:8786"``; or ``"local:4"``, four processes of this machine, which end with the
        block. None does nothing.

    Raises
    ------
    InvalidInputError
        If the text reads otherwise, the scheduler doesn't answer or has no worker, or a worker has several threads or
        runs other code of this package.
    MissingExtraError
        If dask is not installed.

    Examples
    --------
    >>> with on_cluster(None):
    ...     pass
    """
    if address is None:
        yield
        return
    with ExitStack() as stack:
        client = stack.enter_context(connected(address))
        backend = _Cluster(client)
        token = _backend.set(backend)
        stack.callback(_backend.reset, token)
        stack.enter_context(parallel_config(backend=backend))
        yield


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to a cluster whose workers have one thread each and run this code.

    Parameters
    ----------
    address : str
        As for :func:`on_cluster`.

    Yields
    ------
    distributed.Client
        It is no default client.

    Raises
    ------
    InvalidInputError, MissingExtraError
        As :func:`on_cluster`.
    """
    with _client(address) as client:
        _check_workers(client)
        yield client


@contextmanager
def shared_with_workers(arguments: tuple[Any, ...]) -> Iterator[Shared]:
    """Give the arguments that all pieces of work in a block have in common to the workers, once."""
    backend = _backend.get()
    if backend is None:
        yield _Sent(arguments)
        return
    with backend.holding(arguments):
        yield _OnWorkers()


@contextmanager
def used_cluster(arguments: tuple[Any, ...]) -> Iterator[_Cluster | None]:
    """Give the first arguments of all calls of a block to the workers of the cluster that is set; None without one.

    It is that of :func:`on_cluster`, or of joblib's backend ``"dask"``.
    """
    backend, _ = get_active_backend()
    client = getattr(backend, "client", None)
    cluster = _backend.get() or (None if client is None else _Cluster(client))
    if cluster is None:
        yield None
        return
    with cluster.holding(arguments):
        yield cluster


class _Cluster(ParallelBackendBase):  # type: ignore[misc]
    """Workers of a dask cluster.

    joblib's own backend of dask waits for ever for pieces that no worker can finish, and loses shared arguments with
    the one worker that holds them.
    """

    supports_retrieve_callback = True
    supports_return_generator = True
    supports_inner_max_num_threads = False
    uses_threads = False

    def __init__(self, client: Client) -> None:
        super().__init__(nesting_level=0)
        self._client = client
        self._held: Future | None = None

    @contextmanager
    def holding(self, arguments: tuple[Any, ...]) -> Iterator[None]:
        """Keep arguments on the workers, for the pieces that are submitted in the block.

        They are the result of a task, which the scheduler does again if all workers that hold it die.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # once, in place of once with each piece
            self._held = self._client.submit(_given, arguments, pure=False)
        try:
            yield
        finally:
            self._held = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of workers, whatever is asked for; 2 for one: joblib would do a single job's work here."""
        return max(len(self._client.scheduler_info(n_workers=-1)["workers"]), 2)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Future:
        """Submit a batch of calls."""
        future = self._client.submit(_on_worker, func, self._held, pure=False)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def submit_call(self, *task: Any) -> Future:
        """Submit one call of the first of the arguments that the workers hold."""
        return self.submit(partial(_call, *task))

    def retrieve_result_callback(self, out: Future) -> Any:
        """Return a batch's results, or raise what went wrong."""
        try:
            return out.result()
        except (Exception, CancelledError) as error:
            explained = _explained(error)
            if explained is None:
                raise
            raise explained from error

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Do nothing: pieces that nobody waits for any more are cancelled with their futures."""


def _given(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return arguments


def _call(*task: Any) -> Any:
    """Call a function that this worker holds."""
    [function] = _of_task.get()
    return function(*task)


def _on_worker(func: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
    token = _of_task.set(arguments)
    try:
        return func()
    finally:
        _of_task.reset(token)


@contextmanager
def _client(address: str) -> Iterator[Client]:
    """Connect to a scheduler, or start one with its workers."""
    local = _LOCAL.fullmatch(address)
    if local is None and not _ADDRESS.fullmatch(address):
        raise InvalidInputError(
            f"a cluster reads tcp://HOST:PORT, the address that `dask scheduler` prints, or local:N for N processes of "
            f"this machine, got {address!r:.200}."
        )
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise missing_extra("work on a cluster", "cluster") from error
    with ExitStack() as stack:
        if local is not None:
            start = {"n_workers": int(local[1]), "threads_per_worker": 1, "processes": True}
            address = stack.enter_context(
                LocalCluster(**start, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL)
            )
        try:
            client = stack.enter_context(Client(address, timeout=_PATIENCE, set_as_default=False))
        except OSError as error:
            raise InvalidInputError(
                f"no scheduler answers at {address}: start one (`dask scheduler`), and give the address that it prints."
            ) from error
        yield client


def _check_workers(client: Client) -> None:
    """Raise unless there are workers, with one thread each, that run this code."""
    from distributed import TimeoutError as NoWorker

    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except NoWorker:
        raise InvalidInputError(
            f"the scheduler has no worker after {_PATIENCE} s: start some, `dask worker {client.scheduler.address} "
            "--nthreads 1 --nworkers 4` say."
        ) from None
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for name, facts in workers.items():
        if facts["nthreads"] != 1:
            raise InvalidInputError(
                f"the worker {name} has {facts['nthreads']} threads, and a piece of work takes one process: start it "
                "with `dask worker --nthreads 1 --nworkers N`."
            )
    here = _code_of_process()
    for name, found in client.run(_code_of_process, on_error="return").items():
        if isinstance(found, BaseException):
            found = f"none that can be imported ({type(found).__name__}: {found!s:.100})"
        if found != here:
            raise InvalidInputError(
                f"the worker {name} runs another version of hwnas-surrogate: {found}; here it is {here}. Install the "
                "same one there, and start the worker again."
            )


def _code_of_process() -> str:
    """Return what runs in this process: pickles are read by the same Python only."""
    return f"{source_version()} on Python {sys.version_info.major}.{sys.version_info.minor}"


def _explained(error: BaseException) -> InvalidInputError | None:
    """Return an error about the cluster itself; None for one of the work."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    if isinstance(error, KilledWorker):
        return InvalidInputError(
            f"workers died over the same piece of work again and again, perhaps since memory ran out: give them more. "
            f"{_KEPT}"
        )
    if isinstance(error, (CancelledError, FutureCancelledError, OSError)):
        return InvalidInputError(
            f"the cluster was lost: its scheduler is gone ({' '.join(str(error).split()):.200}). {_KEPT} Start a "
            "scheduler and workers again, and run the same again."
        )
    return None
