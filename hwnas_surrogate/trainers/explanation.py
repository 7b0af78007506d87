"""Where the predicted cost of a network comes from, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from hwnas_surrogate.data.target import Target
from hwnas_surrogate.features.physics import PhysicsView

__all__ = ["Explanation"]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The predicted cost of one network by operator, as :meth:`Surrogate.explain` returns it.

    Parameters
    ----------
    target : Target or None
        The predicted target, if known.
    unit : str
        The unit of the costs: that of the metric. A throughput is explained as the time of one image, in
        ``1/(images/s)``; empty for a ranking, which has no unit.
    view : str
        The view of the network that accounts for the largest part of the prediction: its operators are the rows.
    additive_share : float
        The part of the prediction that is a sum over operators in the surrogate itself, of physical or learned costs,
        between 0 and 1. The rest is spread in proportion to these.
    coverage : float
        The probability that an operator's cost lies between ``low`` and ``high``.
    interval : tuple of float or None
        The calibrated interval of the whole network's cost, with this coverage; None if the surrogate was fitted with
        ``calibrate=False``, or is a ranking.
    frame : DataFrame
        One row per operator, in the order of the graph: ``node`` (the first node of the graph that is part of it),
        ``operator``, ``fused`` (the kinds of operators that are part of it), ``output`` (its shape), ``macs``,
        ``params``, ``activation_bytes`` (read and written), ``weight_bytes``, ``cost``, ``low``, ``high`` (in the
        unit), and ``share`` (in %).
    """

    target: Target | None
    unit: str
    view: PhysicsView
    additive_share: float
    coverage: float
    interval: tuple[float, float] | None
    frame: pd.DataFrame

    @property
    def total(self) -> float:
        """The sum of the operators' costs, which is the predicted cost of the network."""
        return float(self.frame["cost"].sum())

    def __len__(self) -> int:
        """Return the number of operators."""
        return len(self.frame)

    def __repr__(self) -> str:
        """Return the total, the number of operators and the view."""
        of = "" if self.target is None else f" of {self.target}"
        return f"<{type(self).__name__}{of}: {self.total:.4g} {self.unit}, {len(self)} operators ({self.view})>"
