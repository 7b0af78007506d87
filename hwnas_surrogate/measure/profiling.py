"""Which runtimes and boards report the times of operators."""

from __future__ import annotations

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.measure.boards import Board, Fleet
from hwnas_surrogate.measure.boards.adb import AdbBoard
from hwnas_surrogate.measure.runtimes import RUNTIMES, Runtime

__all__ = ["check_reporting"]

_REPORTING = [name for name, kind in RUNTIMES.items() if kind().reports_operators and "-" not in name]


def check_reporting(runtime: Runtime, board: Board | Fleet | None) -> None:
    """Raise if a runtime does not report the times of operators there; ``board`` is None on this host.

    Raises
    ------
    InvalidInputError
        If it reports none, the board runs a tool that is not profiled, or there are several boards.
    """
    if not runtime.reports_operators:
        raise InvalidInputError(
            f"runtime {runtime.name} reports no times of operators: leave out the profile, or use one of "
            f"{', '.join(_REPORTING)}."
        )
    if isinstance(board, Fleet):
        raise InvalidInputError(
            f"{board} has several boards, whose times of operators differ: profile on one of them, into another table."
        )
    if isinstance(board, AdbBoard) and board.tools:
        raise InvalidInputError("the tools on phones are not profiled: leave out the profile.")
