from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite

pytest.importorskip("plotly")
SPACE = get_space("nasbench201")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archs = SPACE.at(np.arange(40))
    macs = SPACE.batch(archs).macs / 1e6
    table = CostTable(SPACE, archs, np.column_stack([macs, 2 + macs]), ["phone/latency", "board/latency"])
    return write_parquet(table, tmp_path_factory.mktemp("cli") / "table.parquet")


def test_report_writes_a_page_of_the_targets_asked_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.csv").write_text("architecture,accuracy\n0,90\n1,91\n")
    assert run("report", "--data", path, "--target", "phone", "--quality", "q.csv", "--title", "Ours & theirs") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "report.html" in err
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<h1>Ours &amp; theirs</h1>" in page
    assert "accuracy" in page
    assert "phone/latency" in page
    assert "board/latency" not in page


def test_report_of_wrong_input_is_one_line(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "new" / "report.html"
    assert run("report", "--data", path, "--target", "watch", "-o", page) != 0
    assert run("report", "--data", path, "--quality", tmp_path / "none.csv", "-o", page) != 0
    err = capsys.readouterr().err
    assert "unknown target 'watch'" in err
    assert "there is no file" in err
    assert "Traceback" not in err
    assert not page.exists()


def test_report_of_a_sampled_block_table(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert run("report", "--data", "blocks", "--rows", 30, "-o", page) == 0
    assert "FBNet" in page.read_text("utf-8")


def test_saved_surrogates_predict_what_was_not_measured(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archs = SPACE.sample(37, random_state=0)
    costs = {"phone/latency": 5 + SPACE.batch(archs).macs / 1e6, "board/latency": 7 + SPACE.batch(archs).macs / 1e6}
    suite = SurrogateSuite(encoder="onehot", model="ridge").fit(archs, costs)
    page = tmp_path / "report.html"
    assert run("report", "--data", path, "--surrogates", suite.save(tmp_path / "saved"), "-o", page) == 0
    assert page.read_text("utf-8").count('"trained":37') == 2
    capsys.readouterr()
    assert run("report", "--data", path, "-s", tmp_path / "none", "-o", tmp_path / "other.html") != 0
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "other.html").exists()


def test_what_a_search_found_is_shown(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ("search", *range(10, 40), "-s", path, "--objective", "board/latency", "--budget", "phone/latency=200")
    saved = tmp_path / "found.json"
    assert run(*found, "-n", "2", "--json", "--save", saved) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(saved.read_text("utf-8"))
    page = tmp_path / "report.html"
    assert run("report", "--data", path, "--search", saved, "-o", page) == 0
    assert "Sought: the best by board/latency under phone/latency \\u003c= 200 ms" in page.read_text("utf-8")
    assert run("report", "--data", path, "--search", path, "-o", page) != 0
    assert "holds no result of a search" in capsys.readouterr().err
