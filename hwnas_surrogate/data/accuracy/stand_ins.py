"""What the names in an accuracy file stand for: plain values and descriptions of tensors, never the named functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["FEW_BYTES", "ITEM_SIZES", "DType", "Name", "Refused", "Storage", "Tensor", "call", "name_of", "storage_of"]

FEW_BYTES = 16
"""Bytes of the largest integer or number."""


class Refused(Exception):
    """One phrase on what is wrong with a file; the public function adds the context."""


@dataclass(frozen=True, slots=True)
class Name:
    """An allowed name. It can only be called, and only as `call` does."""

    full: str


@dataclass(slots=True, eq=False)
class DType:
    """A numpy dtype of numbers; its state may set the byte order only."""

    code: str
    order: str = "<"

    def build(self, state: object) -> None:
        """Take the state that numpy pickles."""
        match state:
            case (int(), "<" | ">" | "=" | "|" as order, None, None, None, int(), int(), int()):
                self.order = "<" if order in "=|" else order
            case _:
                raise Refused("it describes a dtype that is not a plain one")


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A tensor's numbers, which stand elsewhere in the file."""

    kind: str
    key: str
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor's place in a storage; the numbers are not read."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


ITEM_SIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip
"""Bytes of a number in PyTorch's storages."""

_NUMBERS = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])


def name_of(full: str) -> Name:
    """Return an allowed name; raise `Refused` for any other."""
    if full not in _CALLS:
        raise Refused(f"it asks for {full[:100]!r}, which is refused; allowed: {', '.join(_CALLS)}")
    return _NAMES[full]


def call(function: object, arguments: object) -> Any:
    """Return what a call in the file stands for."""
    if type(function) is not Name or type(arguments) is not tuple:
        raise Refused(f"it calls {type(function).__name__!r}, which is no function")
    return _CALLS[function.full](arguments)


def storage_of(identifier: object) -> Storage:
    """Return the storage that a persistent identifier describes."""
    match identifier:
        case ("storage", Name(full=full), str() as key, str(), int() as size, *_) if full.startswith("torch.") and (
            full[6:] in ITEM_SIZES and size >= 0
        ):
            return Storage(full[6:], key, size)
    raise Refused("it refers to something else than a tensor's storage")


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise Refused("it calls collections.OrderedDict with arguments")
    return {}


def _set(arguments: tuple[Any, ...]) -> set[Any]:
    match arguments:
        case ([*items],) if {type(item) for item in items} <= {int, str}:
            return set(items)
    raise Refused("it calls set with something else than numbers or texts")


def _encode(arguments: tuple[Any, ...]) -> bytes:
    match arguments:
        case (str() as text, "latin1" | "latin-1") if len(text) <= FEW_BYTES:
            return text.encode("latin-1")
    raise Refused("it calls _codecs.encode otherwise than with a few bytes and 'latin1'")


def _dtype(arguments: tuple[Any, ...]) -> DType:
    match arguments:
        case (str() as code, int(), int()) if code in _NUMBERS:
            return DType(code)
    raise Refused("it asks for a dtype that is not one of numbers")


def _scalar(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (DType() as kind, bytes() as raw):
            dtype = np.dtype(kind.order + kind.code)
            if len(raw) == dtype.itemsize:
                return np.frombuffer(raw, dtype)[0].item()
    raise Refused("it calls numpy's scalar with unknown arguments")


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Storage() as storage, int() as offset, tuple() as shape, tuple() as strides, *_) if len(shape) == len(
            strides
        ) <= 8 and all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)):
            last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
            if math.prod(shape) == 0 or (last < storage.size and math.prod(shape) <= storage.size):
                return Tensor(storage, offset, shape, strides)
    raise Refused("it describes a tensor that does not fit into its storage")


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Tensor() as tensor, *_):
            return tensor
    raise Refused("it describes a parameter without a tensor")


def _nothing(arguments: tuple[Any, ...]) -> Any:
    raise Refused("it makes a tensor's storage by itself")


_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "_codecs.encode": _encode,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    **{f"torch.{kind}": _nothing for kind in ITEM_SIZES},
}
_NAMES = {full: Name(full) for full in _CALLS}
