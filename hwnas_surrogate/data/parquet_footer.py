"""The sizes that a parquet file's footer claims for each column.

If statistics in a footer contradict the file's schema, pyarrow ends the process as soon as the sizes of a column are
asked for [1]_. So the few numbers that are needed are read here.

References
----------
.. [1] ``RowGroupMetaData.column`` of pyarrow 25: C++'s ``ParquetException`` is not caught.
.. [2] Apache Parquet's ``parquet.thrift``, and Thrift's compact protocol.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

__all__ = ["Claimed", "claimed_sizes"]

_MAGIC = b"PAR1"
_TAIL = struct.Struct("<I4s")
_DEEPEST = 32
_ROW_GROUPS, _COLUMNS, _META_DATA, _NUM_VALUES, _UNCOMPRESSED = 4, 1, 3, 5, 6
"""Numbers of the fields on the way to the sizes."""


class Claimed(NamedTuple):
    """What the footer claims for a column of a row group."""

    values: int
    bytes: int
    """Before compression."""


def claimed_sizes(file: BinaryIO) -> list[list[Claimed]]:
    """Return the claimed sizes of each row group's columns; the file's position changes.

    Raises
    ------
    ValueError
        If the footer is damaged.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _TAIL.size, 0))
    tail = file.read(_TAIL.size)
    if len(tail) < _TAIL.size or _TAIL.unpack(tail)[1] != _MAGIC:
        raise ValueError("it does not end as a parquet file")
    length = _TAIL.unpack(tail)[0]
    if length > end - _TAIL.size:
        raise ValueError("its footer is longer than the file")
    file.seek(end - _TAIL.size - length)
    try:
        found = _Footer(file.read(length)).struct()
        groups = [group[_COLUMNS] for group in found[_ROW_GROUPS]]
        parts = [[column[_META_DATA] for column in columns] for columns in groups]
        return [[Claimed(_number(part[_NUM_VALUES]), _number(part[_UNCOMPRESSED])) for part in row] for row in parts]
    except (LookupError, TypeError, RecursionError, struct.error) as error:
        raise ValueError("its footer is damaged") from error


def _number(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"its footer claims {value!r:.40} values or bytes")
    return value


class _Footer:
    """Reads structures of Thrift's compact protocol as dicts by the numbers of their fields."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._depth = data, 0, 0

    def struct(self) -> dict[int, Any]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            step, kind = header >> 4, header & 15
            number = number + step if step else self._zigzag()
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        self._depth -= 1
        return fields

    def _value(self, kind: int) -> Any:
        read = _READERS.get(kind)
        if read is None:
            raise ValueError("its footer has a field of an unknown type")
        return read(self)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("its footer has a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _binary(self) -> bytes:
        length = self._varint()
        self._at += length
        if self._at > len(self._data):
            raise ValueError("its footer is cut off")
        return self._data[self._at - length : self._at]

    def _double(self) -> float:
        self._at += 8
        return float(struct.unpack_from("<d", self._data, self._at - 8)[0])

    def _list(self) -> list[Any]:
        header = self._byte()
        size, kind = header >> 4, header & 15
        if size == 15:
            size = self._varint()
        if size > len(self._data) - self._at:
            raise ValueError("its footer is cut off")
        return [self._byte() == 1 if kind in (1, 2) else self._value(kind) for _ in range(size)]

    def _map(self) -> list[tuple[Any, Any]]:
        size = self._varint()
        if size > len(self._data) - self._at:
            raise ValueError("its footer is cut off")
        kinds = self._byte() if size else 0
        return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(size)]


_READERS: Mapping[int, Callable[[_Footer], Any]] = MappingProxyType(
    {
        3: _Footer._byte,
        **dict.fromkeys((4, 5, 6), _Footer._zigzag),
        7: _Footer._double,
        8: _Footer._binary,
        **dict.fromkeys((9, 10), _Footer._list),
        11: _Footer._map,
        12: _Footer.struct,
    }
)
"""What reads a value of each type."""
