"""Read the arguments of networks and of their methods, whatever type or container they come in.

Each function returns a plain value of Python, or raises :class:`InvalidConfigError`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from hwnas_surrogate.errors import HWNASError, InvalidConfigError, unknown
from hwnas_surrogate.spaces.reading import contents, is_integer

__all__ = [
    "MOST_LAYERS",
    "check_name",
    "count",
    "counts",
    "finite",
    "flag",
    "flat_integers",
    "fraction",
    "integer",
    "names",
    "probability",
    "required",
    "temperature",
]

MOST_LAYERS = 2_000
"""Largest depth."""
_LARGEST = 20_000
"""Largest number of channels: beyond any network, and below what would fill the memory by a typing error."""
_SHOWN = 60
"""Characters of a wrong name that a message shows."""


def required(config: Mapping[str, Any], what: str, *names: str) -> list[Any]:
    """Return the values of a config's keys.

    Raises
    ------
    InvalidConfigError
        If the config is not a mapping, or a key is missing.
    """
    if not isinstance(config, Mapping):
        raise InvalidConfigError(f"the config of {what} must be a mapping of names to values, got {config!r:.100}.")
    missing = [name for name in names if name not in config]
    if missing:
        raise InvalidConfigError(
            f"the config of {what} lacks {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, config)) or 'nothing':.400}, and needs {', '.join(map(repr, names))}."
        )
    return [config[name] for name in names]


def check_name(
    what: str, got: object, allowed: Iterable[str], hint: str = "", error: type[HWNASError] = InvalidConfigError
) -> None:
    """Raise if a value is not one of some names.

    Parameters
    ----------
    what, got, allowed, hint
        As of :func:`~hwnas_surrogate.errors.unknown`; names that are too long are shown in part.
    error : type, default=InvalidConfigError
        The class to raise: that of architectures if the name is a part of one.
    """
    options = list(allowed)
    if isinstance(got, str) and got in options:
        return
    text = got if isinstance(got, str) else repr(got)
    shown = got if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    raise unknown(error, what, shown, options, hint)


def names(what: str, value: object) -> list[str]:
    """Return a list of texts; raise `InvalidConfigError` if it is something else, or empty."""
    held = contents(value)
    if not isinstance(held, list) or not held or not all(isinstance(name, str) for name in held):
        raise InvalidConfigError(f"{what} must be a list of names, got {value!r:.80}.")
    return held


def integer(value: object) -> int | None:
    """Return one integer, of Python, numpy or a tensor; None for anything else, bools too."""
    if is_integer(value):
        return int(value)  # type: ignore[call-overload, no-any-return]
    if isinstance(value, bool) or np.ma.is_masked(value) or str(getattr(value, "dtype", "")).endswith("bool"):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def flat_integers(value: object) -> list[int] | None:
    """Return the integers of a flat sequence or array; None if it is something else, or empty."""
    held = contents(value)
    if not isinstance(held, np.ndarray) or held.ndim != 1:
        return None
    numbers: list[int] = held.tolist()
    return numbers


def count(name: str, value: object, most: int = _LARGEST, least: int = 1) -> int:
    """Return a value as an integer of ``least`` to ``most``; raise `InvalidConfigError` if it is none."""
    number = integer(value)
    if number is None or not least <= number <= most:
        raise InvalidConfigError(f"{name} must be an integer of {least} to {most:,}, got {value!r:.80}.")
    return number


def counts(
    name: str, values: object, length: int | None = None, form: str = "", most: int = _LARGEST
) -> tuple[int, ...]:
    """Return a list of positive integers as a tuple.

    Parameters
    ----------
    name : str
        Its name in the config.
    values : object
        What the config holds.
    length : int, optional
        The number of integers; any number if None.
    form : str, default=""
        What the integers are, for the message.
    most : int, optional
        The largest integer.

    Raises
    ------
    InvalidConfigError
        If it is not a list of so many positive integers.
    """
    is_list = getattr(values, "ndim", None) == 1 or isinstance(values, Sequence)
    if isinstance(values, (str, bytes)) or not is_list:
        raise InvalidConfigError(f"{name} must be a list of integers{form}, got {values!r:.100}.")
    entries: Any = values
    checked = tuple(count(f"{name}[{place}]", value, most) for place, value in enumerate(entries))
    if length is not None and len(checked) != length:
        raise InvalidConfigError(
            f"{name} must have {length} entries{form}, got {len(checked)}: {list(checked)!r:.200}."
        )
    return checked


def flag(name: str, value: object) -> bool:
    """Return a value as True or False; 1 and 0 mean the same. Raise `InvalidConfigError` for anything else."""
    number = int(value) if isinstance(value, (bool, np.bool_)) else integer(value)
    if number not in (0, 1):
        raise InvalidConfigError(f"{name} must be True or False, got {value!r:.80}.")
    return bool(number)


def fraction(name: str, value: object, most: float = 1.0, *, zero: bool = False) -> float:
    """Return a value as a number above 0 (or from 0) up to ``most``; raise `InvalidConfigError` if it is none."""
    number = _real(value)
    if number is None or not (0 < number <= most or (zero and number == 0)):
        raise InvalidConfigError(
            f"{name} must be a number {'from' if zero else 'above'} 0, up to {most:g}, got {value!r:.80}."
        )
    return number


def probability(name: str, value: object, least: float = 0.0) -> float:
    """Return a value as a number of ``least`` to below 1; raise `InvalidConfigError` if it is none."""
    number = _real(value)
    if number is None or not least <= number < 1:
        range_of = "below 1" if least == -math.inf else f"from {least:g} to below 1"
        raise InvalidConfigError(f"{name} must be a number {range_of}, got {value!r:.80}.")
    return number


def finite(name: str, value: object) -> float:
    """Return a value as a finite number; raise `InvalidConfigError` if it is none."""
    number = _real(value)
    if number is None or not math.isfinite(number):
        raise InvalidConfigError(f"{name} must be a finite number, got {value!r:.80}.")
    return number


def temperature(name: str, value: object) -> float:
    """Return the temperature of a Gumbel softmax; raise `InvalidConfigError` if it is not positive and finite."""
    number = _real(value)
    if number is None or not 0 < number < math.inf:
        raise InvalidConfigError(f"{name} must be a positive, finite number, got {value!r:.80}.")
    return number


def _real(value: Any) -> float | None:
    """Return a number of Python or numpy as a float; None for anything else, bools too."""
    if isinstance(value, bool) or not (isinstance(value, Real) or is_integer(value)):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond the floats
        return None
