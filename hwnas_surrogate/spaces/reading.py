"""Read integers, texts and entries from any container, and recognise networks that are not architectures."""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError

__all__ = ["Archs", "arch_from_text", "contents", "foreign", "is_integer", "ops_of_text", "parts_of", "stacked"]

Archs: TypeAlias = str | int | Iterable[Any] | npt.NDArray[Any]
"""One architecture or several: a string, an index, an op list, or sequences and arrays of them."""


_TYPO = 0.8
"""Names this similar (by difflib) are an op and its misspelling."""


def arch_from_text(text: str) -> Archs:
    """Read a typed architecture into a form that a space's ``as_array`` accepts.

    An index (``"42"``), ops joined by commas (``"0,1,2,3,4,0"``, or their names), ops as a tuple, a list or an array is
    printed (``"(0, 1, 2, 3, 4, 0)"``, ``"[0 1 2 3 4 0]"``, ``"(np.int64(0), np.int64(1))"``), or the space's own
    string (``"|none~0|+..."``, ``"depth=2,kernel=3"``).

    Raises
    ------
    InvalidArchitectureError
        If it is a number with a leading zero: the ops of an op list without its commas, not an index.
    """
    inside = _IN_BRACKETS.fullmatch(text)
    if inside is None and "=" in text:  # names of positions and values: the commas are the string's own
        return text
    parts = ops_of_text(text) if inside else [part.strip() for part in text.split(",")]
    if len(parts) == 1 and re.fullmatch(r"-?0[0-9]+", parts[0]):
        ops = ",".join(parts[0].lstrip("-"))
        raise InvalidArchitectureError(
            f"{text!r:.80} is no index: an index has no leading zero. Ops are separated by commas: {ops!r:.80}."
        )
    if all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):
        numbers = [int(part) for part in parts]
        return [numbers] if len(numbers) > 1 else numbers[0]
    return [parts] if len(parts) > 1 else text


_IN_BRACKETS = re.compile(r"\s*(?:array|tensor)?\s*(?:\(\[(.*)\][^\[\]()]*\)|\((.*)\)|\[(.*)\])\s*", re.DOTALL)
"""A printed tuple, list, array or tensor."""
_SCALAR = re.compile(r"np\.\w+\(([^()]*)\)")
"""An entry of a printed tuple or list that numpy made."""


def ops_of_text(text: str) -> list[str]:
    """Return the texts of a printed sequence of ops, which commas or blanks separate, with or without brackets."""
    match = _IN_BRACKETS.fullmatch(text)
    inside = text if match is None else next(found for found in match.groups() if found is not None)
    plain = _SCALAR.sub(r"\1", inside)
    parts = plain.split(",") if "," in plain else plain.split()
    ops = [part.strip().strip("'\"") for part in parts]
    return ops[:-1] if len(ops) > 1 and not ops[-1] else ops


def is_integer(value: object) -> bool:
    """Return whether a value is one integer: of Python, numpy, or an array or tensor without axes. A bool is none."""
    if isinstance(value, (int, np.integer)):
        return not isinstance(value, bool)
    if getattr(value, "ndim", None) != 0 or isinstance(value, np.generic) or not hasattr(value, "__array__"):
        return False
    array = _array(value)
    return array is not None and array.dtype.kind in "iu" and not np.ma.is_masked(value)


def contents(value: object) -> npt.NDArray[Any] | list[Any] | str | None:
    """Return a value's contents, independent of its container.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    ndarray, list, str or None
        An array of any shape for integers: one (shape ``()``), a flat sequence of them, an array. A list for every
        other sequence, table or array of texts and objects, and for an empty one. None for everything else: floats,
        bools, bytes, mappings, masked values, modules, open files, tensors outside the host's memory.
    """
    if isinstance(value, str):
        return value
    if is_integer(value):
        return _integers([value])[0, ...]
    if hasattr(value, "__array__") and not isinstance(value, np.generic):
        array = _array(value)
        if array is None or np.ma.is_masked(value):
            return None
        if array.shape == (0,):  # whatever its dtype: that of np.array([]) is float64
            return []
        if array.dtype.kind not in "OUT":
            return array if array.dtype.kind in "iu" else None
        value = array.tolist()
        if not isinstance(value, list):
            return contents(value)
    # Bytes would be read as numbers, a mapping as its keys, a module as its children, a file as its lines.
    if not isinstance(value, Iterable) or isinstance(value, (bytes, bytearray, Mapping, io.IOBase)):
        return None
    if _is_module(value):
        return None
    items = list(value)
    return _integers(items) if items and all(map(is_integer, items)) else items


def _array(value: Any) -> npt.NDArray[Any] | None:
    """Return an array-like as an array; None if its values can't be read, as for a tensor on another device."""
    try:
        return np.asarray(value)
    except (TypeError, RuntimeError):
        return None


def _integers(items: Sequence[Any]) -> npt.NDArray[Any]:
    """Return integers of any types as one array; of objects if 64 bits are too few."""
    numbers = list(map(int, items))
    try:
        return np.array(numbers, np.int64)
    except OverflowError:
        return np.array(numbers, object)


def stacked(items: list[Any]) -> npt.NDArray[Any] | None:
    """Return flat sequences of integers, all of a length, as one array (n, length); None if they are anything else."""
    for item in items:
        if isinstance(item, np.ndarray):
            if item.dtype.kind not in "iu" or item.ndim != 1 or np.ma.is_masked(item):
                return None
        elif not isinstance(item, (list, tuple)) or not {bool, np.bool_}.isdisjoint(map(type, item)):
            return None  # numpy would stack [True, 0, ...] as integers
    try:
        array = np.asarray(items)
    except ValueError:
        return None
    return array if array.dtype.kind in "iu" and array.ndim == 2 else None


def foreign(value: object, ops: Iterable[str]) -> str | None:
    """Describe a network that is not an architecture: a module, its weights, a model file or name; else None.

    Parameters
    ----------
    value : object
        The value received as an architecture.
    ops : iterable of str
        The space's ops, which are not names of models.
    """
    if _is_module(value):
        return f"the module {getattr(value, '__name__', type(value).__name__)}"
    if isinstance(value, os.PathLike):
        return f"the file {os.fspath(value)!r}"
    if isinstance(value, io.IOBase):
        return f"the opened file {getattr(value, 'name', type(value).__name__)!r}"
    if isinstance(value, Mapping) and value and all(hasattr(tensor, "detach") for tensor in value.values()):
        return f"the state_dict of {len(value)} tensor{'s' * (len(value) > 1)}"
    if isinstance(value, str) and not _is_near(value, ops) and re.search(r"[^\W\d_]{2}", value):
        return f"{value!r:.80}"
    return None


def parts_of(text: str) -> list[str]:
    """Return the op names in a string, which are separated by ``|``, ``+`` and NAS-Bench-201's ``~0``."""
    parts = (re.sub(r"~[0-9]+\s*$", "", part).strip() for part in re.split(r"[|+]", text))
    return [part for part in parts if part]


def _is_near(text: str, ops: Iterable[str]) -> bool:
    """Return whether a text looks like a space's string: it begins and ends like one, or has an op or nearly one."""
    stripped, known, parts = text.strip(), list(ops), parts_of(text)
    if not set(known).isdisjoint(parts):
        return True
    if set("|~+").isdisjoint(text):
        return False
    closed = stripped[0] == stripped[-1] == "|"
    return closed or any(difflib.get_close_matches(part, known, n=1, cutoff=_TYPO) for part in parts)


def _is_module(value: object) -> bool:
    """Recognise a PyTorch module by its methods, since torch is not imported here."""
    return callable(getattr(value, "named_parameters", None)) and callable(getattr(value, "state_dict", None))
