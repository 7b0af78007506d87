"""Errors: one base class, each child also a fitting builtin.

Every message says what was asked, what was got, what is allowed and, where one can be given, a hint.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TypeVar

__all__ = [
    "ContractError",
    "DataFileError",
    "DownloadError",
    "HWNASError",
    "InvalidArchitectureError",
    "InvalidConfigError",
    "InvalidGraphError",
    "InvalidInputError",
    "MeasurementError",
    "MissingExtraError",
    "NotInTableError",
    "SavedFormatError",
    "closest",
    "missing_extra",
    "unknown",
]


class HWNASError(Exception):
    """Base class of every error that this package raises on purpose."""


class ContractError(HWNASError, AssertionError):
    """A search space, an encoder or a model of somebody's own that breaks a law which the package relies on."""


class InvalidArchitectureError(HWNASError, ValueError):
    """Something that is no architecture of the search space."""


class InvalidConfigError(HWNASError, ValueError):
    """A network config that is malformed, or that the search space cannot build."""


class InvalidGraphError(HWNASError, ValueError):
    """A network that is no graph of operators at known shapes, or a module that can't be captured as one."""


class InvalidInputError(HWNASError, ValueError):
    """An argument outside what is allowed (costs, shapes, names, parameters)."""


class NotInTableError(HWNASError, LookupError):
    """A question that a cost table cannot answer: the message says what there is."""

    def __str__(self) -> str:
        """Return the message itself (``LookupError`` children would print its repr)."""
        return str(self.args[0]) if self.args else ""


class DataFileError(HWNASError, ValueError):
    """A data file that is damaged, hostile, truncated or of another format."""


class DownloadError(HWNASError, OSError):
    """A download that failed; nothing half-done is left under the final name."""


class SavedFormatError(HWNASError, ValueError):
    """A saved surrogate that is damaged or of another format version."""


class MeasurementError(HWNASError, RuntimeError):
    """A measurement that cannot go on."""


class MissingExtraError(HWNASError, ImportError):
    """An optional dependency is not installed: the message gives the command that installs it."""


_DISTRIBUTION = "hwnas-surrogate"

E_ = TypeVar("E_", bound=HWNASError)


def closest(got: object, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest allowed name, or an empty string."""
    names = {name.casefold(): name for name in allowed}
    matches = difflib.get_close_matches(str(got).casefold(), names, n=1, cutoff=0.6)
    return f" Did you mean {names[matches[0]]!r}?" if matches else ""


def unknown(error: type[E_], what: str, got: object, allowed: Iterable[str], hint: str = "") -> E_:
    """Build the error for a name that is not among the allowed ones.

    Parameters
    ----------
    error : type
        The error class to build.
    what : str
        What the name stands for, for example ``"dataset"``.
    got : object
        What was received.
    allowed : iterable of str
        Everything that would have been accepted.
    hint : str, default=""
        One more sentence for the reader.

    Returns
    -------
    HWNASError
        The error, ready to be raised.
    """
    names = list(allowed)
    listed = ", ".join(map(repr, names)) if names else "nothing"
    return error(f"unknown {what} {got!r}; allowed: {listed}.{closest(got, names)}{' ' + hint if hint else ''}")


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """Build the error for something that needs one of the package's extras.

    Parameters
    ----------
    what : str
        What was asked for.
    extra : str
        The extra's name in pyproject.toml.
    """
    packages = " ".join(_packages(extra)) or f"'{_DISTRIBUTION}[{extra}]'"
    return MissingExtraError(f"the extra {extra!r}, for {what}, is not installed: pip install {packages}.")


def _packages(extra: str) -> list[str]:
    """Return the names of the packages that an extra adds, those of extras that it includes first."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        required = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # run from the source code without installing it
        return []
    found: list[str] = []
    for line in required:
        requirement, _, condition = line.partition(";")
        if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", condition):
            inner = re.match(rf"{_DISTRIBUTION}\[(.+)\]", requirement)
            found += _packages(inner[1]) if inner else re.findall(r"^[\w.-]+", requirement)
    return found
