"""A search space of one's own, by the commands that know the built-in ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate import CostTable, get_space
from hwnas_surrogate.data import write_parquet
from hwnas_surrogate.spaces import register_space, registry
from tests.cli.conftest import Run
from tests.spaces.toy import ToySpace


@pytest.fixture
def table(run: Run, monkeypatch: pytest.MonkeyPatch) -> CostTable:
    """Write a table of 120 networks of the toy space to the current folder, and ten of them as CSV."""
    monkeypatch.setattr(registry, "_spaces", dict(registry._spaces))
    register_space(ToySpace)
    space = get_space("toy")
    archs = space.sample(120, random_state=0)
    costs = (space.batch(archs).macs / 1e6 + 0.3) * np.exp(0.01 * np.random.default_rng(0).standard_normal(120))
    table = CostTable(space, archs, np.column_stack([costs, 3 * costs]), ["pi/latency", "pi/energy"])
    write_parquet(table, "toy.parquet")
    lines = [f"{text},{2 * cost!r}" for text, cost in zip(space.format_all(archs[:10]), costs.tolist(), strict=False)]
    Path("samples.csv").write_text("arch_str,new/latency (ms)\n" + "\n".join(lines) + "\n")
    return table


def test_it_is_trained_predicted_and_looked_up(run: Run, table: CostTable) -> None:
    out, _ = run("train", "--data", "toy.parquet", "-o", "saved")
    assert "Held-out scores of Toy architectures" in out
    text = table.space.format(table.archs[0])
    out, _ = run("predict", text, "-s", "saved", "--interval", "90")
    assert "pi/latency (ms)" in out
    assert text in out
    out, _ = run("query", "--data", "toy.parquet", text)
    assert f"{table.costs[0, 0]:.4g}" in out


def test_it_is_suggested_imported_and_adapted(run: Run, table: CostTable) -> None:
    out, _ = run("suggest", "--space", "toy", "-n", "5", "-o", "chosen.csv")
    assert out.count("-w") >= 25
    out, _ = run("import", "samples.csv", "-o", "imported.parquet")
    assert "Costs of 10 Toy architectures" in out
    _, err = run("adapt", "samples.csv", "-o", "adapted")
    assert "1 surrogate(s) saved to adapted" in err
    out, _ = run("predict", "--sample", "3", "-s", "adapted")
    assert "new/latency (ms)" in out


def test_it_is_correlated_and_reported(run: Run, table: CostTable) -> None:
    pytest.importorskip("plotly")
    out, _ = run("correlate", "--data", "toy.parquet")
    assert "1.000" in out
    run("report", "--data", "toy.parquet", "-o", "page.html")
    assert Path("page.html").stat().st_size > 100_000


def test_what_it_lacks_is_said(run: Run, table: CostTable) -> None:
    _, err = run("export", table.space.format(table.archs[0]), "--space", "toy", "-o", "networks", code=2)
    assert "no network is known for Toy: ToySpace has no method build" in err
