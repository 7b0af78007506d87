"""Networks that a user's Python file defines. The file is run, with the rights of who names it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hwnas_surrogate.errors import DataFileError, InvalidInputError, unknown
from hwnas_surrogate.inputs import input_path, read_bytes

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Entry", "UserFunction", "beside_user_file", "line_in", "run_user_file", "split_source"]

Entry = tuple["nn.Module", tuple[Any, ...]]
"""A module, and examples of what its ``forward`` takes."""

_LARGEST = 1 << 24
"""Bytes of a Python file."""
_OUTPUT, _ERRORS = 1, 2
"""The file descriptors of standard output and standard error."""
_FORM = 'a mapping of names to (module, example inputs), such as {"small": (net.eval(), torch.zeros(1, 3, 224, 224))}'


def split_source(source: str) -> tuple[str, str] | None:
    """Return the file and the name of ``FILE.py:NAME``; None if the text has another form."""
    path, colon, name = source.rpartition(":")
    return (path, name) if colon and path.endswith(".py") else None


def run_user_file(path: str, name: str) -> dict[str, Entry]:
    """Run a Python file, and return the networks that one of its names holds.

    Parameters
    ----------
    path : str
        The file. It is run each time, as a module of its own, with its folder among those that Python imports from.
    name : str
        A mapping of names to (module, example inputs), or a function without arguments that returns one.

    Returns
    -------
    dict of str to (torch.nn.Module, tuple)
        The example inputs are always a tuple.

    Raises
    ------
    DataFileError
        If the file can't be read.
    InvalidInputError
        If it raises an error, has no such name, or the name holds something else.
    """
    source = f"{path}:{name}"
    module = _run(path)
    if not hasattr(module, name):
        public = [found for found in vars(module) if not found.startswith("_")]
        raise unknown(InvalidInputError, f"name in {path}", name, public)
    found = getattr(module, name)
    if _is_function(found):
        with _explained(path):
            found = found()
    if not isinstance(found, Mapping):
        raise InvalidInputError(f"{source} must be {_FORM}, or a function that returns one; got {_kind(found)}.")
    if not found:
        raise InvalidInputError(f"{source} names no networks: it must be {_FORM}.")
    with _explained(path):
        items = list(found.items())  # of a class of the user's, perhaps
    return {_checked_name(source, key): _entry(source, key, value) for key, value in items}


@contextmanager
def beside_user_file(path: str) -> Iterator[None]:
    """Let a user's code import what is in its folder; what it prints goes to standard error, off the results."""
    folder = str(Path(path).resolve().parent)
    sys.path.insert(0, folder)
    try:
        with _output_to_errors(), redirect_stdout(sys.stderr):
            yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


@contextmanager
def _output_to_errors() -> Iterator[None]:
    """Let child processes print to standard error: they inherit the descriptor, and know nothing of ``sys.stdout``."""
    try:
        os.fstat(_ERRORS)
        before = os.dup(_OUTPUT)
    except OSError:  # one of them is closed, as in a process without a console
        yield
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    os.dup2(_ERRORS, _OUTPUT)
    try:
        yield
    finally:
        os.dup2(before, _OUTPUT)
        os.close(before)


def line_in(path: str, error: BaseException | None) -> str:
    """Return ``, line N`` for the last line of a file that an error, or its cause, came through."""
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename == path:
            return f", line {error.lineno}"
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        if lines:
            return f", line {lines[-1]}"
        error = error.__cause__
    return ""


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        with beside_user_file(path):
            yield
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())
        raise InvalidInputError(f"{path}{line_in(path, error)}: {type(error).__name__}: {message:.400}") from error


def _run(path: str) -> ModuleType:
    """Run a file as a module of its own name, without Python's cache: that may miss a change within the same second."""
    try:
        data = read_bytes(input_path(path), _LARGEST)
    except OSError as error:
        raise DataFileError(f"can't read {path}: {error.strerror or error}.") from error
    place = os.path.realpath(path).encode(errors="surrogateescape")
    unique = f"hwnas_networks_{hashlib.sha256(place).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(unique)
    sys.modules[unique] = module  # dataclasses, for one, look their module up
    try:
        with _explained(path):
            exec(compile(data, path, "exec", dont_inherit=True), module.__dict__)
    except InvalidInputError:
        del sys.modules[unique]
        if before is not None:
            sys.modules[unique] = before
        raise
    return module


def _is_function(found: Any) -> bool:
    torch = sys.modules.get("torch")  # nobody holds a module of torch's before it is imported, which takes seconds
    return callable(found) and not isinstance(found, Mapping if torch is None else (Mapping, torch.nn.Module))


def _kind(found: Any) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"a value of type {type(found).__name__}"


def _checked_name(source: str, name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InvalidInputError(f"{source}: a network's name is a printable text, got {name!r:.80}.")
    return name


def _entry(source: str, name: str, value: Any) -> Entry:
    from torch import Tensor, nn

    if not isinstance(value, (tuple, list)) or len(value) != 2 or not isinstance(value[0], nn.Module):
        parts = ", ".join(type(item).__name__ for item in value) if isinstance(value, (tuple, list)) else ""
        got = f"({parts})" if parts else _kind(value)
        raise InvalidInputError(
            f"{source}[{name!r:.80}] must be (module, example inputs), such as "
            f"(net.eval(), torch.zeros(1, 3, 224, 224)); got {got:.200}."
        )
    module, inputs = value
    if isinstance(inputs, Tensor):
        return module, (inputs,)
    if not isinstance(inputs, (tuple, list)):
        raise InvalidInputError(
            f"{source}[{name!r:.80}]: example inputs are a tensor, or a tuple of what forward takes, in order; got "
            f"{_kind(inputs)}."
        )
    return module, tuple(inputs)


class UserFunction:
    """A function that a Python file defines, run where it is called: other processes run the file again.

    Parameters
    ----------
    source : str
        ``FILE.py:NAME``. The file is run once at first, so that errors are found early.

    Raises
    ------
    DataFileError
        If the file can't be read.
    InvalidInputError
        If the text has another form, the file raises an error, or it has no such function.
    """

    def __init__(self, source: str) -> None:
        self.path, name = split_source(source) or ("", "")
        self._name, self.__name__ = name, f"{Path(self.path).name}:{name}"
        if not name.isidentifier():
            raise InvalidInputError(f"a function of a file reads FILE.py:NAME, got {source!r:.200}.")
        self.path = os.path.realpath(self.path)
        self._found = self._load()

    def __call__(self, *arguments: Any) -> Any:
        """Call the function, with the file's folder among those that Python imports from."""
        if self._found is None:
            self._found = self._load()
        with beside_user_file(self.path):
            return self._found(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the function out: the other process runs the file."""
        return {**vars(self), "_found": None}

    def _load(self) -> Any:
        module = _run(self.path)
        if not hasattr(module, self._name):
            public = [found for found in vars(module) if not found.startswith("_")]
            raise unknown(InvalidInputError, f"name in {self.path}", self._name, public)
        found = getattr(module, self._name)
        if not _is_function(found):
            raise InvalidInputError(f"{self.path}:{self._name} must be a function, got {_kind(found)}.")
        return found
