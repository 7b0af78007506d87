"""The generic super-net and its controller, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.cells import GenericCellNetwork as GenericNAS201Model
from hwnas_surrogate.networks.cells import StructureController as Controller

__all__ = ["Controller", "GenericNAS201Model"]
