"""Lazy package names: imported on first use, so that importing the package loads little."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

__all__ = ["lazy_names"]


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package whose names are defined in its modules.

    No name may equal a module's name: importing the module would overwrite it in the package.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    modules : mapping of str to sequence of str
        Modules of the package, and the names defined in each; ``.room.module`` is one of the package's parent.

    Returns
    -------
    tuple of callable
        ``__getattr__`` and ``__dir__`` (PEP 562).

    Examples
    --------
    >>> getattribute, names = lazy_names("importlib", {"resources": ["files"], "metadata": ["version"]})
    >>> getattribute("version").__module__
    'importlib.metadata'
    """
    home = {name: module for module, names in modules.items() for name in names}

    def resolve(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{home[name]}", package), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return resolve, names
