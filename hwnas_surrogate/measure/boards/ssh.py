"""Boards that are reached by the system's ssh."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure.boards.board import LEAST_FREE, Board, Facts, command_line
from hwnas_surrogate.measure.boards.calls import BOOT, call_line, files_in, stream
from hwnas_surrogate.measure.boards.connection import Connection, environment
from hwnas_surrogate.measure.boards.failures import explain, last_line

__all__ = ["SshBoard"]

CONNECT = 15
"""Maximum seconds to reach a board."""
ALIVE = 10
"""Seconds of silence after which ssh asks whether the board is there."""
QUESTIONS = 3
"""Number of such questions without an answer after which ssh gives up."""
START = 60.0
"""Maximum seconds to connect, log in and start Python; also for a small call to Python."""
SLOWEST = 50_000
"""Bytes a second: a copy that takes longer than this rate and START is ended."""
SETTLE = 2.0
"""Seconds in which the end of a connection is noticed after a program there ended with it."""
ENDED_BY_SYSTEM = (255, 129, 137, 143)
"""Exit statuses that a program has if the connection is lost, or if the board shuts down."""
DENIED = ("EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR")
FULL = ("ENOSPC", "EDQUOT")


class SshBoard(Board):
    """A board that is reached by the system's ``ssh``, as your own config, keys and known_hosts say.

    All commands share one connection. Host keys are always checked; nothing is ever asked. If the link is dead, this is
    noticed after 40 seconds. Login shells may be sh, bash, dash, zsh, ksh, fish, csh or tcsh; all that they read is
    one quoted command.

    Parameters
    ----------
    url : str
        The board's address as the user gave it.
    host : str
        Host or alias.
    user, port, name, python, folder, config
        See :func:`parse_board`.
    """

    def __init__(
        self,
        url: str,
        host: str,
        *,
        user: str | None = None,
        port: int | None = None,
        name: str = "",
        python: str = "python3",
        folder: str = "~/.cache",
        config: str = "",
    ) -> None:
        # No shell expands the home folder's sign, but commands begin there.
        super().__init__(url, name or host, re.sub(r"^~/", "./", python))
        command_line([self.python])
        self._host, self._base = host, folder
        own = [("-F", os.path.abspath(os.path.expanduser(config)) if config else ""), ("-p", port), ("-l", user)]
        self._target = [word for flag, value in own if value for word in (flag, str(value))]
        self._connection: Connection | None = None
        self._folder = ""
        self._lock = threading.Lock()

    @property
    def folder(self) -> str:
        """The work folder on the board, an absolute path."""
        self._connected()
        return self._folder

    def check(self) -> Facts:
        """Connect, if there is no connection, and look at the board."""
        with self._lock:
            if self.is_retired:
                raise self._error("it was closed")
            if self._connection is not None and self._connection.ended() is not None:
                self._disconnect()
            if self._connection is None:
                self._connect()
        try:
            found = self._call("facts", self._folder)
            why = found.pop("why", "")
            if why:
                raise self._error(
                    f"its Python {found['python']} ({self.python}) can't import numpy: {why}. Install numpy and the "
                    "runtime there, and name the Python that has them with ?python=/path/to/python"
                )
            facts = Facts(**found)
            if facts.free < LEAST_FREE:
                raise self._full(self._folder, f" ({facts.free / 1e6:.0f} MB are free)")
        except BaseException:
            self.close()
            raise
        return facts

    def run(self, command: Sequence[str], timeout: float, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command on the board and wait for its end."""
        return self._run(command_line(command), timeout, [input])

    def start(self, command: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a command on the board; it is connected by pipes to its standard input and output."""
        return subprocess.Popen(
            self._connected().words(command_line(command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            env=environment(),
        )

    def push(self, paths: Sequence[Path], folder: str) -> None:
        """Copy files and folders into a new folder on the board, which appears when all of them are there."""
        self.inside(folder)
        files = files_in(paths)
        size = sum(file.stat().st_size for _, file in files)
        self._call("receive", folder, feed=stream(files), timeout=START + size / SLOWEST, size=size)

    def remove(self, folder: str) -> None:
        """Remove a folder inside the work folder, if it is there."""
        self._call("remove", self.inside(folder))

    def lost(self, code: int) -> str | None:
        """Return why the connection ended, or None if only the program ended."""
        connection = self._connection
        if connection is None:
            return f"board {self} is not connected any more"
        # The connection itself ends a moment after a program that ends with it.
        if code == 0 or connection.ended(SETTLE if code in ENDED_BY_SYSTEM else 0.0) is None:
            return None
        return f"lost the connection to board {self}: {explain(connection.messages(), self._by_hand)}"

    def close(self) -> None:
        """Remove the work folder and close the connection; does nothing where there is none."""
        with self._lock:
            self._disconnect()

    @property
    def _by_hand(self) -> str:
        return shlex.join([*self._target, self._host])

    def _error(self, why: str) -> MeasurementError:
        return MeasurementError(f"can't use board {self}: {why}.")

    def _connect(self) -> None:
        """Connect, and make the work folder."""
        if shutil.which("ssh") is None:
            raise self._error("there is no ssh here; install it (Debian, Ubuntu: apt install openssh-client)")
        if os.name == "nt":
            raise self._error("Windows' ssh can't share connections; measure from the Windows Subsystem for Linux")
        ssh = ["ssh", "-T", *_settings(), *self._target]
        self._connection = connection = Connection(ssh, self._host, self._boot(), call_line("keep", self._base))
        try:
            line = connection.first_line(START)
            if line is None:
                raise self._error(f"it did not answer within {START:g} s")
            self._folder = str(self._answer(line, lambda: connection.ended(SETTLE), connection.messages))
            command_line([self._folder])
        except InvalidInputError as error:
            self._disconnect()
            raise self._error(f"its work folder's path is unusual ({error}); name another with ?folder=") from error
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Connection:
        connection = self._connection
        if connection is None:
            raise self._error("it is not connected; call check() first")
        if connection.ended() is not None:
            raise MeasurementError(f"{self.lost(255)}.")
        return connection

    def _boot(self) -> str:
        return command_line([self.python, "-c", BOOT])

    def _call(self, name: str, *given: str, feed: Iterable[bytes] = (), timeout: float = START, size: int = 0) -> Any:
        """Call a function of ``remote.py`` on the board and return what it returns."""

        def pieces() -> Iterator[bytes]:
            yield call_line(name, *given)
            yield from feed

        done = self._run(self._boot(), timeout, pieces())
        return self._answer(done.stdout, lambda: done.returncode, lambda: done.stderr.decode(errors="replace"), size)

    def _run(self, line: str, timeout: float, feed: Iterable[bytes]) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the board; raise if the connection ends or the time is over."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as messages:
            words = self._connected().words(line)
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=out, stderr=messages, start_new_session=True, env=environment()
            )
            assert process.stdin is not None
            late = threading.Event()

            def end() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(timeout, end)
            timer.start()
            try:
                with contextlib.suppress(BrokenPipeError):  # its end says why it reads no more
                    for piece in feed:
                        process.stdin.write(piece)
                    process.stdin.close()
                code = process.wait()
            finally:
                timer.cancel()
                process.kill()
                process.wait()
                with contextlib.suppress(BrokenPipeError):  # last: what is left to write could wait for a dead link
                    process.stdin.close()
            for file in (out, messages):
                file.seek(0)
            done = subprocess.CompletedProcess(words, code, out.read(), messages.read())
        if late.is_set():
            raise self._error(f"a command took longer than {timeout:.3g} s and was ended")
        if code and (why := self.lost(code)) is not None:
            raise MeasurementError(f"{why}.")
        return done

    def _answer(self, line: bytes, code: Callable[[], int | None], messages: Callable[[], str], size: int = 0) -> Any:
        """Return what a function of ``remote.py`` returned; raise what stopped it."""
        try:
            said: dict[str, Any] = json.loads(line)
            if "answer" in said:
                return said["answer"]
            kind, where = said["kind"], said["where"] or self._folder or self._base
        except (ValueError, TypeError, KeyError) as error:
            raise self._error(self._no_answer(line, code, messages())) from error
        if kind in FULL:
            raise self._full(where, f" ({size / 1e6:.1f} MB to copy)" if size else "")
        if kind in DENIED:
            raise self._error(f"it can't write {where}: {said['error']}; name another folder with ?folder=")
        raise self._error(f"{said['error']}: {where}")

    def _no_answer(self, line: bytes, ended: Callable[[], int | None], messages: str) -> str:
        """Return why Python on the board printed no answer."""
        last = last_line(messages)
        if re.fullmatch(r"Python \d+\.\d+ is too old", last):
            return f"its {last} ({self.python}); 3.9 is the oldest that works: name another with ?python="
        if line.strip():
            return (
                f"its login shell prints {line.decode(errors='replace').strip()[:80]!r} before each command; make "
                "~/.bashrc (or its like) print only where the shell is interactive"
            )
        code = ended()
        if code == 255:
            return explain(messages, self._by_hand)
        if code in (126, 127) or "not found" in messages:
            return (
                f"it has no Python that is called {self.python!r} ({last}); install Python 3.9 or later "
                "there, or name it with ?python=/path/to/python"
            )
        return f"its Python ({self.python}) ended with exit status {code} without an answer: {last or 'no message'}"

    def _full(self, where: str, how: str) -> MeasurementError:
        return self._error(f"it has no space left for {where}{how}; free some, or name another folder with ?folder=")


def _settings() -> list[str]:
    """Return the options that must hold whatever the user's config says; it decides on all others."""
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": CONNECT,
        "ServerAliveInterval": ALIVE,
        "ServerAliveCountMax": QUESTIONS,
        "LogLevel": "INFO",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
