"""Search spaces: architectures, network configs, and the operators of each network."""

from __future__ import annotations

from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.spaces.base import SearchSpace
from hwnas_surrogate.spaces.batch import ArchBatch, ConfigLike, Configs, Networks, as_batch
from hwnas_surrogate.spaces.choice_values import Choice, Choices
from hwnas_surrogate.spaces.choices import ChoiceSpace
from hwnas_surrogate.spaces.config import (
    FBNetConfig,
    InputConfig,
    NASBench201Config,
    NATSBenchSizeConfig,
    NetworkConfig,
)
from hwnas_surrogate.spaces.conventions import Convention
from hwnas_surrogate.spaces.fbnet import FBNet
from hwnas_surrogate.spaces.nasbench201 import NASBench201
from hwnas_surrogate.spaces.natsbench_size import NATSBenchSize
from hwnas_surrogate.spaces.reading import Archs, arch_from_text, ops_of_text
from hwnas_surrogate.spaces.registry import get_space, register_space, space_names
from hwnas_surrogate.spaces.tables import OpTable

__all__ = [
    "ArchBatch",
    "Archs",
    "Choice",
    "ChoiceSpace",
    "Choices",
    "ConfigLike",
    "Configs",
    "Convention",
    "FBNet",
    "FBNetConfig",
    "InputConfig",
    "NASBench201",
    "NASBench201Config",
    "NATSBenchSize",
    "NATSBenchSizeConfig",
    "NetworkConfig",
    "Networks",
    "OpTable",
    "RandomState",
    "SearchSpace",
    "arch_from_text",
    "as_batch",
    "as_generator",
    "get_space",
    "ops_of_text",
    "register_space",
    "space_names",
]

register_space(NASBench201)
register_space(FBNet)
register_space(NATSBenchSize)
