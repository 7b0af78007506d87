"""Validate numbers (costs, scores, budgets) and booleans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["booleans", "huge_unit", "reals"]

_SPANS = "time spans (divide them by the costs' unit: spans / np.timedelta64(1, 'ms'))"
_KINDS = {"b": "booleans", "c": "complex numbers", "U": "texts", "S": "texts", "M": "dates", "m": _SPANS}
"""Names of array contents that are not real numbers, by numpy's kinds."""
_PLAIN = frozenset([float, int, np.float64, np.float32, np.int64])
_SQUARABLE = 1e150
_DEEPEST = 4
"""Sequences are nested no deeper: rows, columns, and repeats."""
_MOST = 10**9
"""Numbers in one place. A list that holds itself, or the same list many times, can stand for more than any memory."""


def reals(values: Any, must: str = "costs must be numbers") -> npt.NDArray[np.float64]:
    """Return real numbers as float64, of any shape; missing values (None, ``pandas.NA``) become NaN.

    Integers, floats, fractions and decimals are accepted in any container. Booleans, complex numbers, strings, dates,
    time spans and masked values are refused, because numpy would convert them to meaningless numbers.

    Parameters
    ----------
    values : array-like
        One number or many: nested sequences, arrays, and anything else that numpy converts to an array.
    must : str, default="costs must be numbers"
        Beginning of the error message.

    Raises
    ------
    InvalidInputError
        If a value is not a real number; the message states what it is.

    Examples
    --------
    >>> reals([1, 2.5, None]).tolist()
    [1.0, 2.5, nan]
    """
    _check_size(values, must)
    try:
        refused = _refused(values)
        if not refused:
            array = np.asarray(values)
            if array.dtype.kind == "O":
                flat = [np.nan if item is None or item is pd.NA else float(item) for item in array.ravel().tolist()]
                return np.array(flat, np.float64).reshape(array.shape)
            with np.errstate(over="ignore"):
                return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidInputError(f"{must}: {str(error).rstrip('.')}.") from error
    raise InvalidInputError(f"{must}, got {refused}.")


def _check_size(values: Any, must: str) -> None:
    """Raise, before a number is looked at, if nested sequences hold more than anybody means."""
    if _size(values, 1, {}) > _MOST:
        raise InvalidInputError(f"{must}, {_MOST:,} at most, got nested sequences of more.")


def _size(values: Any, depth: int, known: dict[tuple[int, int], int]) -> int:
    """Return how many values nested sequences hold: infinitely many if they are nested too deep.

    Sequences are looked at once, however often they are held.
    """
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        return 1
    if all(not issubclass(kind, Sequence) for kind in set(map(type, values))):
        return len(values)
    if depth == _DEEPEST:
        return _MOST + 1
    if (id(values), depth) not in known:
        known[id(values), depth] = sum(_size(item, depth + 1, known) for item in values)
    return known[id(values), depth]


def _refused(values: Any) -> str:
    """Return a description of values that are not real numbers, or an empty string."""
    if isinstance(values, (bool, complex, str, bytes)):
        return _KINDS[np.asarray(values).dtype.kind]
    if isinstance(values, Sequence):
        doubtful = set(map(type, values)) - _PLAIN
        found = (_refused(item) for item in values if type(item) in doubtful) if doubtful else ()
        return next(filter(None, found), "")
    if isinstance(values, np.ma.MaskedArray):
        if n := int(np.ma.getmaskarray(values).sum()):
            return (
                f"{n} masked value{'s' if n > 1 else ''} (leave them out, or make them NaN where costs may be "
                "missing: values.filled(np.nan))"
            )
        return _refused(values.data)
    if isinstance(values, (np.ndarray, np.generic)):
        if values.dtype.kind == "O":
            return _refused(values.ravel().tolist())
        return "" if values.dtype.kind in "iuf" else _KINDS.get(values.dtype.kind, str(values.dtype))
    if isinstance(values, (Real, Decimal)) or values is None or values is pd.NA:
        return ""
    return _refused(np.asarray(values)) if hasattr(values, "__array__") else type(values).__name__


def huge_unit(*values: npt.NDArray[np.float64]) -> float:
    """Return a power of two near the largest of finite numbers beyond 1e150, whose squares overflow; 1 below.

    Numbers divided by it can be squared and added up; ordinary ones keep every bit.
    """
    largest = max((float(np.abs(array).max()) for array in values if array.size), default=0.0)
    return 2.0 ** math.floor(math.log2(largest)) if largest > _SQUARABLE else 1.0


def booleans(values: Any, must: str = "marks must be True or False") -> npt.NDArray[np.bool_]:
    """Return True and False as bool, of any shape.

    Nothing else is accepted: not 0 and 1, nor strings (``"False"`` would be True), dates, missing or masked values.

    Parameters
    ----------
    values : array-like
        One truth value or many: nested sequences, arrays, and whatever numpy makes an array of.
    must : str, default="marks must be True or False"
        How the message begins.

    Raises
    ------
    InvalidInputError
        If a value is neither True nor False; the message states what it is.

    Examples
    --------
    >>> booleans([[True], [False]]).tolist()
    [[True], [False]]
    """
    _check_size(values, must)
    try:
        if not (refused := _no_boolean(values)):
            return np.array(values, bool)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(f"{must}: {str(error).rstrip('.')}.") from error
    raise InvalidInputError(f"{must}, got {refused}.")


def _no_boolean(values: Any) -> str:
    """Return a description of values that are neither True nor False, or an empty string."""
    if isinstance(values, (bool, np.bool_)):
        return ""
    if values is None or values is pd.NA:
        return "missing values"
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        return "masked values"
    if isinstance(values, (str, bytes)):
        return "texts"
    if isinstance(values, Sequence):
        return next(filter(None, map(_no_boolean, values)), "")
    if isinstance(values, (np.ndarray, np.generic)):
        kind = values.dtype.kind
        return _no_boolean(values.ravel().tolist()) if kind == "O" else "" if kind == "b" else _name_of(values.dtype)
    if hasattr(values, "__array__"):
        return _no_boolean(np.asarray(values))
    return _name_of(np.asarray(values).dtype) if isinstance(values, (complex, Real)) else type(values).__name__


def _name_of(dtype: np.dtype[Any]) -> str:
    return "numbers" if dtype.kind in "iuf" else _KINDS.get(dtype.kind, str(dtype))
