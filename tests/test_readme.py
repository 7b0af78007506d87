"""The README does what it says: every Python block and every `hwnas` line runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import CostTable, load_bundled, load_table
from hwnas_surrogate.evaluation import Evaluation, evaluate
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from tests.measure.sshd import running

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|python \w+\.py|console|output|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(README)
"""What ``output`` shows must be printed again; ``text`` holds times of one machine; a block with a name is a file."""
NUMBER = re.compile(r"\d+\.?\d*|\.\d+")


def lines_of(block: str) -> list[str]:
    return [line.partition("#")[0].strip() for line in block.splitlines() if line.strip()]


CONSOLE = [line for kind, block in BLOCKS if kind == "console" for line in lines_of(block)]


def test_blocks_are_found() -> None:
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds.count("python") == 3
    assert kinds.count("output") >= 3
    assert kinds.count("text") == 2
    assert kinds.count("python my_models.py") == 1
    assert len(CONSOLE) >= 8
    assert {line.split()[0] for line in CONSOLE} == {"hwnas", "make"}
    assert sorted(line for line in CONSOLE if line.startswith("make")) == ["make test", "make train"]


def test_it_is_short_and_leads_on() -> None:
    assert len(README.splitlines()) < 250
    root = Path(__file__).parents[1]
    linked = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert "docs/report.png" in linked
    assert [path for path in linked if not (root / path).exists()] == []


def test_every_command_that_it_names_exists() -> None:
    from typer.main import get_command

    from hwnas_surrogate.cli.app import app

    named = set(re.findall(r"hwnas ([a-z]+)", README))
    assert named <= set(get_command(app).commands)  # type: ignore[attr-defined]
    assert {"train", "predict", "suggest", "adapt", "search", "report", "measure", "import"} <= named


@pytest.fixture
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """Return the address of a board on the loopback interface; None where there is no SSH server."""
    try:
        with running(tmp_path_factory.mktemp("board")) as server:
            yield server.url(name="my-board")
    except pytest.skip.Exception:
        yield None


def on_board(line: str, board: str | None) -> str:
    """Return a command for this board, or for this host, in place of the README's board."""
    return re.sub(r'--board "\S+"', f"--board {shlex.quote(board)}" if board else "--device my-board", line)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::hwnas_surrogate.trainers.AdaptWarning",  # how steady this host is, is not told here
    "ignore::hwnas_surrogate.trainers.ExtrapolationWarning",  # the text before says that there is one
)
def test_everything_runs_in_order(
    tmp_path: Path, board: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    # The scores that training prints are tested elsewhere; here they would take half of its time.
    monkeypatch.setattr("hwnas_surrogate.evaluation.evaluate", evaluated_quickly)
    # Training on all bundled networks would take two minutes.
    monkeypatch.setattr("hwnas_surrogate.data.load_bundled", fewer_bundled)
    printed = printed_all = ""
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
            printed = capsys.readouterr().out
        elif kind.startswith("python "):
            (tmp_path / kind.removeprefix("python ")).write_text(block, encoding="utf-8")
        elif kind == "console":
            printed = "".join(run(on_board(line, board), capsys) for line in lines_of(block))
            printed_all += printed
        elif kind == "output":
            assert_shown(block, printed)
    own = load_table("new.parquet")
    predicted = SurrogateSuite.load("surrogates/mine").predict(own.batch).iloc[0, 0]
    assert predicted == pytest.approx(own.costs[0, 0], rel=0.5)  # another session on a busy host
    assert "Best by quality, my-board/latency <= 3 ms" in printed_all
    assert (tmp_path / "best.html").stat().st_size > 1e5
    for name in ("nasbench201", "fbnet", "graphs", "example", "mine", "my-board"):
        assert (tmp_path / "surrogates" / name / "manifest.json").is_file()


def evaluated_quickly(table: CostTable, surrogate: Surrogate, **_: object) -> Evaluation:
    return evaluate(table, clone(surrogate).set_params(model="ridge"), n_train=60, n_test=60)


def fewer_bundled(space: str | None) -> CostTable:
    """Return a third of the networks under other configs and 200 more of each target; of graphs, two targets' third.

    The README's figures, of surrogates trained on all, stay within a tenth.
    """
    table, third = load_bundled(space), slice(None, None, 3)
    if space is None:
        table = table.select(["genoa-torch-1t", "genoa-onnxruntime-1t"])
        return table.rows(np.arange(len(table))[third])
    kept = np.zeros(len(table), bool)
    kept[np.flatnonzero(table.config_number > 0)[third]] = True
    for known in ~np.isnan(table.costs.T):
        kept[np.flatnonzero(known & (table.config_number == 0))[:200]] = True
    return table.rows(np.flatnonzero(kept))


def assert_shown(block: str, printed: str) -> None:
    """Check that each line was printed: the same words, and numbers that differ by a tenth at most."""
    lines = [line.split() for line in printed.splitlines()]
    for line in block.splitlines():
        assert any(alike(line.split(), other) for other in lines), (line, printed)


def alike(words: list[str], others: list[str]) -> bool:
    one, other = " ".join(words), " ".join(others)
    numbers = [list(map(float, NUMBER.findall(text))) for text in (one, other)]
    return NUMBER.sub("0", one) == NUMBER.sub("0", other) and numbers[0] == pytest.approx(numbers[1], rel=0.1, abs=0.11)


def made() -> list[str]:
    """Return the arguments that ``make train`` gives to hwnas."""
    [line] = [
        line for line in (Path(__file__).parents[1] / "Makefile").read_text().splitlines() if "/hwnas train" in line
    ]
    return line.partition("/hwnas ")[2].split()


def run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    command, *arguments = shlex.split(line)
    if (command, *arguments) == ("make", "test"):
        return ""
    with pytest.raises(SystemExit) as stop:
        main(arguments if command == "hwnas" else made())
    output = capsys.readouterr()
    assert stop.value.code == 0, f"{line}: {output.err}"
    assert (output.out + output.err).strip(), line
    return output.out + output.err
