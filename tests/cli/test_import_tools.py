"""``hwnas import`` of result files that tools wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hwnas_surrogate.data import load_table
from tests.cli.conftest import Run
from tests.data.tool_files.conftest import SAMPLES, nets, put

__all__ = ["nets", "put"]


def test_files_are_imported_and_summed_up(run: Run, nets: Path) -> None:
    for name in ("benchmark_model-2019.log", "benchmark_model-failed.log"):
        shutil.copy(SAMPLES / name, nets / name)
    out, err = run("import", *sorted(nets.glob("*.log")), "--device", "pixel")
    assert "2 result(s) of benchmark_model; mean that the tool states (1)" in err
    assert "2 rows written to measurements/pixel.parquet" in err
    assert "LiteRT (benchmark_model), threads 1" in out
    table = load_table("measurements/pixel.parquet")
    assert list(table.reasons) == ["benchmark_model: Failed to allocate tensors!"]  # type: ignore[union-attr]


def test_a_folder_with_a_manifest_elsewhere(run: Run, nets: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    shutil.copy(SAMPLES / "trtexec-streams.log", tmp_path / "logs")
    manifest = nets / "manifest.json"
    _, err = run("import", "logs", "--device", "orin", "--manifest", manifest, "--output", "orin.parquet", "--json")
    assert "as the tool states it (1): several requests ran at once, so there are no latencies" in err
    out, _ = run("query", "--all", "--data", "orin.parquet", "--csv")
    assert "orin/throughput (images/s)" in out.splitlines()[0]


TWO = ["other.csv"]
OF_CSV = ["--device", "x", "--unit", "ms", "--ops", "naslib"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "trtexec.log is to be read as a tool's result, which does not name the device: add --device NAME"),
        (TWO, 2, "several files are results of a tool, which do not name the device: add --device NAME. Tables of"),
        (OF_CSV, 2, "--unit, --ops are for tables of measurements; the files of tools state their units"),
        (["--device", "x", *TWO], 1, "other.csv is no result file of a known tool; allowed: "),
        (["--device", "x", "--manifest", "none.json"], 1, "can't read none.json: No such file or directory"),
        (["--device", "x", "--json", "--csv"], 2, "--json and --csv exclude each other"),
        (["--device", "x", "--output", "table.csv"], 2, "the file to write must end in .parquet"),
    ],
    ids=range(7),
)
def test_errors(arguments: list[str], code: int, said: str, run: Run, nets: Path) -> None:
    shutil.copy(SAMPLES / "trtexec.log", nets)
    Path("other.csv").write_text("architecture,device,value\n0,pi,1\n")
    _, err = run("import", nets / "trtexec.log", *arguments, code=code)
    assert said in " ".join(err.split())
    assert not list(Path().rglob("*.parquet"))


def test_a_table_of_measurements_is_still_imported(run: Run) -> None:
    Path("measured.csv").write_text("architecture,device,value,unit\n0,pi,1,ms\n")
    _, err = run("import", "measured.csv")
    assert "1 rows written to measurements/measured.parquet" in err
    _, err = run("import", "measured.csv", "--device", "pi", code=1)
    assert "A table of measurements (CSV) is imported alone, and names its devices itself" in " ".join(err.split())


def test_an_input_is_not_the_output(run: Run, nets: Path) -> None:
    log = nets / "trtexec.parquet"
    shutil.copy(SAMPLES / "trtexec.log", log)
    _, err = run("import", log, "--device", "x", "--output", log, code=2)
    assert "trtexec.parquet" in err
    assert log.read_text().startswith("&&&& RUNNING")
