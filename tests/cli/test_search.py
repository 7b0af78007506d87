"""``hwnas search``: tables that fit, JSON and CSV, functions of Python files, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from hwnas_surrogate import files
from hwnas_surrogate.data import write_parquet
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.trainers import SurrogateSuite
from tests.cli.conftest import Run
from tests.search.planted import NPU, PI, SPACE, quality, table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold surrogates, a table of every architecture, a CSV of qualities and a Python file."""
    made = tmp_path_factory.mktemp("searched")
    costs = table(15_625)
    SurrogateSuite(random_state=0).fit_table(costs.rows(range(40))).save(made / "fitted")
    write_parquet(costs, made / "costs.parquet")
    known = quality(costs)
    lines = [f"{name},{value}" for name, value in known.items()]
    (made / "accuracy.csv").write_text("\n".join(["architecture,accuracy", *lines]))
    (made / "functions.py").write_text(
        "def convs(names):\n    print('called')\n    return [name.count('conv') for name in names]\n\n\n"
        "def fails(names):\n    raise RuntimeError('no GPU')\n\n\nNUMBER = 3\n"
    )
    return made


def test_the_table_fits_and_names_alternatives(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.cli.terminal.PIPED", 80)
    out, _ = run(
        "search", "-s", folder / "fitted", "--quality", folder / "accuracy.csv", "--budget", f"{PI}=9",
        "--budget", f"{NPU}=100", "--certainty", ".9", "-n", 3,
    )  # fmt: skip
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith(f"Best by quality, {PI} <= 9 ms, {NPU} >= 100 images/s, of all \n15,625")
    assert out.count("\nor ") >= 3
    assert "as good as the pick above" in out


def test_json_and_csv_hold_the_same_picks(run: Run, folder: Path) -> None:
    asked = ["search", "-s", folder / "costs.parquet", "--quality", folder / "accuracy.csv"]
    asked += ["--objective", "quality", "--objective", PI, "-n", "4"]
    found = json.loads(run(*asked, "--json")[0])
    assert found["exact"] is True
    assert found["evaluations"] == 15_625
    assert {"picks", "alternatives", "front", "hypervolume", "notes"} < found.keys()
    assert all(pick["architecture"] in {one["architecture"] for one in found["front"]} for pick in found["picks"])
    rows = list(csv.DictReader(io.StringIO(run(*asked, "--csv")[0])))
    assert [row["architecture"] for row in rows] == [pick["architecture"] for pick in found["picks"]]
    assert len(rows) == 4


def test_a_result_that_cannot_be_saved_is_printed(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise DataFileError(f"can't write {path}: No space left on device.")

    monkeypatch.setattr(files, "replacing", full)
    how = ["search", "-s", folder / "costs.parquet", "--objective", PI, "-n", "1", "--json"]
    out, err = run(*how, "--save", "full.json", code=1)
    assert len(json.loads(out)["picks"]) == 1
    assert "can't write full.json: No space left on device." in err


def test_given_architectures_are_the_candidates(run: Run, folder: Path) -> None:
    archs = SPACE.format_all([1462, 11471, 5])
    out, _ = run("search", *archs, "-s", folder / "fitted", "--objective", PI, "--json", "-n", "9")
    assert {pick["architecture"] for pick in json.loads(out)["picks"]} <= set(archs)


def test_networks_of_a_file_are_searched(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\n\nnets = {f'w{w}': (torch.nn.Linear(8, w).eval(), torch.zeros(1, 8)) for w in (2, 4, 8)}\n"
    )
    out, _ = run("search", "--networks", "nets.py:nets", "--objective", "params", "-n", "2", "--csv")
    assert [line.split(",")[0] for line in out.splitlines()] == ["model", "w2", "w4"]


def test_a_function_of_a_file_is_a_quality_and_its_journal_resumes(run: Run, folder: Path) -> None:
    archs = SPACE.format_all(SPACE.sample(20, 0))
    asked = ["search", *archs, "--quality", f"{folder}/functions.py:convs", "--journal", "kept", "--csv"]
    out, err = run(*asked)
    assert "called" not in out
    assert "called" in err
    again, err = run(*asked)
    assert again == out
    assert "called" not in err


def test_a_function_runs_in_other_processes(run: Run, folder: Path) -> None:
    archs = SPACE.format_all(SPACE.sample(3, 0))
    asked = ["search", *archs, "--quality", f"{folder}/functions.py:convs", "--csv"]
    assert run(*asked, "--timeout", "90s")[0] == run(*asked)[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--budget", "pi/latency"], "a budget reads NAME=LIMIT"),
        (["--budget", f"{PI}=3", "--budget", f"{PI}=4"], f"two for {PI}"),
        (["--budget", f"{PI}=.1"], "The nearest budgets that can be met"),
        (["--objective", "speed"], "unknown objective 'speed'"),
        (["--certainty", "90"], "--certainty is a probability: .9 for 90 %"),
        (["--quality", "functions.py"], "name its function, as in functions.py:NAME"),
        (["--quality", "functions.py:speed"], "unknown name in"),
        (["--quality", "functions.py:NUMBER"], "must be a function"),
        (["--quality", "functions.py:fails", "--objective", "quality"], "RuntimeError: no GPU"),
        (["--quality", "missing.csv", "--objective", "quality"], "there is no file missing.csv"),
        (["--timeout", "3"], "a time with its unit"),
        (["--json", "--csv"], "exclude each other"),
        (["--save", "found.csv"], "must end in .json"),
        (["--save", "accuracy.csv", "--quality", "accuracy.csv"], "must end in .json"),
        (["--networks", "a.onnx", "--space", "fbnet"], "do not go with --networks"),
        (["--space", "fbnet"], "the costs are over nasbench201"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_refused(
    run: Run, folder: Path, options: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    given = options if "--objective" in options else ["--objective", "params", *options]
    absent = {"speed", "missing.csv"} & set(options)
    _, err = run("search", "-s", "fitted", *given, code=1 if absent else 2)
    assert says in err
