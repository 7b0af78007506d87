"""The default model, from two measurements to thousands: physics, what it leaves, and the ordinary model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.boosted import BoostedRidge
from hwnas_surrogate.models.cost_model import Arrays, CostModel, Vector, checked_array
from hwnas_surrogate.models.linear import EXACT, LeaveOneOutRidge
from hwnas_surrogate.models.logarithmic import LogRidge
from hwnas_surrogate.models.physics import PhysicsGP
from hwnas_surrogate.models.prior import PhysicsPrior
from hwnas_surrogate.models.robust import robust_sd

__all__ = ["PhysicsStack"]

MIN_ROWS = 20
"""Fewer rows than this say nothing about any model but physics."""
PROVEN_ROWS = 60
"""Of fewer rows, leave-one-out flatters a ridge that chose its columns by it: it is fitted anew in folds."""
FOLDS = 10
_DOUBT, _REMAINDER_DOUBT = 10.0, 30.0
"""A model's weight shrinks as if so many more rows supported the model below it.

The remainder that physics leaves is small: more rows are needed to distinguish a law in it from chance."""
_PREFERRED = 1.5
"""The ordinary model is taken alone unless the stack is better by so many standard errors; fewer where rows are few."""
_ALL = 0.95
"""Almost all of the weight is all of it."""
_LEAST_SD = 0.5
"""Physics is a bit less certain of what it was fitted to than it thinks: by this part of its median deviation there."""
_SPREAD = 0.5
"""Costs whose logarithms have a smaller standard deviation than this are as good as linear in them."""
_SURE = 4.0
"""Products must predict more rows better than sums do, by so many standard errors of a fair coin."""
_WORTH = 0.4
"""Products without trees must predict this part of the rows better for trees to be worth a try."""


class PhysicsStack(CostModel):
    """A stack of models, weighted by their errors on rows left out [1]_.

    - ``physics``: a :class:`PhysicsGP`. It extrapolates from ten rows.
    - ``remainder``: a :class:`LeaveOneOutRidge` on what physics leaves. It learns what a device does beyond physics,
      and predicts nothing where it knows nothing.
    - ``boosted``: a :class:`BoostedRidge` on the costs themselves. With hundreds of rows it often needs no physics.
    - ``product``: a :class:`LogRidge`, alone, for costs over orders of magnitude that are products rather than sums.

    With fewer than twenty rows physics is alone.

    Parameters
    ----------
    random_state : int or None, default=None
        Seed of the models; None is 0.
    prior : PhysicsPrior or mapping, optional
        Of the physics; a mapping holds the fields that differ from the default's.

    Attributes
    ----------
    physics_ : PhysicsGP
        Fitted on the columns of :class:`LayerPhysics` and ``source`` ones.
    remainder_ : LeaveOneOutRidge or None
        Fitted on all the others; None where it has no weight. It needs no trees: with them, no spearman of 50 targets
        was higher by more than .0003 (n=100, 200, 400).
    boosted_ : BoostedRidge or None
        Fitted on the same columns; None where it has no weight.
    product_ : LogRidge or None
        Fitted on all but the ``source`` columns; if there is one, it predicts alone.
    weights_ : dict of str to float
        The part of each model in the prediction: ``physics``, ``remainder``, ``boosted``, ``product``. The remainder
        is added to a part of physics as large or larger; the others add up to 1.
    residuals_ : ndarray of float64, shape (n,)
        Each training cost minus what is predicted without it; not saved.
    sds_ : ndarray of float64, shape (n,)
        The predictive standard deviations of these predictions; not saved.
    least_sd_ : float
        The smallest predictive standard deviation: half the median one of physics where that has a part; the robust
        standard deviation of ``residuals_`` where the ordinary model is alone; of products, relative to the cost.

    References
    ----------
    .. [1] Wolpert, "Stacked generalization", Neural Networks 1992.
    """

    physics_: PhysicsGP
    remainder_: LeaveOneOutRidge | None
    boosted_: BoostedRidge | None
    product_: LogRidge | None
    weights_: dict[str, float]
    residuals_: Vector
    sds_: Vector
    precisions_: Vector
    least_sd_: float

    def __init__(self, random_state: int | None = None, prior: PhysicsPrior | Mapping[str, Any] | None = None) -> None:
        self.random_state = random_state
        self.prior = prior

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs."""
        _, costs, _ = self._checked(X, y)
        mine, others = self._parts()
        self._only_physics(PhysicsGP(random_state=self.random_state, prior=self.prior).fit(X.iloc[:, mine], costs))
        if len(costs) >= MIN_ROWS and len(others):
            self._stack(X.iloc[:, others], costs)
            self._try_product(X, costs)
        self._learn_sds(costs)
        return self

    def _learn_sds(self, costs: Vector) -> None:
        """Learn the smallest standard deviation, and those of the training rows."""
        if self.product_ is not None:
            self.least_sd_, self.sds_ = self.product_.sd_, self.product_.sds_
        elif self.boosted_only:
            self.least_sd_ = max(robust_sd(self.residuals_), EXACT * float(np.abs(costs).max()))
            self.sds_ = np.full(len(costs), self.least_sd_)
        else:
            self.least_sd_ = _LEAST_SD * float(np.median(self.physics_.sds_))
            self.sds_ = np.hypot(self.physics_.sds_, self.least_sd_)

    @property
    def boosted_only(self) -> bool:
        """Whether the ordinary model has all the weight."""
        return self.weights_["boosted"] == 1

    @property
    def heteroscedastic(self) -> bool:
        """True: physics knows where it is uncertain, and products are off by a part of the cost."""
        return True

    @property
    def knows_distance(self) -> bool:
        """Whether the standard deviation grows as networks differ from the training ones: not of the ordinary model."""
        return not self.boosted_only

    @property
    def relative_errors(self) -> bool:
        """Whether predictions are off by a part of the cost: those of products are."""
        return self.product_ is not None

    @property
    def extrapolates(self) -> bool:
        """True: layers are described alike in every space and config."""
        return True

    @property
    def general_weight(self) -> float:
        """The weight of all models but physics."""
        return sum(self.weights_[name] for name in ("remainder", "boosted", "product"))

    @property
    def source_weight(self) -> float:
        """How much the measurements speak for other devices having a share in the cost."""
        return self.weights_["physics"] * self.physics_.source_weight

    @property
    def layer_physics(self) -> PhysicsGP | None:
        """The physics, unless other devices have a share in it."""
        return None if len(Columns.of(self.physics_.feature_names_in_).where("source")) else self.physics_

    def reduced(self) -> CostModel:
        """Return the ordinary model where it has all the weight."""
        return self.boosted_ if self.boosted_only and self.boosted_ is not None else self

    def _only_physics(self, physics: PhysicsGP) -> None:
        self.physics_, self.remainder_, self.boosted_, self.product_ = physics, None, None, None
        self.residuals_, self.sds_, self.precisions_ = physics.residuals_, physics.sds_, physics.precisions_
        self.weights_ = {"physics": 1.0, "remainder": 0.0, "boosted": 0.0, "product": 0.0}

    def _stack(self, X: pd.DataFrame, costs: Vector) -> None:
        """Fit the two models beside physics, and weight them.

        With hundreds of rows the ordinary model is taken alone if the stack is not clearly better: it is the simpler
        one, and predicts networks that run the same operators alike.
        """
        ordinary = BoostedRidge(random_state=self.random_state)
        left = self._left_by(ordinary, X, costs)
        # With hardly more rows than columns they are a sum of them by chance, and say nothing of other columns.
        proven = ordinary.exact_ and 3 * len(costs) >= 4 * np.count_nonzero(ordinary.coef_)
        share, of_remainder, below = 1.0, 0.0, self.physics_.residuals_
        if not proven:
            share = _weight(below, left, _DOUBT)
        if share < 1:
            remainder = LeaveOneOutRidge()
            of_both = self._left_by(remainder, X, self.physics_.residuals_)
            of_remainder = _weight(below, of_both, _REMAINDER_DOUBT)
            below = (1 - of_remainder) * below + of_remainder * of_both
            share = _weight(below, left, _DOUBT)
            if of_remainder and share < 1:
                self.remainder_ = remainder
        mixed = (1 - share) * below + share * left
        better = (np.abs(left) - np.abs(mixed))[_told_apart(mixed, left)]
        wanted = _PREFERRED * (1 - PROVEN_ROWS / len(costs)) * better.std() / np.sqrt(len(better))
        if len(costs) >= PROVEN_ROWS and better.mean() < wanted:
            share, mixed, self.remainder_ = 1.0, left, None
        if share:
            self.boosted_ = ordinary
        self.weights_ |= {"physics": 1 - share, "remainder": (1 - share) * of_remainder, "boosted": share}
        self.residuals_ = mixed

    def _left_by(self, model: LeaveOneOutRidge, X: pd.DataFrame, costs: Vector) -> Vector:
        """Fit a ridge; return each cost minus what it predicts without it."""
        model.fit(X, costs)
        return model.residuals_ if len(costs) >= PROVEN_ROWS else _left_out(model, X, costs, self.random_state or 0)

    def _try_product(self, X: pd.DataFrame, costs: Vector) -> None:
        """Take products instead, if they predict most rows better than the stack does.

        Which of two predictions is nearer does not depend on the scale: small costs have as much of a say as large
        ones.
        """
        exact = self.boosted_ is not None and self.boosted_.exact_
        if exact or costs.min() <= 0 or np.log(costs).std() < _SPREAD:
            return
        columns = X.iloc[:, self._not_sources()]
        for trees, needed in ((0, _WORTH), (None, 0.5 + _SURE * 0.5 / np.sqrt(len(costs)))):
            product = LogRidge(trees, self.random_state).fit(columns, costs)
            nearer = np.abs(product.residuals_) < np.abs(self.residuals_)
            if nearer.mean() < needed:
                return
        self.remainder_, self.boosted_, self.product_ = None, None, product
        self.weights_ = {"physics": 0.0, "remainder": 0.0, "boosted": 0.0, "product": 1.0}
        self.residuals_ = product.residuals_

    def rank(self, X: pd.DataFrame) -> Self:
        """Take the average of the ``source`` columns for the cost, each over its mean in (n, k) named columns."""
        self._checked(X, [])
        mine, _ = self._parts()
        self._only_physics(PhysicsGP(random_state=self.random_state, prior=self.prior).rank(X.iloc[:, mine]))
        self.least_sd_ = 0.0
        return self

    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "physics_")
        self._values(X)
        if self.product_ is not None:
            return self.product_.predict(X.iloc[:, self._not_sources()])
        mine, others = self._parts()
        predicted: Vector = np.zeros(len(X))
        models = (("physics", self.physics_, mine), ("remainder", self.remainder_, others))
        for name, model, columns in (*models, ("boosted", self.boosted_, others)):
            if model is not None and self.weights_[name]:
                predicted += self.weights_[name] * model.predict(X.iloc[:, columns])
        return predicted

    def _predictive_sd(self, X: pd.DataFrame, mean: Vector) -> Vector:
        """Return how far predictions are expected to be off.

        Physics says where it is uncertain; products are off by a part of what they predict. The ordinary model alone is
        off everywhere alike.
        """
        if self.product_ is not None:
            return self.least_sd_ * mean
        least = np.full(len(mean), self.least_sd_)
        if self.boosted_only:
            return least
        return np.asarray(np.hypot(self.physics_.deviations(X.iloc[:, self._parts()[0]]), least))

    def to_arrays(self) -> Arrays:
        """Return what was learned as arrays."""
        check_is_fitted(self, "physics_")
        arrays: Arrays = {
            "weights": np.array([self.weights_[name] for name in _MODELS]),
            "least_sd": np.array([self.least_sd_]),
        }
        for name in _MODELS:
            model = getattr(self, f"{name}_")
            if model is not None:
                arrays |= {f"{name}_{key}": array for key, array in model.to_arrays().items()}
        return arrays

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        self._columns_are(feature_names)
        weights = checked_array(arrays, "weights", (len(_MODELS),), 0.0)
        if weights.max() > 1:
            raise InvalidInputError(f"weights must be {len(_MODELS)} numbers between 0 and 1, got {weights}.")
        self.weights_ = dict(zip(_MODELS, map(float, weights), strict=True))
        self.least_sd_ = float(checked_array(arrays, "least_sd", (1,), 0.0)[0])
        mine, others = self._parts()
        columns = {"physics": mine, "remainder": others, "boosted": others, "product": self._not_sources()}
        for name, kind in _MODELS.items():
            own = {key.removeprefix(f"{name}_"): array for key, array in arrays.items() if key.startswith(f"{name}_")}
            if not own and (name == "physics" or self.weights_[name]):
                raise InvalidInputError(f"the arrays of {name} are missing.")
            model = kind() if kind is LeaveOneOutRidge else kind(random_state=self.random_state)
            setattr(self, f"{name}_", model.from_arrays(own, feature_names[columns[name]]) if own else None)
        return self

    def _parts(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return which columns the physics and which the other models read."""
        columns = Columns.of(self.feature_names_in_)
        return columns.where("physics", "correction", "source"), columns.where("feature")

    def _not_sources(self) -> npt.NDArray[np.intp]:
        return Columns.of(self.feature_names_in_).where("feature", "physics", "correction")


_MODELS: dict[str, Any] = {
    "physics": PhysicsGP,
    "remainder": LeaveOneOutRidge,
    "boosted": BoostedRidge,
    "product": LogRidge,
}


def _left_out(model: LeaveOneOutRidge, X: pd.DataFrame, costs: Vector, seed: int) -> Vector:
    """Return each cost minus what the model predicts if it is fitted to other folds, choosing its columns there."""
    from sklearn.model_selection import KFold

    residuals = np.empty(len(costs))
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(costs):
        fitted = clone(model).fit(X.iloc[train], costs[train])
        residuals[test] = costs[test] - fitted.predict(X.iloc[test])
    return residuals


def _told_apart(first: Vector, second: Vector) -> npt.NDArray[np.bool_]:
    """Return the rows that tell two models apart: rows that both miss are slips or noise."""
    return np.asarray(np.minimum(np.abs(first), np.abs(second)) <= 3 * robust_sd(first))


def _weight(first: Vector, second: Vector, doubtful: float) -> float:
    """Return the part of the second model that would have left the smallest residuals, held back where rows are few.

    Almost all is all, and almost nothing is nothing.
    """
    kept = _told_apart(first, second)
    first, second = first[kept], second[kept]
    apart = first - second
    doubt = (doubtful / len(first)) ** 2 * float((first**2).sum())
    total = float((apart**2).sum()) + doubt
    weight = float(np.clip((first * apart).sum() / total, 0.0, 1.0)) if total > 0 else 0.0
    return 1.0 if weight > _ALL else 0.0 if weight < 1 - _ALL else weight
