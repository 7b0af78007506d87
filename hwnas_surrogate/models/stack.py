"""The default model, from two measurements to thousands: physics, its residuals, and a boosted ridge."""

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
from hwnas_surrogate.models.linear import EXACT, Candidate, LeaveOneOutRidge, candidates
from hwnas_surrogate.models.logarithmic import LogRidge
from hwnas_surrogate.models.mixing import mixing_weight, predicted_by_either
from hwnas_surrogate.models.physics import PhysicsGP
from hwnas_surrogate.models.prior import PhysicsPrior
from hwnas_surrogate.models.robust import robust_sd
from hwnas_surrogate.random_states import RandomState, as_seed

__all__ = ["PhysicsStack"]

MIN_ROWS = 20
"""With fewer rows, physics is the only model: the others can't be validated."""
PROVEN_ROWS = 60
"""With fewer rows, the ridges are cross-validated: leave-one-out errors are too small for columns chosen by them."""
FOLDS = 10
_PSEUDO_ROWS, _REMAINDER_PSEUDO_ROWS = 10.0, 30.0
"""Prior weight of the model below, in rows: a model's weight shrinks as if so many more rows supported the other.

The residuals of physics are small. More rows are needed to distinguish a pattern in them from chance."""
_PREFERRED = 1.5
"""The boosted ridge is used alone unless the stack is better by so many standard errors; fewer where rows are few."""
_LEAST_SD = 0.5
"""The posterior of physics is too narrow near the training rows: this fraction of its median there is added."""
_SPREAD = 0.5
"""Products are tried only if the standard deviation of the log costs is at least this: below, sums do as well."""
_SURE = 4.0
"""Products must win more than half of the rows against sums, by so many standard errors of a fair coin."""
_WORTH = 0.4
"""Trees are tried only if products without trees win at least this fraction of the rows."""


class PhysicsStack(CostModel):
    """A stack of models, weighted by their errors on held-out rows [1]_.

    - ``physics``: a :class:`PhysicsGP`. It extrapolates from ten rows.
    - ``remainder``: a :class:`LeaveOneOutRidge` on the residuals of physics. It fits device effects beyond physics, and
      predicts 0 where there are none.
    - ``boosted``: a :class:`BoostedRidge` on the costs themselves. With hundreds of rows it often has all the weight.
    - ``product``: a :class:`LogRidge`, used alone, for costs that are products rather than sums and span orders of
      magnitude.

    With fewer than twenty rows, physics is used alone.

    Parameters
    ----------
    random_state : int, numpy generator or None, default=None
        Seed of the models; None is 0.
    prior : PhysicsPrior or mapping, optional
        The prior of ``physics``; a mapping holds the fields that differ from the default's.

    Attributes
    ----------
    physics_ : PhysicsGP
        Fitted on the columns of :class:`LayerPhysics` and ``source`` ones.
    remainder_ : LeaveOneOutRidge or None
        Fitted on all other columns; None where its weight is 0. It has no trees: they raised Spearman's rho by at most
        .0003 on each of 50 targets (n=100, 200, 400).
    boosted_ : BoostedRidge or None
        Fitted on the same columns; None where its weight is 0.
    product_ : LogRidge or None
        Fitted on all but the ``source`` columns. If it is not None, it predicts alone.
    weights_ : dict of str to float
        The weight of each model: ``physics``, ``remainder``, ``boosted``, ``product``. The weight of ``remainder`` is
        at most that of ``physics``; the other three add up to 1.
    residuals_ : ndarray of float64, shape (n,)
        Leave-one-out residuals of the training costs (measured minus predicted); not saved.
    sds_ : ndarray of float64, shape (n,)
        Predictive standard deviations of the leave-one-out predictions; not saved.
    least_sd_ : float
        The smallest predictive standard deviation. It is half the median one of physics where physics has weight, the
        robust standard deviation of ``residuals_`` where the boosted ridge has all the weight, and relative to the cost
        for products.

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

    def __init__(self, random_state: RandomState = None, prior: PhysicsPrior | Mapping[str, Any] | None = None) -> None:
        self.random_state = random_state
        self.prior = prior

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs."""
        _, costs, _ = self._checked(X, y)
        physical, others = self._parts()
        self._only_physics(PhysicsGP(random_state=self.random_state, prior=self.prior).fit(X.iloc[:, physical], costs))
        if len(costs) >= MIN_ROWS and len(others):
            self._stack(X.iloc[:, others], costs)
            self._try_product(X, costs)
        self._learn_sds(costs)
        return self

    def _learn_sds(self, costs: Vector) -> None:
        """Set the smallest standard deviation, and the standard deviations of the training rows."""
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
        """Whether the boosted ridge has all the weight."""
        return self.weights_["boosted"] == 1

    @property
    def heteroscedastic(self) -> bool:
        """True: the posterior of physics varies with the network, and errors of products are relative to the cost."""
        return True

    @property
    def knows_distance(self) -> bool:
        """Whether the standard deviation grows with the distance from the training networks: if physics has weight."""
        return not self.boosted_only

    @property
    def relative_errors(self) -> bool:
        """Whether errors are relative to the cost: True for products."""
        return self.product_ is not None

    @property
    def extrapolates(self) -> bool:
        """True: the columns of layer physics mean the same in every space and under every config."""
        return True

    @property
    def general_weight(self) -> float:
        """The total weight of all models other than physics."""
        return sum(self.weights_[name] for name in ("remainder", "boosted", "product"))

    @property
    def source_weight(self) -> float:
        """Posterior weight of the hypotheses in which other devices have a share in the cost."""
        return self.weights_["physics"] * self.physics_.source_weight

    @property
    def layer_physics(self) -> PhysicsGP | None:
        """The physics model; None if it reads ``source`` columns."""
        return None if len(Columns.of(self.physics_.feature_names_in_).where("source")) else self.physics_

    def reduced(self) -> CostModel:
        """Return the boosted ridge where it has all the weight, else the stack itself."""
        return self.boosted_ if self.boosted_only and self.boosted_ is not None else self

    def _only_physics(self, physics: PhysicsGP) -> None:
        self.physics_, self.remainder_, self.boosted_, self.product_ = physics, None, None, None
        self.residuals_, self.sds_, self.precisions_ = physics.residuals_, physics.sds_, physics.precisions_
        self.weights_ = {"physics": 1.0, "remainder": 0.0, "boosted": 0.0, "product": 0.0}

    def _stack(self, X: pd.DataFrame, costs: Vector) -> None:
        """Fit the remainder and the boosted ridge, and weight them against physics.

        The weights minimise the squared leave-one-out residuals of the mixture. With hundreds of rows the boosted ridge
        is used alone unless the stack is clearly better: it is simpler, and predicts the same cost for networks that
        run the same operators.
        """
        rows = _Rows(X, len(costs) < PROVEN_ROWS, as_seed(self.random_state) or 0)
        boosted = BoostedRidge(random_state=self.random_state)
        of_boosted = rows.residuals(boosted, costs)
        # With hardly more rows than columns, costs are exact sums of the columns by chance.
        is_sum = boosted.exact_ and 3 * len(costs) >= 4 * np.count_nonzero(boosted.coef_)
        share, of_remainder, of_physics = 1.0, 0.0, self.physics_.residuals_
        if not is_sum:
            share = mixing_weight(of_physics, of_boosted, _PSEUDO_ROWS)
        if share < 1:
            remainder = LeaveOneOutRidge()
            of_both = rows.residuals(remainder, self.physics_.residuals_)
            of_remainder = mixing_weight(of_physics, of_both, _REMAINDER_PSEUDO_ROWS)
            of_physics = (1 - of_remainder) * of_physics + of_remainder * of_both
            share = mixing_weight(of_physics, of_boosted, _PSEUDO_ROWS)
            if of_remainder and share < 1:
                self.remainder_ = remainder
        mixed = (1 - share) * of_physics + share * of_boosted
        gain = (np.abs(of_boosted) - np.abs(mixed))[predicted_by_either(mixed, of_boosted)]
        needed = _PREFERRED * (1 - PROVEN_ROWS / len(costs)) * gain.std() / np.sqrt(len(gain))
        if len(costs) >= PROVEN_ROWS and gain.mean() < needed:
            share, mixed, self.remainder_ = 1.0, of_boosted, None
        if share:
            self.boosted_ = boosted
        self.weights_ |= {"physics": 1 - share, "remainder": (1 - share) * of_remainder, "boosted": share}
        self.residuals_ = mixed

    def _try_product(self, X: pd.DataFrame, costs: Vector) -> None:
        """Replace the stack by products if these predict most rows better.

        The test counts rows: it does not depend on the scale, so small costs count as much as large ones.
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
        """Predict the average of the ``source`` columns, each divided by its mean over (n, k) named columns."""
        self._checked(X, [])
        physical, _ = self._parts()
        self._only_physics(PhysicsGP(random_state=self.random_state, prior=self.prior).rank(X.iloc[:, physical]))
        self.least_sd_ = 0.0
        return self

    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "physics_")
        values = self._values(X)
        if self.product_ is not None:
            return self.product_.predict(X.iloc[:, self._not_sources()])
        physical, others = self._parts()
        predicted: Vector = np.zeros(len(X))
        models = (("physics", self.physics_, physical), ("remainder", self.remainder_, others))
        for name, model, columns in (*models, ("boosted", self.boosted_, others)):
            if model is not None and self.weights_[name]:
                # Not by a frame of these columns: to cut one out takes longer than a prediction of few networks.
                predicted += self.weights_[name] * model.predict_values(values[:, columns])
        return predicted

    def predictive_sd(self, X: pd.DataFrame) -> Vector:
        """Return the predictive standard deviation of each cost: (n, k) named columns as in ``fit`` -> (n,).

        With physics it is the posterior's. For products it is proportional to the prediction. For the boosted ridge
        alone it is constant.
        """
        if self.product_ is not None:
            return self.least_sd_ * self.predict(X)
        least = np.full(len(X), self.least_sd_)
        if self.boosted_only:
            return least
        return np.asarray(np.hypot(self.physics_.predictive_sd(X.iloc[:, self._parts()[0]]), least))

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
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
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        self._columns_are(feature_names)
        weights = checked_array(arrays, "weights", (len(_MODELS),), 0.0)
        if weights.max() > 1:
            raise InvalidInputError(f"weights must be {len(_MODELS)} numbers between 0 and 1, got {weights}.")
        self.weights_ = dict(zip(_MODELS, map(float, weights), strict=True))
        self.least_sd_ = float(checked_array(arrays, "least_sd", (1,), 0.0)[0])
        physical, others = self._parts()
        columns = {"physics": physical, "remainder": others, "boosted": others, "product": self._not_sources()}
        for name, kind in _MODELS.items():
            own = {key.removeprefix(f"{name}_"): array for key, array in arrays.items() if key.startswith(f"{name}_")}
            if not own and (name == "physics" or self.weights_[name]):
                raise InvalidInputError(f"the arrays of {name} are missing.")
            model = kind() if kind is LeaveOneOutRidge else kind(random_state=self.random_state)
            setattr(self, f"{name}_", model.from_arrays(own, feature_names[columns[name]]) if own else None)
        return self

    def _parts(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the columns that physics reads, and those that the remainder and the boosted ridge read."""
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


class _Rows:
    """Training rows of two ridges, whose columns are decomposed once for both.

    Parameters
    ----------
    X : DataFrame, n rows
    in_folds : bool
        Whether residuals are cross-validated, columns being selected on the other folds; else leave-one-out.
    seed : int
        Seed of the folds.
    """

    def __init__(self, X: pd.DataFrame, in_folds: bool, seed: int) -> None:
        from sklearn.model_selection import KFold

        self._X, self._tried = X, _candidates(X)
        folds = KFold(FOLDS, shuffle=True, random_state=seed).split(X) if in_folds else ()
        self._folds = [(train, test, _candidates(X.iloc[train])) for train, test in folds]

    def residuals(self, model: LeaveOneOutRidge, costs: Vector) -> Vector:
        """Fit a ridge on n costs; return its residuals on rows it was not fitted to, shape (n,)."""
        model.fit(self._X, costs, self._tried)
        if not self._folds:
            return model.residuals_
        residuals = np.empty(len(costs))
        for train, test, tried in self._folds:
            X, others = self._X.iloc[train], self._X.iloc[test]
            residuals[test] = costs[test] - clone(model).predict_held_out(X, costs[train], tried, others)
        return residuals


def _candidates(X: pd.DataFrame) -> list[Candidate]:
    return candidates(X.to_numpy(np.float64), Columns.of(X))
