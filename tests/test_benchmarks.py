"""Benchmarks that take hours give the same figures in one process and on a cluster."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import devices
from benchmarks.__main__ import main
from hwnas_surrogate.spaces import get_space

ROWS = 40


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the benchmark of devices read one made-up device of each space, at one size."""
    for name in ("nasbench201", "fbnet"):
        space = get_space(name)
        archs = space.sample(ROWS, 0)
        costs = space.batch(archs).macs / 1e6 * np.random.default_rng(0).lognormal(0, 0.1, ROWS)
        np.savez(tmp_path / f"{name}_latency.npz", arch_str=space.format_all(archs), phone=costs)
    monkeypatch.setattr(devices, "shared_data", lambda: tmp_path)
    monkeypatch.setattr(devices, "SIZES", (10,))
    monkeypatch.setattr(devices, "SEEDS", range(3))
    monkeypatch.setattr(devices, "MODELS", ("default", "ridge", "ridge+boost"))


def figures(
    folder: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[str, list[list[object]]]:
    """Run the benchmark; return what it prints without the seconds of fits, and its fits in order."""
    devices._near.cache_clear()
    monkeypatch.setattr(devices, "RESULTS", folder / "devices.jsonl")
    monkeypatch.setattr("sys.argv", ["benchmarks", *arguments, "devices"])
    main()
    lines = map(json.loads, (folder / "devices.jsonl").read_text().splitlines())
    fits = sorted([line[key] for key in line if key != "seconds"] for line in lines)
    return re.sub(r"\d+\.\d\d s", "", capsys.readouterr().out), fits


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*event loop.*:DeprecationWarning")
def test_devices_have_the_same_figures_on_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    here = figures(tmp_path / "here", ["--jobs", "1"], monkeypatch, capsys)
    assert "nasbench201, n=10, 1 devices, 3 splits" in here[0]
    assert len(here[1]) >= 2 * (3 + 2 * 2)  # the default on all splits, the others on the first two at least
    assert figures(tmp_path / "there", ["--cluster", "local:2"], monkeypatch, capsys) == here
