"""Read arguments of configs and methods, whatever type or container they come in, or raise an error of this package."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from hwnas_surrogate.errors import HWNASError, InvalidConfigError, InvalidInputError, unknown
from hwnas_surrogate.spaces.reading import contents, is_integer

__all__ = ["check_name", "count", "flat_integers", "integer", "names", "probability", "share", "temperature"]

_SHOWN = 60
"""Characters of a wrong name that a message shows."""


def check_name(error: type[HWNASError], what: str, got: object, allowed: Iterable[str], hint: str = "") -> None:
    """Raise an error of a given class if a value is not one of some names; arguments as of :func:`unknown`."""
    options = list(allowed)
    if isinstance(got, str) and got in options:
        return
    text = got if isinstance(got, str) else repr(got)
    shown = got if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    raise unknown(error, what, shown, options, hint)


def count(name: str, value: object, most: int = 20_000, least: int = 1) -> int:
    """Return a value as an integer between ``least`` and ``most``.

    Raises
    ------
    InvalidConfigError
        If it is none.
    """
    number = integer(value)
    if number is None or not least <= number <= most:
        raise InvalidConfigError(f"{name} is an integer of {least} to {most:,}, got {value!r:.80}.")
    return number


def integer(value: object) -> int | None:
    """Return one integer, of Python or numpy; None if it is something else, such as a bool."""
    return int(value) if is_integer(value) else None  # type: ignore[call-overload]


def flat_integers(value: object) -> list[int] | None:
    """Return the integers of a flat sequence or array; None if it is something else, or empty."""
    held = contents(value)
    if not isinstance(held, np.ndarray) or held.ndim != 1:
        return None
    numbers: list[int] = held.tolist()
    return numbers


def names(what: str, value: object) -> list[str]:
    """Return a list of texts.

    Raises
    ------
    InvalidInputError
        If it is something else, or empty.
    """
    held = contents(value)
    if not isinstance(held, list) or not held or not all(isinstance(name, str) for name in held):
        raise InvalidInputError(f"{what} is a list of names, got {value!r:.80}.")
    return held


def temperature(value: object) -> float:
    """Return the temperature of a Gumbel softmax.

    Raises
    ------
    InvalidInputError
        If it is not a positive, finite number.
    """
    number = _real(value)
    if number is None or not 0 < number < math.inf:
        raise InvalidInputError(f"a temperature is a positive, finite number, got {value!r:.80}.")
    return number


def probability(what: str, value: object, least: float = 0.0) -> float:
    """Return a number of ``least`` to below 1.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    number = _real(value)
    if number is None or not least <= number < 1:
        raise InvalidInputError(f"{what} is a number of {least:g} to below 1, got {value!r:.80}.")
    return number


def share(what: str, value: object) -> float:
    """Return a number of 0 to 1.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    number = _real(value)
    if number is None or not 0 <= number <= 1:
        raise InvalidInputError(f"{what} is a number of 0 to 1, got {value!r:.80}.")
    return number


def _real(value: Any) -> float | None:
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        return float(value)
    return float(value) if is_integer(value) else None
