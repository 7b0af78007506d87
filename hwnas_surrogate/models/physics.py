"""A Gaussian process over layers with a prior mean from physics: the model for a handful of measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.cost_model import Arrays, Vector, checked_array
from hwnas_surrogate.models.evidence import Hypotheses
from hwnas_surrogate.models.linear import LinearModel
from hwnas_surrogate.models.prior import Belief, PhysicsPrior, Views, beliefs, columns_by_view, correction_unit, twins
from hwnas_surrogate.models.threads import one_blas_thread
from hwnas_surrogate.random_states import RandomState, as_seed

__all__ = ["PhysicsGP", "design_of"]

_NEGLIGIBLE = 2e-3
"""Hypotheses with a smaller posterior probability are ignored in predictions."""


class PhysicsGP(LinearModel):
    """Bayesian linear regression on physical quantities, for ten measurements and up.

    The cost is modelled as a sum of three terms:

    - shares with non-negative coefficients: of physical quantities (multiply-adds, calls, bytes: the ``physics``
      columns of :class:`LayerPhysics`), or of the costs that other devices' surrogates predict (``source`` columns);
    - small corrections that vary smoothly from layer to layer (``correction`` columns: a Gaussian process over layers);
    - noise.

    Some assumptions are not fixed: which layers run (all, those that a converter leaves, or an inference engine's
    operators), whether other devices have a share, the prior standard deviations of the coefficients, the noise level,
    and whether there are outliers (Student's t noise [2]_). Each combination is a hypothesis. Predictions average over
    the hypotheses, weighted by their evidence, the marginal likelihood of the measurements [1]_. Useless sources
    therefore get no weight. The coefficients of shares are the mode of their posterior, by non-negative least squares.

    Parameters
    ----------
    max_rows : int, default=48
        Of more rows, a random sample of this size is used. Other models are as accurate by then.
    random_state : int, numpy generator or None, default=None
        Seed of that sample; None is 0.
    prior : PhysicsPrior or mapping, optional
        The prior; a mapping holds the fields that differ from the default's.

    Attributes
    ----------
    residuals_ : ndarray of float64, shape (n,)
        Leave-one-out residuals of the training costs (measured minus predicted); not saved.
    sds_ : ndarray of float64, shape (n,)
        Predictive standard deviations of the leave-one-out predictions; not saved.
    precisions_ : ndarray of float64, shape (n,)
        Relative precision of each measurement: about 1, and near 0 for outliers; not saved.
    covariance_ : ndarray of float64, shape (k + 1, k + 1)
        Posterior covariance of the coefficients and the intercept.
    noise_ : float
        Standard deviation of a measurement's noise.
    source_weight_ : float
        Posterior probability that other devices have a share in the cost, between 0 and 1.
    view_weights_ : dict of str to float
        Posterior probability of each view, that is, of which layers run: ``all``, ``folded``, ...

    References
    ----------
    .. [1] MacKay, "Bayesian interpolation", Neural Computation 1992.
    .. [2] Tipping and Lawrence, "Variational inference for Student-t models", Neurocomputing 2005.
    """

    residuals_: Vector
    sds_: Vector
    precisions_: Vector
    covariance_: Vector
    noise_: float
    source_weight_: float
    view_weights_: dict[str, float]

    def __init__(
        self,
        max_rows: int = 48,
        random_state: RandomState = None,
        prior: PhysicsPrior | Mapping[str, Any] | None = None,
    ) -> None:
        self.max_rows = max_rows
        self.random_state = random_state
        self.prior = prior

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns (:class:`LayerPhysics`, and ``source`` ones) and n costs."""
        values, costs, columns = self._checked(X, y)
        views = columns_by_view(columns, values)
        if not views:
            raise InvalidInputError("PhysicsGP reads the columns of LayerPhysics (physics_all:macs, ...), got none.")
        rows = np.arange(len(costs))
        if len(rows) > self.max_rows:
            rows = np.sort(np.random.default_rng(as_seed(self.random_state) or 0).permutation(rows)[: self.max_rows])
        with one_blas_thread():
            self._fit(values, costs, rows, columns, views)
        return self

    def rank(self, X: pd.DataFrame) -> Self:
        """Predict the average of the ``source`` columns, each divided by its mean over (n, k) named columns."""
        values, _, columns = self._checked(X, [])
        sources = columns.where("source")
        means = values[:, sources].mean(axis=0)
        self.coef_ = np.zeros(values.shape[1])
        self.coef_[sources[means > 0]] = 1 / (means[means > 0] * len(sources))
        self.intercept_, self.decimals_ = 0.0, None
        self.residuals_, self.sds_, self.precisions_ = np.empty(0), np.empty(0), np.empty(0)
        self.covariance_, self.noise_ = np.zeros((values.shape[1] + 1,) * 2), 0.0
        self.source_weight_, self.view_weights_ = 1.0, {}
        return self

    @property
    def heteroscedastic(self) -> bool:
        """True: the posterior is wider for networks that differ from the measured ones."""
        return True

    @property
    def knows_distance(self) -> bool:
        """True: coefficients of columns that hardly vary in the measurements have a wide posterior."""
        return True

    @property
    def extrapolates(self) -> bool:
        """True: the columns of layer physics mean the same in every space and under every config."""
        return True

    @property
    def general_weight(self) -> float:
        """0: the model is physics alone."""
        return 0.0

    @property
    def source_weight(self) -> float:
        """Posterior probability that other devices have a share in the cost."""
        return self.source_weight_

    def predictive_sd(self, X: pd.DataFrame | Vector) -> Vector:
        """Return the predictive standard deviation of each cost, noise included: (n, k) named columns -> (n,).

        It includes the differences between hypotheses.
        """
        return self._deviations(np.asarray(X, np.float64))

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        return {**super().to_arrays(), "covariance": self.covariance_, "noise": np.array([self.noise_])}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        super().from_arrays(arrays, feature_names)
        self.covariance_ = checked_array(arrays, "covariance", (len(feature_names) + 1,) * 2)
        self.noise_ = float(checked_array(arrays, "noise", (1,), 0.0)[0])
        return self

    def _deviations(self, values: Vector) -> Vector:
        used = np.flatnonzero(self.covariance_[:-1].any(axis=1))
        # Columns of views that are equal on all measured rows have equal rows of the covariance: add them up.
        equal: dict[bytes, list[int]] = {}
        for column in used:
            equal.setdefault(self.covariance_[column].tobytes(), []).append(int(column))
        groups = list(equal.values())
        design = np.ones((len(values), len(groups) + 1))
        design[:, :-1] = values[:, [group[0] for group in groups]]
        for place in range(1, max(map(len, groups), default=1)):
            several = [number for number, group in enumerate(groups) if len(group) > place]
            design[:, several] += values[:, [groups[number][place] for number in several]]
        inner = np.array([*(group[0] for group in groups), len(self.covariance_) - 1])
        variance = np.einsum("ij,jk,ik->i", design, self.covariance_[np.ix_(inner, inner)], design, optimize=True)
        result: Vector = np.sqrt(np.maximum(variance, 0.0) + self.noise_**2)
        return result

    def _fit(
        self,
        values: Vector,
        costs: Vector,
        rows: npt.NDArray[np.intp],
        columns: Columns,
        views: Views,
    ) -> None:
        seen, measured = values[rows], costs[rows]
        prior = PhysicsPrior.of(self.prior)
        believed = list(beliefs(prior, columns, seen, views))
        typical = _typical_cost(seen, measured, believed[0])
        hypotheses = Hypotheses(seen, measured / typical, believed, prior)
        weights = hypotheses.weights
        likely = np.flatnonzero(weights > _NEGLIGIBLE)
        parts = weights[likely] / weights[likely].sum()
        modes = np.array([hypotheses.mode(int(number), values.shape[1]) for number in likely])
        mean = parts @ modes
        off = (modes - mean) * np.sqrt(parts)[:, None]
        covariance = off.T @ off
        for number, part in zip(likely, parts, strict=True):
            covariance += part * hypotheses.covariance(int(number), values.shape[1])
        mean, covariance = _shared(mean, covariance, list(twins(columns, seen, views).values()))
        self.coef_, self.intercept_, self.decimals_ = mean[:-1] * typical, float(mean[-1]) * typical, None
        self.covariance_ = covariance * typical**2
        self.noise_ = float(np.sqrt(weights @ hypotheses.variances)) * typical
        self.residuals_ = costs - self._sum(values)
        self.sds_ = self._deviations(values)
        left_out, sds = hypotheses.left_out()
        self.residuals_[rows], self.sds_[rows] = left_out * typical, sds * typical
        self.precisions_ = np.ones(len(costs))
        self.precisions_[rows] = weights @ hypotheses.precisions
        shared = np.bincount(hypotheses.belief, weights, len(believed))
        self.source_weight_ = float(sum(shared[[belief.of_sources for belief in believed]]))
        self.view_weights_ = {view: float(sum(shared[[belief.view == view for belief in believed]])) for view in views}


def _shared(
    mean: Vector, covariance: Vector, twin_columns: Sequence[Sequence[npt.NDArray[np.intp]]]
) -> tuple[Vector, Vector]:
    """Split the coefficients of a view evenly among the views that are equal to it on all measured rows."""
    spread = np.eye(len(mean))
    for own, *others in twin_columns:
        spread[own, own] = 1 / (1 + len(others))
        for twin in others:
            spread[twin, own] = 1 / (1 + len(others))
    return spread @ mean, spread @ covariance @ spread.T


def design_of(X: pd.DataFrame, prior: PhysicsPrior | None = None) -> list[tuple[float, Vector]]:
    """Return (n, k) named columns as designs whose coefficients are independent and of variance 1, one per view.

    With each design come its prior odds against the view of all layers. A design holds the corrections, a constant, the
    shares of physics and the shares of the sources, each times its prior standard deviation (``prior.design_sd`` for
    shares); shares are divided by their mean over the rows.
    """
    prior = prior or PhysicsPrior()
    values, columns = np.asarray(X, np.float64), Columns.of(X)
    designs = []
    for view, (physics, corrections) in columns_by_view(columns, values).items():
        parts = [
            values[:, corrections] / correction_unit(values, corrections),
            np.full((len(values), 1), prior.constant_sd),
        ]
        sources = columns.where("source")
        for shares, sd in ((physics, prior.design_sd), (sources, prior.design_sd / np.sqrt(max(len(sources), 1)))):
            means = values[:, shares].mean(axis=0)
            parts.append(sd * values[:, shares[means > 0]] / means[means > 0])
        designs.append((float(np.exp(prior.log_odds_of(view))), np.column_stack(parts)))
    return designs


def _typical_cost(values: Vector, costs: Vector, belief: Belief) -> float:
    """Return the cost of a network with average physics: a median, which is robust to outliers."""
    size = belief.design(values)[0].mean(axis=1)
    ratios = costs[size > 0] / size[size > 0]
    typical = float(np.median(ratios)) if len(ratios) else 0.0
    return typical if typical > 0 else float(costs.mean()) or float(np.finfo(float).tiny)
