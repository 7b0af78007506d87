"""What is written to Python on a board: a call of a function of ``remote.py``, and the files that it receives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hwnas_surrogate.errors import InvalidInputError, MeasurementError

__all__ = ["BOOT", "call_line", "files_in", "stream"]

BOOT = (
    'import sys; sys.version_info >= (3, 9) or sys.exit("Python %d.%d is too old" % sys.version_info[:2]); '
    "exec(eval(sys.stdin.buffer.readline()))"
)
"""What Python is told on its command line: to run what the first line of its input holds. The rest is data."""

PIECE = 1 << 20
"""Bytes to copy at once."""


def call_line(name: str, *given: str) -> bytes:
    """Return the line for :data:`BOOT` that calls a function of ``remote.py``."""
    arguments = "".join(f", {value!r}" for value in given)
    source = Path(__file__).with_name("remote.py").read_text(encoding="utf-8")
    return ascii(f"{source}\nanswer({name}{arguments})\n").encode() + b"\n"


def files_in(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return the files in these files and folders, each with its name on the board."""
    paths = [Path(os.path.abspath(path)) for path in paths]  # '..' has another name then
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        raise InvalidInputError(f"files for a board must differ in their last names, got {names}.")
    files: list[tuple[str, Path]] = []
    for path in paths:
        inner = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
        files += [(found.relative_to(path.parent).as_posix(), found) for found in inner]
    return files


def stream(files: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    """Yield files as ``receive`` reads them."""
    for name, path in files:
        with path.open("rb") as file:
            size = path.stat().st_size
            yield json.dumps([name, size]).encode() + b"\n"
            while size > 0:
                piece = file.read(min(size, PIECE))
                if not piece:
                    raise MeasurementError(f"{path} became shorter while it was copied to a board.")
                yield piece
                size -= len(piece)
    yield b"[null, 0]\n"
