"""Stand-ins for the boards of a fleet: they run nothing, but say what boards say, as slow as the test wants."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from hwnas_surrogate.data import Device
from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards import Facts

NOISE = 0.005
"""Standard deviation of the log of a run's time."""


def true_ms(arch: str) -> float:
    """Return the time of a network on a board of scale 1."""
    return 1.0 + zlib.crc32(arch.encode()) % 1000 / 100


@dataclass(eq=False)
class StandIn:
    """A board, and what times networks on it.

    ``scale`` is how slow it is, ``seconds`` how long a block takes. ``deed`` is called with the number of the block
    (the check of the anchor is 0) after its first round.
    """

    name: str
    scale: float = 1.0
    seconds: float = 0.0
    hardware: str = "a board"
    host: str = ""
    others: int = 0
    deed: Callable[[int], object] = lambda block: None
    failing: str = ""
    runtime: Any = field(default_factory=lambda: SimpleNamespace(threads=1))
    disturbance: dict[str, float] = field(default_factory=dict)
    blocks: list[list[str]] = field(default_factory=list)
    retired: threading.Event = field(default_factory=threading.Event)
    away: str = ""
    renamed_by: ClassVar[str] = "ssh://HOST?name=NAME"

    @property
    def board(self) -> StandIn:
        return self

    def __str__(self) -> str:
        return f"ssh://{self.name}"

    def check(self) -> Facts:
        return Facts("aarch64", "Linux", 1 << 30, host=self.host or self.name, others=self.others)

    def device(self, name: str) -> Device:
        if self.away:
            raise MeasurementError(self.away)
        return Device(name, self.hardware, "a runtime", 1)

    def environment(self) -> dict[str, Any]:
        return {"board": str(self), "cores": 4}

    def close(self) -> None:
        pass

    def retire(self) -> None:
        self.retired.set()

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def time(self, request: dict[str, Any], deadline: float) -> Iterator[dict[str, Any]]:
        archs = [item["arch"] for item in request["items"]]
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), len(self.blocks)])
        self.blocks.append(archs[1:])
        if time.monotonic() >= deadline:
            yield {"event": "late"}
            return
        if self.failing in archs[1:]:
            yield {"event": "failed", "number": archs.index(self.failing, 1), "why": "no kernel"}
        for turn in range(request["stop"]["least"] if archs[1:] else 0):
            factors = self.scale * np.exp(NOISE * rng.standard_normal(len(archs)))
            ns = {str(n): round(true_ms(arch) * factors[n] * 1e6) for n, arch in enumerate(archs)}
            yield {"event": "round", "ns": {n: of for n, of in ns.items() if n == "0" or archs[int(n)] != self.failing}}
            if not turn:
                time.sleep(self.seconds)
                self.deed(len(self.blocks) - 1)
        yield {"event": "end", "seconds": {"load": 0.0, "run": 0.0}, "disturbance": self.disturbance}
