"""The ``hwnas`` command: one file per sub-command, no logic of its own."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Exit codes: 0 done; 1 something failed (a file, a table, too few costs in it, a download, a measurement, the disk
    behind stdout); 2 the command line requests something that does not exist; 130 interrupted (Ctrl-C). A reader of
    stdout who leaves early changes nothing.

    Parameters
    ----------
    arguments : list of str, optional
        The arguments; those of the process if None.
    """
    try:
        from hwnas_surrogate.cli.terminal import standard_streams

        with standard_streams():
            _run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)


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
