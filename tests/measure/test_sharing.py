"""Boards of a fleet share the networks: who measures what, what is left when one is gone, and who may take part."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.errors import DataFileError, InvalidInputError, MeasurementError
from hwnas_surrogate.measure import FewCoresWarning, Fleet, Protocol
from hwnas_surrogate.measure.plan import Outcome, Plan
from hwnas_surrogate.measure.sharing import time_on_fleet
from hwnas_surrogate.measure.subjects import ArchSubject
from hwnas_surrogate.runner import timing
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.spaces import get_space
from tests.measure.stand_ins import StandIn, true_ms

SPACE = get_space("nasbench201")
ARCHS = SPACE.format_all(SPACE.at(range(100, 140)))
ANCHOR = SPACE.format_all(SPACE.at([5]))[0]
QUICK = Protocol(passes=2, repeats=5, max_repeats=5, half_width=9.0)
WAIT = 20.0
"""Maximum seconds for what should happen at once."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BLOCK", 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "table.parquet.journals"


def run(folder: Path, *boards: StandIn, archs: Any = ARCHS, progress: Any = None, limit: float = np.inf) -> Outcome:
    subjects = [ArchSubject(SPACE.name, arch, "C4-N1") for arch in archs]
    plan = Plan(SPACE.name, subjects, ArchSubject(SPACE.name, ANCHOR, "C4-N1"), QUICK, None, progress)
    fleet = Fleet("rack", boards)  # type: ignore[arg-type]
    return time_on_fleet(plan, fleet, "rack", lambda board: board, folder, time.monotonic() + limit)  # type: ignore


def costs(outcome: Outcome) -> np.ndarray:
    keys = [(arch, "C4-N1", "") for arch in ARCHS]
    return np.array([np.mean(outcome.readings.quartiles(key)) for key in keys])


def raising(error: BaseException, block: int) -> Callable[[int], None]:
    def act(number: int) -> None:
        if number == block:
            raise error

    return act


def timed(*boards: StandIn) -> Counter[str]:
    return Counter(arch for board in boards for block in board.blocks for arch in block)


class TestSharing:
    def test_each_network_once_a_pass_on_one_scale(self, folder: Path) -> None:
        boards = [StandIn("a", 0.9, 0.01), StandIn("b", 1.0, 0.01), StandIn("c", 1.2, 0.01)]
        progress: list[tuple[int, int]] = []
        outcome = run(folder, *boards, progress=lambda *done: progress.append(done))
        assert timed(*boards) == Counter(ARCHS * 2)
        assert all(board.blocks[0] == [] for board in boards)  # the anchor, before anything else
        ratio = costs(outcome) / [true_ms(arch) for arch in ARCHS]
        assert ratio.std() / ratio.mean() < 0.006  # the boards' scales differ by 30 %
        scales = [outcome.info["fleet"]["boards"][board.name]["scale"] for board in boards]
        assert np.array(scales) / scales[1] == pytest.approx([0.9, 1.0, 1.2], rel=0.006)
        assert progress[0] == (0, 80)
        assert progress[-1] == (80, 80)

    def test_who_measured_what_is_told(self, folder: Path) -> None:
        boards = [StandIn("a", 1.0, 0.01), StandIn("b", 1.0, 0.01)]
        outcome = run(folder, *boards)
        for arch in ARCHS:
            names = [board.name for board in boards if timed(board)[arch]]
            assert outcome.boards[arch, "C4-N1", ""] == "+".join(names)
        told = outcome.info["fleet"]["boards"]
        assert {name: board["networks"] for name, board in told.items()} == {
            board.name: len(timed(board)) for board in boards
        }
        assert told["a"]["machine"] == {"host": "a", "machine": "aarch64", "processor": "a board"}
        assert outcome.info["fleet"]["pairs"] == sum("+" in names for names in outcome.boards.values())

    def test_a_free_board_takes_the_next_block(self, folder: Path) -> None:
        slow, fast = StandIn("slow", 1.0, 0.4), StandIn("fast", 1.0, 0.01)
        run(folder, slow, fast)
        assert len(fast.blocks) > 2 * len(slow.blocks)

    def test_a_failed_network_is_not_tried_again(self, folder: Path) -> None:
        boards = [StandIn("a", failing=ARCHS[3]), StandIn("b", failing=ARCHS[3])]
        outcome = run(folder, boards[0])
        assert outcome.readings.reading((ARCHS[3], "C4-N1", "")).failure == "no kernel"
        assert timed(boards[0])[ARCHS[3]] == 1
        run(folder, *boards)
        assert timed(boards[1]) == Counter()

    def test_late(self, folder: Path) -> None:
        a, b = StandIn("a", 1.0, 0.1), StandIn("b", 1.0, 0.1)
        outcome = run(folder, a, b, limit=0.3)
        assert 0 < len(outcome.boards) < len(ARCHS)
        before = Counter(key[0] for key in outcome.boards)
        assert all(outcome.readings.has_latency((arch, "C4-N1", "")) for arch in before)
        rest = [StandIn("a"), StandIn("b")]
        run(folder, *rest)
        assert {arch for arch, count in timed(*rest).items() if count == 2} == set(ARCHS) - set(before)


def test_each_board_with_fewer_cores_than_threads_is_named(folder: Path) -> None:
    boards = [StandIn("a", runtime=SimpleNamespace(threads=5)), StandIn("b")]
    with pytest.warns(FewCoresWarning, match="^5 threads share 4 cores of board ssh://a: ") as told:
        run(folder, *boards)
    assert len(told) == 1


@pytest.mark.parametrize(("threads", "is_trusted"), [(1, False), (2, True)])
def test_the_waiting_of_a_board_is_that_of_all_its_threads(folder: Path, threads: int, is_trusted: bool) -> None:
    disturbance = {"wall": 1.0, "cpu": 1.9, "cores": 4.0, "others": 0.1, "waiting": 0.08}
    outcome = run(folder, StandIn("a", runtime=SimpleNamespace(threads=threads), disturbance=disturbance))
    told = outcome.info["fleet"]["boards"]["a"]["disturbed"]
    assert told is None if is_trusted else "it waited for a core in 8% of its time" in told


class TestLostBoards:
    def test_the_others_take_its_share(self, folder: Path) -> None:
        lost = StandIn("lost", 1.1, 0.02, deed=raising(MeasurementError("it is gone."), 3))
        stays = StandIn("stays", 1.0, 0.02)
        outcome = run(folder, lost, stays)
        both = timed(lost, stays)
        again = [arch for arch in ARCHS if both[arch] == 3]
        assert sorted(again) == sorted(lost.blocks[3])  # the block in hand, and no other
        assert set(both.values()) == {2, 3}
        told = outcome.info["fleet"]["boards"]
        assert (told["lost"]["dropped"], told["stays"]["dropped"]) == ("it is gone.", "")
        ratio = costs(outcome) / [true_ms(arch) for arch in ARCHS]
        assert ratio.std() / ratio.mean() < 0.006

    def test_the_last_block_comes_back_to_who_is_idle(self, folder: Path) -> None:
        lost = StandIn("lost", 1.0, 0.5, deed=raising(MeasurementError("it is gone"), 1))
        stays = StandIn("stays")
        run(folder, lost, stays)
        assert stays.blocks[-1] != []
        assert sorted(stays.blocks[-1]) == sorted(lost.blocks[1])

    def test_all_are_gone_and_the_same_goes_on(self, folder: Path) -> None:
        gone = [StandIn(name, deed=raising(MeasurementError("no power."), 4)) for name in "ab"]
        with pytest.raises(MeasurementError) as error:
            run(folder, *gone)
        assert str(error.value).startswith("all boards of fleet rack dropped out. a: no power. ")
        assert str(error.value).endswith(f"What was measured is kept in {folder}: run the same command again to go on.")
        done = sum(len(block) for board in gone for block in board.blocks[:4])
        back = StandIn("b")  # without board a, whose journal counts
        outcome = run(folder, back)
        assert sum(timed(back).values()) == 2 * len(ARCHS) - done
        assert any(names.startswith("a") for names in outcome.boards.values())
        assert np.isfinite(costs(outcome)).all()
        again = StandIn("b")
        run(folder, again)
        assert again.blocks == []

    @pytest.mark.parametrize(
        "error",
        [KeyboardInterrupt(), ZeroDivisionError(), DataFileError("the disk is full")],
        ids=["stop", "bug", "disk"],
    )
    def test_what_ends_the_measurement_ends_all(self, folder: Path, error: BaseException) -> None:
        before = set(threading.enumerate())
        other = StandIn("other")

        def waiting(block: int) -> None:
            if block:
                assert other.retired.wait(WAIT)
                raise MeasurementError("it was closed")

        other.deed = waiting
        with pytest.raises(type(error)):
            run(folder, StandIn("a", deed=raising(error, 2)), other)
        assert other.retired.is_set()
        assert len(list(folder.iterdir())) == 2  # what was measured is kept
        assert set(threading.enumerate()) <= before


class TestRefused:
    def test_boards_of_two_kinds(self, folder: Path) -> None:
        with pytest.raises(InvalidInputError) as error:
            run(folder, StandIn("a", hardware="Cortex-A72"), StandIn("b", hardware="Cortex-A76"))
        assert str(error.value) == (
            "the boards of fleet rack must be of one kind, but their hardware differs: 'Cortex-A72' on a, 'Cortex-A76' "
            "on b. Make them equal, or measure those of each kind as a fleet of its own, into another table."
        )
        assert not folder.exists()

    def test_two_machines_of_one_name(self, folder: Path) -> None:
        run(folder, StandIn("pi", host="rack-1"), StandIn("b"), archs=ARCHS[:4])
        before = [path.read_bytes() for path in sorted(folder.iterdir())]
        with pytest.raises(MeasurementError) as error:
            run(folder, StandIn("pi", host="rack-2"), StandIn("b"))
        assert str(error.value) == (
            f"two machines have the name 'pi': ssh://pi is host 'rack-2', but {folder / 'pi.journal'} is of host "
            "'rack-1'. Give it a name of its own, ssh://HOST?name=NAME, or choose another output."
        )
        assert [path.read_bytes() for path in sorted(folder.iterdir())] == before

    def test_one_machine_with_two_addresses(self, folder: Path) -> None:
        with pytest.raises(InvalidInputError, match="boards a and b of fleet rack are one machine, pi, which would"):
            run(folder, StandIn("a", host="pi", others=1), StandIn("b", host="pi", others=1))

    def test_copied_cards_are_two_machines(self, folder: Path) -> None:
        run(folder, StandIn("a", host="raspberrypi"), StandIn("b", host="raspberrypi"), archs=ARCHS[:4])

    def test_a_board_that_is_away_at_the_start(self, folder: Path) -> None:
        with pytest.raises(MeasurementError) as error:
            run(folder, StandIn("a"), StandIn("b", away="it is switched off."))
        assert str(error.value) == (
            "1 of 2 boards of fleet rack can't be used. b: it is switched off. Repair them, or leave them out: the "
            "others measure their share, and what they measured is kept."
        )

    def test_a_journal_that_is_no_board_s(self, folder: Path) -> None:
        run(folder, StandIn("a"), archs=ARCHS[:4])
        other = folder / "z.journal"
        other.write_text("{}\n")
        with pytest.raises(DataFileError, match=r"line 1 of .*z\.journal is not the header of a journal"):
            run(folder, StandIn("a"))
        header = json.loads((folder / "a.journal").read_text().splitlines()[0])
        other.unlink()
        Journal(other, header["settings"], {"environment": {}}).__exit__()  # of a measurement on one board
        with pytest.raises(DataFileError, match=r"z\.journal is not the journal of a board of a fleet: move it else"):
            run(folder, StandIn("a"))
        other.write_text("")  # as a kill leaves it at once
        run(folder, StandIn("a"), archs=ARCHS[:4])
