"""What a worker of a dask cluster does while it measures for :class:`WorkerBoard`: its device is leased to one client.

:func:`hold` is a task. It takes the worker's resource ``device`` and its only thread until the lease ends. :func:`call`
runs beside it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards.waiting import has_output

__all__ = ["RESOURCE", "call", "hold"]

RESOURCE = "device"
"""The resource of workers that own a device."""
SILENCE = 120.0
"""Seconds without a call after which the client is taken for gone."""
COLLECT = 0.5
"""Seconds for which lines are collected: a message for each would take the processor from what is measured."""
END = 5.0
"""Seconds in which a program may end by itself when its input ends."""
MOST = 1 << 20
"""Bytes of output in one answer."""


class _Lease:
    """The work folder, the programs and the locks of one client."""

    def __init__(self) -> None:
        self.heard = time.monotonic()
        self.is_over = asyncio.Event()
        self._programs: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        self.folder = str(Path(_local_directory(), "hwnas-device", secrets.token_hex(8)))
        with _locked(_owned()) as locks:
            os.makedirs(self.folder)
            self._locks = locks.pop_all()

    def facts(self) -> dict[str, Any]:
        """Return what the worker is."""
        from hwnas_surrogate.measure.boards.remote import facts

        return {**facts(self.folder), "folder": self.folder, "executable": sys.executable}

    def run(self, command: Sequence[str], timeout: float, input: bytes) -> tuple[int, bytes, bytes]:
        """Run a command; return its exit status, its output and its messages."""
        done = subprocess.run(command, input=input, timeout=timeout, capture_output=True, env=_environment())
        return done.returncode, done.stdout, done.stderr

    def start(self, command: Sequence[str]) -> int:
        """Start a program, and return its number."""
        pipe = subprocess.PIPE
        with ExitStack() as opened:
            messages = opened.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=messages, start_new_session=True, env=_environment()
            )
            self._programs.append((process, messages))
            opened.pop_all()  # closed in close
        return len(self._programs) - 1

    def write(self, number: int, data: bytes) -> None:
        """Write to a program's input."""
        stdin = self._programs[number][0].stdin
        assert stdin is not None
        with suppress(BrokenPipeError), _may_close(stdin):  # its end says why it reads no more
            stdin.write(data)
            stdin.flush()

    def read(self, number: int, wait: float) -> tuple[bytes, bool]:
        """Return what a program printed, after some seconds at most, and whether that was its last."""
        stdout = self._programs[number][0].stdout
        assert stdout is not None
        with _may_close(stdout):
            if not has_output(stdout, wait):
                return b"", False
            time.sleep(COLLECT)
            data = os.read(stdout.fileno(), MOST)
            return data, not data
        return b"", True

    def wait(self, number: int) -> tuple[int, bytes]:
        """Wait for the end of a program whose output has ended; return its exit status and its messages."""
        process, messages = self._programs[number]
        code = process.wait()
        messages.seek(0)
        return code, messages.read()

    def end(self, number: int) -> None:
        """End a program: the end of its input ends it, and what it started."""
        process, _ = self._programs[number]
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END)
        process.kill()
        process.wait()

    def push(self, files: Sequence[tuple[str, bytes]], folder: str) -> None:
        """Write files into a new folder, which gets its name when all of them are there."""
        if os.path.lexists(folder):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), folder)
        partial = Path(f"{folder}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            for name, data in files:
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def remove(self, folder: str) -> None:
        """Remove a folder, if it is there."""
        if os.path.lexists(folder):
            shutil.rmtree(folder)

    def close(self) -> None:
        """End all programs, remove the folder, and give up the locks."""
        with self._locks:
            for number, (process, messages) in enumerate(self._programs):
                self.end(number)
                assert process.stdout is not None
                process.stdout.close()
                messages.close()
            shutil.rmtree(self.folder, ignore_errors=True)


_leases: dict[str, _Lease] = {}
_unwanted: set[str] = set()
"""Leases that were given back before they began: a cancelled task may start nevertheless."""


async def hold(key: str) -> None:
    """Lease the worker's device until the lease is given back, or nobody has called for a while.

    Parameters
    ----------
    key : str
        Names the lease.

    Raises
    ------
    MeasurementError
        If another measurement uses the same cores or GPUs of the machine.
    """
    if key in _unwanted:
        _unwanted.remove(key)
        return
    lease = _Lease()
    _leases[key] = lease
    try:
        while not lease.is_over.is_set() and (left := lease.heard + SILENCE - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(lease.is_over.wait(), left)
    finally:
        del _leases[key]
        await asyncio.to_thread(lease.close)


async def call(key: str, name: str, *given: Any) -> dict[str, Any]:
    """Do something for the client that has the lease.

    Parameters
    ----------
    key : str
        The lease.
    name : str
        A method of the lease; or ``is_held``, or ``give_back``.
    *given
        Its arguments.

    Returns
    -------
    dict
        ``answer``, what it returned; or ``error``, ``kind`` and ``where``, what the system refused; or nothing if there
        is no such lease (any more).
    """
    lease = _leases.get(key)
    if name == "is_held":
        return {"answer": lease is not None}
    if lease is None:
        if name == "give_back":
            _unwanted.add(key)
        return {}
    lease.heard = time.monotonic()
    if name == "give_back":
        lease.is_over.set()
        return {"answer": None}
    try:
        return {"answer": await asyncio.to_thread(getattr(lease, name), *given)}
    except subprocess.TimeoutExpired as error:
        return {"error": f"a command took longer than {error.timeout:.3g} s and was ended", "where": ""}
    except OSError as error:
        return {"error": error.strerror or str(error), "where": str(error.filename or "")}


@contextmanager
def _may_close(file: IO[bytes]) -> Iterator[None]:
    """Ignore that a file is closed by the end of its program, before or in between; raise every other error."""
    try:
        yield
    except ValueError:
        if not file.closed:
            raise


def _local_directory() -> str:
    """Return the worker's folder for temporary files; dask removes what dead workers left there."""
    from distributed import get_worker

    return str(get_worker().local_directory)


def _environment() -> dict[str, str]:
    """Return the variables for programs, without those that dask sets: its MALLOC_TRIM_THRESHOLD_ changes times."""
    import dask

    of_dask = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    return {name: value for name, value in os.environ.items() if name not in of_dask or value != str(of_dask[name])}


def _owned() -> list[str]:
    """Return what of the machine the worker owns: its GPUs if it was given some, or else its cores."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if gpus not in ("", "-1"):  # both hide all GPUs
        return [f"gpu {gpu.strip()}" for gpu in gpus.split(",")]
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return [f"core {core}" for core in sorted(cores)]


def _locked(owned: Sequence[str]) -> ExitStack:
    """Lock what a worker owns, on this machine, until the stack is closed, or this process ends."""
    import fcntl

    folder = Path(tempfile.gettempdir(), f"hwnas-devices-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as locks:
        for name in owned:
            file = locks.enter_context(open(folder / name.replace("/", "-"), "w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise MeasurementError(
                    f"another measurement uses {name} of its machine, {platform.node()}: start one worker a machine, "
                    "or give each its own cores (`taskset -c 0-3 dask worker ...`) or its own CUDA_VISIBLE_DEVICES"
                ) from None
        return locks.pop_all()
