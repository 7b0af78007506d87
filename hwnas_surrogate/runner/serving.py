"""Measuring prepared networks: the process that runs them, and the one beside it that answers another machine."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwnas_surrogate.errors import HWNASError, InvalidInputError, MeasurementError
from hwnas_surrogate.runner.blocks import BlockServer, measuring_pipes, reason_of
from hwnas_surrogate.runner.engine import Engine
from hwnas_surrogate.runner.engines import ENGINES
from hwnas_surrogate.runner.facts import read_facts
from hwnas_surrogate.runner.prepared import Prepared
from hwnas_surrogate.runner.rounds import Run
from hwnas_surrogate.runner.watching import MeasuringProcess

__all__ = [
    "answer_requests",
    "describe_engine",
    "find_engine",
    "measure_prepared",
    "prepared_loader",
    "prepared_process",
]


def prepared_process(program: str, hello: dict[str, Any]) -> MeasuringProcess:
    """Return the process that measures prepared networks.

    Parameters
    ----------
    program : str
        The file of this program.
    hello : dict
        ``runtime``, ``threads``, ``options`` (of the engine), ``folder`` (of the networks), ``timeout`` (seconds) and
        ``cold``: whether a run opens the network as well.
    """
    return MeasuringProcess([sys.executable, program, "work"], hello, hello["timeout"])


def measure_prepared() -> None:
    """Serve blocks of prepared networks; each item is a description, with the network's ``folder`` if it has one."""
    with measuring_pipes() as (source, sink, shared):
        server = BlockServer(sink, shared)
        try:
            hello = json.loads(source.readline())
            engine = find_engine(hello["runtime"], hello["threads"], hello["options"])
            told = {"runtime": engine.describe(), "facts": read_facts()}
        except HWNASError as error:
            server.say("refused", why=str(error), is_whole=True)
            return
        except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
            server.say("refused", why=reason_of(error))
            return
        server.say("end", seconds={}, **told)
        load = prepared_loader(engine, Path(hello["folder"]), hello["cold"])
        server.serve(
            source,
            load,
            _no_meter,
            engine.is_serial and not hello["cold"],
            lambda described, runs: engine.operators(_described(Path(hello["folder"]), described), runs),
        )


def prepared_loader(engine: Engine, folder: Path, cold: bool) -> Callable[[dict[str, Any]], Run]:
    """Return the function that opens a network and checks its outputs."""

    def load(described: dict[str, Any]) -> Run:
        return engine.load(_described(folder, described), cold)

    return load


def _described(folder: Path, described: dict[str, Any]) -> Prepared:
    return Prepared.read(folder / described.get("folder", ""), described)


def answer_requests() -> None:
    """Measure for another machine: requests are lines of standard input, events lines of standard output.

    The first request is the hello of :func:`prepared_process`. If the input ends, everything ends.
    """
    requests: queue.Queue[str] = queue.Queue()
    hello = json.loads(sys.stdin.readline())
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    try:
        with prepared_process(os.path.abspath(sys.argv[0]), hello) as process:
            _tell(process.welcome)
            while True:
                request = json.loads(requests.get())
                deadline = time.monotonic() + request.pop("seconds", float("inf"))
                for event in process.time(request, deadline):
                    _tell(event)
    except MeasurementError as error:
        _tell({"event": "refused", "why": str(error)})


def _read_requests(requests: queue.Queue[str]) -> None:
    """Pass on requests; at the end of the input end this process, with which the measuring one ends."""
    try:
        for line in sys.stdin:
            requests.put(line)
    finally:
        os._exit(0)


def _tell(event: dict[str, Any]) -> None:
    try:
        print(json.dumps(event), flush=True)
    except OSError:  # nobody listens any more; the process ends with this one
        os._exit(0)


def find_engine(name: str, threads: int, options: dict[str, str]) -> Engine:
    """Return an engine that is installed.

    Raises
    ------
    InvalidInputError
        If there is none of this name.
    MeasurementError
        If its library can't be imported.
    """
    if name not in ENGINES:
        raise InvalidInputError(f"unknown runtime {name!r}; there are: {', '.join(ENGINES)}.")
    try:
        engine = ENGINES[name](threads, **options)
        engine.describe()
    except ImportError as error:
        raise MeasurementError(
            f"{sys.executable} can't import {ENGINES[name].library} ({error}). Install it for this Python."
        ) from error
    return engine


def describe_engine(name: str, options: list[dict[str, str]]) -> list[tuple[bool, str]]:
    """Return whether an engine can be used with each of some options, and its version or the reason why not."""
    found = []
    for one in options:
        try:
            found.append((True, find_engine(name, 1, one).describe()))
        except HWNASError as error:
            found.append((False, str(error)))
        except Exception as error:  # noqa: BLE001 - of the runtime's library, which may be of any version
            found.append((False, reason_of(error)))
    return found


def _no_meter() -> Any:
    raise MeasurementError("energy is counted on the host only, not by this program.")
