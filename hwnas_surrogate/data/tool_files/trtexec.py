"""TensorRT's trtexec: its log, and the JSON files of ``--exportTimes`` and ``--exportProfile``.

The latency is trtexec's "Latency": copying the inputs to the GPU, computing, and copying the outputs back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hwnas_surrogate.data.tool_files.result import (
    Operator,
    ToolResult,
    WrongContent,
    above_zero,
    first_fields,
    not_below_zero,
    sections,
    whole,
)

__all__ = ["LOG", "are_layer_times", "are_run_times", "read_layer_times", "read_log", "read_run_times"]

LOG = re.compile(r"&&&& (RUNNING|PASSED|FAILED) TensorRT\.trtexec|=== Performance summary ===")
_TOOL: dict[str, Any] = {"tool": "trtexec", "runtime": "TensorRT"}
_PREFIX = re.compile(r"(\[[^\]]*\]\s*)*")
"""The time and the severity before a message."""
_END = re.compile(r"&&&& (PASSED|FAILED) TensorRT\.trtexec")
_VERSION = re.compile(r"\[TensorRT v([0-9]{4,7})\]")
_MODEL = re.compile(r"--(?:onnx|loadEngine)=(\S+)")
_BINDING = re.compile(r"[Ii]nput binding for .* with dimensions ([0-9x]+)")
_MEDIAN = re.compile(r"Latency: min = .*median = ([0-9.e+-]+) ms")
_FIELDS = (
    "Model", "Load engine", "Precision", "Batch", "Streams", "Inference Streams", "CUDA Graph", "Data transfers",
    "DLACore", "Selected Device", "TensorRT version", "Throughput",
)  # fmt: skip
_STATED = {
    "precision": "Precision",
    "CUDA graph": "CUDA Graph",
    "data transfers": "Data transfers",
    "DLA core": "DLACore",
}
_DECIMAL = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_LONGEST_ROW = 2000
_IMAGE = 4
"""Dimensions of images with their batch."""
_WARM_UP_MS = 200.0
"""The length of the warm-up unless ``--warmUp`` changes it."""


def read_log(lines: Sequence[str], _: object) -> list[ToolResult]:
    """Read a log of one or several runs of the tool."""
    return [_of_run(part) for part in sections(lines, re.compile("&&&& RUNNING TensorRT").search)]


def _of_run(lines: list[str]) -> ToolResult:
    plain = [_PREFIX.sub("", line, count=1).strip() for line in lines]
    said = first_fields(plain, _FIELDS)
    command = next((line for line in lines if "TensorRT.trtexec" in line), "")
    model = _MODEL.search(command)
    about: dict[str, Any] = {
        **_TOOL,
        "network": said.get("Model") or said.get("Load engine") or (model[1] if model else ""),
        "version": said.get("TensorRT version") or _version(command),
        "hardware": said.get("Selected Device", ""),
        "batch": _batch(said, plain),
        "conditions": _conditions(said),
    }
    ends = [found[1] for line in lines if (found := _END.search(line))]
    if "FAILED" in ends:
        reason = next((text for line, text in zip(lines, plain, strict=True) if "[E]" in line and text), "failed")
        return ToolResult(**about, failure=f"trtexec: {reason}")
    operators = _layer_table(plain)
    latency = next((found[1] for line in plain if (found := _MEDIAN.match(line))), None)
    if latency is None and not ends:
        raise WrongContent("ends before its performance summary: was trtexec ended before it was done? Run it again")
    if latency is None and not operators:
        raise WrongContent(
            "has no latency, which versions before 8 write otherwise, and builds without inference (--buildOnly, "
            "--skipInference) not at all: run trtexec 8 or later, with inference"
        )
    return ToolResult(**about, operators=operators, **_cost(said, latency, about["batch"]))


def _cost(said: dict[str, str], median: str | None, batch: int | None) -> dict[str, Any]:
    if median is None:
        return {}
    if _streams(said) == "1":
        return {"median_ms": above_zero(median, "the median latency")}
    found = re.match(r"([0-9.e+-]+) qps", said.get("Throughput", ""))
    queries = above_zero(found and found[1], "the throughput")
    return {"throughput": queries if _is_implicit(said) else queries * (batch or 1)}


def _streams(said: dict[str, str]) -> str:
    return said.get("Inference Streams") or said.get("Streams") or "1"


def _conditions(said: dict[str, str]) -> dict[str, str]:
    conditions = {name: said[field] for name, field in _STATED.items() if field in said}
    if "Load engine" in said:  # its precision was chosen when it was built, which the log does not know
        conditions.pop("precision", None)
    return conditions | {"streams": _streams(said)}


def _batch(said: dict[str, str], plain: list[str]) -> int | None:
    """Return the first dimension of the first input, or the implicit batch of an engine that has one."""
    if _is_implicit(said):
        return whole(said["Batch"])
    shape = next((found[1] for line in plain if (found := _BINDING.search(line))), "")
    return whole(shape) if said.get("Batch") == "Explicit" or shape.count("x") >= _IMAGE - 1 else None


def _is_implicit(said: dict[str, str]) -> bool:
    """Return whether the engine has a batch beside its shapes; for others, some versions write a batch of 1."""
    return said.get("Batch", "1") not in ("Explicit", "1", "explicit batch")


def _version(command: str) -> str:
    """Read v8601 as 8.6.1 and v100300 as 10.3.0."""
    found = _VERSION.search(command)
    if found is None:
        return ""
    number, base = int(found[1]), 1000 if int(found[1]) < 10000 else 10000
    return f"{number // base}.{number % base // 100}.{number % 100}"


def _layer_table(plain: list[str]) -> tuple[Operator, ...]:
    """Return the layers of the table that ``--dumpProfile`` prints; the name stands first or last in it."""
    begin = next((number for number, line in enumerate(plain) if line.startswith("=== Profile (")), None)
    if begin is None or begin + 1 == len(plain):
        return ()
    header = plain[begin + 1]
    more = rf"(?:\s+{_DECIMAL}){{{2 if 'Median' in header else 1}}}"
    times = rf"{_DECIMAL}\s+(?P<average>{_DECIMAL}){more}"
    row = re.compile(rf"(?P<name>\S.*?)\s+{times}$" if header.startswith("Layer") else rf"{times}\s+(?P<name>\S.*)$")
    operators = []
    for line in plain[begin + 2 :]:
        found = row.match(line[:_LONGEST_ROW])
        if found is None or found["name"] == "Total":
            break
        operators.append(Operator(found["name"], "", not_below_zero(found["average"], "a layer's time")))
    return tuple(operators)


def are_run_times(value: object) -> bool:
    """Return whether JSON is what ``--exportTimes`` writes."""
    return _are_objects(value) and "latencyMs" in value[-1] and "computeMs" in value[-1]  # type: ignore[index]


def read_run_times(value: Any, _: object) -> list[ToolResult]:
    """Read what ``--exportTimes`` writes: a JSON array with an object for each run."""
    runs = value
    if "endToEndMs" in value[0]:  # of versions that write the warm-up runs too
        begins = [not_below_zero(run.get("startComputeMs"), "startComputeMs") for run in value]
        runs = [run for run, begin in zip(value, begins, strict=True) if begin >= _WARM_UP_MS] or value
    times = tuple(above_zero(run.get("latencyMs"), f"latencyMs of run {number}") for number, run in enumerate(runs))
    return [ToolResult(**_TOOL, runs_ms=times)]


def are_layer_times(value: object) -> bool:
    """Return whether JSON is what ``--exportProfile`` writes."""
    return _are_objects(value) and "count" in value[0] and "averageMs" in value[-1]  # type: ignore[index]


def read_layer_times(value: Any, _: object) -> list[ToolResult]:
    """Read what ``--exportProfile`` writes: a JSON array with the number of runs, and an object for each layer."""
    layers = [
        Operator(str(layer.get("name", "")), "", not_below_zero(layer.get("averageMs"), "averageMs of a layer"))
        for layer in value[1:]
    ]
    return [ToolResult(**_TOOL, operators=tuple(layers))]


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
