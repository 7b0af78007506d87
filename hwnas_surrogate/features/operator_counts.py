"""Counts of the operators that an inference engine runs, by kind: the encoding of networks of any kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.columns import Column
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.graphs import NetworkBatch, Op
from hwnas_surrogate.graphs.op import FREE
from hwnas_surrogate.graphs.passes import ACTIVATIONS

__all__ = ["KINDS", "OperatorCounts", "kind_of"]

KINDS = (
    "pointwise", "conv", "depthwise", "grouped", "matmul", "attention", "softmax", "pool", "global_pool", "norm",
    "activation", "add", "mul", "zero", "copy", "other",
)  # fmt: skip
"""The kinds of operators: convolutions by their form, norms, pools and activations together."""
FUSED = ("fused_add", "fused_activation", "fused_zero")
"""Operators that are fused into the one before them."""
_KIND_OF = {
    **dict.fromkeys(ACTIVATIONS, "activation"), **dict.fromkeys(("avg_pool", "max_pool"), "pool"),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "rms_norm"), "norm"),
    "log_softmax": "softmax", "sub": "add", "div": "mul",
}  # fmt: skip
_COLUMNS = (*KINDS, *FUSED)


class OperatorCounts(Encoder):
    """How many operators of each kind an inference engine runs, and how many are fused into others.

    The operators are those of the view ``fused``. Runtimes that merge and fuse operators take time for each one that is
    left; sums of bytes and multiply-adds (:class:`LayerSums`) do not show how many were merged.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for networks of any kind. The columns are the same.

    Examples
    --------
    >>> counts = OperatorCounts().frame([[3, 3, 0, 3, 0, 0]])
    >>> counts[["operators:conv", "operators:pool", "operators:fused_activation"]].iloc[0].tolist()
    [50.0, 2.0, 4.0]
    """

    def _columns(self) -> Iterator[Column]:
        yield from (Column("operators", name) for name in _COLUMNS)

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        out[:] = batch.sums(_counts(batch.distinct("fused")), "fused")


@lru_cache(maxsize=256)
def _counts(ops: tuple[Op, ...]) -> npt.NDArray[np.float64]:
    """Return what each of L operators adds to the columns, shape (L, columns)."""
    values = np.array([_row(op) for op in ops], np.float64).reshape(-1, len(_COLUMNS))
    values.setflags(write=False)
    return values


@lru_cache(maxsize=65536)
def _row(op: Op) -> tuple[int, ...]:
    if op.kind in FREE or op.kind == "constant":
        return (0,) * len(_COLUMNS)
    inner = [f"fused_{_KIND_OF.get(kind, kind)}" for kind in op.fused]
    return (*(kind == kind_of(op) for kind in KINDS), *(inner.count(name) for name in FUSED))


def kind_of(op: Op) -> str:
    """Return the kind of an operator, one of :data:`KINDS`."""
    if op.kind in ("conv", "conv_transpose"):
        if op.depthwise:
            return "depthwise"
        return "pointwise" if math.prod(op.kernel) == 1 else "grouped" if op.groups > 1 else "conv"
    kind = _KIND_OF.get(op.kind, op.kind)
    return kind if kind in KINDS else "other"
