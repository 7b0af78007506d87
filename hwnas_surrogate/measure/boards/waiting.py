"""Waiting for the output of a program for a limited time."""

from __future__ import annotations

import select
from typing import IO

__all__ = ["has_output"]


def has_output(stdout: IO[bytes], seconds: float) -> bool:
    """Return whether a program's output can be read, or has ended, within some seconds.

    Raises
    ------
    ValueError
        If the file is closed.
    """
    waiting = select.poll()  # select.select refuses the numbers of files from 1024 on
    waiting.register(stdout, select.POLLIN)
    return bool(waiting.poll(max(0.0, seconds) * 1e3))
