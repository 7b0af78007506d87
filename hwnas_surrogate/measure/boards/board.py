"""A board: a machine that runs networks for this one; what every kind of connection to it offers."""

from __future__ import annotations

import re
import shlex
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar
from typing import Protocol as Interface

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["LEAST_FREE", "Board", "Facts", "Program", "command_line"]

LEAST_FREE = 1 << 24
"""Bytes that a board must have free for the runner and a small network."""

NOT_PORTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\\!]|^[=%]|^$")
"""What login shells read differently although it is quoted: line ends, ``!`` (csh), backslashes (fish), ``=`` (zsh)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a board is.

    Parameters
    ----------
    machine : str
        Its architecture as ``uname -m`` prints it, for example ``aarch64``.
    system : str
        Its operating system's kernel, for example ``Linux``.
    free : int
        Bytes that are free in its work folder.
    python, numpy : str, default=""
        Versions; empty where the board is used without Python.
    others : int, default=0
        Other connections that hold a work folder there now: what they run disturbs a measurement.
    host : str, default=""
        Its name in its network, as it knows it; empty where that is not known.
    """

    machine: str
    system: str
    free: int
    python: str = ""
    numpy: str = ""
    others: int = 0
    host: str = ""


class Program(Interface):
    """A program on a board: what is used of a ``subprocess.Popen``."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def wait(self) -> int:
        """Wait for its end; return its exit status."""

    def kill(self) -> None:
        """End it."""


class Board(ABC):
    """A machine that runs networks for this one.

    :meth:`check` connects. The connection makes a work folder on the board, which :meth:`close` removes. A connection
    that was lost stays lost until :meth:`check` makes another one, with another, empty folder. Different boards can be
    used from different threads, and so can one board.

    Parameters
    ----------
    url : str
        The board's address as the user gave it.
    name : str
        Begins the names of its devices.
    python : str
        The Python that runs there.
    """

    renamed_by: ClassVar[str] = "ssh://HOST?name=NAME"
    """How it is given another name."""

    def __init__(self, url: str, name: str, python: str) -> None:
        self.url, self.name, self.python = url, name, python
        self.is_retired = False
        """Whether it may not be connected again."""

    def __enter__(self) -> Board:
        """Return the board itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def __str__(self) -> str:
        """Return the address without its options, for messages."""
        return self.url.partition("?")[0]

    @property
    @abstractmethod
    def folder(self) -> str:
        """The work folder on the board, an absolute path.

        Raises
        ------
        MeasurementError
            If the board is not connected.
        """

    @abstractmethod
    def check(self) -> Facts:
        """Connect, if there is no connection, and look at the board.

        Raises
        ------
        MeasurementError
            If it can't be reached, or can't run networks; the message states why, and the remedy.
            There is no connection afterwards.
        """

    @abstractmethod
    def run(self, command: Sequence[str], timeout: float, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command on the board and wait for its end.

        Parameters
        ----------
        command : sequence of str
            Program and arguments. They are quoted: no shell interprets them.
        timeout : float
            Maximum seconds. The program loses its input and output afterwards; to end is its own affair.
        input : bytes, default=b""
            Its standard input.

        Raises
        ------
        MeasurementError
            If it takes too long, or the connection is lost.
        """

    @abstractmethod
    def start(self, command: Sequence[str], stderr: IO[bytes]) -> Program:
        """Start a command on the board; it is connected by pipes to its standard input and output.

        The program must be waited for, as any other. If it is ended, or the connection is lost, the program on the
        board sees the end of its input; to end then is its own affair.

        Parameters
        ----------
        command : sequence of str
            Program and arguments. They are quoted: no shell interprets them.
        stderr : file
            Where its messages go, and those of the connection.
        """

    @abstractmethod
    def push(self, paths: Sequence[Path], folder: str) -> None:
        """Copy files and folders into a new folder on the board, which appears when all of them are there.

        Parameters
        ----------
        paths : sequence of Path
            Files and folders; they keep their last names, which must differ.
        folder : str
            A path inside :attr:`folder` that does not exist yet.

        Raises
        ------
        MeasurementError
            If the board has no space left or can't write, or the connection is lost; nothing is left there.
        """

    @abstractmethod
    def remove(self, folder: str) -> None:
        """Remove a folder inside :attr:`folder`, if it is there."""

    @abstractmethod
    def lost(self, code: int) -> str | None:
        """Return why the connection ended, or None if only the program ended.

        Parameters
        ----------
        code : int
            The exit status of a process from :meth:`start`.
        """

    @abstractmethod
    def close(self) -> None:
        """Remove the work folder and close the connection; does nothing where there is none."""

    def retire(self) -> None:
        """Close the connection for good: whoever uses the board in another thread gets an error."""
        self.is_retired = True
        self.close()

    def inside(self, path: str) -> str:
        """Return a path on the board that is inside the work folder; any other is an error."""
        parts = path.removeprefix(f"{self.folder}/").split("/")
        if not path.startswith(f"{self.folder}/") or any(part in ("", ".", "..") for part in parts):
            raise InvalidInputError(f"a folder on board {self} must be inside {self.folder}, got {path!r}.")
        return path


def command_line(words: Sequence[str]) -> str:
    """Quote a command for any login shell: sh, bash, dash, zsh, ksh, fish, csh, tcsh.

    Raises
    ------
    InvalidInputError
        If a word has characters that not all of these shells read alike, or the program's name begins with ``-``.
    """
    for word in words:
        if NOT_PORTABLE.search(word):
            raise InvalidInputError(
                f"{word!r} can't be part of a command on a board: no word may be empty, hold control characters, "
                "backslashes or '!', or begin with '=' or '%'."
            )
    if not words or words[0].startswith("-"):
        raise InvalidInputError(f"a command on a board must begin with a program, got {list(words)!r}.")
    return shlex.join(words)
