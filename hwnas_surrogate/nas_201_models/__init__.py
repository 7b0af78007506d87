"""The networks that HW-NAS-Bench ships, under the original's names: `hw_nas_bench_api.nas_201_models`.

These modules only map names to :mod:`hwnas_surrogate.networks`. Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.config_utils import dict2config
    from hwnas_surrogate.nas_201_models.builders import (
        get_cell_based_tiny_net,
        get_cifar_models,
        get_imagenet_models,
        get_search_spaces,
        load_net_from_checkpoint,
        obtain_model,
        obtain_search_model,
    )
    from hwnas_surrogate.nas_201_models.cell_searchs import CellArchitectures, CellStructure
    from hwnas_surrogate.nas_201_models.SharedUtils import change_key

__all__ = [
    "CellArchitectures",
    "CellStructure",
    "change_key",
    "dict2config",
    "get_cell_based_tiny_net",
    "get_cifar_models",
    "get_imagenet_models",
    "get_search_spaces",
    "load_net_from_checkpoint",
    "obtain_model",
    "obtain_search_model",
]

_MODULES = {
    "SharedUtils": ["change_key"],
    "builders": [
        "get_cell_based_tiny_net",
        "get_cifar_models",
        "get_imagenet_models",
        "get_search_spaces",
        "load_net_from_checkpoint",
        "obtain_model",
        "obtain_search_model",
    ],
    "cell_searchs": ["CellArchitectures", "CellStructure"],
    ".config_utils": ["dict2config"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
