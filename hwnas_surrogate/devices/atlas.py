"""A device atlas: the few numbers that describe a device, the same in every search space."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.data import METRICS, Target, TargetLike, pick_targets
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features.physics import AVERAGE_NETWORK, view_columns
from hwnas_surrogate.models import ConstantCost
from hwnas_surrogate.random_states import RandomState
from hwnas_surrogate.trainers.distilled import physics_of
from hwnas_surrogate.trainers.sources import Sources, surrogates_of

__all__ = ["NUMBERS", "device_atlas", "nearest_devices"]

Vector: TypeAlias = npt.NDArray[np.float64]

NUMBERS = ("per_gmac", "per_gmac_depthwise", "per_call", "per_mb")
"""What describes a device: the cost of 10^9 dense or depthwise multiply-adds, of a layer's call, of a megabyte."""

_AVERAGE = {column.feature: float(mean) for column, mean in zip(view_columns("all"), AVERAGE_NETWORK, strict=False)}
_AMOUNTS = np.array(
    [
        _AVERAGE["macs"] / 1e9,
        _AVERAGE["macs_depthwise"] / 1e9,
        _AVERAGE["layers"],
        (4 * (_AVERAGE["outputs"] + _AVERAGE["params"]) + _AVERAGE["moved_bytes"]) / 1e6,
    ]
)
"""How many of each an average network has: multiply-adds in 10^9, calls, and megabytes written, read and moved."""
_ENGINES = ("fused", "quantized")


def device_atlas(sources: Sources, *, random_state: RandomState = None) -> pd.DataFrame:
    """Describe devices by what their fitted layer physics says about an average network.

    The coefficients of layer physics mean the same in every space, so that devices are comparable if they were measured
    on other networks. Square roots of quantities (small layers are less efficient) count at their amount in an average
    network: the mean of NAS-Bench-201's and FBNet's. The four numbers are not negative. They leave out the corrections
    of single layers. A device whose measured networks have no depthwise convolution has 0 per depthwise multiply-add.

    Parameters
    ----------
    sources : CostTable, Surrogate or SurrogateSuite, or several
        Costs or surrogates of devices. Tables are fitted first (:func:`~hwnas_surrogate.trainers.fit_sources`).
    random_state : int, numpy generator or None, default=None
        Seed of these fits.

    Returns
    -------
    DataFrame
        One row per target: ``target, unit, per_gmac, per_gmac_depthwise, per_call, per_mb``; the numbers are in the
        target's unit (ms for a latency) per 10^9 multiply-adds, per call and per 10^6 bytes.

    Raises
    ------
    InvalidInputError
        If there is no source, or the costs of one are no sums over layers (a peak memory, a constant).

    Examples
    --------
    A device that needs 2 ms for 10^9 multiply-adds, and 0.01 ms for a call:

    >>> from hwnas_surrogate import CostTable
    >>> from hwnas_surrogate.features import LayerPhysics
    >>> archs = list(range(60))
    >>> layers = LayerPhysics(views=["all"]).frame(archs)
    >>> costs = 2e-9 * layers["physics_all:macs"] + 0.01 * layers["physics_all:layers"]
    >>> table = CostTable("nasbench201", archs, costs.to_numpy()[:, None], ["cpu/latency"])
    >>> list(device_atlas(table))
    ['target', 'unit', 'per_gmac', 'per_gmac_depthwise', 'per_call', 'per_mb']
    """
    rows = []
    for number, surrogate in enumerate(surrogates_of(sources, random_state)):
        name = str(surrogate.target_ or f"source {number}")
        adds = METRICS[surrogate.metric_].adds == "sum" and not isinstance(surrogate.model_, ConstantCost)
        physics = physics_of(surrogate) if adds else None
        if physics is None:
            raise InvalidInputError(
                f"{name} has no layer physics: its costs are constant, or no sums over layers. Leave it out."
            )
        columns = Columns.of(physics.feature_names_in_)
        of_average = np.maximum(physics.coef_, 0.0) @ _in_average_network(columns) * surrogate.scale_
        unit = surrogate.target_.unit if surrogate.target_ else surrogate.kind.unit
        rows.append((name, unit, *(of_average / _AMOUNTS).tolist()))
    if not rows:
        raise InvalidInputError("an atlas needs the costs or surrogates of one device at least, got none.")
    return pd.DataFrame(rows, columns=["target", "unit", *NUMBERS])


def nearest_devices(atlas: pd.DataFrame, target: TargetLike) -> pd.DataFrame:
    """Return the rows of an atlas by their distance from one of its targets, the target itself first.

    The distance is Hellinger's [1]_, between the shares of multiply-adds, depthwise multiply-adds, calls and memory in
    the cost of an average network: 0 if they are equal, however fast the devices are, and at most 1.

    Parameters
    ----------
    atlas : DataFrame
        As :func:`device_atlas` returns it.
    target : target
        ``device/metric``, or a device that has one metric in the atlas.

    Returns
    -------
    DataFrame
        The rows of the atlas, and ``distance``.

    Raises
    ------
    NotInTableError
        If the target is not in the atlas.

    References
    ----------
    .. [1] Le Cam and Yang, "Asymptotics in Statistics", 2nd edition, 2000, chapter 4.

    Examples
    --------
    >>> numbers = [["cpu/latency", "ms", 2, 2, 0.1, 1], ["gpu/latency", "ms", 0, 0, 1, 0]]
    >>> numbers += [["old/latency", "ms", 4, 4, 0.2, 2]]
    >>> atlas = pd.DataFrame(numbers, columns=["target", "unit", *NUMBERS])
    >>> nearest_devices(atlas, "cpu")["target"].to_list()
    ['cpu/latency', 'old/latency', 'gpu/latency']
    """
    named = tuple(dict.fromkeys(map(Target.parse, atlas["target"])))
    picked = pick_targets(target, named)
    if len(picked) != 1:
        raise InvalidInputError(f"{target!r} stands for {', '.join(map(str, picked))}; choose one.")
    costs = atlas[list(NUMBERS)].to_numpy(np.float64) * _AMOUNTS
    shares = np.sqrt(costs / np.maximum(costs.sum(axis=1, keepdims=True), np.finfo(float).tiny))
    own = int(np.argmax(atlas["target"] == str(picked[0])))
    apart = np.sqrt(np.maximum(1 - shares @ shares[own], 0.0))
    apart[own] = 0.0
    order = np.lexsort((np.arange(len(atlas)) != own, apart))
    return atlas.assign(distance=apart).iloc[order].reset_index(drop=True)


def _in_average_network(columns: Columns) -> Vector:
    """Return how much of each column an average network has, under the number that it counts in, (k, 4).

    The views of an inference engine count all multiply-adds in one column; in int8 they have columns of their own.
    """
    result = np.zeros((len(columns), len(NUMBERS)))
    for place in columns.where("physics"):
        view, quantity = columns[place].view, columns[place].feature.removesuffix("_int8")
        root = "sqrt_" if quantity.startswith("sqrt_") else ""
        if quantity.removeprefix("sqrt_") == "macs":
            result[place, 0] = _AVERAGE[f"{root}macs"]
            if view in _ENGINES:
                result[place, 1] = _AVERAGE[f"{root}macs_depthwise"]
        elif quantity in _AVERAGE:  # converted bytes are those of quantized networks only
            group = 1 if quantity.endswith("_depthwise") else 2 if quantity == "layers" else 3
            result[place, group] = _AVERAGE[quantity]
    return result
