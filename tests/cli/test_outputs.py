"""What no file may replace is refused by every command, before its work; what is there stays."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.spaces import get_space
from tests.cli.conftest import Run

SPACE = get_space("nasbench201")

FILES: dict[str, tuple[list[str], str, str]] = {
    # the command; what its output ends in; the work that must not begin
    "import": (["import", "wide.csv"], ".parquet", "data.read_measurements"),
    "predict": (["predict", "--input", "wide.csv", "-s", "suite"], ".csv", "trainers.SurrogateSuite.queries"),
    "report": (["report", "--data", "table.parquet"], ".html", "report.page._evaluated"),
    "suggest": (["suggest", "-n", "1"], ".csv", "search.suggest"),
    "suggest-given": (["suggest", "-n", "1", "--given", "wide.csv"], ".csv", "search.suggest"),
    "simulate": (["simulate", "0"], ".parquet", "measure.simulator._simulate"),
    "measure": (["measure", "0"], ".parquet", "measure.session.time_networks"),
}
FOLDERS: dict[str, tuple[list[str], str, str]] = {
    # the command; a file that it writes to its folder; the work that must not begin
    "train": (["train", "--data", "table.parquet", "-o"], "manifest.json", "evaluation.evaluate"),
    "tune": (["train", "--data", "table.parquet", "--tune", "9s", "-o"], "manifest.json", "trainers.tune"),
    "adapt": (["adapt", "wide.csv", "-o"], "manifest.json", "trainers.adapt"),
    "evaluate": (["evaluate", "--data", "table.parquet", "-o"], "nasbench201-random.json", "evaluation.evaluate"),
    "learning-curve": (
        ["evaluate", "--data", "table.parquet", "--protocol", "learning-curve", "-o"],
        "nasbench201-learning-curve.png",
        "evaluation.learning_curve",
    ),
    "devices": (
        ["evaluate", "--data", "table.parquet", "--protocol", "devices", "-o"],
        "nasbench201-devices.json",
        "evaluation.leave_one_device_out",
    ),
    "export": (["export", "0", "-o"], "", "measure.export.build_network"),
    "suggest-export": (["suggest", "-n", "1", "--export"], "", "search.suggest"),
    "convert": (["data", "convert", "official.pickle"], "", "data.official.read_official"),
}  # fmt: skip


@pytest.fixture(scope="module")
def table() -> CostTable:
    costs = np.random.default_rng(0).uniform(1, 2, (40, 2))
    return CostTable(SPACE, SPACE.at(range(40)), costs, ["a/latency", "b/latency"])


@pytest.fixture(scope="module")
def suite(table: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained")
    write_parquet(table, path / "table.parquet")
    with pytest.raises(SystemExit) as stop:
        main(["train", "--data", str(path / "table.parquet"), "--model", "ridge", "-o", str(path / "suite")])
    assert not stop.value.code
    return path / "suite"


@pytest.fixture
def inputs(run: Run, table: CostTable, suite: Path) -> None:
    write_parquet(table, "table.parquet")
    lines = [f"{arch},{cost}" for arch, cost in zip(SPACE.format_all(table.archs), table.costs[:, 0], strict=True)]
    Path("wide.csv").write_text("\n".join(["architecture,a_latency_ms", *lines]))
    Path("suite").symlink_to(suite)
    Path("official.pickle").write_bytes(b"official")


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> Any:
    def forbid(name: str) -> None:
        def work(*_: Any, **__: Any) -> None:
            raise AssertionError("the work began")

        monkeypatch.setattr(f"hwnas_surrogate.{name}", work)

    return forbid


def content() -> dict[str, tuple[int, bytes]]:
    """Return the mode and the bytes of everything in the folder."""
    paths = sorted(path for path in Path().rglob("*") if path.name != "suite")
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else os.fsencode(path)) for path in paths
    }


PLACES = ["folder", "hard link", "socket", "below a file", "ending"]


@pytest.mark.parametrize(
    ("command", "place"),
    [(command, place) for command in FILES for place in PLACES]
    + [("predict", "input"), ("suggest-given", "input")]
    + [(command, "link to input") for command in ("import", "predict", "report", "suggest-given")],
)
def test_a_file_that_must_stay(run: Run, inputs: None, no_work: Any, command: str, place: str) -> None:
    arguments, suffix, work = FILES[command]
    output = Path(f"out{suffix}")
    message = {
        "folder": "is a folder",
        "hard link": "is one of 2 names",
        "input": "is the input as well",
        "socket": "neither a file nor a pipe",
        "below a file": "is a file, and can't be a folder",
        "ending": "must end in",
    }[place.removeprefix("link to ")]
    if place == "folder":
        output.mkdir()
    elif place == "hard link":
        output.hardlink_to("official.pickle")
    elif place == "input":
        output = Path("wide.csv")
    elif place == "link to input":
        output.symlink_to("table.parquet" if command == "report" else "wide.csv")
    elif place == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(output))
    elif place == "below a file":
        output = Path("official.pickle") / "sub" / output
    else:
        output = output.with_suffix(".txt")
    before = content()
    no_work(work)
    out, err = run(*arguments, "-o", output, code=2)
    assert out == ""
    assert message in err
    assert content() == before


@pytest.mark.parametrize("command", [*FILES, *FOLDERS])
def test_a_folder_that_cannot_be_written(
    run: Run, inputs: None, no_work: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content()
    # Permissions don't keep an administrator out.
    access = os.access
    there = Path.cwd()
    monkeypatch.setattr(os, "access", lambda path, mode, **how: Path(path) != there and access(path, mode, **how))
    if command in FILES:
        arguments, suffix, work = FILES[command]
        arguments = [*arguments, "-o", f"new/folder/out{suffix}"]
    else:
        arguments, _, work = FOLDERS[command]
        arguments = [*arguments, "new/folder"]
    no_work(work)
    _, err = run(*arguments, code=1)
    assert "error: can't write new/folder" in err
    assert "Permission denied" in err
    assert content() == before


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (command, place)
        for command, (_, name, _) in FOLDERS.items()
        for place in ("file", "below a file", "folder", "hard link")
        if name or place.endswith("file")  # other files are checked together, before they are moved
    ],
)
def test_a_folder_that_must_stay(run: Run, inputs: None, no_work: Any, command: str, place: str) -> None:
    arguments, name, work = FOLDERS[command]
    if place in ("file", "below a file"):
        folder = Path("official.pickle") / ("sub" if place == "below a file" else "")
        message = "is a file, and can't be a folder"
    else:
        folder, message = Path("out"), "is a folder" if place == "folder" else "is one of 2 names"
        folder.mkdir()
        if place == "folder":
            (folder / name).mkdir()
        else:
            (folder / name).hardlink_to("official.pickle")
    before = content()
    no_work(work)
    _, err = run(*arguments, folder, code=2)
    assert message in err
    assert content() == before


def test_surrogates_do_not_replace_what_they_come_from(run: Run, inputs: None, no_work: Any, suite: Path) -> None:
    before = {path.name: path.read_bytes() for path in suite.iterdir()}
    no_work("trainers.adapt")
    Path("link").symlink_to("suite")
    for output in ("suite", "link", suite):
        _, err = run("adapt", "wide.csv", "--sources", "suite", "-o", output, code=2)
        assert "is the input as well" in err
    Path("tables").mkdir()
    Path("table.parquet").rename("tables/nasbench201.parquet")
    assert "is the input as well" in run("train", "--data", "tables", "-o", "tables", code=2)[1]
    assert {path.name: path.read_bytes() for path in suite.iterdir()} == before


@pytest.mark.parametrize("command", [["train", "--data", "table.parquet"], ["adapt", "wide.csv"]])
def test_the_manifest_of_something_else_stays(run: Run, inputs: None, no_work: Any, command: list[str]) -> None:
    Path("networks").mkdir()
    Path("networks/manifest.json").write_text(json.dumps({"networks": []}))
    no_work("evaluation.evaluate" if command[0] == "train" else "trainers.adapt")
    _, err = run(*command, "-o", "networks", code=2)
    assert "networks/manifest.json is not the manifest of saved surrogates" in err
    assert json.loads(Path("networks/manifest.json").read_text()) == {"networks": []}


@pytest.mark.parametrize("command", ["import", "predict", "suggest"])
@pytest.mark.parametrize("place", ["link", "link to nothing", "0600", "missing\nfolders/new", "pipe"])
def test_what_a_file_may_replace(run: Run, inputs: None, command: str, place: str) -> None:
    arguments, suffix, _ = FILES[command]
    output = Path(f"out{suffix}")
    file = output
    if place.startswith("link"):
        output.symlink_to("file")
        file = Path("file")
        if place == "link":
            file.touch()
    elif place == "0600":
        output.touch(mode=0o600)
    elif place == "pipe":
        os.mkfifo(output)
    else:
        file = output = Path(f"{place}{suffix}")
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(output.read_bytes) if place == "pipe" else None
        run(*arguments, "-o", output)
        written = file.read_bytes() if received is None else received.result(timeout=10)
    assert written.startswith({".parquet": b"PAR1", ".csv": b"architecture,"}[suffix])
    assert output.is_symlink() == place.startswith("link")
    if place == "0600":
        assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert not list(Path().rglob(".*.part"))


@pytest.mark.parametrize("command", ["import", "suggest"])
def test_a_device_stays_a_device(run: Run, inputs: None, command: str) -> None:
    before = os.stat("/dev/null")
    run(*FILES[command][0], "-o", "/dev/null")
    after = os.stat("/dev/null")
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)
