"""Checks of what a user writes into a network's config."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwnas_surrogate.errors import InvalidConfigError

__all__ = ["MOST_LAYERS", "flag", "fraction", "positive", "positives", "required", "temperature"]

_LARGEST = 20_000
"""Largest number of channels: beyond any network, and below what would fill the memory by a typing error."""
MOST_LAYERS = 2_000
"""Largest depth."""


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
            f"{', '.join(map(repr, config)) or 'nothing'}, and {', '.join(map(repr, names))} are needed."
        )
    return [config[name] for name in names]


def positive(name: str, value: object, most: int = _LARGEST) -> int:
    """Return a value as an integer of 1 to ``most``; raise `InvalidConfigError` if it is none."""
    number = _as_integer(value)
    if number is None or not 1 <= number <= most:
        raise InvalidConfigError(f"{name} must be an integer of 1 to {most:,}, got {value!r:.80}.")
    return number


def positives(
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
    is_list = values.ndim == 1 if isinstance(values, np.ndarray) else isinstance(values, Sequence)
    if isinstance(values, (str, bytes)) or not is_list:
        raise InvalidConfigError(f"{name} must be a list of integers{form}, got {values!r:.100}.")
    entries: Any = values
    checked = tuple(positive(f"{name}[{place}]", value, most) for place, value in enumerate(entries))
    if length is not None and len(checked) != length:
        raise InvalidConfigError(
            f"{name} must have {length} entries{form}, got {len(checked)}: {list(checked)!r:.200}."
        )
    return checked


def flag(name: str, value: object) -> bool:
    """Return a value as True or False; 1 and 0 mean the same. Raise `InvalidConfigError` for anything else."""
    number = int(value) if isinstance(value, (bool, np.bool_)) else _as_integer(value)
    if number not in (0, 1):
        raise InvalidConfigError(f"{name} must be True or False, got {value!r:.80}.")
    return bool(number)


def fraction(name: str, value: object, most: float = 1.0, *, zero: bool = False) -> float:
    """Return a value as a number above 0 (or from 0) up to ``most``; raise `InvalidConfigError` if it is none."""
    number = _as_float(value)
    if not (0 < number <= most or (zero and number == 0)):
        raise InvalidConfigError(
            f"{name} must be a number {'from' if zero else 'above'} 0, up to {most:g}, got {value!r:.80}."
        )
    return number


def temperature(name: str, value: object) -> float:
    """Return a temperature, a finite number; raise `InvalidConfigError` if it is none."""
    number = _as_float(value)
    if not np.isfinite(number):
        raise InvalidConfigError(f"{name} must be a finite number, got {value!r:.80}.")
    return number


def _as_float(value: object) -> float:
    """Return a number of Python or numpy as a float; NaN for anything else, booleans too."""
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return float(value) if is_number else float("nan")  # type: ignore[arg-type]


def _as_integer(value: object) -> int | None:
    """Return an integer of Python or numpy as such; None for anything else, booleans too."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
