"""The expectation of a surrogate's predictions: exactly where it has a short form, else by the best curve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.target import METRICS
from hwnas_surrogate.models import cost_model
from hwnas_surrogate.trainers.differentiable.decomposition import (
    factors,
    is_same,
    main_effects,
    rough_train,
    train,
    train_values,
)
from hwnas_surrogate.trainers.differentiable.forms import Curve, Floor, Form, Halves, Sum, Train
from hwnas_surrogate.trainers.differentiable.predicted import Predicted
from hwnas_surrogate.trainers.differentiable.probes import Archs, Vector, extreme, probes

__all__ = ["Fitted", "fit"]

_PROBES = 8192
"""Predicted architectures of a space with tables."""
_CHECKED = 0.25
"""The fraction of them that is held out."""
_PER_EFFECT, _MORE = 4, 64
"""Predicted networks of a space of graphs: so many for each op at each position, and so many more."""
_TRAIN_CHECKED = 2000
_NEARLY_SUMS = 0.1
"""Largest mean relative error of a sum over positions whose variance is used near the floor."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A form of the expected cost.

    Parameters
    ----------
    form : Form
    of_values : bool
        Whether it gives values in the metric's unit, rather than costs without the floor.
    exact : bool
        Whether it is the expectation, the floor aside.
    relaxation : str
        What it is if not; empty if it is.
    is_same : bool
        Whether it equals the predictions for architectures.
    floor : Floor or None
        The smallest cost, if some architecture's prediction is there, or the form is an approximation.
    error : float
        Mean error for architectures that it was not fitted to, relative to their costs.
    """

    form: Form
    of_values: bool
    exact: bool
    relaxation: str = ""
    is_same: bool = True
    floor: Floor | None = None
    error: float = 0.0


def fit(predicted: Predicted) -> Fitted:
    """Return the form of a surrogate's expected cost.

    In a small space, all architectures are predicted. Otherwise the form is the first of these that equals the
    predictions: a sum over positions, a product, or a tensor train. If none does, it is the nearest curve or product.
    """
    if predicted.is_small:
        left, right, cut = factors(predicted.values(predicted.everything()), predicted.n_ops)
        return Fitted(Halves(left, right, cut, predicted.n_ops.tolist()), of_values=True, exact=True)
    n_ops = predicted.n_ops
    archs = probes(n_ops, _PROBES if predicted.is_quick else _PER_EFFECT * int(n_ops.sum()) + _MORE)
    costs = predicted.costs(archs)
    order = np.random.default_rng(0).permutation(len(archs))
    held_out, fitted = np.split(order, [round(_CHECKED * len(archs))])
    effects = main_effects(archs[fitted], costs[fitted], n_ops)
    form: Form | None = None
    if is_same(costs, _sums(effects, archs)):
        form = Sum(effects)
    else:
        cores = _product(archs[fitted], costs[fitted], n_ops)
        if cores is None or not is_same(costs, train_values(cores, archs)):
            checked = archs[order[:_TRAIN_CHECKED]]
            cores = train(predicted.costs, checked, n_ops) if predicted.is_quick else None
        form = None if cores is None else Train(cores)
    # The variance of costs that are far from sums is not that of a sum: the floor then applies to their mean.
    spread = effects if _error(_sums(effects, archs), costs) < _NEARLY_SUMS else np.zeros_like(effects)
    floor = _reached_floor(predicted, archs, costs, spread)
    metric = METRICS[predicted.surrogate.metric_]
    if form is None:
        form, error = _nearest(predicted, archs, costs, effects, fitted, held_out)
        what = "the expectation of the nearest curve or product over positions, and the prediction near one-hot inputs"
        return Fitted(form, False, False, what, False, Floor(predicted.surrogate.floor_, spread), error)
    if metric.cost == "reciprocal":
        return Fitted(form, False, False, f"the {metric.name} of the expected time", True, floor)
    if metric.cost == "shortfall" and extreme(predicted.costs, archs[costs.argmax()], n_ops, -1) > metric.limit:
        return Fitted(form, False, False, f"the {metric.name} of the expected shortfall", True, floor)
    return Fitted(form, of_values=False, exact=True, floor=floor)


def _reached_floor(predicted: Predicted, archs: Archs, costs: Vector, spread: Vector) -> Floor | None:
    """Return the smallest prediction, if the model predicts less for some architecture; else None."""
    floor = predicted.surrogate.floor_
    least = float(costs.min())
    if least >= floor and predicted.is_quick:
        least = extreme(predicted.costs, archs[costs.argmin()], predicted.n_ops, 1)
    return Floor(floor, spread) if least < floor else None


def _nearest(
    predicted: Predicted,
    archs: Archs,
    costs: Vector,
    effects: Vector,
    fitted: npt.NDArray[np.intp],
    held_out: npt.NDArray[np.intp],
) -> tuple[Form, float]:
    """Return the curve or the product with the smaller error on held-out architectures, and that error."""
    effects, parts, bends = _curve(archs[fitted], costs[fitted], effects, predicted.n_ops)
    place = _sums(parts, archs[held_out])
    found = _sums(effects, archs[held_out]) + bends[0] * place**2 + bends[1] * place**3
    best: tuple[float, Form] = _error(found, costs[held_out]), Curve(effects, parts, bends)
    for cores in _products(predicted, archs[fitted], costs[fitted]):
        error = _error(train_values(cores, archs[held_out]), costs[held_out])
        if error < best[0]:
            best = error, Train(cores)
    return best[1], best[0]


def _products(predicted: Predicted, archs: Archs, costs: Vector) -> Iterator[list[Vector]]:
    """Yield approximations of positive costs by products over positions, and by products of small matrices."""
    n_ops = predicted.n_ops
    product = _product(archs, costs, n_ops)
    if product is None:
        return
    yield product
    if predicted.is_quick and cost_model(predicted.surrogate.model_).relative_errors:
        middling = archs[int(np.argsort(costs)[len(costs) // 2])]
        yield rough_train(predicted.costs, middling, n_ops)


def _product(archs: Archs, costs: Vector, n_ops: npt.NDArray[np.intp]) -> list[Vector] | None:
    """Fit a product over positions to positive costs by least squares of the logarithms; None for others."""
    if costs.min() <= 0:
        return None
    logs = main_effects(archs, np.log(costs), n_ops)
    return [np.exp(row[:n])[None, :, None] for row, n in zip(logs, n_ops, strict=True)]


def _curve(
    archs: Archs, costs: Vector, effects: Vector, n_ops: npt.NDArray[np.intp]
) -> tuple[Vector, Vector, tuple[float, float]]:
    """Fit a sum over positions and a cubic of it by least squares, starting from the sum alone."""
    sums = _sums(effects, archs)
    spread = float(sums.std()) or 1.0
    parts = (effects - sums.mean() / len(effects)) / spread
    place = _sums(parts, archs)
    # Regressing the powers and the cost on the ops first leaves a regression on two columns (Frisch and Waugh).
    powers = [place**2, place**3]
    of_powers = [main_effects(archs, power, n_ops) for power in powers]
    left = np.column_stack([power - _sums(of, archs) for power, of in zip(powers, of_powers, strict=True)])
    a, b = map(float, np.linalg.lstsq(left, costs - sums, rcond=None)[0])
    return effects - a * of_powers[0] - b * of_powers[1], parts, (a, b)


def _sums(effects: Vector, archs: Archs) -> Vector:
    return np.asarray(effects[np.arange(archs.shape[1]), archs].sum(axis=1))


def _error(found: Vector, costs: Vector) -> float:
    return float(np.abs(found - costs).mean() / np.abs(costs).mean())
