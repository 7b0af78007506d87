"""Output to the terminal: text that comes from data is printed, never interpreted.

Names of devices, files and columns, errors and responses of servers may contain terminal escapes, Rich markup
(``[bold]``) or invisible characters. All text for the terminal goes through :class:`Terminal` or :func:`visible`.

Whoever reads may leave (``| head``), the disk behind a redirection may be full, a stream may be closed, and its
encoding may lack characters: :func:`standard_streams` is ready for that.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO, cast

from rich.console import Console
from rich.text import Text

from hwnas_surrogate.errors import DataFileError

PIPED = 120
"""Columns of a table where stdout is no terminal."""


class Progress(Protocol):
    """Shows how many of how many are done (unknown: None), and a remark."""

    def __call__(self, done: int, total: int | None, remark: str = "") -> None:
        """Update the progress."""
        ...


def visible(text: str) -> str:
    r"""Return a text with its unprintable characters, except line ends, escaped as :func:`repr` does (``\x1b``).

    Control characters, overrides of the writing direction and invisible characters are unprintable.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def visible_line(text: str) -> str:
    r"""Return :func:`visible` text on one line: line ends are escaped too."""
    return visible(text).replace("\n", r"\n")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class Terminal(Console):
    """A console that shows every text as it is: no markup, no emoji codes, unprintable characters escaped."""

    def __init__(self, file: Any) -> None:
        width = None if file.isatty() else PIPED
        super().__init__(file=file, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Return the text to print; Rich calls this for every text that is not styled already."""
        return super().render_str(visible(text), **how)


def say(text: str) -> None:
    """Print a line for people, to stderr: stdout is for results."""
    Terminal(sys.stderr).print(text, soft_wrap=True)


def echo(text: str) -> None:
    """Write a result to stdout: escaped on a terminal, exact in a file or pipe.

    Raises
    ------
    DataFileError
        If a file's or pipe's encoding lacks a character, or the disk is full.
    """
    if sys.stdout.isatty():
        sys.stdout.write(f"{visible(text)}\n")
        return
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError as error:
        raise DataFileError(
            f"can't write to stdout: its encoding {error.encoding} lacks {text[error.start]!a}. Set "
            "PYTHONIOENCODING=utf-8, or write JSON, which escapes it."
        ) from error
    sys.stdout.write(f"{text}\n")


class _Stream:
    """A standard stream that goes on when it can't be written to any more.

    A reader who has left wants no more: nothing else is written, and the command does the rest of its work. The same
    holds for every error of stderr, since nobody could read about it.
    """

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self._stream, self._needed = stream, needed
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        with self._patient():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what was written."""
        with self._patient():
            self._stream.flush()

    @contextmanager
    def _patient(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                # What is left in the buffer goes nowhere, and so does what Python flushes at its end.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            if self._needed and not isinstance(error, BrokenPipeError):
                raise DataFileError(f"can't write to stdout: {error.strerror or error}.") from error


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make stdout and stderr safe to write to while the block runs; closed ones lead nowhere."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which no file should get
    before = sys.stdin, sys.stdout, sys.stderr
    streams = [
        os.fdopen(number, "w" if number else "r", closefd=False) if stream is None else stream
        for number, stream in enumerate(before)
    ]
    sys.stdin = streams[0]
    sys.stdout = cast(TextIO, _Stream(streams[1], needed=True))
    sys.stderr = cast(TextIO, _Stream(streams[2], needed=False))
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a progress bar on stderr while the block runs; the yielded function takes (done, total), and a remark."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    description = TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not sys.stderr.isatty()
    with Bar(*columns, console=Terminal(sys.stderr), transient=True, disable=hidden) as bar:
        task = bar.add_task(visible_line(what), total=None)

        def update(done: int, total: int | None, remark: str = "") -> None:
            bar.update(task, completed=done, total=total, description=visible_line(f"{what}{remark}"))

        yield update


@contextmanager
def warnings_said() -> Iterator[None]:
    """Print the block's warnings as lines on stderr."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
