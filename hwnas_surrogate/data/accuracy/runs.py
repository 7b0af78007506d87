"""Many numbers by epoch at once: items of a pickled dict whose keys have one form, and whose values are floats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Run", "Texts", "read_run"]

_SHORTEST = 4
"""Items: reading fewer one by one is quicker."""
_LONGEST_KEY = 40
_MOST_TEXTS = 100_000
_G = ord("G")
_FLOAT = [("opcode of value", "u1"), ("value", ">f8")]


class Texts(dict[bytes, str]):
    """The texts of a file by their bytes, so that equal ones are one object."""

    def __missing__(self, raw: bytes) -> str:
        text = raw.decode("utf-8", "surrogatepass")
        if len(self) < _MOST_TEXTS and len(raw) < 200:
            self[raw] = text
        return text


@dataclass(slots=True)
class Run:
    """Some items of a dict.

    Attributes
    ----------
    keys : list
        The keys, unless they are in the memo.
    values : list of float
    end : int
        The place behind them.
    gets : list of int, optional
        The places of the keys in the memo.
    memoized : bool
        Whether the keys are put into the memo.
    puts : list of int, optional
        The places where they are put; the next ones if None.
    scalars : range, optional
        Of values that are calls: the place in the memo where each item begins. The value stands in its last place, and
        a key that is put in its first.
    """

    keys: list[Any]
    values: list[float]
    end: int
    gets: list[int] | None = None
    memoized: bool = False
    puts: list[int] | None = None
    scalars: range | None = None


@lru_cache(maxsize=256)
def _form(head: bytes, tail: bytes, key: str, size: int) -> tuple[re.Pattern[bytes], npt.DTypeLike]:
    """Return how items look whose keys have an opcode, perhaps a length, the key itself, and perhaps a put."""
    fields: list[tuple[str, str]] = [("head", f"V{len(head)}"), ("key", key)]
    body = rb"[ -~]{%d}" % size if key.startswith("S") else rb".{%d}" % size
    put = {b"": rb"", b"q": rb"q.", b"r": rb"r.{4}", b"\x94": rb"\x94"}[tail]
    if tail:
        fields.append(("tail", "u1"))
    if tail in (b"q", b"r"):
        fields.append(("put", "u1" if tail == b"q" else "<u4"))
    pattern = rb"(?s:(?:" + re.escape(head) + body + put + rb"G.{8})++)"
    return re.compile(pattern), np.dtype([*fields, *_FLOAT])


_NUMBERED = {
    ord("K"): (b"K", "u1", 1),
    ord("M"): (b"M", "<u2", 2),
    ord("h"): (b"h", "u1", 1),
    ord("j"): (b"j", "<u4", 4),
}


def read_run(data: bytes, at: int, texts: Texts) -> Run | None:
    """Return the run that begins at an opcode; None if there is none, or it is short."""
    code = data[at]
    if code in _NUMBERED:
        head, key, size = _NUMBERED[code]
        if data[at + size + 1] != _G:
            return None
        items = _match(data, at, head, b"", key, size)
        if items is None:
            return None
        numbers = items["key"].tolist()
        values, end = items["value"].tolist(), at + items.nbytes
        return Run([], values, end, gets=numbers) if code in b"hj" else Run(numbers, values, end)
    width = 1 if code == 0x8C else 4
    size = int.from_bytes(data[at + 1 : at + 1 + width], "little")
    behind = at + 1 + width + size
    tail = data[behind : behind + 1]
    step = {b"q": 2, b"r": 5, b"\x94": 1}.get(tail)
    if size > _LONGEST_KEY or not size or step is None or data[behind + step : behind + step + 1] != b"G":
        return None
    items = _match(data, at, data[at : at + 1 + width], tail, f"S{size}", size)
    if items is None:
        return None
    puts = None if tail == b"\x94" else items["put"].tolist()
    keys = [texts[raw] for raw in items["key"].tolist()]
    return Run(keys, items["value"].tolist(), at + items.nbytes, memoized=True, puts=puts)


def _match(data: bytes, at: int, head: bytes, tail: bytes, key: str, size: int) -> npt.NDArray[Any] | None:
    pattern, dtype = _form(head, tail, key, size)
    found = pattern.match(data, at)
    kind = np.dtype(dtype)
    if found is None or (count := (found.end() - at) // kind.itemsize) < _SHORTEST:
        return None
    return np.frombuffer(data, kind, count, at)
