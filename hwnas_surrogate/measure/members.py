"""The boards of a fleet when a measurement begins: connected, of one kind, and the machines that they were before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hwnas_surrogate.data import Device
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, MeasurementError
from hwnas_surrogate.files import file_stem
from hwnas_surrogate.measure.boards import Board, Facts, Fleet
from hwnas_surrogate.measure.boards.timer import BoardTimer
from hwnas_surrogate.measure.environment import check_cores
from hwnas_surrogate.measure.journals import open_journal
from hwnas_surrogate.measure.plan import Plan
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.runner.protocol import Readings

__all__ = ["Member", "connected", "journals_of_others"]

_SUFFIX = ".journal"


@dataclass(eq=False)
class Member:
    """A board that takes part.

    Parameters
    ----------
    timer : BoardTimer
        It is connected.
    device : Device
        The board under the runtime, with the fleet's name.
    journal : Journal
        Its runs.
    readings : Readings
        The same; they grow with the journal.
    """

    timer: BoardTimer
    device: Device
    journal: Journal
    readings: Readings
    dropped: str = ""
    """Why it dropped out; empty if it did not."""

    @property
    def board(self) -> Board:
        """The board."""
        return self.timer.board


def connected(
    fleet: Fleet, plan: Plan, name: str, timer_of: Callable[[Board], BoardTimer], folder: Path, stack: ExitStack
) -> list[Member]:
    """Connect all boards at once, check them, and open a journal for each.

    Parameters
    ----------
    fleet : Fleet
        The boards.
    plan : Plan
        What is to be measured.
    name : str
        The device's name.
    timer_of : callable
        Returns what times networks on a board.
    folder : Path
        For the journals.
    stack : ExitStack
        Closes connections and journals.

    Raises
    ------
    InvalidInputError
        If boards are of different kinds, or one machine has two addresses.
    MeasurementError
        If a board can't be used; or if it is another machine than the one of its name before.
    DataFileError
        As :class:`~hwnas_surrogate.runner.journal.Journal`.
    """
    timers = [timer_of(board) for board in fleet.boards]
    for timer in timers:
        stack.callback(timer.close)
    devices = _devices(fleet, timers, plan, name)
    facts = [timer.board.check() for timer in timers]  # again: now all are connected
    _check_one_kind(fleet, devices)
    _check_distinct(fleet, facts)
    members = []
    for timer, device, of_board in zip(timers, devices, facts, strict=True):
        board, found = timer.board, timer.environment()
        check_cores(timer.runtime.threads, found, f"board {board}")
        machine = {"host": of_board.host, "machine": of_board.machine, "processor": device.hardware}
        info = {"board": board.name, "machine": machine, "environment": found}
        path = folder / f"{file_stem(board.name)}{_SUFFIX}"
        journal = stack.enter_context(open_journal(path, plan.settings(device), info))
        _check_same_machine(board, machine, journal)
        members.append(Member(timer, device, journal, Readings(plan.protocol, journal.entries)))
    return members


def _devices(fleet: Fleet, timers: list[BoardTimer], plan: Plan, name: str) -> list[Device]:
    """Connect all boards at once, and describe each as the device."""
    failures: dict[str, HWNASError] = {}

    def device_of(timer: BoardTimer) -> Device | None:
        try:
            return plan.described(timer.device(name))
        except HWNASError as error:
            failures[timer.board.name] = error
            return None

    with ThreadPoolExecutor(len(timers)) as pool:
        devices = [device for device in pool.map(device_of, timers) if device is not None]
    if failures:
        why = " ".join(f"{board}: {str(error).rstrip('.')}." for board, error in failures.items())
        raise MeasurementError(
            f"{len(failures)} of {len(timers)} boards of {fleet} can't be used. {why} Repair them, or leave them out: "
            "the others measure their share, and what they measured is kept."
        )
    return devices


def _check_one_kind(fleet: Fleet, devices: list[Device]) -> None:
    for board, device in zip(fleet.boards, devices, strict=True):
        for field in fields(Device):
            first, this = (getattr(each, field.name) for each in (devices[0], device))
            if first != this:
                raise InvalidInputError(
                    f"the boards of {fleet} must be of one kind, but their {field.name} differs: {first!r} on "
                    f"{fleet.boards[0].name}, {this!r} on {board.name}. Make them equal, or measure those of each kind "
                    "as a fleet of its own, into another table."
                )


def _check_distinct(fleet: Fleet, facts: list[Facts]) -> None:
    """Raise if two boards are one machine: it would measure two blocks at once.

    Cards that were copied give machines one host name; but only one machine shows the work folder of another board.
    """
    of: dict[str, Board] = {}
    for board, found in zip(fleet.boards, facts, strict=True):
        other = of.setdefault(found.host, board) if found.host and found.others else board
        if other is not board:
            raise InvalidInputError(
                f"boards {other.name} and {board.name} of {fleet} are one machine, {found.host}, which would measure "
                "two networks at once: give one of its addresses only."
            )


def _check_same_machine(board: Board, machine: Mapping[str, str], journal: Journal) -> None:
    before = _info_of(journal)["machine"]
    changed = [name for name in machine if before[name] != machine[name]]
    if changed:
        raise MeasurementError(
            f"two machines have the name {board.name!r}: {board} is {_told(machine, changed)}, but {journal.path} is "
            f"of {_told(before, changed)}. Give it a name of its own, {board.renamed_by}, or choose another output."
        )


def _told(machine: Mapping[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} {machine[name] or 'unknown'!r}" for name in names)


def journals_of_others(plan: Plan, members: list[Member], folder: Path, stack: ExitStack) -> dict[str, Journal]:
    """Return the journals of boards that took part before and don't now, by the names of the boards.

    Raises
    ------
    MeasurementError, DataFileError
        As :class:`~hwnas_surrogate.runner.journal.Journal`.
    """
    own = {member.journal.path for member in members}
    settings = plan.settings(members[0].device)
    others = [path for path in sorted(folder.glob(f"*{_SUFFIX}")) if path not in own and path.stat().st_size]
    journals = [stack.enter_context(open_journal(path, settings, {})) for path in others]
    return {_info_of(journal)["board"]: journal for journal in journals}


def _info_of(journal: Journal) -> dict[str, Any]:
    if not journal.info.keys() >= {"board", "machine", "environment"}:
        raise DataFileError(f"{journal.path} is not the journal of a board of a fleet: move it elsewhere.")
    return journal.info
