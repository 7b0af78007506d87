"""Operators with their shapes, and their multiply-adds, parameters and bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from hwnas_surrogate.errors import InvalidGraphError, unknown

__all__ = [
    "DTYPES",
    "FREE",
    "N_FACTORS",
    "WEIGHTED",
    "Op",
    "Shape",
    "TensorSpec",
    "whole_number",
    "whole_numbers",
]

Shape = tuple[int, ...]

DTYPES: Mapping[str, int] = MappingProxyType(
    {
        "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8": 1,
        "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
        "complex64": 8, "complex128": 16,
    }
)  # fmt: skip
"""Bytes of one number."""
FREE = frozenset({"view", "identity"})
"""Kinds that neither compute nor move anything: they return the same numbers, perhaps with another shape."""
WEIGHTED = frozenset({"conv", "conv_transpose", "matmul"})
"""Kinds that multiply by stored tensors, into which a factor for each output channel can be folded."""
N_FACTORS: Mapping[str, int] = MappingProxyType({**dict.fromkeys(WEIGHTED, 2), "attention": 3})
"""The number of tensors that an operator multiplies with each other: the first ones that it reads."""


def whole_number(number: Any) -> int:
    """Return a whole number of at least 0; anything else raises ValueError."""
    if type(number) is not int or number < 0:
        raise ValueError(f"a whole number of at least 0 is expected, got {number!r:.40}")
    return number


def whole_numbers(entry: Any) -> tuple[int, ...]:
    """Return whole numbers of at least 0 as a tuple."""
    return tuple(map(whole_number, entry))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and number format of a tensor.

    Parameters
    ----------
    shape : tuple of int
        Whole numbers of at least 0; empty for a scalar.
    dtype : str, default="float32"
        One of :data:`DTYPES`.

    Raises
    ------
    InvalidGraphError
        If a size is unknown or negative, or the format is unknown.

    Examples
    --------
    >>> TensorSpec((1, 3, 32, 32)).bytes
    12288
    """

    shape: Shape
    dtype: str = "float32"

    @classmethod
    @lru_cache(maxsize=65536)
    def of(cls, shape: Shape, dtype: str = "float32") -> TensorSpec:
        """Return the shared object of a shape and format, since graphs hold thousands that are equal."""
        return cls(shape, dtype)

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple) or not all(type(size) is int and size >= 0 for size in self.shape):
            raise InvalidGraphError(
                f"a shape is a tuple of whole numbers of at least 0, got {self.shape!r:.200}. "
                "Give every dimension a number before you make a graph."
            )
        if self.dtype not in DTYPES:
            raise unknown(InvalidGraphError, "number format", self.dtype, DTYPES)

    def to_list(self) -> list[Any]:
        """Return it as a JSON list: the format, then the sizes."""
        return [self.dtype, *self.shape]

    @classmethod
    def from_list(cls, entry: list[Any]) -> TensorSpec:
        """Read what :meth:`to_list` wrote; anything else raises ValueError or TypeError."""
        if not isinstance(entry, list):
            raise TypeError(f"a tensor is a list, got {entry!r:.60}")
        dtype, *shape = entry
        return cls.of(whole_numbers(shape), dtype)

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The number of bytes of the elements."""
        return self.numel * DTYPES[self.dtype]


@dataclass(frozen=True)
class Op:
    """One operator with its shapes.

    Every figure follows from the fields; two operators are equal if their fields are.

    Parameters
    ----------
    kind : str
        What the operator computes: ``conv``, ``conv_transpose``, ``matmul`` (a linear layer too), ``attention``,
        ``batch_norm``, ``layer_norm``, ``relu``, ``add``, ``avg_pool``, ``view``, ...; operators of any other kind have
        bytes but no multiply-adds.
    inputs, outputs : tuple of TensorSpec
        Activations read and written.
    weights : tuple of TensorSpec, optional
        Trained parameters that the operator reads.
    buffers : tuple of TensorSpec, optional
        Other stored tensors that it reads, such as the statistics of a batch norm.
    kernel, stride, dilation, padding : tuple of int, optional
        One number per spatial dimension, for operators with a window.
    groups : int, default=1
        Groups of a convolution.
    fused : tuple of str, optional
        Kinds that a runtime computes with this operator, in order: ``("batch_norm", "relu")``.
    factors : tuple of TensorSpec, optional
        The tensors that a convolution, a matrix product or an attention multiplies, in order, if they are not the first
        of the inputs and weights.
    detail : str, optional
        Anything else that determines the result: the scalars and dimensions of the call. Operators with different
        details are not equal, but cost the same.

    Raises
    ------
    InvalidGraphError
        If the shapes of a convolution, a matrix product or an attention do not fit together.

    Examples
    --------
    >>> image, kernel = TensorSpec((1, 3, 32, 32)), TensorSpec((16, 3, 3, 3))
    >>> stem = Op("conv", (image,), (TensorSpec((1, 16, 32, 32)),), (kernel,), kernel=(3, 3), padding=(1, 1))
    >>> stem.macs, stem.params, stem.activation_bytes
    (442368, 432, 77824)
    """

    kind: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weights: tuple[TensorSpec, ...] = ()
    buffers: tuple[TensorSpec, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    groups: int = 1
    fused: tuple[str, ...] = ()
    factors: tuple[TensorSpec, ...] = ()
    detail: str = ""

    def __post_init__(self) -> None:
        if type(self.groups) is not int or self.groups < 1:
            raise InvalidGraphError(f"groups must be a whole number of at least 1, got {self.groups!r:.40}.")
        if not isinstance(self.kind, str) or not self.kind:
            raise InvalidGraphError(f"the kind of an operator is a name such as 'conv', got {self.kind!r:.60}.")
        if not self.outputs:
            raise InvalidGraphError(f"the operator {self.kind!r} writes nothing: give the shapes of its outputs.")
        self.macs  # noqa: B018  raises where shapes do not fit

    @classmethod
    @lru_cache(maxsize=65536)
    def of(cls, *values: Any, **named: Any) -> Op:
        """Return the shared object of an operator: like the constructor, but equal operators are the same object."""
        return cls(*values, **named)

    def to_dict(self) -> dict[str, Any]:
        """Return the operator as a JSON object, without fields that have their default."""
        written: dict[str, Any] = {"kind": self.kind}
        written |= {name: [spec.to_list() for spec in getattr(self, name)] for name in _TENSORS}
        written |= {name: list(getattr(self, name)) for name in (*_LISTS, "fused")}
        written |= {"groups": self.groups if self.groups != 1 else None, "detail": self.detail}
        return {name: value for name, value in written.items() if value}

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Op:
        """Read what :meth:`to_dict` wrote; anything else raises ValueError, TypeError or InvalidGraphError."""
        if not isinstance(entry, dict) or "kind" not in entry:
            raise TypeError(f"an operator is an object with its kind, got {entry!r:.60}")
        unknown_fields = set(entry) - {"kind", "groups", "fused", "detail", *_TENSORS, *_LISTS}
        if unknown_fields:
            raise ValueError(f"an operator has no {min(unknown_fields)!r}")
        for name in (*_TENSORS, *_LISTS):
            if not isinstance(entry.get(name, []), list):
                raise TypeError(f"{name} of an operator is a list, got {entry[name]!r:.60}")
        tensors = {name: tuple(map(TensorSpec.from_list, entry.get(name, []))) for name in _TENSORS}
        lists = {name: whole_numbers(entry.get(name, [])) for name in _LISTS}
        fused, detail = entry.get("fused", []), entry.get("detail", "")
        if not isinstance(fused, list) or not all(isinstance(text, str) for text in [*fused, detail]):
            raise TypeError("fused is a list of names, detail a text")
        groups = whole_number(entry.get("groups", 1))
        return cls.of(entry["kind"], groups=groups, fused=tuple(fused), detail=detail, **tensors, **lists)

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """Omit cached values: hashes of strings differ between processes."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _hash(self) -> int:
        return hash((self.kind, self.inputs, self.outputs, self.weights, self.kernel, self.fused, self.detail))

    @cached_property
    def macs(self) -> int:
        """Multiply-adds; 0 for every kind but convolutions, matrix products and attention."""
        count = _MACS.get(self.kind)
        if count is None:
            return 0
        try:
            macs = count(self)
        except (IndexError, ValueError, ZeroDivisionError):
            macs = -1
        if macs < 0:
            shapes = [list(spec.shape) for spec in (*self.inputs, *self.weights)]
            raise InvalidGraphError(
                f"the shapes of the operator {self.kind!r} do not fit together: reads {shapes}, writes "
                f"{[list(spec.shape) for spec in self.outputs]}, groups {self.groups}."
            )
        return macs

    def multiplied(self) -> tuple[TensorSpec, ...]:
        """Return the factors of a convolution, a matrix product or an attention; none of other operators."""
        return _factors(self)[: N_FACTORS.get(self.kind, 0)]

    @property
    def params(self) -> int:
        """Trained parameters read."""
        return sum(spec.numel for spec in self.weights)

    @property
    def bytes_read(self) -> int:
        """Bytes of activations read; 0 for a ``view``. A ``copy`` reads what it writes."""
        if self.kind in FREE:
            return 0
        read = sum(spec.bytes for spec in self.inputs)
        return min(read, self.bytes_written) if self.kind == "copy" and read else read

    @property
    def bytes_written(self) -> int:
        """Bytes of activations written; 0 for a ``view``."""
        return 0 if self.kind in FREE else sum(spec.bytes for spec in self.outputs)

    @property
    def activation_bytes(self) -> int:
        """Bytes of activations read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def dtype(self) -> str:
        """The number format of its outputs."""
        return self.outputs[0].dtype

    @property
    def depthwise(self) -> bool:
        """Whether it is a depthwise convolution."""
        return self.kind == "conv" and self.groups > 1 and _factors(self)[0].shape[1] == self.groups


_LISTS = ("kernel", "stride", "dilation", "padding")
_TENSORS = ("inputs", "outputs", "weights", "buffers", "factors")


def _factors(op: Op) -> tuple[TensorSpec, ...]:
    """Return the tensors that an operator multiplies, in order."""
    return op.factors or (*op.inputs, *op.weights, *op.buffers)


def _conv_macs(op: Op) -> int:
    x, kernel = _factors(op)[:2]
    channels_in, channels_out = x.shape[1], op.outputs[0].shape[1]
    # In a transposed convolution, each number that it reads contributes to a window of outputs.
    read, written, numbers = channels_in, channels_out, op.outputs[0].numel
    if op.kind == "conv_transpose":
        read, written, numbers = channels_out, channels_in, x.numel
    fits = kernel.shape[:2] == (written, read // op.groups) and kernel.shape[2:] == op.kernel
    if not fits or channels_in % op.groups or channels_out % op.groups:
        return -1
    return numbers * math.prod(kernel.shape[1:])


def _matmul_macs(op: Op) -> int:
    """Count multiply-adds: outputs times the length of the sum, for (..., m, k) by (..., k, n).

    A stored matrix may stand second, as (n, k), as in a linear layer.
    """
    first, second = (spec.shape for spec in _factors(op)[:2])
    inner = first[-1]
    return op.outputs[0].numel * inner if inner in second[-2:] else -1


def _attention_macs(op: Op) -> int:
    """Count multiply-adds of queries (..., l, e) by keys (..., s, e), and of the result by values (..., s, v)."""
    query, key, value = _factors(op)[:3]
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        return -1
    return math.prod(op.outputs[0].shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


_MACS = {
    "conv": _conv_macs,
    "conv_transpose": _conv_macs,
    "matmul": _matmul_macs,
    "attention": _attention_macs,
}
