"""What names, files and servers hold is printed, never obeyed: no markup, no escapes, no look-alikes."""

from __future__ import annotations

import io
import json
import sys
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.cli import main
from hwnas_surrogate.cli.output import show
from hwnas_surrogate.cli.terminal import progress, say, visible, visible_line
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.spaces import get_space
from tests.cli.conftest import Run
from tests.cli.test_tables import ANSI, Screen

SPACE = get_space("nasbench201")
ALIKE = ("jetson[fp16]", "jetson[int8]", "jetson[red]", "jetson[bold]", "jetson:smile:")
HOSTILE = {
    "red\x1b[31m": r"red\x1b[31m",
    "bell\x07\x08": r"bell\x07\x08",
    "csi\x9b2J": r"csi\x9b2J",
    "del\x7f": r"del\x7f",
    "bidi\u202egnp": r"bidi\u202egnp",
    "zero\u200bwidth": r"zero\u200bwidth",
    "line\nend": r"line\nend",
    "tab\tstop\r": r"tab\tstop\r",
}


@pytest.fixture(scope="module")
def table() -> CostTable:
    names = [*ALIKE, *HOSTILE]
    costs = np.random.default_rng(0).uniform(1, 2, (60, len(names)))
    return CostTable(SPACE, SPACE.at(range(60)), costs, [f"{name}/latency" for name in names])


@pytest.fixture(scope="module")
def path(table: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(table, tmp_path_factory.mktemp("hostile") / "table.parquet")


@pytest.fixture(scope="module")
def trained(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    with pytest.raises(SystemExit) as stop:
        main(["train", "--data", str(path), "--model", "ridge", "-o", str(folder / "suite")])
    assert not stop.value.code
    return folder / "suite"


def harmless(text: str) -> str:
    """Return a text without its line ends, if everything else in it is printable."""
    assert text.replace("\n", "").isprintable(), [char for char in text if not char.isprintable() and char != "\n"]
    return "".join(line.strip() for line in text.splitlines())


@pytest.mark.parametrize(("name", "shown"), HOSTILE.items())
def test_unprintable_characters_are_escaped(name: str, shown: str) -> None:
    assert visible_line(name) == shown
    assert visible(name).replace("\n", r"\n") == shown
    assert visible(shown) == shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", 0, 1, 2),
        ("query", "--all"),
        ("correlate",),
        ("correlate", "--intervals"),
        ("data", "info"),
        ("data", "info", "--verbose"),
        ("evaluate", "--model", "ridge", "--n-train", 40, "--seeds", 1),
    ],
)
@pytest.mark.parametrize("width", [80, 400])
def test_devices_keep_their_names_apart(
    run: Run, path: Path, arguments: tuple[object, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas_surrogate.cli.terminal.PIPED", width)
    data = (path,) if arguments[0] == "data" else ("--data", path)
    out, err = run(*arguments, *data)
    harmless(err)
    # Long names are folded, headings above one another: what is left of the line tells nothing.
    text = harmless(out)
    if width == 400 or arguments[0] != "query":
        assert [name for name in ALIKE if name not in text] == []
        assert [name for name in HOSTILE.values() if name not in text] == []


def test_predictions_and_scores_too(run: Run, trained: Path, path: Path) -> None:
    budget = ("--budget", "red\x1b[31m/latency=1.5")
    for arguments in (("predict", 0, 1), ("predict", 0, 1, "--interval", 80, *budget)):
        text = harmless(run(*arguments, "-s", trained)[0])
        assert [name for name in (*ALIKE, *HOSTILE.values()) if f"{name}/latency (ms)" not in text] == []
    out, err = run("train", "--data", path, "--model", "ridge", "--n-test", 10, "-o", "a[b]\x1b[2J")
    assert r"saved to a[b]\x1b[2J" in harmless(err)
    assert all(name in harmless(out) for name in (*ALIKE, *HOSTILE.values()))


def test_machines_get_the_exact_names(run: Run, path: Path, table: CostTable) -> None:
    names = [f"{target} (ms)" for target in table.targets]
    out, _ = run("query", 0, "--data", path, "--json")
    harmless(out)
    assert list(json.loads(out)[0])[2:] == names
    out, _ = run("query", 0, "--data", path, "--csv")
    assert list(pd.read_csv(io.StringIO(out, newline=""), lineterminator="\n"))[1:] == names
    harmless(run("data", "info", path, "--json")[0])


def test_csv_on_a_terminal_is_escaped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit):
        main(["query", "0", "--data", str(path), "--csv", "--target", "red\x1b[31m"])
    assert harmless(screen.getvalue()).startswith(r"architecture,red\x1b[31m/latency (ms)")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("query", 0, "--target", "[/x]\x1b]0;title\x07"), r"unknown target '[/x]\x1b]0;title\x07'"),
        (("query", 0, "--data", "none[/x]\x1b[2J.csv"), r"there is no file none[/x]\x1b[2J.csv"),
        (("query", 0, "--data", "\udcff.csv"), r"there is no file \udcff.csv"),
    ],
)
def test_errors_are_harmless(run: Run, arguments: tuple[object, ...], part: str) -> None:
    _, err = run(*arguments, code=1)
    assert part in harmless(err)
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_lines_of_a_file_are_harmless(run: Run) -> None:
    Path("bad\x1b[2J.csv").write_text("architecture,device,value\n1,a,\x1b[31mfast\n2,b[/x]\u202e,-1\n", "utf-8")
    _, err = run("import", "bad\x1b[2J.csv", code=1)
    assert r"\x1b[31mfast" in harmless(err)
    assert len(err.splitlines()) > 2, "line ends of a message stay"


@pytest.fixture
def server() -> Iterator[str]:
    class Rude(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.0 503 \x1b[2J[/x]\x9b31mgone\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Rude) as rude:
        threading.Thread(target=rude.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{rude.server_port}/x.pickle"
        rude.shutdown()


def test_answers_of_servers_are_harmless(run: Run, server: str) -> None:
    _, err = run("data", "download", "--folder", "here", "--url", server, code=1)
    assert r"answered 503 \x1b[2J[/x]\x9b31mgone" in harmless(err)


def test_titles_notes_and_lines_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"[/h]\x1b[1m": ["[/c]\x1b[2m"], "b": [1.0]})
    show(frame, "[/t]\x1b[3m", notes=["[/n]\x1b[4m"])
    text = harmless(capsys.readouterr().out)
    assert all(part in text for part in (r"[/t]\x1b[3m", r"[/h]\x1b[1m", r"[/c]\x1b[2m", r"[/n]\x1b[4m"))
    say("[/s]\x1b[5m :smile:")
    assert harmless(capsys.readouterr().err) == r"[/s]\x1b[5m :smile:"


def test_progress_bars_are_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress("fit[/x]\x1b]0;title\x07") as update:
        update(1, 2)
    text = screen.getvalue()
    assert r"fit[/x]\x1b]0;title\x07" in ANSI.sub("", text)
    assert "\x07" not in text
    assert "\x1b]" not in text


def test_warnings_are_lines_for_people(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def warn(*_: object) -> None:
        warnings.warn("odd[/x]\x1b[2J", stacklevel=2)
        raise SystemExit(0)

    warnings.simplefilter("always")
    monkeypatch.setattr("hwnas_surrogate.cli.query.open_tables", warn)
    assert run("query", 0, "--data", path)[1] == "warning: odd[/x]\\x1b[2J\n"
