"""Random states: a seed, or a generator of numpy that continues."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["RandomState", "as_generator", "as_seed"]

RandomState: TypeAlias = int | np.random.Generator | np.random.RandomState | None
"""A seed, a generator that continues, or None for numbers that differ every time."""

_LARGEST_SEED = 2**31
"""Seeds of scikit-learn, XGBoost and torch are smaller."""


def as_generator(random_state: RandomState) -> np.random.Generator:
    """Return a new generator for a seed (or fresh entropy for None); a Generator is returned as it is.

    A legacy ``RandomState`` gives the seed of a new generator, another one each time.

    Raises
    ------
    InvalidInputError
        If it is something else, or a negative number.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(as_seed(random_state))
    return np.random.default_rng(_checked(random_state))


def as_seed(random_state: RandomState | np.integer[Any]) -> int | None:
    """Return a seed for libraries that want an integer below 2^31; None for None.

    A generator, of either kind, gives the next number that it draws, so that two calls give two seeds.

    Raises
    ------
    InvalidInputError
        If it is neither a seed, a generator nor None.
    """
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_LARGEST_SEED))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(_LARGEST_SEED, dtype=np.int64))
    seed = _checked(random_state)
    if seed is None or seed < _LARGEST_SEED:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1)[0]) % _LARGEST_SEED


def _checked(random_state: int | np.integer[Any] | None) -> int | None:
    if random_state is None:
        return None
    if isinstance(random_state, bool) or not isinstance(random_state, (int, np.integer)) or random_state < 0:
        raise InvalidInputError(
            "random_state must be a non-negative integer, a numpy Generator or RandomState, or None, got "
            f"{random_state!r:.80}."
        )
    return int(random_state)
