"""The ``hwnas`` command: one file per sub-command, no logic of its own."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Exit codes: 0 done; 1 something failed (a file, a table, too few costs in it, a download, a measurement, the disk
    behind stdout); 2 the command line requests something that does not exist; 129 the terminal was closed; 130
    interrupted (Ctrl-C); 143 terminated. A reader of stdout who leaves early changes nothing.

    Parameters
    ----------
    arguments : list of str, optional
        The arguments; those of the process if None.
    """
    try:
        from hwnas_surrogate.cli.terminal import standard_streams

        with standard_streams(), _ended_cleanly():
            _run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, so that it removes its temporary files."""
    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only the main thread may set handlers

    def end(number: int, _: Any) -> None:
        sys.exit(128 + number)

    # nohup ignores SIGHUP, which stays ignored.
    before = {number: signal.signal(number, end) for number in numbers if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: list[str] | None) -> None:
    from hwnas_surrogate.cli.app import app
    from hwnas_surrogate.cli.terminal import say, warnings_said
    from hwnas_surrogate.errors import (
        HWNASError,
        InvalidArchitectureError,
        InvalidConfigError,
        InvalidInputError,
        TooFewCostsError,
    )

    try:
        try:
            with warnings_said():
                app(args=arguments, prog_name="hwnas")
        finally:
            sys.stdout.flush()
    except HWNASError as error:
        asked_wrongly = isinstance(error, (InvalidArchitectureError, InvalidConfigError, InvalidInputError))
        say(f"error: {error}")
        sys.exit(2 if asked_wrongly and not isinstance(error, TooFewCostsError) else 1)
