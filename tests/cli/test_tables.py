"""Every table of the command line, on the bundled data, in a terminal of 80 columns: it fits, and nothing is lost."""

from __future__ import annotations

import io
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

import hwnas_surrogate.evaluation
from hwnas_surrogate.cli import main
from hwnas_surrogate.cli.costs import show_costs
from hwnas_surrogate.data import CostTable, Target, load_table, write_parquet
from hwnas_surrogate.evaluation import transfer_protocols
from hwnas_surrogate.spaces import get_space
from tests.cli.conftest import Run
from tests.conftest import MadeOnce

ANSI = re.compile(r"\x1b\[[0-9;]*m")
WIDTH = 80
HIDDEN = re.compile(r"(\d+) columns? hidden, use --target")
BUNDLED = load_table(space="nasbench201").targets


class Screen(io.StringIO):
    """A terminal that keeps what is shown."""

    def isatty(self) -> bool:
        return True


def run(*arguments: object, screen: bool = True) -> str:
    """Return what a command prints, colours aside."""
    out = Screen() if screen else io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setenv("COLUMNS", str(WIDTH))
        patch.setenv("TERM", "xterm")
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
    assert not stop.value.code, arguments
    return ANSI.sub("", out.getvalue())


def fits(text: str) -> str:
    """Return a text, lines stripped, if every line fits."""
    lines = text.splitlines()
    assert lines
    assert [line for line in lines if cell_len(line) > WIDTH] == []
    return "\n".join(line.rstrip() for line in lines)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def without_room(text: str, records: list[dict[str, Any]]) -> list[str]:
    """Return the columns of which the text lacks a number; the text must count them."""
    cells = re.split(r"\s{2,}|\n", text)
    columns = [name for name in records[0] if name != "architecture"]
    lacking = [name for name in columns if any(number(record[name]) not in cells for record in records)]
    told = HIDDEN.search(text)
    assert len(lacking) == (int(told[1]) if told else 0), (lacking, text)
    return lacking


@pytest.fixture(scope="module")
def home(made_once: MadeOnce) -> Path:
    """Return a folder with suites of both spaces, trained on the bundled data, and with what training printed."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            text = run("train", "--model", "ridge", "--n-train", 60, "--n-test", 40)
            (folder / "train.txt").write_text(text, "utf-8")

    return made_once("tables", make)


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_train_shows_every_score_of_every_target(home: Path) -> None:
    text = fits((home / "train.txt").read_text("utf-8"))
    for title in ("NAS-Bench-201", "FBNet"):
        assert f"Held-out scores of {title} architectures" in text
    for heading in ("kendall", "spearman", "median", "within", "rmse", "in 90 %", "fit time"):
        assert heading in text
    assert all(str(target) in text for target in BUNDLED)


@pytest.mark.parametrize("command", ["predict", "query"])
def test_targets_are_rows_where_architectures_are_few(command: str) -> None:
    text = fits(run(command, 0, 1, 2))
    records = json.loads(run(command, 0, 1, 2, "--json"))
    assert without_room(text, records) == []
    lines = text.splitlines()
    assert ["target", "0", "1", "2"] in [line.split() for line in lines[:2]]
    for target in BUNDLED:
        name = f"{target} ({target.unit})"
        (line,) = [line for line in lines if line.startswith(name)]
        assert line.removeprefix(name).split() == [number(record[name]) for record in records]
    told = "".join(text.partition("Architectures")[2].split())
    assert all(record["architecture"] in told for record in records)


def test_intervals_are_columns_and_a_budget_is_of_its_target_alone() -> None:
    arguments = ("predict", 0, 1, "--interval", 90, "--budget", "epyc-torch-1t/latency=10")
    text, records = fits(run(*arguments)), json.loads(run(*arguments, "--json"))
    assert without_room(text, records) == []
    lines = text.splitlines()
    for target in BUNDLED:
        name = f"{target} ({target.unit})"
        (at,) = [place for place, line in enumerate(lines) if line.startswith(name)]
        for line, index, record in zip(lines[at : at + 2], "01", records, strict=True):
            told = [number(record[f"{name}{suffix}"]) for suffix in ("", " low", " high")]
            if str(target) == "epyc-torch-1t/latency":
                told.append(number(record["P(epyc-torch-1t/latency <= 10 ms)"]))
            assert line.removeprefix(name).split() == [index, *told]
    assert "budget: epyc-torch-1t/latency <= 10 ms" in text


def costs_of(text: str) -> list[dict[str, Any]]:
    """Return printed JSON without the columns that people see as words, or not at all."""
    records: list[dict[str, Any]] = json.loads(text)
    return [
        {name: value for name, value in record.items() if name not in ("config", "connected")} for record in records
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "--sample", 50),
        ("predict", "--sample", 50, "--target", "epyc-torch-1t"),
        ("predict", "--sample", 50, "-s", "surrogates/fbnet"),
        ("predict", "--sample", 3, "-s", "surrogates/fbnet"),
        ("predict", "--sample", 3, "-s", "surrogates/fbnet", "--interval", 80),
        ("predict", "--sample", 30, "--interval", 80),
        ("predict", 7, 7),
        ("query", *range(30)),
        ("query", "--all", "--space", "fbnet"),
        ("query", "--all", "--data", "modified"),
    ],
)
def test_no_number_of_an_architecture_is_lost(arguments: tuple[Any, ...]) -> None:
    text, records = fits(run(*arguments)), json.loads(run(*arguments, "--json"))
    numbers = costs_of(run(*arguments, "--json"))
    hidden = without_room(text, numbers)
    assert len(hidden) <= len(BUNDLED) // 2
    assert len(text.splitlines()) > len(records)
    if len(records) > 20:
        assert "--json and --csv print the architectures as strings" in text


def of_two_targets(n: int) -> tuple[pd.DataFrame, list[Target]]:
    """Return made-up predictions with a remark about each architecture, and a chance of a cost for one target."""
    space, (first, second) = get_space("nasbench201"), map(Target.parse, ("a/latency", "b/energy"))
    frame = pd.DataFrame({"architecture": space.format_all(range(n)), "remark": [f"remark{row}" for row in range(n)]})
    frame["a/latency (ms)"] = np.arange(n) + 0.125
    frame["b/energy (mJ)"] = np.arange(n) + 0.375
    return frame, [first, second]


@pytest.mark.parametrize("n", [1, 2, 3, 30])
@pytest.mark.parametrize("several", [False, True])
def test_remarks_about_architectures_stay_beside_them(
    n: int, several: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas_surrogate.cli.terminal.PIPED", WIDTH)
    frame, targets = of_two_targets(n)
    if several:
        frame["P(b/energy has a cost)"] = 0.25
    show_costs(frame, targets, get_space("nasbench201"))
    lines = fits(capsys.readouterr().out).splitlines()
    for row in range(n):
        assert any(f"remark{row}" in line.split() and str(row) in line.split() for line in lines)
    if several:
        (first,) = [at for at, line in enumerate(lines) if line.startswith("b/energy (mJ)")]
        assert all(line.split()[-1] == "0.25" for line in lines[first : first + n])
        assert "P(has" in " ".join(lines)
        assert not any("0.25" in line for line in lines[:first])


def test_many_architectures_are_known_by_index_or_ops() -> None:
    for space, folder in (("nasbench201", "surrogates/nasbench201"), ("fbnet", "surrogates/fbnet")):
        archs = get_space(space).sample(25, 0)
        text = fits(run("predict", "--sample", 25, "--seed", 0, "-s", folder))
        named = (
            [str(at) for at in get_space(space).index(archs)]  # type: ignore[attr-defined]
            if space == "nasbench201"
            else [",".join(map(str, row)) for row in archs.tolist()]
        )
        told = [line.split()[0] for line in text.splitlines() if line]
        assert [name for name in told if name in named] == named


def test_correlate_is_the_lower_triangle() -> None:
    text, records = fits(run("correlate")), json.loads(run("correlate", "--json"))
    lines = text.splitlines()
    assert "hidden" not in text
    for row, record in enumerate(records):
        (line,) = [line for line in lines if line.startswith(f"{row + 1} {record['target'].partition('-')[0]}")]
        told = [f"{record[other['target']]:.3f}" for other in records[:row]]
        assert re.findall(r"(?<=\s)-?\d\.\d{3}", line) == told


def test_correlate_of_many_devices_counts_what_it_hides(tmp_path: Path) -> None:
    space, rng = get_space("nasbench201"), np.random.default_rng(0)
    costs = rng.uniform(1, 2, (40, 27))
    targets = [Target(f"some-device-{number}", "latency") for number in range(27)]
    path = write_parquet(CostTable(space, space.sample(40, 0), costs, targets), tmp_path / "many.parquet")
    text = fits(run("correlate", "--data", path))
    assert all(f"{number + 1} {target}" in text for number, target in enumerate(targets))
    told = HIDDEN.search(text)
    assert told
    assert len(text.splitlines()[1].split()) - 1 + int(told[1]) == 26
    assert "--intervals lists every pair" in text
    assert "hidden" not in fits(run("correlate", "--data", path, "--target", targets[0], "--target", targets[9]))
    pairs = fits(run("correlate", "--data", path, "--intervals"))
    assert len(re.findall(r"0\.\d+\s+-?\d", pairs)) >= 27 * 26 / 2


def test_many_targets_of_many_architectures_are_counted(tmp_path: Path) -> None:
    space, rng = get_space("nasbench201"), np.random.default_rng(0)
    targets = [Target(f"some-device-{number}", "latency") for number in range(27)]
    table = CostTable(space, space.sample(40, 0), rng.uniform(1, 2, (40, 27)), targets)
    path = write_parquet(table, tmp_path / "many.parquet")
    records = costs_of(run("query", "--all", "--data", path, "--json"))
    assert len(without_room(fits(run("query", "--all", "--data", path)), records)) > 10
    few = space.format_all(table.archs[:20])
    records = costs_of(run("query", *few, "--data", path, "--json"))
    assert without_room(fits(run("query", *few, "--data", path)), records) == []


@pytest.mark.parametrize(
    ("arguments", "headings"),
    [
        (("evaluate", "--model", "ridge", "--model", "additive", "--n-train", 60, "--seeds", 2), ("sd", "fit time")),
        (
            (
                "evaluate",
                "--data",
                "modified",
                "--protocol",
                "config",
                "--model",
                "ridge",
                "--n-train",
                60,
                "--seeds",
                1,
            ),
            ("log2 distance", "rmse"),
        ),
        (
            ("evaluate", "--model", "ridge", "--protocol", "laube2022", "--target", "epyc-torch-1t", "--seeds", 2),
            ("Published kendall tau", "14000"),
        ),
        (("correlate", "--intervals"), ("low", "high")),
        (("suggest", "-n", 3, "-o", "samples-3.csv"), ("number", "architecture")),
        (("data", "info"), ("noise floor", "runtime")),
        (("data", "info", "modified"), ("sums over all configs", "runtime")),
        (("data", "info", "blocks"), ("noise", "112")),
        (("data", "info", "--space", "fbnet"), ("noise floor", "hardware")),
    ],
)
def test_tables_fit(arguments: tuple[Any, ...], headings: tuple[str, ...]) -> None:
    text = fits(run(*arguments))
    assert all(heading in text.replace("noise\n", "noise ") for heading in headings)


def test_few_shot_tables_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = partial(transfer_protocols.leave_one_device_out, n_source=18, sizes=(6,))
    monkeypatch.setattr(hwnas_surrogate.evaluation, "leave_one_device_out", quick)
    chosen = [part for name in ("epyc-torch-1t", "eyeriss-like/latency") for part in ("--target", name)]
    text = fits(run("evaluate", "--protocol", "devices", *chosen, "--seeds", 1))
    assert all(name in text for name in ("epyc-torch-1t", "eyeriss-like", "mean"))


def test_suggest_measure_and_adapt_fit() -> None:
    fits(run("suggest", "-n", 8, "-o", "form.csv"))
    header, *lines = Path("form.csv").read_text("utf-8").splitlines()
    filled = [line.replace(",,latency,,ms", f",my-board,latency,{5 + row},ms") for row, line in enumerate(lines)]
    assert filled != lines
    Path("filled.csv").write_text("\n".join([header, *filled]), "utf-8")
    assert "8" in fits(run("import", "filled.csv"))
    text = fits(run("adapt", "filled.csv", "-o", "adapted"))
    assert "my-board/latency" in text
    assert "general" in text
    arguments = ("measure", "-n", 2, "--dataset", "C4-N1-k10-3x8x8", "--passes", 2, "--repeats", 2)
    text = fits(run(*arguments, "--device", "a-device-with-quite-a-long-name-indeed", "-o", "mine.parquet"))
    assert "difference" in text


def test_simulate_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zigzag", reason="the extra simulator is not installed")
    monkeypatch.setattr("hwnas_surrogate.measure.simulator._run", lambda layer: (layer.macs + 1.0, 2.0))
    assert "eyeriss-like/energy" in fits(run("simulate", 1, 2))


def test_the_protocol_is_shown_when_asked_for() -> None:
    short, long = run("data", "info"), run("data", "info", "--verbose")
    assert len(short.splitlines()) <= 10 + 4 * len(BUNDLED)
    assert long.startswith(short)
    assert json.loads(long.removeprefix(short)) == load_table(space="nasbench201").meta
    assert len(run("data", "info", "modified", "--verbose")) > len(run("data", "info", "modified"))


def test_rules_are_light_in_pipes_too() -> None:
    text = run("query", 0, 1, 2, screen=False)
    assert text.splitlines()[1].strip("─") == ""
    assert not set(text) & set("━┃│┏╇")
    assert max(map(cell_len, text.splitlines())) <= 120


def test_of_many_columns_the_first_are_printed(run: Run) -> None:
    names = [f"d{number}" for number in range(1200)]
    Path("wide.csv").write_text(f"architecture,{','.join(names)}\n0,{','.join(['1.5'] * 1200)}\n")
    out, err = run("import", "wide.csv", "-o", "wide.parquet")
    assert "d199 = d199/latency (ms); and 1,000 more" in err
    assert out.count("the first 1,000 of 1,200 lines; --json and --csv print all") == 2
    assert "d999/latency" in out
    assert "d1000/latency" not in out
    assert run("data", "info", "wide.parquet", "--csv")[0].count("\n") == 1201
