"""Encoders: networks -> named numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.features.combined import Combined
from hwnas_surrogate.features.counts import OpCounts
from hwnas_surrogate.features.encoder import Encoder, saved_by_name
from hwnas_surrogate.features.layer_sums import LayerSums
from hwnas_surrogate.features.memory import PeakMemory
from hwnas_surrogate.features.merged import MergedOperators
from hwnas_surrogate.features.onehot import OneHot
from hwnas_surrogate.features.operator_counts import OperatorCounts
from hwnas_surrogate.features.physics import LayerPhysics
from hwnas_surrogate.spaces import SearchSpace

__all__ = [
    "ENCODERS",
    "Combined",
    "Encoder",
    "LayerPhysics",
    "LayerSums",
    "MergedOperators",
    "OneHot",
    "OpCounts",
    "OperatorCounts",
    "PeakMemory",
    "make_encoder",
    "register_encoder",
]

_encoders: dict[str, type[Encoder]] = {
    "combined": Combined,
    "onehot": OneHot,
    "counts": OpCounts,
    "layers": LayerSums,
    "physics": LayerPhysics,
    "memory": PeakMemory,
    "operators": OperatorCounts,
}
ENCODERS: Mapping[str, type[Encoder]] = MappingProxyType(_encoders)
"""The encoders by name; the first is the default."""


def register_encoder(name: str, kind: type[Encoder]) -> type[Encoder]:
    """Register an encoder under a name, for :class:`Surrogate` and for saving, in this process.

    Parameters
    ----------
    name : str
    kind : type
        A subclass of :class:`Encoder` that can be built by ``kind(space)``.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    InvalidInputError
        If ``kind`` is no such class, or the name is taken. The same class may be registered again.
    """
    if not (isinstance(kind, type) and issubclass(kind, Encoder)):
        raise InvalidInputError(f"register_encoder takes a subclass of Encoder, got {kind!r:.80}.")
    if _encoders.get(name, kind) is not kind:
        raise InvalidInputError(f"there is an encoder {name!r} already ({_encoders[name].__name__}).")
    saved_by_name(kind)
    _encoders[name] = kind
    return kind


def make_encoder(name: str, space: str | SearchSpace | None = "nasbench201") -> Encoder:
    """Build an encoder by name.

    Raises
    ------
    InvalidInputError
        If there is no such encoder.
    """
    if name not in ENCODERS:
        raise unknown(InvalidInputError, "encoder", name, ENCODERS)
    return ENCODERS[name](space)
