"""The choices of a search space of one's own, as its class declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["Choice", "Choices", "read_choices"]

Choice: TypeAlias = str | int | float | bool | None
"""What a position may hold: a value with a short text."""
Choices: TypeAlias = Mapping[str, Sequence[Choice]] | Sequence[Sequence[Choice]]
"""The choices at each position, by the positions' names or in order."""

_MOST = 127
"""Choices of a position: architectures are int8."""
_SEPARATORS = frozenset(",=/|+~")
"""Characters that strings of architectures, or keys of networks, put between names and values."""


def read_choices(cls: str, choices: Choices) -> tuple[tuple[Any, ...], tuple[tuple[Choice, ...], ...]]:
    """Return the positions' names, or their numbers, and their values.

    Parameters
    ----------
    cls : str
        The class's name, for messages.
    choices : mapping of str to sequence, or sequence of sequences

    Returns
    -------
    keys : tuple of str, or of int
    values : tuple of tuple

    Raises
    ------
    InvalidInputError
        If a position has no choices, too many, two of the same text, or one that no string can hold.

    Examples
    --------
    >>> read_choices("Space", [(3, 5), ("relu", "gelu")])
    ((0, 1), ((3, 5), ('relu', 'gelu')))
    """
    named = isinstance(choices, Mapping)
    if not named and (isinstance(choices, str) or not isinstance(choices, Sequence)):
        raise InvalidInputError(
            f"{cls}.choices must be a mapping of names to choices or a sequence of choices, got {choices!r:.80}."
        )
    held = dict(choices) if isinstance(choices, Mapping) else dict(enumerate(choices))
    if not held:
        raise InvalidInputError(f"{cls}.choices must have one position at least, got none.")
    for key, values in held.items():
        if named and (not isinstance(key, str) or not _is_plain(key)):
            raise InvalidInputError(f"{cls}: a position's name is a short text without , = / | + ~, got {key!r:.60}.")
        _check_choices(f"{cls}.choices[{key!r}]", values)
    return tuple(held), tuple(tuple(values) for values in held.values())


def _check_choices(what: str, values: Any) -> None:
    if isinstance(values, str) or not isinstance(values, Sequence) or not 0 < len(values) <= _MOST:
        raise InvalidInputError(f"{what} must be a sequence of 1 to {_MOST} values, got {values!r:.80}.")
    for value in values:
        if not isinstance(value, (str, int, float, bool, type(None))) or not _is_plain(str(value)):
            raise InvalidInputError(
                f"{what}: a choice is a short text without , = / | + ~, a number, a boolean or None, got "
                f"{value!r:.80}. Name it by a text, and look it up where the network is built."
            )
    texts = list(map(str, values))
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise InvalidInputError(f"{what}: two choices must not have the same text, got {twice!r} twice.")


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= 60 and text == text.strip() and text.isprintable() and _SEPARATORS.isdisjoint(text)
