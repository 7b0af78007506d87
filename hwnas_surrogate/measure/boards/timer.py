"""Timing networks on a board: they are converted here, pushed in blocks, and run by the runner there."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hwnas_surrogate.data import Device
from hwnas_surrogate.errors import HWNASError, InvalidInputError, MeasurementError
from hwnas_surrogate.measure.boards.board import Board
from hwnas_surrogate.measure.boards.remote_runner import ENDS, Lost, RemoteRunner, Runner
from hwnas_surrogate.measure.environment import environment
from hwnas_surrogate.measure.runner_file import RUNNER, runner_source
from hwnas_surrogate.measure.runtimes import RUNTIMES, FileRuntime, Runtime
from hwnas_surrogate.measure.subjects import from_message
from hwnas_surrogate.runner.blocks import is_disk_full, reason_of

__all__ = ["BoardTimer", "check_runtime"]

_T = TypeVar("_T")
_CONVERTING = threading.Lock()
"""Exporters of networks share state, and so does Python 3.11's parser: boards that are measured at once take turns."""
_NO_CONNECTION = 255
"""The exit status of a call that the end of the connection ended."""

PATIENCE = 180.0
"""Seconds in which a board that was lost may come back: the time of a reboot."""
PAUSE = 3.0
"""Seconds between tries to reach it."""
SPARE = 1 << 24
"""Bytes of a board's disk to leave free."""
MUCH = 0.25
"""Share of the free space that was last seen: networks that need more than this are a reason to look again."""
FILL = 0.5
"""Share of its free memory that the model files of a block may take; in memory they are larger."""


class BoardTimer:
    """Times networks on a board with one runtime: a :class:`~hwnas_surrogate.runner.timing.Timer`.

    Parameters
    ----------
    board : Board
        The board.
    runtime : Runtime
        The runtime, one that executes files.
    timeout : float
        Maximum seconds to load a network, or to run it once.

    Raises
    ------
    InvalidInputError
        If the runtime runs on this host only.
    """

    def __init__(self, board: Board, runtime: Runtime, timeout: float) -> None:
        self.board, self.runtime, self.timeout = board, check_runtime(runtime), timeout
        self._runner: Runner | None = None
        self._anchor: dict[str, Any] = {}
        self._anchored_in = ""
        self._blocks = self._free = 0

    def device(self, name: str | None) -> Device:
        """Connect if necessary, and describe the board under the runtime as a device."""
        told = self._welcome()
        hardware = str(told["conditions"].get("processor", ""))
        described = f"{told['runtime']} {self.runtime.number_format}"
        name = self.runtime.device_name(self.board.name) if name is None else name
        return self.runtime.device_on(name, hardware, described, told["conditions"])

    def environment(self) -> dict[str, Any]:
        """Return the board's conditions, and what converted the networks here, as plain values."""
        return {"board": str(self.board), **self._welcome()["conditions"], "host": environment()}

    def close(self) -> None:
        """End the runner and close the connection."""
        self._end()
        self.board.close()

    def __enter__(self) -> BoardTimer:
        """Connect, push the runner and start it."""
        self._welcome()
        return self

    def __exit__(self, *_: object) -> None:
        """End the runner and close the connection."""
        self.close()

    def time(self, request: dict[str, Any], deadline: float = float("inf")) -> Iterator[dict[str, Any]]:
        """Convert and push a block; yield its events.

        Beside those of :class:`~hwnas_surrogate.runner.watching.MeasuringProcess`, there are ``{"event": "split"}`` if
        the block does not fit the board, and ``{"event": "lost", "why": ...}`` if the connection was lost; the next
        block goes over a new one.

        Raises
        ------
        MeasurementError
            If the board, or the folder for temporary files here, has no space left, or the board does not come back.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="hwnas-") as folder:
                yield from self._block(self._started(), request, deadline, Path(folder))
        except Lost as error:
            self._end()
            is_back = self._reconnect(str(error), deadline)
            yield {"event": "lost", "why": str(error)} if is_back else {"event": "late"}
        except OSError as error:
            raise MeasurementError(
                f"can't prepare networks for board {self.board} in {tempfile.gettempdir()}: {error.strerror or error}. "
                "What was measured is kept: run the same command again to go on."
            ) from error

    def _block(
        self, runner: Runner, request: dict[str, Any], deadline: float, folder: Path
    ) -> Iterator[dict[str, Any]]:
        try:
            described = {0: self._anchored(request["items"][0], folder / "anchor")}
        except (HWNASError, ImportError) as error:
            yield {"event": "refused", "why": reason_of(error)}
            return
        self._blocks += 1
        name = f"block-{self._blocks}"
        for number, found in self._converted(request["items"][1:], folder / name, name):
            if time.monotonic() >= deadline:
                yield {"event": "late"}
                return
            if "event" in found:
                yield found
            else:
                described[number] = found
        networks = sorted((folder / name).iterdir()) if len(described) > 1 else []
        if len(networks) > 1 and not self._fits(runner, networks):
            yield {"event": "split"}
            return
        pushed = f"{self._work_folder()}/{name}"
        if networks:
            self._call(lambda: self.board.push(networks, pushed))
        last = None
        for event in runner.ask({**request, "items": list(described.values()), **_seconds_until(deadline)}):
            if event["event"] in ENDS:
                last = event
            else:
                yield _renumbered(event, list(described))
        if networks:
            self._call(lambda: self.board.remove(pushed))
        if not runner.is_there:
            self._end()
        if last is not None:  # after the removal: who gets it may ask for the next block at once
            yield last

    def _converted(
        self, items: Sequence[Mapping[str, Any]], folder: Path, name: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Convert the networks of a block; yield each one's number with its description, or with why there is none."""
        for number, message in enumerate(items, start=1):
            try:
                yield number, self._prepared(message, folder / str(number), f"{name}/{number}")
            except Exception as error:
                if is_disk_full(error):
                    raise  # a full disk here is no network's failure
                shutil.rmtree(folder / str(number))
                yield number, {"event": "failed", "number": number, "why": reason_of(error)}

    def _prepared(self, message: Mapping[str, Any], folder: Path, place: str) -> dict[str, Any]:
        """Convert a network into a folder here, and describe it as it will be found on the board."""
        folder.mkdir(parents=True)
        with _CONVERTING:
            prepared = self.runtime.prepare(from_message(message).build(self.runtime.batch), folder)
        model, *_ = files = list(map(Path, prepared.files))
        for file in files:
            if model.parent != folder:  # an ONNX file of the user's, which is not copied here
                place_here = folder / file.relative_to(model.parent)
                place_here.parent.mkdir(parents=True, exist_ok=True)
                place_here.symlink_to(file.resolve())
        return {**prepared.save(folder), "folder": place}

    def _anchored(self, message: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Describe the anchor, which is pushed once over each connection."""
        if self._anchored_in != self._work_folder():
            self._anchor = self._prepared(message, folder, "anchor")
            self._call(lambda: self.board.push(sorted(folder.iterdir()), f"{self.board.folder}/anchor"))
            self._anchored_in = self._work_folder()
        return self._anchor

    def _work_folder(self) -> str:
        return self._call(lambda: self.board.folder)

    def _fits(self, runner: Runner, folders: Sequence[Path]) -> bool:
        """Return whether the networks in these folders fit the board's disk and memory."""
        size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
        if size + SPARE > MUCH * self._free:  # others may write to the disk; a look at it takes time
            self._work_folder()  # raises if the connection was lost; otherwise, the check would connect again
            self._free = self._call(self.board.check).free
            if self._work_folder() != runner.work_folder:
                raise Lost(f"lost the connection to board {self.board}")
        memory = runner.welcome["conditions"].get("memory_free_mb")
        return bool(size + SPARE <= self._free and (memory is None or size <= FILL * memory * 1e6))

    def _welcome(self) -> dict[str, Any]:
        """Return what the runner on the board said at its start."""
        try:
            return self._started().welcome
        except Lost as error:
            raise MeasurementError(f"{error}.") from error

    def _started(self) -> Runner:
        """Return the runner on the board; it is started if necessary."""
        if self._runner is None:
            self._free = self.board.check().free
            self._runner = self.start_runner()
        return self._runner

    def start_runner(self) -> Runner:
        """Push the runner to the board, which is connected, and start it."""
        folder = f"{self.board.folder}/runner-{secrets.token_hex(4)}"
        with tempfile.TemporaryDirectory(prefix="hwnas-") as local:
            source = Path(local, RUNNER)
            with _CONVERTING:
                source.write_text(runner_source(self.runtime.engine.suffix), encoding="utf-8")
            self._call(lambda: self.board.push([source], folder))
        runner = RemoteRunner(self.board, f"{folder}/{RUNNER}")
        try:
            runner.greet(
                {
                    "runtime": self.runtime.engine.name,
                    "threads": self.runtime.threads,
                    "options": self.runtime.engine_options(),
                    "folder": self.board.folder,
                    "timeout": self.timeout,
                    "cold": self.runtime.is_cold,
                }
            )
        except BaseException:
            runner.end()
            raise
        return runner

    def _call(self, function: Callable[[], _T]) -> _T:
        """Call something of the board; raise :class:`Lost` if its connection was lost."""
        try:
            return function()
        except MeasurementError as error:
            why = self.board.lost(_NO_CONNECTION)
            if why is None:
                raise
            raise Lost(why) from error

    def _end(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.end()

    def _reconnect(self, why: str, deadline: float) -> bool:
        """Wait until the board is there again; return whether it is before the deadline."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                self._welcome()
            except MeasurementError as error:
                if self.board.is_retired or time.monotonic() + PAUSE > end:
                    raise MeasurementError(
                        f"{why}. It did not come back within {PATIENCE:g} s: {error} What was measured is kept: run "
                        "the same command again to go on."
                    ) from error
                time.sleep(PAUSE)
            else:
                return True
        return False


def check_runtime(runtime: Runtime) -> FileRuntime:
    """Return a runtime that boards can use.

    Raises
    ------
    InvalidInputError
        If it is none: it does not execute files.
    """
    if not isinstance(runtime, FileRuntime):
        able = ", ".join(name for name, kind in RUNTIMES.items() if issubclass(kind, FileRuntime))
        raise InvalidInputError(
            f"runtime {runtime.name} runs networks of this host only; runtimes that boards can use: {able}."
        )
    return runtime


def _seconds_until(deadline: float) -> dict[str, float]:
    """Return how long the board may run a block; nothing if it has no limit."""
    return {} if deadline == float("inf") else {"seconds": max(deadline - time.monotonic(), 0.0)}


def _renumbered(event: dict[str, Any], numbers: Sequence[int]) -> dict[str, Any]:
    """Return an event with the numbers that its networks have in the request."""
    if "number" in event:
        return {**event, "number": numbers[event["number"]]}
    if "ns" in event:
        return {**event, "ns": {str(numbers[int(number)]): ns for number, ns in event["ns"].items()}}
    return event
