"""What a board does for :class:`SshBoard`: this file is sent there as text, before its first call.

It is Python 3.9 and needs the standard library only. Each call prints one line of JSON.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import re
import secrets
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["answer", "facts", "keep", "receive", "remove"]

PIECE = 1 << 20
"""Bytes to write at once."""


def answer(call: Callable[..., Any], *given: Any) -> None:
    """Call a function and print what it returns, or what the system refused."""
    try:
        _say({"answer": call(*given)})
    except OSError as error:
        why = error.strerror or str(error)
        _say({"error": why, "kind": errno.errorcode.get(error.errno or 0, ""), "where": error.filename})


def keep(base: str) -> None:
    """Make a work folder in a folder, print its path, and remove it at the end of the input.

    Folders of connections that ended otherwise, such as by a reboot, are removed first: nobody holds their locks.
    """
    base = os.path.join(os.path.abspath(os.path.expanduser(base)), "hwnas-runner")
    os.makedirs(base, mode=0o700, exist_ok=True)
    with open(os.path.join(base, "lock"), "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for left in _work_folders(base):
            if _held(left) is not None:
                shutil.rmtree(left, ignore_errors=True)
        folder = os.path.join(base, secrets.token_hex(8))
        os.mkdir(folder, 0o700)
        _held(folder)
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):  # a system that ends the processes of a user who is gone
            signal.signal(number, lambda *_: sys.exit(1))
        _say({"answer": folder})
        sys.stdin.buffer.read()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def facts(folder: str) -> dict[str, Any]:
    """Return what the board is."""
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "host": platform.node(),
        "system": platform.system(),
        "free": shutil.disk_usage(folder).free,
        "python": platform.python_version(),
        "others": sum(_held(other) is None for other in _work_folders(os.path.dirname(folder)) if other != folder),
    }
    try:
        import numpy
    except ImportError as error:
        return {**found, "numpy": "", "why": str(error)}
    return {**found, "numpy": numpy.__version__}


def receive(folder: str) -> int:
    """Write the files that standard input holds into a new folder, which gets its name when all of them are there.

    Each file is a line of JSON, name and size, and its bytes; the last line is a name of null. Returns the bytes.
    """
    partial, total = folder + ".part", 0
    if os.path.lexists(folder):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), folder)
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    try:
        while True:
            name, size = json.loads(sys.stdin.buffer.readline())
            if name is None:
                break
            _write(os.path.join(partial, name), size)
            total += size
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return total


def remove(folder: str) -> None:
    """Remove a folder, if it is there."""
    if os.path.lexists(folder):
        shutil.rmtree(folder)


def _write(path: str, size: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        while size:
            piece = sys.stdin.buffer.read(min(size, PIECE))
            if not piece:
                raise OSError(errno.EPIPE, "the connection ended", path)
            file.write(piece)
            size -= len(piece)


def _work_folders(base: str) -> list[str]:
    names = [name for name in os.listdir(base) if re.fullmatch("[0-9a-f]{16}", name)]
    return [path for path in (os.path.join(base, name) for name in names) if os.path.isdir(path)]


def _held(folder: str) -> int | None:
    """Lock a folder until this process ends; return None if another process holds it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
