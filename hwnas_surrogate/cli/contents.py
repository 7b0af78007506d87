"""Print the contents of a table: its targets and their devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwnas_surrogate.cli.output import show

if TYPE_CHECKING:
    import pandas as pd

    from hwnas_surrogate.data import AnyTable

_MANY = 10
"""With more configs than this, the printed table shows sums."""
_LINES = 1000
"""Lines that a printed table has at most."""
_OF_DEVICE = ("hardware", "runtime", "batch", "source")


def show_contents(table: AnyTable, as_json: bool = False, as_csv: bool = False, *, verbose: bool = False) -> None:
    """Print what a table holds, a line per target and config; the devices follow unless it is JSON or CSV.

    For many configs, only sums are printed, unless ``verbose``.
    """
    import pandas as pd

    from hwnas_surrogate.data import DESCRIBED, CostTable, describe

    frame = pd.DataFrame(describe(table), columns=list(DESCRIBED))
    if as_json or as_csv:
        show(frame, "", as_json, as_csv)
        return
    if isinstance(table, CostTable):
        under = "" if table.space is None else f", {len(table.configs)} config(s)"
        title = f"Costs of {len(table):,} {table.title}{under}"
    else:
        title = f"Costs of {len(table.keys)} {table.space.title} blocks"
    unneeded = list(_OF_DEVICE) if frame["config"].any() else ["config", *_OF_DEVICE]
    targets = frame.drop(columns=unneeded).rename(columns={"noise_floor": "noise floor"})
    notes = []
    if len(table.configs) > _MANY and not verbose:
        targets = targets.groupby(["target", "unit"], sort=False, as_index=False)[["costs", "missing"]].sum()
        notes = ["sums over all configs; a line for each: --verbose"]
    _show_first(targets, title, ("target", "unit", "config"), notes)
    devices = frame[list(_OF_DEVICE)]
    devices.insert(0, "device", [target.partition("/")[0] for target in frame["target"]])
    _show_first(devices.drop_duplicates(), "\nDevices", ("device",), [])


def _show_first(frame: pd.DataFrame, title: str, keys: Sequence[str], notes: list[str]) -> None:
    if len(frame) > _LINES:
        notes = [f"the first {_LINES:,} of {len(frame):,} lines; --json and --csv print all", *notes]
    show(frame.head(_LINES), title, keys=keys, notes=notes)
