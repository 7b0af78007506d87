"""The commands of docs/how-to/scale.md for several machines run, at small size: a cluster of processes, SSH servers."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import CostTable, load_table
from tests.measure.fake_board import FakeBoard
from tests.measure.sshd import running

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "scale.md"
BLOCKS = [
    [shlex.split(line) for line in block.splitlines()]
    for block in re.findall(r"^```shell\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
]
QUICK = {
    "evaluate": ["--n-test", "20", "--seeds", "1"],
    "measure": ["--dataset", "C4-N1-k10-3x8x8", "--passes", "1", "--repeats", "2", "--max-repeats", "2"],
    "query": [],
}
SMALLER = {"500": "2", "100": "20", "16": "1"}


def command(words: list[str], places: dict[str, str]) -> list[str]:
    """Return a command of the page for places and sizes of this test."""
    found = [SMALLER.get(word, places.get(word, word)) for word in words]
    return found + QUICK[words[1]] if words[0] == "hwnas" else found


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words[1:])
    said = capsys.readouterr()
    assert stop.value.code == 0, f"{shlex.join(words)}: {said.err}"
    return " ".join((said.out + said.err).split())


@contextmanager
def cluster(commands: list[list[str]]) -> Iterator[None]:
    """Run a scheduler and its workers, each of which owns a GPU that is not there, and wait for them."""
    distributed = pytest.importorskip("distributed")
    with ExitStack() as stack:
        for number, words in enumerate(commands):
            environment = {**os.environ, "CUDA_VISIBLE_DEVICES": f"{os.getpid()}-{number}"}
            given: dict[str, Any] = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen([sys.executable, "-m", *words, "--no-dashboard"], **given)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        address = next(word for word in commands[1] if word.startswith("tcp://"))
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(len(commands) - 1, timeout=60)
        yield


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*event loop.*:DeprecationWarning")
@pytest.mark.parametrize("block", BLOCKS[:2], ids=["evaluate", "measure"])
def test_on_a_cluster(
    block: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.chdir(tmp_path)
    port = free_port()
    places = {"tcp://10.0.0.5:8786": f"tcp://127.0.0.1:{port}", "10.0.0.5": "127.0.0.1"}
    commands = [command(words, places) for words in block]
    assert commands[0] == ["dask", "scheduler", "--host", "127.0.0.1"]
    commands[0] += ["--port", str(port)]
    with cluster([words for words in commands if words[0] == "dask"]):
        said = [run(words, capsys) for words in commands if words[0] == "hwnas"]
    assert len(said) == len(block) - sum(words[0] == "dask" for words in block) >= 1
    if "measure" in block[-2]:
        assert "board rack-1: " in said[0]
        assert "board rack-2: " in said[0]
        names = measured_by("pi4.parquet")
        assert names <= {"rack-1", "rack-2"}


@pytest.mark.slow
def test_on_a_rack_of_boards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    [commands] = BLOCKS[2:]
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        places = {}
        for name in ("rack-1", "rack-2"):  # each says that it is another machine, on one server
            board = FakeBoard(tmp_path / name, f"import platform; platform.node = lambda: {name!r}")
            (board.folder / "onnxruntime.py").unlink()
            places[f"ssh://pi@{name}"] = server.url(python=str(board.python), name=name)
        said = [run(command(words, places), capsys) for words in commands]
    assert "board rack-1: " in said[0]
    assert "board rack-2: " in said[0]
    assert measured_by("rack.parquet") <= {"rack-1", "rack-2"}


def measured_by(path: str) -> set[str]:
    """Return the boards that measured something."""
    table = load_table(Path(path))
    assert isinstance(table, CostTable)
    assert [str(target) for target in table.targets] == ["pi4-onnxruntime-1t/latency"]
    return set("+".join(table.groups["board"]).split("+"))
