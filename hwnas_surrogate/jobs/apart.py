"""A function that is called in processes of its own: a call that hangs or crashes costs nothing but itself."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import IO, Any, NoReturn
from uuid import uuid4

import joblib
from joblib.externals.loky.backend.reduction import dumps

__all__ = ["Apart", "CallTimeout", "ProcessEnded", "serve"]

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables that limit the threads of libraries."""
_START = 600.0
"""Maximum seconds in which a process starts and imports what the function needs: a cold disk is slow, not endless."""
_IDLE = 60.0
"""Seconds after which a process ends that is not called any more."""
_END = 10.0
"""Maximum seconds to wait for the end of a killed process."""
_LENGTH = struct.Struct(">Q")


class CallTimeout(Exception):
    """A call took too long, and its process was killed."""


class ProcessEnded(Exception):
    """The process of a call ended by itself, or was killed by others."""


class Apart:
    """A function whose calls run in processes of their own.

    Each call takes a process that is free, or starts one. So there are as many as there are calls at once. Processes
    keep the function, and end with the process that started them. An instance can be sent to other processes, which
    start their own.

    Parameters
    ----------
    function : callable
        What it returns or raises can be pickled.
    timeout : float, optional
        Seconds that a call may take.
    n_jobs : int, default=1
        Number of processes that share a machine's cores among the threads of their libraries, unless the environment
        says how many these use.

    Raises
    ------
    Exception
        If the function can't be pickled.

    Examples
    --------
    >>> apart = Apart(pow, timeout=60)
    >>> apart(2, 5)
    32
    >>> apart.end()
    """

    def __init__(self, function: Callable[..., Any], timeout: float | None = None, n_jobs: int = 1) -> None:
        self._function, self._timeout, self._n_jobs = bytes(dumps(function)), timeout, n_jobs
        self._key = uuid4().hex

    def __call__(self, *arguments: Any) -> Any:
        """Call the function.

        Raises
        ------
        CallTimeout
            If it takes too long.
        ProcessEnded
            If the process ends before it returns.
        Exception
            What the function raises.
        """
        process = _taken(self._key) or _Process(self._function, self._n_jobs)
        _running[self._key].append(process)
        try:
            if self._key in _ended:
                raise ProcessEnded("the end of the work")
            answer = process.call(arguments, self._timeout)
        except BaseException:
            process.end()
            raise
        finally:
            _running[self._key].remove(process)
        _free[self._key].append(process)
        succeeded, result = answer
        if not succeeded:
            raise result
        return result

    def end(self) -> None:
        """End the processes of this function that this process started, whatever they do. No call begins any more."""
        _ended.add(self._key)
        for process in [*_free.pop(self._key, []), *_running[self._key]]:
            process.end()


_free: defaultdict[str, list[_Process]] = defaultdict(list)
_running: defaultdict[str, list[_Process]] = defaultdict(list)
"""The processes of each function."""
_ended: set[str] = set()
"""The functions that are not called any more."""


def _taken(key: str) -> _Process | None:
    """Return a free process that has not ended."""
    with contextlib.suppress(IndexError):
        while True:
            process = _free[key].pop()
            if process.is_alive:
                return process
    return None


class _Process:
    """A process that calls a function, one call after the other."""

    def __init__(self, function: bytes, n_jobs: int) -> None:
        threads = str(max(joblib.cpu_count() // n_jobs, 1))
        limits = {name: os.environ.get(name, threads) for name in _THREADS}
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits},
            start_new_session=True,  # it is ended together with the processes that the function starts
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=_pass, args=(self._process.stdout, self._answers.put), daemon=True).start()
        try:
            self._ask(function, _START)
        except BaseException:
            self.end()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether it can be called."""
        if self._process.poll() is not None:
            self.end()
        return self._process.returncode is None

    def call(self, arguments: tuple[Any, ...], timeout: float | None) -> tuple[bool, Any]:
        """Return whether the function returned, and what it returned or raised."""
        answer: tuple[bool, Any] = pickle.loads(self._ask(bytes(dumps(arguments)), timeout))
        return answer

    def end(self) -> None:
        """Kill the process and those that it started."""
        _kill(self._process)  # those that it started also if it has ended itself
        with contextlib.suppress(subprocess.TimeoutExpired):  # a driver may hold it inside the kernel
            self._process.wait(_END)
        with contextlib.suppress(OSError):  # what was not written yet can't be any more
            self._process.stdin.close()  # type: ignore[union-attr]

    def _ask(self, message: bytes, timeout: float | None) -> bytes:
        with contextlib.suppress(OSError):  # of a process that has ended: there is no answer either
            _write(self._process.stdin, message)
        try:
            answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            raise CallTimeout(f"{timeout:g} s") from None
        if answer is None:
            raise ProcessEnded(self._death())
        return answer

    def _death(self) -> str:
        """Return how the process ended."""
        try:
            code = self._process.wait(_END)
        except subprocess.TimeoutExpired:
            return "its output was closed"
        names = {number.value: number.name for number in signal.Signals}
        return f"signal {names.get(-code, -code)}" if code < 0 else f"exit status {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()


def _write(file: IO[bytes] | None, message: bytes) -> None:
    assert file is not None
    file.write(_LENGTH.pack(len(message)) + message)
    file.flush()


def _pass(file: IO[bytes], take: Callable[[bytes | None], object]) -> None:
    """Pass the messages of a file on; None at its end."""
    with file:
        while len(head := _read(file, _LENGTH.size)) == _LENGTH.size:
            message = _read(file, _LENGTH.unpack(head)[0])
            take(message)
    take(None)


def _read(file: IO[bytes], size: int) -> bytes:
    """Return so many bytes of a file that may give fewer at once; fewer at its end."""
    found = bytearray()
    while len(found) < size and (part := file.read(size - len(found))):
        found += part
    return bytes(found)


def serve() -> None:
    """Call a function for another process: it comes first, then the arguments of each call."""
    # Without a buffer: its lock, held by the thread that reads, would block processes that the function forks.
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=sink.close)  # the pipe closes with this process
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())  # what the function reads is no message
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the function prints is no answer
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def take(message: bytes | None) -> None:
        if message is None:  # nobody waits for an answer any more
            _end()
        else:
            asked.put(message)

    threading.Thread(target=_pass, args=(source, take), daemon=True).start()
    function = _loaded(asked.get())
    _write(sink, b"")
    while True:
        try:
            message = asked.get(timeout=_IDLE)
        except queue.Empty:
            _end()
        _write(sink, _answer(function, message))


def _end() -> NoReturn:
    """End this process and those that the function started."""
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)  # Windows


def _loaded(message: bytes) -> Callable[..., Any]:
    """Return the function of a message; what can't be loaded is raised by each call."""
    try:
        function: Callable[..., Any] = pickle.loads(message)
    except Exception as error:  # noqa: BLE001 - raised by the calls
        reason = f"its process can't load the function: {type(error).__name__}: {error}"

        def function(*_: Any) -> None:
            raise ImportError(reason)

    return function


def _answer(function: Callable[..., Any], message: bytes) -> bytes:
    """Call the function, and return the pickle of whether it returned, and of what."""
    try:
        return bytes(dumps((True, function(*pickle.loads(message)))))
    except BaseException as error:  # noqa: BLE001 - raised in the other process
        with contextlib.suppress(Exception):  # of an error that can't be sent
            if isinstance(error, Exception):  # others would end the other process
                answer = bytes(dumps((False, error)))
                pickle.loads(answer)
                return answer
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
