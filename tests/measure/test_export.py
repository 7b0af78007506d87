"""Exported networks: what the manifest says is what the files compute, and measurements of them come back."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hwnas_surrogate
from hwnas_surrogate.data import Target, read_measurements
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.measure import export_networks
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.spaces import FBNetConfig, NASBench201Config, get_space

pytest.importorskip("onnx", reason="needs the extra onnxruntime")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnxruntime")

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
ARCHS = SPACE.sample(4, 0)
WRITTEN = [f"network-{row:05d}.onnx" for row in range(len(ARCHS))]
CONFIG = "C4-N1-k10-3x8x8"
WIDE = NASBench201Config(C=16, N=1, num_classes=7, in_channels=2, height=12, width=20)
SMALL_FBNET = FBNetConfig(4, (4, 4, 6, 6, 8, 8, 10), 12, 5, height=9, width=17)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "board"


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def image(entry: dict[str, Any]) -> torch.Tensor:
    return torch.randn(entry["input"][2], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("space", "archs", "configs"),
    [(SPACE, ARCHS, [CONFIG, WIDE, WIDE, CONFIG]), ("fbnet", FBNET.sample(4, 1), SMALL_FBNET)],
    ids=["two-configs", "fbnet"],
)
def test_the_manifest_rebuilds_what_the_files_compute(folder: Path, space: Any, archs: Any, configs: Any) -> None:
    path = export_networks(space, archs, folder, configs, random_state=np.int64(5))
    assert path == folder / "manifest.json"
    manifest = json.loads(path.read_text())
    chosen = get_space(space)
    assert names(folder) == ["manifest.json", *WRITTEN, "results.csv", "run.py"]
    top = {"version": 1, "package": hwnas_surrogate.__version__, "space": chosen.name, "random_state": 5}
    assert manifest == {**top, "networks": manifest["networks"]}
    of_row = [chosen.config(config) for config in (configs if isinstance(configs, list) else [configs] * 4)]
    for entry, file, arch, config in zip(manifest["networks"], WRITTEN, archs, of_row, strict=True):
        assert (entry["file"], entry["format"]) == (file, "onnx")
        assert (entry["architecture"], entry["config"]) == (chosen.format(arch), str(config))
        assert entry["input"] == ["image", "float32", [1, *config.input_shape]]
        assert entry["sha256"] == sha256(folder / file)
        network = build_network(entry["architecture"], entry["config"], manifest["space"], manifest["random_state"])
        with torch.inference_mode():
            expected = network(image(entry))
        outs = session(folder / file).run(None, {"image": image(entry).numpy()})
        for out, wanted in zip(outs, expected if isinstance(expected, tuple) else [expected], strict=True):
            assert np.abs(out - wanted.numpy()).max() <= 1e-4 * wanted.abs().max()
    with (folder / "results.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["file", "architecture", "config", "device", "metric", "value", "unit", "note"]
        lines = [[item["file"], item["architecture"], item["config"]] for item in manifest["networks"]]
        assert list(csv.reader(file)) == [[*line, "", "latency", "", "ms", ""] for line in lines]


def test_defaults_seeds_and_progress(tmp_path: Path) -> None:
    steps: list[Any] = []
    export_networks("nasbench201", [1, 2], tmp_path, progress=lambda *step: steps.append(step))  # it exists, empty
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert steps == [(1, 2), (2, 2)]
    assert manifest["random_state"] == 0
    assert {entry["config"] for entry in manifest["networks"]} == {str(SPACE.configs["cifar10"])}
    for seed, same in ((0, True), (1, False)):
        export_networks(SPACE, 1, tmp_path / str(seed), random_state=seed)
        assert (sha256(tmp_path / str(seed) / "network-00000.onnx") == manifest["networks"][0]["sha256"]) == same


def test_both_formats(folder: Path) -> None:
    export_networks(SPACE, ARCHS[:1], folder, CONFIG, formats=("torch", "onnx", "torch"))
    entries = json.loads((folder / "manifest.json").read_text())["networks"]
    files = [(entry["file"], entry["format"]) for entry in entries]
    assert files == [("network-00000.pt2", "torch"), ("network-00000.onnx", "onnx")]
    assert (folder / "results.csv").read_text().count("network-") == 1  # one line per network
    assert entries[0]["sha256"] == sha256(folder / "network-00000.pt2")
    loaded = torch.export.load(folder / "network-00000.pt2").module()
    torch.testing.assert_close(loaded(image(entries[0])), build_network(ARCHS[0], CONFIG, SPACE, 0)(image(entries[0])))


def test_measurements_of_the_files_come_back(folder: Path) -> None:
    export_networks(SPACE, ARCHS, folder, CONFIG)
    form = folder / "results.csv"
    with pytest.raises(DataFileError, match=r"4 wrong lines; nothing was imported\.\n  line 2: no device"):
        read_measurements(form)
    with form.open(newline="") as file:
        lines = list(csv.DictReader(file))
    measured = {}
    for line in lines:
        run, feed = session(folder / line["file"]).run, {"image": np.zeros((1, 3, 8, 8), np.float32)}
        run(None, feed)
        start = time.perf_counter()
        run(None, feed)
        measured[line["architecture"]] = (time.perf_counter() - start) * 1e3
        line |= {"device": "my-board", "value": repr(measured[line["architecture"]] * 1e3), "unit": "us"}
    with form.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    table = read_measurements(form)
    assert (table.space, table.targets, len(table)) == (SPACE, (Target("my-board", "latency"),), 4)
    assert [str(config) for config in table.configs] == [CONFIG]
    assert table.lookup(ARCHS, CONFIG).to_numpy().ravel() == pytest.approx(
        [measured[SPACE.format(arch)] for arch in ARCHS], rel=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"formats": ("onnx", "tfl")}, InvalidInputError, "unknown format 'tfl'; allowed: 'onnx', 'onnx-int8'"),
        ({"formats": "pt2"}, InvalidInputError, "unknown format 'pt2'; allowed: 'onnx', 'onnx-int8', 'tflite'"),
        ({"archs": []}, InvalidInputError, "nothing to export: no architectures were given"),
        ({"random_state": -1}, InvalidInputError, "random_state must be a non-negative integer"),
        ({"random_state": np.random.default_rng(0)}, InvalidInputError, "random_state must be a .*, a seed that"),
        ({"configs": [CONFIG, CONFIG]}, InvalidConfigError, "got 2 for 4 architectures"),
        ({"space": "fbnet", "archs": [[0] * 22, [1] * 22], "configs": FBNetConfig(5)}, InvalidConfigError, "layer 0 n"),
        ({"folder": "x" * 300}, DataFileError, "can't write .*too long"),
    ],
)  # fmt: skip
def test_wrong_arguments_write_nothing(folder: Path, arguments: Any, error: type[HWNASError], message: str) -> None:
    with pytest.raises(error, match=message):
        export_networks(**{"space": SPACE, "archs": ARCHS, "folder": folder, "configs": CONFIG, **arguments})
    assert not folder.parent.exists()


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(InvalidInputError, match=rf"{re.escape(str(tmp_path))} is not an empty folder; choose another"):
        export_networks(SPACE, ARCHS, tmp_path, CONFIG)
    with pytest.raises(InvalidInputError, match="notes is a file, and can't be a folder"):
        export_networks(SPACE, ARCHS, tmp_path / "notes", CONFIG)
    with pytest.raises(InvalidInputError, match="notes is a file, and can't be a folder"):
        export_networks(SPACE, ARCHS, tmp_path / "notes" / "folder", CONFIG)
    assert (names(tmp_path), (tmp_path / "notes").read_text()) == (["notes"], "mine")


@pytest.mark.parametrize("full", [WRITTEN[2], "results.csv", "manifest.json"])
def test_a_full_disk_leaves_the_folder_empty(folder: Path, full: str, monkeypatch: Any) -> None:
    real = Path.open

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if full in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(DataFileError, match=r"can't write .*: No space left"):
            export_networks(SPACE, ARCHS, folder, CONFIG)
    assert names(folder) == []
    export_networks(SPACE, ARCHS, folder, CONFIG)
    assert names(folder) == ["manifest.json", *WRITTEN, "results.csv", "run.py"]
    with pytest.raises(InvalidInputError, match="is not an empty folder"):
        export_networks(SPACE, ARCHS, folder, CONFIG)


@pytest.mark.slow
def test_a_full_disk_does_not_end_the_process_in_torch_format(folder: Path) -> None:
    script = f"""
import resource
from hwnas_surrogate.measure import export_networks

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
export_networks("nasbench201", 0, {str(folder)!r}, {CONFIG!r}, formats=["torch"])
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert re.search(r"DataFileError: can't write .*: File too large", done.stderr)
    assert names(folder) == []
