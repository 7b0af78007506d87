"""Super-nets of cells, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.cells import CELL_ARCHITECTURES as CellArchitectures
from hwnas_surrogate.networks.cells import CELL_SUPER_NETS as nas201_super_nets
from hwnas_surrogate.networks.cells import NASNET_SUPER_NETS as nasnet_super_nets
from hwnas_surrogate.networks.cells import CellStructure
from hwnas_surrogate.networks.cells import DARTSCellNetwork as TinyNetworkDarts
from hwnas_surrogate.networks.cells import ENASCellNetwork as TinyNetworkENAS
from hwnas_surrogate.networks.cells import GDASCellNetwork as TinyNetworkGDAS
from hwnas_surrogate.networks.cells import GenericCellNetwork as GenericNAS201Model
from hwnas_surrogate.networks.cells import NASNetDARTSNetwork as NASNetworkDARTS
from hwnas_surrogate.networks.cells import NASNetFixedReductionNetwork as NASNetworkGDAS_FRC
from hwnas_surrogate.networks.cells import NASNetGDASNetwork as NASNetworkGDAS
from hwnas_surrogate.networks.cells import RandomCellNetwork as TinyNetworkRANDOM
from hwnas_surrogate.networks.cells import SETNCellNetwork as TinyNetworkSETN

__all__ = [
    "CellArchitectures",
    "CellStructure",
    "GenericNAS201Model",
    "NASNetworkDARTS",
    "NASNetworkGDAS",
    "NASNetworkGDAS_FRC",
    "TinyNetworkDarts",
    "TinyNetworkENAS",
    "TinyNetworkGDAS",
    "TinyNetworkRANDOM",
    "TinyNetworkSETN",
    "nas201_super_nets",
    "nasnet_super_nets",
]
