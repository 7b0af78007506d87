"""ONNX Runtime: what onnxruntime_perf_test prints, its result file, and profiles of sessions."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import Any

from hwnas_surrogate.data.tool_files.result import (
    Operator,
    ToolResult,
    WrongContent,
    above_zero,
    not_below_zero,
    sections,
)

__all__ = ["LOG", "RUNS", "is_profile", "read_log", "read_profile", "read_runs"]

LOG = re.compile(r"(Session creation|Average inference) time cost: ?[0-9]")
RUNS = re.compile(r"\A[^\n]*,[0-9.e+-]+,[0-9]+,-?[0-9]+,[0-9]+\r?\n")
_CALLED = "onnxruntime_perf_test"
_TOOL: dict[str, Any] = {"tool": _CALLED, "runtime": "ONNX Runtime"}
_MODELS = (".onnx", ".ort")
_AVERAGE = re.compile(r"Average (?:inference )?time cost(?: total)?: ?([0-9.e+-]+) ms")
_MEDIAN = re.compile(r"P50 Latency(?: is|:) ?([0-9.e+-]+) ?s")
_TOTAL = re.compile(r"Total (?:inference )?time cost: ?([0-9.e+-]+)")
_ELAPSED = re.compile(r"Total inference run time: ?([0-9.e+-]+) s")
_RATE = re.compile(r"Number of inferences per second: ?([0-9.e+-]+)")
_THREADS = re.compile(r"Setting intra_op_num_threads to ([0-9]+)")
_PROVIDER = re.compile(r"\busing (\w+ExecutionProvider)")
_FAILED = re.compile(r"Run failed: ?(.*)")
_LONGEST_S = 1000.0
_AT_ONCE = 0.9
"""If the runs took longer together than this part of the whole time, they did not run at the same time."""
_TIMED = "_kernel_time"


def read_log(lines: Sequence[str], _: object) -> list[ToolResult]:
    """Read what the tool prints. It does not name the model; a command line of the shell does (``set -x``)."""
    return [_of_run(part) for part in sections(lines, _model_in)]


def _model_in(line: str) -> str:
    """Return the model in a command line; empty if a line is another."""
    return next((word for word in line.split() if word.endswith(_MODELS)), "") if _CALLED in line else ""


def _of_run(lines: list[str]) -> ToolResult:
    text = "\n".join(lines)
    threads, provider = _THREADS.search(text), _PROVIDER.search(text)
    conditions = {"threads": threads[1]} if threads else {}
    conditions |= {"provider": provider[1]} if provider else {}
    about: dict[str, Any] = {
        **_TOOL,
        "network": next(filter(None, map(_model_in, lines)), ""),
        "conditions": conditions,
    }
    if failed := _FAILED.search(text):
        return ToolResult(**about, failure=f"onnxruntime_perf_test: {failed[1]}")
    averages = _AVERAGE.findall(text)
    if not averages:
        raise WrongContent(
            "ends before the average time: was onnxruntime_perf_test ended before it was done? Run it again"
        )
    if len(averages) > 1:
        raise WrongContent(
            f"has {len(averages)} results, and does not say of which models: write what the tool prints to a file for "
            "each model"
        )
    total, elapsed, rate = _TOTAL.search(text), _ELAPSED.search(text), _RATE.search(text)
    if total and elapsed and rate:
        together = above_zero(total[1], "the total time")
        if above_zero(elapsed[1], "the run time") < _AT_ONCE * together:  # option -c
            return ToolResult(**about, throughput=above_zero(rate[1], "the number of inferences per second"))
    median = _MEDIAN.search(text)
    return ToolResult(
        **about,
        median_ms=above_zero(median[1], "the P50 latency") * 1000 if median else None,
        mean_ms=above_zero(averages[0], "the average time"),
    )


def read_runs(lines: Sequence[str], _: object) -> list[ToolResult]:
    """Read the result file: a line ``model,seconds,memory,CPU usage,number`` for each run. The tool appends to it."""
    results: list[tuple[str, list[float]]] = []
    for line in lines:
        fields = line.strip().rsplit(",", 4)
        if len(fields) < 5:
            continue  # statistics of the runs above
        name, seconds, _, _, number = fields
        if number == "0":
            results.append((name, []))
        if not results or results[-1][0] != name or number != str(len(results[-1][1])):
            raise WrongContent(
                f"has run {number[:20]} of {name[:60]!r} where another is expected: its lines are in disorder"
            )
        results[-1][1].append(above_zero(seconds, "the time of a run"))
        if results[-1][1][-1] > _LONGEST_S:
            raise WrongContent(
                f"has a run of {seconds} s: is it of a version that writes ns? Allowed: seconds, up to 1,000"
            )
    times = [(name, tuple(1000 * run for run in runs)) for name, runs in results]
    if len(times) == 1:  # the name is that of the model's folder
        return [ToolResult(**_TOOL, folder=times[0][0], runs_ms=times[0][1])]
    if len(dict(times)) < len(times):
        raise WrongContent(
            f"has the runs of {len(times)} calls of the tool, which appends to its result file, and does not say of "
            "which models: write a file for each model"
        )
    return [ToolResult(**_TOOL, network=name, runs_ms=runs) for name, runs in times]


def is_profile(value: object) -> bool:
    """Return whether JSON is the profile of a session."""
    return isinstance(value, list) and any(
        isinstance(event, dict) and event.get("cat") == "Session" for event in value[:1000]
    )


def read_profile(value: Any, _: object) -> list[ToolResult]:
    """Read the profile of a session (``SessionOptions.enable_profiling``): its runs and nodes; not the model."""
    events = [event for event in value if isinstance(event, dict)]
    runs = tuple(_ms(event) for event in events if event.get("name") == "model_run")
    if not runs:
        raise WrongContent("has no event model_run: the session did not run, or the profile was not ended")
    kernels = [event for event in events if event.get("cat") == "Kernel"]  # of a GPU
    nodes = [event for event in events if event.get("cat") == "Node" and str(event.get("name", "")).endswith(_TIMED)]
    times: dict[tuple[str, str], list[float]] = {}
    for event in kernels or nodes:
        kind = str(_args(event).get("op_name", ""))
        times.setdefault((str(event["name"]).removesuffix(_TIMED), kind), []).append(_ms(event, zero=True))
    providers = sorted({str(_args(event).get("provider", "")) for event in nodes} - {""})
    return [
        ToolResult(
            tool="profile of a session", runtime="ONNX Runtime", runs_ms=runs, profiled=True,
            operators=tuple(
                Operator(name, kind, statistics.median(some) * len(some) / len(runs))
                for (name, kind), some in times.items()
            ),
            conditions={"provider": ", ".join(providers)} if providers else {},
        )
    ]  # fmt: skip


def _args(event: dict[str, Any]) -> dict[str, Any]:
    args = event.get("args")
    return args if isinstance(args, dict) else {}


def _ms(event: dict[str, Any], *, zero: bool = False) -> float:
    check = not_below_zero if zero else above_zero
    return check(event.get("dur"), f"dur of {str(event.get('name', ''))[:60]!r}") / 1000
