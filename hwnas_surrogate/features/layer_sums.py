"""Analytic sums over a network's layers: features that extrapolate to other widths, depths and inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.graphs import NetworkBatch, Op, View
from hwnas_surrogate.graphs.op import FREE
from hwnas_surrogate.graphs.passes import ACTIVATIONS
from hwnas_surrogate.spaces import SearchSpace

__all__ = ["LayerSums", "is_layer", "root"]


VECTOR = 16
"""Number of float32 lanes of wide vector units; kernels are faster if channels are a multiple of it."""
_POOLS = ("avg_pool", "max_pool", "global_pool")
_NO_LAYERS = FREE | ACTIVATIONS | {"add", "constant"}


def is_layer(op: Op) -> bool:
    """Return whether an operator is a layer: neither a view, nor an activation or an addition.

    Runtimes fuse activations and additions into the layer before them. The views ``fused`` and ``quantized`` show which
    ones are not fused.
    """
    return op.kind not in _NO_LAYERS


def root(value: float) -> float:
    """Return a square root as a multiple of 2^-24, so that sums of roots are the same in any batch."""
    return round(math.sqrt(value) * 2**24) / 2**24


def _aligned(op: Op) -> bool:
    return op.inputs[0].shape[1] % VECTOR == 0 and op.outputs[0].shape[1] % VECTOR == 0


def _is_conv(op: Op) -> bool:
    return op.kind in ("conv", "conv_transpose")


def _pointwise(op: Op) -> bool:
    return math.prod(op.kernel) == 1


def _macs_of(test: Callable[[Op], bool]) -> Callable[[Op], float]:
    return lambda op: op.macs if _is_conv(op) and test(op) else 0


QUANTITIES: Mapping[str, Callable[[Op], float]] = MappingProxyType(
    {
        "macs_1x1": _macs_of(_pointwise),
        "macs_dense": _macs_of(lambda op: not _pointwise(op) and op.groups == 1),
        "macs_1x1_aligned": _macs_of(lambda op: _pointwise(op) and _aligned(op)),
        "macs_dense_aligned": _macs_of(lambda op: not _pointwise(op) and op.groups == 1 and _aligned(op)),
        "macs_depthwise": _macs_of(lambda op: not _pointwise(op) and op.groups > 1),
        "macs_linear": lambda op: op.macs if op.kind in ("matmul", "attention") else 0,
        "sqrt_macs": lambda op: root(op.macs) if _is_conv(op) else 0,
        "params": lambda op: op.params,
        "conv_bytes": lambda op: op.activation_bytes if _is_conv(op) else 0,
        "pool_bytes": lambda op: op.activation_bytes if op.kind in _POOLS else 0,
        "other_bytes": lambda op: 0 if _is_conv(op) or op.kind in _POOLS else op.activation_bytes,
        "n_conv": _is_conv,
        "n_add": lambda op: op.kind == "add",
        "n_pool": lambda op: op.kind in ("avg_pool", "max_pool"),
        "n_other": lambda op: not _is_conv(op) and op.kind not in (*_POOLS, "matmul", "batch_norm"),
    }
)
"""The quantities that are summed over layers: multiply-adds by kind of convolution (and separately of layers whose
channels are multiples of 16), their square roots (small layers are less efficient), parameters, activation bytes and
layers. Additions are counted too, though they are no layers: a skip connection causes one."""


class LayerSums(Encoder):
    """Sums of multiply-adds, parameters, activation bytes and layers, one group of columns per view.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for networks of any kind. The columns are the same.
    views : sequence of {"all", "live", "folded", "fused", "quantized"}, default=("all", "folded")
        Which layers to sum over.

    Examples
    --------
    >>> sums = LayerSums(views=["all"]).frame(["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "cifar10")
    >>> sums["layers_all:macs_linear"].tolist()
    [640.0]
    """

    def __init__(
        self, space: str | SearchSpace | None = "nasbench201", views: Sequence[View] = ("all", "folded")
    ) -> None:
        super().__init__(space)
        self.views = views

    def _columns(self) -> Iterator[Column]:
        for view in self.views:
            yield from (Column(f"layers_{view}", name) for name in QUANTITIES)

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        for number, view in enumerate(self.views):
            of = batch.same_view(view)
            sums = batch.sums(_values(batch.distinct(of)), of)
            out[:, number * len(QUANTITIES) : (number + 1) * len(QUANTITIES)] = sums


@lru_cache(maxsize=256)
def _values(ops: tuple[Op, ...]) -> npt.NDArray[np.float64]:
    """Return the quantities of each operator, shape (L, quantities): zeros unless it is a layer."""
    values = np.array([_row(op) for op in ops], np.float64).reshape(-1, len(QUANTITIES))
    values.setflags(write=False)
    return values


@lru_cache(maxsize=65536)
def _row(op: Op) -> tuple[float, ...]:
    counted = QUANTITIES if is_layer(op) else ("n_add",)
    return tuple(float(quantity(op)) if name in counted else 0.0 for name, quantity in QUANTITIES.items())
