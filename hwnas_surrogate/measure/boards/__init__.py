"""Boards: other machines that run networks, reached by ``ssh`` or ``adb``, or as workers of a cluster."""

from __future__ import annotations

from hwnas_surrogate.measure.boards.address import parse_board
from hwnas_surrogate.measure.boards.board import Board, Facts
from hwnas_surrogate.measure.boards.fleet import Fleet
from hwnas_surrogate.measure.boards.worker import device_workers

__all__ = ["Board", "Facts", "Fleet", "device_workers", "parse_board"]
