"""Reading the benchmark's official file, a pickle, without trusting it.

A pickle is a program; three steps restrict it to plain data. `_scan` walks the opcodes without executing them and
refuses those that plain data never needs. These include attacks that a restricted ``find_class`` lets through: lengths
and memo indices that reserve gigabytes, and nested tuples as keys, whose hash overflows the C stack or never ends.
`_Unpickler` returns stand-ins instead of numpy's own functions, since a real dtype can be made to treat raw bytes as
pointers. `_finish` replaces the stand-ins by arrays and refuses everything else that is not data.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import re
import reprlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.inputs import input_path, read_bytes

__all__ = ["read_pickle"]

_FETCH = "`hwnas data download` fetches HW-NAS-Bench's official file"
_LARGEST = 512 * 2**20
"""Bytes of a pickle: the official file has a tenth of that."""
_NUMBERS = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
_TEXT = re.compile(r"[SU][1-9][0-9]{0,2}")
_KEYS = frozenset([str, int])
_INTS = frozenset([int])
_LEAVES = frozenset(
    [type(None), bool, int, float, str, bytes, np.bytes_, np.str_] + [np.dtype(code).type for code in _NUMBERS]
)

# Opcodes that the scan accepts. The memo is as long as its largest index, at most 2^22. Tuples hold integers or are
# consumed immediately (arguments of a call, state of an object), so they cannot be nested deeply. NEWOBJ is accepted
# because it fails on everything that `_Unpickler` returns; the error then names the class.
_PUT = rb"(?:\x94|q.|r..[\x00-\x3f]\x00)"
_INT = rb"(?:K.|M..|J.{4})"
_TUPLE = rb"(?:\x85|" + _INT + rb"(?:\x86|" + _INT + rb"\x87))?"
_HARMLESS = re.compile(
    rb"(?s:h.|[N}\]ueas\x88\x89\x93]|" + _PUT + rb"|j.{4}|G.{8}"
    rb"|K." + _TUPLE + rb"|M.." + _TUPLE + rb"|J.{4}" + _TUPLE + rb"|\((?:" + _INT + rb"++t)?"
    rb"|\)R?|[b\x81\x92]|[t\x85-\x87]" + _PUT + rb"?[R\x81]|t" + _PUT + rb"?b)*+"
)
_SIZED = {
    code[0]: struct.Struct(layout)
    for code, layout in {
        pickle.SHORT_BINUNICODE: "<B",
        pickle.BINUNICODE: "<I",
        pickle.BINUNICODE8: "<Q",
        pickle.SHORT_BINBYTES: "<B",
        pickle.BINBYTES: "<I",
        pickle.BINBYTES8: "<Q",
        pickle.BYTEARRAY8: "<Q",
        pickle.LONG1: "<B",
    }.items()
}
_WHY = {
    "TUPLE": "builds a tuple of something else than integers",
    "REDUCE": "calls something",
    "LONG_BINPUT": "remembers more values than it can hold",
}


def read_pickle(path: str | os.PathLike[str]) -> object:
    """Read a pickle that holds nothing but plain data and numpy arrays.

    Nothing in the file is executed. Only dicts (with strings or integers as keys), lists, tuples of integers, strings,
    numbers, bytes, booleans, None, numpy scalars and arrays are built; an error names anything else. Files of every
    numpy version are read, without a warning.

    Parameters
    ----------
    path : str or path-like
        The file, pickled with protocol 2 to 5.

    Returns
    -------
    object
        What the file holds. Arrays are read-only; an ``OrderedDict`` becomes a dict.

    Raises
    ------
    DataFileError
        If the file is missing or unreadable, damaged or truncated, or if it holds anything else than plain data.
    """
    data = _read_bytes(input_path(path))
    try:
        _scan(data)
        budget = _Budget(8 * len(data))
        return _finish(_Unpickler(data, budget).load())
    except _Refused as error:
        reason = str(error)
    except _DAMAGE as error:
        reason = f"its contents are inconsistent ({type(error).__name__}: {error})"
    raise DataFileError(
        f"{path}: {reason}. Nothing was executed. Expected a pickle of plain data and numpy arrays; {_FETCH}."
    )


def _read_bytes(path: Path) -> bytes:
    """Return the bytes of a file; raise `DataFileError` if it can't be read or is empty."""
    try:
        data = read_bytes(path, _LARGEST)
    except FileNotFoundError as error:
        raise DataFileError(f"{path}: there is no such file; {_FETCH}.") from error
    except OSError as error:
        raise DataFileError(f"{path}: cannot be read: {error.strerror}; {_FETCH}.") from error
    if not data:
        raise DataFileError(f"{path}: is empty; expected a pickle of plain data and numpy arrays; {_FETCH}.")
    return data


class _Refused(Exception):
    """One phrase on what is wrong with the file; `read_pickle` adds the context."""


_DAMAGE: tuple[type[Exception], ...] = (
    *(ArithmeticError, AttributeError, BufferError, EOFError, LookupError, MemoryError, TypeError, ValueError),
    pickle.UnpicklingError,
)


def _scan(data: bytes) -> None:
    """Walk the opcodes up to the end mark; refuse what plain data never needs."""
    if data[:1] != pickle.PROTO or not b"\x02" <= data[1:2] <= b"\x05":
        raise _Refused(f"it is no pickle of protocol 2 to 5: it begins with {data[:16]!r}")
    position = 2
    while True:
        found = _HARMLESS.match(data, position)
        assert found is not None  # it matches the empty string, too
        position = found.end()
        if position >= len(data):
            raise _Refused(f"it is truncated: {len(data):,} bytes without the end mark of a pickle")
        code = data[position]
        if code == pickle.STOP[0]:
            return
        position += 1 + _size(data, position, code)


def _size(data: bytes, position: int, code: int) -> int:
    """Return the length of an opcode's argument, which must lie inside the file."""
    left = len(data) - position - 1
    form = struct.Struct("<Q") if code == pickle.FRAME[0] else _SIZED.get(code)
    if form is not None and left >= form.size:
        claimed = form.unpack_from(data, position + 1)[0]
        if claimed > left - form.size:
            raise _Refused(
                f"it is truncated or damaged: byte {position:,} claims {claimed:,} more, {left - form.size:,} are left"
            )
        return form.size if code == pickle.FRAME[0] else form.size + int(claimed)
    if code == pickle.GLOBAL[0]:
        lines = data[position + 1 : position + 200].split(b"\n", 2)
        if len(lines) == 3:
            _check_name(".".join(line.decode() for line in lines[:2]))
            return len(lines[0]) + len(lines[1]) + 2
    known = next((opcode for opcode in pickletools.opcodes if opcode.code == chr(code)), None)
    if known is None:
        raise _Refused(f"it is damaged: byte {position:,} is no opcode of a pickle")
    if form is not None or code == pickle.GLOBAL[0] or (known.arg is not None and known.arg.n > left):
        raise _Refused(f"it is truncated: it ends within the opcode {known.name} at byte {position:,}")
    why = _WHY.get(known.name.rstrip("123"), "asks for something")
    raise _Refused(f"it {why} that plain data does not need (opcode {known.name} at byte {position:,})")


def _check_name(name: str) -> None:
    if name not in _GLOBALS:
        raise _Refused(f"it asks for {name[:100]!r}, which is refused; allowed: {', '.join(_GLOBALS)}")


class _Budget:
    """The number of bytes that calls may still create; without a limit, calls on one memo entry could fill the memory.

    A valid file has at least one byte for every 8 bytes that it creates (a None in an array of objects).
    """

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, size: int) -> None:
        """Account for `size` bytes."""
        self.left -= size
        if self.left < 0:
            raise _Refused("it would unfold to many times its size")


class _Unpickler(pickle.Unpickler):
    """Resolves the names of `_GLOBALS` to their stand-ins, and no other name."""

    def __init__(self, data: bytes, budget: _Budget) -> None:
        super().__init__(io.BufferedReader(io.BytesIO(data)))
        self._budget = budget

    def find_class(self, module: str, name: str, /) -> _Global:
        """Return the stand-in of an allowed name."""
        _check_name(full := f"{module}.{name}")
        return _Global(full, self._budget)


class _Global:
    """The stand-in of an allowed name, which supports only the operations that a file may use."""

    __slots__ = ("budget", "name")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str, budget: _Budget) -> None:
        self.name = name
        self.budget = budget

    def __call__(self, *args: object) -> object:
        return _GLOBALS[self.name](self.budget, args)

    def __setstate__(self, state: object) -> None:
        raise _Refused(f"it sets the state of {self.name}")


class _DType:
    """A dtype under construction: its state may set the byte order, never size, fields or flags."""

    __slots__ = ("dtype",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: str) -> None:
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        match state:
            case (3, "<" | ">" | "=" | "|" as order, None, None, None, int(), int(), int()):
                self.dtype = self.dtype.newbyteorder(order)
            case _:
                raise _Refused("it describes a dtype that is not a plain one")


class _Array:
    """An array (or scalar) under construction: `value` is set once its contents are known to fit."""

    __slots__ = ("budget", "objects", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, budget: _Budget) -> None:
        self.budget = budget
        self.value: Any = None
        self.objects: list[Any] | None = None

    def __setstate__(self, state: object) -> None:
        match state:
            case (1, shape, _DType() as kind, int() as fortran, raw):
                self.fill(shape, kind.dtype, "F" if fortran else "C", raw)
            case _:
                raise _Refused("it describes an array in an unknown way")

    def fill(self, shape: object, dtype: np.dtype[Any], order: object, raw: object) -> None:
        """Set the contents: bytes are used where they are, objects wait for `place_objects`."""
        if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
            raise _Refused(f"it describes an array of shape {reprlib.repr(shape)}")
        count = math.prod(shape)
        if dtype.hasobject and isinstance(raw, list) and len(raw) == count:
            self.budget.spend(8 * count)
            self.value, self.objects = np.empty(shape, object), raw
        elif not dtype.hasobject and isinstance(raw, bytes | bytearray) and len(raw) == count * dtype.itemsize:
            self.value = np.ndarray(shape, dtype, raw, order="F" if order == "F" else "C")
            self.value.setflags(write=False)
        else:
            raise _Refused(f"it describes an array of shape {shape} and dtype {dtype} with other contents")

    def place_objects(self) -> None:
        """Put the objects into the array, one by one: numpy would take lists among them for dimensions."""
        flat = self.value.reshape(-1)
        for position, value in enumerate(self.objects or ()):
            flat[position] = value
        self.value.setflags(write=False)


def _finish(value: object) -> object:
    """Put arrays where their stand-ins are; refuse everything that is no data."""
    root = [value]
    todo: list[Any] = [root]
    seen: set[int] = set()
    arrays: dict[int, _Array] = {}
    while todo:
        container = todo.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        is_dict = type(container) is dict
        if is_dict and not _KEYS.issuperset(map(type, container)):
            raise _Refused("it uses a key that is neither a text nor an integer")
        if _LEAVES.issuperset(map(type, container.values() if is_dict else container)):
            continue
        for key, item in list(container.items() if is_dict else enumerate(container)):
            kind = type(item)
            if kind is dict or kind is list:
                todo.append(item)
            elif kind is _Array:
                if item.value is None:
                    raise _Refused("it stores an array without contents")
                container[key] = item.value
                if item.objects is not None:
                    arrays[id(item)] = item
                    todo.append(item.objects)
            elif kind not in _LEAVES and (kind is not tuple or not _INTS.issuperset(map(type, item))):
                raise _Refused(f"it stores {getattr(item, 'name', kind.__name__)!r} where data is expected")
    for array in arrays.values():
        array.place_objects()
    return root[0]


def _call_reconstruct(budget: _Budget, args: tuple[object, ...]) -> object:
    match args:
        case (_Global(name="numpy.ndarray"), (0,), b"b" | "b"):
            return _Array(budget)
    raise _Refused("it calls numpy's _reconstruct for something else than an array")


def _call_frombuffer(budget: _Budget, args: tuple[object, ...]) -> object:
    match args:
        case (raw, _DType() as kind, shape, "C" | "F" as order) if not kind.dtype.hasobject:
            array = _Array(budget)
            array.fill(shape, kind.dtype, order, raw)
            return array
    raise _Refused("it calls numpy's _frombuffer with unknown arguments")


def _call_scalar(budget: _Budget, args: tuple[object, ...]) -> object:
    match args:
        case (_DType() as kind, bytes() as raw) if len(raw) == kind.dtype.itemsize and not kind.dtype.hasobject:
            budget.spend(len(raw))
            # Also a stand-in: numpy's scalars accept any state, even one that the scan relies on being refused.
            scalar = _Array(budget)
            scalar.value = np.ndarray((), kind.dtype, raw)[()]
            return scalar
    raise _Refused("it calls numpy's scalar with unknown arguments")


def _call_dtype(budget: _Budget, args: tuple[object, ...]) -> object:
    match args:
        # The flags align and copy mean nothing for these; old files hold integers, about which numpy warns.
        case (str() as code, int(), int()) if code in _NUMBERS or code == "O8" or _TEXT.fullmatch(code):
            return _DType(code)
    raise _Refused(f"it asks for the dtype {reprlib.repr(args)}; numbers, booleans, short texts and objects are read")


def _call_encode(budget: _Budget, args: tuple[object, ...]) -> object:
    match args:
        case (str() as text, "latin1" | "latin-1"):  # protocol 2's spelling of bytes
            budget.spend(len(text))
            return text.encode("latin-1")
    raise _Refused("it calls _codecs.encode otherwise than with a text and 'latin1'")


def _call_dict(budget: _Budget, args: tuple[object, ...]) -> object:
    if args:
        raise _Refused("it calls collections.OrderedDict with arguments")
    return {}


def _call_nothing(budget: _Budget, args: tuple[object, ...]) -> object:
    raise _Refused("it calls numpy.ndarray")


_GLOBALS: dict[str, Callable[[_Budget, tuple[object, ...]], object]] = {
    "numpy.ndarray": _call_nothing,
    "numpy.dtype": _call_dtype,
    "numpy.core.multiarray._reconstruct": _call_reconstruct,
    "numpy._core.multiarray._reconstruct": _call_reconstruct,
    "numpy.core.multiarray.scalar": _call_scalar,
    "numpy._core.multiarray.scalar": _call_scalar,
    "numpy.core.numeric._frombuffer": _call_frombuffer,
    "numpy._core.numeric._frombuffer": _call_frombuffer,
    "_codecs.encode": _call_encode,
    "collections.OrderedDict": _call_dict,
}
