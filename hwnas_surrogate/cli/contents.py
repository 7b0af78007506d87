"""Print the contents of a table: its targets and their devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.cli.output import show

if TYPE_CHECKING:
    from hwnas_surrogate.data import AnyTable

_MANY = 10
"""With more configs than this, the printed table shows sums."""
_OF_DEVICE = ("hardware", "runtime", "batch", "source")


def show_contents(table: AnyTable, as_json: bool = False, as_csv: bool = False, *, verbose: bool = False) -> None:
    """Print what a table holds, a line per target and config; the devices follow unless it is JSON or CSV.

    For many configs, only sums are printed, unless ``verbose``.
    """
    import pandas as pd

    from hwnas_surrogate.data import CostTable, describe

    frame = pd.DataFrame(describe(table))
    if as_json or as_csv:
        show(frame, "", as_json, as_csv)
        return
    if isinstance(table, CostTable):
        title = f"Costs of {len(table):,} {table.space.title} architectures, {len(table.configs)} config(s)"
    else:
        title = f"Costs of {len(table.keys)} {table.space.title} blocks"
    targets = frame.drop(columns=list(_OF_DEVICE)).rename(columns={"noise_floor": "noise floor"})
    notes = []
    if len(table.configs) > _MANY and not verbose:
        targets = targets.groupby(["target", "unit"], sort=False, as_index=False)[["costs", "missing"]].sum()
        notes = ["sums over all configs; a line for each: --verbose"]
    show(targets, title, keys=("target", "unit", "config"), notes=notes)
    devices = frame[list(_OF_DEVICE)]
    devices.insert(0, "device", [target.partition("/")[0] for target in frame["target"]])
    show(devices.drop_duplicates(), "\nDevices", keys=("device",))
