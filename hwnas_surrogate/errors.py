"""Errors: one base class, each child also a fitting builtin.

Every message states what was wrong, what was received, what is allowed and, where possible, a hint.
"""

from __future__ import annotations

import difflib
import itertools
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
    "TooFewCostsError",
    "UnmetBudgetsError",
    "closest",
    "missing_extra",
    "unknown",
]


class HWNASError(Exception):
    """Base class of every error that this package raises on purpose."""


class ContractError(HWNASError, AssertionError):
    """A custom search space, encoder or model violates a rule that the package relies on."""


class InvalidArchitectureError(HWNASError, ValueError):
    """A value is not an architecture of the search space."""


class InvalidConfigError(HWNASError, ValueError):
    """A network config is malformed, or the search space cannot build it."""


class InvalidGraphError(HWNASError, ValueError):
    """A network is not a graph of operators with known shapes, or a module can't be captured as one."""


class InvalidInputError(HWNASError, ValueError):
    """An argument is not allowed (costs, shapes, names, parameters)."""


class TooFewCostsError(InvalidInputError):
    """A table or a file has fewer measured costs than the question takes; more measurements are the remedy."""


class UnmetBudgetsError(InvalidInputError):
    """No network keeps the budgets of a search; the message names the nearest that can be met.

    Parameters
    ----------
    message : str
    nearest : str
        The network that breaks the budgets least.
    """

    def __init__(self, message: str, nearest: str) -> None:
        super().__init__(message)
        self.nearest = nearest


class NotInTableError(HWNASError, LookupError):
    """A cost table does not hold what was requested; the message lists what it holds."""

    def __str__(self) -> str:
        """Return the message itself (``LookupError`` children would print its repr)."""
        return str(self.args[0]) if self.args else ""


class DataFileError(HWNASError, ValueError):
    """A data file is damaged, hostile, truncated or of another format."""


class DownloadError(HWNASError, OSError):
    """A download failed; no partial file is left under the final name."""


class SavedFormatError(HWNASError, ValueError):
    """A saved surrogate is damaged or of another format version."""


class MeasurementError(HWNASError, RuntimeError):
    """A measurement cannot continue."""


class MissingExtraError(HWNASError, ImportError):
    """An optional dependency is not installed: the message gives the command that installs it."""


_DISTRIBUTION = "hwnas-surrogate"

_LISTED = 200
"""Number of allowed names that a message lists."""
_COMPARED = 5000
"""Number of allowed names that a wrong one is compared with, for its likely meaning: this takes a tenth of a second."""

E_ = TypeVar("E_", bound=HWNASError)


def closest(got: object, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest allowed name, or an empty string."""
    names = {name.casefold(): name for name in itertools.islice(allowed, _COMPARED)}
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
        The accepted names.
    hint : str, default=""
        One more sentence at the end of the message.

    Returns
    -------
    HWNASError
        The error, ready to be raised.
    """
    names = list(allowed)
    listed = ", ".join(map(repr, names[:_LISTED])) if names else "nothing"
    if len(names) > _LISTED:
        listed += f" and {len(names) - _LISTED:,} more"
    return error(f"unknown {what} {got!r:.200}; allowed: {listed}.{closest(got, names)}{' ' + hint if hint else ''}")


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """Build the error for something that needs one of the package's extras.

    Parameters
    ----------
    what : str
        The feature that needs the extra.
    extra : str
        The extra's name in pyproject.toml.
    """
    packages = " ".join(_packages(extra)) or f"'{_DISTRIBUTION}[{extra}]'"
    return MissingExtraError(f"the extra {extra!r}, for {what}, is not installed: pip install {packages}.")


def _packages(extra: str) -> list[str]:
    """Return the packages of an extra, those of the extras that it includes first."""
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
