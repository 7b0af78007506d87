"""Sharing the networks of a measurement among the boards of a fleet: a free board takes the next block."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards import Board, Fleet
from hwnas_surrogate.measure.boards.timer import BoardTimer
from hwnas_surrogate.measure.members import Member, connected, journals_of_others
from hwnas_surrogate.measure.plan import Outcome, Plan
from hwnas_surrogate.measure.scales import agreement, board_scales, pooled
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.runner.protocol import Key, Readings
from hwnas_surrogate.runner.timing import BlockSession, Progress, blocks_left

__all__ = ["time_on_fleet"]


def time_on_fleet(
    plan: Plan, fleet: Fleet, name: str, timer_of: Callable[[Board], BoardTimer], folder: Path, deadline: float
) -> Outcome:
    """Time the networks that no board of a fleet has timed yet, and return the readings of all boards on one scale.

    Each board has a journal of its own. A board that drops out leaves what is missing of its block to the others.
    Journals in the folder of boards that don't take part (any more) count too.

    Parameters
    ----------
    plan : Plan
        What to measure.
    fleet : Fleet
        The boards; they are closed afterwards.
    name : str
        The device's name.
    timer_of : callable
        Returns what times networks on a board.
    folder : Path
        For the journals.
    deadline : float
        When to stop, on the clock of ``time.monotonic``.

    Raises
    ------
    InvalidInputError, DataFileError
        As :func:`~hwnas_surrogate.measure.members.connected`.
    MeasurementError
        The same; or if all boards dropped out.
    """
    with ExitStack() as stack:
        members = connected(fleet, plan, name, timer_of, folder, stack)
        journals = journals_of_others(plan, members, folder, stack)
        journals.update({member.board.name: member.journal for member in members})
        before = Readings(plan.protocol, chain.from_iterable(journal.entries for journal in journals.values()))
        keys = [subject.key for subject in plan.subjects]
        shares = _Shares(blocks_left(keys, before), len(keys) * plan.protocol.passes, plan.progress)
        if shares.are_left:
            _all_work(members, plan, shares, deadline, fleet)
        dropped = {member.board.name: member.dropped for member in members if member.dropped}
        if len(dropped) == len(members) and shares.are_left:
            why = " ".join(f"{board}: {reason.rstrip('.')}." for board, reason in dropped.items())
            raise MeasurementError(
                f"all boards of {fleet} dropped out. {why} What was measured is kept in {folder}: run the same command "
                "again to go on."
            )
        return _pooled(plan, members[0], journals, dropped)


class _Shares:
    """The blocks that no board has taken yet."""

    def __init__(self, blocks: Iterable[tuple[int | None, list[Key]]], total: int, progress: Progress | None) -> None:
        self._blocks = deque(blocks)
        self._progress, self._total = progress, total
        self._finished = total - sum(len(keys) for _, keys in self._blocks)
        self._failed: set[Key] = set()
        self._in_hand = 0
        self._is_over = False
        self._changed = threading.Condition()
        self._report()

    @property
    def are_left(self) -> bool:
        """Whether any block is left."""
        return bool(self._blocks)

    def take(self) -> tuple[int | None, list[Key]] | None:
        """Return the next block, when there is one; None if all are done, or the measurement is over."""
        with self._changed:
            # A board that drops out gives its block back.
            self._changed.wait_for(lambda: self._blocks or not self._in_hand or self._is_over)
            if self._is_over or not self._blocks:
                return None
            self._in_hand += 1
            number, keys = self._blocks.popleft()
            left = [key for key in keys if key not in self._failed]
            self._finished += len(keys) - len(left)
            return number, left

    def give_back(self, number: int | None, keys: list[Key], readings: Readings) -> None:
        """End a block that was taken; what the board did not finish of it is next."""
        left = [key for key in keys if not readings.is_done(key, number)]
        with self._changed:
            self._in_hand -= 1
            self._failed.update(key for key in keys if readings.reading(key).failure)
            if left:
                self._blocks.appendleft((number, left))
            self._finished += len(keys) - len(left)
            self._changed.notify_all()
            self._report()

    def end(self) -> None:
        """Let no board take another block."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._finished, self._total)


def _all_work(members: list[Member], plan: Plan, shares: _Shares, deadline: float, fleet: Fleet) -> None:
    """Let each board take blocks until none is left, it is late, or the board drops out."""
    with ThreadPoolExecutor(len(members)) as pool:
        try:
            working = [pool.submit(_work, member, plan, shares, deadline) for member in members]
            for done in wait(working, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException:
            shares.end()
            fleet.retire()
            raise


def _work(member: Member, plan: Plan, shares: _Shares, deadline: float) -> None:
    """Time blocks on one board."""
    of = {subject.key: subject for subject in plan.subjects}
    try:
        with member.timer as timer:
            session = BlockSession(timer, plan.anchor, plan.protocol, member.journal, member.readings, deadline)
            if not session.check_anchor():
                return
            while (share := shares.take()) is not None:
                number, keys = share
                try:
                    is_on_time = session.block(number, [of[key] for key in keys])
                finally:
                    shares.give_back(number, keys, member.readings)
                if not is_on_time:
                    return
    except MeasurementError as error:  # the board's, not the measurement's
        member.dropped = str(error)


def _pooled(plan: Plan, member: Member, journals: Mapping[str, Journal], dropped: Mapping[str, str]) -> Outcome:
    """Return the readings of all boards on one scale, and what is to be known of each board."""
    of_board = {name: Readings(plan.protocol, journal.entries) for name, journal in journals.items()}
    scales = board_scales(of_board)
    measured: dict[Key, list[str]] = {}
    told: dict[str, Any] = {}
    for name, readings in of_board.items():
        keys = [subject.key for subject in plan.subjects if readings.has_latency(subject.key)]
        for key in keys:
            measured.setdefault(key, []).append(name)
        scale = scales.get(name)
        told[name] = {
            "machine": journals[name].info["machine"],
            "environment": journals[name].info["environment"],
            "networks": len(keys),
            "scale": scale and scale.scale,
            "scale_error": scale and scale.error,
            "compared": scale.networks if scale else 0,
            "disturbed": readings.untrusted(member.timer.runtime.threads),
            "dropped": dropped.get(name, ""),
        }
    info = {
        "environment": member.journal.info["environment"],
        "fleet": {"boards": told, **agreement(of_board, scales)},
    }
    readings = pooled(plan.protocol, {name: journal.entries for name, journal in journals.items()}, scales)
    return Outcome(member.device, readings, info, {key: "+".join(names) for key, names in measured.items()})
