"""Watching the measuring process: it is started, ended when it hangs, and its death is explained."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any, Optional, Union

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.blocks import CLOCK

__all__ = ["MeasuringProcess", "pass_lines"]

START = 600.0
"""Maximum seconds in which the process imports the runtime: a cold disk is slow, but not endless."""
END = 10.0
"""Maximum seconds to wait for the end of the process after it was killed, or has closed its output."""
TAIL = 1 << 14
"""Bytes of the process's messages to read: the last line explains a crash."""

SIGNALS = {
    "SIGABRT": "native code stopped itself",
    "SIGBUS": "a bad memory access in native code, or no space behind mapped memory",
    "SIGFPE": "an arithmetic fault in native code, such as an integer division by zero",
    "SIGILL": "an instruction that this processor lacks",
    "SIGKILL": "probably out of memory",
    "SIGSEGV": "a fault in the runtime's native code",
    "SIGSYS": "a system call that this system forbids",
    "SIGTERM": "another process ended it",
    "SIGXCPU": "the limit of CPU time",
    "SIGXFSZ": "the limit of file sizes",
}
"""What the signals that end a process mean here."""

GRACE = 1.0
"""Seconds for the next line after its time is over."""

GUARD = """
import os, signal, sys
sys.stdin.read()
os.killpg(int(sys.argv[1]), signal.SIGKILL)
import shutil
for folder in sys.argv[2:]:
    shutil.rmtree(folder, ignore_errors=True)
"""
"""A process that waits for the end of its input, then ends a process group and removes folders."""


class MeasuringProcess:
    """A process that times networks: a :class:`~hwnas_surrogate.runner.blocks.BlockServer`.

    It ends with this process, however this process ends, together with the processes that the runtime started. A second
    process, the guard, sees to that: it notices the end of a pipe from here, and native code cannot hold it up.
    (Windows has no process groups; there, the process ends after its current block.)

    Parameters
    ----------
    command : sequence of str
        What to run.
    hello : dict
        The first request, which names the runtime.
    timeout : float
        Maximum seconds to load a network, or to run it once; then the process is ended.
    folders : sequence of str, default=()
        Folders that are removed if this process is killed; else, who made them removes them.

    Raises
    ------
    MeasurementError
        If the process can't be started, or can't load the runtime.
    """

    def __init__(
        self, command: Sequence[str], hello: dict[str, Any], timeout: float, folders: Sequence[str] = ()
    ) -> None:
        self._command, self._hello, self._timeout, self._folders = list(command), hello, timeout, list(folders)
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._guard: Optional[subprocess.Popen[bytes]] = None
        self._shared: Optional[IO[bytes]] = None
        self._clock: Optional[mmap.mmap] = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.welcome: dict[str, Any] = {}

    def __enter__(self) -> MeasuringProcess:
        """Start the process."""
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it is doing."""
        self._stop()

    def time(self, request: dict[str, Any], deadline: float = float("inf")) -> Iterator[dict[str, Any]]:
        """Send a block; yield its events, until ``{"event": "end"}``, or ``{"event": "refused", "why": ...}``.

        If the process dies, or is ended because a network takes longer than the timeout (to time its operators over N
        runs, N + 1 times as long), the last event is ``{"event":
        "died", "why": ...}``, and a new process runs the next block. If the deadline (of ``time.monotonic``) passes,
        the process is ended and the last event is ``{"event": "late"}``.
        """
        if self._process is None:
            self._start()
        # A profile loads a network and runs it often, without a sign of life in between.
        return self._ask(request, deadline, self._timeout * (1 + request.get("profile", 0)))

    def _ask(self, request: dict[str, Any], deadline: float, timeout: float) -> Iterator[dict[str, Any]]:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            yield {"event": "died", "why": self._death()}
            return
        while True:
            line = self._line(deadline, timeout)
            if line is None:
                self._stop()
                if time.monotonic() >= deadline:
                    yield {"event": "late"}
                else:
                    what = "timing its operators" if request.get("profile") else "loading it, or running it once,"
                    yield {"event": "died", "why": f"{what} took longer than {timeout:g} s"}
                return
            if not line.endswith(b"\n"):
                yield {"event": "died", "why": self._death()}
                return
            event = json.loads(line)
            yield event
            if event["event"] in ("end", "refused"):
                return

    def _start(self) -> None:
        paths = [path for path in sys.path if path] + [os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        try:
            self._shared = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in _stop
            self._shared.write(CLOCK.pack(0))
            self._clock = mmap.mmap(self._shared.fileno(), CLOCK.size)
            # A separate session: the interrupt key reaches only the measurement, which then ends this process.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._shared,
                env=environment,
                start_new_session=True,
            )
            if hasattr(os, "killpg"):
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", GUARD, str(self._process.pid), *self._folders],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except OSError as error:
            raise MeasurementError(f"can't start the measuring process: {error.strerror or error}.") from error
        self._lines = queue.SimpleQueue()
        # A thread reads: with a pipe, only that can wait for a limited time on every system.
        threading.Thread(target=pass_lines, args=(self._process.stdout, self._lines), daemon=True).start()
        for event in self._ask(self._hello, float("inf"), START):
            if event["event"] in ("died", "refused"):
                what = "" if event.get("is_whole") else "the measuring process could not load the runtime: "
                raise MeasurementError(what + event["why"])
            self.welcome = event

    def _stop(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:  # before the worker: afterwards, the system may give its number to another process
            guard.kill()
            guard.wait()
            _close(guard.stdin)
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver may hold it inside the kernel
                process.wait(END)
            _close(process.stdin)
        for file in (self._clock, self._shared):
            _close(file)
        self._clock = self._shared = None

    def _line(self, deadline: float, timeout: float) -> bytes | None:
        """Return the next line, one without an end if the process has ended, or None if there was no time for it."""
        asked = time.monotonic()
        while (left := min(deadline, max(asked, self._begun()) + timeout) - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                return self._lines.get(timeout=min(left, threading.TIMEOUT_MAX))
        with contextlib.suppress(queue.Empty):  # this process may have slept in between, or its clock has jumped
            return self._lines.get(timeout=GRACE)
        return None

    def _begun(self) -> float:
        """Return when the process last began to load or run a network, on the clock of ``time.monotonic``.

        0 if the file has no such time: a library may have emptied it, or written to its beginning.
        """
        assert self._clock is not None
        assert self._shared is not None
        if os.fstat(self._shared.fileno()).st_size < CLOCK.size:  # reading its memory would end this process
            return 0.0
        (nanoseconds,) = CLOCK.unpack(self._clock)
        begun = float(nanoseconds) / 1e9
        return begun if begun <= time.monotonic() else 0.0

    def _death(self) -> str:
        """Return why the process died."""
        assert self._process is not None
        assert self._shared is not None
        try:
            code = self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._stop()
            return "the measuring process closed its output without ending"
        size = self._shared.seek(0, os.SEEK_END)
        self._shared.seek(max(CLOCK.size, size - TAIL))
        stderr = self._shared.read().decode(errors="replace").strip().splitlines()
        self._stop()
        how = _signal(-code) if code < 0 else f"exit status {code}"
        return f"the measuring process ended with {how}{': ' + stderr[-1][:200] if stderr else ''}"


def pass_lines(stdout: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Pass the lines on, and at the end, whatever ends them, what is there of a line."""
    try:
        with stdout:
            for line in stdout:
                lines.put(line)
    finally:  # somebody waits
        lines.put(b"")


def _signal(number: int) -> str:
    """Return a signal's name, and what it means here."""
    try:
        name = signal.Signals(number).name
    except ValueError:  # one without a name
        return f"signal {number}"
    return f"signal {name} ({SIGNALS[name]})" if name in SIGNALS else f"signal {name}"


def _close(file: Union[IO[bytes], mmap.mmap, None]) -> None:
    with contextlib.suppress(OSError):  # what was not written yet can't be any more
        if file is not None:
            file.close()
