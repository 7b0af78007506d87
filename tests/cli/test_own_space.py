"""A search space of one's own, by the commands that know the built-in ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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


# -- a space of PyTorch modules, in a file -----------------------------------------------------------------

FILE = """
from torch import nn

from hwnas_surrogate import ModuleSpace

SIZE = 8


class Filed(ModuleSpace):
    name = "filed"
    choices = {"depth": (1, 2, 3), "width": range(4, 14)}
    input_shape = (SIZE,)

    def build(self, arch, config):
        widths = [SIZE] + [arch["width"]] * arch["depth"]
        return nn.Sequential(*[nn.Linear(a, b) for a, b in zip(widths, widths[1:])])
"""


@pytest.fixture
def filed(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Write the file of a space to the current folder, and measurements of 30 networks of it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("filed_for_test.py").write_text(FILE)
    texts = [f"depth={depth},width={width}" for depth in (1, 2, 3) for width in range(4, 14)]
    costs = [f"{8 * width + (depth - 1) * width * width + 9}" for depth in (1, 2, 3) for width in range(4, 14)]
    lines = [f'"{text}",{cost}' for text, cost in zip(texts, costs, strict=True)]
    Path("measured.csv").write_text("\n".join(["architecture,pi/latency (ms)", *lines, ""]))
    yield "filed_for_test.py:Filed"
    sys.modules.pop("filed_for_test", None)


def test_a_file_brings_a_space(run: Run, filed: str) -> None:
    out, _ = run("train", "--data", "measured.csv", "--space", filed, "-o", "saved", "--jobs", "2")
    assert "Held-out scores of filed architectures" in out
    out, _ = run("predict", "depth=2,width=13", "7", "-s", "saved", "--space", filed)
    assert "depth=2,width=13" in out
    assert "depth=1,width=11" in out
    run("import", "measured.csv", "--space", filed, "-o", "measured.parquet")
    out, _ = run("query", "width=4,depth=3", "--data", "measured.parquet", "--space", filed)
    assert "73" in out
    out, _ = run("suggest", "--space", filed, "-n", "3", "-o", "chosen.csv")
    assert out.count("depth=") == 3
    run("export", "--space", filed, "-n", "1", "-o", "exported", "--format", "torch")
    assert Path("exported/network-00000.pt2").is_file()


def test_the_space_of_a_saved_surrogate_is_checked(run: Run, filed: str) -> None:
    _, err = run("train", "--data", "measured.csv", "--space", filed, "-o", "saved")
    _, err = run("predict", "0", "-s", "saved", "--space", "fbnet", code=2)
    assert "the surrogates of saved are of filed, not of fbnet" in err


@pytest.mark.parametrize(
    ("file", "source", "said"),
    [
        ("absent.py", "absent.py:Filed", "there is no file absent.py"),
        ("filed_for_test.py", "filed_for_test.py", "a search space of a file reads FILE.py:CLASS"),
        ("filed_for_test.py", "filed_for_test.py:Field", "unknown search space in filed_for_test.py 'Field'"),
        ("filed_for_test.py", "filed_for_test.py:SIZE", "unknown search space in filed_for_test.py 'SIZE'"),
        ("my-spaces.py", "my-spaces.py:Filed", "its name, 'my-spaces', is no Python name"),
        ("json.py", "json.py:Filed", "json.py has the name of another module"),
        ("broken_for_test.py", "broken_for_test.py:Filed", "broken_for_test.py, line 2: ZeroDivisionError"),
    ],
)
def test_a_file_that_brings_none_is_refused(run: Run, filed: str, file: str, source: str, said: str) -> None:
    if not Path(file).exists() and file != "absent.py":
        Path(file).write_text(FILE if "broken" not in file else "\n1 / 0\n")
    _, err = run("export", "0", "--space", source, "-o", "out", code=1 if file == "absent.py" else 2)
    assert said in err
