"""Asking a board for its conditions, before anything is measured there."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards.adb import AdbBoard
from hwnas_surrogate.measure.boards.board import Board
from hwnas_surrogate.measure.boards.phone import phone_conditions
from hwnas_surrogate.measure.runner_file import RUNNER, runner_source
from hwnas_surrogate.runner.conditions import conditions_of

__all__ = ["conditions_on"]

LONGEST = 60.0
"""Seconds that it may take."""


def conditions_on(board: Board) -> dict[str, Any]:
    """Return the conditions of a board, as :func:`~hwnas_surrogate.runner.conditions.read_conditions` does here.

    Raises
    ------
    MeasurementError
        If the board can't be reached, or has no Python.
    """
    board.check()
    if isinstance(board, AdbBoard) and not board.python:
        return phone_conditions(board)
    folder = f"{board.folder}/asking"
    with tempfile.TemporaryDirectory(prefix="hwnas-") as local:
        source = Path(local, RUNNER)
        source.write_text(runner_source(".onnx"), encoding="utf-8")
        board.push([source], folder)
    done = board.run([board.python, f"{folder}/{RUNNER}", "facts"], LONGEST)
    board.remove(folder)
    try:
        return conditions_of(json.loads(done.stdout))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise MeasurementError(
            f"board {board} does not say what it is: {why[-1] if why else 'it printed nothing that can be read'}."
        ) from error
