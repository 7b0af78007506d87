"""LiteRT's benchmark_model (its log, and its CSV of operators), and litert-benchmark's JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hwnas_surrogate.data.tool_files.result import (
    Operator,
    ToolResult,
    WrongContent,
    above_zero,
    fine_enough,
    not_below_zero,
    sections,
)

__all__ = ["LOG", "OPERATORS", "is_benchmark", "read_benchmark", "read_log", "read_operators"]

LOG = re.compile(r"\bSTARTING!\s*$|nference timings in us: ", re.MULTILINE)
OPERATORS = re.compile(r"={10,} Run Order ={10,}\s*\n\s*node type, ")
_TOOL: dict[str, Any] = {"tool": "benchmark_model", "runtime": "LiteRT"}
_MODEL = re.compile(r"\b(?:Graph: \[([^\]]+)\]|Loaded model (\S.*\S))")
_AVERAGE = re.compile(r"nference timings in us: .*\bInference(?: \(avg\))?: ([0-9.e+]+)")
_RUNS = re.compile(r"\bcount=([0-9]+) (?:first=|curr=)")
_MEDIAN = re.compile(r"\bmedian=([0-9.e+]+)")
_DELEGATE = re.compile(r"Explicitly applied (\w+) delegate, and the model graph will be (\w+) executed")
_ERROR = re.compile(r"ERROR: (.*\S)")
_FAILED = re.compile(r"Benchmarking failed\.")
_PROFILE = re.compile(r"Operator-wise Profiling Info for Regular Benchmark Runs:")
_ANY_PROFILE = re.compile(r"Profiling Info for ")
_ENDED = "was benchmark_model ended before it was done? Run it again"
_LONGEST_ROW = 2000
_DECIMAL = r"[0-9.e+-]{1,30}"
_ROW = re.compile(
    rf"\s*(?P<kind>\S.*?)(?:,\s*|\s+)(?:{_DECIMAL}(?:,\s*|\s+))?{_DECIMAL}(?:,\s*|\s+)(?P<average>{_DECIMAL})(?:,\s*|\s+)"
    rf"{_DECIMAL}%(?:,\s*|\s+){_DECIMAL}%(?:,\s*|\s+){_DECIMAL}(?:,\s*|\s+)(?P<times>[0-9]{{1,9}})(?:,\s*|\s+)(?P<name>\S.*)"
)
"""A node's type, its start in newer versions, the first and the average time in ms, two percentages, its memory, the
number of calls in a run, and its name."""


def read_log(lines: Sequence[str], _: object) -> list[ToolResult]:
    """Read a log of one or several runs of the tool."""
    return [_of_run(part) for part in sections(lines, re.compile(r"\bSTARTING!").search)]


def _of_run(lines: list[str]) -> ToolResult:
    options = dict(map(_option, lines))
    model = next((found[1] or found[2] for line in lines if (found := _MODEL.search(line))), "")
    about: dict[str, Any] = {
        **_TOOL,
        "network": model,
        "conditions": _conditions(lines, options),
        "profiled": options.get("enable op profiling") == "1",
    }
    failed = next((number for number, line in enumerate(lines) if _FAILED.search(line)), None)
    if failed is not None:
        reasons = [found[1] for line in lines[:failed] if (found := _ERROR.search(line))]
        return ToolResult(**about, failure=f"benchmark_model: {reasons[-1] if reasons else 'Benchmarking failed.'}")
    at = next((number for number, line in enumerate(lines) if _AVERAGE.search(line)), None)
    if at is None:
        raise WrongContent(f"ends before its inference timings: {_ENDED}")
    runs = [line for line in lines[:at] if _RUNS.search(line)]  # the last are the runs, those before warm them up
    median = _MEDIAN.search(runs[-1]) if runs else None
    average = _AVERAGE.search(lines[at])
    return ToolResult(
        **about,
        median_ms=above_zero(median[1], "the median") / 1000 if median else None,
        mean_ms=above_zero(average and average[1], "the average") / 1000,
        operators=_operators(lines),
    )


def _option(line: str) -> tuple[str, str]:
    """Read ``INFO: Num threads: [4]``; empty texts if a line is another."""
    before, _, after = line.partition(": [")
    name, value = re.split(r"[:\[\]]", before)[-1], after.partition("]")[0]
    return (name.strip(" #").lower(), value) if after else ("", "")


def _conditions(lines: Sequence[str], options: dict[str, str]) -> dict[str, str]:
    conditions = {}
    if threads := options.get("num threads", options.get("threads used for cpu inference")):
        conditions["threads"] = threads
    if options.get("use xnnpack") == "0":
        conditions["delegate"] = "none"
    for line in lines:
        if found := _DELEGATE.search(line):
            conditions["delegate"] = found[1] + (" partly" if found[2] == "partially" else "")
    return conditions


def read_operators(lines: Sequence[str], _: object) -> list[ToolResult]:
    """Read the CSV of ``--profiling_output_csv_file``: tables of operators, without the model."""
    return [ToolResult(**_TOOL, operators=_operators(lines))]


def _operators(lines: Sequence[str]) -> tuple[Operator, ...]:
    """Return the operators in run order; those inside a delegate instead of the delegate as one node."""
    begin = next((number for number, line in enumerate(lines) if _PROFILE.search(line)), None)
    if begin is None:
        if any(map(_ANY_PROFILE.search, lines)):  # of the initialization only
            raise WrongContent(f"ends before the operators: {_ENDED}")
        return ()
    operators: list[Operator] = []
    is_row = has_ended = False
    for line in lines[begin + 1 :]:
        if "=====" in line or _ANY_PROFILE.search(line):
            is_row = "Run Order" in line
            has_ended |= not is_row
        elif is_row and (found := _ROW.match(line[:_LONGEST_ROW])):
            ms = not_below_zero(found["average"], "an operator's time") * max(int(found["times"]), 1)
            operators.append(Operator(found["name"].strip(), found["kind"], ms))
    if not has_ended:
        raise WrongContent(f"ends before the operators: {_ENDED}")
    inside = any(operator.name.startswith("Delegate/") for operator in operators)
    return tuple(item for item in operators if not (inside and re.fullmatch(r"TfLite\w*Delegate\w*", item.kind)))


def is_benchmark(value: object) -> bool:
    """Return whether JSON is what ``litert-benchmark --result_json`` writes."""
    return isinstance(value, dict) and "model" in value and isinstance(value.get("latency"), dict)


def read_benchmark(value: Any, _: object) -> list[ToolResult]:
    """Read what ``litert-benchmark --result_json`` writes."""
    latency = value["latency"]
    conditions = {}
    if value.get("num_threads") is not None:
        conditions["threads"] = str(value["num_threads"])
    if isinstance(value.get("accelerators"), list):
        conditions["accelerators"] = ", ".join(map(str, value["accelerators"]))
    finer = "litert-benchmark prints no finer one; measure this network with benchmark_model, or with hwnas measure"
    median = fine_enough(latency.get("median_ms"), "the median latency", finer)
    about: dict[str, Any] = {"tool": "litert-benchmark", "runtime": "LiteRT", "conditions": conditions}
    return [ToolResult(**about, network=str(value["model"]), median_ms=median)]
