"""A hash of everything that determines the graphs of a space: cached ones must not outlive a change."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hwnas_surrogate.inputs import read_bytes

__all__ = ["source_hash"]

_LARGEST = 1 << 26
"""Maximum bytes of a source file."""
_PACKAGE = __name__.partition(".")[0]
_DEEPEST = 4
"""Containers inside containers that are described."""
_OWN = ("capture", "graphs")
"""The parts of this package that determine a graph."""


@cache
def source_hash(cls: type) -> str | None:
    """Return a hash of the code that builds and captures the networks of a class, 64 hexadecimal digits.

    It covers the source files of the class and of its bases; their attributes, and the variables that a function around
    the class gives it; the files of every module that these import, as far as it is not installed; the versions of the
    installed ones; this package's own capturing; and the attribute ``version``. Imports
    inside functions, and files that the class reads, are not seen: raise ``version`` when they change. A process keeps
    the first hash of a class: it runs the code that it has imported.

    Parameters
    ----------
    cls : type

    Returns
    -------
    str or None
        None if the class has neither a source file, as in a notebook, nor a ``version``.

    Raises
    ------
    OSError
        If a source file can't be read.
    """
    version = getattr(cls, "version", None)
    functions = list(_functions(cls))
    files = {Path(function.__code__.co_filename) for function in functions}
    if not files or not all(file.is_file() for file in files):
        if version is None:
            return None
        files = set()
    modules, packages = _reached(function.__globals__ for function in functions)
    digest = hashlib.sha256(f"{cls.__qualname__}\n{version!r}\n{_own_code()}\n{_attributes(cls)}".encode())
    digest.update("\n".join(sorted(f"{name} {_version(name)}" for name in packages | {"torch"})).encode())
    for file in sorted(files | modules):
        digest.update(hashlib.sha256(read_bytes(file, _LARGEST)).digest())
    return digest.hexdigest()


def _functions(cls: type) -> Iterator[FunctionType]:
    """Yield the functions that a class and its bases define, without those of this package."""
    for kind in cls.__mro__:
        if kind is object or _is_own(kind.__module__):
            continue
        for value in vars(kind).values():
            found = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if isinstance(found, FunctionType):
                yield found


def _attributes(cls: type) -> str:
    """Describe what classes of the same source differ in: attributes, and variables of functions around them."""
    lines = []
    for kind in cls.__mro__:
        if kind is not object and not _is_own(kind.__module__):
            lines += [f"{name} {_described(value)}" for name, value in sorted(vars(kind).items())]
    return "\n".join(lines)


def _described(value: Any, depth: int = 0) -> str:
    """Return a text without addresses: of plain values and containers in full, of functions their code."""
    value = getattr(value, "__func__", value)
    if isinstance(value, FunctionType):
        code, cells = value.__code__, value.__closure__ or ()
        held = [_described(content, depth + 1) for content in _contents(cells)] if depth < _DEEPEST else []
        return f"{code.co_firstlineno} {code.co_code.hex()} {held}"
    if isinstance(value, Mapping):
        return str({str(key): _described(held, depth + 1) for key, held in value.items()} if depth < _DEEPEST else "")
    if isinstance(value, (list, tuple)):
        return str([_described(held, depth + 1) for held in value] if depth < _DEEPEST else "")
    if isinstance(value, (str, bytes, int, float, bool, range, type(None))):
        return repr(value)
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _contents(cells: Iterable[Any]) -> Iterator[Any]:
    for cell in cells:
        with suppress(ValueError):  # a variable that has no value yet
            yield cell.cell_contents


def _reached(namespaces: Iterable[Mapping[str, Any]]) -> tuple[set[Path], set[str]]:
    """Return the files of the modules that namespaces lead to, and the names of the installed packages among them."""
    waiting, seen = list(namespaces), set[int]()
    files, packages = set[Path](), set[str]()
    while waiting:
        names = waiting.pop()
        if id(names) in seen:
            continue
        seen.add(id(names))
        for module in filter(None, map(_module_of, _values(names))):
            file, top = getattr(module, "__file__", None), module.__name__.partition(".")[0]
            if file is None or _is_own(module.__name__):
                continue
            if _is_installed(file):
                packages.add(top)
            elif not _is_standard(file):
                if module.__name__ != "__main__":  # of a class in there, the functions tell the file
                    files.add(Path(file))
                waiting.append(vars(module))
    return files, packages


def _values(names: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the values of a namespace, and those of the containers among them."""
    for value in list(names.values()):
        yield value
        if isinstance(value, Mapping) and type(value) is not type(vars(sys)):
            yield from list(value.values())[:1000]
        elif isinstance(value, (list, tuple)):
            yield from value[:1000]


def _module_of(value: Any) -> ModuleType | None:
    if isinstance(value, ModuleType):
        return value
    home = getattr(value, "__module__", None) if callable(value) else type(value).__module__
    return sys.modules.get(home) if isinstance(home, str) else None


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == _PACKAGE


def _is_installed(file: str) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _is_standard(file: str) -> bool:
    places = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    return any(Path(file).is_relative_to(place) for place in places)


def _version(name: str) -> str:
    return str(getattr(sys.modules.get(name), "__version__", ""))


@cache
def _own_code() -> str:
    """Return a hash of the modules of this package that make graphs."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for part in _OWN:
        for file in sorted((folder / part).glob("*.py")):
            digest.update(read_bytes(file, _LARGEST))
    return digest.hexdigest()
