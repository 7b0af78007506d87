"""Timing networks on a phone with a benchmark tool. Tested with stand-ins for adb and the tools only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from hwnas_surrogate.data import Device
from hwnas_surrogate.data.tool_files import ToolResult, litert, onnxruntime
from hwnas_surrogate.data.tool_files.result import WrongContent
from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure.boards.adb import AdbBoard
from hwnas_surrogate.measure.boards.failures import last_line
from hwnas_surrogate.measure.boards.phone import phone_conditions, printed
from hwnas_surrogate.measure.boards.remote_runner import Lost, Runner
from hwnas_surrogate.measure.boards.timer import BoardTimer
from hwnas_surrogate.measure.runtimes import FileRuntime, Runtime
from hwnas_surrogate.runner.rounds import Rounds, Run

__all__ = ["ToolTimer"]

RUNS = 10
"""Runs whose median is a reading."""


class _Tool(NamedTuple):
    """A benchmark tool: how it is called, and what it prints."""

    name: str
    runtime: str
    arguments: str
    read: Callable[[Sequence[str], object], list[ToolResult]]
    conditions: dict[str, str]
    """How the values of conditions must begin, where it states them."""
    refusal: str | None
    """How it states that it ran the network otherwise."""


TOOLS = {
    "litert": _Tool(
        "benchmark_model",
        "LiteRT XNNPACK",
        # A process of its own for each reading: its first runs raise the clock, and are not timed.
        "--num_threads={threads} --use_xnnpack=true --num_runs={runs} --min_secs=0 --warmup_runs=1 "
        "--warmup_min_secs=0.2 --graph={model}",
        litert.read_log,
        {"delegate": "XNNPACK"},
        "the model graph will not be executed by the delegate",
    ),
    "onnxruntime": _Tool(
        "onnxruntime_perf_test",
        "ONNX Runtime CPUExecutionProvider",
        # -I: it makes the inputs, from the seed -S: they are zeros otherwise. -s: it prints the median.
        "-I -S 1 -e cpu -x {threads} -m times -r {runs} -s {model}",
        onnxruntime.read_log,
        {"provider": "CPUExecutionProvider"},
        None,
    ),
}
"""The tools by the name of the engine whose files they run."""


class ToolTimer(BoardTimer):
    """Times networks on a phone with a benchmark tool that lies there: its runtime's, not ours. Untested on hardware.

    A reading is the median of :data:`RUNS` runs in one call of the tool, or their mean where it states no median.
    Readings take the place of runs in the protocol: they are made in shuffled rounds over the networks of a block and
    the anchor. The tool makes its own inputs and does not return the outputs, so that these can't be compared with
    PyTorch's.

    Parameters
    ----------
    board : AdbBoard
        The phone, whose address names the tool.
    runtime : Runtime
        The runtime: LiteRT or ONNX Runtime, float32 or int8.
    timeout : float
        Maximum seconds to load a network and run it once.

    Raises
    ------
    InvalidInputError
        If there is no such tool for the runtime, the address does not name it, or starts are to be cold.
    """

    def __init__(self, board: AdbBoard, runtime: Runtime, timeout: float) -> None:
        super().__init__(board, runtime, timeout)
        self._phone, self._tool = board, _tool_of(board, self.runtime)

    def device(self, name: str | None) -> Device:
        """Connect if necessary, and describe the phone under the runtime as a device."""
        device = super().device(name)
        told = f"{device.conditions}, each time from {RUNS} runs of {self._tool.name}, outputs not checked"
        return replace(device, conditions=told)

    def start_runner(self) -> Runner:
        """Return what calls the tool; nothing of this package runs on the phone."""
        return _ToolRunner(self._phone, self._tool, self.runtime.threads, self.timeout)


def _tool_of(board: AdbBoard, runtime: FileRuntime) -> _Tool:
    """Return the tool that runs a runtime's files as the runtime does; raise if there is none."""
    tool = TOOLS.get(runtime.engine.name)
    if tool is None or runtime.engine_options():
        raise InvalidInputError(
            f"there is no tool on phones for runtime {runtime.name}; allowed: {', '.join(TOOLS)} (and their int8)."
        )
    if tool.name not in board.tools:
        raise InvalidInputError(
            f"runtime {runtime.name} needs {tool.name} on board {board}: give its path on the phone with ?{tool.name}=."
        )
    if runtime.is_cold:
        raise InvalidInputError(
            f"{tool.name} opens a network before it times its runs: cold starts can't be measured on board {board}."
        )
    return tool


class _Late(Exception):
    """The deadline has passed."""


class _ToolRunner:
    """Calls a tool for each reading: a :class:`~hwnas_surrogate.measure.boards.timer.Runner`."""

    is_there = True

    def __init__(self, board: AdbBoard, tool: _Tool, threads: int, timeout: float) -> None:
        self._board, self._tool, self._threads, self._timeout = board, tool, threads, timeout
        self._path, self.work_folder = board.tools[tool.name], board.folder
        self._now = 0
        # The tools don't tell their versions.
        digest = printed(board, ["sha256sum", self._path])[:8]
        version = f"{tool.name} sha256 {digest}" if digest else tool.name
        self.welcome = {"runtime": f"{tool.runtime} ({version})", "conditions": phone_conditions(board)}

    def ask(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Time a block; yield its events.

        A network that fails at once has failed. If a call fails later, the block has ``died``, so that its networks are
        tried again, each alone: the phone may be to blame.
        """
        end = time.monotonic() + request.get("seconds", math.inf)
        try:
            yield from self._block(request, end)
        except _Late:
            yield {"event": "late"}

    def end(self) -> None:
        """Do nothing: the tool ends with each call."""

    def _block(self, request: dict[str, Any], end: float) -> Iterator[dict[str, Any]]:
        begin = time.perf_counter()
        runs: dict[int, Run] = {}
        for number, item in enumerate(request["items"]):
            model = f"{self.work_folder}/{item['folder']}/{item['files'][0]}"
            tried = time.monotonic()
            try:
                self._reading(model, 1, self._timeout, end)
            except MeasurementError as error:
                yield {"event": "failed" if number else "refused", "number": number, "why": str(error)}
                if not number:
                    return
            else:
                longest = self._timeout + RUNS * (time.monotonic() - tried)
                runs[number] = partial(self._run, model, longest, end)
        loaded = time.perf_counter()
        if len(runs) > 1:
            rng = np.random.default_rng(request["seed"])
            try:
                for times in Rounds(runs, lambda: None, rng, clock=lambda: self._now, **request["stop"]):
                    yield {"event": "round", "ns": times}
            except MeasurementError as error:
                yield {"event": "died", "why": str(error)}
                return
        yield {"event": "end", "seconds": {"load": loaded - begin, "run": time.perf_counter() - loaded}}

    def _run(self, model: str, longest: float, end: float) -> None:
        """Take a reading, by which the clock of the rounds advances."""
        self._now += round(self._reading(model, RUNS, longest, end) * 1e6)

    def _reading(self, model: str, runs: int, longest: float, end: float) -> float:
        """Call the tool, which may take some seconds; return what it states, in ms."""
        arguments = [
            part.format(threads=self._threads, runs=runs, model=model) for part in self._tool.arguments.split()
        ]
        begin = time.monotonic()
        if begin >= end:
            raise _Late
        try:
            # In the shell's place, the tool ends with the call.
            done = self._board.run(["exec", self._path, *arguments], min(longest, end - begin))
            return self._understood((done.stdout + done.stderr).decode(errors="replace"), done.returncode)
        except MeasurementError as error:
            if (why := self._board.lost(1)) is not None:
                raise Lost(why) from error
            now = time.monotonic()
            if now >= end:
                raise _Late from error
            if now >= begin + longest:
                raise MeasurementError(
                    f"{self._tool.name} took longer than {longest:.3g} s for {runs} run(s)"
                ) from error
            raise

    def _understood(self, text: str, code: int) -> float:
        name = self._tool.name
        try:
            result = self._tool.read(text.splitlines(), None)[0]
        except WrongContent as error:
            why = f"exit status {code}: {last_line(text)}" if code else str(error)
            raise MeasurementError(f"{name} failed: {why}") from error
        if result.failure:
            raise MeasurementError(result.failure)
        if code:
            raise MeasurementError(f"{name} failed: exit status {code}: {last_line(text)}")
        for what, wanted in {"threads": f"{self._threads}", **self._tool.conditions}.items():
            if not f"{result.conditions.get(what, wanted)} ".startswith(f"{wanted} "):
                raise MeasurementError(f"{name} ran it with {what} {result.conditions[what]}, not {wanted}")
        if self._tool.refusal is not None and self._tool.refusal in text:
            raise MeasurementError(f"{name} did not run it with {self._tool.runtime}")
        cost = result.cost
        if cost is None or cost.metric != "latency":
            raise MeasurementError(f"{name} states no latency")
        return cost.value
