"""A stream of bytes of which a part is in memory."""

from __future__ import annotations

from collections.abc import Callable

from hwnas_surrogate.data.accuracy.stand_ins import Refused

__all__ = ["MARGIN", "Window"]

_CHUNK = 4 * 2**20
"""Bytes that are read at once."""
MARGIN = 2**20
"""Bytes that one step may read."""


class Window:
    """The part of a stream that is in memory; it only moves forward.

    Parameters
    ----------
    read : callable
        Returns up to so many bytes, and none at the end.
    """

    __slots__ = ("_read", "base", "data", "ended")

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.data = b""
        self.base = 0
        self.ended = False

    def advance(self, at: int) -> None:
        """Drop what is before a place, and read on."""
        parts, size = [self.data[at:]], len(self.data) - at
        self.base += at
        while not self.ended and size < _CHUNK + MARGIN:
            try:
                part = self._read(_CHUNK)
            except EOFError as error:  # of a compressed file
                raise Refused(f"it is cut off ({error})") from error
            self.ended = not part
            parts.append(part)
            size += len(part)
        self.data = b"".join(parts)
