"""Many of numpy's float64 scalars by epoch at once: items of a pickled dict, as `runs` reads those of Python's floats.

A scalar is pickled as a call of numpy's `scalar` with a dtype and its bytes. Protocol 2 has no bytes: it calls an
encoder with a text, so that a scalar takes some 60 bytes and 14 opcodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from hwnas_surrogate.data.accuracy.runs import Run, Texts
from hwnas_surrogate.data.accuracy.stand_ins import DType, Name

__all__ = ["read_scalars"]

_SHORTEST = 4
_GET = re.compile(rb"(?s:h(.)|j(.{4}))")
_KEYS = {
    ord("K"): rb"K(.)",
    ord("M"): rb"M(.{2})",
    ord("h"): rb"h(.)",
    ord("j"): rb"j(.{4})",
    ord("X"): rb"X(.\x00{3}[ -~]{1,40}?)r.{4}",
    0x8C: rb"\x8c(.[ -~]{1,40}?)\x94",
}
"""Forms of keys, with the part that is read."""
_LAST = {b"2": b"r", b"3": b"r", b"4": b""}
"""The opcode of an item's last put, by the form of its bytes."""
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")


def read_scalars(data: bytes, at: int, texts: Texts, named: Callable[[int], Any], n_put: int) -> Run | None:
    """Return the run of scalars that begins at the opcode of a key; None if there is none, or it is short.

    Parameters
    ----------
    data : bytes
    at : int
    texts : Texts
    named : callable
        Returns what stays in the memo at a place, None if nothing.
    n_put : int
        The number of values in the memo.
    """
    code = data[at]
    key = re.compile(rb"(?s:" + _KEYS[code] + rb")").match(data, at)
    if key is None:
        return None
    calls = _calls(data, key.end(), named)
    if calls is None:
        return None
    pattern, puts = _form(code, *calls)
    whole = pattern.match(data, at)
    if whole is None:
        return None
    items = _form_of_item(code, *calls).findall(data, at, whole.end())
    puts += code in (ord("X"), 0x8C)
    return _run(code, items, whole.end(), texts, range(n_put, n_put + puts * len(items), puts), calls[-1])


def _calls(data: bytes, at: int, named: Callable[[int], Any]) -> tuple[bytes, bytes, bytes] | None:
    """Return the opcodes before a scalar's bytes, those between them and the calls, and how the memo is written."""
    head = b""
    values: list[Any] = []
    while (found := _GET.match(data, at)) and len(values) < 3:
        values.append(named(int.from_bytes(found[1] or found[2], "little")))
        if type(values[0]) is not Name:
            return None
        head += found[0]
        at = found.end()
    match values:
        case [Name(full=scalar), DType(code="f8", order="<"), Name(full="_codecs.encode")] if scalar in _SCALARS:
            text = re.compile(rb"(?s:X(.)\x00{3})").match(data, at)
            latin = text and _GET.match(data, text.end() + text[1][0] + 5)
            if not latin or named(int.from_bytes(latin[1] or latin[2], "little")) != "latin1":
                return None
            return head, latin[0], b"2"
        case [Name(full=scalar), DType(code="f8", order="<")] if scalar in _SCALARS and data[at : at + 2] == b"C\x08":
            return head, b"", b"4" if data[at + 10 : at + 11] == b"\x94" else b"3"
    return None


@lru_cache(maxsize=256)
def _item(code: int, head: bytes, latin: bytes, kind: bytes, group: bytes = b"(") -> bytes:
    put = rb"\x94" if kind == b"4" else rb"r.{4}"
    last = group + (rb")\x94" if kind == b"4" else rb".{4})")
    if kind == b"2":
        value = rb"X%s.)\x00{3}%s.{8,16}?)%s%s\x86%sR%s" % (group, group, put, re.escape(latin), put, put)
    else:
        value = rb"C%s\x08)%s.{8})%s" % (group, group, put)
    return _KEYS[code].replace(b"(", group) + re.escape(head) + value + rb"\x86" + put + rb"R" + _LAST[kind] + last


@lru_cache(maxsize=256)
def _form(code: int, head: bytes, latin: bytes, kind: bytes) -> tuple[re.Pattern[bytes], int]:
    """Return how a run looks, and how many values of an item besides a text as its key are put into the memo."""
    item = _item(code, head, latin, kind, b"(?:")
    return re.compile(rb"(?s:(?:%s){%d,}+)" % (item, _SHORTEST)), 5 if kind == b"2" else 3


@lru_cache(maxsize=256)
def _form_of_item(code: int, head: bytes, latin: bytes, kind: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?s:%s)" % _item(code, head, latin, kind))


def _run(code: int, items: list[tuple[bytes, ...]], end: int, texts: Texts, places: range, kind: bytes) -> Run | None:
    """Return a run of items; None if they are not what they look like."""
    keys: list[Any] = [key for key, *_ in items]
    raw = [value for _, _, value, _ in items]
    if kind == b"2":
        if any(size[0] != len(value) for _, size, value, _ in items):
            return None
        try:
            raw = [value.decode().encode("latin-1") for value in raw]
        except UnicodeError:
            return None
    values = b"".join(raw)
    last = places.step - 1
    if len(values) != 8 * len(items) or (
        kind != b"4" and [int.from_bytes(put, "little") for *_, put in items] != [place + last for place in places]
    ):
        return None
    figures = np.frombuffer(values, "<f8").tolist()
    found = Run([], figures, end, scalars=places)
    if code in (ord("X"), 0x8C):
        width = 4 if code == ord("X") else 1
        if any(int.from_bytes(key[:width], "little") != len(key) - width for key in keys):
            return None
        found.keys = [texts[key[width:]] for key in keys]
        found.memoized = True
        return found
    numbers = [int.from_bytes(key, "little") for key in keys]
    if code in b"hj":
        found.gets = numbers
    else:
        found.keys = numbers
    return found
