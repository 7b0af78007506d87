"""Encoders: networks -> named numbers."""

from __future__ import annotations

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.features.combined import Combined
from hwnas_surrogate.features.counts import OpCounts
from hwnas_surrogate.features.encoder import Encoder
from hwnas_surrogate.features.layer_sums import LayerSums
from hwnas_surrogate.features.merged import MergedOperators
from hwnas_surrogate.features.onehot import OneHot
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
    "make_encoder",
]

ENCODERS: dict[str, type[Encoder]] = {
    "combined": Combined,
    "onehot": OneHot,
    "counts": OpCounts,
    "layers": LayerSums,
    "physics": LayerPhysics,
}
"""The encoders by name; the first is the default."""


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
