"""Surrogate cost models for hardware-aware NAS: what will this network cost on that device?

Names resolve when they are first used, so that importing the package loads none of numpy, pandas,
scikit-learn, xgboost or torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwnas_surrogate.data import CostTable, HWNASBenchAPI, Target, load_table
    from hwnas_surrogate.networks import build_network
    from hwnas_surrogate.spaces import FBNet, FBNetConfig, NASBench201, NASBench201Config, get_space
    from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

__version__ = "0.1.0"

__all__ = [
    "CostTable",
    "FBNet",
    "FBNetConfig",
    "HWNASBenchAPI",
    "NASBench201",
    "NASBench201Config",
    "Surrogate",
    "SurrogateSuite",
    "Target",
    "build_network",
    "get_space",
    "load_table",
]

_HOME = {
    "CostTable": "data",
    "FBNet": "spaces",
    "FBNetConfig": "spaces",
    "HWNASBenchAPI": "data",
    "NASBench201": "spaces",
    "NASBench201Config": "spaces",
    "Surrogate": "trainers",
    "SurrogateSuite": "trainers",
    "Target": "data",
    "build_network": "networks",
    "get_space": "spaces",
    "load_table": "data",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
