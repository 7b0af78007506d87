"""A figure of where the predicted cost of one network comes from, operator by operator.

It needs the extra ``plots``; see :mod:`.surrogate_figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.report.drawing import COLOURS, axes_or_new, plain
from hwnas_surrogate.spaces.reading import is_integer
from hwnas_surrogate.trainers import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_operators"]


def plot_operators(explanation: Explanation, n: int = 20, ax: Axes | None = None) -> Axes:
    """Draw the predicted costs of the most expensive operators of a network as bars, with their intervals.

    The largest is at the top. The title states their part of the whole cost.

    Parameters
    ----------
    explanation : Explanation
        From :meth:`Surrogate.explain`. Without intervals (NaN), there are only bars.
    n : int, default=20
        The number of operators.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own if None.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InvalidInputError
        If it is no explanation, or n is not a whole number of at least 1.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from hwnas_surrogate import Surrogate, load_table
    >>> table = load_table(space="nasbench201").select("epyc-torch-1t/latency")
    >>> surrogate = Surrogate().fit(table.archs[:20], table.costs[:20, 0])
    >>> plot_operators(surrogate.explain(8000), n=3).get_xlabel()
    'predicted cost (ms)'
    """
    if not isinstance(explanation, Explanation):
        raise InvalidInputError(f"explanation must be an Explanation, got {type(explanation).__name__}.")
    if not is_integer(n) or n < 1:
        raise InvalidInputError(f"n must be a whole number of at least 1, got {n!r}.")
    shown = explanation.frame.nlargest(n, "cost")
    places = np.arange(len(shown))[::-1]
    ax = axes_or_new(ax, (6.4, 0.9 + 0.24 * max(len(shown), 3)))
    ax.barh(places, shown["cost"], height=0.72, color=COLOURS[0])
    if shown[["low", "high"]].notna().all(axis=None):
        ax.hlines(places, shown["low"], shown["high"], color="0.25", linewidth=1.2)
    labels = [f"{row.operator}  {plain(row.output)}  #{row.node}" for row in shown.itertuples()]
    ax.set_yticks(places, labels, fontsize="small")
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlim(left=0.0)
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=_label(explanation), title=_title(explanation, float(shown["share"].sum()), len(shown)))
    ax.title.set_fontsize("medium")
    return ax


def _label(explanation: Explanation) -> str:
    target = explanation.target
    about = "cost" if target is None else f"{plain(target.metric.replace('_', ' '))} on {plain(target.device)}"
    return f"predicted {about}" + (f" ({plain(explanation.unit)})" if explanation.unit else "")


def _title(explanation: Explanation, share: float, n: int) -> str:
    whole = f"{explanation.total:.3g} {plain(explanation.unit)}" if explanation.unit else "the whole"
    if n == len(explanation):
        return f"{n} operators, {whole}"
    return f"the {n} largest of {len(explanation)} operators: {share:.0f} % of {whole}"
