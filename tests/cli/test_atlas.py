"""``hwnas atlas``: what it prints at two widths and for machines, and what it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

from hwnas_surrogate.cli import atlas as command
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.devices import device_atlas
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite, fit_sources
from tests.cli.conftest import Run

NAMES = ("cpu", "gpu", "a-phone-with-a-rather-long-name-of-its-maker")
COLUMNS = ["target", "unit", "per_gmac", "per_gmac_depthwise", "per_call", "per_mb"]


def planted(metric: str = "latency") -> CostTable:
    """Return the costs of a device that computes, one that is slow to start layers, and one in between."""
    archs = get_space("fbnet").sample(30, 0)
    layers = LayerPhysics("fbnet", ["all"]).frame(archs)
    gmacs = (layers["physics_all:macs"] + layers["physics_all:macs_depthwise"]).to_numpy() / 1e9
    calls = layers["physics_all:layers"].to_numpy()
    costs = np.column_stack([20 * gmacs + 1e-4 * calls, 1e-4 * gmacs + 0.05 * calls, 10 * gmacs + 0.02 * calls])
    return CostTable("fbnet", archs, costs, [f"{name}/{metric}" for name in NAMES])


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_sources(planted(), random_state=0).save(tmp_path_factory.mktemp("atlas") / "suite")


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_for_people(run: Run, suite: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.cli.terminal.PIPED", width)
    out, _ = run("atlas", "--sources", suite)
    assert max(map(cell_len, out.splitlines())) <= width
    assert "3 target(s)" in out
    for heading in ("target", "per GMAC", "depthwise", "per call", "per MB"):
        assert heading in out
    assert all(part in out for part in ("cpu/latency", "gpu/latency", "a-phone-with-a-rather-long-", "maker/latency"))
    atlas = device_atlas(SurrogateSuite.load(suite))
    for value in atlas[COLUMNS[2:]].to_numpy().ravel():
        assert f"{value:.3g}" in out.split()


@pytest.mark.parametrize("width", [80, 120])
def test_the_nearest_come_first(run: Run, suite: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.cli.terminal.PIPED", width)
    out, _ = run("atlas", "--sources", suite, "--near", "gpu")
    assert max(map(cell_len, out.splitlines())) <= width
    assert "distance" in out
    starts = [line.split()[0] for line in out.splitlines() if line.split()]
    assert starts.index("gpu/latency") < next(at for at, word in enumerate(starts) if word.startswith("a-phone"))
    assert starts.index("cpu/latency") == max(starts.index(word) for word in ("gpu/latency", "cpu/latency"))


def test_json_and_csv_hold_the_atlas(run: Run, suite: Path) -> None:
    expected = device_atlas(SurrogateSuite.load(suite))
    records = json.loads(run("atlas", "--sources", suite, "--json")[0])
    assert [list(record) for record in records] == [COLUMNS] * 3
    assert [record["target"] for record in records] == [f"{name}/latency" for name in NAMES]
    assert pd.DataFrame(records)[COLUMNS[2:]].to_numpy() == pytest.approx(expected[COLUMNS[2:]].to_numpy())
    frame = pd.read_csv(io.StringIO(run("atlas", "--sources", suite, "--near", "cpu/latency", "--csv")[0]))
    assert list(frame) == [*COLUMNS, "distance"]
    assert frame["target"][0] == "cpu/latency"
    assert frame["distance"][0] == 0
    assert frame["distance"].is_monotonic_increasing


def test_a_table_is_fitted_first_and_several_sources_are_one_atlas(run: Run, suite: Path) -> None:
    path = write_parquet(planted().select(["cpu/latency"]), "costs.parquet")
    out, err = run("atlas", "--sources", path, "--sources", suite, "--json")
    assert [record["target"] for record in json.loads(out)] == ["cpu/latency", *(f"{name}/latency" for name in NAMES)]
    assert "fitting surrogates of 1 source target(s)" in err
    own, saved = json.loads(out)[:2]
    assert own == saved


def test_long_atlases_are_cut_for_people_only(run: Run, suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MOST", 2)
    out, _ = run("atlas", "--sources", suite)
    assert "a-phone" not in out
    assert "the first 2 of 3 targets; --json and --csv have all" in " ".join(out.split())
    assert len(json.loads(run("atlas", "--sources", suite, "--json")[0])) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        ((), 2, ["at least one device", "--sources"]),
        (("--sources", "SUITE", "--near", "gpo"), 1, ["gpo", "Did you mean 'gpu'"]),
        (("--sources", "SUITE", "--json", "--csv"), 2, ["--json and --csv exclude each other"]),
        (("--sources", "nowhere"), 1, ["there is no file nowhere"]),
    ],
    ids=["nothing", "unknown", "two-formats", "no-file"],
)
def test_what_cannot_be_is_refused(
    run: Run, suite: Path, arguments: tuple[str, ...], code: int, parts: list[str]
) -> None:
    out, err = run("atlas", *(suite if word == "SUITE" else word for word in arguments), code=code)
    assert out == ""
    assert [part for part in parts if part not in " ".join(err.split())] == []


def test_costs_that_are_no_sums_are_refused_by_name(run: Run) -> None:
    path = write_parquet(planted("peak_memory").select(["gpu/peak_memory"]), "memory.parquet")
    _, err = run("atlas", "--sources", path, code=2)
    assert "gpu/peak_memory has no layer physics" in " ".join(err.split())
