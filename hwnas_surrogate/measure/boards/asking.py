"""Asking a board what it is, under which conditions it runs, and which runtimes it has, before anything is measured."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hwnas_surrogate.errors import HWNASError, MeasurementError
from hwnas_surrogate.measure.boards.adb import AdbBoard
from hwnas_surrogate.measure.boards.board import Board
from hwnas_surrogate.measure.boards.failures import last_line
from hwnas_surrogate.measure.boards.phone import phone_conditions
from hwnas_surrogate.measure.boards.tool_timer import ToolTimer
from hwnas_surrogate.measure.runner_file import RUNNER, runner_source
from hwnas_surrogate.measure.runtimes import RUNTIMES, FileRuntime
from hwnas_surrogate.runner.conditions import conditions_of

__all__ = ["BoardRuntime", "ask_board"]

LONGEST = 60.0
"""Seconds that the conditions may take."""
IMPORT = 120.0
"""Seconds that a runtime may take to be imported."""


class BoardRuntime(NamedTuple):
    """A runtime that boards can use, on one board."""

    runtime: str
    """Its name in ``hwnas measure --runtime``."""
    usable: bool
    installed: str
    """Its version there, or ``no:`` and the reason."""


def ask_board(board: Board) -> tuple[dict[str, Any], list[BoardRuntime]]:
    """Return the conditions of a board, and its runtimes.

    Parameters
    ----------
    board : Board
        It is connected if necessary, and stays connected.

    Returns
    -------
    conditions : dict
        As :func:`~hwnas_surrogate.runner.conditions.read_conditions` returns them here.
    runtimes : list of BoardRuntime
        Every runtime that boards can use. A runtime that ends its process does not hide the others.

    Raises
    ------
    MeasurementError
        If the board can't be reached, or has no Python.
    """
    board.check()
    if isinstance(board, AdbBoard) and not board.python:
        return phone_conditions(board), [_of_tool(board, kind()) for kind in _kinds()]
    folder = f"{board.folder}/asking"
    with tempfile.TemporaryDirectory(prefix="hwnas-") as local:
        source = Path(local, RUNNER)
        source.write_text(runner_source(None), encoding="utf-8")
        board.push([source], folder)
    try:
        conditions = _conditions(board, f"{folder}/{RUNNER}")
        if isinstance(board, AdbBoard) and board.tools:
            return conditions, [_of_tool(board, kind()) for kind in _kinds()]
        return conditions, _of_runner(board, f"{folder}/{RUNNER}")
    finally:
        board.remove(folder)


def _kinds() -> list[type[FileRuntime]]:
    return [kind for kind in RUNTIMES.values() if issubclass(kind, FileRuntime)]


def _conditions(board: Board, program: str) -> dict[str, Any]:
    done = board.run([board.python, program, "facts"], LONGEST)
    try:
        return conditions_of(json.loads(done.stdout))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = last_line(done.stderr.decode(errors="replace")) or "it printed nothing that can be read"
        raise MeasurementError(f"board {board} does not say what it is: {why}.") from error


def _of_runner(board: Board, program: str) -> list[BoardRuntime]:
    """Ask for the runtimes of each engine in a process of its own."""
    found: dict[str, BoardRuntime] = {}
    made = [kind() for kind in _kinds()]
    for engine in dict.fromkeys(runtime.engine.name for runtime in made):
        of_engine = [runtime for runtime in made if runtime.engine.name == engine]
        answers = _answers(board, program, engine, [runtime.engine_options() for runtime in of_engine])
        for runtime, (usable, told) in zip(of_engine, answers, strict=True):
            installed = f"{told} {runtime.number_format}" if usable else f"no: {told}"
            found[runtime.name] = BoardRuntime(runtime.name, usable, installed)
    return [found[runtime.name] for runtime in made]


def _answers(board: Board, program: str, engine: str, options: list[dict[str, str]]) -> list[tuple[bool, str]]:
    """Return whether an engine can be used with each of some options, and its version or the reason why not."""
    command = [board.python, program, "runtimes", "--runtime", engine]
    try:
        done = board.run(command, IMPORT, json.dumps(options).encode())
    except MeasurementError as error:
        return [(False, str(error))] * len(options)
    try:
        # A library may print when it is imported.
        return [(bool(usable), str(told)) for usable, told in json.loads(done.stdout.splitlines()[-1])]
    except (ValueError, TypeError, IndexError):
        why = last_line(done.stderr.decode(errors="replace")) or "it printed nothing that can be read"
        return [(False, f"its process ended with exit status {done.returncode}: {why}")] * len(options)


def _of_tool(board: AdbBoard, runtime: FileRuntime) -> BoardRuntime:
    """Return a runtime as the benchmark tool that its address names."""
    try:
        told = ToolTimer(board, runtime, LONGEST).start_runner().welcome["runtime"]
    except HWNASError as error:
        return BoardRuntime(runtime.name, False, f"no: {error}")
    return BoardRuntime(runtime.name, True, f"{told} {runtime.number_format}")
