"""The lines of a text file, whichever program wrote it: its encoding, its line ends, and what is no text at all."""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.inputs import open_regular

__all__ = ["lines_of", "lines_of_file", "looks_like_text"]

LONGEST = 2**24
"""Maximum characters of a line: 200,000 columns need about a third. Longer lines are refused before they are read."""

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
"""Byte order marks of UTF-16, which Excel writes as "Unicode text"."""
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""Bytes that are not UTF-8, as Python's ``surrogateescape`` decodes them."""


def looks_like_text(path: Path) -> bool:
    """Return whether a file begins like a text, or has the suffix of one; an empty one does not."""
    with open_regular(path) as file:
        start = file.read(4096) or b""
    named = path.suffix.lower() in (".csv", ".tsv", ".txt")
    return bool(start) and (named or start[:2] in _UTF16 or b"\0" not in start)


def lines_of_file(path: Path) -> Generator[str, None, None]:
    """Yield the lines of a file; see :func:`lines_of`."""
    with open_regular(path) as file:
        yield from lines_of(file, str(path))


def lines_of(stream: BinaryIO, name: str) -> Generator[str, None, None]:
    r"""Yield the lines of a stream with their ends: ``\n``, ``\r\n`` or ``\r``.

    Texts are UTF-8, with or without a byte order mark, or UTF-16 with one.

    Parameters
    ----------
    stream : binary file
        It is left open.
    name : str
        Its name in messages.

    Raises
    ------
    DataFileError
        If a line is of another encoding, holds a NUL byte, or has more than 16 million characters. The message names
        the line and the cause.
    """
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
    wide = buffered.peek(2)[:2] in _UTF16
    encoding, errors = ("utf-16", "strict") if wide else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(buffered, encoding, errors, newline="")
    number = 1
    try:
        while line := text.readline(LONGEST + 1):
            if why := _wrong(line):
                raise DataFileError(f"{name}: line {number} {why}")
            yield line
            number += 1
    except UnicodeDecodeError as error:
        raise DataFileError(
            f"{name} begins with the mark of UTF-16, but is not UTF-16 from about line {number} on ({error.reason}): "
            "save it as UTF-8."
        ) from error
    finally:
        if not text.closed:
            text.detach()  # otherwise the stream is closed with its wrapper


def _wrong(line: str) -> str:
    """Return what is wrong with a line, or an empty string."""
    if "\0" in line:
        return "has a NUL byte, which no text has: is it a binary file, or UTF-16 without a mark? Save it as UTF-8."
    if len(line) > LONGEST:
        return f"has more than {LONGEST:,} characters: is it a CSV file, and are its line ends there?"
    if not line.isascii() and (found := _NOT_UTF8.search(line)):
        byte = ord(found[0]) - 0xDC00
        return (
            f"is not UTF-8: it has the byte 0x{byte:02X} ({bytes([byte]).decode('latin-1')!r} in Latin-1). Save the "
            "file as UTF-8; in Excel, as 'CSV UTF-8'."
        )
    return ""
