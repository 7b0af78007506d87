"""Traces of PyTorch's profiler: Chrome's trace format, also gzipped.

A run is a step of the profiler, or a ``record_function`` block if the trace has blocks of one name only.
"""

from __future__ import annotations

import math
import re
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

from hwnas_surrogate.data.tool_files.result import Operator, ToolResult, WrongContent, above_zero, not_below_zero

__all__ = ["is_trace", "read_trace"]

_STEP = re.compile(r"ProfilerStep#[0-9]+")
_ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")
_HINT = (
    "mark the runs with torch.profiler.profile(schedule=...) and step() after each, or with record_function('run') "
    "around each"
)


class _Span(NamedTuple):
    name: str
    start: float
    end: float
    thread: str

    @property
    def ms(self) -> float:
        return (self.end - self.start) / 1000


def is_trace(value: object) -> bool:
    """Return whether JSON is a trace of PyTorch's profiler."""
    return isinstance(value, dict) and isinstance(value.get("traceEvents"), list) and "schemaVersion" in value


def read_trace(value: Any, _: object) -> list[ToolResult]:
    """Read a trace: its runs, and the operators that each run called, or its kernels on a GPU."""
    spans: dict[str, list[_Span]] = {}
    for event in value["traceEvents"]:
        if isinstance(event, dict) and event.get("ph") == "X" and isinstance(event.get("cat"), str):
            spans.setdefault(event["cat"], []).append(_span(event))
    runs = _runs(spans.get("user_annotation", []))
    kernels = [span for kind in _ON_GPU for span in spans.get(kind, [])]
    if kernels:
        _check_waited(runs, sorted(kernels, key=_when))
    threads = {run.thread for run in runs}
    called = kernels or _outermost([span for span in spans.get("cpu_op", []) if span.thread in threads])
    parts = _parts(runs, sorted(called, key=_when))
    devices = value.get("deviceProperties")
    gpu = devices[0].get("name", "") if isinstance(devices, list) and devices and isinstance(devices[0], dict) else ""
    return [
        ToolResult(
            tool="PyTorch profiler", runtime="PyTorch", runs_ms=tuple(run.ms for run in runs), profiled=True,
            operators=_medians(parts), hardware=str(gpu) if kernels else "",
            conditions={"device": "GPU" if kernels else "CPU"},
        )
    ]  # fmt: skip


def _span(event: dict[str, Any]) -> _Span:
    name = str(event.get("name", ""))
    start = not_below_zero(event.get("ts"), f"ts of {name[:60]!r}")
    return _Span(
        name, start, start + not_below_zero(event.get("dur", 0), f"dur of {name[:60]!r}"), str(event.get("tid"))
    )


def _runs(annotations: list[_Span]) -> list[_Span]:
    steps = [span for span in annotations if _STEP.fullmatch(span.name)]
    names = sorted({span.name for span in annotations})
    if not steps and len(names) != 1:
        marked = f"marks blocks of several names ({', '.join(names)[:200]})" if names else "does not mark the runs"
        raise WrongContent(f"{marked}: {_HINT}")
    runs = sorted(steps or annotations, key=lambda span: span.start)
    for run in runs:
        above_zero(run.ms, f"the time of {run.name[:60]!r}")
    return runs


def _when(span: _Span) -> tuple[float, float]:
    return span.start, -span.end


def _check_waited(runs: Sequence[_Span], kernels: Sequence[_Span]) -> None:
    """Raise if a run ended before its kernels did: its time is then not that of the network."""
    for run, part in zip(
        runs, _parts([_Span("", run.start, after, "") for run, after in _gaps(runs)], kernels), strict=True
    ):
        if any(kernel.end > run.end for kernel in part):
            raise WrongContent(
                f"has kernels that go on after the end of {run.name[:60]!r}: call torch.cuda.synchronize() at the end "
                "of each run"
            )


def _gaps(runs: Sequence[_Span]) -> list[tuple[_Span, float]]:
    """Return each run, and when the next begins."""
    return list(zip(runs, [*(run.start for run in runs[1:]), math.inf], strict=True))


def _outermost(spans: Sequence[_Span]) -> list[_Span]:
    """Return the spans of each thread that are not inside another one: operators call operators."""
    ends: dict[str, float] = {}
    found = []
    for span in sorted(spans, key=_when):
        if span.start >= ends.get(span.thread, 0.0):
            ends[span.thread] = span.end
            found.append(span)
    return found


def _parts(runs: Sequence[_Span], spans: Sequence[_Span]) -> list[Sequence[_Span]]:
    """Return the spans that begin in each run, in order."""
    starts = [span.start for span in spans]
    return [spans[bisect_left(starts, run.start) : bisect_left(starts, run.end)] for run in runs]


def _medians(parts: Sequence[Sequence[_Span]]) -> tuple[Operator, ...]:
    """Return the median time of each operator over the runs: of each call if all runs are alike, else of each name."""
    names = [[span.name for span in part] for part in parts]
    if all(some == names[0] for some in names):
        rows = zip(*parts, strict=True)
        return tuple(
            Operator(f"{row[0].name}:{place}", row[0].name, statistics.median(span.ms for span in row))
            for place, row in enumerate(rows)
        )
    totals = [dict.fromkeys(some, 0.0) for some in names]
    for total, part in zip(totals, parts, strict=True):
        for span in part:
            total[span.name] += span.ms
    every = dict.fromkeys(name for some in names for name in some)
    return tuple(Operator(name, name, statistics.median(total.get(name, 0.0) for total in totals)) for name in every)
