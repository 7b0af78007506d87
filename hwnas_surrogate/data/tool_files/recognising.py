"""Which tool wrote a file: its content says so, not its name."""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hwnas_surrogate.data.text_lines import lines_of
from hwnas_surrogate.data.tool_files import litert, onnxruntime, openvino, torch_trace, trtexec
from hwnas_surrogate.data.tool_files.result import ToolResult, WrongContent
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.inputs import open_regular, read_bytes, read_json

__all__ = ["TOOL_FILES", "is_tool_file", "results_of"]

_LARGEST = 2**27
"""Bytes of a file, also when unpacked: a profile of some thousand runs."""
_BEGINNING = 2**18
"""Bytes by which a file is recognised."""
_LONGEST_LINE = 4000
"""Characters of a log's line that are read."""
_GZIP = b"\x1f\x8b"
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*(\{|\[\s*[\[\]{])")
_OURS = re.compile(r"\A\W*([^\n]*[,;\t]\W*)?(architecture|arch_str|op_index|model)\W*[,;\t]", re.IGNORECASE)
"""The header of measurements, which may quote a log in a note."""


class _TextForm(NamedTuple):
    name: str
    mark: re.Pattern[str]
    read: Callable[[Sequence[str], Path], list[ToolResult]]


class _JsonForm(NamedTuple):
    name: str
    mark: re.Pattern[bytes]
    """A text near the beginning, by which one is known that was cut off."""
    matches: Callable[[object], bool]
    read: Callable[[Any, Path], list[ToolResult]]


_TEXT_FORMS = (
    _TextForm("benchmark_app report", openvino.REPORT, openvino.read_report),
    _TextForm("benchmark_app counters", openvino.COUNTERS, openvino.read_counters),
    _TextForm("onnxruntime_perf_test result file", onnxruntime.RUNS, onnxruntime.read_runs),
    _TextForm("trtexec log", trtexec.LOG, trtexec.read_log),
    _TextForm("benchmark_app log", openvino.LOG, openvino.read_log),
    _TextForm("benchmark_model operators", litert.OPERATORS, litert.read_operators),
    _TextForm("benchmark_model log", litert.LOG, litert.read_log),
    _TextForm("onnxruntime_perf_test output", onnxruntime.LOG, onnxruntime.read_log),
)
_JSON_FORMS = (
    _JsonForm("trtexec --exportTimes", re.compile(rb'"computeMs"'), trtexec.are_run_times, trtexec.read_run_times),
    _JsonForm(
        "trtexec --exportProfile", re.compile(rb'"averageMs"'), trtexec.are_layer_times, trtexec.read_layer_times
    ),
    _JsonForm(
        "benchmark_app report",
        re.compile(rb'"(cmd_options|execution_results)"'),
        openvino.is_report,
        openvino.read_report_json,
    ),
    _JsonForm(
        "benchmark_app counters", re.compile(rb'_performance"'), openvino.are_counters, openvino.read_counters_json
    ),
    _JsonForm(
        "litert-benchmark",
        re.compile(rb'"(model_size_mb|accelerators|median_ms)"'),
        litert.is_benchmark,
        litert.read_benchmark,
    ),
    _JsonForm("ONNX Runtime profile", re.compile(rb'"Session"'), onnxruntime.is_profile, onnxruntime.read_profile),
    _JsonForm("PyTorch profiler trace", re.compile(rb'"traceEvents"'), torch_trace.is_trace, torch_trace.read_trace),
)
TOOL_FILES = tuple(dict.fromkeys(form.name for form in (*_TEXT_FORMS, *_JSON_FORMS)))
"""The kinds of files that are read."""


def is_tool_file(path: Path) -> bool:
    """Return whether a file looks like one of the :data:`TOOL_FILES`; False if it can't be read."""
    try:
        beginning = _beginning(path)
    except (OSError, zlib.error):
        return False
    if _JSON.match(beginning):
        return any(form.mark.search(beginning) for form in _JSON_FORMS)
    return _text_form(_text(beginning)) is not None


def results_of(path: Path) -> list[ToolResult] | None:
    """Read what a tool measured; None if no known tool wrote the file.

    Raises
    ------
    DataFileError
        If the file is empty, cut off, too large or damaged, or of a version that is not known.
    """
    try:
        beginning = _beginning(path)
        if not beginning.strip():
            raise DataFileError(f"{path} is empty: was the tool ended before it wrote its results?")
        if _JSON.match(beginning):
            return _from_json(path, beginning)
        form = _text_form(_text(beginning))
        if form is None:
            return None
        lines = [
            _COLOURS.sub("", line).rstrip("\r\n")[:_LONGEST_LINE]
            for line in lines_of(io.BytesIO(_content(path)), str(path))
        ]
        while lines and not lines[0].strip():
            del lines[0]
        return _read(path, form, lines)
    except (OSError, zlib.error, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataFileError(f"can't read {path}: {reason}.") from error


def _read(path: Path, form: _TextForm | _JsonForm, content: Any) -> list[ToolResult]:
    try:
        return form.read(content, path)
    except WrongContent as error:
        raise DataFileError(f"{path} ({form.name}) {error}.") from error


def _from_json(path: Path, beginning: bytes) -> list[ToolResult] | None:
    known = next((form for form in _JSON_FORMS if form.mark.search(beginning)), None)
    if known is None:
        return None
    try:
        value = read_json(_content(path))
    except json.JSONDecodeError as error:
        raise DataFileError(
            f"{path} ({known.name}) is no complete JSON ({error}): was the tool ended while it wrote? Run it again."
        ) from error
    except ValueError as error:
        raise DataFileError(f"{path} ({known.name}) is not read: {error}.") from error
    form = next((form for form in _JSON_FORMS if form.matches(value)), None)
    if form is None:
        raise DataFileError(f"{path} looks like {known.name}, but is of another version: it lacks what is read.")
    return _read(path, form, value)


def _text_form(beginning: str) -> _TextForm | None:
    if _OURS.match(beginning[:_LONGEST_LINE]) and not onnxruntime.RUNS.match(beginning):
        return None
    return next((form for form in _TEXT_FORMS if form.mark.search(beginning)), None)


def _text(beginning: bytes) -> str:
    """Decode the beginning of a text: the rest of the file may still be none."""
    wide = beginning[:2] in (b"\xff\xfe", b"\xfe\xff")
    return beginning.decode("utf-16" if wide else "utf-8-sig", "replace").lstrip()


def _beginning(path: Path) -> bytes:
    with open_regular(path) as file:
        start = file.read(_BEGINNING) or b""
    return zlib.decompressobj(wbits=31).decompress(start, _BEGINNING) if start[:2] == _GZIP else start


def _content(path: Path) -> bytes:
    data = read_bytes(path, _LARGEST)
    if data[:2] != _GZIP:
        return data
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(data, _LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(f"it has more than {_LARGEST:,} bytes when unpacked, which are the most that is read")
    if not unpacker.eof:
        raise EOFError("it is no complete gzip file: was the tool ended while it wrote?")
    return data
