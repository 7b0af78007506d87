"""The benchmark's cell networks: inference networks of a cell, searchable ones, and the size space's."""

from hwnas_surrogate.networks.cells.building import build_cell_network
from hwnas_surrogate.networks.cells.controller import Controller, StructureController
from hwnas_surrogate.networks.cells.generic import GenericCellNetwork
from hwnas_surrogate.networks.cells.inference import InferenceCell, SizedCellNetwork, StructureNetwork
from hwnas_surrogate.networks.cells.nasnet import AuxiliaryHead, NASNetCell, NASNetOnCIFAR
from hwnas_surrogate.networks.cells.nasnet_layout import CellPlace
from hwnas_surrogate.networks.cells.nasnet_search import (
    NASNET_SUPER_NETS,
    MixedOp,
    NASNetDARTSNetwork,
    NASNetFixedReductionNetwork,
    NASNetGDASNetwork,
    NASNetSearchCell,
)
from hwnas_surrogate.networks.cells.operations import (
    OPERATIONS,
    DualSepConv,
    FactorizedReduce,
    Identity,
    Pooling,
    ReLUConvBN,
    SepConv,
    Zero,
    build_operation,
    drop_path,
)
from hwnas_surrogate.networks.cells.reductions import GDASReductionCell, ResidualBlock
from hwnas_surrogate.networks.cells.search_cell import EdgeTable, SearchCell
from hwnas_surrogate.networks.cells.search_spaces import CELL_SPACES, cell_search_spaces
from hwnas_surrogate.networks.cells.searchable import SearchableCellNetwork
from hwnas_surrogate.networks.cells.sized_search import SizeSearchNetwork
from hwnas_surrogate.networks.cells.strategies import (
    CELL_SUPER_NETS,
    DARTSCellNetwork,
    ENASCellNetwork,
    GDASCellNetwork,
    RandomCellNetwork,
    SETNCellNetwork,
)
from hwnas_surrogate.networks.cells.structure import CELL_ARCHITECTURES, CellStructure

__all__ = [
    "CELL_ARCHITECTURES",
    "CELL_SPACES",
    "CELL_SUPER_NETS",
    "NASNET_SUPER_NETS",
    "OPERATIONS",
    "AuxiliaryHead",
    "CellPlace",
    "CellStructure",
    "Controller",
    "DARTSCellNetwork",
    "DualSepConv",
    "ENASCellNetwork",
    "EdgeTable",
    "FactorizedReduce",
    "GDASCellNetwork",
    "GDASReductionCell",
    "GenericCellNetwork",
    "Identity",
    "InferenceCell",
    "MixedOp",
    "NASNetCell",
    "NASNetDARTSNetwork",
    "NASNetFixedReductionNetwork",
    "NASNetGDASNetwork",
    "NASNetOnCIFAR",
    "NASNetSearchCell",
    "Pooling",
    "RandomCellNetwork",
    "ReLUConvBN",
    "ResidualBlock",
    "SETNCellNetwork",
    "SearchCell",
    "SearchableCellNetwork",
    "SepConv",
    "SizeSearchNetwork",
    "SizedCellNetwork",
    "StructureController",
    "StructureNetwork",
    "Zero",
    "build_cell_network",
    "build_operation",
    "cell_search_spaces",
    "drop_path",
]
