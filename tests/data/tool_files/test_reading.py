"""The cost table of result files: repeats, conditions, failures, operators, and files that tools write here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table, read_tool_files, write_parquet
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.spaces import get_space
from tests.data.tool_files.conftest import CONFIG, Put

SPACE = get_space("nasbench201")


def test_a_table_says_how_it_was_measured(put: Put, tmp_path: Path) -> None:
    files = [
        put("trtexec.log"),
        put("trtexec-failed.log", v8401="v100700"),
        put("trtexec-layers.json", "network-00000.json"),
    ]
    table = read_tool_files(files, "orin")
    assert SPACE.index(table.archs).tolist() == [5, 901]
    assert table.costs[:, 0] == pytest.approx([0.703125, np.nan], nan_ok=True)
    assert table.why_missing(901, configs=CONFIG).iloc[0, 0] == (
        "trtexec: Error[10]: Could not find any implementation for node Conv_3."
    )
    device = table.devices["orin"]
    assert (device.hardware, device.batch, device.source) == ("Orin", 1, "measured")
    assert device.runtime == (
        "TensorRT 10.7.0 (trtexec), precision FP32+FP16, CUDA graph Enabled, data transfers Enabled, streams 1"
    )
    assert table.meta["imported"] == {
        "files": ["network-00000.json", "trtexec-failed.log", "trtexec.log"],
        "tools": ["trtexec"],
        "measurements": 2,
        "estimator": "median that the tool states (1)",
    }
    key = f"{table.names[0]}/{CONFIG}"
    assert table.meta["operators"] == {key: [["stem/Conv + stem/Relu", "", 0.2], ["pooling/Mean", "", 0.1]]}
    again = load_table(write_parquet(table, tmp_path / "table.parquet"))
    assert isinstance(again, CostTable)
    assert again.meta == table.meta


def test_results_of_one_network_become_their_median(put: Put) -> None:
    files = [put("trtexec.log", f"{median}.log", **{"median_=_0.703125": f"median = {median}"}) for median in (3, 1, 2)]
    table = read_tool_files(files, "orin")
    assert table.costs.tolist() == [[2.0]]
    assert table.repeats is not None
    assert table.repeats[0, 0].tolist() == [1.5, 2.0, 2.5, 2.5, 1.0]


def test_the_runs_count_more_than_the_log_of_the_same_run(put: Put) -> None:
    files = [put("trtexec.log"), put("trtexec-times.json", "network-00000.times.json")]
    table = read_tool_files(files, "orin")
    assert table.costs.tolist() == [[pytest.approx(0.75)]]
    assert table.meta["imported"]["estimator"] == "lower quartile of the runs (1)"
    assert "precision FP32+FP16" in table.devices["orin"].runtime
    assert table.repeats is not None
    np.testing.assert_allclose(table.repeats[0, 0], [0.75, 0.8, 1.35, np.nan, np.nan])


def test_profiled_times_give_way_to_others(put: Put) -> None:
    profile = put("onnxruntime-profile.json", "network-00001_profile.json")
    alone = read_tool_files(profile, "pc")
    assert alone.costs.tolist() == [[pytest.approx(0.495)]]
    assert alone.devices["pc"].runtime.endswith("provider CPUExecutionProvider, profiled")
    table = read_tool_files([profile, put("perf_test.txt")], "pc")
    assert table.costs.tolist() == [[pytest.approx(1.85674)]]
    assert len(table.meta["operators"][f"{table.names[0]}/{CONFIG}"]) == 2
    assert "profiled" not in table.devices["pc"].runtime


def test_several_requests_have_a_throughput(put: Put) -> None:
    table = read_tool_files(put("trtexec-streams.log"), "orin")
    assert [str(target) for target in table.targets] == ["orin/throughput"]
    assert table.costs.tolist() == [[2000.0]]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"FP32+FP16": "FP32"}, r"the files differ in precision: FP32\+FP16 in .*a.log, FP32 in .*b.log"),
        ({}, {"Streams:_1": "Streams: 2"}, "the files differ in metric: latency in .*a.log, throughput in"),
        ({}, {"10.7.0": "10.9.0"}, "the files differ in version: 10.7.0 in .*a.log, 10.9.0 in"),
        ({}, {"1x3x32x32": "8x3x32x32"}, "the files differ in batch: 1 in"),
        ({}, {"Orin": "Xavier"}, "the files differ in processor: Orin in"),
        ({}, {"median_=_0.70": "median = 9.70"}, "a.log contradicts .*b.log: the same network, 0.703125 here and 9.7"),
    ],
)  # fmt: skip
def test_other_conditions_are_another_device(
    first: dict[str, str], second: dict[str, str], said: str, put: Put
) -> None:
    files = [put("trtexec.log", "a.log", **first), put("trtexec.log", "b.log", **second)]
    with pytest.raises(DataFileError, match=said):
        read_tool_files(files, "orin")


def test_other_tools_are_another_device(put: Put) -> None:
    with pytest.raises(DataFileError, match=r"the files differ in runtime: TensorRT in .*, LiteRT in"):
        read_tool_files([put("trtexec.log"), put("benchmark_model.log")], "orin")
    files = [put("onnxruntime-profile.json", "network-00000.json"), put("perf_test.txt")]
    with pytest.raises(DataFileError, match="the files differ in profiling, which takes time of its own: yes in"):
        read_tool_files(files, "pc")


def test_a_network_that_failed_and_did_not_is_refused(put: Put) -> None:
    files = [put("trtexec.log", v100700="v8401"), put("trtexec-failed.log", **{"network-00002": "network-00000"})]
    files[0].write_text(files[0].read_text().replace("10.7.0", "8.4.1"))
    with pytest.raises(
        DataFileError, match=r"failed.log contradicts .*trtexec.log: the same network failed in the one"
    ):
        read_tool_files(files, "orin")


def test_many_different_failures_are_one(put: Put, nets: Path) -> None:
    log = put("trtexec-failed.log").read_text()
    archs = SPACE.format_all(SPACE.at(np.arange(150)))
    (nets / "map.csv").write_text(
        "file,architecture\n" + "".join(f'n{row},"{text}"\n' for row, text in enumerate(archs))
    )
    (nets / "all.log").write_text(
        "".join(log.replace("network-00002", f"n{row}").replace("Conv_3", f"Conv_{row}") for row in range(150))
    )
    table = read_tool_files(nets / "all.log", "orin", manifest=nets / "map.csv")
    assert (list(table.reasons), len(table)) == (["failed"], 150)


def test_operators_alone_are_no_cost(put: Put) -> None:
    with pytest.raises(
        DataFileError, match="has times of operators only, which don't add up to a network's: import its"
    ):
        read_tool_files(put("trtexec-layers.log"), "orin")


def test_operators_add_up_to_the_latency(put: Put) -> None:
    """Times that were summed over all runs, or are in seconds, are not those of one run."""
    latency = "of 0.7031 ms, between 0.01 and 100 times as much, got "
    for times, total in (((61.8, 30.9), "92.7"), ((0.0002, 0.0001), "0.0003")):
        replaced = {
            f'"averageMs" : {old},': f'"averageMs" : {new},' for old, new in zip((0.2, 0.1), times, strict=True)
        }
        layers = put("trtexec-layers.json", "network-00000.json", **replaced)
        with pytest.raises(DataFileError, match=f"network-00000.json: times of operators of .* {latency}{total}"):
            read_tool_files([put("trtexec.log"), layers], "orin")


def test_times_of_another_version_than_the_costs(put: Put) -> None:
    files = [put("trtexec.log", "costs.log"), put("trtexec-layers.log", "profile.log")]
    with pytest.raises(
        DataFileError, match=r"the files differ in version: 10\.7\.0 in .*costs.log, 8\.5\.2 in .*profile.log"
    ):
        read_tool_files(files, "orin")


def test_more_operators_than_a_table_holds_are_refused(put: Put, nets: Path) -> None:
    layers = [{"count": 1}, *({"name": f"layer, {number}", "averageMs": 0.1} for number in range(300_001))]
    (nets / "network-00000.json").write_text(json.dumps(layers))
    with pytest.raises(DataFileError, match="times of 300,001 operators, too many for a table: import them"):
        read_tool_files([put("trtexec.log"), nets / "network-00000.json"], "orin")


def test_folders_are_searched(put: Put, nets: Path) -> None:
    put("benchmark_report.csv", "one/benchmark_report.csv")
    put("counters.csv", "one/benchmark_average_counters_report.csv")
    put("benchmark_report.csv", "two/benchmark_report.csv", **{"network-00001": "network-00002"})
    (nets / "network-00001.onnx").write_bytes(b"\x08\x07model")
    (nets / "results.csv").write_text("file,architecture,config,device,metric,value,unit,note\n")
    table = read_tool_files(nets, "cpu")
    assert SPACE.index(table.archs).tolist() == [77, 901]
    assert list(table.meta["operators"]) == [f"{table.names[0]}/{CONFIG}"]
    again = read_tool_files([nets, nets / "one" / "benchmark_report.csv"], "cpu")
    assert again.meta["imported"]["measurements"] == 2  # each file counts once
    (nets / "two" / "killed.log").touch()
    with pytest.raises(DataFileError, match=r"killed.log is empty: was the tool ended before it wrote its results\?"):
        read_tool_files(nets, "cpu")


def test_what_is_no_result_is_refused(put: Put, nets: Path, tmp_path: Path) -> None:
    (tmp_path / "measured.csv").write_text("architecture,device,value\n0,pi,1\n")
    with pytest.raises(
        DataFileError, match=r"measured.csv is no result file of a known tool; allowed: benchmark_app report"
    ):
        read_tool_files([put("trtexec.log"), tmp_path / "measured.csv"], "orin")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match=r"the folder .* has no result file of a known tool"):
        read_tool_files(tmp_path / "empty", "orin")
    with pytest.raises(DataFileError, match=r"can't read .*none.log: No such file"):
        read_tool_files(tmp_path / "none.log", "orin")
    with pytest.raises(InvalidInputError, match="there is nothing to read"):
        read_tool_files([], "orin")
    with pytest.raises(InvalidInputError, match="a device's name is a non-empty text without '/'"):
        read_tool_files(put("trtexec.log"), "a/b")


def test_results_of_several_spaces_are_refused(put: Put, nets: Path, tmp_path: Path) -> None:
    from tests.data.tool_files.conftest import MANIFEST

    entry = {**MANIFEST["networks"][0], "architecture": ",".join("0" * 22), "config": "cifar100"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text(json.dumps({**MANIFEST, "space": "fbnet", "networks": [entry]}))
    files = [put("trtexec.log"), put("trtexec.log", "two.log").rename(tmp_path / "other" / "two.log")]
    with pytest.raises(
        DataFileError, match=r"are of several spaces: fbnet, nasbench201. Import them one after the other"
    ):
        read_tool_files(files, "orin")


# -- what the tools that are installed here write ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    from hwnas_surrogate.measure import export_networks

    folder = tmp_path_factory.mktemp("exported") / "networks"
    export_networks("nasbench201", [5, 1462], folder, CONFIG)
    return folder


def test_benchmark_app_writes_what_is_read(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino.tools.benchmark.main", reason="benchmark_app comes with openvino")
    command = [sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()"]
    options = ["-hint", "none", "-nstreams", "1", "-nthreads", "1", "-infer_precision", "f32", "-api", "sync"]
    for number in range(2):
        model, folder = exported / f"network-{number:05d}.onnx", tmp_path / f"report{number}"
        folder.mkdir()
        kind = ["detailed_counters", "-json_stats"] if number else ["average_counters"]  # JSON averages lack layers
        reports = ["-report_folder", str(folder), "-report_type", *kind]
        child = subprocess.run(
            [*command, "-m", model, "-niter", "20", *options, *reports], capture_output=True, text=True, check=True
        )
        (tmp_path / f"network-{number:05d}.log").write_text(child.stdout + child.stderr)
    logs = read_tool_files(sorted(tmp_path.glob("*.log")), "pc", manifest=exported / "manifest.json")
    assert SPACE.index(logs.archs).tolist() == [5, 1462]
    assert (logs.costs > 0).all()
    assert "threads 1, streams 1, precision f32" in logs.devices["pc"].runtime
    assert logs.devices["pc"].runtime.startswith("OpenVINO 20")
    reports = read_tool_files([tmp_path / "report0", tmp_path / "report1"], "pc", manifest=exported / "manifest.json")
    np.testing.assert_allclose(reports.costs, logs.costs, atol=0.0051)  # the report rounds
    for operators in reports.meta["operators"].values():
        assert {"Convolution"} <= {kind for _, kind, _ in operators}
    assert len(reports.meta["operators"]) == 2


def test_onnxruntime_writes_what_is_read(exported: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.intra_op_num_threads = True, 1
    options.profile_file_prefix = str(tmp_path / "network-00001")
    session = onnxruntime.InferenceSession(exported / "network-00001.onnx", options)
    for _ in range(5):
        session.run(None, {"image": np.zeros((1, 3, 32, 32), np.float32)})
    path = Path(session.end_profiling())
    table = read_tool_files(path, "pc", manifest=exported / "manifest.json")
    assert SPACE.index(table.archs).tolist() == [1462]
    ((_, operators),) = table.meta["operators"].items()
    assert "Conv" in {kind for _, kind, _ in operators}
    assert 0 < sum(ms for *_, ms in operators) < 2 * table.costs[0, 0]


@pytest.mark.parametrize("how", ["steps", "blocks"])
def test_pytorch_writes_what_is_read(how: str, exported: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.profiler import ProfilerActivity, profile, record_function, schedule

    from hwnas_surrogate.networks import build_network

    path = tmp_path / f"network-00000.{'json.gz' if how == 'steps' else 'json'}"
    network, image = build_network(5, CONFIG, random_state=0).eval(), torch.zeros(1, 3, 32, 32)
    planned = schedule(wait=1, warmup=1, active=3) if how == "steps" else None
    with (
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU], schedule=planned) as profiler,
    ):
        for _ in range(5):
            if how == "steps":
                network(image)
                profiler.step()
            else:
                with record_function("run"):
                    network(image)
    profiler.export_chrome_trace(str(path))
    table = read_tool_files(path, "pc", manifest=exported / "manifest.json")
    assert table.repeats is not None
    ((_, operators),) = table.meta["operators"].items()
    kinds = [kind for _, kind, _ in operators]
    assert "aten::conv2d" in kinds
    assert "aten::convolution" not in kinds  # conv2d called it
    assert 0 < sum(ms for *_, ms in operators) < 2 * table.costs[0, 0]
