"""Reading a pickle of gigabytes from its beginning to its end, one architecture at a time, without running it.

Python's own unpickler keeps every value until the end, since a later part of the pickle may refer to any of them. Here
a small machine executes the opcodes that plain data needs, and no other. It hands out each architecture as soon as it
is complete, and forgets it. Most of an accuracy file are numbers by epoch; `runs` reads hundreds of them at once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NoReturn

from hwnas_surrogate.data.accuracy.memo import ABSENT, Memo
from hwnas_surrogate.data.accuracy.runs import Texts, read_run
from hwnas_surrogate.data.accuracy.scalars import read_scalars
from hwnas_surrogate.data.accuracy.stand_ins import FEW_BYTES, DType, Name, Refused, call, name_of, storage_of
from hwnas_surrogate.data.accuracy.window import MARGIN, Window
from hwnas_surrogate.errors import HWNASError

__all__ = ["WATCHED", "PickleMachine"]

WATCHED = "arch2infos"
"""The key of the dict whose items are handed out."""
_LONGEST = MARGIN - 16
"""Bytes of the longest text or bytes."""
_LARGEST_PART = 32 * 2**20
"""Bytes of the pickle of one architecture: the published ones have a percent of that."""
_LONG = 8
"""Bytes of an integer: among longer ones, more have one hash than a dict can hold in reasonable time."""
_FLOAT, _GET_1, _GET_4 = b"Ghj"
"""Opcodes with which a number by epoch begins: a float, or a function that is called."""
_PLAIN = frozenset([str, int])


class PickleMachine:
    """Executes pickles of plain data that follow each other in a stream.

    Parameters
    ----------
    window : Window
        The stream.
    on_item : callable, optional
        Takes each index and value of the root's dict ``arch2infos``, which then is left empty; None keeps all items.
    staying : set of int, default=()
        Numbers of values that later architectures refer to.
    collect : bool, default=False
        Whether references to forgotten values are collected in ``wanted``, instead of raising `Forgotten`.
    """

    def __init__(
        self,
        window: Window,
        on_item: Callable[[Any, Any], None] | None = None,
        staying: frozenset[int] = frozenset(),
        collect: bool = False,
    ) -> None:
        self._window = window
        self._on_item = on_item
        self._staying = staying
        self._collect = collect
        self.wanted: set[int] = set()
        self._texts = Texts()
        self._at = 0
        self._reset()

    def _reset(self) -> None:
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo = Memo(self._staying, self.wanted if self._collect else None)
        self._level = -1
        self._n_items = 0
        self._since = self.position

    @property
    def position(self) -> int:
        """The place in the stream, behind what was executed."""
        return self._window.base + self._at

    def load(self) -> Any:
        """Execute the next pickle, and return its value.

        Raises
        ------
        Refused
            If the pickle needs more than plain data needs, or is damaged or cut off.
        Forgotten
            If it refers to a forgotten part.
        """
        self._reset()
        window = self._window
        self._look()
        try:
            while True:
                if self._at > self._limit:
                    self._advance()
                code = self._data[self._at]
                self._at += 1
                if code == 46:  # STOP
                    break
                _STEPS[code](self)
            (value,) = self._stack
            if self._outer:
                raise ValueError("a mark is left")
        except HWNASError:
            raise
        except (EOFError, IndexError, struct.error) as error:
            if window.ended and self._at >= len(window.data) - 16:
                raise Refused(f"it is cut off: it ends within the pickle, after {self.position:,} bytes") from error
            raise Refused(f"it is damaged near byte {self.position:,}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise Refused(f"it is damaged near byte {self.position:,} ({error})") from error
        return value

    def take(self, size: int) -> bytes:
        """Return the bytes that follow, at most a megabyte; fewer at the end."""
        if len(self._window.data) - self._at < size:
            self._advance()
        found = self._window.data[self._at : self._at + min(size, _LONGEST)]
        self._at += len(found)
        return found

    def _advance(self) -> None:
        if self.position - self._since > _LARGEST_PART or len(self._stack) > _LARGEST_PART // 8:
            raise Refused(f"one architecture, or what is not one, takes more than {_LARGEST_PART:,} bytes")
        self._window.advance(self._at)
        self._at = 0
        self._look()

    def _look(self) -> None:
        """Take what the window holds."""
        self._data = self._window.data
        self._limit = len(self._data) - (0 if self._window.ended else MARGIN)

    def _hand_out(self) -> None:
        """Hand out the complete items of the watched dict, and forget them."""
        stack = self._stack
        for at in range(0, len(stack) - 1, 2):
            assert self._on_item is not None
            if type(stack[at]) is not int:
                raise Refused(f"a key of {WATCHED} is no index, got {type(stack[at]).__name__}")
            self._on_item(stack[at], stack[at + 1])
            self._n_items += 1
        del stack[: len(stack) // 2 * 2]
        self._memo.forget(self._n_items)
        self._since = self.position

    # Steps: each reads the argument of its opcode at `_at`.

    def _unsigned(self, size: int) -> int:
        at = self._at
        raw = self._data[at : at + size]
        if len(raw) < size:
            raise EOFError
        self._at = at + size
        return int.from_bytes(raw, "little")

    def _bytes(self, size: int) -> bytes:
        if size > _LONGEST:
            raise Refused(f"it claims a text of {size:,} bytes; {_LONGEST:,} are the most that is read")
        at = self._at
        raw = self._data[at : at + size]
        if len(raw) < size:
            raise EOFError
        self._at = at + size
        return raw

    def _refuse(self) -> NoReturn:
        code = self._data[self._at - 1]
        raise Refused(
            f"it uses the opcode {bytes([code])!r} at byte {self.position - 1:,}, which plain data never needs"
        )

    def _proto(self) -> None:
        if not 2 <= (version := self._unsigned(1)) <= 5:
            raise Refused(f"its pickle has the protocol {version}; 2 to 5 are read")

    def _frame(self) -> None:
        self._unsigned(8)

    def _mark(self) -> None:
        stack = self._stack
        watching = (
            self._on_item is not None
            and len(self._outer) == 1
            and len(stack) > 1
            and type(stack[-1]) is dict
            and type(stack[-2]) is str
            and stack[-2] == WATCHED
        )
        self._outer.append(stack)
        self._stack = []
        if watching:
            self._level = len(self._outer)

    def _items(self) -> list[Any]:
        """Return what was pushed since the last mark."""
        items = self._stack
        self._stack = self._outer.pop()
        return items

    def _integer(self, size: int) -> None:
        if self._level == len(self._outer) and len(self._stack) > 1:
            self._hand_out()
        if not self._is_value(self._at + size) or not self._run():
            self._stack.append(self._unsigned(size))

    def _is_value(self, at: int) -> bool:
        """Return whether a number by epoch may begin at a place."""
        data = self._data
        if data[at] == _GET_1:
            return type(self._memo.kept.get(data[at + 1])) is Name
        if data[at] == _GET_4:
            return type(self._memo.kept.get(int.from_bytes(data[at + 1 : at + 5], "little"))) is Name
        return data[at] == _FLOAT

    def _run(self) -> bool:
        """Push many numbers by epoch at once, where such stand."""
        found = read_run(self._data, self._at - 1, self._texts)
        if found is None:
            found = read_scalars(self._data, self._at - 1, self._texts, self._memo.kept.get, self._memo.count)
        if found is None:
            return False
        keys = found.keys if found.gets is None else [self._memo.get(number) for number in found.gets]
        pairs: list[Any] = [None] * (2 * len(keys))
        pairs[::2] = keys
        pairs[1::2] = found.values
        self._stack += pairs
        self._memo.put_run(found, keys)
        self._at = found.end
        return True

    def _byte(self) -> None:
        self._integer(1)

    def _short(self) -> None:
        self._integer(2)

    def _signed(self) -> None:
        if self._level == len(self._outer) and len(self._stack) > 1:
            self._hand_out()
        self._stack.append(struct.unpack("<i", self._bytes(4))[0])

    def _long(self) -> None:
        size = self._unsigned(1)
        if size > FEW_BYTES or (size > _LONG and self._stack):  # PyTorch's magic number stands alone
            raise Refused(f"it holds an integer of {size} bytes")
        self._stack.append(int.from_bytes(self._bytes(size), "little", signed=True))

    def _float(self) -> None:
        self._stack.append(struct.unpack(">d", self._bytes(8))[0])

    def _text(self, size: int) -> None:
        if not self._run():
            self._stack.append(self._texts[self._bytes(self._unsigned(size))])

    def _text_1(self) -> None:
        self._text(1)

    def _text_4(self) -> None:
        self._text(4)

    def _bytes_1(self) -> None:
        self._stack.append(self._bytes(self._unsigned(1)))

    def _bytes_4(self) -> None:
        self._stack.append(self._bytes(self._unsigned(4)))

    def _put_1(self) -> None:
        self._memo.put(self._unsigned(1), self._stack[-1])

    def _put_4(self) -> None:
        self._memo.put(self._unsigned(4), self._stack[-1])

    def _memoize(self) -> None:
        self._memo.put(self._memo.count, self._stack[-1])

    def _get(self, size: int) -> None:
        if not self._is_value(self._at + size) or not self._run():
            self._stack.append(self._memo.get(self._unsigned(size)))

    def _get_1(self) -> None:
        self._get(1)

    def _get_4(self) -> None:
        self._get(4)

    def push(self, value: Any) -> None:
        """Push a value."""
        self._stack.append(value)

    def join(self, size: int) -> None:
        """Make the last values a tuple."""
        items = tuple(self._stack[-size:])
        if len(items) < size:
            raise IndexError
        self._stack[-size:] = [items]

    def _tuple(self) -> None:
        items = self._items()
        self._stack.append(tuple(items))

    def _append(self) -> None:
        item = self._stack.pop()
        self._last(list).append(item)

    def _appends(self) -> None:
        items = self._items()
        self._last(list).extend(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._check_keys([key])
        self._last(dict)[key] = value

    def _set_items(self) -> None:
        if self._level == len(self._outer):
            self._hand_out()
            self._level = -1
        items = self._items()
        if len(items) % 2:
            raise ValueError("a key has no value")
        keys = items[::2]
        self._check_keys(keys)
        self._last(dict).update(zip(keys, items[1::2], strict=True))

    def _add_items(self) -> None:
        items = self._items()
        if not _PLAIN.issuperset(map(type, items)):
            raise Refused("it holds a set of something else than numbers or texts")
        self._last(set).update(items)

    def _last(self, kind: type) -> Any:
        value = self._stack[-1]
        if type(value) is not kind:
            raise ValueError(f"it adds items to a value that is no {kind.__name__}")
        return value

    def _check_keys(self, keys: list[Any]) -> None:
        if _PLAIN.issuperset(map(type, keys)):
            return
        for key in keys:
            plain = type(key) in _PLAIN or (type(key) is tuple and len(key) < 8 and _PLAIN.issuperset(map(type, key)))
            if not plain and not (self._collect and (key is ABSENT or type(key) is tuple)):
                raise Refused(f"it uses a key that is no text, number or pair of such, but {type(key).__name__}")

    def _global(self) -> None:
        lines = self._data[self._at : self._at + 200].split(b"\n", 2)
        if len(lines) < 3:
            raise Refused("it asks for a name of more than 200 bytes, or is cut off")
        self._at += len(lines[0]) + len(lines[1]) + 2
        self._stack.append(name_of(f"{lines[0].decode()}.{lines[1].decode()}"))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(name_of(f"{module:.100}.{name:.100}"))

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(call(function, arguments))

    def _build(self) -> None:
        state, value = self._stack.pop(), self._stack[-1]
        if type(value) is DType:
            value.build(state)
        elif type(value) is not dict:  # of an OrderedDict, only the items count
            raise Refused(f"it sets the state of {getattr(value, 'full', type(value).__name__)}")

    def _persistent(self) -> None:
        self._stack.append(storage_of(self._stack.pop()))


def _push(make: Callable[[], Any]) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.push(make())


def _join(size: int) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.join(size)


_BY_OPCODE: dict[bytes, Callable[[PickleMachine], None]] = {
    b"\x80": PickleMachine._proto, b"\x95": PickleMachine._frame, b"(": PickleMachine._mark,
    b"K": PickleMachine._byte, b"M": PickleMachine._short, b"J": PickleMachine._signed, b"\x8a": PickleMachine._long,
    b"G": PickleMachine._float, b"\x8c": PickleMachine._text_1, b"X": PickleMachine._text_4,
    b"C": PickleMachine._bytes_1, b"B": PickleMachine._bytes_4, b"q": PickleMachine._put_1, b"r": PickleMachine._put_4,
    b"\x94": PickleMachine._memoize, b"h": PickleMachine._get_1, b"j": PickleMachine._get_4, b"N": _push(lambda: None),
    b"\x88": _push(lambda: True), b"\x89": _push(lambda: False), b"}": _push(dict),
    b"]": _push(list), b"\x8f": _push(set), b")": _push(tuple),
    b"\x85": _join(1), b"\x86": _join(2), b"\x87": _join(3),
    b"t": PickleMachine._tuple, b"a": PickleMachine._append, b"e": PickleMachine._appends,
    b"s": PickleMachine._set_item, b"u": PickleMachine._set_items, b"\x90": PickleMachine._add_items,
    b"c": PickleMachine._global, b"\x93": PickleMachine._stack_global, b"R": PickleMachine._reduce,
    b"b": PickleMachine._build, b"Q": PickleMachine._persistent,
}  # fmt: skip
_STEPS = [_BY_OPCODE.get(bytes([code]), PickleMachine._refuse) for code in range(256)]
