"""A search space that a user's Python file defines. The file is run, with the rights of who names it."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from hwnas_surrogate.capture.user_file import line_in, split_source
from hwnas_surrogate.errors import DataFileError, InvalidInputError, unknown
from hwnas_surrogate.inputs import input_path
from hwnas_surrogate.spaces import SearchSpace, get_space, register_space

__all__ = ["load_space"]


def load_space(source: str) -> SearchSpace:
    """Import a Python file, and register a search space that it defines.

    The file is imported as a module of its own name, and its folder stays among those that Python imports from: other
    processes, which capture or measure networks, find the class by that name.

    Parameters
    ----------
    source : str
        ``FILE.py:CLASS``.

    Returns
    -------
    SearchSpace

    Raises
    ------
    DataFileError
        If there is no such file.
    InvalidInputError
        If the text has another form, the file raises an error, its name is another module's, or it has no such class.

    Examples
    --------
    >>> load_space("mobile-like")
    Traceback (most recent call last):
    hwnas_surrogate.errors.InvalidInputError: a search space of a file reads FILE.py:CLASS, got 'mobile-like'.
    """
    path, name = split_source(source) or ("", "")
    if not name.isidentifier():
        raise InvalidInputError(f"a search space of a file reads FILE.py:CLASS, got {source!r:.200}.")
    found = vars(_imported(path))
    kinds = [key for key, value in found.items() if isinstance(value, type) and issubclass(value, SearchSpace)]
    if name not in kinds:
        raise unknown(InvalidInputError, f"search space in {path}", name, [key for key in kinds if _is_one(found[key])])
    kind: type[SearchSpace] = register_space(found[name])
    return get_space(kind.name)


def _is_one(kind: type[SearchSpace]) -> bool:
    return isinstance(getattr(kind, "name", None), str)


def _imported(path: str) -> object:
    file = input_path(path)
    if not file.is_file():
        raise DataFileError(f"there is no file {path}.")
    stem, folder = file.stem, str(file.resolve().parent)
    if not stem.isidentifier():
        raise InvalidInputError(f"{path} can't be imported: its name, {stem!r}, is no Python name. Rename it.")
    if folder not in sys.path:
        sys.path.append(folder)  # last: files in there must not replace installed modules
    try:
        with redirect_stdout(sys.stderr):
            module = importlib.import_module(stem)
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())
        where = line_in(os.path.realpath(path), error)
        raise InvalidInputError(f"{path}{where}: {type(error).__name__}: {message:.400}") from error
    home = getattr(module, "__file__", None)
    if home is None or not Path(home).exists() or not os.path.samefile(home, file):
        raise InvalidInputError(
            f"{path} has the name of another module ({home or 'one of Python itself'}), and could not be found by "
            "other processes: rename it."
        )
    return module
