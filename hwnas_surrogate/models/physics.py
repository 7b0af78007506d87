"""A Gaussian process over layers, on top of what physics says they cost: the model for a handful of measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls
from scipy.special import digamma, gammaln
from sklearn.utils.validation import validate_data
from threadpoolctl import threadpool_limits

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.linear import Vector, _checked, _LinearPredictor

__all__ = ["PhysicsGP", "design_of"]

SOURCE = "source"
"""The group of columns that hold what the surrogates of other devices predict."""
PHYSICS, CORRECTION = "physics_", "correction_"
"""How the groups of columns of layer physics begin; the name of a view follows."""
_SHARE_SDS = (0.1, 0.3, 1.0)
_CORRECTION_SDS = (0.0, 0.2, 0.6, 2.0)
_NOISE_SDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.25)
_ROBUST_NOISE_SDS = (0.01, 0.03, 0.1)
"""Prior standard deviations that are tried, relative to the cost of a middling network."""
_LEADERS = (None, "layers", "macs")
"""What may lead the cost: nothing (all physics alike), the calls (batch 1 on a GPU), or the arithmetic."""
_LEAD = 0.7
"""What leads takes this part of the cost; the rest is shared by all alike."""
_SOURCE_LOG_ODDS = -1.0
"""Sources must show their worth: a device of another kind than theirs is not told from one of theirs by ten costs."""
_VIEW_LOG_ODDS = {"merged": -2.0, "quantized": -2.0}
"""So must the rules of inference engines: most devices price every layer, or those that a converter leaves."""
_CONSTANT_SD = 0.1
_DESIGN_SD = 0.3
_FREEDOM = 2.0
"""Degrees of freedom of the noise that allows for slips."""
_ITERATIONS = 8
_HOPELESS_AFTER, _HOPELESS = 1, 25.0
"""After the second iteration, only hypotheses within so many nats of the best are inferred to the end."""
_SLIPPED = 0.1
"""Not where every hypothesis trusts some measurement less than this: slips take iterations to be seen as such."""
_NEGLIGIBLE = 2e-3


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What may be believed of a device before it is measured: which columns share the cost, and how sure that is.

    Parameters
    ----------
    shares, corrections : ndarray of int
        Columns whose coefficients are not negative, and columns whose coefficients are about zero.
    divisors : ndarray of float64
        What the columns of shares are divided by, so that equal coefficients mean equal shares in the cost.
    expected : ndarray of float64
        The coefficients of shares as they are expected; their sum is 1.
    unit : float
        What the corrections are divided by.
    share_sd, correction_sd : float
        Standard deviations of the coefficients, relative to the cost of a middling network.
    log_odds : float
        Logarithm of how probable the belief is before anything is measured, up to a constant.
    """

    shares: npt.NDArray[np.intp]
    corrections: npt.NDArray[np.intp]
    divisors: Vector
    expected: Vector
    unit: float
    share_sd: float
    correction_sd: float
    log_odds: float

    def design(self, values: Vector) -> tuple[Vector, Vector]:
        """Return the shares and the corrections of n rows, the latter times their standard deviation."""
        return values[:, self.shares] / self.divisors, values[:, self.corrections] * (self.correction_sd / self.unit)


class PhysicsGP(_LinearPredictor):
    """Bayesian linear regression on physical sums, for ten measurements and up.

    A device's cost is taken to be a sum of shares that are not negative (multiply-adds, calls, bytes: the ``physics``
    columns of :class:`LayerPhysics`; or what other devices' surrogates predict: ``source`` columns), plus small
    corrections that vary smoothly from layer to layer (``correction`` columns: a Gaussian process over layers), plus
    noise. Which layers run (all, those that a converter leaves, or an inference engine's operators), whether the other
    devices have a share, how free the coefficients are, how large the noise is and whether slips are among the
    measurements (Student's t [2]_) is not chosen: every answer is weighted by its evidence, the marginal likelihood of
    the measurements [1]_. Useless sources therefore get no weight. The coefficients of shares are found by non-negative
    least squares, the mode of their posterior.

    Parameters
    ----------
    max_rows : int, default=48
        Of more rows, so many drawn at random are used; the ordinary models have caught up by then.
    random_state : int or None, default=None
        Seed of that draw; None is 0.

    Attributes
    ----------
    residuals_ : ndarray of float64, shape (n,)
        Each training cost minus what is predicted without it; not saved.
    doubts_ : ndarray of float64, shape (n,)
        How far off these predictions were expected to be; not saved.
    precisions_ : ndarray of float64, shape (n,)
        How far each measurement was trusted: about 1, and near 0 for slips; not saved.
    covariance_ : ndarray of float64, shape (k + 1, k + 1)
        How uncertain the coefficients of the columns are, and the intercept.
    noise_ : float
        Standard deviation of a measurement's noise.
    source_weight_ : float
        Evidence of the answers in which the other devices have a share, between 0 and 1.
    view_weights_ : dict of str to float
        Evidence by which layers run: ``all``, ``compiled``, ...

    References
    ----------
    .. [1] MacKay, "Bayesian interpolation", Neural Computation 1992.
    .. [2] Tipping and Lawrence, "Variational inference for Student-t models", Neurocomputing 2005.
    """

    residuals_: Vector
    doubts_: Vector
    precisions_: Vector
    covariance_: Vector
    noise_: float
    source_weight_: float
    view_weights_: dict[str, float]

    def __init__(self, max_rows: int = 48, random_state: int | None = None) -> None:
        self.max_rows = max_rows
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns (:class:`LayerPhysics`, and ``source`` ones) and n costs."""
        values, costs, names = _checked(self, X, y)
        views = _views(names, values)
        if not views:
            raise InvalidInputError("PhysicsGP reads the columns of LayerPhysics (physics_all:macs, ...), got none.")
        rows = np.arange(len(costs))
        if len(rows) > self.max_rows:
            rows = np.sort(np.random.default_rng(self.random_state or 0).permutation(rows)[: self.max_rows])
        with threadpool_limits(1):
            self._fit(values, costs, rows, names, views)
        return self

    def rank(self, X: pd.DataFrame) -> Self:
        """Take the average of the ``source`` columns for the cost, each over its mean in (n, k) named columns."""
        validate_data(self, X, skip_check_array=True)
        values, names = np.asarray(X, np.float64), list(X.columns)
        sources = _sources(names)
        means = values[:, sources].mean(axis=0)
        self.coef_ = np.zeros(values.shape[1])
        self.coef_[sources[means > 0]] = 1 / (means[means > 0] * len(sources))
        self.intercept_, self.decimals_ = 0.0, None
        self.residuals_, self.doubts_, self.precisions_ = np.empty(0), np.empty(0), np.empty(0)
        self.covariance_, self.noise_ = np.zeros((values.shape[1] + 1,) * 2), 0.0
        self.source_weight_, self.view_weights_ = 1.0, {}
        return self

    def doubt(self, X: pd.DataFrame | Vector) -> Vector:
        """Return by how much a measurement is expected to differ from the prediction: (n, k) named columns -> (n,).

        That is the standard deviation of the posterior, over all the answers; nothing is known of signs.
        """
        return self._doubt(np.asarray(X, np.float64))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned as arrays."""
        return {**super().to_arrays(), "covariance": self.covariance_, "noise": np.array([self.noise_])}

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        super().from_arrays(arrays, feature_names)
        self.covariance_, self.noise_ = arrays["covariance"], float(arrays["noise"][0])
        return self

    def _doubt(self, values: Vector) -> Vector:
        used = np.flatnonzero(self.covariance_[:-1].any(axis=1))
        told = np.column_stack([values[:, used], np.ones(len(values))])
        inner = np.append(used, len(self.covariance_) - 1)
        variance = np.einsum("ij,jk,ik->i", told, self.covariance_[np.ix_(inner, inner)], told, optimize=True)
        result: Vector = np.sqrt(np.maximum(variance, 0.0) + self.noise_**2)
        return result

    def _fit(
        self,
        values: Vector,
        costs: Vector,
        rows: npt.NDArray[np.intp],
        names: Sequence[str],
        views: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
    ) -> None:
        seen, measured = values[rows], costs[rows]
        labels, priors = zip(*_priors(names, seen, views, _sources(names)), strict=True)
        middling = _middling(seen, measured, priors[0])
        hypotheses = _Hypotheses(seen, measured / middling, priors)
        weights = hypotheses.weights
        likely = np.flatnonzero(weights > _NEGLIGIBLE)
        parts = weights[likely] / weights[likely].sum()
        modes = np.array([hypotheses.mode(int(number), values.shape[1]) for number in likely])
        mean = parts @ modes
        off = (modes - mean) * np.sqrt(parts)[:, None]
        covariance = off.T @ off
        for number, part in zip(likely, parts, strict=True):
            covariance += part * hypotheses.covariance(int(number), values.shape[1])
        self.coef_, self.intercept_, self.decimals_ = mean[:-1] * middling, float(mean[-1]) * middling, None
        self.covariance_ = covariance * middling**2
        self.noise_ = float(np.sqrt(weights @ hypotheses.variances)) * middling
        self.residuals_ = costs - self._sum(values)
        self.doubts_ = self._doubt(values)
        left_out, doubts = hypotheses.left_out()
        self.residuals_[rows], self.doubts_[rows] = left_out * middling, doubts * middling
        self.precisions_ = np.ones(len(costs))
        self.precisions_[rows] = weights @ hypotheses.precisions
        of_prior = np.bincount(hypotheses.prior, weights, len(priors))
        told = pd.DataFrame(labels, columns=["view", "sources"]).assign(weight=of_prior)
        self.source_weight_ = float(told.loc[told["sources"], "weight"].sum())
        by_view = told.groupby("view", sort=False)["weight"].sum()
        self.view_weights_ = {str(view): float(weight) for view, weight in by_view.items()}


def design_of(X: pd.DataFrame) -> list[tuple[float, Vector]]:
    """Return (n, k) named columns as designs whose coefficients are independent and of variance 1, one per view.

    Beside each stands its odds: how probable the view is before anything is measured, next to that of all layers. The
    prior is a middling one of those that :class:`PhysicsGP` tries: shares of the physics and of the sources, the
    corrections and a constant; what the shares are divided by is their mean over the rows.
    """
    values, names = np.asarray(X, np.float64), list(X.columns)
    designs = []
    for view, (physics, corrections) in _views(names, values).items():
        unit = float(np.sqrt((values[:, corrections] ** 2).sum(axis=1).mean())) or 1.0
        parts = [values[:, corrections] / unit, np.full((len(values), 1), _CONSTANT_SD)]
        sources = _sources(names)
        for columns, sd in ((physics, _DESIGN_SD), (sources, _DESIGN_SD / np.sqrt(max(len(sources), 1)))):
            means = values[:, columns].mean(axis=0)
            parts.append(sd * values[:, columns[means > 0]] / means[means > 0])
        designs.append((float(np.exp(_VIEW_LOG_ODDS.get(view, 0.0))), np.column_stack(parts)))
    return designs


def _sources(names: Sequence[str]) -> npt.NDArray[np.intp]:
    return np.array([i for i, name in enumerate(names) if name.partition(":")[0] == SOURCE], np.intp)


def _views(names: Sequence[str], values: Vector) -> dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return the columns of physics and of corrections of each view; empty ones are none, equal ones are one."""
    views: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = {}
    groups = [name.partition(":")[0] for name in names]
    for view in dict.fromkeys(group.removeprefix(PHYSICS) for group in groups if group.startswith(PHYSICS)):
        columns = (
            np.array([i for i, group in enumerate(groups) if group == PHYSICS + view], np.intp),
            np.array([i for i, group in enumerate(groups) if group == CORRECTION + view], np.intp),
        )
        if values[:, columns[0]].any() and not any(
            all(np.array_equal(values[:, mine], values[:, theirs]) for mine, theirs in zip(columns, other, strict=True))
            for other in views.values()
        ):
            views[view] = columns
    return views


def _priors(
    names: Sequence[str],
    values: Vector,
    views: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
    sources: npt.NDArray[np.intp],
) -> Iterator[tuple[tuple[str, bool], Prior]]:
    for view, (physics, corrections) in views.items():
        unit = float(np.sqrt((values[:, corrections] ** 2).sum(axis=1).mean())) or 1.0
        for columns, are_sources in ((physics, False), (sources, True)):
            means = values[:, columns].mean(axis=0)
            shares, divisors = columns[means > 0], means[means > 0]
            if not len(shares):
                continue
            # Sources are alike: only together may they differ so much from what is believed.
            narrower = np.sqrt(len(shares)) if are_sources else 1.0
            expectations = [
                _expected(names, shares, leader) for leader in _LEADERS if leader is None or not are_sources
            ]
            odds = _SOURCE_LOG_ODDS if are_sources else -float(np.log(len(expectations)))
            odds += _VIEW_LOG_ODDS.get(view, 0.0)
            for expected, share_sd, correction_sd in product(expectations, _SHARE_SDS, _CORRECTION_SDS):
                sd = float(share_sd / narrower)
                yield (
                    (view, are_sources),
                    Prior(shares, corrections, divisors, expected, unit, sd, correction_sd, odds),
                )


def _expected(names: Sequence[str], shares: npt.NDArray[np.intp], leader: str | None) -> Vector:
    """Return the shares that are expected where one of them leads."""
    leads = np.array([names[column].partition(":")[2] == leader for column in shares])
    lead = _LEAD if leads.any() else 0.0
    return np.full(len(shares), (1 - lead) / len(shares)) + lead * leads


def _middling(values: Vector, costs: Vector, prior: Prior) -> float:
    """Return the cost of a network with average physics; by the median, so that slips don't move it."""
    size = prior.design(values)[0].mean(axis=1)
    ratios = costs[size > 0] / size[size > 0]
    middling = float(np.median(ratios)) if len(ratios) else 0.0
    return middling if middling > 0 else float(costs.mean()) or float(np.finfo(float).tiny)


class _Hypotheses:
    """Priors times noises, and what the measurements say to each.

    Attributes
    ----------
    prior : ndarray of int, shape (H,)
        Which prior each hypothesis has.
    variances : ndarray of float64, shape (H,)
        Variance of a clean measurement.
    noise : ndarray of float64, shape (H, n)
        Variance of each measurement.
    precisions : ndarray of float64, shape (H, n)
        Expected precision of each measurement over that of a clean one; 1 under Gaussian noise.
    weights : ndarray of float64, shape (H,)
        Evidence, normalised to a sum of 1.
    """

    def __init__(self, values: Vector, costs: Vector, priors: Sequence[Prior]) -> None:
        self.costs, self.priors, n = costs, priors, len(costs)
        self.designs = [prior.design(values) for prior in priors]
        means = np.array([shares @ prior.expected for prior, (shares, _) in zip(priors, self.designs, strict=True)])
        kernels = np.array(
            [
                prior.share_sd**2 * shares @ shares.T + corrections @ corrections.T + _CONSTANT_SD**2
                for prior, (shares, corrections) in zip(priors, self.designs, strict=True)
            ]
        )
        clean, robust = (np.tile(np.array(sds), len(priors)) ** 2 for sds in (_NOISE_SDS, _ROBUST_NOISE_SDS))
        sizes = (len(_NOISE_SDS), len(_ROBUST_NOISE_SDS))
        self.prior = np.concatenate([np.repeat(np.arange(len(priors)), size) for size in sizes])
        off = costs - means[self.prior]
        self.precisions = np.ones((len(self.prior), n))
        slack = np.zeros(len(self.prior))
        tail = slice(len(clean), None)
        log_odds = np.array([prior.log_odds for prior in priors])[self.prior]
        self.precisions[tail], slack[tail] = _student(kernels[self.prior[tail]], off[tail], robust, log_odds[tail])
        self.variances = np.concatenate([clean, robust])
        self.noise = self.variances[:, None] / self.precisions
        covariance = _with_noise(kernels[self.prior], self.noise)
        self.inverse = np.linalg.inv(covariance)
        self.pull = np.einsum("hij,hj->hi", self.inverse, off)
        fit = -0.5 * (off * self.pull).sum(axis=1) - 0.5 * np.linalg.slogdet(covariance)[1]
        evidence = fit + slack + log_odds
        weights = np.exp(evidence - evidence.max())
        self.weights = weights / weights.sum()

    def mode(self, number: int, width: int) -> Vector:
        """Return the coefficients of all columns, and the intercept last, at the mode of a hypothesis' posterior."""
        prior = self.priors[self.prior[number]]
        shares, corrections = self.designs[self.prior[number]]
        rest = corrections @ corrections.T + _CONSTANT_SD**2 + np.diag(self.noise[number])
        factor = np.linalg.cholesky(rest)
        stacked = np.vstack([np.linalg.solve(factor, shares), np.eye(shares.shape[1]) / prior.share_sd])
        wanted = np.concatenate([np.linalg.solve(factor, self.costs), prior.expected / prior.share_sd])
        found = nnls(stacked, wanted)[0]
        pull = np.linalg.solve(rest, self.costs - shares @ found)
        coef = np.zeros(width + 1)
        coef[prior.shares] = found / prior.divisors
        coef[prior.corrections] = corrections.T @ pull * (prior.correction_sd / prior.unit)
        coef[-1] = _CONSTANT_SD**2 * pull.sum()
        return coef

    def covariance(self, number: int, width: int) -> Vector:
        """Return the covariance of what :meth:`mode` returns, but for the signs of shares being known."""
        prior = self.priors[self.prior[number]]
        shares, corrections = self.designs[self.prior[number]]
        design = np.column_stack([prior.share_sd * shares, corrections, np.full(len(shares), _CONSTANT_SD)])
        inner = np.eye(design.shape[1]) - design.T @ self.inverse[number] @ design
        columns = np.concatenate([prior.shares, prior.corrections, [width]])
        sds = np.concatenate(
            [
                prior.share_sd / prior.divisors,
                np.full(len(prior.corrections), prior.correction_sd / prior.unit),
                [_CONSTANT_SD],
            ]
        )
        result = np.zeros((width + 1, width + 1))
        result[np.ix_(columns, columns)] = inner * np.outer(sds, sds)
        return result

    def left_out(self) -> tuple[Vector, Vector]:
        """Return each cost minus what the other rows say, and how far that was expected to be off.

        The hypotheses are weighted by the others' evidence [1]_.

        .. [1] Sundararajan and Keerthi, "Predictive approaches for choosing hyperparameters in Gaussian processes",
           Neural Computation 2001.
        """
        own = np.diagonal(self.inverse, axis1=1, axis2=2)
        residuals = self.pull / own
        with np.errstate(divide="ignore"):
            others = np.log(self.weights)[:, None] + 0.5 * (residuals**2 * own - np.log(own))
        others = np.exp(others - others.max(axis=0))
        others /= others.sum(axis=0)
        means = (others * residuals).sum(axis=0)
        # Of a cost that the others decide exactly, rounding may leave less than nothing.
        unsure = np.maximum(1 / own - self.noise, 0.0) + self.variances[:, None]
        return means, np.sqrt((others * ((residuals - means) ** 2 + unsure)).sum(axis=0))


def _student(kernels: Vector, off: Vector, variances: Vector, log_odds: Vector) -> tuple[Vector, Vector]:
    """Infer precisions under Student's t noise: (H, n, n) kernels, (H, n) residuals of the mean, (H,) others.

    Returns the expected precisions, (H, n), and what the bound on the evidence has beyond that of Gaussian noise
    with these precisions, (H,). Hypotheses that are hopeless after a few iterations are left as they are then.
    """
    precisions, slack = np.ones_like(off), np.zeros(len(off))
    hopeful = np.arange(len(off))
    for iteration in range(_ITERATIONS):
        noise = variances[hopeful, None] / precisions[hopeful]
        inverse = np.linalg.inv(_with_noise(kernels[hopeful], noise))
        pull = np.einsum("hij,hj->hi", inverse, off[hopeful])
        # What the posterior leaves of each residual, and how sure of that it is.
        left = noise * pull
        doubt = np.maximum(noise - noise**2 * np.diagonal(inverse, axis1=1, axis2=2), 0.0)
        rate = (_FREEDOM + (left**2 + doubt) / variances[hopeful, None]) / 2
        precisions[hopeful] = (_FREEDOM + 1) / 2 / rate
        slack[hopeful] = _slack(rate, precisions[hopeful])
        if iteration == _HOPELESS_AFTER and precisions.max(axis=0).min() > _SLIPPED:
            covariance = _with_noise(kernels, variances[:, None] / precisions)
            fit = -0.5 * (off * np.linalg.solve(covariance, off[..., None])[..., 0]).sum(axis=1)
            bound = fit - 0.5 * np.linalg.slogdet(covariance)[1] + slack + log_odds
            hopeful = np.flatnonzero(bound > bound.max() - _HOPELESS)
    return precisions, slack


def _with_noise(kernels: Vector, noise: Vector) -> Vector:
    """Add variances to the diagonals: (H, n, n), (H, n) -> (H, n, n)."""
    result, diagonal = kernels.copy(), np.arange(noise.shape[1])
    result[:, diagonal, diagonal] += noise
    return result


def _slack(rate: Vector, precisions: Vector) -> Vector:
    """Return what gamma posteriors of the precisions, of these rates, (H, n), add to the bound: -> (H,)."""
    shape, half = (_FREEDOM + 1) / 2, _FREEDOM / 2
    divergence = (
        (shape - half) * digamma(shape)
        - gammaln(shape)
        + gammaln(half)
        + half * (np.log(rate) - np.log(half))
        + shape * (half - rate) / rate
    )
    slack: Vector = 0.5 * (digamma(shape) - np.log(rate) - np.log(precisions)) - divergence
    return np.asarray(slack.sum(axis=1))
