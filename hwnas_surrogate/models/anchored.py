"""A stack for networks of any kind: away from the networks that it was fitted on, it falls back to physics."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.models.cost_model import Arrays, CostModel, Vector, checked_array
from hwnas_surrogate.models.stack import PhysicsStack

__all__ = ["AnchoredStack"]

_MOST = 0.95
"""The fraction of the training rows that are familiar without question."""
_PLAUSIBLE = 2.0
"""Away from the training rows, the other models move a prediction by so many standard deviations of physics at most: a
ridge on selected columns can be wrong by a factor of a hundred there."""
_WIDER = 2.0
"""The factor by which the posterior of physics is widened where networks are unfamiliar.

Physics that is fitted to one kind of networks does not know how others differ. Trained on 150 FBNet networks, 90 %
intervals contained 40 to 86 % of the costs of NAS-Bench-201's; widened by 2, more than 80 %.
"""


class AnchoredStack(PhysicsStack):
    """A :class:`PhysicsStack` whose models other than physics count only near the training rows.

    Near the training networks, a boosted ridge predicts better than physics. For networks of other kinds it may be
    wrong by any factor, because its columns mean something else there. The posterior of physics tells how far away a
    network is: its standard deviation without noise, relative to the prediction, is r. With f the 95 % quantile of r
    over the training rows, the prediction is ``physics + w * (stack - physics)``, with the trust
    ``w = min(1, (f / r)^2)``. Where w is below 1, the difference is limited to two standard deviations. The standard
    deviation grows with ``1 - w``.

    Parameters
    ----------
    random_state, prior
        As in :class:`PhysicsStack`.

    Attributes
    ----------
    familiar_ : float
        The 95 % quantile of r over the training rows.

    Notes
    -----
    Trained on 300 NAS-Bench-201 networks and asked about FBNet's, or the other way round (two devices, ten draws each),
    the median errors are 12 to 43 % on average, and 90 % intervals contain 88 to 100 % of the costs on average, 51 % at
    worst (``python -m benchmarks graphs``). The boosted ridge alone erred by 12 to 57 % in two draws, and its intervals
    contained 8 to 42 % of the costs in six of eight cases. Trained on 40 convolutional networks, this stack errs by
    26 % on small transformers (spearman .99), and its intervals contain 92 %.
    """

    familiar_: float

    @property
    def knows_distance(self) -> bool:
        """True: the standard deviation grows with the distance from the training networks."""
        return True

    def reduced(self) -> CostModel:
        """Return the stack itself: it needs physics."""
        return self

    def rank(self, X: pd.DataFrame) -> Self:
        """Predict the average of the ``source`` columns, each divided by its mean over (n, k) named columns."""
        super().rank(X)
        self.familiar_ = 0.0
        return self

    def trust(self, X: pd.DataFrame) -> Vector:
        """Return the weight w of the models beside physics for each row, between 0 and 1: (n, k) columns -> (n,).

        It is 1 for networks like those of the training rows.
        """
        return self._of_physics(X)[2]

    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        return self._anchored(X, self._of_physics(X))

    def _anchored(self, X: pd.DataFrame, of_physics: tuple[Vector, Vector, Vector]) -> Vector:
        """Return the predictions, given what :meth:`_of_physics` returns."""
        stacked = super().predict(X)
        physics, sds, trust = of_physics
        beside = np.clip(stacked - physics, -_PLAUSIBLE * sds, _PLAUSIBLE * sds)
        return np.where(trust == 1, stacked, physics + trust * beside)

    def predictive_sd(self, X: pd.DataFrame) -> Vector:
        """Return the predictive standard deviation of each cost: (n, k) named columns as in ``fit`` -> (n,)."""
        _, sds, trust = self._of_physics(X)
        return np.asarray(np.hypot(super().predictive_sd(X), _WIDER * (1 - trust) * sds))

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        return {**super().to_arrays(), "familiar": np.array([self.familiar_])}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        super().from_arrays(arrays, feature_names)
        self.familiar_ = float(checked_array(arrays, "familiar", (1,), 0.0)[0])
        return self

    def _learn_sds(self, costs: Vector) -> None:
        super()._learn_sds(costs)
        predicted = costs - self.physics_.residuals_
        self.familiar_ = float(np.quantile(self._strange(self.physics_.sds_, predicted), _MOST))

    def _of_physics(self, X: pd.DataFrame) -> tuple[Vector, Vector, Vector]:
        """Return predictions of physics, their standard deviations, and the trust in the other models, (n,) each."""
        physical = X.iloc[:, self._parts()[0]]
        predicted, sds = self.physics_.predict(physical), self.physics_.predictive_sd(physical)
        strange = np.maximum(self._strange(sds, predicted), self.familiar_)
        trust = np.divide(self.familiar_, strange, out=np.ones(len(X)), where=strange > 0) ** 2
        # Rounded, since the sums in a standard deviation depend on the batch in their last digits.
        return predicted, sds, np.round(trust, 9)

    def _strange(self, sds: Vector, predicted: Vector) -> Vector:
        """Return the standard deviation of physics, without noise, relative to the prediction; huge if that is not > 0.

        Noise is the same for all networks, and would hide what is unfamiliar.
        """
        unknown = np.sqrt(np.maximum(sds**2 - self.physics_.noise_**2, 0.0))
        return np.asarray(unknown / np.maximum(predicted, 1e-9 * np.maximum(unknown, np.finfo(float).tiny)))
