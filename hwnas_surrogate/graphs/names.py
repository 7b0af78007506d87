"""What networks, and groups of them, may be called."""

from __future__ import annotations

import unicodedata

__all__ = ["NAME_RULE", "is_name"]

NAME_RULE = "one line of text without blanks at its ends"
"""What :func:`is_name` accepts, for messages."""
_REFUSED = frozenset(["Cc", "Cs", "Zl", "Zp"])
"""Categories of control characters, halves of characters, and separators of lines."""


def is_name(text: object) -> bool:
    """Return whether something is one line of text without blanks at its ends.

    CSV files, which refer to networks by name, would not keep other names: readers leave blanks out, and two networks
    would become one. Parquet files can't hold halves of characters.

    Examples
    --------
    >>> is_name("mobile net, v2"), is_name("net "), is_name("")
    (True, False, False)
    """
    if not isinstance(text, str) or not text or text != text.strip():
        return False
    return _REFUSED.isdisjoint(map(unicodedata.category, text))
