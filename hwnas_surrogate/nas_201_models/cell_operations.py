"""The operations of cells, under the original's names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch.nn import Identity

from hwnas_surrogate.networks.cells import (
    CELL_SPACES,
    DualSepConv,
    FactorizedReduce,
    ReLUConvBN,
    SepConv,
    Zero,
    drop_path,
)
from hwnas_surrogate.networks.cells import OPERATIONS as OPS
from hwnas_surrogate.networks.cells import GDASReductionCell as GDAS_Reduction_Cell
from hwnas_surrogate.networks.cells import Pooling as POOLING
from hwnas_surrogate.networks.cells import ResidualBlock as ResNetBasicblock

__all__ = [
    "OPS",
    "POOLING",
    "RAW_OP_CLASSES",
    "DualSepConv",
    "FactorizedReduce",
    "GDAS_Reduction_Cell",
    "Identity",
    "ReLUConvBN",
    "ResNetBasicblock",
    "SearchSpaceNames",
    "SepConv",
    "Zero",
    "drop_path",
]

RAW_OP_CLASSES: Mapping[str, type[GDAS_Reduction_Cell]] = MappingProxyType({"gdas_reduction": GDAS_Reduction_Cell})
"""Cells that are operations."""

SearchSpaceNames: Mapping[str, list[str]] = MappingProxyType({name: list(ops) for name, ops in CELL_SPACES.items()})
"""The operations of each search space."""
