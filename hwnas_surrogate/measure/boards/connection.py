"""One ssh connection that many commands share, and the work folder on the board that lives as long as it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards.waiting import has_output

__all__ = ["Connection"]

END = 5.0
"""Maximum seconds to wait for the end of the command on the board, and then for that of the connection."""
LONGEST_SOCKET = 80
"""Bytes of a socket's path: systems allow 104, and ssh adds 17 while it makes one."""
LONGEST_LINE = 1 << 16
"""Bytes of the first line from the board to read."""


class Connection:
    """A connection, held by an ssh process that runs one command on the board as long as it lasts.

    The command's input is a pipe from here. Whatever ends this process, the command sees the end of its input and ends
    too, and with it the connection and the commands that share it.

    Parameters
    ----------
    ssh : sequence of str
        The ssh program and its options.
    host : str
        The host.
    command : str
        What to run there, quoted.
    first : bytes
        The beginning of its input.
    """

    def __init__(self, ssh: Sequence[str], host: str, command: str, first: bytes) -> None:
        self._ssh, self._host = list(ssh), host
        self._folder = _short_folder()
        self._socket = os.path.join(self._folder.name, "s").replace("%", "%%")  # ssh expands percent signs
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
        words = [*ssh, "-M", "-S", self._socket, "-o", "ControlPersist=no", "--", host, command]
        try:
            # A separate session: the interrupt key must not end the connection before what uses it.
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                start_new_session=True,
                env=environment(),
            )
        except OSError as error:
            self._messages.close()
            self._folder.cleanup()
            raise MeasurementError(f"can't start ssh: {error.strerror or error}.") from error
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended: first_line has no line, and messages why
            self._process.stdin.write(first)
            self._process.stdin.flush()

    def first_line(self, timeout: float) -> bytes | None:
        """Return the first line that the command prints, shorter if it ended before, or None if there was no time."""
        assert self._process.stdout is not None
        line, until = b"", time.monotonic() + timeout
        while not line.endswith(b"\n") and len(line) < LONGEST_LINE:
            if not has_output(self._process.stdout, until - time.monotonic()):
                return None
            piece = os.read(self._process.stdout.fileno(), 1)
            if not piece:
                break
            line += piece
        return line

    def _rest(self, stdout: IO[bytes]) -> None:
        """Wait for the end of what the command prints, which is its own end."""
        until = time.monotonic() + END
        while has_output(stdout, until - time.monotonic()):
            if not os.read(stdout.fileno(), LONGEST_LINE):
                return

    def words(self, command: str) -> list[str]:
        """Return the local command that runs another command over this connection."""
        # Where there is no connection to share, ssh would make another one, which nobody watches.
        shared = ["-S", self._socket, "-o", "ControlMaster=no", "-o", "ProxyCommand=false"]
        return [*self._ssh, *shared, "--", self._host, command]

    def ended(self, wait: float = 0.0) -> int | None:
        """Return the exit status of the ssh process, or None if it still lives after some seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(wait)
        return None

    def messages(self) -> str:
        """Return what ssh, and the command, wrote to standard error."""
        self._messages.seek(0)
        return self._messages.read().decode(errors="replace")

    def close(self) -> None:
        """End the command, and then the connection and what shares it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        self._rest(process.stdout)
        process.stdout.close()
        process.terminate()
        if self.ended(END) is None:
            process.kill()
            process.wait()
        self._messages.close()
        self._folder.cleanup()


def environment() -> dict[str, str]:
    """Return the variables for ssh, which must never ask: there may be nobody to answer."""
    return {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}


def _short_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a private folder whose path is short enough for a socket in it."""
    usual = tempfile.gettempdir()
    short = len(os.fsencode(Path(usual, "hwnas-12345678", "s"))) <= LONGEST_SOCKET
    return tempfile.TemporaryDirectory(prefix="hwnas-", dir=usual if short else "/tmp")
