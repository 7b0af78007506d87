"""Change bytes at random, without atheris: for the tests, which run a short part everywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

__all__ = ["mutated"]

_TOKENS = (
    b"", b"0", b"-1", b"nan", b"1e999", b"9" * 400, b"2147483648", b"18446744073709551616", b'"', b",", b"\n", b"[",
    b"{}", b"null", b"true", b'{"a":' * 300, b"[" * 1000, b"\0", b"\xff", b"\xef\xbb\xbf", b"../", b"\xed\xa0\x80",
)  # fmt: skip
_WORDS = re.compile(rb"[\w.+-]+")


def mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Return bytes with one to four random changes.

    Parameters
    ----------
    data : bytes
    others : sequence of bytes
        Inputs to take parts from.
    rng : Generator
    """
    for _ in range(rng.integers(1, 5)):
        start, end = np.sort(rng.integers(0, len(data) + 1, 2)).tolist()
        end = min(end, start + int(2 ** rng.integers(0, 12)))
        other = others[rng.integers(len(others))]
        words = [match.span() for match in _WORDS.finditer(data[:5000])]
        kind = rng.integers(7)
        if kind == 0 and data:
            changed = bytearray(data)
            changed[start % len(data)] ^= 1 << int(rng.integers(8))
            data = bytes(changed)
        elif kind == 1:
            data = data[:start] + data[end:]
        elif kind == 2:
            data = data[:end] + data[start:]
        elif kind == 3:
            place = int(rng.integers(len(other) + 1))
            data = data[:start] + other[place : place + end - start] + data[end:]
        elif kind == 4:
            data = data[:start] + _TOKENS[rng.integers(len(_TOKENS))] + data[start:]
        elif kind == 5 and words:
            start, end = words[rng.integers(len(words))]
            data = data[:start] + _TOKENS[rng.integers(len(_TOKENS))] + data[end:]
        elif words:
            start, end = words[rng.integers(len(words))]
            first, last = words[rng.integers(len(words))]
            data = data[:start] + data[first:last] + data[end:]
    return data
