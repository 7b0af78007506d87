"""The worker process that loads and times networks; if it crashes, the measurement continues.

It reads and writes lines of JSON: one request for each block of networks on standard input, events on standard output.
:class:`Worker` is the client.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any, TypeAlias

import numpy as np
import torch
from torch import nn

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.energy import EnergyMeter
from hwnas_surrogate.measure.runtime import Run, Runtime
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.spaces import get_space, register_space, space_names

__all__ = ["Key", "Subject", "Worker", "relative_half_width"]

Key: TypeAlias = tuple[str, str, str]

WARM = 1.05
"""Warm-up ends when the next round is not faster by more than this factor."""
MOST_WARMUP = 5
"""Maximum number of warm-up rounds to drop."""
ENERGY_WINDOW = 0.5
"""Seconds for which a network runs while its energy is counted."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The network, or part of a network, to measure.

    Parameters
    ----------
    space : str
        The search space's name.
    arch : str
        The architecture.
    config : str
        The network config.
    part : str, default=""
        The name of a submodule to measure individually; the whole network if empty.
    """

    space: str
    arch: str
    config: str
    part: str = ""

    @property
    def key(self) -> Key:
        """The key that identifies it within its space."""
        return self.arch, self.config, self.part

    def build(self) -> tuple[nn.Module, tuple[int, ...]]:
        """Build it; also return its input's shape, without the batch."""
        config = get_space(self.space).config(self.config)
        network = build_network(self.arch, config, self.space, random_state=0)
        shape: tuple[int, ...] = config.input_shape
        if not self.part:
            return network, shape
        part = network.get_submodule(self.part)
        seen: list[tuple[int, ...]] = []
        hook = part.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[1:])))
        with torch.inference_mode():
            network(torch.zeros(1, *shape))
        hook.remove()
        return part, seen[0]


def relative_half_width(ns: Sequence[float]) -> float:
    """Return the half-width of the median's 95 % interval, relative to the median.

    1.57 interquartile ranges over the root of n, as McGill, Tukey and Larsen give it ("Variations of Box Plots", The
    American Statistician 32(1), 1978).
    """
    lower, median, upper = np.percentile(ns, [25, 50, 75])
    return float(1.57 * (upper - lower) / np.sqrt(len(ns)) / median)


class Worker:
    """A process that times networks with one runtime.

    Parameters
    ----------
    runtime : Runtime
        The runtime that runs the networks.

    Raises
    ------
    MeasurementError
        If the process can't load the runtime.
    """

    def __init__(self, runtime: Runtime) -> None:
        kind = type(runtime)
        spaces = [type(get_space(name)) for name in space_names()]
        self._hello = {
            "module": kind.__module__,
            "runtime": kind.__qualname__,
            "options": asdict(runtime),
            "spaces": [[space.__module__, space.__qualname__] for space in spaces],
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def __enter__(self) -> Worker:
        """Start the process."""
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it is doing."""
        self._stop()

    def time(self, request: dict[str, Any], deadline: float | None = None) -> Iterator[dict[str, Any]]:
        """Send a block; yield its events, until ``{"event": "end"}``.

        If the process dies, the last event is ``{"event": "died", "why": ...}``, and a new process runs the next block.
        If the deadline (of ``time.monotonic``) passes, the process is ended and the last event is ``{"event":
        "late"}``.
        """
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            yield {"event": "died", "why": self._death()}
            return
        while True:
            line = self._line(deadline)
            if line is None:
                self._stop()
                yield {"event": "late"}
                return
            if not line.endswith(b"\n"):
                yield {"event": "died", "why": self._death()}
                return
            event = json.loads(line)
            yield event
            if event["event"] == "end":
                return

    def _start(self) -> None:
        paths = [path for path in sys.path if path] + [os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _stop
        # A separate session: the interrupt key reaches only the measurement, which then ends this process.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
            bufsize=0,  # or lines could wait in a buffer that a selector does not see
        )
        for event in self.time(self._hello):
            if event["event"] in ("died", "refused"):
                self._stop()
                raise MeasurementError(f"the measuring process could not load the runtime: {event['why']}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def _line(self, deadline: float | None) -> bytes | None:
        """Return the next line, b"" if the process has ended, or None if the deadline has passed."""
        assert self._process is not None
        assert self._process.stdout is not None
        if deadline is not None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._process.stdout, selectors.EVENT_READ)
                # Lines are short and written at once: if a byte has arrived, the line has.
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    return None
        return self._process.stdout.readline()

    def _death(self) -> str:
        """Return why the process died."""
        assert self._process is not None
        assert self._errors is not None
        code = self._process.wait()
        self._errors.seek(0)
        stderr = self._errors.read().decode(errors="replace").strip().splitlines()
        self._stop()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return f"the measuring process ended with {how}{': ' + stderr[-1][:200] if stderr else ''}"


@dataclass(eq=False)
class _Block:
    """Networks in memory whose runs alternate; number 0 is the anchor."""

    runs: dict[int, Run]
    least: int
    most: int
    half_width: float
    rng: np.random.Generator
    ns: dict[int, list[int]] = field(default_factory=dict)

    def rounds(self) -> Iterator[dict[int, int]]:
        """Yield the times of each round, from the first warm one on."""
        before: dict[int, int] | None = None
        dropped = 0
        while True:
            now = self._round()
            if before is not None:
                shared = now.keys() & before.keys()
                warm = sum(before[n] for n in shared) <= WARM * sum(now[n] for n in shared)
                if warm or dropped == MOST_WARMUP:
                    yield from (before, now)
                    break
                dropped += 1
            before = now
        while self._unfinished():
            yield self._round()

    def keep(self, times: dict[int, int]) -> None:
        """Record a round's times."""
        for number, ns in times.items():
            self.ns.setdefault(number, []).append(ns)

    def _unfinished(self) -> bool:
        """Drop the networks that have enough runs; return whether any is left besides the anchor."""
        for number in [number for number in self.runs if number]:
            ns = self.ns.get(number, [])
            if len(ns) >= self.most or (len(ns) >= self.least and relative_half_width(ns) <= self.half_width):
                del self.runs[number]
        return len(self.runs) > 1

    def _round(self) -> dict[int, int]:
        times = {}
        clock = time.perf_counter_ns
        numbers = list(self.runs)
        for place in self.rng.permutation(len(numbers)).tolist():
            run = self.runs[numbers[place]]
            start = clock()
            run()
            times[numbers[place]] = clock() - start
        return times


class _Server:
    """The worker's side: reads requests, writes events."""

    def __init__(self, source: IO[str], sink: IO[str]) -> None:
        self.source, self.sink = source, sink
        self.anchor: dict[str, Run] = {}

    def serve(self) -> None:
        """Serve requests until the client is gone."""
        hello = json.loads(self.source.readline())
        try:
            for module, name in hello["spaces"]:
                # A space that can't be imported here, such as one of a script, raises later when it is measured.
                with contextlib.suppress(ImportError, AttributeError):
                    register_space(_imported(module, name))
            self.runtime: Runtime = _imported(hello["module"], hello["runtime"])(**hello["options"])
            self.runtime.describe()
        except Exception as error:  # noqa: BLE001 - sent to the client, which raises it
            self.say("refused", why=_why(error))
            return
        self.say("end", seconds={})
        with self.runtime.active():
            for line in self.source:
                self._block(json.loads(line))

    def say(self, event: str, **fields: Any) -> None:
        self.sink.write(json.dumps({"event": event, **fields}) + "\n")
        self.sink.flush()

    def _block(self, request: dict[str, Any]) -> None:
        runs = {}
        begin = time.perf_counter()
        for number, subject in enumerate(request["subjects"]):
            try:
                runs[number] = self._load(Subject(**subject), is_anchor=number == 0)
            except Exception as error:  # noqa: BLE001 - recorded as the reason why there is no cost
                if number == 0:
                    self.say("refused", why=_why(error))
                    return
                self.say("failed", number=number, why=_why(error))
        every = dict(runs)
        gc.collect()
        gc.disable()
        loaded = time.perf_counter()
        block = _Block(runs, rng=np.random.default_rng(request["seed"]), **request["stop"])
        if len(runs) > 1:
            for times in block.rounds():
                block.keep(times)
                self.say("round", ns=times)
        ran = time.perf_counter()
        if request["energy"]:
            self._energy(self.runtime.meter(), every)
        gc.enable()
        self.say("end", seconds={"load": loaded - begin, "run": ran - loaded})

    def _load(self, subject: Subject, is_anchor: bool) -> Run:
        """Load a network and run it once; the anchor is kept for the next block."""
        key = json.dumps(asdict(subject))
        if key in self.anchor:
            return self.anchor[key]
        run = self.runtime.load(*subject.build())
        run()
        if is_anchor:
            self.anchor = {key: run}
        return run

    def _energy(self, meter: EnergyMeter, runs: dict[int, Run]) -> None:
        for number, run in runs.items():
            count = 0
            start, begin = meter.millijoules(), time.monotonic()
            while time.monotonic() - begin < ENERGY_WINDOW:
                run()
                count += 1
            self.say("energy", number=number, mj=(meter.millijoules() - start) / count)


def _imported(module: str, qualified: str) -> Any:
    """Return a class by its module and its name in there."""
    found: Any = importlib.import_module(module)
    for name in qualified.split("."):
        found = getattr(found, name)
    return found


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def _main() -> None:
    # Libraries that print must not break the lines that the client reads.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        _Server(sys.stdin, sink).serve()


if __name__ == "__main__":
    _main()
