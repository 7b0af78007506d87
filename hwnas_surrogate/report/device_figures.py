"""Figures of the relations between devices: correlations, principal directions, proxies, fronts, disagreements.

As in :mod:`hwnas_surrogate.report.surrogate_figures`, all need the extra ``plots``, and without ``ax`` they draw on a
new figure that is not registered in pyplot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hwnas_surrogate.data import METRICS
from hwnas_surrogate.devices import Disagreement, PrincipalDirections, cluster_devices
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.report.drawing import COLOURS, LEGEND_ABOVE, MARKERS, axes_or_new, checked_frame, numbers_of, plain
from hwnas_surrogate.search.pareto import ACCURACY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_correlation", "plot_disagreement", "plot_pareto", "plot_principal_directions", "plot_proxies"]

_MOST_NUMBERS = 12
"""With more devices than this, numbers in the cells would be too small to read."""
_USUAL = 20
"""Characters of a target's name that fit in a figure of correlations."""
_PROXIES = {
    "macs": "multiply-adds (all layers)",
    "params": "parameters",
    "layers": "layers",
    "activation_bytes": "activation bytes",
}
_PART = 0.99


def plot_correlation(matrix: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a correlation matrix as a heatmap, with similar devices side by side and lines between clusters.

    Cells show their number if there are at most 12 devices; cells without a correlation are grey. The colours go from
    0 to 1, or from -1 to 1 if a correlation is negative.

    Parameters
    ----------
    matrix : DataFrame, shape (targets, targets)
        As :func:`correlation` returns it; :func:`cluster_devices` orders it.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None. The colour bar takes room from it.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If it is no correlation matrix.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> names = ["phone/latency", "gpu/latency", "tablet/latency"]
    >>> ax = plot_correlation(pd.DataFrame([[1, 0.2, 0.9], [0.2, 1, 0.3], [0.9, 0.3, 1]], names, names))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['phone/latency', 'tablet/latency', 'gpu/latency']
    """
    clusters = cluster_devices(matrix)
    at = [list(map(str, matrix.columns)).index(name) for name in clusters.order]
    values = matrix.to_numpy(np.float64)[np.ix_(at, at)]
    labels = clusters.cluster.to_numpy()[at]
    n = len(at)
    names = [plain(name) for name in clusters.order]
    side = 2.2 + 0.26 * n + (0.24 * n if n <= _MOST_NUMBERS else 0.0)
    side += 0.08 * max(0, max(map(len, names)) - _USUAL)  # space that longer names take from the Axes
    ax = axes_or_new(ax, (side + 0.9, side))
    low = -1.0 if np.nanmin(values, initial=0.0) < 0 else 0.0
    image = ax.imshow(values, cmap="RdBu" if low else "cividis", vmin=low, vmax=1.0)
    ax.set_facecolor("0.8")  # the colour of missing correlations
    ax.set_xticks(range(n), names, rotation=90, fontsize="small")
    ax.set_yticks(range(n), names, fontsize="small")
    ax.set(xlabel="target (device/metric)", ylabel="target (device/metric)")
    for border in np.flatnonzero(np.diff(labels)) + 0.5:
        ax.axhline(border, color="white", linewidth=2)
        ax.axvline(border, color="white", linewidth=2)
    if n <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                dark = abs(value) > 0.7 if low else value < 0.5
                look: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if dark else "black"}
                ax.text(column, row, f"{value:.2f}", fontsize="small", **look)
    ax.figure.colorbar(image, ax=ax, label=f"correlation ({low:.0f} to 1)")
    return ax


def plot_principal_directions(directions: PrincipalDirections, ax: Axes | None = None) -> Axes:
    """Draw the cumulative variance of the log costs that the first directions explain.

    A dashed line marks 99 %, and the first bar that reaches it is highlighted: that many numbers describe a device.

    Parameters
    ----------
    directions : PrincipalDirections
        As :func:`principal_directions` returns them.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None. The legend stands above the Axes.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If they are not PrincipalDirections.
    MissingExtraError
        If matplotlib is not installed.
    """
    if not isinstance(directions, PrincipalDirections):
        raise InvalidInputError(f"directions must be PrincipalDirections, got {type(directions).__name__}.")
    explained = 100 * np.cumsum(directions.explained_variance_ratio)
    enough = directions.n_for(_PART)
    shown = min(len(explained), max(enough + 2, 6))
    ax = axes_or_new(ax, (5.2, 3.6))
    colours = [COLOURS[1] if number == enough else COLOURS[0] for number in range(1, shown + 1)]
    ax.bar(range(1, shown + 1), explained[:shown], color=colours)
    ax.axhline(100 * _PART, color="0.35", linewidth=1, linestyle="--", label=f"{100 * _PART:.0f} % ({enough} needed)")
    ax.set_xticks(range(1, shown + 1))
    ax.set(ylim=(0, 105), xlabel="principal directions (number)", ylabel="variance of the log costs explained (%)")
    ax.legend(**LEGEND_ABOVE)
    return ax


def plot_proxies(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how well the size of a network ranks the costs of each device, with intervals.

    Parameters
    ----------
    frame : DataFrame
        As :func:`proxies` returns it.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None. The legend stands above the Axes.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If there is no row, a column is missing, or there is no number to draw.
    MissingExtraError
        If matplotlib is not installed.
    """
    shown = checked_frame("frame", frame, "target", "proxy", "kendall_tau", "low", "high")
    for name in ("kendall_tau", "low", "high"):
        shown[name] = numbers_of(shown, name, missing=True)
    if shown["kendall_tau"].isna().all():
        raise InvalidInputError(f"kendall_tau must be a number somewhere, got NaN in all {len(shown)} rows.")
    targets, names = (list(dict.fromkeys(shown[name])) for name in ("target", "proxy"))
    ax = axes_or_new(ax, (6.0, 1.3 + 0.32 * len(targets)))
    for number, name in enumerate(names):
        rows = shown[shown["proxy"] == name]
        # Side by side within a target's line, without overlap.
        height = rows["target"].map(targets.index) + 0.5 * ((number + 0.5) / len(names) - 0.5)
        reach = np.nan_to_num([rows["kendall_tau"] - rows["low"], rows["high"] - rows["kendall_tau"]])
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "fmt": MARKERS[number % len(MARKERS)]}
        label = plain(_PROXIES.get(str(name), name))
        ax.errorbar(rows["kendall_tau"], height, xerr=reach.clip(0), ms=4.5, elinewidth=1, label=label, **look)
    ax.set_yticks(range(len(targets)), [plain(name) for name in targets])
    ax.set(
        ylim=(len(targets) - 0.5, -0.5), ylabel="target (device/metric)", xlabel="Kendall's tau with the cost (-1 to 1)"
    )
    ax.grid(axis="x", alpha=0.3)
    ax.legend(**(LEGEND_ABOVE | {"ncols": 4, "markerscale": 1.0}))
    return ax


def plot_pareto(front: pd.DataFrame, all: pd.DataFrame, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Draw a Pareto front among all architectures.

    A front of these two objectives is a step line that bounds the attainable values; a front of more objectives is
    drawn as points.

    Parameters
    ----------
    front : DataFrame
        As :func:`pareto_front` returns it.
    all : DataFrame
        Every architecture, with the same columns; rows without a value are left out.
    x, y : str
        The columns to draw: a target's axis has its unit, any other the column's name.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None. The legend stands above the Axes.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If there is nothing to draw, or a column is missing or not of finite numbers.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> frame = pd.DataFrame({"raspi4/latency": [1.0, 2.0, 3.0], "accuracy": [60.0, 70.0, 65.0]})
    >>> from hwnas_surrogate.search import pareto_front
    >>> front = pareto_front(frame, ["raspi4/latency", "accuracy"], maximise=["accuracy"])
    >>> plot_pareto(front, frame, "raspi4/latency", "accuracy").get_xlabel()
    'latency on raspi4 (ms)'
    """
    points = {}
    for what, frame in (("front", front), ("all", all)):
        shown = checked_frame(what, frame, x, y)
        values = np.column_stack([numbers_of(shown, name, missing=True) for name in (x, y)])
        points[what] = values[~np.isnan(values).any(axis=1)]
        if not len(points[what]):
            raise InvalidInputError(f"{what} must have a row with both {x} and {y}, got none of {len(shown)}.")
    ax = axes_or_new(ax, (5.2, 4.0))
    many = len(points["all"]) > 500  # thousands of vector points make papers slow to open
    cloud: dict[str, Any] = {"s": 5 if many else 14, "color": "0.75", "linewidths": 0, "rasterized": many}
    ax.scatter(points["all"][:, 0], points["all"][:, 1], label="architecture", **cloud)
    best = points["front"][np.lexsort(points["front"].T[::-1])]
    look: dict[str, Any] = {"color": COLOURS[1], "zorder": 3, "label": "front"}
    if set(front.attrs.get("objectives", (x, y))) == {x, y}:
        step = "steps-pre" if x in front.attrs.get("maximise", ()) else "steps-post"
        ax.plot(best[:, 0], best[:, 1], drawstyle=step, marker="o", ms=4, linewidth=1.2, **look)
    else:
        ax.scatter(best[:, 0], best[:, 1], s=16, **look)
    ax.set(xlabel=_label(x), ylabel=_label(y))
    ax.grid(alpha=0.3)
    ax.legend(**LEGEND_ABOVE)
    return ax


def plot_disagreement(disagreement: Disagreement, ax: Axes | None = None) -> Axes:
    """Draw how much each op changes an architecture's rank from one device to another.

    Parameters
    ----------
    disagreement : Disagreement
        As :func:`disagreement` returns it.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If it is not a Disagreement.
    MissingExtraError
        If matplotlib is not installed.
    """
    if not isinstance(disagreement, Disagreement):
        raise InvalidInputError(f"disagreement must be a Disagreement, got {type(disagreement).__name__}.")
    shown = disagreement.effects.dropna()
    ax = axes_or_new(ax, (5.6, 1.4 + 0.32 * len(shown)))
    colours = [COLOURS[1] if effect > 0 else COLOURS[0] for effect in shown["effect"]]
    ax.barh(range(len(shown)), shown["effect"], color=colours, zorder=2)
    ax.axvline(0, color="0.35", linewidth=1)
    ax.set_yticks(range(len(shown)), [plain(op) for op in shown["op"]])
    ax.invert_yaxis()
    sides = f"< 0: more expensive on {plain(disagreement.first)}\n> 0: more expensive on {plain(disagreement.second)}"
    ax.set(ylabel="op (one more)", xlabel=f"change of rank (% of the architectures)\n{sides}")
    ax.grid(axis="x", alpha=0.3)
    return ax


def _label(column: str) -> str:
    """Return an axis' label, with the unit of a target."""
    device, _, metric = column.partition("/")
    if metric in METRICS:
        return f"{metric.replace('_', ' ')} on {plain(device)} ({METRICS[metric].unit})"
    return f"{ACCURACY} (as given)" if column == ACCURACY else plain(column)
