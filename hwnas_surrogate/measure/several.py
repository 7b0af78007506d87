"""Measuring in several settings, on several boards at once: one table, each setting a device."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from hwnas_surrogate.data import CostTable, merge, write_parquet
from hwnas_surrogate.data.store import TABLE_SUFFIXES
from hwnas_surrogate.errors import HWNASError, InvalidInputError, MeasurementError
from hwnas_surrogate.files import check_output, file_stem, make_folder
from hwnas_surrogate.measure.boards import Board, Fleet
from hwnas_surrogate.measure.boards.timer import check_runtime
from hwnas_surrogate.measure.journals import check_ours
from hwnas_surrogate.measure.runtimes import Runtime
from hwnas_surrogate.runner.timing import Progress

__all__ = ["Setting", "measure_several"]


@dataclass(frozen=True, eq=False)
class Setting:
    """Where and how networks are measured: a device of the table.

    Parameters
    ----------
    runtime : Runtime
        The runtime, with its threads and batch.
    board : Board or Fleet, optional
        This host if None.
    host : str, optional
        What the device's name begins with; the name of the board or fleet if None, or ``cpu``.
    """

    runtime: Runtime
    board: Board | Fleet | None = None
    host: str | None = None

    @property
    def device(self) -> str:
        """The device's name."""
        board = self.runtime.host_name if self.board is None else self.board.name
        return self.runtime.device_name(self.host or board)


class Measure(Interface):
    """Measures the networks of one call in one setting, such as :func:`measure` with all else given."""

    def __call__(
        self, output: Path, *, runtime: Runtime, board: Board | Fleet | None, device: str, progress: Progress
    ) -> CostTable:
        """Return the table, which is written to a file."""


def measure_several(
    one: Measure, settings: Sequence[Setting], output: str | os.PathLike[str], progress: Progress | None = None
) -> CostTable:
    """Measure the same networks in several settings.

    Settings on one machine follow each other; different machines measure at once. If one fails, the others go on.

    Parameters
    ----------
    one : callable
        Measures in one setting: called with the file of its table, and ``runtime``, ``board``, ``device`` and
        ``progress``.
    settings : sequence of Setting
        With different device names.
    output : path-like
        The table to write. The folder ``<output>.parts`` beside it holds the table and the journal of each setting, so
        that the same call goes on where one was stopped.
    progress : callable, optional
        Called with (networks timed, networks to time), counted over all settings that have begun.

    Returns
    -------
    CostTable
        With a device for each setting. Boards are closed.

    Raises
    ------
    InvalidInputError
        If two settings have the same device name, or ``output`` is no file, or another command's table.
    MeasurementError
        If a setting failed: the message names each that did. What was measured is kept.
    """
    check_output(output, TABLE_SUFFIXES, stream=False)
    names = [setting.device for setting in settings]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(
            f"two settings would both be the device {twice[0]!r}; give boards names of their own: ssh://HOST?name=NAME."
        )
    for setting in settings:
        if setting.board is not None:
            check_runtime(setting.runtime)
    parts = Path(f"{os.path.realpath(output)}.parts")
    check_ours(output, parts)
    make_folder(parts)
    tables, failures = _measured(one, settings, parts, _Share(progress))
    if failures:
        why = " ".join(f"{name}: {str(error).rstrip('.')}." for name, error in failures.items())
        raise MeasurementError(
            f"{len(failures)} of {len(settings)} settings failed. {why} What was measured is kept in {parts}: run the "
            "same command again to go on."
        )
    table = merge([tables[name] for name in names])
    write_parquet(table, Path(output))
    return table


def _measured(
    one: Measure, settings: Sequence[Setting], parts: Path, share: _Share
) -> tuple[dict[str, CostTable], dict[str, HWNASError]]:
    """Return the table of each device, or why there is none."""
    tables: dict[str, CostTable] = {}
    failures: dict[str, HWNASError] = {}

    def run(setting: Setting) -> None:
        name = setting.device
        path, report = parts / f"{file_stem(name)}.parquet", share.of(name)
        try:
            tables[name] = one(path, runtime=setting.runtime, board=setting.board, device=name, progress=report)
        except HWNASError as error:
            failures[name] = error

    machines: dict[str, list[Setting]] = {}
    for setting in settings:
        machines.setdefault("" if setting.board is None else str(setting.board), []).append(setting)
    here = machines.pop("", [])
    with ThreadPoolExecutor(max(len(machines), 1)) as pool:
        try:
            waiting = [pool.submit(_each, run, of_machine) for of_machine in machines.values()]
            _each(run, here)  # in this thread, so that the interrupt key ends it at once
            for done in wait(waiting, return_when=FIRST_EXCEPTION).done:
                done.result()
        except BaseException:
            for board in {setting.board for setting in settings if setting.board is not None}:
                board.retire()
            raise
    return tables, failures


def _each(run: Callable[[Setting], None], settings: Sequence[Setting]) -> None:
    for setting in settings:
        run(setting)


class _Share:
    """Adds up the progress of several measurements."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._of: dict[str, tuple[int, int]] = {}

    def of(self, name: str) -> Callable[[int, int], None]:
        """Return the progress function of one measurement."""

        def report(done: int, total: int) -> None:
            with self._lock:
                self._of[name] = (done, total)
                if self._progress is not None:
                    self._progress(*map(sum, zip(*self._of.values(), strict=True)))

        return report
