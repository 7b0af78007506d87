"""Figures of surrogates' accuracy: learning curves, predicted against measured costs, errors by distance.

All need the extra ``plots``. Without ``ax`` they draw on a new figure that is not registered in pyplot, so that it need
not be closed; ``ax.figure.savefig(...)`` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import TargetLike
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.report.drawing import COLOURS, LEGEND_ABOVE, MARKERS, axes_or_new, checked_frame, numbers_of, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_adaptation_curve", "plot_error_by_distance", "plot_learning_curve", "plot_predicted"]

Vector = npt.NDArray[np.float64]

# Scores whose label has a % are drawn in per cent.
_LABELS = {
    "kendall_tau": "Kendall's tau",
    "kendall_tau_raw": "Kendall's tau (noise breaks ties)",
    "spearman_rho": "Spearman's rho",
    "r2": "coefficient of determination R²",
    "rmse": "root mean squared error ({unit})",
    "mape": "mean relative error (%)",
    "mdape": "median relative error (%)",
    "within_5pct": "predictions off by at most 5 % (%)",
    "within_10pct": "predictions off by at most 10 % (%)",
    "top_10pct_recall": "recall of the cheapest tenth (0 to 1)",
    "fit_seconds": "time of fitting (s)",
}
_LINES = ("-", "--", ":", "-.")
_MOST_INTERVALS, _MOST_BOXES = 500, 12


def plot_learning_curve(
    scores: pd.DataFrame, target: TargetLike | None = None, score: str = "kendall_tau", ax: Axes | None = None
) -> Axes:
    """Draw a score over the number of training architectures.

    Each target, and each model if there are several, is a line through the means over the seeds, in a band of one
    standard deviation; with one seed, there is no band. Scores that are NaN are left out.

    Parameters
    ----------
    scores : DataFrame
        Rows of :func:`evaluate`, of several ``n_train``: columns ``device, metric, unit, seed, n_train``, the score
        and, optionally, ``model``. One row per model, target, seed and ``n_train``.
    target : target, optional
        What to draw: ``device/metric``, or a device for all its metrics; all targets if None.
    score : str, default="kendall_tau"
        The score's column: a field of :class:`Scores`, or ``fit_seconds``. Relative errors and ``within_*`` are drawn
        in per cent.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None. The legend of several lines stands to the right of the Axes: give
        those of a figure with ``layout="constrained"``, which leaves room for it.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If there is nothing to draw, a column is missing, the target or score is unknown, a row is there twice, or
        errors in different units would share an axis.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> rows = [("raspi4", "latency", "ms", seed, n, 1 - 9 / n) for seed in (0, 1) for n in (50, 100, 200)]
    >>> scores = pd.DataFrame(rows, columns=["device", "metric", "unit", "seed", "n_train", "kendall_tau"])
    >>> plot_learning_curve(scores).get_ylabel()
    "Kendall's tau"
    """
    if score not in _LABELS:
        raise unknown(InvalidInputError, "score", score, _LABELS)
    shown = _of_target("scores", scores, target, "seed", "n_train", score)
    label = _LABELS[score].format(unit=_one_unit(shown)) if score == "rmse" else _LABELS[score]
    shown["model"] = shown["model"].astype(str) if "model" in shown else ""
    shown["y"] = numbers_of(shown, score, missing=True) * (100 if label.endswith("(%)") else 1)
    keys = ["target", "model", "n_train", "seed"]
    if (twice := shown.duplicated(keys)).any():
        row = shown.loc[twice, keys].iloc[0].to_dict()
        raise InvalidInputError(f"scores must have one row per model, target, seed and n_train, got {row} twice.")
    if (least := numbers_of(shown, "n_train").min()) < 1:
        raise InvalidInputError(f"n_train must be at least 1, got {least:g}.")
    if shown["y"].isna().all():
        raise InvalidInputError(f"{score} must be a number somewhere, got NaN in all {len(shown)} rows.")

    targets, models = (list(dict.fromkeys(shown[name])) for name in ("target", "model"))
    several = len(targets) > 1 or len(models) > 1
    ax = axes_or_new(ax, (7.4 if several else 5.2, 3.6))
    for (name, model), rows in shown.groupby(["target", "model"], sort=False):
        # With several targets, the colour shows the target and the line style the model.
        colour, line = (targets.index(name), models.index(model)) if len(targets) > 1 else (models.index(model), 0)
        legend = [plain(name)] * (len(targets) > 1) + [plain(model)] * (len(models) > 1)
        look: dict[str, Any] = {"color": COLOURS[colour % len(COLOURS)], "linestyle": _LINES[line % len(_LINES)]}
        by_size = rows.groupby("n_train")["y"]
        mean, sd = by_size.mean(), by_size.std()
        ax.plot(mean.index, mean, marker=MARKERS[colour % len(MARKERS)], ms=4.5, label=", ".join(legend), **look)
        if sd.notna().any():
            low = (mean - sd).clip(lower=0) if (shown["y"].dropna() >= 0).all() else mean - sd
            ax.fill_between(mean.index, low, mean + sd, alpha=0.2, linewidth=0, color=look["color"])
    _sizes_axis(ax, sorted(set(shown["n_train"])))
    ax.set(ylabel=label, title="" if len(targets) > 1 else plain(targets[0]))
    ax.grid(axis="y", alpha=0.3)
    if several:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small", handlelength=3)
    return ax


def plot_adaptation_curve(curve: pd.DataFrame, target: TargetLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw the median error of a few-shot surrogate against the measurements of the new device.

    Parameters
    ----------
    curve : DataFrame
        As :func:`adaptation_curve` returns it.
    target : target, optional
        What to draw: ``device/metric``, or a device for all its metrics; all targets if None.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If there is nothing to draw, or a column is missing.
    MissingExtraError
        If matplotlib is not installed.
    """
    drawn = plot_learning_curve(curve.rename(columns={"n_shots": "n_train", "draw": "seed"}), target, "mdape", ax)
    drawn.set_xlabel("measurements of the device")
    return drawn


def plot_predicted(predictions: pd.DataFrame, target: TargetLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw predicted against measured costs of one target, with the diagonal where they are equal.

    Both axes have the same range; they are logarithmic if all values are above 0 and the costs span more than two
    decades.

    Parameters
    ----------
    predictions : DataFrame
        One row per architecture: columns ``device, metric, unit, measured, predicted`` and, optionally, ``low`` and
        ``high``, the bounds of an interval (which may be infinite). Intervals are thin vertical lines; more than 500
        would hide the points and are left out.
    target : target, optional
        What to draw, as ``device/metric``; may be None if there is only one.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None. The legend stands above the Axes.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If there is no row, a column is missing, the target is unknown or more than one, a cost is not finite, or a
        lower bound is above the upper one.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> costs = pd.DataFrame({"measured": [10.0, 20.0, 40.0], "predicted": [11.0, 19.0, 41.0]})
    >>> plot_predicted(costs.assign(device="raspi4", metric="latency", unit="ms")).get_xlabel()
    'measured latency on raspi4 (ms)'
    """
    shown = _of_target("predictions", predictions, target, "measured", "predicted")
    if len(targets := list(dict.fromkeys(shown["target"]))) > 1:
        raise InvalidInputError(f"a picture shows the costs of one target, got {len(targets)}: name one of {targets}.")
    device, metric = (str(shown[name].iloc[0]) for name in ("device", "metric"))
    about = f"{plain(metric.replace('_', ' '))} on {plain(device)} ({plain(_one_unit(shown))})"
    measured, predicted = numbers_of(shown, "measured"), numbers_of(shown, "predicted")
    costs = np.concatenate([measured, predicted])
    low, high = _intervals(shown) if len(shown) <= _MOST_INTERVALS else (np.empty(0), np.empty(0))
    every = np.concatenate([costs, low[np.isfinite(low)], high[np.isfinite(high)]])

    ax = axes_or_new(ax, (4.4, 4.6))
    if every.min() > 0 and costs.max() > 100 * costs.min():
        ax.set(xscale="log", yscale="log")
    many = len(shown) > _MOST_INTERVALS  # thousands of vector points make papers slow to open
    look: dict[str, Any] = {"s": 5 if many else 14, "alpha": 0.35 if many else 0.8, "rasterized": many}
    ax.scatter(measured, predicted, color=COLOURS[0], linewidths=0, zorder=3, label="architecture", **look)
    if len(low):
        low, high = (np.clip(bound, every.min(), every.max()) for bound in (low, high))  # the infinite ones
        ax.vlines(measured, low, high, color=COLOURS[5], linewidth=0.8, alpha=0.7, zorder=2, label="interval")
    limits = [*ax.get_xlim(), *ax.get_ylim()]
    ends = min(limits), max(limits)
    ax.plot(ends, ends, color="0.35", linewidth=1, zorder=1, label="predicted = measured")
    ax.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"measured {about}", ylabel=f"predicted {about}")
    ax.legend(**LEGEND_ABOVE)
    return ax


def plot_error_by_distance(errors: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw relative errors by the distance of the architectures from the training architectures.

    Each distance is a box: the median, the quartiles, and whiskers from the 5th to the 95th percentile. Up to 12
    different distances are used as centres of bins; more are put into at most 12 bins whose width is a power of two.

    Parameters
    ----------
    errors : DataFrame
        One row per prediction: columns ``distance`` (log2 units) and ``relative_error`` (0.05 is 5 %; absolute or
        signed).
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None. The legend stands above the Axes.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If there is nothing to draw, a column is missing, or a value is not finite.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> errors = pd.DataFrame({"distance": [0.5, 0.5, 1.5, 1.5], "relative_error": [0.01, 0.03, 0.1, 0.2]})
    >>> plot_error_by_distance(errors).get_ylabel()
    'relative error (%)'
    """
    shown = checked_frame("errors", errors, "distance", "relative_error")
    error = 100 * numbers_of(shown, "relative_error")
    bins, width = _bins(numbers_of(shown, "distance"))
    centres = np.unique(bins)
    groups = [error[bins == centre] for centre in centres]

    ax = axes_or_new(ax, (5.6, 3.6))
    line = {"color": COLOURS[0]}
    look: dict[str, Any] = {"patch_artist": True, "boxprops": {"facecolor": "#CCE3F0", "edgecolor": COLOURS[0]}}
    look |= {"medianprops": {"color": COLOURS[1], "linewidth": 2}, "whiskerprops": line, "capprops": line}
    look |= {"whis": (5, 95), "showfliers": False, "widths": 0.6 * width, "manage_ticks": False}
    boxes = ax.boxplot(groups, positions=centres, **look)
    ax.axhline(0, color="0.35", linewidth=1, zorder=0)
    ax.set_xticks(centres, [f"{centre:.4g}\n({len(group)})" for centre, group in zip(centres, groups, strict=True)])
    ax.set(xlim=(centres[0] - width, centres[-1] + width), ylabel="relative error (%)")
    ax.set_xlabel("distance from the training architectures (log2 units)\n(predictions per box in brackets)")
    ax.grid(axis="y", alpha=0.3)
    handles = [boxes[name][0] for name in ("medians", "boxes", "whiskers")]
    ax.legend(handles, ["median", "quartiles", "5th to 95th percentile"], **LEGEND_ABOVE)
    return ax


def _of_target(what: str, frame: pd.DataFrame, target: TargetLike | None, *columns: str) -> pd.DataFrame:
    """Return the rows of a target, or of all a device's targets, with their ``device/metric`` in a column."""
    frame = checked_frame(what, frame, "device", "metric", "unit", *columns)
    device = frame["device"].astype(str)
    frame["target"] = device + "/" + frame["metric"].astype(str)
    rows = (frame["target"] == str(target)) | (device == str(target)) | (target is None)
    if not rows.any():
        raise unknown(InvalidInputError, "target", str(target), dict.fromkeys([*frame["target"], *device]))
    return frame[rows].reset_index(drop=True)


def _intervals(frame: pd.DataFrame) -> tuple[Vector, Vector]:
    """Return the bounds, which may be infinite; empty if there are none."""
    if not {"low", "high"} & set(frame):
        return np.empty(0), np.empty(0)
    checked_frame("predictions", frame, "low", "high")
    low, high = (numbers_of(frame, name, infinite=True) for name in ("low", "high"))
    if (crossed := low > high).any():
        raise InvalidInputError(f"low must not be above high, got {low[crossed][0]} and {high[crossed][0]}.")
    return low, high


def _one_unit(frame: pd.DataFrame) -> str:
    units = list(dict.fromkeys(frame["unit"].astype(str)))
    if len(units) > 1:
        raise InvalidInputError(f"what shares an axis must have one unit, got {units}; name one target.")
    return units[0]


def _bins(distances: Vector) -> tuple[Vector, float]:
    """Return the centre of each distance's bin, and the minimum spacing between neighbours."""
    distances = distances.round(9)  # computed centres differ by floating-point noise
    distinct = np.unique(distances)
    if len(distinct) <= _MOST_BOXES:
        return distances, float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0
    width = float(2.0 ** np.ceil(np.log2(np.ptp(distinct) / (_MOST_BOXES - 1))))
    return (np.floor(distances / width) + 0.5) * width, width


def _sizes_axis(ax: Axes, sizes: list[int]) -> None:
    """Put a tick at every size, with its number if there is room between neighbours."""
    places = np.log(sizes)
    named = [len(sizes) - 1]  # the largest first, which everyone looks for
    for row in reversed(range(len(sizes) - 1)):
        if places[named[-1]] - places[row] >= 0.1 * (places[-1] - places[0]):
            named.append(row)
    ax.set_xscale("log")
    ax.minorticks_off()
    ax.set_xticks(sizes, [f"{size:.0f}" if row in named else "" for row, size in enumerate(sizes)])
    ax.set_xlabel("training architectures")
