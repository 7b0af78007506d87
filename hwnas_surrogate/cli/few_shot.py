"""Protocols for a new device, as ``hwnas evaluate`` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwnas_surrogate.cli.output import progress, say, show

if TYPE_CHECKING:
    from hwnas_surrogate.data import CostTable

__all__ = ["FEW_SHOT", "evaluate_few_shot", "journal_of"]

FEW_SHOT = ("help", "nasflat", "devices")
"""Names of the protocols."""
_TITLES = {
    "help": "Spearman's rho on HELP's devices, by measurements of each (Lee et al. 2021 beside it; its 10 samples are "
    "20 measurements)",
    "nasflat": "Spearman's rho on NASFLAT's device splits, mean over the target devices (Akhauri and Abdelfattah 2024 "
    "beside)",
    "devices": "Spearman's rho on each device, all others being its sources",
}


def journal_of(file: Path) -> Path:
    """Return the place of the finished fits of an evaluation, beside its file."""
    return file.with_name(f"{file.name}.journal")


def evaluate_few_shot(
    table: CostTable, protocol: str, seeds: range, file: Path, as_json: bool = False, as_csv: bool = False
) -> None:
    """Run a protocol, print its table beside the published figures, and write the scores."""
    from hwnas_surrogate.evaluation import few_shot_table, help2021, leave_one_device_out, nasflat2024

    run = {"help": help2021, "nasflat": nasflat2024, "devices": leave_one_device_out}[protocol]
    with progress("fitting sources, adapting") as update:
        evaluation = run(table, seeds=seeds, progress=update, journal=journal_of(file))  # type: ignore[operator]
    evaluation.write(file)
    journal_of(file).unlink(missing_ok=True)
    frame = few_shot_table(evaluation)
    if not (as_json or as_csv):
        numbers = frame.select_dtypes("float").columns
        frame[numbers] = frame[numbers].map(lambda value: "" if value != value else f"{value:.4f}")
    show(frame, _TITLES[protocol], as_json, as_csv, keys=("device", "setting", "measurements"))
    say(f"scores are in {file}")
