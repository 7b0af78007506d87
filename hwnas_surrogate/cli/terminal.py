"""Output to the terminal: text that comes from data is printed, never interpreted.

Names of devices, files and columns, errors and responses of servers may contain terminal escapes, Rich markup
(``[bold]``) or invisible characters. All text for the terminal goes through :class:`Terminal` or :func:`visible`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

PIPED = 120
"""Columns of a table where stdout is no terminal."""

Progress = Callable[[int, int | None], None]


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
    """Write a result to stdout: exact in a file or pipe, escaped on a terminal."""
    sys.stdout.write(f"{visible(text) if sys.stdout.isatty() else text}\n")


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a progress bar on stderr while the block runs; the yielded function takes (done, total)."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    description = TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not sys.stderr.isatty()
    with Bar(*columns, console=Terminal(sys.stderr), transient=True, disable=hidden) as bar:
        task = bar.add_task(visible_line(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def warnings_said() -> Iterator[None]:
    """Print the block's warnings as lines on stderr."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
