"""Inference networks of cells, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.cells import NASNetOnCIFAR as NASNetonCIFAR
from hwnas_surrogate.networks.cells import StructureNetwork as TinyNetwork

__all__ = ["NASNetonCIFAR", "TinyNetwork"]
