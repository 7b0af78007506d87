"""A fleet: boards of one kind, which share the networks of a measurement and are one device."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.measure.boards.address import parse_board
from hwnas_surrogate.measure.boards.board import Board

__all__ = ["Fleet"]


class Fleet:
    """Boards of one kind, which share the networks of a measurement and are one device.

    Parameters
    ----------
    name : str
        Begins the names of its devices, as a board's name does.
    boards : sequence of Board or str
        Boards, or their addresses (:func:`~hwnas_surrogate.measure.boards.parse_board`), of different names.

    Raises
    ------
    InvalidInputError
        If there is no board, an address is none, two boards have one name, or the fleet's name is empty or has a
        slash.

    Examples
    --------
    >>> rack = Fleet("pi4", ["ssh://pi@rack-1", "ssh://pi@rack-2?name=second"])
    >>> [board.name for board in rack.boards]
    ['rack-1', 'second']
    """

    def __init__(self, name: str, boards: Sequence[Board | str]) -> None:
        if not name or "/" in name or not name.isprintable():
            raise InvalidInputError(f"a fleet's name is a text without '/', such as pi4, got {name!r}.")
        if not boards:
            raise InvalidInputError(f"fleet {name!r} has no boards: give the address of each, ssh://user@host.")
        self.name = name
        self.boards = tuple(parse_board(board) if isinstance(board, str) else board for board in boards)
        of: dict[str, Board] = {}
        for board in self.boards:
            other = of.setdefault(board.name, board)
            if other is not board:
                raise InvalidInputError(
                    f"two boards of fleet {name!r} have the name {board.name!r}: {other} and {board}. Give each a "
                    "name of its own: ssh://HOST?name=NAME."
                )

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"fleet {self.name}"

    def retire(self) -> None:
        """Close the connections of all boards for good: whoever uses them in another thread gets an error."""
        for board in self.boards:
            board.retire()
