"""Phones that are reached by Android's ``adb``. Tested with a stand-in for ``adb`` only, not yet on hardware."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards.board import LEAST_FREE, Board, Facts, command_line
from hwnas_surrogate.measure.boards.failures import last_line

__all__ = ["AdbBoard"]

ANSWER = 30.0
"""Maximum seconds for a small command."""
SLOWEST = 500_000
"""Bytes a second: a copy that takes longer than this rate and ANSWER is ended."""

ADB_ITSELF = re.compile(rb"\A(adb|error): ")
"""How messages of adb begin, which come instead of those of a program on the phone."""

REASONS = {
    "unauthorized": "it does not trust this host: unlock it and accept the question about USB debugging",
    "no permissions": "this user may not open the USB device: see https://developer.android.com/tools/device",
    "offline": "it is offline: connect it again, or restart it",
    "not found": "adb does not see it: `adb devices` lists those that it sees; USB debugging must be on",
    "more than one": "its serial number is not unique",
    "No space left": "it has no space left; free some, or name another folder with ?folder=",
    "Read-only file system": "it can't write its work folder; name another with ?folder=",
    "Permission denied": "it denies a permission",
}


class AdbBoard(Board):
    """A phone that is reached by ``adb`` (protocol of Android 7 and later). Untested on hardware.

    A phone has no Python, so the runner does not work there.
    :class:`~hwnas_surrogate.measure.boards.tool_timer.ToolTimer` measures with LiteRT's ``benchmark_model`` or ONNX
    Runtime's ``onnxruntime_perf_test`` instead, which must be on the phone already. A Python that ``adb shell`` may
    start can be named; Termux's belongs to another user: run Termux's ``sshd``, and use ``ssh://``.

    Parameters
    ----------
    url : str
        The board's address as the user gave it.
    serial : str
        The phone's serial number, as ``adb devices`` lists it.
    name, python, folder, benchmark_model, onnxruntime_perf_test
        See :func:`parse_board`.
    """

    def __init__(
        self,
        url: str,
        serial: str,
        *,
        name: str = "",
        python: str = "",
        folder: str = "/data/local/tmp",
        benchmark_model: str = "",
        onnxruntime_perf_test: str = "",
    ) -> None:
        super().__init__(url, name or serial, python)
        tools = {"benchmark_model": benchmark_model, "onnxruntime_perf_test": onnxruntime_perf_test}
        self.tools = {tool: path for tool, path in tools.items() if path}
        command_line(["true", folder, *self.tools.values(), *filter(None, [python])])
        self._serial, self._base, self._folder = serial, f"{folder.rstrip('/')}/hwnas-runner", ""
        self._gone = ""

    @property
    def folder(self) -> str:
        """The work folder on the phone, an absolute path."""
        if self._gone:
            raise MeasurementError(f"{self._gone}.")
        if not self._folder:
            raise self._error("it is not connected; call check() first")
        return self._folder

    def check(self) -> Facts:
        """Look at the phone, and make the work folder if there is none; another one if the connection was lost."""
        if self.is_retired:
            raise self._error("it was closed")
        if shutil.which("adb") is None:
            raise self._error(
                "there is no adb here; install Android's platform tools (Debian, Ubuntu: apt install adb)"
            )
        self._adb(["get-state"], ANSWER)
        if self._gone:
            self._gone = ""
            self.close()
        for tool, path in self.tools.items():
            if self.run(["test", "-x", path], ANSWER).returncode:
                raise self._error(f"it has no program {path} ({tool}): adb push it there, and make it executable")
        versions = "import numpy, platform; print(platform.python_version(), numpy.__version__)"
        python, numpy = self._fields([self.python, "-c", versions], 2) if self.python else ("", "")
        if not self._folder:
            folder = f"{self._base}/{secrets.token_hex(8)}"
            self._said(["mkdir", "-p", folder])
            self._folder = folder
        _, blocks, size = self._fields(["stat", "-f", "-c", "free %a %S", self._folder], 3)
        system, machine = self._fields(["uname", "-s", "-m"], 2)
        facts = Facts(machine, system, int(blocks) * int(size), python, numpy)
        if facts.free < LEAST_FREE:
            self.close()
            raise self._error(REASONS["No space left"])
        return facts

    def run(self, command: Sequence[str], timeout: float, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command on the phone and wait for its end."""
        if self._gone:
            raise MeasurementError(f"{self._gone}.")
        try:
            done = subprocess.run(self._shell(command), input=input, capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise self._error(f"a command took longer than {timeout:.3g} s and was ended") from None
        if done.returncode and not done.stdout and ADB_ITSELF.match(done.stderr):  # the phone may be back already
            self._gone = f"lost the connection to board {self}: {_reason(done.stderr)}"
        if done.returncode and (why := self.lost(done.returncode)) is not None:
            raise MeasurementError(f"{why}.")
        return done

    def start(self, command: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a command on the phone; it is connected by pipes to its standard input and output."""
        if not self.python:
            raise self._error(
                "it has no Python, which the runner needs: name one with ?python=, use Termux's sshd and ssh://, "
                "or name LiteRT's benchmark_model on it with ?benchmark_model="
            )
        return subprocess.Popen(
            self._shell(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        )

    def push(self, paths: Sequence[Path], folder: str) -> None:
        """Copy files and folders into a new folder on the phone, which appears when all of them are there."""
        partial = f"{self.inside(folder)}.part"
        size = sum(file.stat().st_size for path in paths for file in [path, *path.rglob("*")] if file.is_file())
        if self.run(["test", "-e", folder], ANSWER).returncode == 0:
            raise self._error(f"it has {folder} already")
        self._said(["mkdir", "-p", partial])
        try:
            self._adb(["push", *(str(path.resolve()) for path in paths), f"{partial}/"], ANSWER + size / SLOWEST)
            self._said(["mv", partial, folder])
        except MeasurementError:
            self.remove(partial)
            raise

    def remove(self, folder: str) -> None:
        """Remove a folder inside the work folder, if it is there."""
        self._said(["rm", "-rf", self.inside(folder)])

    def lost(self, code: int) -> str | None:
        """Return why the connection ended, or None if only the program ended: ask adb whether the phone is there."""
        if code and not self._gone and (why := self._refusal(["get-state"], ANSWER)) is not None:
            self._gone = f"lost the connection to board {self}: {why}"
        return self._gone or None

    def close(self) -> None:
        """Remove the work folder; a phone that is gone keeps it."""
        folder, self._folder = self._folder, ""
        if folder and self._refusal(["get-state"], ANSWER) is None:
            self._gone = ""
            self._said(["rm", "-rf", folder])

    def _error(self, why: str) -> MeasurementError:
        return MeasurementError(f"can't use board {self}: {why}.")

    def _shell(self, command: Sequence[str]) -> list[str]:
        return ["adb", "-s", self._serial, "shell", "-T", command_line(command)]

    def _said(self, command: Sequence[str]) -> str:
        """Return what a small command on the phone prints; it must succeed."""
        done = self.run(command, ANSWER)
        if done.returncode:
            raise self._error(f"{command[0]} ended with exit status {done.returncode}: {_reason(done.stderr)}")
        return done.stdout.decode(errors="replace").strip()

    def _fields(self, command: Sequence[str], number: int) -> list[str]:
        """Return the words that a small command on the phone prints; their number must be right."""
        fields = self._said(command).split()
        if len(fields) != number:
            raise self._error(f"{command[0]} printed {' '.join(fields)[:80]!r}, not {number} words")
        return fields

    def _adb(self, words: Sequence[str], timeout: float) -> None:
        """Run adb itself; it must succeed."""
        if (why := self._refusal(words, timeout)) is not None:
            raise self._error(why)

    def _refusal(self, words: Sequence[str], timeout: float) -> str | None:
        """Run adb itself; return why it failed, or None if it did not."""
        command = ["adb", "-s", self._serial, *words]
        with tempfile.TemporaryFile() as messages:  # not a pipe, which the server that adb starts would hold open
            files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": messages}
            try:
                done = subprocess.run(command, timeout=timeout, **files)
            except subprocess.TimeoutExpired:
                return f"adb {words[0]} took longer than {timeout:.3g} s and was ended"
            messages.seek(0)
            return _reason(messages.read()) if done.returncode else None


def _reason(messages: bytes) -> str:
    """Return what adb's messages mean, or the last of them."""
    text = messages.decode(errors="replace")
    return next((reason for pattern, reason in REASONS.items() if pattern in text), last_line(text) or "no message")
