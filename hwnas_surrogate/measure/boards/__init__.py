"""Boards: other machines that run networks, reached by ``ssh`` or ``adb``."""

from __future__ import annotations

from hwnas_surrogate.measure.boards.address import parse_board
from hwnas_surrogate.measure.boards.board import Board, Facts
from hwnas_surrogate.measure.boards.fleet import Fleet

__all__ = ["Board", "Facts", "Fleet", "parse_board"]
