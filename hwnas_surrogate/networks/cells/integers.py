"""Integers of configs, whatever container or type they come in."""

from __future__ import annotations

import numpy as np

from hwnas_surrogate.spaces.reading import contents, is_integer

__all__ = ["flat_integers", "integer"]


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
