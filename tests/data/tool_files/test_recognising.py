"""One file of each form that the tools write, by hand; what is read from it. Cut-off files are refused."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.data.tool_files import Operator, ToolResult, is_tool_file
from hwnas_surrogate.data.tool_files.recognising import results_of
from hwnas_surrogate.errors import DataFileError

SAMPLES = Path(__file__).parent / "samples"
QUARTILE, MEDIAN, MEAN = (
    "lower quartile of the runs",
    "median that the tool states",
    "mean that the tool states",
)
STATED = "as the tool states it"
CONV_RELU = (Operator("stem/Conv + stem/Relu", "", 0.2), Operator("pooling/Mean", "", 0.1))
CPU = {"device": "CPU"}

COSTS: dict[str, tuple[str, float, str]] = {
    "trtexec.log": ("latency", 0.703125, MEDIAN),
    "trtexec-streams.log": ("throughput", 4 * 500, STATED),  # a query has four images
    "trtexec-times.json": ("latency", 0.75, QUARTILE),
    "trtexec-times-with-warm-up.json": ("latency", 1.5, QUARTILE),  # of the one run after the warm-up
    "benchmark_app.log": ("latency", 0.15646, MEDIAN),
    "benchmark_app-requests.log": ("throughput", 925.5, STATED),
    "benchmark_app-2021.log": ("latency", 4.25, MEDIAN),
    "benchmark_report.csv": ("latency", 0.13, MEDIAN),
    "benchmark_report-cpp.csv": ("latency", 1.512345, MEAN),  # it has the 90th percentile, not the median
    "benchmark_report.json": ("throughput", 8800.77, STATED),
    "benchmark_model.log": ("latency", 2.925, MEDIAN),
    "benchmark_model-2019.log": ("latency", 79.7609, MEAN),
    "litert-benchmark.json": ("latency", 1.25, MEDIAN),
    "perf_test.txt": ("latency", 1.85674, MEDIAN),
    "perf_test-concurrent.txt": ("throughput", 500.0, STATED),
    "perf_test.csv": ("latency", 1.9, QUARTILE),
    "onnxruntime-profile.json": ("latency", 0.495, QUARTILE),
    "torch-trace.json": ("latency", 1.4, QUARTILE),
    "torch-trace-gpu.json": ("latency", 2.0, QUARTILE),
}
OPERATORS: dict[str, tuple[Operator, ...]] = {
    "trtexec-layers.json": CONV_RELU,
    "trtexec-layers.log": (CONV_RELU[0], Operator("pooling/Mean 2", "", 0.1)),
    "trtexec-layers-8.6.log": (CONV_RELU[0], Operator("pooling/Mean 2", "", 0.1)),
    "counters.csv": (Operator("stem", "Convolution", 0.01), Operator("a;b", "AvgPool", 0.007)),
    "counters.json": (Operator("stem", "Convolution", 0.01),),
    "benchmark_model.log": (  # the delegate is not a node beside those that are inside it
        Operator("[tfl.quantize, a b]:0", "QUANTIZE", 0.203),
        Operator("Delegate/Convolution (NHWC, QC8) DWConv:1", "Convolution (NHWC, QC8) DWConv", 13 * 0.051),
    ),
    "benchmark_model-operators.csv": (
        Operator("[stem, relu]:0", "CONV_2D", 0.061),
        Operator("Delegate/Convolution:1", "Convolution (NHWC, QC8) IGEMM", 0.6),
    ),
    "onnxruntime-profile.json": (Operator("stem", "Conv", 0.069), Operator("flat", "Reshape", 0.001)),
    "torch-trace.json": (Operator("aten::conv2d:0", "aten::conv2d", 0.8), Operator("aten::relu:1", "aten::relu", 0.2)),
    "torch-trace-gpu.json": (Operator("implicit_gemm:0", "implicit_gemm", 1.0), Operator("relu:1", "relu", 0.4)),
}
FAILURES = {
    "trtexec-failed.log": "trtexec: Error[10]: Could not find any implementation for node Conv_3.",
    "benchmark_app-failed.log": "benchmark_app: Exception from src/core.cpp:109: unsupported operation Foo",
    "benchmark_model-failed.log": "benchmark_model: Failed to allocate tensors!",
}
MODELS = {
    "trtexec.log": "nets/network-00000.onnx",
    "trtexec-streams.log": "network-00001-fp16.engine",
    "trtexec-failed.log": "network-00002.onnx",
    "benchmark_app.log": "",
    "benchmark_report.csv": "nets/network-00001.onnx",
    "benchmark_report-cpp.csv": "network-00001.onnx",
    "counters.csv": "network-00002.onnx",  # of the report in the same folder
    "benchmark_model.log": "/data/local/tmp/network-00001_int8.tflite",
    "litert-benchmark.json": "nets/network-00001.tflite",
    "perf_test.txt": "nets/network-00001.onnx",
    "perf_test.csv": "",
    "torch-trace.json": "",
}
ABOUT: dict[str, dict[str, Any]] = {
    "trtexec.log": {
        "version": "10.7.0",
        "hardware": "Orin",
        "batch": 1,
        "conditions": {
            "precision": "FP32+FP16", "CUDA graph": "Enabled", "data transfers": "Enabled", "streams": "1",
        },
    },
    "trtexec-streams.log": {"version": "8.6.1", "batch": 4, "conditions": {"streams": "2"}},  # no precision
    "benchmark_app.log": {
        "version": "2026.4.1",
        "batch": 1,
        "conditions": {**CPU, "threads": "2", "streams": "1", "precision": "bf16", "requests": "1"},
    },
    "benchmark_report.csv": {"conditions": {**CPU, "threads": "1", "precision": "f32", "requests": "1"}},
    "benchmark_report-cpp.csv": {"batch": 8},
    "benchmark_model.log": {"conditions": {"threads": "4"}, "profiled": True},
    "litert-benchmark.json": {"conditions": {"threads": "1", "accelerators": "CPU"}},
    "perf_test.txt": {"conditions": {"threads": "4"}},
    "onnxruntime-profile.json": {"conditions": {"provider": "CPUExecutionProvider"}, "profiled": True},
    "torch-trace-gpu.json": {"conditions": {"device": "GPU"}, "hardware": "NVIDIA H200"},
}  # fmt: skip


STILL_RESULTS = (("perf_test.csv", 0.45), ("perf_test.csv", 0.6), ("benchmark_model.log", 0.6))
"""Files with a result before the cut: of the runs until then; without operators."""


def read(name: str) -> ToolResult:
    results = results_of(SAMPLES / name)
    assert results is not None
    (result,) = results
    return result


@pytest.mark.parametrize("name", COSTS)
def test_costs(name: str) -> None:
    result = read(name)
    assert result.cost is not None
    metric, value, estimator = COSTS[name]
    assert result.cost == (metric, pytest.approx(value, rel=1e-9), estimator)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    found = read(name).operators
    assert [item[:2] for item in found] == [item[:2] for item in OPERATORS[name]]
    assert [item.ms for item in found] == pytest.approx([item.ms for item in OPERATORS[name]])


@pytest.mark.parametrize("name", FAILURES)
def test_failures(name: str) -> None:
    result = read(name)
    assert (result.failure, result.cost) == (FAILURES[name], None)


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    assert read(name).network == MODELS[name]


@pytest.mark.parametrize("name", ABOUT)
def test_conditions(name: str) -> None:
    result = read(name)
    assert {field: getattr(result, field) for field in ABOUT[name]} == ABOUT[name]


def test_each_sample_is_read_and_each_form_has_one() -> None:
    names = {path.name for path in SAMPLES.iterdir()}
    assert names == {*COSTS, *OPERATORS, *FAILURES}
    assert all(is_tool_file(path) for path in SAMPLES.iterdir())


@pytest.mark.parametrize("name", sorted({*COSTS, *OPERATORS}))
@pytest.mark.parametrize("part", [0.45, 0.6])
def test_a_file_cut_off_is_refused(name: str, part: float, tmp_path: Path) -> None:
    data = (SAMPLES / name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(data[: int(part * len(data))])
    if (name, part) in STILL_RESULTS:
        assert results_of(cut) != [read(name)]
        return
    with pytest.raises(DataFileError, match=re.escape(str(cut))):
        results_of(cut)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "trtexec.log",
            "ends before its performance summary: was trtexec ended before it was done",
        ),
        ("benchmark_app.log", "ends before the results: was benchmark_app ended before it was done"),
        ("benchmark_report.csv", "ends before the results: was benchmark_app ended"),
        ("counters.csv", "ends before its line Total"),
        ("benchmark_model.log", "ends before its inference timings: was benchmark_model ended"),
        ("perf_test.txt", "ends before the average time: was onnxruntime_perf_test ended"),
        ("onnxruntime-profile.json", "is no complete JSON .*: was the tool ended while it wrote"),
        ("torch-trace.json", "is no complete JSON"),
        ("trtexec-times.json", "is no complete JSON"),
    ],
)
def test_a_killed_tool_is_named(name: str, said: str, tmp_path: Path) -> None:
    lines = (SAMPLES / name).read_text().splitlines(keepends=True)
    keep = {"perf_test.txt": 3, "counters.csv": 3, "benchmark_model.log": 9, "trtexec-times.json": 3}.get(
        name, len(lines) // 2
    )
    (tmp_path / name).write_text("".join(lines[:keep]))
    with pytest.raises(DataFileError, match=said):
        results_of(tmp_path / name)


def test_gzipped_traces_and_coloured_logs_and_utf16(tmp_path: Path) -> None:
    packed = tmp_path / "trace.json.gz"
    packed.write_bytes(gzip.compress((SAMPLES / "torch-trace.json").read_bytes()))
    assert results_of(packed) == results_of(SAMPLES / "torch-trace.json")
    text = (SAMPLES / "trtexec.log").read_text()
    log = tmp_path / "log"
    log.write_text(text.replace("[I]", "\x1b[32m[I]\x1b[0m"), encoding="utf-16")  # as PowerShell redirects
    assert results_of(log) == results_of(SAMPLES / "trtexec.log")
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(DataFileError, match="it is no complete gzip file"):
        results_of(packed)


def test_a_log_holds_several_runs(tmp_path: Path) -> None:
    log = tmp_path / "all.log"
    names = ["trtexec.log", "trtexec-failed.log", "trtexec-streams.log"]
    log.write_text("building\n" + "".join((SAMPLES / name).read_text() for name in names))
    assert results_of(log) == [read(name) for name in names]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: was the tool ended before it wrote its results"),
        (b"\n \n", "is empty"),
        (b'[{"latencyMs": -1, "computeMs": 1}]', "latencyMs of run 0 must be a number above 0, got -1"),
        (b'[{"latencyMs": NaN, "computeMs": 1}]', "must be a number above 0, got nan"),
        (b'[{"latencyMs": 1' + b"0" * 400 + b', "computeMs": 1}]', "must be a number above 0, got 1000"),
        (b'[{"latencyMs": true, "computeMs": 1}]', "must be a number above 0, got True"),
        (b'[{"computeMs": 1}, 7]', "looks like trtexec --exportTimes, but is of another version"),
        (b'{"traceEvents": []}', "looks like PyTorch profiler trace, but is of another version"),
        (b'{"schemaVersion": 1, "traceEvents": []}', "does not mark the runs: mark the runs with torch.profiler"),
        (b'{"traceEvents": ' + b"[" * 100_000, "its values are nested too deep|no complete JSON"),
        (b'{"traceEvents": [' + b"1," * 2_000_001, "2,000,004 values, and 2,000,000 are the most that is read"),
        (b'{"execution_results": {"latency (ms)": "0.01", "throughput": "1"}}', "rounded to 0.01 ms.* import the log"),
        (b'{"execution_results": {"group": "1", "throughput": "1"}}', "latencies of several input shapes"),
        (b'[{"cat": "Session", "name": "model_loading_uri", "dur": 3}]', "has no event model_run"),
        (b"nets,0.1,1,1,0\nnets,0.1,1,1,7\n", "has run 7 of 'nets' where another is expected"),
        (b"nets,0.1,1,1,0\nnets,0.1,1,1,0\n", "2 calls of the tool, which appends to its result file"),
        (b"nets,1200000,1,1,0\n", "is it of a version that writes ns"),
        (b"Average inference time cost: 1 ms\n" * 2, "has 2 results, and does not say of which models"),
        (b"layerName;execStatus;layerType;execType;\nTotal\n", "must have the columns execStatus, layerType, realTime"),
        (b"&&&& RUNNING TensorRT.trtexec\n&&&& PASSED TensorRT.trtexec", "has no latency, which versions before 8"),
        (b"&&&& RUNNING TensorRT.trtexec\n\0", "line 2 has a NUL byte, which no text has"),
        (b"&&&& RUNNING TensorRT.trtexec\n\xff", "line 2 is not UTF-8"),
    ],
    ids=lambda value: repr(value[:40]),
)  # fmt: skip
def test_damaged_and_hostile_files_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=said):
        results_of(path)


@pytest.mark.parametrize(
    "content",
    [
        b"architecture,device,value,unit,note\n0,pi,failed,,&&&& FAILED TensorRT.trtexec STARTING!\n",
        b"model;device;value\nSTARTING!;pi;1\n",
        b"PAR1 and more",
        b"PK\3\4",
        b'{"version": 1, "networks": []}',
        b"\0\1\2" * 100,
        b"\x1f\x8b no gzip",
        b"some text",
    ],
)
def test_other_files_are_not_a_tools(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    assert not is_tool_file(path)
    if content[:2] != b"\x1f\x8b":
        assert results_of(path) is None


@pytest.mark.parametrize("packed", [False, True])
def test_huge_files_are_refused(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    beginning = b'{"traceEvents": ['
    if packed:
        path.write_bytes(gzip.compress(beginning + bytes(2**27), 1))
    else:
        path.write_bytes(beginning)
        os.truncate(path, 2**27 + 1)
    with pytest.raises(
        DataFileError, match=r"134,217,728 (bytes when unpacked|are the most)|more than 134,217,728 bytes"
    ):
        results_of(path)


def test_runs_that_overlap_on_a_gpu_have_no_time(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(
        (SAMPLES / "torch-trace-gpu.json").read_text().replace('"ts": 2250, "dur": 400', '"ts": 2900, "dur": 400')
    )
    with pytest.raises(DataFileError, match=r"call torch.cuda.synchronize\(\) at the end"):
        results_of(path)


def test_blocks_of_several_names_are_not_runs(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(
        (SAMPLES / "torch-trace.json").read_text().replace("ProfilerStep#2", "warm").replace("ProfilerStep#3", "run")
    )
    with pytest.raises(DataFileError, match=r"marks blocks of several names \(run, warm\)"):
        results_of(path)


def test_operators_of_unlike_runs_are_summed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(
        (SAMPLES / "torch-trace.json")
        .read_text()
        .replace('"aten::relu", "pid": 7, "tid": 7, "ts": 4800', '"aten::conv2d", "pid": 7, "tid": 7, "ts": 4800')
    )
    (result,) = results_of(path) or []
    assert result.operators == (
        Operator("aten::conv2d", "aten::conv2d", 0.85),
        Operator("aten::relu", "aten::relu", 0.15),
    )
