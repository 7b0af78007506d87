"""What the runner on a board prints can't be read: whoever waits for its events gets one error."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import IO, Any

import pytest

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards.remote_runner import RemoteRunner


class Unreadable(io.RawIOBase):
    """Prints one event, and then can't be read."""

    def __init__(self, error: Exception) -> None:
        self.error, self.pieces = error, [b'{"event": "loaded"}\n']

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.pieces:
            raise self.error
        piece = self.pieces.pop()
        buffer[: len(piece)] = piece
        return len(piece)


class Board:
    """A board whose program prints so."""

    folder, python = "/work", "python3"

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.messages: IO[bytes] | None = None

    def __str__(self) -> str:
        return "pi"

    def start(self, command: list[str], messages: IO[bytes]) -> Any:
        self.messages = messages
        if isinstance(self.error, MeasurementError):
            raise self.error
        stdout = io.BufferedReader(Unreadable(self.error))
        return SimpleNamespace(stdin=io.BytesIO(), stdout=stdout, wait=lambda: 0, kill=lambda: None)


@pytest.mark.parametrize("error", [IndexError("no program 3"), OSError(5, "Input/output error"), ValueError("closed")])
def test_an_error_of_reading_is_raised_where_events_are_awaited(error: Exception) -> None:
    board: Any = Board(error)
    runner = RemoteRunner(board, "run.py")
    events = runner.ask({}, 20.0)
    assert next(events) == {"event": "loaded"}
    with pytest.raises(
        MeasurementError, match=rf"can't read what .* board pi prints: {type(error).__name__}: "
    ) as told:
        next(events)
    assert told.value.__cause__ is error
    assert not runner.is_there
    runner.end()


def test_a_runner_that_does_not_start_leaves_no_file_open() -> None:
    board: Any = Board(MeasurementError("lost"))
    with pytest.raises(MeasurementError, match="lost"):
        RemoteRunner(board, "run.py")
    assert board.messages.closed
