"""Search spaces: what an architecture is, under which network config, and what its network is made of."""

from __future__ import annotations

from hwnas_surrogate.spaces.base import ConfigLike, RandomState, SearchSpace, as_generator
from hwnas_surrogate.spaces.config import FBNetConfig, NASBench201Config, NetworkConfig
from hwnas_surrogate.spaces.conventions import Convention
from hwnas_surrogate.spaces.fbnet import FBNet
from hwnas_surrogate.spaces.layers import Layer, Layers, View
from hwnas_surrogate.spaces.nasbench201 import NASBench201
from hwnas_surrogate.spaces.operators import Operators
from hwnas_surrogate.spaces.reading import Archs, arch_from_text
from hwnas_surrogate.spaces.registry import get_space, register_space, space_names

__all__ = [
    "Archs",
    "ConfigLike",
    "Convention",
    "FBNet",
    "FBNetConfig",
    "Layer",
    "Layers",
    "NASBench201",
    "NASBench201Config",
    "NetworkConfig",
    "Operators",
    "RandomState",
    "SearchSpace",
    "View",
    "arch_from_text",
    "as_generator",
    "get_space",
    "register_space",
    "space_names",
]

register_space(NASBench201)
register_space(FBNet)
