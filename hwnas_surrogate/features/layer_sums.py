"""Analytic sums over a network's layers: the features that carry over to other widths, depths and inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.spaces import Layer, NetworkConfig, SearchSpace, View

__all__ = ["LayerSums"]


VECTOR = 16
"""float32 numbers that wide vector units take at once; kernels are faster where channels come in such portions."""


def _aligned(layer: Layer) -> bool:
    return layer.c_in % VECTOR == 0 and layer.c_out % VECTOR == 0


def _macs_of(test: Callable[[Layer], bool]) -> Callable[[Layer], float]:
    return lambda layer: layer.macs if layer.kind == "conv" and test(layer) else 0


QUANTITIES: Mapping[str, Callable[[Layer], float]] = MappingProxyType(
    {
        "macs_1x1": _macs_of(lambda layer: layer.kernel == 1),
        "macs_dense": _macs_of(lambda layer: layer.kernel > 1 and layer.groups == 1),
        "macs_1x1_aligned": _macs_of(lambda layer: layer.kernel == 1 and _aligned(layer)),
        "macs_dense_aligned": _macs_of(lambda layer: layer.kernel > 1 and layer.groups == 1 and _aligned(layer)),
        "macs_depthwise": _macs_of(lambda layer: layer.kernel > 1 and layer.groups > 1),
        "macs_linear": lambda layer: layer.macs if layer.kind == "linear" else 0,
        "sqrt_macs": lambda layer: math.sqrt(layer.macs) if layer.kind == "conv" else 0,
        "params": lambda layer: layer.params,
        "conv_bytes": lambda layer: layer.activation_bytes if layer.kind == "conv" else 0,
        "pool_bytes": lambda layer: layer.activation_bytes if layer.kind in ("avg_pool", "global_pool") else 0,
        "other_bytes": lambda layer: (
            layer.activation_bytes if layer.kind in ("zero", "shuffle", "batch_norm", "linear") else 0
        ),
        "n_conv": lambda layer: layer.kind == "conv",
        "n_pool": lambda layer: layer.kind == "avg_pool",
        "n_other": lambda layer: layer.kind in ("zero", "shuffle"),
        "n_identity": lambda layer: layer.kind == "identity",
    }
)
"""What is summed: multiply-adds by kind of convolution (once more those of layers whose channels are multiples of 16),
their square roots (small layers are less efficient), parameters, float32 activation bytes, layers."""


class LayerSums(Encoder):
    """Sums of multiply-adds, parameters, activation bytes and layers, one group of columns per view.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.
    views : sequence of {"all", "live", "compiled"}, default=("all", "compiled")
        Which layers to sum over.

    Examples
    --------
    >>> sums = LayerSums(views=["all"]).frame(["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "cifar10")
    >>> sums["layers_all:macs_linear"].tolist()
    [640.0]
    """

    def __init__(
        self, space: str | SearchSpace = "nasbench201", views: tuple[View, ...] | list[View] = ("all", "compiled")
    ) -> None:
        super().__init__(space)
        self.views = views

    def _names(self, space: SearchSpace) -> list[str]:
        return [f"layers_{view}:{name}" for view in self.views for name in QUANTITIES]

    def _encode(self, space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, out: Features) -> None:
        for number, view in enumerate(self.views):
            layers = space.layers(archs, config, view)
            sums = layers.sums(_values(layers.distinct))
            out[:, number * len(QUANTITIES) : (number + 1) * len(QUANTITIES)] = sums


@lru_cache(maxsize=256)
def _values(layers: tuple[Layer, ...]) -> npt.NDArray[np.float64]:
    """Return the quantities of each layer, shape (L, quantities)."""
    values = np.array([[quantity(layer) for quantity in QUANTITIES.values()] for layer in layers], np.float64)
    values.setflags(write=False)
    return values
