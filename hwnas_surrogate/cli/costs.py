"""Print costs of architectures: targets are rows if there are few architectures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hwnas_surrogate.cli.output import show

if TYPE_CHECKING:
    import pandas as pd

    from hwnas_surrogate.data import Target
    from hwnas_surrogate.spaces import SearchSpace

_FEW = 20
"""Up to this many architectures are written out below the table."""
_WITHIN, _HAS_COST = "P(within budget)", "P(has a cost)"
CONNECTED = "connected: whether a path leads from the input to the output"
"""The meaning of a column of that name."""
_ORDER = ("cost", "low", "high", _WITHIN, _HAS_COST)


def show_costs(
    frame: pd.DataFrame,
    targets: Iterable[Target],
    space: SearchSpace | None,
    as_json: bool = False,
    as_csv: bool = False,
    *,
    title: str = "",
) -> None:
    """Print costs of architectures; JSON and CSV have the columns of the frame.

    In tables, architectures are labelled by their index (by a number if the space has none); few are written out below.

    Parameters
    ----------
    frame : DataFrame
        A row per network: ``architecture``, or ``model`` of graphs; ``device/metric (unit)`` of each target, and its
        other columns from :func:`predict_batches`; any further column is a remark about the architecture.
    targets : iterable of Target
        The targets.
    space : SearchSpace or None
        The architectures' space; None of graphs, which are labelled by their names.
    as_json, as_csv : bool
        The output format; a table if neither.
    title : str
        The table's title.
    """
    if as_json or as_csv:
        return show(frame, "", as_json, as_csv)
    notes: list[str] = []
    if "connected" in frame:
        frame, notes = _connections(frame)
    by_target = {f"{target} ({target.unit})": _columns_of(target, frame.columns) for target in targets}
    about = frame.drop(columns=[column for columns in by_target.values() for column in columns.values()])
    archs = about.pop("architecture" if space is not None else "model").tolist()
    heading, labels = ("model", archs) if space is None else _labels(archs, space)
    about.insert(0, heading, labels)
    several = any(len(columns) > 1 for columns in by_target.values())
    if len(archs) > _FEW and space is not None:
        notes.append("--json and --csv print the architectures as strings")
    if not several and len(archs) <= min(len(by_target), _FEW):
        _targets_as_rows(frame, by_target, labels, title, notes)
        if space is not None or len(about.columns) > 1:
            _write_out(about, archs)
    else:
        if several:
            _lines(frame, by_target, about, title, notes)
        else:
            costs = frame[[columns["cost"] for columns in by_target.values()]]
            show(_beside(about, costs), title, keys=tuple(about.columns), choose="--target", notes=notes)
        if len(archs) <= _FEW and space is not None:
            _write_out(about[[heading]], archs)
    return None


def _connections(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame with a remark about networks without a path, if there are any, and its meaning."""
    if frame["connected"].all():
        return frame.drop(columns="connected"), []
    remarks = frame["connected"].map({True: "yes", False: "no"})
    return frame.assign(connected=remarks), [CONNECTED]


def _columns_of(target: Target, columns: Iterable[str]) -> dict[str, str]:
    """Return a target's columns by their content."""
    cost = f"{target} ({target.unit})"
    found = {"cost": cost, "low": f"{cost} low", "high": f"{cost} high", _HAS_COST: f"P({target} has a cost)"}
    names = list(columns)
    for name in names:
        if name.startswith((f"P({target} <= ", f"P({target} >= ")):
            found[_WITHIN] = name
    return {what: name for what, name in found.items() if name in names}


def _labels(archs: list[str], space: SearchSpace) -> tuple[str, list[str]]:
    """Return labels of architectures: the index, a number, or, for many without an index, the ops."""
    index = getattr(space, "index", None)
    if index is not None and (len(archs) > _FEW or len(set(archs)) == len(archs)):
        return "index", [str(number) for number in index(archs)]
    if len(archs) <= _FEW:
        return "number", [f"#{number}" for number in range(1, len(archs) + 1)]
    return "architecture", [",".join(map(str, row)) for row in space.as_array(archs).tolist()]


def _targets_as_rows(
    frame: pd.DataFrame, by_target: dict[str, dict[str, str]], labels: list[str], title: str, notes: list[str]
) -> None:
    import pandas as pd

    costs = frame[[columns["cost"] for columns in by_target.values()]].to_numpy().T
    show(_beside(pd.DataFrame({"target": list(by_target)}), pd.DataFrame(costs, columns=labels)), title, notes=notes)


def _lines(
    frame: pd.DataFrame, by_target: dict[str, dict[str, str]], about: pd.DataFrame, title: str, notes: list[str]
) -> None:
    """Print a line per target and architecture: the cost, its interval, probabilities."""
    import pandas as pd

    budgets = [columns[_WITHIN][2:-1] for columns in by_target.values() if _WITHIN in columns]
    parts = []
    for name, columns in by_target.items():
        part = frame[list(columns.values())].set_axis(list(columns), axis=1).astype(object)
        blank = pd.DataFrame("", index=range(len(frame)), columns=[name for name in _ORDER if name not in columns])
        target = pd.DataFrame({"target": [name] + [""] * (len(frame) - 1)})
        parts.append(_beside(target, about, part, blank))
    order = [name for name in _ORDER if any(name in columns for columns in by_target.values())]
    lines = pd.concat(parts, ignore_index=True)[["target", *about.columns, *order]]
    if budgets:
        notes = [f"budget: {', '.join(budgets)}", *notes]
    show(lines, title, keys=("target", *about.columns), notes=notes)


def _write_out(about: pd.DataFrame, archs: list[str]) -> None:
    """Print the architectures themselves, below the costs."""
    legend = about.copy()
    legend.insert(1, "architecture", archs)
    show(legend, "\nArchitectures")


def _beside(*frames: pd.DataFrame) -> pd.DataFrame:
    """Put frames side by side; two columns may have one name."""
    import pandas as pd

    return pd.concat([frame.reset_index(drop=True) for frame in frames], axis=1)
