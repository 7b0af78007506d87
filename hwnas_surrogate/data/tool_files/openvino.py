"""OpenVINO's benchmark_app, in Python or C++: its log, its report, and its reports of performance counters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas_surrogate.data.text_lines import lines_of_file
from hwnas_surrogate.data.tool_files.result import (
    Operator,
    ToolResult,
    WrongContent,
    above_zero,
    fine_enough,
    not_below_zero,
    sections,
    whole,
)
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.inputs import read_bytes, read_json

__all__ = [
    "COUNTERS",
    "LOG",
    "REPORT",
    "are_counters",
    "is_report",
    "read_counters",
    "read_counters_json",
    "read_log",
    "read_report",
    "read_report_json",
]

LOG = re.compile(r"\[Step 1/1[0-9]\] Parsing")
REPORT = re.compile(r"\A(Command line parameters|Configuration setup|Execution results);?\r?\n")
COUNTERS = re.compile(r"\AlayerName[;,]execStatus[;,]layerType[;,]execType[;,]")
_TOOL: dict[str, Any] = {"tool": "benchmark_app", "runtime": "OpenVINO"}
_FINER = "import the log of benchmark_app, which has more digits"
_LARGEST_REPORT = 2**20
_NAME = len("layerName")
_COLUMNS = ("execStatus", "layerType", "realTime (ms)")
_MODEL = ("m", "model", "path_to_model")
_UNITS = {"ms": 1.0, "us": 1e-3}
_BUILD = re.compile(r"Build \.+ (\S+)")
_REQUESTS = re.compile(r"Start inference a?synchronously(?:, ([0-9]+) inference requests)?")
_PROPERTY = re.compile(r"\[ INFO \]\s+(\w+): (.*\S)")
_ERROR = re.compile(r"\[ ERROR \] (.*\S)")
_TIME = re.compile(r"\[ INFO \]\s*(Median|Average|AVG|Latency):\s+([0-9.]+) (ms|us)\b")
_RATE = re.compile(r"\[ INFO \] Throughput:\s+([0-9.]+) FPS")
_PARTS = ("command line parameters", "configuration setup", "execution results", "group latencies")


def read_log(lines: Sequence[str], _: Path) -> list[ToolResult]:
    """Read a log of one or several runs of the tool; it does not state the model."""
    return [_of_run(part) for part in sections(lines, LOG.search)]


def _of_run(lines: list[str]) -> ToolResult:
    text = "\n".join(lines)
    properties = {found[1]: found[2] for line in lines if (found := _PROPERTY.search(line))}
    build, asked = _BUILD.search(text), _REQUESTS.search(text)
    batch = re.search(r"Model batch size: (.*)", text)
    about: dict[str, Any] = {
        **_TOOL,
        "version": build[1].split("-")[0] if build else "",
        "batch": whole(batch[1]) if batch else None,
        "conditions": _log_conditions(properties, text),
        "profiled": properties.get("PERF_COUNT") == "YES",
    }
    times = {found[1]: above_zero(found[2], "a latency") * _UNITS[found[3]] for found in _TIME.finditer(text)}
    rate, error = _RATE.search(text), _ERROR.search(text)
    if rate is None and error:
        return ToolResult(**about, failure=f"benchmark_app: {error[1]}")
    if rate is None:
        raise WrongContent("ends before the results: was benchmark_app ended before it was done? Run it again")
    requests = int(asked[1] or 1) if asked else 1
    median = times.get("Median", times.get("Latency"))  # versions of 2021 call the median "Latency"
    return ToolResult(**about, **_cost(requests, median, times.get("Average", times.get("AVG")), rate[1]))


def _log_conditions(properties: Mapping[str, str], text: str) -> dict[str, str]:
    names = {
        "device": "EXECUTION_DEVICES",
        "threads": "INFERENCE_NUM_THREADS",
        "streams": "NUM_STREAMS",
        "precision": "INFERENCE_PRECISION_HINT",
    }
    conditions = {name: _plain(properties[key]) for name, key in names.items() if key in properties}
    asked = _REQUESTS.search(text)
    return conditions | ({"requests": asked[1] or "1"} if asked else {})


def _plain(value: str) -> str:
    """Return ``<Type: 'bfloat16'>`` as ``bf16``, and ``['CPU']`` as ``CPU``."""
    quoted = re.findall(r"'([^']*)'", value)
    return (", ".join(quoted) or value).replace("bfloat", "bf").replace("float", "f")


def _cost(requests: int, median: float | None, mean: float | None, rate: object) -> dict[str, Any]:
    """Several requests at once wait for one another: they have a throughput, but no latency."""
    if requests > 1:
        return {"throughput": above_zero(rate, "the throughput")}
    if median is None and mean is None:
        raise WrongContent("states neither a median nor an average latency: is it of several devices? Measure one")
    return {"median_ms": median, "mean_ms": mean}


def read_report(lines: Sequence[str], path: Path) -> list[ToolResult]:
    """Read ``benchmark_report.csv``: names and values, separated by semicolons, in three parts."""
    parts: dict[str, dict[str, str]] = {}
    part: dict[str, str] = {}
    for line in lines:
        name, _, value = line.strip().rstrip(";").partition(";")
        if name.lower() in _PARTS:
            part = parts.setdefault(name.lower(), {})
        elif name:
            part.setdefault(name.lower(), value)
    if "group latencies" in parts:
        raise WrongContent("has latencies of several input shapes: measure one at a time")
    options = parts.get("command line parameters", {})
    return [_of_report(options, parts.get("configuration setup", {}), parts.get("execution results", {}))]


def is_report(value: object) -> bool:
    """Return whether JSON is what ``-json_stats`` writes as a report."""
    return isinstance(value, dict) and isinstance(value.get("execution_results"), dict)


def read_report_json(value: Any, _: Path) -> list[ToolResult]:
    """Read ``benchmark_report.json``."""
    parts = [value.get(name) for name in ("cmd_options", "configuration_setup", "execution_results")]
    return [_of_report(*(part if isinstance(part, dict) else {} for part in parts))]


def _of_report(options: Mapping[str, Any], setup: Mapping[str, Any], results: Mapping[str, Any]) -> ToolResult:
    options = {name.lstrip("-"): str(value) for name, value in options.items()}
    requests = whole(_first(setup, "number of parallel infer requests", "nireq") or 1) or 1
    stated = {
        "device": _first(setup, "target device", "target_device"),
        "threads": options.get("nthreads"),
        "precision": options.get("infer_precision"),
        "requests": requests,
    }
    about: dict[str, Any] = {
        **_TOOL,
        "network": _stated_model(options),
        "batch": whole(_first(setup, "batch size", "batch_size")),
        "conditions": {name: str(value) for name, value in stated.items() if value},
        "profiled": "pc" in options or options.get("report_type", "no_counters") != "no_counters",
    }
    if "group" in results:
        raise WrongContent("has latencies of several input shapes: measure one at a time")
    if error := results.get("error"):
        return ToolResult(**about, failure=f"benchmark_app: {error}")
    rate = results.get("throughput")
    if rate is None:
        raise WrongContent("ends before the results: was benchmark_app ended before it was done? Run it again")
    median = _first(results, "latency (ms)", "median latency (ms)", "latency_median")
    if _first(results, "percentile boundary", "percentile_boundary") not in (None, "50", 50):
        median = None  # C++ keeps another percentile under this name
    mean = _first(results, "avg latency", "average latency (ms)", "latency_avg")
    if requests > 1:
        return ToolResult(**about, **_cost(requests, None, None, rate))
    median, mean = (
        None if value is None else fine_enough(value, f"the {name} latency", _FINER)
        for name, value in (("median", median), ("average", mean))
    )
    return ToolResult(**about, **_cost(requests, median, mean, rate))


def _first(part: Mapping[str, Any], *names: str) -> Any:
    return next((part[name] for name in names if name in part), None)


def _stated_model(options: Mapping[str, str]) -> str:
    return next((options[name] for name in _MODEL if options.get(name)), "")


def read_counters(lines: Sequence[str], path: Path) -> list[ToolResult]:
    """Read a CSV report of performance counters: a block for each request, or the average of all."""
    separator, header = lines[0][_NAME], [field.strip() for field in lines[0].split(lines[0][_NAME])]
    if not all(name in header for name in _COLUMNS):
        raise WrongContent(f"must have the columns {', '.join(_COLUMNS)}, it has {', '.join(header)[:200]}")
    blocks: list[list[Operator]] = []
    n_totals = 0
    for line in lines:
        fields = line.strip().split(separator)
        more = max(len(fields) - len(header), 0)  # the layer's name has separators
        if fields[0] == "layerName":
            blocks.append([])
        elif fields[0].startswith("Total"):
            n_totals += 1
        elif len(fields) > header.index(_COLUMNS[-1]):
            name = separator.join(fields[: 1 + more])
            status, kind, ms = (fields[header.index(column) + more] for column in _COLUMNS)
            if status.endswith("EXECUTED"):
                blocks[-1].append(Operator(name, kind, not_below_zero(ms, f"realTime of {name:.60}")))
    if n_totals < len(blocks):
        raise WrongContent("ends before its line Total: was benchmark_app ended while it wrote? Run it again")
    return [ToolResult(**_TOOL, network=_model_beside(path), operators=_mean_of(blocks))]


def are_counters(value: object) -> bool:
    """Return whether JSON is a report of performance counters."""
    return isinstance(value, dict) and ("detailed_performance" in value or "avg_performance" in value)


def read_counters_json(value: Any, path: Path) -> list[ToolResult]:
    """Read a JSON report of performance counters."""
    requests = value.get("detailed_performance") or [value.get("avg_performance")]
    if not isinstance(requests, list) or not all(
        isinstance(part, dict) and isinstance(part.get("nodes"), list) for part in requests
    ):
        raise WrongContent("has no list of nodes for each request")
    blocks = [
        [
            Operator(
                str(node.get("name", "")),
                str(node.get("node_type", "")),
                not_below_zero(node.get("real_time"), "real_time"),
            )
            for node in part["nodes"]
            if isinstance(node, dict) and str(node.get("status", "")).endswith("EXECUTED")
        ]
        for part in requests
    ]
    return [ToolResult(**_TOOL, network=_model_beside(path), operators=_mean_of(blocks))]


def _mean_of(blocks: Sequence[Sequence[Operator]]) -> tuple[Operator, ...]:
    """Return each operator with its mean over the requests."""
    sums: dict[tuple[str, str], float] = {}
    for name, kind, ms in (operator for block in blocks for operator in block):
        sums[name, kind] = sums.get((name, kind), 0.0) + ms
    return tuple(Operator(name, kind, ms / len(blocks)) for (name, kind), ms in sums.items())


def _model_beside(path: Path) -> str:
    """Return the model that the report in the same folder states: reports of counters state none."""
    try:
        data = read_bytes(path.with_name("benchmark_report.json"), _LARGEST_REPORT)
        options = read_json(data).get("cmd_options", {})
        return _stated_model({str(name).lstrip("-"): str(value) for name, value in options.items()})
    except (OSError, ValueError, AttributeError):
        pass
    try:
        fields = (line.strip().partition(";") for line in lines_of_file(path.with_name("benchmark_report.csv")))
        return _stated_model({name.lstrip("-"): value for name, _, value in fields})
    except (OSError, DataFileError):
        return ""
