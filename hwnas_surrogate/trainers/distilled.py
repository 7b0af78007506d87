"""Layer physics that imitates a surrogate without any: it predicts networks of other spaces, and explains."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from hwnas_surrogate.data import METRICS
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.models import ConstantCost, PhysicsGP, PhysicsPrior, cost_model
from hwnas_surrogate.spaces import ArchBatch, NetworkConfig, get_space
from hwnas_surrogate.trainers.encoded import encode
from hwnas_surrogate.trainers.fitted import FittedSurrogate

__all__ = ["distilled", "physics_of", "predicts_by_physics", "same_everywhere"]

_REFERENCE = 48
"""Number of architectures whose predictions are imitated."""
_PRIOR = PhysicsPrior(correction_sds=(0.2,), noise_sds=(0.03,), robust_noise_sds=(0.03,))
"""Prior of layer physics there. Predictions have no noise, but they are no exact sums over operators. With the noise
levels of measurements, corrections fit what is no sum: where the operators' costs were known, errors were up to twice
as large."""
_EQUAL = 1e-9
"""Costs that differ by less, relative to the largest, are equal."""

_made: WeakKeyDictionary[object, dict[tuple[NetworkConfig | None, ...], PhysicsGP]] = WeakKeyDictionary()
"""The layer physics of each model under some configs."""


def distilled(surrogate: FittedSurrogate, configs: tuple[NetworkConfig | None, ...]) -> PhysicsGP:
    """Return layer physics fitted to a surrogate's predictions of 48 random architectures of its space.

    Parameters
    ----------
    surrogate : FittedSurrogate
        Trained on architectures.
    configs : tuple of NetworkConfig
        The configs of the architectures, in turn; the surrogate predicts for them.

    Returns
    -------
    PhysicsGP
        On the columns of ``LayerPhysics(None)``, of costs over the surrogate's ``scale_``.

    Raises
    ------
    InvalidInputError
        If it predicts the same cost for all of them, or was trained on graphs.
    """
    if surrogate.encoder_.space is None:
        raise InvalidInputError(
            "the surrogate was trained on graphs and saved without layer physics, by an earlier version: nothing tells "
            "which operators cost what. Train it again."
        )
    model = surrogate.model_ if set(configs) <= set(surrogate.configs_) else surrogate.other_model_ or surrogate.model_
    known = _made.setdefault(model, {})
    if configs not in known:
        space = get_space(surrogate.encoder_.space)
        under = [configs[number % len(configs)] for number in range(_REFERENCE)]
        archs = space.batch(space.sample(_REFERENCE, 0), under)
        costs = surrogate.cost_encoded(encode(surrogate.encoder_, archs)) / surrogate.scale_
        if np.ptp(costs) <= _EQUAL * float(costs.max()):
            raise same_everywhere(surrogate)
        known[configs] = PhysicsGP(prior=_PRIOR).fit(LayerPhysics(None).frame(archs), costs)
    return known[configs]


def physics_of(surrogate: FittedSurrogate) -> PhysicsGP | None:
    """Return a surrogate's layer physics, which predicts in other spaces; None if its costs are no sums over layers.

    A surrogate that has none, or has sources of its own, is imitated by layer physics.
    """
    physics = cost_model(surrogate.model_).layer_physics
    if isinstance(physics, PhysicsGP):
        return physics
    if METRICS[surrogate.metric_].adds != "sum" or isinstance(surrogate.model_, ConstantCost):
        return None
    return distilled(surrogate, surrogate.configs_)


def predicts_by_physics(surrogate: FittedSurrogate, batch: NetworkBatch) -> bool:
    """Return whether a source predicts by layer physics only: for networks of other spaces and configs."""
    if surrogate.encoder_.space is None:
        return False
    same = isinstance(batch, ArchBatch) and get_space(surrogate.encoder_.space) is batch.space
    if not same:
        return True
    known = surrogate.general_ or batch.configs[0] in surrogate.configs_
    return not known and cost_model(surrogate.model_).layer_physics is not None


def same_everywhere(surrogate: FittedSurrogate) -> InvalidInputError:
    """Return the error for a surrogate that predicts one cost for all networks."""
    name = "the surrogate" if surrogate.target_ is None else f"the surrogate of {surrogate.target_}"
    return InvalidInputError(
        f"{name} predicts about the same cost for every network: nothing tells which operators cost what. Train on "
        "networks whose costs differ."
    )
