"""Surrogate cost models for hardware-aware NAS: what will this network cost on that device?

Names are imported on first use, so importing the package loads none of numpy, pandas, scikit-learn, xgboost or torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.capture import ModuleSpace
    from hwnas_surrogate.data import CostTable, HWNASBenchAPI, Target, load_table
    from hwnas_surrogate.graphs import Graph, GraphBatch
    from hwnas_surrogate.networks import build_network
    from hwnas_surrogate.spaces import (
        FBNet,
        FBNetConfig,
        NASBench201,
        NASBench201Config,
        NATSBenchSize,
        NATSBenchSizeConfig,
        get_space,
    )
    from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

__version__ = "0.1.0"

__all__ = [
    "CostTable",
    "FBNet",
    "FBNetConfig",
    "Graph",
    "GraphBatch",
    "HWNASBenchAPI",
    "ModuleSpace",
    "NASBench201",
    "NASBench201Config",
    "NATSBenchSize",
    "NATSBenchSizeConfig",
    "Surrogate",
    "SurrogateSuite",
    "Target",
    "build_network",
    "get_space",
    "load_table",
]

_MODULES = {
    "capture": ["ModuleSpace"],
    "data": ["CostTable", "HWNASBenchAPI", "Target", "load_table"],
    "graphs": ["Graph", "GraphBatch"],
    "networks": ["build_network"],
    "spaces": [
        "FBNet",
        "FBNetConfig",
        "NASBench201",
        "NASBench201Config",
        "NATSBenchSize",
        "NATSBenchSizeConfig",
        "get_space",
    ],
    "trainers": ["Surrogate", "SurrogateSuite"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
