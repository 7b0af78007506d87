"""The runner on a board, from here: requests and events are lines of JSON."""

from __future__ import annotations

import contextlib
import json
import queue
import tempfile
import threading
from collections.abc import Iterator
from typing import Any
from typing import Protocol as Interface

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards.board import Board
from hwnas_surrogate.runner.blocks import reason_of
from hwnas_surrogate.runner.conditions import conditions_of

__all__ = ["ENDS", "Lost", "RemoteRunner", "Runner"]

ENDS = ("end", "died", "late", "refused")
"""The last events of a block."""
START = 120.0
"""Maximum seconds in which the runner imports the runtime."""


class Lost(Exception):
    """The connection was lost; the message says why."""


class Runner(Interface):
    """What runs networks on a board, where they lie in folders that requests name."""

    work_folder: str
    """The board's work folder when it was started."""
    is_there: bool
    """Whether it can take another request."""
    welcome: dict[str, Any]
    """``runtime``, its name and version there, and ``conditions``, those of the board."""

    def ask(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Send a request; yield its events.

        Raises
        ------
        Lost
            If the connection is lost.
        """

    def end(self) -> None:
        """End it."""


class RemoteRunner:
    """The runner on a board: lines of JSON in both directions."""

    def __init__(self, board: Board, path: str) -> None:
        self._board = board
        self.work_folder = board.folder
        with contextlib.ExitStack() as opened:
            self._messages = opened.enter_context(tempfile.TemporaryFile())
            self._process = board.start([board.python, path, "serve"], self._messages)
            opened.pop_all()  # closed in `end`
        self._lines: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self.is_there = True
        self.welcome: dict[str, Any] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def greet(self, hello: dict[str, Any]) -> None:
        """Name the runtime; raise if the board can't load it."""
        for event in self.ask(hello, START):
            if event["event"] != "end":
                raise MeasurementError(f"board {self._board} can't run {hello['runtime']}: {event['why']}")
            self.welcome = {**event, "conditions": conditions_of(event["facts"])} if "facts" in event else event

    def ask(self, request: dict[str, Any], longest: float | None = None) -> Iterator[dict[str, Any]]:
        """Send a request; yield its events, the last of which is ``died`` if the runner itself ended.

        Raises
        ------
        Lost
            If the connection is lost.
        MeasurementError
            If the runtime takes too long to be imported, or the runner's output can't be read.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # what it printed before, and how it ended, comes from its output
        while True:
            try:
                line = self._lines.get(timeout=longest)
            except queue.Empty:
                raise MeasurementError(
                    f"board {self._board} did not import the runtime within {longest:g} s."
                ) from None
            if isinstance(line, Exception):
                self.is_there = False
                raise MeasurementError(
                    f"can't read what the runner on board {self._board} prints: {reason_of(line)}."
                ) from line
            if not line.endswith(b"\n"):
                yield {"event": "died", "why": self._ended()}
                return
            event = json.loads(line)
            yield event
            if event["event"] in ENDS:
                return

    def end(self) -> None:
        """End the runner: the end of its input ends it, and the process here."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._messages):
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._lines.put(line)
        except Exception as error:  # noqa: BLE001 - raised in `ask`; where `end` closed the output, nobody asks
            self._lines.put(error)
        else:
            self._lines.put(b"")

    def _ended(self) -> str:
        """Return why the runner ended; raise :class:`Lost` if it was the connection."""
        self.is_there = False
        code = self._process.wait()
        self._messages.seek(0)
        messages = self._messages.read().decode(errors="replace").strip()
        why = self._board.lost(code)
        if why is not None:
            raise Lost(why)
        return f"the runner ended with exit status {code}: {messages.splitlines()[-1][:200] if messages else ''}"
