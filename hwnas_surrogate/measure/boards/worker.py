"""Workers of a dask cluster that own a device, as boards."""

from __future__ import annotations

import io
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure.boards.board import LEAST_FREE, Board, Facts
from hwnas_surrogate.measure.boards.calls import files_in
from hwnas_surrogate.measure.boards.lease import RESOURCE, call, hold

__all__ = ["WorkerBoard", "device_workers"]

Client: TypeAlias = Any
Call: TypeAlias = Callable[..., Any]

START = 30.0
"""Seconds to wait for a worker that is at work."""
PAUSE = 0.05
"""Seconds between looks at whether it has begun."""
WAIT = 10.0
"""Seconds for which a worker waits for a line of output before it answers."""
LOST = 255
"""The exit status of a program whose worker was lost."""


@contextmanager
def device_workers(address: str | None) -> Iterator[list[Board]]:
    """Connect to a cluster, and return its workers that own a device as boards, for a :class:`Fleet`.

    Such a worker was started with the resource ``device`` and a name: ``dask worker ADDRESS --nthreads 1 --name rack-1
    --resources device=1``. While it measures, it does no other work of the cluster.

    Parameters
    ----------
    address : str or None
        The scheduler, ``"tcp://10.0.0.5:8786"``. None gives no boards.

    Raises
    ------
    InvalidInputError
        As :func:`~hwnas_surrogate.jobs.on_cluster`; or if no worker owns a device, or one has no name.
    MissingExtraError
        If dask is not installed.

    Examples
    --------
    >>> with device_workers(None) as boards:
    ...     boards
    []
    """
    if address is None:
        yield []
        return
    if address.startswith("local:"):
        raise InvalidInputError(
            f"the workers of {address} share this machine, and none owns a device: leave out the cluster to measure "
            "here, or give the address of a scheduler, tcp://HOST:PORT."
        )
    from hwnas_surrogate.jobs.cluster import connected  # loads joblib, which no other board needs

    with connected(address) as client:
        workers = _with_device(client)
        if not workers:
            raise InvalidInputError(
                f"no worker of the cluster at {address} owns a device: start each with `dask worker {address} "
                f"--nthreads 1 --name NAME --resources {RESOURCE}=1`."
            )
        for name, place in workers.items():
            if name == place:
                raise InvalidInputError(
                    f"the worker {place} has no name, under which its measurements are kept: start it with --name NAME."
                )
        yield [WorkerBoard(client, name) for name in workers]


class WorkerBoard(Board):
    """A worker of a dask cluster that owns a device.

    Its device is leased: a task holds the worker's resource ``device``, and its only thread, as long as it is
    connected. Calls run beside that task. If the worker ends, a worker of the same name, such as the one that dask's
    nanny starts in its place, is the same board. A machine that is gone is noticed after the 30 seconds of dask's
    timeouts, a worker that stands still after the scheduler's ``worker-ttl``.

    Parameters
    ----------
    client : distributed.Client
        It is connected to the cluster.
    name : str
        The worker's name.
    """

    renamed_by = "dask worker --name NAME"

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(f"{name} (a worker of {client.scheduler.address})", name, "")
        self._client = client
        self._lock = threading.Lock()
        self._place = self._key = self._folder = self._gone = ""
        self._task: Any = None

    @property
    def folder(self) -> str:
        """The work folder on the worker, an absolute path."""
        self._check_connected()
        return self._folder

    def check(self) -> Facts:
        """Lease the device, if it is not leased, and look at the worker."""
        with self._lock:
            if self.is_retired:
                raise self._error("it was closed")
            if self._gone:
                self._release()
            if not self._key:
                self._connect()
        try:
            found = self._call("facts")
            self._folder, self.python = found.pop("folder"), found.pop("executable")
            facts = Facts(**found)
            if facts.free < LEAST_FREE:
                raise self._error(f"it has no space left for {self._folder} ({facts.free / 1e6:.0f} MB are free)")
        except BaseException:
            self.close()
            raise
        return facts

    def run(self, command: Sequence[str], timeout: float, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command on the worker and wait for its end."""
        return subprocess.CompletedProcess(list(command), *self._call("run", list(command), timeout, input))

    def start(self, command: Sequence[str], stderr: IO[bytes]) -> _Program:
        """Start a command on the worker; what it reads and writes goes over the cluster's connections."""
        return _Program(self._call, self._call("start", list(command)), stderr)

    def push(self, paths: Sequence[Path], folder: str) -> None:
        """Copy files and folders into a new folder on the worker, which appears when all of them are there."""
        files = [(name, path.read_bytes()) for name, path in files_in(paths)]
        self._call("push", files, self.inside(folder))

    def remove(self, folder: str) -> None:
        """Remove a folder inside the work folder, if it is there."""
        self._call("remove", self.inside(folder))

    def lost(self, code: int) -> str | None:
        """Return why the connection ended, or None if only the program ended."""
        if not self._gone and not self._key:
            return f"board {self} is not connected any more"
        return self._gone or None

    def close(self) -> None:
        """Give the device back; does nothing where it is not leased."""
        with self._lock:
            self._release()

    def _error(self, why: str) -> MeasurementError:
        return MeasurementError(f"can't use board {self}: {why.rstrip('.')}.")

    def _connect(self) -> None:
        """Lease the device of the worker that has the name now."""
        place = _with_device(self._client).get(self.name)
        if self._client.status != "running":
            raise self._error("the cluster's scheduler is gone")
        if place is None:
            raise self._error(f"the cluster has no worker of this name with the resource {RESOURCE} (any more)")
        self._gone, self._place, self._key = "", place, f"hwnas-device-{secrets.token_hex(8)}"
        self._task = self._client.submit(
            hold, self._key, key=self._key, workers=[place], resources={RESOURCE: 1}, pure=False
        )
        until = time.monotonic() + START
        try:
            while not self._call("is_held"):
                if self._task.done():
                    raise self._error(str(self._task.exception()))
                if time.monotonic() > until:
                    raise self._error(
                        f"it has been busy for {START:g} s: another measurement, or other work of the cluster"
                    )
                time.sleep(PAUSE)
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        """Give the device back."""
        if self._key and not self._gone:
            with suppress(MeasurementError):
                self._call("give_back")
        if self._task is not None:
            with suppress(OSError, TimeoutError, CancelledError):
                self._task.cancel()
        self._key, self._task = "", None

    def _check_connected(self) -> None:
        if self._gone:
            raise MeasurementError(f"{self._gone}.")
        if not self._key:
            raise self._error("it is not connected; call check() first")

    def _call(self, name: str, *given: Any) -> Any:
        """Call a method of the lease on the worker; raise if the worker refuses it, or is lost."""
        self._check_connected()
        try:
            said = self._client.run(call, self._key, name, *given, workers=[self._place])[self._place]
        except (OSError, TimeoutError, CancelledError, RuntimeError) as error:
            is_there = self._client.status == "running"
            self._gone = f"lost the connection to board {self}: {'it ended' if is_there else 'the scheduler is gone'}"
            raise MeasurementError(f"{self._gone}.") from error
        if "answer" in said:
            return said["answer"]
        if "error" not in said:
            self._gone = f"lost the connection to board {self}: its lease ended"
            raise MeasurementError(f"{self._gone}.")
        raise self._error(f"{said['error']}{': ' if said['where'] else ''}{said['where']}")


class _Program:
    """A program on a worker, with what is used of ``subprocess.Popen``."""

    def __init__(self, call: Call, number: int, stderr: IO[bytes]) -> None:
        self._call, self._number, self._stderr = call, number, stderr
        self.stdin: IO[bytes] | None = io.BufferedWriter(_Input(call, number))
        self.stdout: IO[bytes] | None = io.BufferedReader(_Output(call, number))

    def wait(self) -> int:
        """Wait for its end, write its messages to the file for them, and return its exit status."""
        try:
            code, messages = self._call("wait", self._number)
        except MeasurementError:
            return LOST
        self._stderr.write(messages)
        return int(code)

    def kill(self) -> None:
        """End it."""
        with suppress(MeasurementError):  # lost: it ends with its worker
            self._call("end", self._number)


class _Input(io.RawIOBase):
    """The input of a program on a worker."""

    def __init__(self, call: Call, number: int) -> None:
        self._call, self._number = call, number

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Send bytes."""
        try:
            self._call("write", self._number, bytes(data))
        except MeasurementError as error:
            raise BrokenPipeError(str(error)) from error
        return len(data)


class _Output(io.RawIOBase):
    """The output of a program on a worker; it ends with the program, or if the worker is lost."""

    def __init__(self, call: Call, number: int) -> None:
        self._call, self._number = call, number
        self._left, self._is_over = b"", False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for output, and copy as much of it as there is room for."""
        while not self._left and not self._is_over:
            try:
                self._left, self._is_over = self._call("read", self._number, WAIT)
            except MeasurementError:
                self._is_over = True
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def _with_device(client: Client) -> dict[str, str]:
    """Return the addresses of the workers that own a device, by their names."""
    workers = client.scheduler_info(n_workers=-1).get("workers", {})  # nothing if the scheduler is gone
    return {
        str(facts["name"]): address
        for address, facts in workers.items()
        if facts["resources"].get(RESOURCE, 0) >= 1 and facts["status"] == "running"
    }
