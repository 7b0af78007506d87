"""Which network a result belongs to: what the file states or is called, in a manifest, a CSV, or given networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas_surrogate.data import read_tool_files
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.spaces import get_space
from tests.data.tool_files.conftest import CONFIG, MANIFEST, Put
from tests.graph_tables import zoo

SPACE = get_space("nasbench201")
ZOO = zoo(1)


def arch_of(path: Path, **options: object) -> int:
    table = read_tool_files(path, "board", **options)  # type: ignore[arg-type]
    assert [str(config) for config in table.configs] == [CONFIG]
    (index,) = SPACE.index(table.archs)
    return int(index)


def test_the_manifest_is_read_beside_the_file_and_in_the_folder_above(put: Put) -> None:
    assert arch_of(put("trtexec.log")) == 5
    assert arch_of(put("benchmark_report.csv", "reports/benchmark_report.csv")) == 77


def test_a_manifest_elsewhere_is_given(put: Put, nets: Path, tmp_path: Path) -> None:
    log = put("trtexec.log").rename(tmp_path / "trtexec.log")
    with pytest.raises(DataFileError, match=r"'nets/network-00000.onnx', which nobody exported or named; known: none"):
        arch_of(log)
    assert arch_of(log, manifest=nets / "manifest.json") == 5


@pytest.mark.parametrize(
    "name",
    [
        "network-00002.json",
        "network-00002.times.json",
        "network-00002-fp16_profile.json",
        "network-00002_2026-11-30_13-15-34_458.json",  # ONNX Runtime adds the time
        "network-00002.1732971234567890.pt.trace.json",  # PyTorch the time and its own ending
        "NETWORK/network-00002.log",
        "network-00002/times.json",
        "network-00002/onnxruntime_profile__2026-11-30_13-15-34.json",
    ],
)
def test_a_file_without_a_model_is_called_like_it(name: str, put: Put, nets: Path) -> None:
    assert arch_of(put("trtexec-times.json", name), manifest=nets / "manifest.json") == 901


@pytest.mark.parametrize(
    "name", ["network-000021.json", "network-00002-small.json", "network-00002/other.json", "xnetwork-00002.json"]
)
def test_another_name_is_another_network(name: str, put: Put) -> None:
    with pytest.raises(DataFileError, match="', which nobody exported or named; known: 'network-00000'"):
        arch_of(put("trtexec-times.json", name))


@pytest.mark.parametrize(
    "stated",
    ["network-00002-int8.onnx", r"C:\models\network-00002.onnx", "/x/network-00002/model.onnx", "network-00002"],
)
def test_a_stated_model_counts_whatever_the_file_is_called(stated: str, put: Put) -> None:
    path = put("trtexec.log", "network-00001.log")
    path.write_text(path.read_text().replace("nets/network-00000.onnx", stated))
    assert arch_of(path) == 901


def test_the_folder_of_perf_tests_model_may_name_it(put: Put) -> None:
    assert arch_of(put("perf_test.csv", "network-00001.csv")) == 77
    assert arch_of(put("perf_test.csv", "result.csv", nets="network-00002")) == 901


def test_two_models_in_one_result_file_of_perf_test(put: Put) -> None:
    path = put("perf_test.csv", nets="network-00002")
    path.write_text(path.read_text() + path.read_text().replace("network-00002", "network-00000"))
    table = read_tool_files(path, "board")
    assert SPACE.index(table.archs).tolist() == [901, 5]


@pytest.mark.parametrize(
    ("lines", "arch"),
    [
        ("file,architecture,config\nnetwork-00000.onnx,17," + CONFIG, 17),
        ("file;architecture;dataset;value\nsub\\network-00000.tflite;17;" + CONFIG + ";", 17),
    ],
    ids=["commas", "form"],
)
def test_a_csv_says_which_architecture_a_file_is(lines: str, arch: int, put: Put, nets: Path) -> None:
    (nets / "map.csv").write_text(lines + "\n")
    assert arch_of(put("trtexec.log"), manifest=nets / "map.csv") == arch


def test_a_csv_says_which_graph_a_file_is(put: Put, nets: Path) -> None:
    (nets / "map.csv").write_text(f"file,model\nnetwork-00000.onnx,{ZOO.names[2]}\n")
    table = read_tool_files(put("trtexec.log"), "board", manifest=nets / "map.csv", networks=ZOO)
    assert table.names == (ZOO.names[2],)
    with pytest.raises(DataFileError, match="line 2: unknown network"):
        read_tool_files(put("trtexec.log"), "board", manifest=nets / "map.csv")


def test_given_networks_are_named(put: Put) -> None:
    path = put("trtexec-times.json", f"{ZOO.names[1]}.json")
    table = read_tool_files(path, "board", networks=ZOO)
    assert table.space is None
    with pytest.raises(InvalidInputError, match="got architectures, which a manifest names"):
        read_tool_files(path, "board", networks=SPACE.batch([0, 1]))


def test_a_stated_onnx_file_is_read_if_nothing_names_it(put: Put, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from hwnas_surrogate.networks import build_network, to_onnx

    path = put("trtexec.log").rename(tmp_path / "measured.log")
    (tmp_path / "nets" / "manifest.json").unlink()
    model = to_onnx(build_network(5, CONFIG, random_state=0), (3, 32, 32))
    (tmp_path / "nets" / "network-00000.onnx").write_bytes(model.SerializeToString())
    table = read_tool_files(path, "board")
    assert (table.space, table.names) == (None, ("network-00000",))


def _changed(**fields: object) -> str:
    return json.dumps({**MANIFEST, **fields})


ENTRY = MANIFEST["networks"][0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_changed(version=2), "is a manifest of version 2, this package reads version 1: export the networks again"),
        (_changed(space=3), "is no manifest that hwnas export wrote: it has no space and networks"),
        (_changed(space="other"), "unknown search space 'other'"),
        (_changed(networks=[{**ENTRY, "config": ""}]), "network number 0 must have a file, an architecture and"),
        (_changed(networks=[{**ENTRY, "architecture": "x"}]), "manifest.json: network number 0: "),
        (_changed(networks=[{**ENTRY, "config": "C" + "9" * 5000}]), "manifest.json: network number 0: "),
        (_changed(networks=[ENTRY, {**ENTRY, "architecture": "7"}]), "gives 'network-00000' another network than"),
        ("[" * 100_000, "is no manifest that hwnas export wrote: its values are nested too deep"),
        ("{", "is no manifest that hwnas export wrote: "),
        ("[]", "is no manifest that hwnas export wrote"),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_wrong_manifest_is_refused(text: str, said: str, put: Put, nets: Path) -> None:
    (nets / "manifest.json").write_text(text)
    with pytest.raises((DataFileError, InvalidInputError), match=said):
        read_tool_files(put("trtexec.log"), "board")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,device\nx,y\n", r"must have the columns file and architecture \(and config\), or file and model"),
        ("file,architecture\nnetwork-0.onnx,oops\n", "line 2: "),
        ("file,architecture\n,5\n", "line 2 names no file"),
        ("file,architecture\na.onnx,5\na.log,6\n", "line 3 gives 'a' another network than an earlier one"),
        ("", "must have the columns"),
    ],
    ids=range(5),
)
def test_a_wrong_csv_is_refused(text: str, said: str, put: Put, nets: Path) -> None:
    (nets / "map.csv").write_text(text)
    with pytest.raises(DataFileError, match=said):
        read_tool_files(put("trtexec.log"), "board", manifest=nets / "map.csv")


def test_absent_manifests_and_other_spaces_are_refused(put: Put, nets: Path) -> None:
    path = put("trtexec.log")
    for name in ("none.json", "none.csv"):
        with pytest.raises(DataFileError, match=f"can't read {nets / name}: No such file"):
            read_tool_files(path, "board", manifest=nets / name)
    with pytest.raises(InvalidInputError, match="names architectures of nasbench201, not of fbnet"):
        read_tool_files(path, "board", space="fbnet")


def test_the_manifest_is_that_of_export() -> None:
    pytest.importorskip("torch")
    from hwnas_surrogate.data.tool_files import models
    from hwnas_surrogate.measure import export

    assert (models.MANIFEST, models.MANIFEST_VERSION) == (export.MANIFEST, export.MANIFEST_VERSION)
