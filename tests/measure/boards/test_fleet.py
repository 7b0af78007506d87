"""Fleets: which boards may be one, and two real SSH servers of which one is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.measure import OnnxRuntime, Protocol, measure
from hwnas_surrogate.measure.boards import Fleet, parse_board, timer
from hwnas_surrogate.measure.boards.ssh import SshBoard
from hwnas_surrogate.runner import timing
from hwnas_surrogate.spaces import NASBench201Config
from tests.measure.fake_board import FakeBoard, Scripted
from tests.measure.sshd import running


def test_addresses_and_boards() -> None:
    board = parse_board("ssh://b")
    fleet = Fleet("pi4", ["ssh://a", board])
    assert fleet.boards[1] is board
    assert [each.name for each in fleet.boards] == ["a", "b"]
    assert str(fleet) == "fleet pi4"
    fleet.retire()
    assert all(each.is_retired for each in fleet.boards)


@pytest.mark.parametrize(
    ("name", "boards", "message"),
    [
        ("", ["ssh://a"], "a fleet's name is a text without '/', such as pi4, got ''."),
        ("a/b", ["ssh://a"], "a fleet's name is a text without '/'"),
        ("pi4", [], "fleet 'pi4' has no boards: give the address of each, ssh://user@host."),
        ("pi4", ["pi"], "a board is ssh://user@host or adb://serial, got 'pi'."),
        ("pi4", ["ssh://u@pi", "ssh://v@pi"], "two boards of fleet 'pi4' have the name 'pi': ssh://u@pi and ssh://v@p"),
    ],
    ids=["no-name", "slash", "no-boards", "no-address", "twice"],
)
def test_refused(name: str, boards: list[Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        Fleet(name, boards)
    assert str(error.value).startswith(message)


def in_second_block(journal: Path, deed: Callable[[], object]) -> None:
    """Do something when a board is in its second block."""
    until = time.monotonic() + 120
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b'"pass"') > 1):
        time.sleep(0.01)
    deed()


def test_a_server_that_stops_leaves_its_share_to_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "PATIENCE", 0.5)
    monkeypatch.setattr(timer, "PAUSE", 0.1)
    monkeypatch.setattr(timing, "BLOCK", 2)
    tiny = NASBench201Config(C=4, N=1, height=8, width=8)
    how = Protocol(passes=1, repeats=2, max_repeats=2, half_width=9.0)
    fakes = {name: FakeBoard(tmp_path / f"fake-{name}") for name in ("stays", "lost")}
    for name in fakes:
        (tmp_path / name).mkdir()
    with running(tmp_path / "stays") as stays, running(tmp_path / "lost") as lost:
        urls = [
            server.url(python=str(fakes[name].python), name=name) for name, server in (("stays", stays), ("lost", lost))
        ]
        output, slow = tmp_path / "rack.parquet", Scripted(deeds=(("*", "slow"),))
        stopping = threading.Thread(
            target=in_second_block, args=(Path(f"{output}.journals", "lost.journal"), lost.stop)
        )
        stopping.start()
        table = measure("nasbench201", range(12), output, tiny, runtime=slow, protocol=how, board=Fleet("rack", urls))
        stopping.join()
    assert [str(target) for target in table.targets] == ["rack-scripted-1t/latency"]
    assert np.isfinite(table.costs).all()
    told = table.meta["fleet"]["boards"]
    assert told["lost"]["dropped"].startswith("lost the connection to board ssh://board")
    assert told["stays"]["dropped"] == ""
    assert {"lost", "stays"} <= set(table.groups["board"])
    assert told["stays"]["networks"] + told["lost"]["networks"] >= 12
    read = load_table(output)
    assert isinstance(read, CostTable)
    assert read.groups == table.groups
    assert read.meta == table.meta


def test_boards_take_turns_to_put_the_runner_together(monkeypatch: pytest.MonkeyPatch) -> None:
    free, in_turn = threading.Lock(), list[bool]()

    def source(suffix: str) -> str:
        in_turn.append(free.acquire(blocking=False))  # Python 3.11 may fail to parse in two threads at once
        time.sleep(0.1)
        if in_turn[-1]:
            free.release()
        raise InvalidInputError("that is enough")

    def start(name: str) -> None:
        with pytest.raises(InvalidInputError, match="that is enough"):
            timer.BoardTimer(parse_board(f"ssh://{name}"), OnnxRuntime(), 1.0).start_runner()

    monkeypatch.setattr(timer, "runner_source", source)
    monkeypatch.setattr(SshBoard, "folder", "/work")
    starting = [threading.Thread(target=start, args=(name,)) for name in "ab"]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()
    assert in_turn == [True, True]
