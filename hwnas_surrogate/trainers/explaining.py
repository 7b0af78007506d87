"""Split a predicted cost among the operators of a network, by layer physics and by learned costs of operators.

A physical cost is a sum over columns, and each physical column is a sum over the operators of a view. Each operator
therefore has its own row of columns, which add up to those of the network: the values that the coefficients multiply.
Learned costs are those of the operators of the view ``fused``. A prediction is the weighted mean of both.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.data.target import METRICS
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features.physics import PhysicsView, operator_values, view_columns
from hwnas_surrogate.graphs import Graph, traced
from hwnas_surrogate.models import AnchoredStack, ConstantCost, OperatorStack, PhysicsGP, PhysicsStack
from hwnas_surrogate.trainers.distilled import distilled, physics_of, predicts_by_physics, same_everywhere
from hwnas_surrogate.trainers.encoded import Encoded
from hwnas_surrogate.trainers.explanation import Explanation
from hwnas_surrogate.trainers.fitted import FittedSurrogate
from hwnas_surrogate.trainers.operator_costs import graph_at
from hwnas_surrogate.trainers.operators import graph_view, operators_of

__all__ = ["explained"]

Vector = npt.NDArray[np.float64]

_DISAGREEMENT, _SPREAD = 0.5, 0.25
"""Parts of the standard deviation of an operator's learned cost: of the difference of the two splits, and of itself.

Chosen on a fold of families left out of the bundled zoo (seed 100): 90 % intervals held the times of 89 % (ONNX
Runtime) and 92 % (OpenVINO) of the operators in profiles. Without the second part they held 65 and 67 %, and with twice
the first part instead 78 and 80 %.
"""
_EQUAL = 1e-9
"""Costs and columns that differ by less, relative to the largest, are equal."""


def explained(surrogate: FittedSurrogate, query: Encoded, coverage: float) -> Explanation:
    """Split the predicted cost of one encoded network among its operators; see :meth:`Surrogate.explain`."""
    metric = METRICS[surrogate.metric_]
    if metric.adds != "sum":
        raise InvalidInputError(
            f"a network's {metric.name} is no sum over its operators, so it can't be split among them. Latency, energy "
            "and other metrics that add up can."
        )
    graph = graph_at(query.batch, 0)
    weight, physics = _physics_of(surrogate, query)
    nodes = _values(surrogate, physics, query, graph)
    of_learned, learned_nodes = _learned(surrogate, query, graph)
    view = _leading(physics, nodes, of_learned)
    operators = operators_of(graph, view)
    rows = np.zeros((len(operators.frame), nodes.shape[1]))
    np.add.at(rows, operators.row, nodes)
    predicted = float(surrogate.cost_encoded(query)[0])
    physical = _physical_costs(physics, rows)
    learned = np.bincount(operators.row, learned_nodes, len(rows)).astype(np.float64)
    additive = weight * (rows[:, _own(physics)] @ physics.coef_[_own(physics)]) + of_learned * learned
    of_learned = _part_of_learned(surrogate, physical, of_learned, learned)
    factor = predicted / (float(physical.sum()) or np.inf)
    by_physics, by_learned = physical * factor, predicted * _shares(learned)
    costs = (1 - of_learned) * by_physics + of_learned * by_learned
    spread = float(np.abs(costs - surrogate.scale_ * additive).sum()) / predicted if additive.any() else 1.0
    z = float(ndtri((1 + coverage) / 2))
    of_network = float(np.hypot(_sds(physics, rows.sum(axis=0, keepdims=True))[0], physics.noise_))
    expected, interval = 2 * z * factor * of_network, _interval(surrogate, query, coverage)
    widening = 1.0 if interval is None or not expected else max(1.0, (interval[1] - interval[0]) / expected)
    of_physics = factor * _sds(physics, rows) * widening
    of_operators = np.hypot(_DISAGREEMENT * (by_physics - by_learned), _SPREAD * by_learned)
    reach = z * np.hypot((1 - of_learned) * of_physics, of_learned * of_operators)
    if not surrogate.n_train_:  # a ranking knows no errors
        reach = np.full(len(costs), np.nan)
    frame = operators.frame.assign(
        cost=costs,
        low=np.maximum(costs - reach, 0.0),
        high=costs + reach,
        share=100 * _shares(costs),
    )
    unit = "" if not surrogate.n_train_ else metric.unit if metric.cost == "value" else f"1/({metric.unit})"
    return Explanation(surrogate.target_, unit, view, max(0.0, 1.0 - spread), coverage, interval, frame)


# -- the model of physics -----------------------------------------------------------------------------------


def _physics_of(surrogate: FittedSurrogate, query: Encoded) -> tuple[float, PhysicsGP]:
    """Return the model of layer physics that explains a prediction, and its weight in it."""
    known = surrogate.other_model_ is None or bool(query.under(surrogate.configs_).all())
    model = surrogate.model_ if known else surrogate.other_model_
    if isinstance(model, AnchoredStack):
        trust = float(model.trust(query.features)[0])
        beside = float(model.weight_of_operators(query.features)[0]) if isinstance(model, OperatorStack) else 0.0
        return (1 - beside) * (1 - trust * (1 - model.weights_["physics"])), model.physics_
    if isinstance(model, PhysicsStack):
        return model.weights_["physics"], model.physics_
    if isinstance(model, PhysicsGP):
        return 1.0, model
    if isinstance(model, ConstantCost):
        raise same_everywhere(surrogate)
    if surrogate.physics_ is not None:
        return 0.0, surrogate.physics_
    asked = query.batch.configs[0]
    config = asked if surrogate.general_ or asked in surrogate.configs_ else surrogate.configs_[0]
    return 0.0, distilled(surrogate, (config,))


# -- operators' values of the columns -------------------------------------------------------------------------


def _values(surrogate: FittedSurrogate, physics: PhysicsGP, query: Encoded, graph: Graph) -> Vector:
    """Return what each node of a graph adds to the columns of a model of physics, (nodes, k).

    What an operator adds belongs to the first node that it computes. The column of a source is that source's
    prediction, split among the nodes by the source's own physics; it is left out if it can't be split.
    """
    columns = Columns.of(physics.feature_names_in_)
    values = np.zeros((len(graph), len(columns)))
    used = (physics.coef_ != 0) | physics.covariance_[:-1].any(axis=1)
    for view in _views(columns):
        places = columns.where("physics", "correction", view=view)
        if not used[places].any():
            continue
        if tuple(columns[place] for place in places) != view_columns(view):
            raise InvalidInputError(
                f"the columns of the view {view!r} are not those of LayerPhysics, so that no operator's part in them "
                "is known."
            )
        run = traced(graph, graph_view(view))
        part = np.zeros((len(graph), len(places)))
        np.add.at(part, run.serves, operator_values(run.ops, view))
        values[:, places] = part
    sources = columns.where("source").tolist()
    for place, source in zip(sources, surrogate.encoder_.asked_surrogates() if sources else (), strict=True):
        if used[place] and METRICS[source.metric_].adds == "sum" and not isinstance(source.model_, ConstantCost):
            values[:, place] = _of_source(source, query, graph) * float(query.features[columns[place].name].iloc[0])
    return values


def _of_source(source: FittedSurrogate, query: Encoded, graph: Graph) -> Vector:
    """Return the part of each node in a source's prediction, shape (nodes,); they add up to 1."""
    own, known = query, physics_of(source) if predicts_by_physics(source, query.batch) else None
    if known is None:
        # Columns are read for the trust in what is no physics, and for predictions of the source's own sources.
        reads = isinstance(source.model_, AnchoredStack) or source.encoder_.asked_surrogates()
        features = source.encoder_.frame(query.batch) if reads else query.features[[]]
        own = Encoded(features, query.batch, source.encoder_.space is None)
        _, known = _physics_of(source, own)
    costs = _physical_costs(known, _values(source, known, own, graph))
    of_learned, learned = _learned(source, own, graph)
    of_learned = _part_of_learned(source, costs, of_learned, learned)
    return (1 - of_learned) * _shares(costs) + of_learned * _shares(learned)


def _learned(surrogate: FittedSurrogate, query: Encoded, graph: Graph) -> tuple[float, Vector]:
    """Return the weight of learned costs of operators in a prediction, and the cost of each node, (nodes,)."""
    model = surrogate.model_
    if surrogate.operators_ is None or not isinstance(model, OperatorStack):
        return 0.0, np.zeros(len(graph))
    costs = surrogate.operators_.of_nodes(graph)
    return float(model.weight_of_operators(query.features)[0]) if costs.any() else 0.0, costs


def _part_of_learned(surrogate: FittedSurrogate, physical: Vector, of_learned: float, learned: Vector) -> float:
    """Return the part of a prediction to split by learned costs: all of it where physics knows none."""
    if physical.any():
        return of_learned
    if not learned.any():
        raise same_everywhere(surrogate)
    return 1.0


def _shares(costs: Vector) -> Vector:
    """Return the shares of costs in their sum; 0 if all are 0."""
    return costs / (costs.sum() or 1.0)


def _physical_costs(physics: PhysicsGP, values: Vector) -> Vector:
    """Return the physical cost of each row of values; one that corrections make negative is 0."""
    return np.maximum(values @ physics.coef_, 0.0)


def _views(columns: Columns) -> tuple[PhysicsView, ...]:
    return cast(tuple[PhysicsView, ...], columns.views)


def _own(physics: PhysicsGP) -> npt.NDArray[np.intp]:
    return Columns.of(physics.feature_names_in_).where("physics", "correction")


def _leading(physics: PhysicsGP, values: Vector, of_learned: float) -> PhysicsView:
    """Return the view that accounts for the largest part of a network's cost; the first of equal ones.

    ``of_learned`` is the part of the learned costs of fused operators.
    """
    columns, parts = Columns.of(physics.feature_names_in_), values.sum(axis=0) * physics.coef_
    by_view = {view: float(parts[columns.where("physics", "correction", view=view)].sum()) for view in _views(columns)}
    if of_learned:
        of_physics = sum(by_view.values()) or 1.0
        by_view = {view: (1 - of_learned) * part / of_physics for view, part in by_view.items()}
        by_view["fused"] = by_view.get("fused", 0.0) + of_learned
    most = max(by_view.values())
    return next(view for view, part in by_view.items() if part >= most - _EQUAL * abs(most))


# -- intervals ----------------------------------------------------------------------------------------------


def _sds(physics: PhysicsGP, values: Vector) -> Vector:
    """Return the posterior standard deviation of the cost of each row of values, without the constant and the noise."""
    variances = ((values @ physics.covariance_[:-1, :-1]) * values).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(variances, 0.0)))


def _interval(surrogate: FittedSurrogate, query: Encoded, coverage: float) -> tuple[float, float] | None:
    """Return the calibrated interval of a network's cost; None without calibration."""
    if surrogate.calibration_ is None:
        return None
    low, high = np.sort(METRICS[surrogate.metric_].to_cost(surrogate.interval_encoded(query, coverage)[0]))
    return float(low), float(high)
