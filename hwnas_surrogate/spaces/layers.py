"""Layer lists: what the networks of a batch of architectures are made of, with MACs, parameters and bytes.

A network has few distinct layers: all 15,625 NAS-Bench-201 architectures together are made of two dozen, all
10^21 FBNet ones of a few hundred. :class:`Layers` therefore keeps the distinct layers once, and how often each
architecture calls them as a small table over (position, op). Sums over a million architectures are gathers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Layer", "LayerKind", "Layers", "View", "smallest_counter", "summable"]

LayerKind = Literal[
    "conv", "linear", "avg_pool", "global_pool", "batch_norm", "shuffle", "zero", "identity",
    "relu", "add", "fused_add", "convert",
]  # fmt: skip
View = Literal["all", "live", "compiled"]
"""Which layers count: every one that is called, dead edges too; those on a path to the output; those that a converter
leaves."""

_FLOAT32_BYTES = 4
_MANY = 500
"""From so many architectures on, tables of pairs of ops are worth making."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer at one input shape.

    A convolution includes the batch norm and the activation beside it, as inference engines run them.

    Parameters
    ----------
    kind : str
        ``conv``, ``linear``, ``avg_pool``, ``global_pool``, ``batch_norm``, ``shuffle`` (channel shuffle),
        ``zero`` (the op ``none``: multiplies by 0) or ``identity``; among the operators of inference engines also
        ``relu``, ``add``, ``fused_add`` (part of a convolution) and ``convert`` (to int8 or back).
    c_in, c_out : int
        Input and output channels (features of a linear layer).
    height, width : int
        Input height and width in pixels (1 for a linear layer).
    kernel, stride, groups : int
        As in PyTorch; padding keeps ``ceil(size / stride)``, except pooling with stride 2, which floors.
    macs : int
        Multiply-adds of convolutions and linear layers at batch 1; 0 for every other kind.
    params : int
        Trainable parameters, batch norm included.
    activation_bytes : int
        Activations read and written at batch 1, in bytes; float32 unless told otherwise.
    int8 : bool, default=False
        Whether an operator of an inference engine runs in int8.
    """

    kind: LayerKind
    c_in: int
    c_out: int
    height: int
    width: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    macs: int = 0
    params: int = 0
    activation_bytes: int = 0
    int8: bool = False

    @property
    def bytes_each(self) -> int:
        """Bytes of one activation."""
        return 1 if self.int8 else _FLOAT32_BYTES

    @classmethod
    def conv(
        cls,
        c_in: int,
        c_out: int,
        height: int,
        width: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        batch_norm: bool = True,
    ) -> Layer:
        """Convolution without bias, with its batch norm unless told otherwise."""
        out = -(-height // stride) * -(-width // stride)
        weights = c_out * (c_in // groups) * kernel * kernel
        return cls(
            "conv", c_in, c_out, height, width, kernel, stride, groups,
            macs=out * weights,
            params=weights + (2 * c_out if batch_norm else 0),
            activation_bytes=_FLOAT32_BYTES * (c_in * height * width + c_out * out),
        )  # fmt: skip

    @classmethod
    def linear(cls, c_in: int, c_out: int) -> Layer:
        """Linear layer with bias."""
        return cls(
            "linear", c_in, c_out, 1, 1,
            macs=c_in * c_out, params=(c_in + 1) * c_out, activation_bytes=_FLOAT32_BYTES * (c_in + c_out),
        )  # fmt: skip

    @classmethod
    def avg_pool(cls, channels: int, height: int, width: int, kernel: int, stride: int = 1) -> Layer:
        """Average pooling."""
        out = (height // stride) * (width // stride)
        return cls(
            "avg_pool", channels, channels, height, width, kernel, stride,
            activation_bytes=_FLOAT32_BYTES * channels * (height * width + out),
        )  # fmt: skip

    @classmethod
    def global_pool(cls, channels: int, height: int, width: int) -> Layer:
        """Average over the whole feature map."""
        return cls(
            "global_pool", channels, channels, height, width, kernel=height, stride=height,
            activation_bytes=_FLOAT32_BYTES * channels * (height * width + 1),
        )  # fmt: skip

    @classmethod
    def elementwise(cls, kind: LayerKind, channels: int, height: int, width: int, groups: int = 1) -> Layer:
        """Layer that reads and writes every activation once; an ``identity`` touches none."""
        touched = 0 if kind == "identity" else 2 * channels * height * width
        return cls(
            kind, channels, channels, height, width, groups=groups,
            params=2 * channels if kind == "batch_norm" else 0, activation_bytes=_FLOAT32_BYTES * touched,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a search space calls under one config: fixed layers, and layers for each (position, op).

    Parameters
    ----------
    distinct : tuple of Layer
        The distinct layers, L of them.
    fixed : ndarray of int64, shape (L,)
        How often every architecture calls them.
    per_op : ndarray of int64, shape (positions, ops, L)
        How often an op at a position calls them.
    alike : bool
        Whether an op calls the same layers at every position.
    """

    distinct: tuple[Layer, ...]
    fixed: npt.NDArray[np.int64]
    per_op: npt.NDArray[np.int64]
    alike: bool

    @classmethod
    def build(cls, fixed: list[tuple[Layer, int]], per_op: list[list[list[tuple[Layer, int]]]]) -> LayerPlan:
        """Collect the distinct layers out of (layer, count) lists: ``per_op[position][op]``."""
        where: dict[Layer, int] = {}
        for layer, _ in (*fixed, *(item for ops in per_op for items in ops for item in items)):
            where.setdefault(layer, len(where))
        fixed_counts = np.zeros(len(where), np.int64)
        for layer, count in fixed:
            fixed_counts[where[layer]] += count
        op_counts = np.zeros((len(per_op), len(per_op[0]), len(where)), np.int64)
        for position, ops in enumerate(per_op):
            for op, items in enumerate(ops):
                for layer, count in items:
                    op_counts[position, op, where[layer]] += count
        return cls(tuple(where), fixed_counts, op_counts, bool((op_counts == op_counts[0]).all()))


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """The layers of n architectures under one config, in one view.

    The view is that of :meth:`SearchSpace.layers`: every sum is over the layers that count there.

    Parameters
    ----------
    plan : LayerPlan
        The distinct layers and who calls them.
    archs : ndarray of int8, shape (n, positions)
        The architectures.
    executed : ndarray of bool, shape (n, positions), optional
        Which positions are called at all; every one if None.
    connected : ndarray of bool, shape (n,), optional
        Whether the fixed layers (stem, head, ...) are called; always if None.
    """

    plan: LayerPlan
    archs: npt.NDArray[np.int8]
    executed: npt.NDArray[np.bool_] | None = None
    connected: npt.NDArray[np.bool_] | None = None
    _ops: npt.NDArray[np.int8] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ops", self.archs.T.copy())

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.archs)

    @property
    def distinct(self) -> tuple[Layer, ...]:
        """The distinct layers that any architecture of the space may call, L of them."""
        return self.plan.distinct

    def values(self, attribute: str) -> npt.NDArray[np.float64]:
        """Return one attribute of each distinct layer (``"macs"``, ...), shape (L,)."""
        return np.array([getattr(layer, attribute) for layer in self.distinct], np.float64)

    def sums(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Sum a value per distinct layer over all the layers that each architecture calls.

        Parameters
        ----------
        values : array-like of float, shape (L,) or (L, q)
            One value, or q values, for each of ``distinct``.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, q)
            The sums. Integers below 2^53 are summed exactly. Other values are rounded, to 42 binary digits of the
            largest, so that they are as well: equal networks have equal sums, in any batch.

        Examples
        --------
        >>> from hwnas_surrogate.spaces import get_space
        >>> space = get_space("nasbench201")
        >>> layers = space.layers(["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "cifar10")
        >>> layers.sums(layers.values("macs")).tolist()
        [7783040.0]
        """
        per_layer = np.asarray(values, np.float64)
        flat = summable(per_layer.reshape(len(self.distinct), -1))
        tables, ops = self.plan.per_op @ flat, self._ops
        n_ops = tables.shape[1]
        if self.executed is not None:  # what isn't called is an op that adds zeros
            ops = np.where(self.executed.T, ops, n_ops)
            tables = np.concatenate([tables, np.zeros_like(tables[:, :1])], axis=1)
        total = _by_count(tables[0, :n_ops], ops) if self.plan.alike else _by_position(tables, ops)
        total += self.plan.fixed @ flat
        if self.connected is not None:
            total[~self.connected] = 0.0
        return total.reshape(len(self), *per_layer.shape[1:])

    @property
    def counts(self) -> npt.NDArray[np.float64]:
        """How often each architecture calls each distinct layer, shape (n, L)."""
        return self.sums(np.eye(len(self.distinct)))

    @property
    def macs(self) -> npt.NDArray[np.float64]:
        """Multiply-adds of each architecture at batch 1, shape (n,): of the layers of its view.

        In the view ``"all"`` dead edges count: a network without a path from input to output has many, and may cost
        next to nothing. ``space.connected`` tells such networks; the view ``"live"`` counts what leads to the output.
        """
        return self.sums(self.values("macs"))

    @property
    def params(self) -> npt.NDArray[np.float64]:
        """Trainable parameters of each architecture, shape (n,): of the layers of its view, as in :attr:`macs`."""
        return self.sums(self.values("params"))

    @property
    def activation_bytes(self) -> npt.NDArray[np.float64]:
        """float32 activation bytes read and written at batch 1, shape (n,): by the layers of its view.

        As in :attr:`macs`, dead edges count in the view ``"all"``.
        """
        return self.sums(self.values("activation_bytes"))


def _by_count(table: npt.NDArray[np.float64], ops: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Sum what each op adds, the same at every position: (ops, q) table, (positions, n) ops -> (n, q)."""
    counts = np.stack([(ops == op).sum(axis=0, dtype=smallest_counter(len(ops))) for op in range(len(table))], axis=1)
    return np.asarray(counts @ table)


def _by_position(tables: npt.NDArray[np.float64], ops: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Sum what each op adds at its position: (positions, ops, q) tables, (positions, n) ops -> (n, q)."""
    positions, n_ops, width = tables.shape
    columns = ops.astype(np.intp)
    if ops.shape[1] > _MANY and positions % 2 == 0:  # two positions at once: half the gathers
        tables = (tables[::2, :, None] + tables[1::2, None]).reshape(-1, n_ops * n_ops, width)
        columns = columns[::2] * n_ops + columns[1::2]
    total = np.zeros((ops.shape[1], width))
    for table, column in zip(tables, columns, strict=True):
        total += table.take(column, axis=0)
    return total


def smallest_counter(most: int) -> type[np.signedinteger[Any]]:
    """Return the smallest integers that count so far."""
    return np.int8 if most < 128 else np.int64


def summable(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round what is no integer to 42 binary digits of its column's largest, (L, q): two thousand are summed exactly.

    Sums are then the same in any order.
    """
    largest = np.maximum(np.abs(values).max(axis=0, initial=0.0), np.finfo(float).tiny)
    unit = 2.0 ** (np.ceil(np.log2(largest)) - 42)
    return np.where(values == np.rint(values), values, np.rint(values / unit) * unit)
