"""The default model of graphs: a stack of layer physics and ridges, and the sum of learned costs of operators."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.columns import Column
from hwnas_surrogate.models.anchored import AnchoredStack
from hwnas_surrogate.models.cost_model import Arrays, Vector, checked_array
from hwnas_surrogate.models.linear import EXACT
from hwnas_surrogate.models.mixing import mixing_weight
from hwnas_surrogate.models.robust import robust_sd

__all__ = ["OPERATORS", "OperatorStack"]

OPERATORS = Column.learned("operators")
"""The column of the sum of operators' learned costs; of training rows, predicted without the row. It is the last."""
_PSEUDO_ROWS, _PRIOR = 20.0, 0.5
"""The prior of the weight, and how much it counts, in rows.

Networks that were chosen to differ from one another say little about others: each is unlike the rest.
"""
_MIXED = 0.1
"""Networks are of many kinds if the stack errs by more than this (robust standard deviation of the logarithms)."""
_MIXED_PSEUDO_ROWS, _MIXED_PRIOR = 100.0, 0.8
"""The prior for these: the stack, whose noise is the same for all costs, fits the largest few, and errors of networks
that were chosen to be extreme say little about others. Weights of .6 to .8 differ by half a point at 20 networks."""
_TRUST = 0.5
"""The sum of operators' costs counts by this power of the trust in what is no physics.

Trained on 300 networks of FBNet, sums were off by three to seven times for networks of NAS-Bench-201 (ONNX Runtime).
"""
_STRANGE = 2.0
"""The factor by which the posterior of physics is widened where networks are unfamiliar."""
_APART = 10.0
"""The stack counts up to this factor from the sum."""
_DISAGREEMENT = 0.4
"""The fraction of the logarithmic difference of the two that is added to the standard deviation."""


class OperatorStack(AnchoredStack):
    """The weighted geometric mean of an :class:`AnchoredStack` and of the sum of operators' learned costs.

    Networks of many kinds cost between microseconds and seconds, so that errors are relative. The weight minimises the
    squared logarithmic residuals on rows that neither was fitted to. It shrinks with the trust of
    :class:`AnchoredStack`: networks unlike all measured ones are predicted by physics. The standard deviation is
    relative too. It grows where the two disagree, and with distrust.

    Parameters
    ----------
    random_state, prior
        As in :class:`AnchoredStack`.

    Attributes
    ----------
    operators_weight_ : float
        The weight of the sum of operators' costs, between 0 and 1.
    relative_sd_ : float
        The robust standard deviation of the relative residuals of the mean.
    """

    operators_weight_: float
    relative_sd_: float

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns, the last of which is :data:`OPERATORS`, and n costs above 0."""
        super().fit(X, y)
        costs = np.asarray(y, np.float64)
        sums = X[OPERATORS.name].to_numpy(np.float64)
        stacked = self._near(costs - self.residuals_, sums)
        of_physics = self._of_physics(X)
        of_stack, of_sums = np.log(costs / stacked), np.log(costs / sums)
        mixed = robust_sd(of_stack) > _MIXED
        rows, prior = (_MIXED_PSEUDO_ROWS, _MIXED_PRIOR) if mixed else (_PSEUDO_ROWS, _PRIOR)
        self.operators_weight_ = mixing_weight(of_stack, of_sums, rows, prior)
        predicted = self._mean(stacked, sums, of_physics[2])
        self.residuals_ = costs - predicted
        self.relative_sd_ = max(robust_sd(self.residuals_ / predicted), EXACT)
        self.sds_ = self._sds(predicted, stacked, sums, of_physics)
        return self

    @property
    def relative_errors(self) -> bool:
        """True: errors are proportional to the cost."""
        return True

    @property
    def general_weight(self) -> float:
        """The total weight of everything but physics."""
        return 1 - (1 - self.operators_weight_) * (1 - super().general_weight)

    def weight_of_operators(self, X: pd.DataFrame) -> Vector:
        """Return the weight of the operators' sum in each prediction, between 0 and 1: (n, k) named columns -> (n,)."""
        return self._weight(self.trust(X))

    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        sums, of_physics = X[OPERATORS.name].to_numpy(np.float64), self._of_physics(X)
        return self._mean(self._near(self._anchored(X, of_physics), sums), sums, of_physics[2])

    def predictive_sd(self, X: pd.DataFrame) -> Vector:
        """Return the predictive standard deviation of each cost: (n, k) named columns as in ``fit`` -> (n,)."""
        sums, of_physics = X[OPERATORS.name].to_numpy(np.float64), self._of_physics(X)
        stacked = self._near(self._anchored(X, of_physics), sums)
        return self._sds(self._mean(stacked, sums, of_physics[2]), stacked, sums, of_physics)

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        return {**super().to_arrays(), "operators": np.array([self.operators_weight_, self.relative_sd_])}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        super().from_arrays(arrays, feature_names)
        self.operators_weight_, self.relative_sd_ = map(float, checked_array(arrays, "operators", (2,), 0.0))
        return self

    def _try_product(self, X: pd.DataFrame, costs: Vector) -> None:
        """Try none: sums over operators are fitted to relative errors already, and products add a tenth of a point."""

    def _near(self, stacked: Vector, sums: Vector) -> Vector:
        return np.asarray(np.clip(stacked, sums / _APART, sums * _APART))

    def _mean(self, stacked: Vector, sums: Vector, trust: Vector) -> Vector:
        weight = self._weight(trust)
        return np.asarray(stacked ** (1 - weight) * sums**weight)

    def _weight(self, trust: Vector) -> Vector:
        return np.asarray(self.operators_weight_ * trust**_TRUST)

    def _sds(
        self, predicted: Vector, stacked: Vector, sums: Vector, of_physics: tuple[Vector, Vector, Vector]
    ) -> Vector:
        physics, sds, trust = of_physics
        apart = _DISAGREEMENT * np.abs(np.log(stacked / sums))
        strange = _STRANGE * (1 - trust) * sds / np.maximum(physics, predicted / _APART)
        return np.asarray(predicted * np.sqrt(self.relative_sd_**2 + apart**2 + strange**2))
