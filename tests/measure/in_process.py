"""A worker without a process of its own: each start of one loads PyTorch anew."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas_surrogate.measure import Runtime, subjects
from hwnas_surrogate.measure.client import Worker
from hwnas_surrogate.measure.worker import Networks
from hwnas_surrogate.runner.blocks import CLOCK, BlockServer


class InProcess(Worker):
    """What :class:`hwnas_surrogate.measure.client.Worker` does, in this process."""

    def __init__(self, runtime: Runtime, timeout: float) -> None:
        super().__init__(runtime, timeout)
        subjects._found.cache_clear()  # a new process knows nothing of the one before
        shared = bytearray(CLOCK.size)
        self.server = BlockServer(io.StringIO(), shared)  # type: ignore[arg-type]
        self.runtime, self.active = runtime, runtime.active()
        self.networks = Networks(runtime, Path(self._folder.name))

    def __enter__(self) -> InProcess:
        self.active.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.active.__exit__(*error)

    def time(self, request: dict[str, Any], deadline: float = float("inf")) -> Iterator[dict[str, Any]]:
        self.server.sink = io.StringIO()
        self.server.serve(
            io.StringIO(json.dumps(request)),
            self.networks.load,
            self.runtime.meter,
            self.runtime.is_serial,
            self.networks.operators,
        )
        yield from map(json.loads, self.server.sink.getvalue().splitlines())
