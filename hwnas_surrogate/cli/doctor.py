"""``hwnas doctor``: what would spoil a measurement here or on a board, and which runtimes are installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.options import Csv, Json
from hwnas_surrogate.cli.output import check_format, echo_json, show
from hwnas_surrogate.cli.terminal import Terminal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["doctor", "show_findings"]

_SHOWN = {
    "processor": "processor",
    "cores": "cores",
    "clock_mhz": "MHz",
    "governor": "governor",
    "temperature_c": "°C",
    "memory_mb": "MB of memory",
    "power": "power mode",
    "container": "container",
    "system": "system",
    "python": "Python",
}
"""The conditions that are printed, and what their values are."""
_BEFORE = {"power mode", "container", "governor", "Python"}
"""Those that are printed before the value."""


def doctor(
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads per execution in the measurement.")] = 1,
    board: Annotated[
        str | None, typer.Option(metavar="URL", help="Check this board instead: ssh://USER@HOST (hwnas measure).")
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Check what would spoil a measurement on this host, and which runtimes are installed; or on a board.

    It changes nothing. Each line gives what was found and what helps.
    """
    from hwnas_surrogate.runner.conditions import read_conditions

    check_format(as_json, as_csv)
    if board is not None:
        _check_board(board, threads, as_json, as_csv)
        return
    _show(read_conditions(), _runtimes(), threads, as_json, as_csv)


def _check_board(url: str, threads: int, as_json: bool, as_csv: bool) -> None:
    from hwnas_surrogate.measure.boards import parse_board
    from hwnas_surrogate.measure.boards.asking import ask_board

    with parse_board(url) as board:
        conditions, found = ask_board(board)
    _show(conditions, [runtime._asdict() for runtime in found], threads, as_json, as_csv, f"on {board.name}")


def _show(
    conditions: dict[str, Any],
    runtimes: list[dict[str, Any]],
    threads: int,
    as_json: bool,
    as_csv: bool,
    where: str = "here",
) -> None:
    from hwnas_surrogate.runner.findings import findings

    if as_json:
        found = [finding._asdict() for finding in findings(conditions, threads)]
        echo_json({"conditions": conditions, "findings": found, "runtimes": runtimes}, indent=1)
        return
    show_findings(conditions, threads, as_csv, where)
    if not as_csv:
        import pandas as pd

        frame = pd.DataFrame(runtimes)[["runtime", "installed"]]
        show(frame, "\nRuntimes" if where == "here" else f"\nRuntimes {where}")


def show_findings(conditions: dict[str, Any], threads: int = 1, as_csv: bool = False, where: str = "here") -> None:
    """Print what would spoil a measurement under these conditions.

    Parameters
    ----------
    conditions : dict
        From :func:`~hwnas_surrogate.runner.conditions.read_conditions`, of this host or of a board.
    threads : int, default=1
        Threads per execution.
    as_csv : bool, default=False
        Whether to print CSV, without anything else.
    where : str, default="here"
        The machine, in the text.
    """
    frame = _frame(conditions, threads)
    if as_csv:
        show(frame, as_csv=True)
        return
    told = [_told(name, label, conditions[name]) for name, label in _SHOWN.items() if name in conditions]
    console = Terminal(sys.stdout)
    console.print(", ".join(told) + "\n")
    if not len(frame):
        console.print(f"Nothing was found that would spoil a measurement {where}.")
        return
    title = f"What would spoil a measurement {where} (bad: changes the costs; mild: noise, or a special device)"
    commands = frame.pop("command")
    show(frame, title, keys=("severity", "what"))
    if commands.any():
        console.print("\nCommands", style="italic")
    for what, command in zip(frame["what"], commands, strict=True):
        if command:
            console.print(f"{what}: {command}", soft_wrap=True)  # on one line, to be copied


def _frame(conditions: dict[str, Any], threads: int) -> pd.DataFrame:
    import pandas as pd

    from hwnas_surrogate.runner.findings import Finding, findings

    found = findings(conditions, threads)
    return pd.DataFrame(found, columns=list(Finding._fields))[["severity", "what", "found", "advice", "command"]]


def _told(name: str, label: str, value: Any) -> str:
    text = f"{value:.0f}" if isinstance(value, float) else str(value)
    if name in ("processor", "system"):
        return text
    return f"{label} {text}" if label in _BEFORE else f"{text} {label}"


def _runtimes() -> list[dict[str, str | bool]]:
    """Return each runtime, and its version or the reason why it is not there."""
    from hwnas_surrogate.errors import HWNASError
    from hwnas_surrogate.measure import RUNTIMES, make_runtime

    rows: list[dict[str, str | bool]] = []
    for name in RUNTIMES:
        try:
            rows.append({"runtime": name, "usable": True, "installed": make_runtime(name).describe()})
        except (HWNASError, ImportError, OSError) as error:
            rows.append({"runtime": name, "usable": False, "installed": f"no: {error}"})
    return rows
